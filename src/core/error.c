/* Owns: how an error record is filled. Must not: allocate.
 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[GN_KIND_COUNT] = {
#define GN_KIND_TEXT(name, text) text,
  GN_KINDS(GN_KIND_TEXT)
#undef GN_KIND_TEXT
};

const char *gn_kind_name(enum gn_kind kind) {
  return (unsigned)kind < GN_KIND_COUNT ? kind_names[kind] : "unknown";
}

int gn_error_set(struct gn_error *err, enum gn_kind kind, const char *code,
                 const char *format, ...) {
  va_list args;
  if (!err)
    return -1;
  err->kind = kind;
  snprintf(err->code, sizeof err->code, "%s", code ? code : "");
  va_start(args, format);
  vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  return -1;
}

int gn_error_memory(struct gn_error *err) {
  return gn_error_set(err, GN_MEMORY, "memory", "out of memory");
}

void gn_error_clear(struct gn_error *err) {
  err->kind = GN_OK;
  err->code[0] = err->message[0] = '\0';
}

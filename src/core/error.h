/* Owns: the error kinds and the error record of the core. Its storage is fixed,
 * so that running out of memory can be reported too.
 * Must not: allocate, or hold a secret (callers redact before they set).
 */
#ifndef GN_ERROR_H
#define GN_ERROR_H

#include <stddef.h>

/* One list: the enum, its stable text. */
#define GN_KINDS(X) \
  X(GN_OK, "ok") \
  X(GN_TRANSPORT, "transport") \
  X(GN_TIMEOUT, "timeout") \
  X(GN_CANCELLED, "cancelled") \
  X(GN_MEMORY, "memory") \
  X(GN_UNAUTHENTICATED, "unauthenticated") \
  X(GN_FORBIDDEN, "forbidden") \
  X(GN_NOT_FOUND, "not_found") \
  X(GN_INVALID, "invalid") \
  X(GN_THROTTLED, "throttled") \
  X(GN_SERVER, "server") \
  X(GN_PROTOCOL, "protocol") \
  X(GN_TOO_LARGE, "too_large") \
  X(GN_TRUNCATED, "truncated") \
  X(GN_IN_DOUBT, "in_doubt") \
  X(GN_FILE, "file")

enum gn_kind {
#define GN_KIND_ENUM(name, text) name,
  GN_KINDS(GN_KIND_ENUM)
#undef GN_KIND_ENUM
  GN_KIND_COUNT
};

struct gn_error {
  enum gn_kind kind;  /* GN_OK: no error */
  char code[48];      /* stable text: "connect", "ENOSPC", "body" */
  char message[400];  /* one readable line without secrets */
};

const char *gn_kind_name(enum gn_kind kind);

/* Fills err (NULL is allowed) and returns -1, so callers can return it. */
int gn_error_set(struct gn_error *err, enum gn_kind kind, const char *code,
                 const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;
int gn_error_memory(struct gn_error *err);
void gn_error_clear(struct gn_error *err);

#endif

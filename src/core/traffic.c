/* Owns: making and freeing what is told of an attempt. Must not: send it.
 */
#include "traffic.h"

#include "alloc.h"
#include "auth.h"

#include <string.h>

#define LARGEST_COPY ((size_t)1 << 30)

struct gn_traffic *gn_traffic_new(const struct gn_request *r, const char *url,
                                  bool body) {
  struct gn_traffic *t = gn_alloc_zero(sizeof *t);
  if (!t)
    return NULL;
  gn_buf_init(&t->headers, LARGEST_COPY);
  gn_buf_init(&t->response, LARGEST_COPY);
  t->method = gn_strdup(r->method);
  t->url = gn_strdup(url);
  t->safe = r->safe;
  if (body && r->body) {
    t->body = gn_strndup(r->body, r->body_len);
    t->body_len = r->body_len;
  }
  if (!t->method || !t->url || (body && r->body && !t->body)) {
    gn_traffic_free(t);
    return NULL;
  }
  return t;
}

static char *without_value(const char *line) {
  size_t len = strcspn(line, ":;");
  char *copy = gn_alloc(len + sizeof ": ***");
  if (copy) {
    memcpy(copy, line, len);
    memcpy(copy + len, ": ***", sizeof ": ***");
  }
  return copy;
}

int gn_traffic_add_line(struct gn_traffic *t, const char *line, bool secret) {
  char *copy = secret ? without_value(line) : gn_strdup(line);
  char **grown = NULL;
  if (copy)
    grown = gn_realloc(t->lines, (t->line_count + 1) * sizeof *grown);
  if (!grown) {
    gn_free(copy);
    return -1;
  }
  t->lines = grown;
  t->lines[t->line_count++] = copy;
  return 0;
}

void gn_traffic_free(struct gn_traffic *t) {
  size_t i;
  if (!t)
    return;
  for (i = 0; i < t->line_count; i++) {
    gn_wipe(t->lines[i], strlen(t->lines[i]));
    gn_free(t->lines[i]);
  }
  gn_free(t->lines);
  gn_free(t->method);
  gn_free(t->url);
  gn_free(t->body);
  gn_buf_free(&t->headers);
  gn_buf_free(&t->response);
  gn_free(t);
}

/* Owns: making, copying and freeing requests and results, and reading a header
 * block. Must not: send anything.
 */
#include "request.h"

#include "alloc.h"
#include "auth.h"
#include "tape.h"
#include "url.h"

#include <string.h>
#include <strings.h>

struct gn_request *gn_request_new(const char *method, const char *url,
                                  struct gn_error *err) {
  struct gn_request *r = gn_alloc_zero(sizeof *r);
  if (r) {
    atomic_init(&r->refs, 1);
    r->method = gn_strdup(method);
    r->url = gn_strdup(url);
  }
  if (!r || !r->method || !r->url) {
    gn_request_free(r);
    gn_error_memory(err);
    return NULL;
  }
  r->reads = strcmp(method, "GET") == 0;
  r->posts = !r->reads && (strcmp(method, "POST") == 0 ||
                           strcmp(method, "PUT") == 0);
  r->safe = r->reads || strcmp(method, "HEAD") == 0;
  r->redirects = r->safe ? 5 : 0;
  return r;
}

static int push_header(struct gn_request *r, char *line,
                       struct gn_error *err) {
  char **grown = NULL;
  if (line)
    grown = gn_realloc(r->headers, (r->header_count + 1) * sizeof *grown);
  if (!grown) {
    gn_free(line);
    return gn_error_memory(err);
  }
  r->headers = grown;
  r->headers[r->header_count++] = line;
  return 0;
}

int gn_request_add_header(struct gn_request *r, const char *name,
                          size_t name_len, const char *value, size_t value_len,
                          struct gn_error *err) {
  char *line;
  if (!gn_header_name_ok(name, name_len))
    return gn_error_set(err, GN_INVALID, "header",
                        "'%.*s' is not a header name",
                        (int)(name_len < 60 ? name_len : 60), name);
  if (!gn_header_value_ok(value, value_len))
    return gn_error_set(err, GN_INVALID, "header",
                        "the value of header '%.*s' holds a control character",
                        (int)(name_len < 60 ? name_len : 60), name);
  line = gn_alloc(name_len + value_len + 3);
  if (line) {
    memcpy(line, name, name_len);
    memcpy(line + name_len, ": ", 2);
    memcpy(line + name_len + 2, value, value_len);
    line[name_len + 2 + value_len] = '\0';
    /* libcurl sends an empty header only in this spelling. */
    if (value_len == 0)
      memcpy(line + name_len, ";", 2);
  }
  return push_header(r, line, err);
}

static int replace(char **field, const char *text, size_t len,
                   struct gn_error *err) {
  char *copy = gn_strndup(text, len);
  if (!copy)
    return gn_error_memory(err);
  gn_free(*field);
  *field = copy;
  return 0;
}

int gn_request_set_header(struct gn_request *r, const char *name,
                          const char *value, struct gn_error *err) {
  size_t i, kept = 0, len = strlen(name);
  for (i = 0; i < r->header_count; i++) {
    char *line = r->headers[i];
    if (strncasecmp(line, name, len) == 0 &&
        (line[len] == ':' || line[len] == ';')) {
      gn_wipe(line, strlen(line));
      gn_free(line);
    } else {
      r->headers[kept++] = line;
    }
  }
  r->header_count = kept;
  return gn_request_add_header(r, name, len, value, strlen(value), err);
}

int gn_request_set_body(struct gn_request *r, const char *body, size_t len,
                        struct gn_error *err) {
  if (replace(&r->body, body, len, err) != 0)
    return -1;
  r->body_len = len;
  return 0;
}

int gn_request_set_file(struct gn_request *r, const char *path,
                        struct gn_error *err) {
  return replace(&r->file, path, strlen(path), err);
}

int gn_request_set_scope(struct gn_request *r, const char *scope,
                         struct gn_error *err) {
  return replace(&r->scope, scope, strlen(scope), err);
}

int gn_request_set_rows(struct gn_request *r, const char *path,
                        struct gn_error *err) {
  return replace(&r->rows, path, strlen(path), err);
}

bool gn_request_has_header(const struct gn_request *r, const char *line) {
  size_t i, len = strcspn(line, ":;");
  for (i = 0; i < r->header_count; i++)
    if (strncasecmp(line, r->headers[i], len) == 0 &&
        (r->headers[i][len] == ':' || r->headers[i][len] == ';'))
      return true;
  return false;
}

bool gn_request_carries_body(const struct gn_request *r) {
  return r->body || r->posts;
}

int gn_request_set_url(struct gn_request *r, const char *url,
                       struct gn_error *err) {
  return replace(&r->url, url, strlen(url), err);
}

struct gn_request *gn_request_copy(const struct gn_request *r,
                                   struct gn_error *err) {
  struct gn_request *copy = gn_request_new(r->method, r->url, err);
  size_t i;
  if (!copy)
    return NULL;
  if (r->body && gn_request_set_body(copy, r->body, r->body_len, err) != 0)
    goto fail;
  if (r->file && gn_request_set_file(copy, r->file, err) != 0)
    goto fail;
  if (r->scope && gn_request_set_scope(copy, r->scope, err) != 0)
    goto fail;
  if (r->rows && gn_request_set_rows(copy, r->rows, err) != 0)
    goto fail;
  for (i = 0; i < r->header_count; i++)
    if (push_header(copy, gn_strdup(r->headers[i]), err) != 0)
      goto fail;
  copy->safe = r->safe;
  copy->download = r->download;
  copy->server_url = r->server_url;
  copy->redirects = r->redirects;
  copy->timeout_ms = r->timeout_ms;
  copy->attempts = r->attempts;
  copy->max_body = r->max_body;
  copy->resume = r->resume;
  copy->progress = r->progress;
  copy->sha256 = r->sha256;
  memcpy(copy->sha256_hex, r->sha256_hex, sizeof copy->sha256_hex);
  return copy;
fail:
  gn_request_free(copy);
  return NULL;
}

struct gn_request *gn_request_ref(struct gn_request *r) {
  atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
  return r;
}

void gn_request_free(struct gn_request *r) {
  size_t i;
  if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
    return;
  for (i = 0; i < r->header_count; i++) {
    gn_wipe(r->headers[i], strlen(r->headers[i]));
    gn_free(r->headers[i]);
  }
  gn_free(r->headers);
  gn_free(r->method);
  gn_free(r->url);
  gn_free(r->body);
  gn_free(r->file);
  gn_free(r->scope);
  gn_free(r->rows);
  gn_free(r);
}

struct gn_result *gn_result_new(void) {
  struct gn_result *r = gn_alloc_zero(sizeof *r);
  if (r)
    r->retry_after = -1;
  return r;
}

void gn_result_free(struct gn_result *r) {
  if (!r)
    return;
  gn_buf_free(&r->headers);
  gn_sink_free(r->body);
  gn_tape_free(r->tape);
  gn_free(r->file);
  gn_free(r->records);
  gn_free(r->next);
  gn_free(r->id);
  gn_request_free(r->request);
  gn_free(r);
}

struct gn_record *gn_result_add_record(struct gn_result *r) {
  if (r->record_count >= GN_RECORDS_FIRST) {
    struct gn_record *grown = NULL;
    if (r->record_count < GN_RECORDS_MAX)
      grown = gn_realloc(r->records,
                         (r->record_count + 1) * sizeof *r->records);
    if (grown) {
      r->records = grown;
    } else {
      r->record_count--;
      memmove(r->records, r->records + 1,
              r->record_count * sizeof *r->records);
    }
  }
  memset(&r->records[r->record_count], 0, sizeof *r->records);
  return &r->records[r->record_count++];
}

void gn_result_url(const struct gn_result *r, char *out, size_t cap) {
  if (r->request)
    gn_url_redact(r->request->url, r->server_url, out, cap);
  else
    *out = '\0';
}

const char *gn_result_body(const struct gn_result *r, size_t *len) {
  *len = r->body ? gn_sink_size(r->body) : 0;
  return *len ? gn_sink_data(r->body) : "";
}

int gn_headers_next(const struct gn_buf *block, size_t *pos, const char **name,
                    size_t *name_len, const char **value,
                    size_t *value_len) {
  while (*pos < block->len) {
    const char *line = block->data + *pos;
    const char *end = memchr(line, '\n', block->len - *pos);
    size_t len = end ? (size_t)(end - line) : block->len - *pos;
    const char *colon = memchr(line, ':', len);
    *pos += len + (end ? 1 : 0);
    if (!colon)
      continue;
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' ' ||
                       line[len - 1] == '\t'))
      len--;
    *name = line;
    *name_len = (size_t)(colon - line);
    *value = colon + 1;
    while (*value < line + len && (**value == ' ' || **value == '\t'))
      (*value)++;
    *value_len = (size_t)(line + len - *value);
    return 1;
  }
  return 0;
}

const char *gn_headers_find(const struct gn_buf *block, const char *name,
                            size_t *len) {
  const char *n, *v;
  size_t pos = 0, nlen, vlen, wanted = strlen(name);
  while (pos < block->len) {
    const char *line = block->data + pos, *end;
    /* Most lines differ in their first letter, whatever its case. */
    if ((*line ^ *name) & ~0x20) {
      end = memchr(line, '\n', block->len - pos);
      pos = end ? (size_t)(end + 1 - block->data) : block->len;
    } else if (gn_headers_next(block, &pos, &n, &nlen, &v, &vlen) &&
               nlen == wanted && strncasecmp(n, name, nlen) == 0) {
      *len = vlen;
      return v;
    }
  }
  return NULL;
}

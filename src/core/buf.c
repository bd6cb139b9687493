/* Owns: the growth of a bounded buffer. Must not: set errors; the caller knows
 * what the limit was for.
 */
#include "buf.h"

#include "alloc.h"

#include <string.h>

#define FIRST_CAPACITY 256

void gn_buf_init(struct gn_buf *b, size_t max) {
  memset(b, 0, sizeof *b);
  b->max = max;
}

enum gn_buf_status gn_buf_reserve(struct gn_buf *b, size_t extra) {
  size_t wanted;
  size_t capacity = b->capacity ? b->capacity : FIRST_CAPACITY;
  char *data;
  if (extra > b->max - b->len || extra >= (size_t)-1 - b->len)
    return GN_BUF_FULL;
  wanted = b->len + extra + 1;
  if (wanted <= b->capacity)
    return GN_BUF_OK;
  while (capacity < wanted)
    capacity = capacity > (size_t)-1 / 2 ? wanted : capacity * 2;
  if (capacity > b->max)
    capacity = b->max + 1;
  data = gn_realloc(b->data, capacity);
  if (!data)
    return GN_BUF_MEMORY;
  b->data = data;
  b->capacity = capacity;
  return GN_BUF_OK;
}

void gn_buf_expect(struct gn_buf *b, size_t len) {
  char *data;
  if (b->data || len > b->max)
    return;
  data = gn_alloc(len + 1);
  if (!data)
    return;
  data[0] = '\0';
  b->data = data;
  b->capacity = len + 1;
}

enum gn_buf_status gn_buf_append(struct gn_buf *b, const void *data,
                                 size_t len) {
  if (len >= b->capacity - b->len) { /* no room for it and the NUL */
    enum gn_buf_status status = gn_buf_reserve(b, len);
    if (status != GN_BUF_OK)
      return status;
  }
  if (len)
    memcpy(b->data + b->len, data, len);
  b->len += len;
  b->data[b->len] = '\0';
  return GN_BUF_OK;
}

enum gn_buf_status gn_buf_append_text(struct gn_buf *b, const char *text) {
  return gn_buf_append(b, text, strlen(text));
}

void gn_buf_reset(struct gn_buf *b) {
  b->len = 0;
  if (b->data)
    b->data[0] = '\0';
}

void gn_buf_free(struct gn_buf *b) {
  gn_free(b->data);
  b->data = NULL;
  b->len = b->capacity = 0;
}

char *gn_buf_steal(struct gn_buf *b) {
  char *data = b->data;
  b->data = NULL;
  b->len = b->capacity = 0;
  return data;
}

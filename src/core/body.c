/* Owns: reading Content-Encoding and passing a body on, piece by piece. Must
 * not: trust its size; the sink has the limit.
 */
#include "body.h"

#include "alloc.h"
#include "request.h"

#include <string.h>
#include <strings.h>

#define PIECE 16384

static bool is(const char *text, size_t len, const char *word) {
  return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

static enum gn_coding coding_of(const char *name, size_t len) {
  if (len == 0 || is(name, len, "identity"))
    return GN_CODING_IDENTITY;
  if (is(name, len, "gzip") || is(name, len, "x-gzip"))
    return GN_CODING_GZIP;
  return is(name, len, "deflate") ? GN_CODING_DEFLATE : GN_CODING_OTHER;
}

enum gn_coding gn_body_coding(const struct gn_buf *headers) {
  enum gn_coding all = GN_CODING_IDENTITY;
  const char *name, *value;
  size_t pos = 0, name_len, len;
  while (gn_headers_next(headers, &pos, &name, &name_len, &value, &len)) {
    if (!is(name, name_len, "Content-Encoding"))
      continue;
    while (len > 0) {
      size_t skip = strspn(value, ", \t"), word;
      enum gn_coding one;
      if (skip >= len)
        break;
      value += skip;
      len -= skip;
      word = strcspn(value, ", \t");
      word = word < len ? word : len;
      one = coding_of(value, word);
      /* One inside the other: nobody does that but to hide a bomb. */
      if (all == GN_CODING_IDENTITY)
        all = one;
      else if (one != GN_CODING_IDENTITY)
        all = GN_CODING_OTHER;
      value += word;
      len -= word;
    }
  }
  return all;
}

int gn_body_begin(struct gn_body *b, struct gn_sink *sink,
                  const struct gn_buf *headers, bool deflate, bool lenient,
                  struct gn_error *err) {
  enum gn_coding coding = headers ? gn_body_coding(headers)
                                  : GN_CODING_IDENTITY;
  memset(b, 0, sizeof *b);
  b->sink = sink;
  b->lenient = lenient;
  if (coding == GN_CODING_IDENTITY)
    return 0;
  if (coding == GN_CODING_OTHER || (coding == GN_CODING_DEFLATE && !deflate)) {
    b->spoiled = lenient;
    return lenient ? 0
                   : gn_error_set(err, GN_PROTOCOL, "encoding",
                                  "the body was sent in a Content-Encoding "
                                  "that was not asked for");
  }
  b->inflate = gn_inflate_new(coding, err);
  return b->inflate ? 0 : -1;
}

/* What a failed request's body says is of less weight than that it failed. */
static int spoil(struct gn_body *b, struct gn_error *err) {
  b->spoiled = b->lenient && err->kind == GN_PROTOCOL;
  if (!b->spoiled)
    return -1;
  gn_error_clear(err);
  return 0;
}

int gn_body_write(struct gn_body *b, const char *data, size_t len,
                  struct gn_error *err) {
  char piece[PIECE];
  size_t n;
  if (b->spoiled)
    return 0;
  if (!b->inflate)
    return gn_sink_write(b->sink, data, len, err);
  for (;;) {
    if (gn_inflate_next(b->inflate, &data, &len, piece, sizeof piece, &n,
                        err) != 0)
      return spoil(b, err);
    if (n == 0)
      return 0;
    if (gn_sink_write(b->sink, piece, n, err) != 0)
      return -1;
  }
}

int gn_body_end(struct gn_body *b, struct gn_error *err) {
  if (!b->inflate || b->lenient)
    return 0;
  return gn_inflate_finish(b->inflate, err);
}

void gn_body_free(struct gn_body *b) {
  gn_inflate_free(b->inflate);
  b->inflate = NULL;
}

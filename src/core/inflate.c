/* Owns: one zlib stream and where it stands between the members of a file.
 * Must not: know what the data is for.
 */
#include "inflate.h"

#include "alloc.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#define GZIP_FIRST 0x1f

enum where { BEFORE, INSIDE, BETWEEN, PADDING };

struct gn_inflate {
  z_stream stream;  /* zlib's */
  bool many;        /* gzip: members may follow each other */
  enum where where; /* in the data */
};

static void *take(void *opaque, unsigned items, unsigned size) {
  (void)opaque;
  if (size && items > SIZE_MAX / size)
    return NULL;
  return gn_alloc((size_t)items * size);
}

static void give(void *opaque, void *p) {
  (void)opaque;
  gn_free(p);
}

struct gn_inflate *gn_inflate_new(enum gn_coding coding,
                                  struct gn_error *err) {
  struct gn_inflate *z = gn_alloc_zero(sizeof *z);
  if (!z) {
    gn_error_memory(err);
    return NULL;
  }
  z->many = coding == GN_CODING_GZIP;
  z->stream.zalloc = take;
  z->stream.zfree = give;
  /* 16 more: a gzip header and trailer, and nothing else. */
  if (inflateInit2(&z->stream, z->many ? 16 + MAX_WBITS : MAX_WBITS) != Z_OK) {
    gn_free(z);
    gn_error_memory(err);
    return NULL;
  }
  return z;
}

static int damaged(struct gn_error *err, const char *how) {
  return gn_error_set(err, GN_PROTOCOL, "encoding",
                      "the compressed data is damaged: %s", how);
}

/* Behind a member: another one, or zeros up to the end of the data (what is
 * written in blocks is filled up with them). */
static int between(struct gn_inflate *z, const char **data, size_t *len,
                   struct gn_error *err) {
  if (z->where == BETWEEN && z->many &&
      (unsigned char)**data == GZIP_FIRST) {
    z->where = INSIDE;
    return inflateReset(&z->stream) == Z_OK ? 0 : damaged(err, "no stream");
  }
  z->where = PADDING;
  for (; *len > 0; ++*data, --*len)
    if (**data != '\0' || !z->many)
      return damaged(err, "something follows its end");
  return 0;
}

int gn_inflate_next(struct gn_inflate *z, const char **data, size_t *len,
                    char *out, size_t cap, size_t *n, struct gn_error *err) {
  unsigned room = cap < UINT_MAX ? (unsigned)cap : UINT_MAX;
  *n = 0;
  while (*n == 0) {
    unsigned some = *len < UINT_MAX ? (unsigned)*len : UINT_MAX;
    int rc;
    if (z->where > INSIDE) {
      if (*len == 0)
        return 0;
      if (between(z, data, len, err) != 0)
        return -1;
      continue;
    }
    if (some > 0)
      z->where = INSIDE;
    z->stream.next_in = (unsigned char *)(uintptr_t)*data;
    z->stream.avail_in = some;
    z->stream.next_out = (unsigned char *)out;
    z->stream.avail_out = room;
    rc = inflate(&z->stream, Z_NO_FLUSH);
    *data += some - z->stream.avail_in;
    *len -= some - z->stream.avail_in;
    *n = room - z->stream.avail_out;
    if (rc == Z_STREAM_END)
      z->where = BETWEEN;
    else if (rc == Z_MEM_ERROR)
      return gn_error_memory(err);
    else if (rc != Z_OK && rc != Z_BUF_ERROR)
      return damaged(err, z->stream.msg ? z->stream.msg : "no gzip data");
    else if (*n == 0 && (*len == 0 || rc == Z_BUF_ERROR))
      return 0;
  }
  return 0;
}

int gn_inflate_finish(const struct gn_inflate *z, struct gn_error *err) {
  if (z->where > INSIDE)
    return 0;
  return gn_error_set(err, GN_PROTOCOL, "incomplete",
                      "the compressed data ends too early");
}

void gn_inflate_free(struct gn_inflate *z) {
  if (!z)
    return;
  inflateEnd(&z->stream);
  gn_free(z);
}

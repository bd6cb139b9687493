/* Owns: checksums of a file's bytes as they pass: those that servers name in
 * headers (RFC 9530, RFC 3230, Content-MD5, Google's and Alibaba's own), and
 * the sha256 that a caller asks for.
 * Must not: read or write files.
 */
#ifndef GN_DIGEST_H
#define GN_DIGEST_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gn_check {
  GN_CHECK_SHA256,
  GN_CHECK_MD5,
  GN_CHECK_CRC64,  /* ECMA-182, reflected: CRC-64/XZ */
  GN_CHECK_CRC32C,
  GN_CHECK_COUNT
};

#define GN_CHECK_SIZE 32 /* bytes of the longest */

/* One checksum; the CRCs with their most significant byte first. */
struct gn_sum {
  enum gn_check check;                /* which; GN_CHECK_COUNT: none */
  unsigned char value[GN_CHECK_SIZE]; /* its bytes, zeros behind them */
};

/* The best one that a header block gives for the whole file. part: the block
 * belongs to a part of it, of which Content-MD5 and Content-Digest speak. */
void gn_sum_read(struct gn_sum *sum, const struct gn_buf *headers, bool part);
/* Lower-case hexadecimal digits; cap 2 * GN_CHECK_SIZE + 1 is always enough. */
void gn_sum_hex(const struct gn_sum *sum, char *out, size_t cap);
/* False if the text is no checksum of that kind, in either case. */
bool gn_sum_parse(struct gn_sum *sum, enum gn_check check, const char *hex);
bool gn_sum_equal(const struct gn_sum *a, const struct gn_sum *b);
const char *gn_check_name(enum gn_check check); /* "sha256" */

struct gn_digest;

struct gn_digest *gn_digest_new(enum gn_check check, struct gn_error *err);
int gn_digest_update(struct gn_digest *d, const void *data, size_t len,
                     struct gn_error *err);
/* Once; only gn_digest_free may follow. */
int gn_digest_final(struct gn_digest *d, struct gn_sum *out,
                    struct gn_error *err);
void gn_digest_free(struct gn_digest *d); /* NULL is allowed */

#endif

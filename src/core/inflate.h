/* Owns: unpacking gzip (members one after the other) or zlib data as it comes,
 * with the check of every member's trailer.
 * Must not: limit what comes out; the taker counts.
 */
#ifndef GN_INFLATE_H
#define GN_INFLATE_H

#include "error.h"

#include <stddef.h>

/* What a Content-Encoding says. */
enum gn_coding {
  GN_CODING_IDENTITY,
  GN_CODING_GZIP,
  GN_CODING_DEFLATE, /* zlib data, as RFC 9110 has it */
  GN_CODING_OTHER    /* unknown, or more than one */
};

struct gn_inflate;

/* GN_CODING_GZIP or GN_CODING_DEFLATE. */
struct gn_inflate *gn_inflate_new(enum gn_coding coding, struct gn_error *err);
/* Unpacks into out, moving *data and *len past what was taken. *n: bytes in
 * out; 0 only if all of the data was taken and nothing is left to give.
 * Damaged data: kind GN_PROTOCOL, code "encoding". */
int gn_inflate_next(struct gn_inflate *z, const char **data, size_t *len,
                    char *out, size_t cap, size_t *n, struct gn_error *err);
/* The data has ended: code "incomplete" if it may not end here. */
int gn_inflate_finish(const struct gn_inflate *z, struct gn_error *err);
void gn_inflate_free(struct gn_inflate *z); /* NULL is allowed */

#endif

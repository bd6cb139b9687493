/* Owns: what happens to a response's body between the wire and its sink: the
 * coding that it was sent in is taken off and its end checked. libcurl would do
 * the first, but takes gzip data that was cut for whole.
 * Must not: know the wire, or keep a byte itself.
 */
#ifndef GN_BODY_H
#define GN_BODY_H

#include "buf.h"
#include "error.h"
#include "inflate.h"
#include "sink.h"

#include <stdbool.h>

struct gn_body {
  struct gn_sink *sink;       /* where it goes */
  struct gn_inflate *inflate; /* NULL: it is sent as it is */
  bool lenient;               /* of an error: as much of it as is readable */
  bool spoiled;               /* lenient, and the rest is not readable */
};

/* What the Content-Encoding lines of a header block say together. */
enum gn_coding gn_body_coding(const struct gn_buf *headers);
/* A body begins. headers: NULL where no line of them names a coding. deflate:
 * that coding was asked for. A coding that was not: kind GN_PROTOCOL, code
 * "encoding". */
int gn_body_begin(struct gn_body *b, struct gn_sink *sink,
                  const struct gn_buf *headers, bool deflate, bool lenient,
                  struct gn_error *err);
int gn_body_write(struct gn_body *b, const char *data, size_t len,
                  struct gn_error *err);
/* The wire says that this was all: code "incomplete" if it cannot be. */
int gn_body_end(struct gn_body *b, struct gn_error *err);
void gn_body_free(struct gn_body *b); /* all zero is allowed */

#endif

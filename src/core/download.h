/* Owns: a response's body on its way to a file: what of an earlier run or a cut
 * attempt can be gone on with, which answers fit it, and whether the file is
 * whole. Every doubt means to start from nothing.
 * Must not: send, retry or wait; the exchange does.
 */
#ifndef GN_DOWNLOAD_H
#define GN_DOWNLOAD_H

#include "request.h"
#include "sink.h"

struct gn_download {
  struct gn_sink *sink;     /* the file */
  struct gn_mark mark;      /* of what is in its .part; etag "": of nothing */
  struct gn_verify verify;  /* its checksums */
  bool resume;              /* going on is allowed */
  bool looked;              /* for what an earlier run left */
  bool refused;             /* the answer does not fit what is there */
  bool verified;            /* that it is whole is more than a guess */
  unsigned restarts;        /* answers that did not fit so far */
  uint64_t asked;           /* where the range asked for begins; 0: all is */
  uint64_t resumed;         /* bytes that did not have to be sent again */
  int64_t total;            /* bytes of the whole file, -1: not known */
  int64_t told_at;          /* monotonic ms of the last call of progress */
  void (*progress)(void *owner, uint64_t bytes, int64_t total); /* or NULL */
  void *owner;              /* for progress */
};

/* Takes path and options from the request. */
struct gn_download *gn_download_new(const struct gn_request *r,
                                    struct gn_error *err);
/* Before an attempt: opens the file, and finds where to go on. */
int gn_download_prepare(struct gn_download *d, struct gn_error *err);
/* The header lines for that; false: none are needed. */
bool gn_download_lines(const struct gn_download *d, char *range, size_t cap,
                       char *if_range, size_t if_cap);
/* A good answer's header block is there. length: its Content-Length, or -1. One
 * that does not fit: code "range", and `refused` is set. */
int gn_download_response(struct gn_download *d, long status,
                         const struct gn_buf *headers, int64_t length,
                         struct gn_error *err);
/* Some more of the body is in the sink: tells progress, now and then. */
void gn_download_tell(struct gn_download *d);
/* The wire says that this was all. framed: it says so in a way that a cut
 * connection does not. Code "incomplete" if bytes are missing. */
int gn_download_end(struct gn_download *d, bool framed, struct gn_error *err);
/* The framing made no sense: what came may be no part of the file. */
void gn_download_distrust(struct gn_download *d);
/* After an attempt: true if the next one is to start from nothing because of
 * what the server answered. True only so often. */
bool gn_download_restarts(struct gn_download *d, long status);
/* The file was not what its checksum says: it starts from nothing. False if
 * that would bring the same again. */
bool gn_download_spoiled(struct gn_download *d);
/* After the sink's finish: what to tell of the file. */
void gn_download_facts(const struct gn_download *d, struct gn_result *r);
void gn_download_free(struct gn_download *d); /* NULL is allowed */

#endif

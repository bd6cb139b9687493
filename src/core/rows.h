/* Owns: a good response's body on its way to the waiter as batches of the rows
 * of one JSON list, while it still arrives. Where nobody takes them, the
 * transfer rests: the server is not read from until somebody does.
 * Must not: read JSON itself, send, or retry; rows that were given away cannot
 * be called back, so the exchange asks before it does.
 */
#ifndef GN_ROWS_H
#define GN_ROWS_H

#include "json_split.h"
#include "sink.h"
#include "timer.h"

#include <stdbool.h>

struct gn_engine;
struct gn_exchange;

struct gn_rows {
  struct gn_exchange *exchange; /* borrowed */
  struct gn_json_split *split;  /* finds the rows */
  struct gn_sink *sink;         /* takes the body of a good response */
  struct gn_timer timer;        /* for what libcurl must not be in the way of */
  size_t burst;                 /* bytes since the step had its turn */
  bool credit;                  /* one more batch may be posted */
  bool begun;                   /* this attempt's good body did */
  bool given;                   /* a batch was posted: there is no way back */
  bool resting;                 /* nothing is read from the wire */
};

/* How many batches may wait for their taker; each one that is taken allows one
 * more (gn_engine_advance). */
unsigned gn_rows_credits(const struct gn_engine *e);
/* For the exchange's request. */
struct gn_rows *gn_rows_new(struct gn_exchange *x, struct gn_error *err);
/* Another attempt follows: what the one before brought is gone. */
void gn_rows_reset(struct gn_rows *r);
/* A good response's body begins: gives its sink. From here on no deadline
 * counts, only that something comes while the caller takes rows. */
struct gn_sink *gn_rows_begin(struct gn_rows *r);
bool gn_rows_begun(const struct gn_rows *r); /* NULL is allowed */
bool gn_rows_given(const struct gn_rows *r); /* NULL is allowed */
/* libcurl has more: true if it must keep that, as enough came at once, or waits
 * already. The transfer rests then. */
bool gn_rows_hold(struct gn_rows *r);
/* The wire says that this was all. */
int gn_rows_end(struct gn_rows *r, struct gn_error *err);
/* The exchange's end: what is left of whole rows is posted. */
int gn_rows_finish(struct gn_rows *r, struct gn_error *err);
/* A batch was taken while there was no credit. */
void gn_rows_advance(struct gn_rows *r);
void gn_rows_free(struct gn_rows *r); /* NULL is allowed */

#endif

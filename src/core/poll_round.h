/* Owns: which of a poll's ids are asked for together: the batches of one round,
 * and their halves where a whole one was not found.
 * Must not: send anything, or decide what an answer means.
 */
#ifndef GN_POLL_ROUND_H
#define GN_POLL_ROUND_H

#include "poll_rules.h"

struct gn_poll_batch {
  const size_t *items;  /* indices of the rules' items; the round's */
  size_t count;         /* how many */
};

struct gn_poll_round {
  size_t *order;                 /* what this round asks for, batch by batch */
  struct gn_poll_batch *batches; /* asked for, or to be */
  size_t count;                  /* batches so far */
  size_t next;                   /* the first that nobody took */
};

/* -1: out of memory. */
int gn_poll_round_init(struct gn_poll_round *round, size_t items);
void gn_poll_round_free(struct gn_poll_round *round);
/* A new round over all that has not finished. */
void gn_poll_round_begin(struct gn_poll_round *round,
                         const struct gn_poller_rules *rules);
/* The next batch; false: all were taken. */
bool gn_poll_round_next(struct gn_poll_round *round, struct gn_poll_batch *out);
/* Both halves of a batch of this round come again. */
void gn_poll_round_split(struct gn_poll_round *round,
                         const struct gn_poll_batch *batch);

#endif

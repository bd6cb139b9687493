/* Owns: packing a round's ids into batches and cutting them in halves. Must
 * not: allocate after it was made.
 */
#include "poll_round.h"

#include "alloc.h"

#include <string.h>

int gn_poll_round_init(struct gn_poll_round *round, size_t items) {
  memset(round, 0, sizeof *round);
  round->order = gn_alloc_zero(items * sizeof *round->order);
  /* Halving down to single ids makes fewer than two batches for each. */
  round->batches = gn_alloc_zero(2 * items * sizeof *round->batches);
  if (round->order && round->batches)
    return 0;
  gn_poll_round_free(round);
  return -1;
}

void gn_poll_round_free(struct gn_poll_round *round) {
  gn_free(round->order);
  gn_free(round->batches);
  memset(round, 0, sizeof *round);
}

static void add(struct gn_poll_round *round, const size_t *items,
                size_t count) {
  struct gn_poll_batch *batch = &round->batches[round->count++];
  batch->items = items;
  batch->count = count;
}

/* Puts the items that are alone, or those that are not, into batches. */
static size_t pack(struct gn_poll_round *round,
                   const struct gn_poller_rules *rules, bool alone,
                   size_t used) {
  size_t most = gn_poller_rules_single(rules) || alone ? 1 : rules->batch;
  size_t first = used, i;
  for (i = 0; i < rules->item_count; i++) {
    if (rules->items[i].finished || rules->items[i].alone != alone)
      continue;
    round->order[used++] = i;
    if (used - first == most) {
      add(round, round->order + first, most);
      first = used;
    }
  }
  if (used > first)
    add(round, round->order + first, used - first);
  return used;
}

void gn_poll_round_begin(struct gn_poll_round *round,
                         const struct gn_poller_rules *rules) {
  round->count = round->next = 0;
  pack(round, rules, true, pack(round, rules, false, 0));
}

bool gn_poll_round_next(struct gn_poll_round *round,
                        struct gn_poll_batch *out) {
  if (round->next == round->count)
    return false;
  *out = round->batches[round->next++];
  return true;
}

void gn_poll_round_split(struct gn_poll_round *round,
                         const struct gn_poll_batch *batch) {
  size_t half = batch->count / 2;
  add(round, batch->items, half);
  add(round, batch->items + half, batch->count - half);
}

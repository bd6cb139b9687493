/* Owns: the compare-and-swap loops of a shared limiter. Must not: store what it
 * has not compared, or trust a word further than its reach.
 */
#include "limiter_words.h"

#define SLOWEST 1e9          /* seconds between two requests */
#define FURTHEST (4 * GN_WORD_SECOND * GN_WORD_SECOND)
#define MARGIN GN_WORD_SECOND /* between two processes' readings of the clock */

static double less(double a, double b) {
  return a < b ? a : b;
}

static int64_t later(int64_t a, int64_t b) {
  return a > b ? a : b;
}

void gn_limiter_pace_init(struct gn_limiter_pace *p, double rate,
                          double burst) {
  double interval = less(1.0 / rate, SLOWEST) * GN_WORD_SECOND;
  double slack = interval * (burst > 1 ? burst - 1 : 0);
  p->interval = later((int64_t)interval, 1);
  p->slack = (int64_t)less(slack, SLOWEST * GN_WORD_SECOND);
  p->ahead = later(p->interval, GN_WORD_SECOND / 10);
  p->doubted = 0;
}

static int64_t reach_of(const struct gn_limiter_pace *p) {
  return p->slack + p->interval + p->ahead + MARGIN;
}

static void raise_to(_Atomic int64_t *word, int64_t least) {
  int64_t value = atomic_load(word);
  while (value < least && !atomic_compare_exchange_weak(word, &value, least))
    ;
}

void gn_limiter_words_join(struct gn_limiter_words *w,
                           const struct gn_limiter_pace *p) {
  raise_to(&w->reach, reach_of(p));
}

void gn_limiter_words_carry(struct gn_limiter_words *w,
                            struct gn_limiter_words *from) {
  raise_to(&w->arrival, atomic_load(&from->arrival));
  raise_to(&w->pause, atomic_load(&from->pause));
}

int64_t gn_limiter_words_paused(struct gn_limiter_words *w, int64_t now) {
  int64_t pause = atomic_load(&w->pause);
  return pause <= now + 2 * GN_WORD_MAX_PAUSE ? pause : 0;
}

/* How far ahead of now the line can be, whoever wrote it. */
static int64_t reach_of_all(struct gn_limiter_words *w,
                            const struct gn_limiter_pace *p) {
  int64_t reach = atomic_load(&w->reach);
  return reach <= FURTHEST ? later(reach, reach_of(p)) : reach_of(p);
}

bool gn_limiter_words_reserve(struct gn_limiter_words *w,
                              struct gn_limiter_pace *p, int64_t now,
                              int64_t *slot, int64_t *due) {
  int64_t arrival = atomic_load(&w->arrival);
  do {
    int64_t pause = gn_limiter_words_paused(w, now);
    int64_t at = arrival;
    if (at > later(now, pause) + reach_of_all(w, p)) {
      if (at != p->doubted) {
        p->doubted = at;
        *due = now + p->ahead;
        return false;
      }
      at = now + p->slack;
    }
    /* What follows a pause leaves at the rate, not as one burst. */
    if (pause > 0)
      at = later(at, pause + p->slack);
    *slot = later(at, now);
    *due = later(*slot - p->slack, now);
    if (*due > now + p->ahead)
      return false;
  } while (!atomic_compare_exchange_weak(&w->arrival, &arrival,
                                         *slot + p->interval));
  return true;
}

void gn_limiter_words_release(struct gn_limiter_words *w,
                              const struct gn_limiter_pace *p, int64_t slot) {
  int64_t last = slot + p->interval;
  atomic_compare_exchange_strong(&w->arrival, &last, slot);
}

void gn_limiter_words_pause(struct gn_limiter_words *w, int64_t now,
                            int64_t until) {
  int64_t most = now + GN_WORD_MAX_PAUSE, pause;
  if (until > most)
    until = most;
  pause = atomic_load(&w->pause);
  while ((pause < until || pause > most + GN_WORD_MAX_PAUSE) &&
         !atomic_compare_exchange_weak(&w->pause, &pause, until))
    ;
}

/* Owns: the arithmetic of a limiter that many processes share: one word that
 * says how far the line of requests reaches, one for the pause that a server
 * asked for, both changed by compare and swap. A process may end between any
 * two instructions: no state is in two words.
 * Must not: read a clock, know a file, or wait.
 */
#ifndef GN_LIMITER_WORDS_H
#define GN_LIMITER_WORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define GN_WORD_SECOND INT64_C(1000000000)
/* A longer pause is cut to this: a word beyond it is no pause of ours. */
#define GN_WORD_MAX_PAUSE (3600 * GN_WORD_SECOND)

/* All in nanoseconds of the clock that the processes have in common. */
struct gn_limiter_words {
  _Atomic int64_t arrival; /* theoretical arrival of the next request */
  _Atomic int64_t pause;   /* nothing leaves before this instant */
  _Atomic int64_t reach;   /* how far any user's line may be ahead of now */
};

/* One process's idea of the rate. */
struct gn_limiter_pace {
  int64_t interval; /* between two requests */
  int64_t slack;    /* how far the arrival may run ahead */
  int64_t ahead;    /* no slot is taken that is due later than this from now */
  int64_t doubted;  /* an arrival that seemed to be damaged, 0: none */
};

/* rate: above 0; burst: how many may leave at once. */
void gn_limiter_pace_init(struct gn_limiter_pace *p, double rate,
                          double burst);
/* The words learn how far this process's line may be ahead. */
void gn_limiter_words_join(struct gn_limiter_words *w,
                           const struct gn_limiter_pace *p);
/* Takes the next slot if it is due soon: true, *slot is what may be given back.
 * False: nothing is taken, come again. *due: when the request may leave, as
 * things stand. A word that no user of the file can have written (another
 * boot's, a damaged one) counts as a line that ends now, once it was seen to
 * stay: a process that stood still after it had read the clock sees the others'
 * word far ahead, too. */
bool gn_limiter_words_reserve(struct gn_limiter_words *w,
                              struct gn_limiter_pace *p, int64_t now,
                              int64_t *slot, int64_t *due);
/* Only the last slot of the line can be given back: a word has no room for a
 * hole. The others are lost, but never more than `ahead` has room for. */
void gn_limiter_words_release(struct gn_limiter_words *w,
                              const struct gn_limiter_pace *p, int64_t slot);
/* A shorter pause changes nothing; after it requests leave at the rate. */
void gn_limiter_words_pause(struct gn_limiter_words *w, int64_t now,
                            int64_t until);
/* What was in another file is in this one too. */
void gn_limiter_words_carry(struct gn_limiter_words *w,
                            struct gn_limiter_words *from);
/* When the pause ends; at most `now` where there is none. */
int64_t gn_limiter_words_paused(struct gn_limiter_words *w, int64_t now);

#endif

/* Owns: taking, giving back and pausing, in memory or in a file. Must not: hold
 * the lock for longer than that takes.
 */
#include "rate.h"

#include "alloc.h"
#include "process.h"

#include <string.h>

#define SOONEST 0.001 /* seconds before a slot is asked for again */
#define LONGEST_PAUSE 1e9
#define LATEST 1.0    /* seconds of a line that may get shorter meanwhile */

struct gn_rate *gn_rate_new(const struct gn_rate_options *o,
                            struct gn_error *err) {
  struct gn_rate *r = gn_alloc_zero(sizeof *r);
  if (!r) {
    gn_error_memory(err);
    return NULL;
  }
  atomic_init(&r->refs, 1);
  r->generation = gn_process_generation();
  r->rate = o->rate > 0 ? o->rate : 0;
  r->burst = o->burst > 1 ? o->burst : 1;
  r->other.rate = r->rate;
  r->other.burst = r->burst;
  pthread_mutex_init(&r->lock, NULL);
  gn_limiter_init(&r->memory, r->rate, r->burst);
  r->interval = r->memory.interval;
  if (o->file && r->rate > 0) {
    struct gn_limiter_settings set = {r->rate, r->burst,
                                      o->mode ? o->mode : 0600};
    r->file = gn_limiter_file_open(o->file, &set, &r->other, err);
    if (!r->file) {
      gn_rate_unref(r);
      return NULL;
    }
  }
  return r;
}

struct gn_rate *gn_rate_ref(struct gn_rate *r) {
  atomic_fetch_add(&r->refs, 1);
  return r;
}

void gn_rate_unref(struct gn_rate *r) {
  if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
    return;
  gn_limiter_file_close(r->file);
  gn_limiter_destroy(&r->memory);
  pthread_mutex_destroy(&r->lock);
  gn_free(r);
}

void gn_rate_enter(struct gn_rate *r) {
  static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
  unsigned generation = gn_process_generation();
  if (r->generation == generation)
    return;
  r->generation = generation;
  if (pthread_mutex_trylock(&r->lock) == 0) {
    pthread_mutex_unlock(&r->lock);
  } else { /* half changed, perhaps */
    gn_limiter_forget(&r->memory);
    r->lock = fresh;
  }
  /* Those who waited do so in the other process. */
  r->served = r->issued;
}

void gn_rate_place_init(struct gn_rate_place *place) {
  memset(place, 0, sizeof *place);
  place->slot = GN_NO_SLOT;
}

static int64_t word_of(double now) {
  return (int64_t)(now * GN_WORD_SECOND);
}

static void leave_line(struct gn_rate *r, struct gn_rate_place *place) {
  if (place->ticket > 0 && r->served < r->issued)
    r->served++;
  place->ticket = 0;
}

/* Who comes back when its turn is near finds a slot at once, mostly; without
 * turns all of them would come each time that one is free. */
static double queue(struct gn_rate *r, struct gn_rate_place *place,
                    double wait) {
  double before;
  if (place->ticket == 0)
    place->ticket = ++r->issued;
  before = place->ticket > r->served + 1
               ? (double)(place->ticket - r->served - 1) : 0;
  before *= r->interval;
  wait += before < LATEST ? before : LATEST;
  return wait > SOONEST ? wait : SOONEST;
}

static double reserve_in_file(struct gn_rate *r, double now,
                              struct gn_rate_place *place) {
  struct gn_limiter_pace *pace = gn_limiter_file_pace(r->file);
  struct gn_limiter_words *words = gn_limiter_file_words(r->file,
                                                         word_of(now));
  int64_t at = word_of(now), slot, due;
  bool others = place->ticket == 0 && r->served < r->issued;
  if (place->word > 0)
    gn_limiter_words_release(words, pace, place->word);
  place->word = 0;
  place->taken = !others &&
                 gn_limiter_words_reserve(words, pace, at, &slot, &due);
  if (others)
    return queue(r, place, 0);
  if (!place->taken)
    return queue(r, place, (double)(due - pace->ahead - at) / GN_WORD_SECOND);
  leave_line(r, place);
  place->word = slot;
  return (double)(due - at) / GN_WORD_SECOND;
}

double gn_rate_reserve(struct gn_rate *r, double now,
                       struct gn_rate_place *place) {
  double wait;
  pthread_mutex_lock(&r->lock);
  if (r->file) {
    wait = reserve_in_file(r, now, place);
  } else {
    gn_limiter_release(&r->memory, place->slot);
    wait = gn_limiter_reserve(&r->memory, now, &place->slot);
    place->taken = true;
  }
  pthread_mutex_unlock(&r->lock);
  return wait;
}

bool gn_rate_missed(struct gn_rate *r, double now,
                    struct gn_rate_place *place) {
  if (!r->file || place->word == 0 || place->late)
    return false;
  place->late = word_of(now) >
                place->word + gn_limiter_file_pace(r->file)->ahead;
  return place->late;
}

void gn_rate_release(struct gn_rate *r, struct gn_rate_place *place) {
  if (place->slot < 0 && place->word == 0 && place->ticket == 0)
    return;
  pthread_mutex_lock(&r->lock);
  gn_limiter_release(&r->memory, place->slot);
  leave_line(r, place);
  if (r->file && place->word > 0)
    gn_limiter_words_release(gn_limiter_file_words(r->file, place->word),
                             gn_limiter_file_pace(r->file), place->word);
  pthread_mutex_unlock(&r->lock);
  gn_rate_use(place);
}

void gn_rate_use(struct gn_rate_place *place) {
  gn_rate_place_init(place);
}

void gn_rate_pause(struct gn_rate *r, double now, double seconds) {
  double until = now + (seconds < LONGEST_PAUSE ? seconds : LONGEST_PAUSE);
  pthread_mutex_lock(&r->lock);
  if (r->file)
    gn_limiter_words_pause(gn_limiter_file_words(r->file, word_of(now)),
                           word_of(now), word_of(until));
  else
    gn_limiter_pause(&r->memory, until);
  pthread_mutex_unlock(&r->lock);
}

bool gn_rate_paused(struct gn_rate *r, double now) {
  bool paused;
  pthread_mutex_lock(&r->lock);
  if (r->file)
    paused = gn_limiter_words_paused(gn_limiter_file_words(r->file,
                                                           word_of(now)),
                                     word_of(now)) > word_of(now);
  else
    paused = gn_limiter_paused(&r->memory, now);
  pthread_mutex_unlock(&r->lock);
  return paused;
}

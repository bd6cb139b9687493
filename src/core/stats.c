/* Owns: the counters' memory and their names. Must not: lock; who counts is on
 * the way of every request.
 */
#include "stats.h"

#include "alloc.h"
#include "process.h"

#include <stdatomic.h>
#include <string.h>

/* Seconds: from a request in the same rack to the deadline of an exchange. */
const double gn_bucket_bounds[GN_BUCKETS] = {
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
};

struct durations {
  _Atomic int64_t buckets[GN_BUCKETS + 1]; /* how many */
  _Atomic int64_t sum;                     /* microseconds */
};

struct gn_counters {
  atomic_int refs;                        /* owner and engines */
  unsigned generation;                    /* of the process that made it */
  _Atomic int64_t counts[GN_COUNTS];      /* by enum gn_count */
  struct durations timed[GN_TIMED_COUNT]; /* by enum gn_timed */
};

struct gn_counters *gn_counters_new(void) {
  struct gn_counters *c = gn_alloc_zero(sizeof *c);
  if (c) {
    atomic_init(&c->refs, 1);
    c->generation = gn_process_generation();
  }
  return c;
}

struct gn_counters *gn_counters_ref(struct gn_counters *c) {
  atomic_fetch_add(&c->refs, 1);
  return c;
}

void gn_counters_unref(struct gn_counters *c) {
  if (c && atomic_fetch_sub(&c->refs, 1) == 1)
    gn_free(c);
}

bool gn_counters_is_foreign(const struct gn_counters *c) {
  return c->generation != gn_process_generation();
}

static void add(_Atomic int64_t *counter, int64_t n) {
  atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static int64_t value_of(_Atomic int64_t *counter) {
  return atomic_load_explicit(counter, memory_order_relaxed);
}

void gn_counters_add(struct gn_counters *c, enum gn_count what, int64_t n) {
  add(&c->counts[what], n);
}

void gn_counters_time(struct gn_counters *c, enum gn_timed what,
                      double seconds) {
  struct durations *d = &c->timed[what];
  size_t i = 0;
  while (i < GN_BUCKETS && seconds > gn_bucket_bounds[i])
    i++;
  add(&d->buckets[i], 1);
  add(&d->sum, (int64_t)(seconds * 1e6));
}

void gn_counters_attempt(struct gn_counters *c, long status, double seconds,
                         long connects) {
  long class = status >= 100 && status < 600 ? status / 100 : 0;
  gn_counters_add(c, (enum gn_count)(GN_COUNT_RESPONSES + class), 1);
  gn_counters_time(c, GN_TIMED_REQUEST, seconds);
  if (connects > 0)
    gn_counters_add(c, GN_COUNT_OPENED, connects);
  else if (connects == 0)
    gn_counters_add(c, GN_COUNT_REUSED, 1);
}

void gn_count_name(enum gn_count what, const char **group, const char **name) {
  static const struct {
    const char *group; /* or NULL */
    const char *name;  /* or NULL */
  } names[] = {
#define GN_COUNTERS_NAME(id, group, name) {group, name},
    GN_COUNTERS(GN_COUNTERS_NAME)
#undef GN_COUNTERS_NAME
  };
  if (what < GN_COUNT_ERRORS) {
    *group = names[what].group;
    *name = names[what].name;
  } else {
    *group = "errors";
    *name = what == GN_COUNT_ERRORS
                ? NULL : gn_kind_name((enum gn_kind)(what - GN_COUNT_ERRORS));
  }
}

void gn_counters_retry(struct gn_counters *c, const char *why) {
  int what = GN_COUNT_RETRIED_BACKOFF;
  gn_counters_add(c, GN_COUNT_RETRIES, 1);
  for (; what <= GN_COUNT_RETRIED_INFO; what++) {
    const char *group, *name;
    gn_count_name((enum gn_count)what, &group, &name);
    if (strcmp(name, why) == 0)
      gn_counters_add(c, (enum gn_count)what, 1);
  }
}

void gn_counters_read(struct gn_counters *c, struct gn_stats *out) {
  size_t i, k;
  for (i = 0; i < GN_COUNTS; i++)
    out->counts[i] = value_of(&c->counts[i]);
  for (k = 0; k < GN_TIMED_COUNT; k++) {
    for (i = 0; i <= GN_BUCKETS; i++)
      out->timed[k].buckets[i] = value_of(&c->timed[k].buckets[i]);
    out->timed[k].sum = (double)value_of(&c->timed[k].sum) / 1e6;
  }
}

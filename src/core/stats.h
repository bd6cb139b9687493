/* Owns: what an operator wants to know of engines: counters that only grow,
 * gauges, and how long things took. One set outlives the engines that count in
 * it, so that a new engine goes on where the last one ended. Any thread may
 * count and read.
 * Must not: know what is counted, or hold a text of a request.
 */
#ifndef GN_STATS_H
#define GN_STATS_H

#include "error.h"
#include "retry.h"

#include <stdbool.h>
#include <stdint.h>

/* Each with its group and its name; they are part of the interface. */
#define GN_COUNTERS(X) \
  X(GN_COUNT_EXCHANGES, NULL, "exchanges") \
  X(GN_COUNT_REQUESTS, NULL, "requests") \
  X(GN_COUNT_RETRIES, NULL, "retries") \
  X(GN_COUNT_RECEIVED, NULL, "bytes_received") \
  X(GN_COUNT_SENT, NULL, "bytes_sent") \
  X(GN_COUNT_THROTTLED_MS, NULL, NULL) \
  X(GN_COUNT_IN_FLIGHT, NULL, "in_flight") \
  X(GN_COUNT_PAGES, NULL, "pages") \
  X(GN_COUNT_POLLS, NULL, "polls") \
  X(GN_COUNT_DOWNLOADS, NULL, "downloads") \
  X(GN_COUNT_ENGINES, NULL, "engines") \
  X(GN_COUNT_WAITING_RATE, "waiting", "rate") \
  X(GN_COUNT_WAITING_RETRY, "waiting", "retry") \
  X(GN_COUNT_WAITING_TOKEN, "waiting", "token") \
  X(GN_COUNT_RETRIED_BACKOFF, "retried", GN_WHY_BACKOFF) \
  X(GN_COUNT_RETRIED_THROTTLED, "retried", GN_WHY_THROTTLED) \
  X(GN_COUNT_RETRIED_AFTER, "retried", GN_WHY_RETRY_AFTER) \
  X(GN_COUNT_RETRIED_INFO, "retried", GN_WHY_RETRY_INFO) \
  X(GN_COUNT_OPENED, "connections", "opened") \
  X(GN_COUNT_REUSED, "connections", "reused") \
  X(GN_COUNT_OPEN, "connections", "open") \
  X(GN_COUNT_RESPONSES, "responses", "none") \
  X(GN_COUNT_RESPONSES_1XX, "responses", "1xx") \
  X(GN_COUNT_RESPONSES_2XX, "responses", "2xx") \
  X(GN_COUNT_RESPONSES_3XX, "responses", "3xx") \
  X(GN_COUNT_RESPONSES_4XX, "responses", "4xx") \
  X(GN_COUNT_RESPONSES_5XX, "responses", "5xx")

enum gn_count {
#define GN_COUNTERS_ENUM(id, group, name) id,
  GN_COUNTERS(GN_COUNTERS_ENUM)
#undef GN_COUNTERS_ENUM
  GN_COUNT_ERRORS, /* the first of one for each kind */
  GN_COUNTS = GN_COUNT_ERRORS + GN_KIND_COUNT
};

/* What is timed: an exchange with its retries and waits, an attempt alone. */
enum gn_timed { GN_TIMED_EXCHANGE, GN_TIMED_REQUEST, GN_TIMED_COUNT };

#define GN_BUCKETS 14 /* with an upper bound; one more has none */
extern const double gn_bucket_bounds[GN_BUCKETS];

struct gn_durations {
  int64_t buckets[GN_BUCKETS + 1]; /* how many; each counts in one only */
  double sum;                      /* seconds */
};

struct gn_stats {
  int64_t counts[GN_COUNTS];                 /* by enum gn_count */
  struct gn_durations timed[GN_TIMED_COUNT]; /* by enum gn_timed */
};

struct gn_counters;

struct gn_counters *gn_counters_new(void); /* NULL: out of memory */
struct gn_counters *gn_counters_ref(struct gn_counters *c);
void gn_counters_unref(struct gn_counters *c);
/* Made by a process that this one was forked from: not this one's deeds. */
bool gn_counters_is_foreign(const struct gn_counters *c);

void gn_counters_add(struct gn_counters *c, enum gn_count what, int64_t n);
void gn_counters_time(struct gn_counters *c, enum gn_timed what,
                      double seconds);
/* An attempt has ended: its status (0: none), seconds, and the connections it
 * made (below 0: it had none). */
void gn_counters_attempt(struct gn_counters *c, long status, double seconds,
                         long connects);
/* An attempt will follow, for one of the words of retry.h. */
void gn_counters_retry(struct gn_counters *c, const char *why);
/* Each number is right; that they belong together is not promised. */
void gn_counters_read(struct gn_counters *c, struct gn_stats *out);

/* The two texts of a counter; *name NULL: it has another form outside. */
void gn_count_name(enum gn_count what, const char **group, const char **name);

#endif

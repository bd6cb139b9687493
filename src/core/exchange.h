/* Owns: one logical request: its attempts, redirects, waits and deadline, and
 * the record of each. It ends exactly once, by calling `done`.
 * Must not: know who waits for it; that is a call, a walk or a poll.
 */
#ifndef GN_EXCHANGE_H
#define GN_EXCHANGE_H

#include "attempt.h"
#include "lane.h"
#include "oauth_fetch.h"
#include "work.h"

struct gn_exchange {
  struct gn_engine *engine;    /* borrowed */
  struct gn_request *request;  /* owned */
  struct gn_policy *policy;    /* a reference */
  struct gn_result *result;    /* owned until the owner takes it */
  struct gn_download *file;    /* the file a good body goes to, or NULL */
  struct gn_rows *rows;        /* who gets the rows of a good body, or NULL */
  void (*done)(struct gn_exchange *x); /* called once, when it ended */
  void *owner;                 /* for done */
  struct gn_work *work;        /* hears what happens on the way, or NULL */
  uint64_t asked;              /* the waiter has to answer this; 0: nothing */
  struct gn_exchange *next_asked; /* in the engine's list of those */
  struct gn_timer timer;       /* the wait before the next attempt */
  struct gn_attempt *attempt;  /* the one on the wire, or NULL */
  struct gn_lane_place lane;   /* which connections it may share */
  bool on_wire;                /* it is with libcurl, or asked for */
  enum gn_count waits_for;     /* the gauge that counts it; 0: none does */
  struct gn_rate_place place;  /* the next attempt's time, by the rate */
  double paused;               /* seconds waited for pauses of the client */
  struct gn_file_job job;      /* makes a good file last */
  bool finishing;              /* job is with the file thread */
  bool called_off;             /* meanwhile: no further attempt */
  bool ended;                  /* done was called */
  char *url;                   /* where a redirect led, or NULL */
  int redirects_left;          /* how many may still be followed */
  unsigned sends;              /* attempts so far, redirects not counted */
  double started;              /* monotonic seconds */
  double sent_at;              /* when the current attempt left */
  double took;                 /* seconds, the last attempt */
  int64_t deadline;            /* monotonic ms; 0: not yet made; or GN_NEVER */
  double budget_taken;         /* retry tokens to give back on success */
  struct gn_token_waiter token; /* waits for a token */
  uint64_t token_serial;       /* of the token last sent, 0: none */
  int64_t token_since;         /* monotonic ms: waits since */
  int64_t token_ms;            /* how long it waited in all */
  bool token_waited;           /* it was told: takes the token there is */
  bool token_renewed;          /* a 401 made it ask for another one */
};

/* Takes the request, also when it fails. */
struct gn_exchange *gn_exchange_new(struct gn_engine *e,
                                    struct gn_request *request,
                                    struct gn_policy *policy,
                                    void (*done)(struct gn_exchange *),
                                    void *owner, struct gn_error *err);
/* The same for one that is part of its owner; -1: it is nothing then. */
int gn_exchange_init(struct gn_exchange *x, struct gn_engine *e,
                     struct gn_request *request, struct gn_policy *policy,
                     void (*done)(struct gn_exchange *), void *owner,
                     struct gn_error *err);
void gn_exchange_start(struct gn_exchange *x);
/* Ends it with kind GN_CANCELLED; done is called. A file that is being renamed
 * cannot be called back: it ends a moment later, as what it is. */
void gn_exchange_cancel(struct gn_exchange *x, const char *why);
/* The attempt cannot be made: the end, with this error. */
void gn_exchange_refuse(struct gn_exchange *x, const struct gn_error *err);
/* libcurl, or who answers in its place, finished the attempt. */
void gn_exchange_completed(struct gn_exchange *x, CURLcode rc);
/* Where it is sent to now. */
const char *gn_exchange_url(const struct gn_exchange *x);
struct gn_result *gn_exchange_take_result(struct gn_exchange *x);
void gn_exchange_free(struct gn_exchange *x);
void gn_exchange_destroy(struct gn_exchange *x); /* after gn_exchange_init */

#endif

/* Owns: what an attempt's outcome means (its kind, whether it may be sent
 * again), how long to wait, and the budget that stops retry storms. Pure
 * functions over plain data; the clock and the random number are arguments.
 * Must not: wait, allocate, or know of libcurl's handles.
 */
#ifndef GN_RETRY_H
#define GN_RETRY_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>

struct gn_retry_policy {
  unsigned attempts;     /* at most this many sends, the first included */
  double base;           /* seconds, doubled with each retry */
  double base_throttled; /* the same after the server said "slow down" */
  double cap;            /* seconds, no computed wait passes this */
  double max_wait;       /* seconds; a server asking for more fails at once */
};

/* What one attempt brought, as far as a verdict needs it. */
struct gn_outcome {
  int curl_code;       /* CURLcode; 0: a complete response */
  bool sent;           /* false only if surely no byte of the request left */
  bool blocked;        /* the address policy refused the connection */
  bool proxy_refused;  /* a proxy answered, with an error of its own */
  long status;         /* HTTP status, 0 if there was none */
  double retry_after;  /* seconds the server asked for, below 0: nothing */
  bool retry_info;     /* the body asked for them, not the header */
  int rpc_code;        /* google.rpc.Code of the body, 0: none */
  char reason[64];     /* Google's reason or status name, "" if none */
  bool says_quota;     /* the body's text begins as a quota's does */
  bool says_unauthenticated; /* the body speaks of a missing credential */
};

struct gn_verdict {
  enum gn_kind kind; /* GN_OK: use the response */
  char code[48];     /* stable text: "connect", "429", "RESOURCE_EXHAUSTED" */
  bool again;        /* may be sent again, budget and deadline permitting */
  bool throttled;    /* the wait uses base_throttled */
  bool once;         /* again, but not twice */
  bool held_back;    /* again, were the request safe to repeat */
};

/* The words that records of attempts use; they are part of the interface. */
#define GN_WHY_RETRY_AFTER "retry_after"  /* the header's floor */
#define GN_WHY_RETRY_INFO "retry_info"    /* the body's floor */
#define GN_WHY_BACKOFF "backoff"          /* jittered, doubled each time */
#define GN_WHY_THROTTLED "throttled"      /* the same with the longer base */
#define GN_WHY_RATE "rate"                /* the client's rate or a quota */
#define GN_WHY_REDIRECT "redirect"        /* followed at once */
#define GN_WHY_TOKEN "token"              /* with another token, at once */
#define GN_WHY_RESTART "restart"          /* the file is another one now */
#define GN_WHY_USED_UP "attempts used up" /* from here on: why no more */
#define GN_WHY_DEADLINE "deadline"
#define GN_WHY_MAX_WAIT "max_wait"
#define GN_WHY_BUDGET "retry budget"
#define GN_WHY_UNSAFE "not safe to repeat"
#define GN_WHY_FINAL "final"
#define GN_WHY_ROWS "rows given"          /* that could not be taken back */

/* Where an exchange stands when an attempt has failed. */
struct gn_retry_state {
  unsigned sends;    /* attempts made */
  unsigned attempts; /* attempts allowed */
  double left;       /* seconds until the deadline, HUGE_VAL without one */
  double random;     /* in [0, 1) */
};

struct gn_retry_next {
  bool again;      /* the budget permitting */
  double wait;     /* seconds until then */
  const char *why; /* one of the words above */
};

struct gn_retry_budget {
  double tokens; /* 500 at first */
};

#define GN_RETRY_BUDGET 500.0
#define GN_RETRY_COST 14.0
#define GN_RETRY_COST_THROTTLED 5.0

/* `safe`: sending the request twice does no harm. */
void gn_retry_judge(const struct gn_outcome *o, bool safe,
                    struct gn_verdict *v);
/* Seconds before retry number n (0 is the first): random in [0, 1). */
double gn_retry_backoff(const struct gn_retry_policy *p, unsigned n,
                        bool throttled, double random);
/* A server's floor with a little more, so that those who were told the same do
 * not come at the same instant. Never less than the floor. */
double gn_retry_spread(double floor, double random);
/* Whether one more attempt follows a verdict that is no success, after which
 * wait, and the word for either. */
void gn_retry_decide(const struct gn_retry_policy *p,
                     const struct gn_verdict *v, const struct gn_outcome *o,
                     const struct gn_retry_state *at,
                     struct gn_retry_next *next);
/* Reads an error body into rpc_code, reason, retry_after (RetryInfo),
 * says_quota and says_unauthenticated; any other text leaves them as they
 * were. */
void gn_retry_read_body(const char *body, size_t len, struct gn_outcome *o);
/* A Retry-After value: seconds or an HTTP date. -1 if it is neither; a date in
 * the past or a negative number is -1 too. wall: now, seconds since 1970. */
double gn_retry_after_parse(const char *value, size_t len, double wall);
/* The longest that any of a response's Retry-After headers asks for, -1 if none
 * does. A date counts from the response's own Date if that is the earlier of
 * the two clocks: a floor is not undercut because clocks differ. */
double gn_retry_after_of(const struct gn_buf *headers, double wall);

void gn_retry_budget_init(struct gn_retry_budget *b);
bool gn_retry_budget_take(struct gn_retry_budget *b, bool throttled);
/* After success: gives back what this exchange's retries took, or 1. */
void gn_retry_budget_refund(struct gn_retry_budget *b, double taken);

#endif

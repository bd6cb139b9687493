/* Owns: waiting for many jobs by rules that are data: how to ask for their
 * state, what the answers mean, how often to ask and until when.
 * Must not: create anything, or take an unknown status for an end.
 */
#ifndef GN_POLLER_H
#define GN_POLLER_H

#include "work.h"

struct gn_poll_item {
  char *id;        /* what an answer is matched by */
  char *fragment;  /* the piece of the request body that asks for it */
  char *last;      /* the last element seen, JSON text; or NULL */
  size_t last_len; /* its bytes */
  bool finished;   /* its report was posted */
  bool known;      /* its last status was one the rules name */
  bool alone;      /* asked for by itself: a batch with it was not found */
};

struct gn_poll_state {
  char *status;    /* as the server says it: text, or a number's text */
  char state[16];  /* "running", "done" or "failed" */
};

struct gn_poller_rules {
  struct gn_poll_item *items;    /* what to wait for */
  size_t item_count;             /* how many */
  size_t batch;                  /* ids a request, for bodies */
  char *prefix;                  /* body before the fragments, or NULL */
  char *suffix;                  /* body after them */
  char *query;                   /* instead: one id a request, in this query */
  char *list;                    /* JSON path of the list, for bodies */
  char *id;                      /* JSON path of the id in an element */
  char *status;                  /* JSON path of the status */
  char *uri;                     /* JSON path of the download URL, or NULL */
  struct gn_poll_state *states;  /* what the statuses mean */
  size_t state_count;            /* how many */
  double first;                  /* seconds before the first look */
  double factor;                 /* the wait grows by this */
  double cap;                    /* seconds, no wait is longer */
  double timeout;                /* seconds for all of it */
};

struct gn_poller_rules *gn_poller_rules_new(size_t items, size_t states);
void gn_poller_rules_free(struct gn_poller_rules *r);

/* Takes request and rules, also on failure. */
struct gn_work *gn_poller_new(struct gn_engine *e, struct gn_mailbox *m,
                              struct gn_policy *p, struct gn_request *r,
                              struct gn_poller_rules *rules,
                              struct gn_error *err);

#endif

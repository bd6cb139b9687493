/* Owns: the rules of a poll as data: what is waited for, how a server is asked
 * about it, what its words mean, how often to ask and until when.
 * Must not: send anything, or take an unknown status for an end.
 */
#ifndef GN_POLL_RULES_H
#define GN_POLL_RULES_H

#include "json.h"

#include <stdbool.h>
#include <stddef.h>

struct gn_poll_item {
  char *id;        /* what an answer is matched by */
  char *fragment;  /* what asks for it: a piece of the body, or a whole URL */
  char *last;      /* the last element seen, JSON text; or NULL */
  size_t last_len; /* its bytes */
  char state[16];  /* what that element means; "" before the first */
  char odd[32];    /* the start of the status last noticed as odd */
  bool finished;   /* its report was posted */
  bool alone;      /* not found: asked for by itself */
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
  bool urls;                     /* instead: one id a request, at its own URL */
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
  double grace;                  /* seconds for which 404 is not believed */
  bool once;                     /* one look at each, whatever it says */
};

/* One id a request, whose answer is the element itself? */
static inline bool gn_poller_rules_single(const struct gn_poller_rules *r) {
  return r->query || r->urls;
}

struct gn_poller_rules *gn_poller_rules_new(size_t items, size_t states);
void gn_poller_rules_free(struct gn_poller_rules *r);

/* What a status means, with the download URL beside it: "running", "done",
 * "failed", "unknown", or "no_uri" for what is done but not to be had yet. */
const char *gn_poll_state(const struct gn_poller_rules *r,
                          const struct gn_json_slice *status,
                          const struct gn_json_slice *uri);
/* True if a job in this state is asked for no more. */
bool gn_poll_ended(const char *state);
/* Keeps an element and its state; -1 if memory ran out. *odd is set if the
 * state is worth a word that was not said before. */
int gn_poll_item_keep(struct gn_poll_item *item, const char *state,
                      const struct gn_json_slice *element,
                      const struct gn_json_slice *status, bool *odd);

#endif

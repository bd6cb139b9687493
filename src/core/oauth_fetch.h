/* Owns: the seam between a request that needs a token and the one fetch that
 * all such requests wait for.
 * Must not: be called but from the engine's step.
 */
#ifndef GN_OAUTH_FETCH_H
#define GN_OAUTH_FETCH_H

#include "oauth.h"
#include "work.h"

/* Part of what waits; zeros: it does not. */
struct gn_token_waiter {
  struct gn_fetch *fetch;       /* waited for, or NULL */
  struct gn_token_waiter *next; /* waits for the same one */
  struct gn_token_waiter *prev; /* waits for the same one */
  /* Called once, when it waits no more. err: NULL, or why there is no token;
   * again: it may help to ask later. */
  void (*ready)(struct gn_token_waiter *w, const struct gn_error *err,
                bool again);
  void *owner;                  /* for ready */
};

/* 1: there is a token, *serial says which; 0: the waiter will be told; -1: out
 * of memory, err is set. waited: it was told once already, and takes what there
 * is. p: the client whose credential it is. */
int gn_token_acquire(struct gn_engine *e, struct gn_policy *p,
                     const char *scope, bool waited, struct gn_token_waiter *w,
                     uint64_t *serial, struct gn_error *err);
/* It waits no more; the fetch goes on for the others, and for its token. */
void gn_token_leave(struct gn_token_waiter *w);

#endif

/* Owns: waiting for many jobs by rules that are data: how to ask for their
 * state, what the answers mean, how often to ask and until when.
 * Must not: create anything, or take an unknown status for an end.
 */
#ifndef GN_POLLER_H
#define GN_POLLER_H

#include "poll_rules.h"
#include "work.h"

/* Takes request and rules, also on failure. */
struct gn_work *gn_poller_new(struct gn_engine *e, struct gn_mailbox *m,
                              struct gn_policy *p, struct gn_request *r,
                              struct gn_poller_rules *rules,
                              struct gn_error *err);

#endif

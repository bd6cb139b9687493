/* Owns: what an exchange has to do with its waiter before its end: requests
 * that the waiter answers in the network's place, attempts told for a
 * recording, and events for a log.
 * Must not: decide what an answer means; the exchange does.
 */
#ifndef GN_RELAY_H
#define GN_RELAY_H

#include "exchange.h"

/* Instead of the wire: posts the request; its answer, or the deadline, will
 * complete the exchange. */
int gn_relay_ask(struct gn_exchange *x, const struct gn_attempt_plan *plan,
                 struct gn_error *err);
/* Nobody waits for an answer any more. */
void gn_relay_forget(struct gn_exchange *x);
/* The step's part: hands answers to their exchanges. */
void gn_relay_run(struct gn_engine *e);
/* At the engine's end. */
void gn_relay_drop(struct gn_engine *e);

/* An attempt came to its end, its buffers are still there. */
void gn_relay_tell(struct gn_exchange *x, CURLcode rc, long status);
/* A wait begins; record: the attempt before it, or NULL. */
void gn_relay_log_wait(struct gn_exchange *x, const char *name,
                       const struct gn_record *record, double seconds);

#endif

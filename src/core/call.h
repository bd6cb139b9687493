/* Owns: the simplest work: one exchange, one end.
 * Must not: look into the result.
 */
#ifndef GN_CALL_H
#define GN_CALL_H

#include "work.h"

/* Takes the request, also on failure. */
struct gn_work *gn_call_new(struct gn_engine *e, struct gn_mailbox *m,
                            struct gn_policy *p, struct gn_request *r,
                            struct gn_error *err);

#endif

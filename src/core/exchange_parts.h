/* Owns: what exchange.c does for settle.c and redirect.c, which end an attempt.
 * Must not: be included by anything else.
 */
#ifndef GN_EXCHANGE_PARTS_H
#define GN_EXCHANGE_PARTS_H

#include "exchange.h"

/* The end: its owner frees it. */
void gn_exchange_end(struct gn_exchange *x);
/* Always by the timer, so that starting an exchange never ends it: its owner
 * would be gone under the caller's feet. */
void gn_exchange_send_later(struct gn_exchange *x, double seconds);
/* The attempt is no more libcurl's, or whoever was asked; the exchange has
 * none. It goes back to the engine; NULL: there was none. */
struct gn_attempt *gn_exchange_off_wire(struct gn_exchange *x);
/* A request that was refused for its token was not taken: it may be sent once
 * more, whatever it does, with another one. */
bool gn_exchange_renew_token(struct gn_exchange *x, struct gn_record *record);
/* Where the next attempt goes. */
const char *gn_exchange_url(const struct gn_exchange *x);
/* Plain http is for this machine, or for those who said so. */
bool gn_exchange_scheme_ok(const struct gn_exchange *x, const char *url);
int64_t gn_exchange_timeout_ms(const struct gn_exchange *x);

#endif

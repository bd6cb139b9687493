/* Owns: following a redirect: where it leads, and whether the request may go
 * there.
 * Must not: be asked by anything but the exchange.
 */
#ifndef GN_REDIRECT_H
#define GN_REDIRECT_H

#include "exchange.h"

/* 1: the exchange goes on there; 0: the response is no redirect; -1: refused,
 * err says why. */
int gn_redirect_follow(struct gn_exchange *x, struct gn_error *err);

#endif

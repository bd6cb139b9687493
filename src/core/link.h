/* Owns: reading Link headers (RFC 8288).
 * Must not: resolve or trust a target; the caller does.
 */
#ifndef GN_LINK_H
#define GN_LINK_H

#include "buf.h"
#include "error.h"

/* The target of the first link of that relation in a response's headers, as it
 * stands there: 1 and *out (the caller's), 0: there is none, -1: out of memory.
 * Links about another resource (`anchor`) do not count. */
int gn_link_find(const struct gn_buf *headers, const char *relation,
                 char **out, struct gn_error *err);

#endif

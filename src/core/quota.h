/* Owns: what a response's headers say about the rate: that nothing is left, and
 * for how long.
 * Must not: wait, or know more of a header's name than the rules say.
 */
#ifndef GN_QUOTA_H
#define GN_QUOTA_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>

enum gn_quota_reset {
  GN_QUOTA_GUESS,   /* seconds, or since 1970 if it is so large */
  GN_QUOTA_SECONDS, /* from now */
  GN_QUOTA_EPOCH    /* seconds since 1970 */
};

/* Without names of its own, the standard and the customary ones count. */
struct gn_quota_rules {
  bool off;                       /* headers say nothing */
  char *remaining;                /* header: how many may still be sent */
  char *used;                     /* header: how many were sent: "39/40" */
  char *limit;                    /* header: of how many, if not in used */
  char *reset;                    /* header: when there are more again */
  enum gn_quota_reset reset_kind; /* what reset is */
};

int gn_quota_copy(struct gn_quota_rules *to, const struct gn_quota_rules *from,
                  struct gn_error *err);
void gn_quota_destroy(struct gn_quota_rules *r);
/* Seconds until there is something left again; 0: something is left, or nothing
 * is said; below 0: nothing is left, but until when is not said. */
double gn_quota_wait(const struct gn_quota_rules *r,
                     const struct gn_buf *headers, double wall);

#endif

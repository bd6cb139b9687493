/* Owns: one engine's open mailboxes: each by its id, and those that got
 * something since they were last told of, oldest first. The links are in the
 * mailboxes, so that nothing here can fail.
 * Must not: lock; all of it is guarded by the engine's lock.
 */
#ifndef GN_ROSTER_H
#define GN_ROSTER_H

#include <stdint.h>

#define GN_ROSTER_SLOTS 512 /* ids count up, so that they spread evenly */

struct gn_mailbox;

struct gn_roster {
  struct gn_mailbox *slots[GN_ROSTER_SLOTS]; /* by the id's remainder */
  struct gn_mailbox *first;                  /* got something, was first */
  struct gn_mailbox *last;                   /* got something, was last */
  uint64_t last_id;                          /* given so far */
};

/* Gives it its id. */
void gn_roster_add(struct gn_roster *r, struct gn_mailbox *m);
void gn_roster_remove(struct gn_roster *r, struct gn_mailbox *m);
/* NULL: there is none, or none any more. */
struct gn_mailbox *gn_roster_find(struct gn_roster *r, uint64_t id);
void gn_roster_mark(struct gn_roster *r, struct gn_mailbox *m);
/* The next one that is marked and not empty, its mark removed; or NULL. */
struct gn_mailbox *gn_roster_take(struct gn_roster *r);

#endif

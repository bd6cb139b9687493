/* Owns: one engine's Unix socket, for hosts that wait on sockets of their own
 * only. Lines, each ended by "\n". First the key; then an id subscribes to that
 * mailbox, answered by "+" as soon as it has something or can get nothing more;
 * an id, a space and milliseconds ends after these, answered by "-"; "-" gives
 * the subscription up, answered by "-". "=" before the id makes the connection
 * the mailbox's own, too, until that is another one: it can be subscribed by a
 * call from then on. Who hangs up while subscribed is gone: what was submitted
 * to the mailbox is cancelled. Who does not show the key in time, or says
 * anything else, is hung up on.
 * Must not: block, or allocate but when somebody connects.
 */
#ifndef GN_DOORBELL_H
#define GN_DOORBELL_H

#include "error.h"
#include "folder.h"
#include "timer.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define GN_KEY_SIZE 65 /* hexadecimal digits, and a NUL */

struct gn_engine;
struct gn_mailbox;

struct gn_doorbell_address {
  char path[GN_SOCKET_PATH_SIZE]; /* of the socket; empty: there is none */
  char key[GN_KEY_SIZE];          /* the first line of every connection */
};

/* Somebody who is connected. */
struct gn_bell {
  struct gn_bell *next;        /* connected later, as far as known */
  struct gn_bell *prev;        /* connected earlier */
  struct gn_bell *next_waiter; /* another one of that mailbox; the lock */
  struct gn_bell *next_rung;   /* answered after it; the step's thread */
  struct gn_bell **link;       /* what points at it, NULL: not subscribed */
  struct gn_mailbox *mailbox;  /* a reference while subscribed; the lock */
  struct gn_mailbox *own;      /* whose own it is, or NULL; the lock */
  int fd;                      /* of the connection */
  bool known;                  /* has shown the key */
  struct gn_doorbell *doorbell; /* it is connected to */
  struct gn_timer deadline;    /* of its subscription */
  int64_t due;                 /* when a stranger is hung up on */
  size_t len;                  /* of the line so far */
  char line[80];               /* the line so far */
};

/* Listens from the moment it is there. */
struct gn_doorbell *gn_doorbell_new(struct gn_engine *e,
                                    struct gn_doorbell_address *address,
                                    struct gn_error *err);
/* Answers who is subscribed, and hangs up. */
void gn_doorbell_free(struct gn_doorbell *d);

/* The step's thread: what to poll beside libcurl's own, and what to do then. */
struct pollfd *gn_doorbell_watched(struct gn_doorbell *d,
                                        unsigned *count);
void gn_doorbell_run(struct gn_doorbell *d);

/* With the engine's lock held, by a mailbox's owner: leaves who wait for it to
 * the step, and its own connection. */
void gn_doorbell_orphan(struct gn_engine *e, struct gn_mailbox *m);
/* With the engine's lock held: subscribes the mailbox's own connection; false:
 * it has none, or one that waits for another mailbox. */
bool gn_doorbell_subscribe(struct gn_mailbox *m);
/* With the engine's lock held, on the step's thread: takes all who wait for the
 * mailbox. They may be subscribed again before they are answered. */
struct gn_bell *gn_doorbell_detach(struct gn_mailbox *m);
/* Without it, on the step's thread: answers those. */
void gn_doorbell_ring(struct gn_bell *waiters);

#endif

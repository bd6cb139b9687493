/* Owns: what the engine has for one waiter: events in the order they happened.
 * All of it is guarded by the engine's lock; the engine's code posts, the
 * waiter takes.
 * Must not: wait.
 */
#ifndef GN_MAILBOX_H
#define GN_MAILBOX_H

#include "json_split.h"
#include "traffic.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct gn_bell;
struct gn_engine;

enum gn_event_type {
  GN_EVENT_DONE,    /* the last one of an id; result may be NULL: all well */
  GN_EVENT_PAGE,    /* a good page of a walk */
  GN_EVENT_REPORT,  /* a polled report that ended */
  GN_EVENT_PROGRESS, /* how far a poll or a download is */
  GN_EVENT_NOTICE,  /* a polled report is in an odd state and polled on */
  GN_EVENT_REQUEST, /* a request that the waiter has to answer */
  GN_EVENT_RECORD,  /* an attempt with its response, for a recording */
  GN_EVENT_LOG,     /* something worth a line in a log */
  GN_EVENT_ROWS     /* whole rows of a body that still arrives */
};

struct gn_event {
  struct gn_event *next;    /* the one that happened after */
  uint64_t id;              /* of the submitted work */
  uint64_t tag;             /* what it was submitted with; 0: nothing */
  enum gn_event_type type;  /* what happened */
  struct gn_result *result; /* owned, or NULL */
  struct gn_traffic *traffic; /* owned, or NULL */
  struct gn_batch *batch;   /* owned, or NULL */
  uint64_t dropped;         /* log events that were given up before this one */
  unsigned pending;         /* GN_EVENT_PROGRESS: reports still awaited */
  unsigned finished;        /* GN_EVENT_PROGRESS: reports that ended */
  unsigned polls;           /* GN_EVENT_PROGRESS: requests made so far */
  uint64_t bytes;           /* of a download instead: bytes in the file */
  int64_t total;            /* of a download: bytes of all, -1: not known */
};

struct gn_mailbox {
  struct gn_engine *engine; /* a reference, so that the lock outlives it */
  uint64_t id;              /* unique in its engine */
  struct gn_mailbox *next_same;   /* in the roster, of the same slot */
  struct gn_mailbox *next_marked; /* in the roster, marked later */
  struct gn_mailbox *prev_marked; /* in the roster, marked earlier */
  struct gn_bell *waiters;  /* at the doorbell, subscribed to this one */
  struct gn_bell *bell;     /* its own connection there, NULL: none */
  atomic_int refs;          /* the waiter's and one per running work */
  bool marked;              /* in the roster's list of those to tell of */
  bool closed;              /* nobody will take; events are dropped */
  struct gn_event *head;    /* oldest */
  struct gn_event *tail;    /* newest */
  atomic_size_t count;      /* how many wait; changed with the lock */
  size_t logs;              /* how many of them are log events */
  uint64_t dropped;         /* what no event has told of yet */
};

struct gn_mailbox *gn_mailbox_new(struct gn_engine *e);
/* The waiter is gone: what was submitted to it is cancelled, events dropped. */
void gn_mailbox_close(struct gn_mailbox *m);
/* Lets go of one reference; the waiter's own goes with close. */
void gn_mailbox_release(struct gn_mailbox *m);
/* NULL: empty. The caller frees it with gn_event_free. */
struct gn_event *gn_mailbox_take(struct gn_mailbox *m);
/* A copy of the event that take would give, its result not owned; false: none.
 * Lets a taker do first what may fail. */
bool gn_mailbox_peek(struct gn_mailbox *m, struct gn_event *copy);
/* 1: its own connection at the doorbell is answered when something comes; 0:
 * there is something, or nothing more comes; -1: it has no such connection. */
int gn_mailbox_subscribe(struct gn_mailbox *m);
size_t gn_mailbox_pending(struct gn_mailbox *m);
/* Nobody wants the pages, or rows, of this id any more; its end stays. */
void gn_mailbox_drop_pages(struct gn_mailbox *m, uint64_t id);

/* At most so many log events wait; what comes then is dropped, and counted in
 * the next event. So is one that memory ran out for. */
#define GN_LOGS_MAX 64

void gn_event_free(struct gn_event *event);

#endif

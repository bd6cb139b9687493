/* Owns: libcurl's multi handle, every work in flight, all timers, the mailboxes
 * they report to and, if asked for, a thread of its own. The same step runs on
 * the caller's thread (inline) or on the engine's (threaded).
 * Must not: know what a response means, or be used after a fork by the child.
 *
 * All functions may be called from any thread of the process that made the
 * engine, but an inline engine is stepped by one thread at a time.
 */
#ifndef GN_ENGINE_H
#define GN_ENGINE_H

#include "doorbell.h"
#include "mailbox.h"
#include "pager.h"
#include "policy.h"
#include "poller.h"
#include "stats.h"

#include <stdbool.h>
#include <stdint.h>

struct gn_engine *gn_engine_new(bool threaded, struct gn_error *err);
/* The same, counting on in a set that its caller has. */
struct gn_engine *gn_engine_new_counted(bool threaded, struct gn_counters *c,
                                        struct gn_error *err);
/* A threaded engine is closed before its owner lets go: the thread has a
 * reference of its own. */
void gn_engine_unref(struct gn_engine *e);
/* Ends everything in flight with kind GN_CANCELLED. Idempotent; back only when
 * nothing runs any more, or after 5 s of a thread that hangs. */
void gn_engine_close(struct gn_engine *e);
/* Closed, or made by a process that this one was forked from. */
bool gn_engine_is_closed(struct gn_engine *e);
bool gn_engine_is_threaded(const struct gn_engine *e);

/* Submitted work: its id, 0 if memory ran out or the engine is closed. The
 * request and the rules are taken, also on failure. */
uint64_t gn_engine_submit(struct gn_engine *e, struct gn_mailbox *m,
                          struct gn_policy *p, struct gn_request *r,
                          struct gn_error *err);
/* The same; its events carry the tag. */
uint64_t gn_engine_submit_tagged(struct gn_engine *e, struct gn_mailbox *m,
                                 uint64_t tag, struct gn_policy *p,
                                 struct gn_request *r, struct gn_error *err);
uint64_t gn_engine_walk(struct gn_engine *e, struct gn_mailbox *m,
                        struct gn_policy *p, struct gn_request *r,
                        struct gn_pager_rules *rules, struct gn_error *err);
uint64_t gn_engine_poll(struct gn_engine *e, struct gn_mailbox *m,
                        struct gn_policy *p, struct gn_request *r,
                        struct gn_poller_rules *rules, struct gn_error *err);
/* Submits, and waits as gn_engine_wait does. Of a threaded engine that has
 * nothing else to do, the caller's thread does the work meanwhile: that of the
 * engine is not woken. */
uint64_t gn_engine_exchange(struct gn_engine *e, struct gn_mailbox *m,
                            struct gn_policy *p, struct gn_request *r,
                            int64_t ms, struct gn_error *err);
void gn_engine_cancel(struct gn_engine *e, uint64_t id);
/* A walk may fetch one page more. */
void gn_engine_advance(struct gn_engine *e, uint64_t id);

/* What a waiter brings for a GN_EVENT_REQUEST. */
struct gn_supply {
  struct gn_supply *next; /* the one that came after */
  uint64_t serial;        /* the event's */
  struct gn_error error;  /* unless GN_OK: ends the exchange as it is */
  int curl_code;          /* what libcurl would say; 0: a whole response */
  char text[256];         /* why, for people */
  long status;            /* of the response; 0: there is none */
  struct gn_buf headers;  /* its header lines, CRLF between */
  struct gn_buf body;     /* its body, as far as it came */
};

struct gn_supply *gn_supply_new(uint64_t serial);
void gn_supply_free(struct gn_supply *s);
/* Takes the supply. One that nobody waits for any more is dropped. */
void gn_engine_supply(struct gn_engine *e, struct gn_supply *s);

/* A number that grows with every posted event. */
uint64_t gn_engine_sequence(struct gn_engine *e);
/* Returns as soon as the sequence differs from `seen`, at latest after ms. An
 * inline engine works meanwhile. */
uint64_t gn_engine_wait(struct gn_engine *e, uint64_t seen, int64_t ms);
/* Inline engines: works for at most ms, less if an event was posted. */
void gn_engine_step(struct gn_engine *e, int64_t ms);
/* What is in the set that it counts in. */
void gn_engine_stats(struct gn_engine *e, struct gn_stats *out);

/* For hosts that wait by themselves; threaded engines only. */
/* Readable after an event was posted until it is acknowledged, and for good
 * once the engine is closed. The engine's own, open as long as anything of
 * it is there. -1: err says why. */
int gn_engine_descriptor(struct gn_engine *e, struct gn_error *err);
void gn_engine_acknowledge(struct gn_engine *e);
/* The id of a mailbox that got something since it was last told of; 0: none. */
uint64_t gn_engine_ready(struct gn_engine *e);
/* Where the doorbell is, made on first use. */
int gn_engine_doorbell(struct gn_engine *e, struct gn_doorbell_address *out,
                       struct gn_error *err);

/* For mailboxes: the lock that guards them. */
void gn_engine_ref(struct gn_engine *e);
void gn_engine_lock(struct gn_engine *e);
void gn_engine_unlock(struct gn_engine *e);
void gn_engine_cancel_mailbox(struct gn_engine *e, struct gn_mailbox *m);
/* With the lock held: an event was added to a mailbox. Who waits for it at the
 * doorbell, to be rung for when the lock is free again. */
struct gn_bell *gn_engine_posted(struct gn_engine *e, struct gn_mailbox *m);
/* A new mailbox gets its id. */
void gn_engine_enrol(struct gn_engine *e, struct gn_mailbox *m);
/* With the lock held: a mailbox is closed and told of no more. */
void gn_engine_strike(struct gn_engine *e, struct gn_mailbox *m);

#endif

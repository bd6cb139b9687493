/* Owns: what the tests of the engine have in common: a server, an engine of
 * either kind, a mailbox and a client's policy, made and closed with checks.
 * Must not: be used by tests that need no engine.
 */
#ifndef SPEC_RIG_H
#define SPEC_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine.h"
#include "server.h"

struct rig {
  bool threaded;                    /* the kind of engine */
  struct server *server;            /* to talk to */
  struct gn_engine *engine;         /* under test */
  struct gn_mailbox *mailbox;       /* where its events come */
  struct gn_policy *policy;         /* the client */
  struct gn_policy_options options; /* what the policy was made from */
};

extern bool rig_inline, rig_threaded;

/* One test over both kinds of engine. */
#define BOTH(test) \
  {#test " (inline)", test, rig_setup, rig_teardown, &rig_inline}, \
  {#test " (threaded)", test, rig_setup, rig_teardown, &rig_threaded}
#define INLINE(test) {#test, test, rig_setup, rig_teardown, &rig_inline}
#define THREADED(test) {#test, test, rig_setup, rig_teardown, &rig_threaded}

/* Defined where a child of fork may have threads. */
#ifndef __SANITIZE_THREAD__
#define CHILD_THREADS
#endif

int rig_setup(void **state);
int rig_teardown(void **state);
/* Waits short, so that tests are quick; options were changed: make it anew. */
void rig_policy(struct rig *g);

struct gn_request *rig_request(struct rig *g, const char *method,
                               const char *path);
uint64_t rig_submit(struct rig *g, struct gn_request *r);
uint64_t rig_get(struct rig *g, const char *path);
/* The next event within 20 s, or the test fails. */
struct gn_event *rig_next(struct rig *g);
/* Fails the test if another one comes within ms. */
void rig_nothing(struct rig *g, int64_t ms);
/* Waits for "done" of a submitted request; the caller frees the event. */
struct gn_event *rig_done(struct rig *g, uint64_t id);
/* Submits, waits, checks the kind and the code (NULL: not checked). */
struct gn_event *rig_expect(struct rig *g, struct gn_request *r,
                            enum gn_kind kind, const char *code);
/* Checks and frees. */
void rig_body(struct gn_event *event, const char *body);
/* The engine works (or is waited for) for so long. */
void rig_run(struct rig *g, int64_t ms);
/* Works until the server has seen that many requests of that beginning. */
void rig_until(struct rig *g, const char *prefix, unsigned hits);
void rig_error_is(const struct gn_error *e, enum gn_kind kind,
                  const char *code);

#endif

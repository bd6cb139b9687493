/* Owns: the checks that every test of the engine ends with. Must not: hide an
 * event; a test takes all of its own.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "alloc.h"
#include "clock.h"
#include "process.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 20000

bool rig_inline = false;
bool rig_threaded = true;

static void say_ok(struct server_request *r, void *arg) {
  (void)arg;
  server_answer(r, 200, NULL, "{\"ok\":true}");
}

void rig_policy(struct rig *g) {
  struct gn_error err = {0};
  gn_policy_unref(g->policy);
  g->policy = gn_policy_new(&g->options, &err);
  if (!g->policy)
    fail_msg("%s", err.message);
}

int rig_setup(void **state) {
  struct gn_error err = {0};
  struct rig *g = calloc(1, sizeof *g);
  g->threaded = *(bool *)*state;
  *state = g;
  if (gn_process_init(&err) != 0)
    return -1;
  g->server = server_start(say_ok, NULL);
  g->engine = gn_engine_new(g->threaded, &err);
  if (!g->engine)
    return -1;
  g->mailbox = gn_mailbox_new(g->engine);
  g->options.base_url = strdup(server_url(g->server, ""));
  g->options.scheme = GN_AUTH_BEARER;
  g->options.token = "secret";
  g->options.token_len = 6;
  g->options.backoff = 0.01;
  g->options.backoff_throttled = 0.01;
  rig_policy(g);
  return 0;
}

int rig_teardown(void **state) {
  struct rig *g = *state;
  struct gn_stats stats;
#ifdef GN_FAULTS
  gn_alloc_fail_after(-1, 0);
#endif
  if (g->engine) {
    gn_engine_close(g->engine);
    gn_engine_stats(g->engine, &stats);
    assert_int_equal(stats.counts[GN_COUNT_IN_FLIGHT], 0);
    gn_engine_unref(g->engine);
  }
  if (g->mailbox)
    gn_mailbox_close(g->mailbox);
  assert_int_equal(gn_running_count(), 0);
  gn_policy_unref(g->policy);
  server_stop(g->server);
  free((char *)g->options.base_url);
  free(g);
  return 0;
}

struct gn_request *rig_request(struct rig *g, const char *method,
                               const char *path) {
  struct gn_error err = {0};
  const char *url = path[0] == '/' ? server_url(g->server, path) : path;
  struct gn_request *r = gn_request_new(method, url, &err);
  assert_non_null(r);
  return r;
}

uint64_t rig_submit(struct rig *g, struct gn_request *r) {
  struct gn_error err = {0};
  uint64_t id = gn_engine_submit(g->engine, g->mailbox, g->policy, r, &err);
  if (id == 0)
    fail_msg("%s", err.message);
  return id;
}

uint64_t rig_get(struct rig *g, const char *path) {
  return rig_submit(g, rig_request(g, "GET", path));
}

static struct gn_event *take_within(struct rig *g, int64_t ms) {
  int64_t until = gn_now_ms() + ms;
  for (;;) {
    uint64_t seen = gn_engine_sequence(g->engine);
    struct gn_event *event = gn_mailbox_take(g->mailbox);
    if (event || gn_now_ms() >= until)
      return event;
    gn_engine_wait(g->engine, seen, until - gn_now_ms());
  }
}

struct gn_event *rig_next(struct rig *g) {
  struct gn_event *event = take_within(g, PATIENCE_MS);
  if (!event)
    fail_msg("no event came");
  return event;
}

void rig_nothing(struct rig *g, int64_t ms) {
  struct gn_event *event = take_within(g, ms);
  if (event)
    fail_msg("event %d of %d came", (int)event->type, (int)event->id);
}

struct gn_event *rig_done(struct rig *g, uint64_t id) {
  struct gn_event *event = rig_next(g);
  assert_int_equal(event->type, GN_EVENT_DONE);
  assert_int_equal(event->id, id);
  assert_non_null(event->result);
  return event;
}

void rig_error_is(const struct gn_error *e, enum gn_kind kind,
                  const char *code) {
  if (e->kind != kind || (code && strcmp(e->code, code) != 0))
    fail_msg("%s/%s (%s) instead of %s/%s", gn_kind_name(e->kind), e->code,
             e->message, gn_kind_name(kind), code ? code : "?");
  assert_null(strstr(e->message, "secret"));
}

struct gn_event *rig_expect(struct rig *g, struct gn_request *r,
                            enum gn_kind kind, const char *code) {
  struct gn_event *event = rig_done(g, rig_submit(g, r));
  rig_error_is(&event->result->error, kind, code);
  return event;
}

void rig_body(struct gn_event *event, const char *body) {
  size_t len;
  const char *got = gn_result_body(event->result, &len);
  rig_error_is(&event->result->error, GN_OK, NULL);
  assert_string_equal(got, body);
  assert_int_equal(len, strlen(body));
  gn_event_free(event);
}

void rig_run(struct rig *g, int64_t ms) {
  int64_t until = gn_now_ms() + ms;
  while (gn_now_ms() < until)
    gn_engine_wait(g->engine, gn_engine_sequence(g->engine),
                   until - gn_now_ms());
}

void rig_until(struct rig *g, const char *prefix, unsigned hits) {
  int64_t until = gn_now_ms() + PATIENCE_MS;
  while (server_hits(g->server, prefix) < hits) {
    if (gn_now_ms() > until)
      fail_msg("the server saw %u of %u requests of %s",
               server_hits(g->server, prefix), hits, prefix);
    gn_engine_wait(g->engine, gn_engine_sequence(g->engine), 5);
  }
}

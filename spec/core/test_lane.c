/* Owns: who waits in a lane, and how that ends, against a server that accepts
 * connections and says nothing. Must not: check what a shared connection is
 * good for; that needs a server that speaks HTTP/2 (spec/http2_spec.lua).
 */
#define _GNU_SOURCE
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char base[64];

/* The server's own port, with TLS that never comes. */
static void speak_tls(struct rig *g) {
  snprintf(base, sizeof base, "https://127.0.0.1:%u", server_port(g->server));
  free((char *)g->options.base_url);
  g->options.base_url = strdup(base);
  g->options.attempts = 1;
  rig_policy(g);
}

static struct gn_request *get(struct rig *g, int64_t timeout_ms) {
  struct gn_error err;
  char url[96];
  struct gn_request *r;
  snprintf(url, sizeof url, "%s/x", base);
  r = gn_request_new("GET", url, &err);
  assert_non_null(r);
  r->safe = true;
  r->timeout_ms = timeout_ms;
  (void)g;
  return r;
}

static void expect(struct rig *g, uint64_t id, enum gn_kind kind,
                   const char *code) {
  struct gn_event *event = rig_done(g, id);
  rig_error_is(&event->result->error, kind, code);
  gn_event_free(event);
}

/* So many of them, in whatever order. */
static void expect_cancelled(struct rig *g, size_t count) {
  while (count-- > 0) {
    struct gn_event *event = rig_next(g);
    assert_int_equal(event->type, GN_EVENT_DONE);
    rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
    gn_event_free(event);
  }
}

/* When the first has failed the others try all at once. */
static void test_silence(void **state) {
  struct rig *g = *state;
  uint64_t ids[4];
  size_t i;
  g->options.connect_timeout = 0.2;
  speak_tls(g);
  for (i = 0; i < 4; i++)
    ids[i] = rig_submit(g, get(g, 0));
  for (i = 0; i < 4; i++)
    expect(g, ids[i], GN_TIMEOUT, "connect");
  assert_int_equal(server_connections(g->server), 4);
}

static void test_deadline(void **state) {
  struct rig *g = *state;
  uint64_t first, second;
  speak_tls(g);
  first = rig_submit(g, get(g, 0));
  second = rig_submit(g, get(g, 100));
  expect(g, second, GN_TIMEOUT, "deadline");
  gn_engine_cancel(g->engine, first);
  expect(g, first, GN_CANCELLED, "cancelled");
  assert_int_equal(server_connections(g->server), 1);
}

/* Who is cancelled on the way is followed by the next one alone. */
static void test_cancel(void **state) {
  struct rig *g = *state;
  uint64_t ids[3];
  size_t i;
  speak_tls(g);
  for (i = 0; i < 3; i++)
    ids[i] = rig_submit(g, get(g, 0));
  while (server_connections(g->server) < 1)
    rig_run(g, 10);
  gn_engine_cancel(g->engine, ids[1]);
  expect(g, ids[1], GN_CANCELLED, "cancelled");
  assert_int_equal(server_connections(g->server), 1);
  gn_engine_cancel(g->engine, ids[0]);
  expect(g, ids[0], GN_CANCELLED, "cancelled");
  while (server_connections(g->server) < 2)
    rig_run(g, 10);
  gn_engine_cancel(g->engine, ids[2]);
  expect(g, ids[2], GN_CANCELLED, "cancelled");
}

static void test_close(void **state) {
  struct rig *g = *state;
  size_t i;
  speak_tls(g);
  for (i = 0; i < 3; i++)
    rig_submit(g, get(g, 0));
  while (server_connections(g->server) < 1)
    rig_run(g, 10);
  gn_engine_close(g->engine);
  expect_cancelled(g, 3);
}

/* Creating requests have connections of their own, and HTTP/1.1 has. */
static void test_alone(void **state) {
  struct rig *g = *state;
  uint64_t ids[4];
  size_t i;
  speak_tls(g);
  for (i = 0; i < 4; i++) {
    struct gn_request *r = get(g, 0);
    if (i == 2) {
      g->options.http_version = 1;
      rig_policy(g);
    }
    r->safe = i >= 2;
    ids[i] = rig_submit(g, r);
  }
  while (server_connections(g->server) < 4)
    rig_run(g, 10);
  for (i = 0; i < 4; i++)
    gn_engine_cancel(g->engine, ids[i]);
  expect_cancelled(g, 4);
}

/* Lanes that nobody uses are not kept for ever. */
static void test_many(void **state) {
  struct rig *g = *state;
  size_t i;
  speak_tls(g);
  snprintf(base, sizeof base, "https://127.0.0.1:%u", server_dead_port());
  free((char *)g->options.base_url);
  g->options.base_url = strdup(base);
  for (i = 0; i < 100; i++) {
    rig_policy(g);
    expect(g, rig_submit(g, get(g, 0)), GN_TRANSPORT, "connect");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    BOTH(test_silence), BOTH(test_deadline), BOTH(test_cancel),
    BOTH(test_close), BOTH(test_alone), BOTH(test_many),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

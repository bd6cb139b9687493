/* Owns: the checks of what a failing token endpoint means to those who wait,
 * of cancelling, deadlines and refused options, and of failing allocations.
 * Must not: repeat what test_oauth.c checks.
 */
#define _GNU_SOURCE
#include "oauth_rig.h"

#include <sys/wait.h>
#include <unistd.h>

/* While the old token is good, an endpoint that is down costs nothing. */
static void test_early_refresh_fails(void **state) {
  struct rig *g = *state;
  plan.expires = "8";
  fine(g);
  rig_run(g, 100);
  pthread_mutex_lock(&g->policy->oauth->lock);
  g->policy->oauth->tokens->refresh_at = gn_now_ms();
  pthread_mutex_unlock(&g->policy->oauth->lock);
  plan.failures = 3;
  plan.status = 503;
  plan.body = "no";
  fine(g);
  assert_int_equal(asked(g), 4);
  fine(g);
  assert_int_equal(asked(g), 4);
}

static void test_final(void **state) {
  struct rig *g = *state;
  int i;
  plan.failures = 1;
  plan.status = 400;
  plan.slow_ms = 50;
  plan.body = "{\"error\":\"invalid_grant\",\"error_description\":"
              "\"revoked: secret r&0\"}";
  for (i = 0; i < 5; i++)
    rig_get(g, "/x");
  for (i = 0; i < 5; i++) {
    struct gn_event *event = rig_next(g);
    rig_error_is(&event->result->error, GN_UNAUTHENTICATED, "invalid_grant");
    assert_false(event->result->retryable);
    gn_event_free(event);
  }
  assert_int_equal(asked(g), 1);
  assert_int_equal(server_hits(g->server, "/x"), 0);
  fine(g);
}

static void test_failures(void **state) {
  static const char transient[] = "{\"error\":\"temporarily_unavailable\"}";
  static const struct {
    int failures, status;
    const char *body;
    bool rotates;
    enum gn_kind kind;
    const char *code;
    unsigned asked;
  } rows[] = {
    {2, 503, "x", false, GN_OK, NULL, 3},
    {9, 503, "x", false, GN_SERVER, "503", 3},
    {1, 500, "{}", false, GN_OK, NULL, 2},
    {1, 429, "{}", false, GN_OK, NULL, 2},
    {1, 429, "{}", true, GN_OK, NULL, 2},
    {1, 400, transient, false, GN_OK, NULL, 2},
    {1, 400, transient, true, GN_OK, NULL, 2},
    {9, 400, transient, false, GN_SERVER, "temporarily_unavailable", 3},
    {1, 0, NULL, false, GN_OK, NULL, 2},
    {1, 0, NULL, true, GN_UNAUTHENTICATED, "refresh_in_doubt", 1},
    {1, 500, "{}", true, GN_UNAUTHENTICATED, "refresh_in_doubt", 1},
    {1, 502, "{}", true, GN_UNAUTHENTICATED, "refresh_in_doubt", 1},
    {1, 401, "{\"error\":\"invalid_client\"}", false, GN_UNAUTHENTICATED,
     "invalid_client", 1},
    {1, 403, "no", false, GN_UNAUTHENTICATED, "token", 1},
    {1, 400, "{\"error\":\"wrong secret r&0\"}", false, GN_UNAUTHENTICATED,
     "token", 1},
    {1, 302, "{}", false, GN_PROTOCOL, "redirect", 1},
    {1, 201, "{\"access_token\":\"\"}", false, GN_PROTOCOL, "token", 1},
    {1, 201, "{\"access_token\":\"a\\nb\"}", false, GN_PROTOCOL, "token", 1},
    {1, 201, "{\"access_token\":7}", false, GN_PROTOCOL, "token", 1},
    {1, 201, "<html>", false, GN_PROTOCOL, "json", 1},
  };
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct gn_event *event;
    grant.rotates = rows[i].rotates;
    rig_policy(g);
    server_forget(g->server);
    plan.failures = rows[i].failures;
    plan.status = rows[i].status;
    plan.body = rows[i].body;
    event = rig_expect(g, rig_request(g, "GET", "/x"), rows[i].kind,
                       rows[i].code);
    gn_event_free(event);
    if (asked(g) != rows[i].asked)
      fail_msg("row %zu: %u token requests", i, asked(g));
    plan.failures = 0;
  }
}

static void test_cancelled_waiter(void **state) {
  struct rig *g = *state;
  uint64_t first, second;
  struct gn_event *event;
  plan.slow_ms = 200;
  first = rig_get(g, "/x");
  second = rig_get(g, "/x");
  rig_until(g, "/token", 1);
  gn_engine_cancel(g->engine, first);
  event = rig_done(g, first);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  gn_event_free(event);
  rig_body(rig_done(g, second), "fine");
  assert_int_equal(asked(g), 1);
}

/* The token is kept even if nobody waits for it any more. */
static void test_deadline_of_a_waiter(void **state) {
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/x");
  plan.slow_ms = 300;
  r->timeout_ms = 50;
  gn_event_free(rig_expect(g, r, GN_TIMEOUT, "deadline"));
  rig_run(g, 500);
  fine(g);
  assert_int_equal(asked(g), 1);
}

static void test_deadline_of_a_fetch(void **state) {
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/x");
  g->options.timeout = 0.2;
  rig_policy(g);
  plan.failures = 1;
  plan.status = -1;
  r->timeout_ms = 10000;
  gn_event_free(rig_expect(g, r, GN_TIMEOUT, "deadline"));
  assert_int_equal(asked(g), 1);
  fine(g);
}

/* What the parent waits for never comes in its child. */
static void test_forked(void **state) {
  struct rig *g = *state;
  uint64_t id;
  pid_t child;
  int status = -1;
  plan.slow_ms = 200;
  id = rig_get(g, "/x");
  rig_until(g, "/token", 1);
  child = fork();
  if (child == 0) {
    struct gn_error err;
    struct gn_event *event;
    gn_policy_enter(g->policy);
    g->engine = gn_engine_new(false, &err);
    g->mailbox = gn_mailbox_new(g->engine);
    event = rig_done(g, rig_get(g, "/x"));
    _exit(event->result->error.kind == GN_OK ? 42 : 1);
  }
  rig_body(rig_done(g, id), "fine");
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 42);
  assert_int_equal(asked(g), 2);
}

/* The fork came while another thread was changing the lists. */
static void test_forked_amid_change(void **state) {
  struct rig *g = *state;
  struct gn_policy *p = g->policy;
  struct gn_oauth_token *tokens;
  struct gn_limiter limiter;
  struct gn_rate_place place;
  pid_t child;
  int status = -1;
  fine(g);
  pthread_mutex_lock(&p->oauth->lock);
  pthread_mutex_lock(&p->rate->lock);
  tokens = p->oauth->tokens;
  limiter = p->rate->memory;
  p->oauth->tokens = (struct gn_oauth_token *)p;
  p->rate->memory.freed = NULL;
  p->rate->memory.freed_count = p->rate->memory.freed_capacity = 100;
  child = fork();
  if (child == 0) {
    gn_policy_enter(p);
    gn_rate_place_init(&place);
    place.slot = gn_now() + 1000;
    gn_rate_release(p->rate, &place);
    _exit(gn_oauth_usable(p->oauth, "", true) == 0 ? 42 : 1);
  }
  p->oauth->tokens = tokens;
  p->rate->memory = limiter;
  pthread_mutex_unlock(&p->rate->lock);
  pthread_mutex_unlock(&p->oauth->lock);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 42);
}

static void test_closed_engine(void **state) {
  struct rig *g = *state;
  uint64_t id;
  struct gn_event *event;
  plan.slow_ms = 60000;
  id = rig_get(g, "/x");
  rig_until(g, "/token", 1);
  gn_engine_close(g->engine);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  gn_event_free(event);
}

static void refused(struct rig *g, const char *code) {
  struct gn_error err = {0};
  assert_null(gn_policy_new(&g->options, &err));
  rig_error_is(&err, GN_INVALID, code);
}

static void test_bad_options(void **state) {
  struct rig *g = *state;
  char *url = (char *)grant.token_url;
  grant.client_id = "";
  refused(g, "client_id");
  grant.client_id = "me";
  grant.refresh_token = NULL;
  refused(g, "refresh_token");
  grant.refresh_token = "r";
  grant.token_url = "ftp://x/";
  refused(g, NULL);
  grant.token_url = "http://tokens.example/x";
  refused(g, "allow_http");
  grant.token_url = NULL;
  refused(g, "token_url");
  grant.token_url = url;
  grant.grant = GN_GRANT_LOGIN;
  refused(g, "body");
  grant.grant = GN_GRANT_ASSERTION;
  refused(g, "client_email");
  grant.issuer = "a\"b";
  refused(g, "private_key");
  grant.private_key = "x";
  refused(g, "subject");
  grant.issuer = "ab";
  refused(g, "private_key");
}

/* Who wrote the key file must not reach into the user's own network. */
static void test_address_of_the_endpoint(void **state) {
  struct rig *g = *state;
  char *base = (char *)g->options.base_url;
  grant.url_from_key = true;
  g->options.base_url = "https://api.example";
  rig_policy(g);
  gn_event_free(rig_expect(g, rig_request(g, "GET", "https://api.example/x"),
                           GN_PROTOCOL, "address"));
  assert_int_equal(asked(g), 0);
  g->options.base_url = base;
  rig_policy(g);
  fine(g);
}

#ifdef GN_FAULTS
/* True as long as allocation n was still reached. */
static bool survive(struct rig *g, long n, int persistent) {
  struct gn_request *r;
  struct gn_event *event;
  struct gn_error err = {0};
  uint64_t id;
  bool reached;
  plan.tokens = 0;
  plan.refuse = 1;
  rig_policy(g);
  r = rig_request(g, "GET", "/x");
  gn_alloc_fail_after(n, persistent);
  id = gn_engine_submit(g->engine, g->mailbox, g->policy, r, &err);
  if (id) {
    event = rig_done(g, id);
    err = event->result->error;
    gn_event_free(event);
  }
  reached = gn_alloc_count() > n;
  gn_alloc_fail_after(-1, 0);
  if (err.kind != GN_OK && err.kind != GN_MEMORY)
    fail_msg("allocation %ld: %s/%s: %s", n, gn_kind_name(err.kind), err.code,
             err.message);
  assert_true(reached || err.kind == GN_OK);
  return reached;
}

static void test_allocations(void **state) {
  struct rig *g = *state;
  int persistent;
  plan.rotate = true;
  for (persistent = 0; persistent < 2; persistent++) {
    long n = 0;
    while (survive(g, n, persistent))
      assert_true(++n < 1000);
    assert_in_range(n, 20, 999);
  }
}

static void test_allocations_of_a_policy(void **state) {
  struct rig *g = *state;
  struct gn_policy *p = NULL;
  struct gn_error err = {0};
  long n;
  g->options.token = "first";
  for (n = 0; !p; n++) {
    gn_alloc_fail_after(n, 0);
    p = gn_policy_new(&g->options, &err);
    gn_alloc_fail_after(-1, 0);
    if (!p)
      assert_int_equal(err.kind, GN_MEMORY);
  }
  gn_policy_unref(p);
  assert_in_range(n, 20, 200);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    RUN(test_early_refresh_fails), RUN(test_final), RUN(test_failures),
    RUN(test_cancelled_waiter), RUN(test_deadline_of_a_waiter),
    RUN(test_deadline_of_a_fetch), RUN(test_closed_engine),
    RUN(test_forked), RUN(test_forked_amid_change),
    RUN(test_bad_options), RUN(test_address_of_the_endpoint),
#ifdef GN_FAULTS
    RUN(test_allocations), RUN(test_allocations_of_a_policy),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Owns: the checks of tokens over a real socket where all goes well: one fetch
 * for all who wait, before expiry and after a 401, scopes, rotation.
 * Must not: check how an assertion is signed; test_jwt.c does.
 */
#define _GNU_SOURCE
#include "keys.h"
#include "oauth_rig.h"

static void test_one_for_all(void **state) {
  struct rig *g = *state;
  int i;
  plan.slow_ms = 50;
  for (i = 0; i < 50; i++)
    rig_get(g, "/x");
  for (i = 0; i < 50; i++)
    rig_body(rig_next(g), "fine");
  assert_int_equal(asked(g), 1);
  fine(g);
  assert_int_equal(asked(g), 1);
}

static const struct server_request *nth(struct rig *g, const char *target,
                                        unsigned n) {
  const struct server_request *r;
  unsigned i;
  for (i = 0; (r = server_request(g->server, i)); i++)
    if (strcmp(r->target, target) == 0 && n-- == 0)
      return r;
  return NULL;
}

static void test_what_is_sent(void **state) {
  const char *const lines[] = {"x-tenant: 1"};
  struct rig *g = *state;
  const struct server_request *r;
  g->options.headers = lines;
  g->options.header_count = 1;
  grant.scopes = "a b";
  rig_policy(g);
  fine(g);
  r = nth(g, "/token", 0);
  assert_string_equal(r->method, "POST");
  assert_string_equal(server_header(r, "Content-Type"),
                      "application/x-www-form-urlencoded");
  assert_null(server_header(r, "x-tenant"));
  assert_null(server_header(r, "Authorization"));
  assert_string_equal(r->body,
                      "grant_type=refresh_token&client_id=me&client_secret="
                      "secret-of-mine&refresh_token=secret%20r%260&"
                      "scope=a%20b");
  r = nth(g, "/x", 0);
  assert_string_equal(server_header(r, "Authorization"), "Bearer t1");
  assert_string_equal(server_header(r, "x-tenant"), "1");
}

static void test_before_expiry(void **state) {
  static const char *const values[] = {"1", "\"1\"", "1.0"};
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < 3; i++) {
    rig_policy(g);
    server_forget(g->server);
    plan.expires = values[i];
    fine(g);
    assert_int_equal(asked(g), 1);
    rig_run(g, 800);
    plan.expires = "3600";
    fine(g);
    fine(g);
    assert_int_equal(asked(g), 2);
  }
}

/* A token of no known end is good until somebody refuses it. */
static void test_odd_expiry(void **state) {
  static const char *const values[] = {"0", "-5", "\"soon\"", "null", "1e300",
                                       "3600,\"expires_at\":1"};
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < 6; i++) {
    rig_policy(g);
    server_forget(g->server);
    plan.expires = values[i];
    fine(g);
    fine(g);
    assert_int_equal(asked(g), 1);
  }
}

static void test_refused_once(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  int i;
  fine(g);
  plan.refuse = 1;
  event = rig_expect(g, rig_request(g, "POST", "/x"), GN_OK, NULL);
  assert_int_equal(event->result->record_count, 2);
  assert_string_equal(event->result->records[0].why, "token");
  rig_body(event, "fine");
  assert_int_equal(asked(g), 2);
  assert_int_equal(server_hits(g->server, "/x"), 3);
  plan.refuse = 2;
  for (i = 0; i < 20; i++)
    rig_get(g, "/x");
  for (i = 0; i < 20; i++)
    rig_body(rig_next(g), "fine");
  assert_int_equal(asked(g), 3);
}

static void test_refused_twice(void **state) {
  struct rig *g = *state;
  plan.refuse = 1000;
  gn_event_free(rig_expect(g, rig_request(g, "GET", "/x"), GN_UNAUTHENTICATED,
                           "401"));
  assert_int_equal(asked(g), 2);
  assert_int_equal(server_hits(g->server, "/x"), 2);
}

static void test_rotation(void **state) {
  struct rig *g = *state;
  const struct gn_oauth_news *news;
  struct gn_oauth *o;
  grant.rotates = true;
  plan.rotate = true;
  plan.expires = "3600";
  rig_policy(g);
  o = g->policy->oauth;
  assert_null(gn_oauth_news(o));
  fine(g);
  plan.refuse = 1;
  fine(g);
  assert_non_null(strstr(nth(g, "/token", 0)->body, "secret%20r%260"));
  assert_non_null(strstr(nth(g, "/token", 1)->body, "refresh_token=r1"));
  news = gn_oauth_news(o);
  assert_string_equal(news->refresh_token, "r1");
  assert_string_equal(news->access_token, "t1");
  assert_true(news->expires_at > gn_wall_time() + 3000);
  gn_oauth_drop_news(o);
  assert_string_equal(gn_oauth_news(o)->refresh_token, "r2");
  gn_oauth_drop_news(o);
  assert_null(gn_oauth_news(o));
  gn_oauth_drop_news(o);
}

/* All the texts it ever had are known, so that they can be hidden. */
static void test_secrets(void **state) {
  static const char *const wanted[] = {"secret-of-mine", "secret r&0", "r1",
                                       "t1", "first"};
  struct rig *g = *state;
  size_t i, k;
  plan.rotate = true;
  g->options.token = "first";
  g->options.token_len = 5;
  rig_policy(g);
  fine(g);
  assert_int_equal(asked(g), 1);
  for (i = 0; i < 5; i++) {
    bool found = false;
    for (k = 0; k < GN_OAUTH_SECRETS; k++) {
      char *text = gn_oauth_secret(g->policy->oauth, k);
      found = found || (text && strcmp(text, wanted[i]) == 0);
      gn_free(text);
    }
    assert_true(found);
  }
}

static void test_own_header_wins(void **state) {
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/x");
  struct gn_error err;
  gn_request_add_header(r, "authorization", 13, "Bearer t9", 9, &err);
  rig_body(rig_expect(g, r, GN_OK, NULL), "fine");
  assert_int_equal(asked(g), 0);
}

static void test_scopes(void **state) {
  struct rig *g = *state;
  EVP_PKEY *key = keys_make(EVP_PKEY_RSA, 2048);
  char *pem = keys_pem(key, NULL), *header = NULL, *claims = NULL;
  static const char *const scopes[] = {"s:one", "s:two", "s:one", NULL};
  int64_t iat;
  size_t i;
  grant.grant = GN_GRANT_ASSERTION;
  grant.private_key = pem;
  grant.private_key_len = strlen(pem);
  grant.issuer = "robot";
  grant.subject = "admin";
  grant.scopes = "s:default";
  rig_policy(g);
  for (i = 0; i < 4; i++) {
    struct gn_request *r = rig_request(g, "GET", "/x");
    struct gn_error err;
    if (scopes[i])
      assert_int_equal(gn_request_set_scope(r, scopes[i], &err), 0);
    rig_body(rig_expect(g, r, GN_OK, NULL), "fine");
  }
  assert_int_equal(asked(g), 3);
  for (i = 0; i < 3; i++) {
    static const char *const found[] = {"\"s:one\"", "\"s:two\"",
                                        "\"s:default\""};
    const char *body = nth(g, "/token", (unsigned)i)->body;
    const char start[] = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type"
                         "%3Ajwt-bearer&assertion=";
    assert_int_equal(strncmp(body, start, strlen(start)), 0);
    assert_int_equal(keys_verify(key, body + strlen(start), &header, &claims),
                     1);
    assert_non_null(strstr(claims, found[i]));
    assert_non_null(strstr(claims, grant.token_url));
    iat = atoll(strstr(claims, "\"iat\":") + 6);
    assert_true(iat <= (int64_t)gn_wall_time() &&
                iat > (int64_t)gn_wall_time() - 60);
    assert_int_equal(atoll(strstr(claims, "\"exp\":") + 6), iat + 3600);
    free(header);
    free(claims);
  }
  EVP_PKEY_free(key);
  free(pem);
}

static void test_login(void **state) {
  struct rig *g = *state;
  const struct server_request *r;
  grant.grant = GN_GRANT_LOGIN;
  grant.body = "{\"email\":\"a\",\"password\":\"secret\"}";
  rig_policy(g);
  plan.failures = 1;
  plan.status = 401;
  plan.body = "{\"code\":16,\"message\":\"wrong password\"}";
  gn_event_free(rig_expect(g, rig_request(g, "GET", "/x"), GN_UNAUTHENTICATED,
                           "token"));
  fine(g);
  r = nth(g, "/token", 1);
  assert_string_equal(server_header(r, "Content-Type"), "application/json");
  assert_string_equal(r->body, grant.body);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    RUN(test_one_for_all), RUN(test_what_is_sent), RUN(test_before_expiry),
    RUN(test_odd_expiry), RUN(test_refused_once), RUN(test_refused_twice),
    RUN(test_rotation), RUN(test_secrets), RUN(test_own_header_wins),
    RUN(test_scopes), RUN(test_login),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

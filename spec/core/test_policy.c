/* Owns: the checks of src/core/policy.c: who gets the credential, plain http,
 * defaults, proxies from the environment, every allocation failing.
 * Must not: use the network.
 */
#define _POSIX_C_SOURCE 200809L
#include "policy.h"

#include "alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SECRET "s3cret-t0ken"

static const struct gn_policy_options bearer = {
  .base_url = "https://api.example.com/v1", .scheme = GN_AUTH_BEARER,
  .token = SECRET, .token_len = sizeof SECRET - 1};

static struct gn_policy *make(const struct gn_policy_options *o) {
  struct gn_error err = {0};
  struct gn_policy *p = gn_policy_new(o, &err);
  if (!p)
    fail_msg("%s", err.message);
  return p;
}

static void test_own_origins(void **state) {
  static const char *const more[] = {"https://eu.example.com:8443",
                                     "http://plain.example.com",
                                     "http://127.0.0.1:81/x"};
  static const struct {
    const char *url;
    bool owned, with_http;
  } rows[] = {
    {"https://api.example.com", true, true},
    {"https://API.example.com:443/other?x=y", true, true},
    {"https://eu.example.com:8443/", true, true},
    {"http://127.0.0.1:81/", true, true},
    {"http://plain.example.com/", false, true},
    {"http://api.example.com/", false, false},
    {"http://api.example.com:443/", false, false},
    {"https://api.example.com:444/", false, false},
    {"https://eu.example.com/", false, false},
    {"https://example.com/", false, false},
    {"https://xapi.example.com/", false, false},
    {"https://api.example.com.evil/", false, false},
    {"https://api.example.com@evil/", false, false},
    {"https://evil\\@api.example.com/", false, false},
    {"https://u@api.example.com/", false, false},
    {"//api.example.com/", false, false},
    {"/v1", false, false},
    {"", false, false},
  };
  struct gn_policy_options o = bearer;
  int http;
  (void)state;
  o.origins = more;
  o.origin_count = COUNT(more);
  for (http = 0; http < 2; http++) {
    struct gn_policy *p;
    size_t i;
    o.allow_http = http;
    p = make(&o);
    for (i = 0; i < COUNT(rows); i++) {
      bool want = http ? rows[i].with_http : rows[i].owned;
      if (gn_policy_owns(p, rows[i].url) != want)
        fail_msg("%s, allow_http %d", rows[i].url, http);
    }
    gn_policy_unref(p);
  }
}

static void test_refused(void **state) {
  static const struct {
    const char *base, *origin, *ca_file, *user_agent, *header, *code;
    enum gn_auth_scheme scheme;
  } rows[] = {
    {"api.example.com", NULL, NULL, NULL, NULL, "url", GN_AUTH_BEARER},
    {"https://u:p@h/", NULL, NULL, NULL, NULL, "url", GN_AUTH_BEARER},
    {"https://h", "file:///x", NULL, NULL, NULL, "url", GN_AUTH_BEARER},
    {"http://h", NULL, NULL, NULL, NULL, "allow_http", GN_AUTH_BEARER},
    {"http://127.0.0.1.evil", NULL, NULL, NULL, NULL, "allow_http",
     GN_AUTH_BASIC},
    {"https://h", NULL, "/nonexistent.pem", NULL, NULL, "ca_file",
     GN_AUTH_BEARER},
    {"https://h", NULL, NULL, "x\r\ny", NULL, "user_agent", GN_AUTH_BEARER},
    {"https://h", NULL, NULL, NULL, "a b", "header", GN_AUTH_HEADER},
    {"https://h", NULL, NULL, NULL, NULL, "header", GN_AUTH_HEADER},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(rows); i++) {
    struct gn_policy_options o = bearer;
    struct gn_error err = {0};
    o.base_url = rows[i].base;
    o.origins = &rows[i].origin;
    o.origin_count = rows[i].origin != NULL;
    o.ca_file = rows[i].ca_file;
    o.user_agent = rows[i].user_agent;
    o.auth_header = rows[i].header;
    o.scheme = rows[i].scheme;
    if (gn_policy_new(&o, &err))
      fail_msg("row %zu was taken", i);
    assert_int_equal(err.kind, GN_INVALID);
    assert_string_equal(err.code, rows[i].code);
    assert_null(strstr(err.message, SECRET));
  }
}

static void test_plain_http(void **state) {
  static const char *const loopback[] = {"http://127.0.0.1:8080",
                                         "http://localhost", "http://[::1]:1"};
  struct gn_policy_options o = bearer;
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(loopback); i++) {
    o.base_url = loopback[i];
    gn_policy_unref(make(&o));
  }
  o.base_url = "http://h";
  o.allow_http = true;
  gn_policy_unref(make(&o));
  o.allow_http = false;
  o.scheme = GN_AUTH_NONE;
  gn_policy_unref(make(&o));
}

static void test_defaults(void **state) {
  struct gn_policy *p = make(&bearer);
  struct gn_error err;
  struct gn_rate_place place;
  char *line;
  (void)state;
  assert_int_equal(p->connect_timeout_ms, 10000);
  assert_int_equal(p->timeout_ms, 120000);
  assert_int_equal(p->stall_seconds, 60);
  assert_int_equal(p->max_body, 64 << 20);
  assert_int_equal(p->max_headers, 256 << 10);
  assert_int_equal(p->retry.attempts, 4);
  assert_true(p->retry.base > 0.249 && p->retry.base < 0.251);
  assert_true(p->retry.base_throttled > 0.99 && p->retry.base_throttled < 1.01);
  assert_true(p->retry.cap > 19.9 && p->retry.cap < 20.1);
  assert_true(p->retry.max_wait > 119.9 && p->retry.max_wait < 120.1);
  assert_false(p->allow_http || p->allow_private || p->insecure_tls);
  assert_string_equal(p->proxy_http, "");
  assert_string_equal(p->proxy_https, "");
  assert_memory_equal(p->user_agent, "garner/", 7);
  assert_non_null(strstr(p->user_agent, " (gzip) libcurl/"));
  line = gn_auth_line(&p->auth, &err);
  assert_string_equal(line, "Authorization: Bearer " SECRET);
  gn_free(line);
  gn_rate_place_init(&place);
  assert_true(gn_rate_reserve(p->rate, 1, &place) <= 0);
  gn_policy_unref(gn_policy_ref(p));
  gn_policy_unref(p);
  gn_policy_unref(NULL);
}

static void test_budget_and_rate(void **state) {
  struct gn_policy_options o = bearer;
  struct gn_policy *p;
  struct gn_rate_place first, second;
  int n = 0;
  (void)state;
  o.rate = 2;
  o.burst = 1;
  p = make(&o);
  gn_rate_place_init(&first);
  gn_rate_place_init(&second);
  assert_true(gn_rate_reserve(p->rate, 5, &first) <= 0);
  assert_true(gn_rate_reserve(p->rate, 5, &second) > 0.49);
  while (gn_policy_take_retry(p, true))
    n++;
  assert_int_equal(n, 100); /* 500 / 5 */
  gn_policy_refund(p, 5);
  assert_true(gn_policy_take_retry(p, true));
  assert_false(gn_policy_take_retry(p, true));
  gn_policy_unref(p);
}

static void test_proxy(void **state) {
  struct gn_policy_options o = bearer;
  struct gn_policy *p;
  (void)state;
  setenv("https_proxy", "http://proxy:3128", 1);
  setenv("no_proxy", "localhost", 1);
  unsetenv("http_proxy");
  setenv("HTTP_PROXY", "http://evil:1", 1); /* a request header in CGI */
  unsetenv("all_proxy");
  unsetenv("ALL_PROXY");
  p = make(&o);
  assert_string_equal(p->proxy_https, "");
  gn_policy_unref(p);
  o.proxy_env = true;
  p = make(&o);
  assert_string_equal(p->proxy_https, "http://proxy:3128");
  assert_string_equal(p->proxy_http, "");
  assert_string_equal(p->no_proxy, "localhost");
  gn_policy_unref(p);
  setenv("all_proxy", "http://all:1", 1);
  p = make(&o);
  assert_string_equal(p->proxy_http, "http://all:1");
  assert_string_equal(p->proxy_https, "http://proxy:3128");
  gn_policy_unref(p);
  o.proxy_env = false;
  o.proxy = "http://mine:2";
  p = make(&o);
  assert_string_equal(p->proxy_http, "http://mine:2");
  assert_string_equal(p->proxy_https, "http://mine:2");
  assert_null(p->no_proxy);
  gn_policy_unref(p);
}

#ifdef GN_FAULTS
static void test_allocations(void **state) {
  static const char *const headers[] = {"x-org: 1", "x-two: 2"};
  static const char *const origins[] = {"https://a", "https://b"};
  struct gn_policy_options o = bearer;
  struct gn_error err = {0};
  struct gn_policy *p;
  long n, total;
  (void)state;
  o.headers = headers;
  o.header_count = 2;
  o.origins = origins;
  o.origin_count = 2;
  o.ca_file = "/dev/null";
  o.proxy_env = true;
  gn_alloc_fail_after(-1, 0);
  p = make(&o);
  total = gn_alloc_count();
  assert_string_equal(p->headers[1], "x-two: 2");
  gn_policy_unref(p);
  assert_in_range(total, 8, 100);
  for (n = 0; n < total; n++) {
    gn_error_clear(&err);
    gn_alloc_fail_after(n, 0);
    if (gn_policy_new(&o, &err))
      fail_msg("allocation %ld failed unnoticed", n);
    assert_int_equal(err.kind, GN_MEMORY);
  }
  gn_alloc_fail_after(-1, 0);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_own_origins),
    cmocka_unit_test(test_refused),
    cmocka_unit_test(test_plain_http),
    cmocka_unit_test(test_defaults),
    cmocka_unit_test(test_budget_and_rate),
    cmocka_unit_test(test_proxy),
#ifdef GN_FAULTS
    cmocka_unit_test(test_allocations),
#endif
  };
#ifndef GN_FAULTS
  print_message("built without GN_FAULTS: no allocation is made to fail\n");
#endif
  return cmocka_run_group_tests(tests, NULL, NULL);
}

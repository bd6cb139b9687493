/* Owns: the checks of how URLs are put together: escaping, building, query
 * replacement, what is refused, and every allocation failing.
 * Must not: use the network.
 */
#define _POSIX_C_SOURCE 200809L
#include "url_checks.h"

#include <curl/curl.h>
#include <limits.h>
#include <stdlib.h>

static void test_escape(void **state) {
  static const struct {
    struct gn_pair text;
    const char *want;
  } cases[] = {
    {TEXT("kept", "AZaz09-._~"), "AZaz09-._~"},
    {TEXT("reserved", "a b+c&d=e%/?#[]:@\"<>\\^`{|}"),
     "a%20b%2Bc%26d%3De%25%2F%3F%23%5B%5D%3A%40%22%3C%3E%5C%5E%60%7B%7C%7D"},
    {TEXT("UTF-8", "caf\xc3\xa9"), "caf%C3%A9"},
    {TEXT("NUL", "a\0b"), "a%00b"},
    {TEXT("empty", ""), ""},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err = {0};
    char *out = NULL;
    int status =
        gn_url_escape(cases[i].text.value, cases[i].text.len, &out, &err);
    assert_text(status, &err, out, cases[i].want);
  }
}

static void test_escape_every_byte(void **state) {
  struct gn_error err = {0};
  char *out, *copy, every[256];
  int i, len;
  (void)state;
  for (i = 0; i < 256; i++)
    every[i] = (char)i;
  assert_int_equal(gn_url_escape(every, sizeof every, &out, &err), 0);
  assert_int_equal(strlen(out), 66 + 190 * 3);
  copy = curl_easy_unescape(NULL, out, 0, &len);
  assert_int_equal(len, 256);
  assert_memory_equal(copy, every, 256);
  curl_free(copy);
  gn_free(out);
}

static void test_join(void **state) {
  static const struct {
    const char *base, *path, *want;
  } cases[] = {
    {"https://h", "", "https://h/"},
    {"https://h/", "", "https://h/"},
    {"https://h", "/a", "https://h/a"},
    {"https://h/", "/a", "https://h/a"},
    {"https://h/v1", "/things", "https://h/v1/things"},
    {"https://h/v1/", "/things", "https://h/v1/things"},
    {"https://h/v1", "", "https://h/v1"},
    {"https://h/v1/", "", "https://h/v1/"},
    {"https://h/v1/", "/", "https://h/v1/"},
    {"HTTPS://Host.Example:8443/v1", "/a", "https://Host.Example:8443/v1/a"},
    {"http://127.0.0.1:81", "/a?b=c", "http://127.0.0.1:81/a?b=c"},
    {"http://[::1]:81/p", "/a", "http://[::1]:81/p/a"},
    {"http://[fe80::1%25eth0]:81", "/a", "http://[fe80::1%25eth0]:81/a"},
    {"https://h", "/v1/reports:batch-get", "https://h/v1/reports:batch-get"},
    {"https://h", "//double", "https://h//double"},
    {"https://h", "/a..b/...", "https://h/a..b/..."},
    {"https://h", "/caf\xc3\xa9", "https://h/caf%C3%A9"},
    {"https://h", "/a%2Fb%2fc", "https://h/a%2Fb%2fc"},
    {"https://h", "/x?filter[a]=b", "https://h/x?filter%5Ba%5D=b"},
    {"https://h", "/x?to=../..", "https://h/x?to=../.."},
    {"https://h", "/x?", "https://h/x?"},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err = {0};
    char *out = NULL;
    int status = gn_url_build(cases[i].base, cases[i].path, NULL, 0, NULL, 0,
                              &out, &err);
    assert_text(status, &err, out, cases[i].want);
  }
}

/* A base checked once gives what a base checked each time does. */
static void test_checked_base(void **state) {
  static const char *const bases[] = {
    "https://h", "HTTPS://Host.Example:8443/v1/", "http://[::1]:81/p",
    "http://127.0.0.1:81/caf\xc3\xa9"};
  static const struct gn_pair param = TEXT("id", "../a");
  static const struct gn_pair query = TEXT("q", "&");
  struct gn_error err = {0};
  size_t i, origin;
  (void)state;
  for (i = 0; i < COUNT(bases); i++) {
    char *base = NULL, *want = NULL, *out = NULL;
    assert_int_equal(gn_url_base(bases[i], &base, &origin, &err), 0);
    assert_int_equal(strcspn(strstr(base, "//") + 2, "/"),
                     origin - (size_t)(strstr(base, "//") + 2 - base));
    assert_int_equal(gn_url_build(bases[i], "/x/{id}?o=p", &param, 1, &query,
                                  1, &want, &err), 0);
    assert_int_equal(gn_url_build_on(base, "/x/{id}?o=p", &param, 1, &query, 1,
                                     &out, &err), 0);
    assert_string_equal(out, want);
    gn_free(out);
    assert_int_equal(
        gn_url_build_on(base, "@evil/", NULL, 0, NULL, 0, &out, &err), -1);
    assert_refused(&err, "path");
    assert_int_equal(
        gn_url_build_on(base, "/../x", NULL, 0, NULL, 0, &out, &err), -1);
    assert_refused(&err, "segment");
    gn_free(base);
    gn_free(want);
  }
  assert_int_equal(
      gn_url_base("https://u@h", &(char *){NULL}, &origin, &err), -1);
  assert_refused(&err, "base URL");
}

static void test_params(void **state) {
  static const struct {
    struct gn_pair id;
    const char *want; /* what stands in the path; NULL: refused */
  } cases[] = {
    {TEXT("id", "live-1"), "live-1"},
    {TEXT("id", "../../admin"), "..%2F..%2Fadmin"},
    {TEXT("id", "%2e%2e"), "%252e%252e"},
    {TEXT("id", "a/b"), "a%2Fb"},
    {TEXT("id", "a?b"), "a%3Fb"},
    {TEXT("id", "a#b"), "a%23b"},
    {TEXT("id", "a:b@c"), "a%3Ab%40c"},
    {TEXT("id", "..."), "..."},
    {TEXT("id", ".a"), ".a"},
    {TEXT("id", "a\r\nb"), "a%0D%0Ab"},
    {TEXT("id", "\xe5\x8f\xb0"), "%E5%8F%B0"},
    {TEXT("id", "{id}"), "%7Bid%7D"},
    {TEXT("id", ""), NULL},
    {TEXT("id", "."), NULL},
    {TEXT("id", ".."), NULL},
    {TEXT("id", "a\0b"), NULL},
    {{"id", NULL, 0}, NULL},
    {TEXT("other", "x"), NULL},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err = {0};
    char want[128], *out = NULL;
    int status = gn_url_build("https://h", "/l/{id}/x", &cases[i].id, 1, NULL,
                              0, &out, &err);
    if (cases[i].want) {
      snprintf(want, sizeof want, "https://h/l/%s/x", cases[i].want);
      assert_text(status, &err, out, want);
    } else {
      assert_int_equal(status, -1);
      assert_null(out);
      assert_refused(&err, "path parameter \"id\"");
    }
  }
}

/* An id of any length goes through whole, up to the limit of a URL. */
static void test_long_params(void **state) {
  static char id[GN_URL_MAX];
  struct gn_pair param = {"id", id, 10240};
  struct gn_error err = {0};
  char *out = NULL;
  (void)state;
  memset(id, 'x', sizeof id);
  assert_int_equal(
      gn_url_build("https://h", "/{id}", &param, 1, NULL, 0, &out, &err), 0);
  assert_int_equal(strlen(out), strlen("https://h/") + 10240);
  gn_free(out);
  param.len = sizeof id;
  assert_int_equal(
      gn_url_build("https://h", "/{id}", &param, 1, NULL, 0, &out, &err), -1);
  assert_refused(&err, "longer than 65536");
  assert_null(out);
}

static void test_several_params(void **state) {
  static const struct gn_pair params[] = {TEXT("user", "a b"), TEXT("id", "7"),
                                          TEXT("spare", "x")};
  struct gn_error err = {0};
  char *out = NULL;
  int status;
  (void)state;
  status = gn_url_build("https://h/v", "/{id}/{user}/{id}:batch?q={user}",
                        params, 2, NULL, 0, &out, &err);
  assert_text(status, &err, out, "https://h/v/7/a%20b/7:batch?q=a%20b");
  status = gn_url_build("https://h/v", "/{id}/{user}", params, 3, NULL, 0,
                        &out, &err);
  assert_int_equal(status, -1);
  assert_refused(&err, "{spare}");
}

static void test_query(void **state) {
  static const struct gn_pair query[] = {
    TEXT("b", "1"), TEXT("a", "x y&z=%+/?"), TEXT("b", ""),
    TEXT("t\xc3\xa9[]", "\xe5\x8f\xb0")};
  static const char tail[] =
      "b=1&a=x%20y%26z%3D%25%2B%2F%3F&b=&t%C3%A9%5B%5D=%E5%8F%B0";
  static const struct {
    const char *path, *want;
  } cases[] = {
    {"", "https://h/v?"},          {"/p", "https://h/v/p?"},
    {"/p?", "https://h/v/p?"},     {"/p?c=d", "https://h/v/p?c=d&"},
    {"/p?c=d&", "https://h/v/p?c=d&"}, {"/p?c=d?", "https://h/v/p?c=d?&"},
  };
  struct gn_pair bad = {"", "x", 1};
  struct gn_error err = {0};
  size_t i;
  char *out = NULL;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    char want[200];
    int status = gn_url_build("https://h/v", cases[i].path, NULL, 0, query, 4,
                              &out, &err);
    snprintf(want, sizeof want, "%s%s", cases[i].want, tail);
    assert_text(status, &err, out, want);
  }
  assert_int_equal(
      gn_url_build("https://h", "/", NULL, 0, &bad, 1, &out, &err), -1);
  assert_refused(&err, "query");
  bad.name = "size";
  bad.value = NULL;
  assert_int_equal(
      gn_url_build("https://h", "/", NULL, 0, &bad, 1, &out, &err), -1);
  assert_refused(&err, "\"size\"");
}

static void test_refused_bases(void **state) {
  static const struct {
    const char *base, *names;
  } cases[] = {
    {"", "base URL"},
    {"h/v1", "base URL"},
    {"//h/v1", "http"},
    {"ftp://h/", "http"},
    {"file:///etc/passwd", "http"},
    {"javascript:alert(1)", "http"},
    {"https:/h", "http"},
    {"https:///h", "host"},
    {"https://", "host"},
    {"https://:80/", "host"},
    {"https://user@h/", "user name"},
    {"https://user:pa55word@h/", "user name"},
    {"https://@h/", "user name"},
    {"https://h/v1?a=b", "query"},
    {"https://h/v1#a", "fragment"},
    {"https://h:0/", "port"},
    {"https://h:65536/", "port"},
    {"https://h:http/", "port"},
    {"https://h /", "space"},
    {"https://h/\t", "control"},
    {"https://h/\x7f", "control"},
    {"https://h\\@evil/", "backslash"},
    {"https://%68/", "escape in its host"},
    {"https://\xc3\xa9.example/", "ASCII"},
    {"https://[::1/", "base URL"},
    {"https://[fe80::zz]/", "host"},
    {"https://h/a/../b", "segment"},
    {"https://h/a/%2e%2E/b", "segment"},
    {"https://h/100%", "%"},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err = {0};
    char *out = NULL;
    if (gn_url_build(cases[i].base, "/x", NULL, 0, NULL, 0, &out, &err) == 0)
      fail_msg("%s became %s", cases[i].base, out);
    assert_refused(&err, "base URL");
    assert_refused(&err, cases[i].names);
    assert_null(strstr(err.message, "pa55word"));
  }
}

static void test_refused_paths(void **state) {
  static const struct {
    const char *path, *names;
  } cases[] = {
    {"x", "begin"},          {"?a=b", "begin"},      {"https://evil/", "begin"},
    {"/..", "segment"},      {"/a/../b", "segment"}, {"/a/.", "segment"},
    {"/./a", "segment"},     {"/%2e%2e/a", "segment"}, {"/.%2E?x", "segment"},
    {"/a b", "space"},       {"/a\\b", "backslash"}, {"/a\nb", "control"},
    {"/a#b", "fragment"},    {"/{id", "{name}"},     {"/id}", "{name}"},
    {"/{}", "{name}"},       {"/{a{b}}", "{name}"},  {"/100%", "%"},
    {"/%zz", "%"},           {"/a?b=%4", "%"},       {"/{id}", "\"id\""},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err = {0};
    char *out = NULL;
    if (gn_url_build("https://h/v", cases[i].path, NULL, 0, NULL, 0, &out,
                     &err) == 0)
      fail_msg("%s became %s", cases[i].path, out);
    assert_refused(&err, "path");
    assert_refused(&err, cases[i].names);
  }
}

static void test_with_query(void **state) {
  static const struct {
    const char *url, *want;
  } cases[] = {
    {"https://h/p", "https://h/p?t=a%2Fb"},
    {"https://h", "https://h?t=a%2Fb"},
    {"https://h/p?", "https://h/p?t=a%2Fb"},
    {"https://h/p?x=%7e+y", "https://h/p?x=%7e+y&t=a%2Fb"},
    {"https://h/p?t=1", "https://h/p?t=a%2Fb"},
    {"https://h/p?t", "https://h/p?t=a%2Fb"},
    {"https://h/p?t=", "https://h/p?t=a%2Fb"},
    {"https://h/p?a=1&t=1&b=2", "https://h/p?a=1&t=a%2Fb&b=2"},
    {"https://h/p?a=1&t=1&b=2&t=3", "https://h/p?a=1&t=a%2Fb&b=2"},
    {"https://h/p?%74=1&b", "https://h/p?t=a%2Fb&b"},
    {"https://h/p?T=1&tt=2&xt=3&t%00=4",
     "https://h/p?T=1&tt=2&xt=3&t%00=4&t=a%2Fb"},
    {"https://h/p?a&&b=c=t&", "https://h/p?a&&b=c=t&t=a%2Fb"},
    {"https://h/p?&", "https://h/p?&t=a%2Fb"},
    {"https://h/p?a=1#f?t=1", "https://h/p?a=1&t=a%2Fb#f?t=1"},
    {"https://h/p#f", "https://h/p?t=a%2Fb#f"},
    {"https://H.x:443/./a?q=\"<>", "https://H.x:443/./a?q=\"<>&t=a%2Fb"},
  };
  struct gn_error err = {0};
  char *out = NULL;
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    int status = gn_url_with_query(cases[i].url, "t", "a/b", 3, &out, &err);
    assert_text(status, &err, out, cases[i].want);
  }
  assert_int_equal(gn_url_with_query("/p", "t", "v", 1, &out, &err), -1);
  assert_refused(&err, "URL");
  assert_int_equal(gn_url_with_query("https://h", "", "v", 1, &out, &err), -1);
  assert_refused(&err, "query");
  assert_int_equal(gn_url_with_query("https://h", "t", NULL, 0, &out, &err),
                   -1);
  assert_refused(&err, "query");
  assert_null(out);
}

/* A little of everything, with `pad` bytes in front that move the places where
 * buffers grow or end. */
static int flow(size_t pad, struct gn_error *err) {
  static char path[GN_URL_MAX + 100];
  static const struct gn_pair param = TEXT("id", "a/b");
  static const struct gn_pair query[] = {TEXT("q", "caf\xc3\xa9"),
                                         TEXT("r", "2")};
  char *built = NULL, *with = NULL, *again = NULL, *resolved = NULL;
  int status = -1;
  memset(path, 'x', sizeof path);
  path[0] = '/';
  snprintf(path + 1 + pad, sizeof path - 1 - pad, "/{id}/caf\xc3\xa9?o=p");
  if (gn_url_build("https://h/v", path, &param, 1, query, 2, &built,
                   err) == 0 &&
      gn_url_with_query(built, "t", "v", 1, &with, err) == 0 &&
      gn_url_with_query(with, "q", "", 0, &again, err) == 0 &&
      gn_url_resolve(again, "?a&\xc3\xa9#f", &resolved, err) == 0)
    status = 0;
  gn_free(built);
  gn_free(with);
  gn_free(again);
  gn_free(resolved);
  resolved = NULL;
  if (status == 0)
    status = gn_url_resolve("https://h/a/b?c", "", &resolved, err);
  gn_free(resolved);
  return status;
}

/* No URL is longer than the limit, wherever in it the limit falls. */
static void test_limit(void **state) {
  size_t pad, good = 0;
  (void)state;
  for (pad = GN_URL_MAX - 100; pad < GN_URL_MAX + 10; pad++) {
    struct gn_error err = {0};
    if (flow(pad, &err) == 0)
      good++;
    else
      assert_refused(&err, "long");
  }
  assert_in_range(good, 20, 90);
}

static void test_long_base(void **state) {
  static char base[GN_URL_MAX + 10];
  struct gn_error err = {0};
  char *out = NULL;
  (void)state;
  memset(base, 'x', sizeof base - 1);
  memcpy(base, "https://h/", 10);
  assert_int_equal(gn_url_build(base, "/", NULL, 0, NULL, 0, &out, &err), -1);
  assert_refused(&err, "base URL is too long");
}

/* libcurl's own memory: the n-th allocation and all that follow fail. */
static long curl_allows, curl_allocations;

static bool curl_may(void) {
  return curl_allocations++ < curl_allows;
}

static void *curl_malloc(size_t size) {
  return curl_may() ? malloc(size) : NULL;
}

static void *curl_calloc(size_t n, size_t size) {
  return curl_may() ? calloc(n, size) : NULL;
}

static void *curl_realloc(void *p, size_t size) {
  return curl_may() ? realloc(p, size) : NULL;
}

static char *curl_strdup(const char *s) {
  return curl_may() ? strdup(s) : NULL;
}

static void test_curl_allocations(void **state) {
  struct gn_error err = {0};
  long n, total, unnamed = 0;
  (void)state;
  curl_allows = LONG_MAX;
  curl_allocations = 0;
  assert_int_equal(flow(10, &err), 0);
  total = curl_allocations;
  assert_in_range(total, 20, 5000);
  for (n = 0; n < total; n++) {
    curl_allows = n;
    curl_allocations = 0;
    gn_error_clear(&err);
    if (flow(10, &err) == 0)
      fail_msg("libcurl's allocation %ld failed unnoticed", n);
    assert_true(err.kind == GN_MEMORY || err.kind == GN_INVALID);
    unnamed += err.kind != GN_MEMORY;
  }
  curl_allows = LONG_MAX;
  assert_int_equal(flow(10, &err), 0);
  /* libcurl calls a few of them something else. */
  assert_in_range(unnamed, 0, total / 4);
}

#ifdef GN_FAULTS
static void test_allocations(void **state) {
  struct gn_error err = {0};
  size_t pad;
  long n, total;
  (void)state;
  for (pad = 180; pad < 270; pad++) {
    gn_alloc_fail_after(-1, 0);
    assert_int_equal(flow(pad, &err), 0);
    total = gn_alloc_count();
    assert_in_range(total, 5, 1000);
    for (n = 0; n < total; n++) {
      gn_error_clear(&err);
      gn_alloc_fail_after(n, n % 2);
      if (flow(pad, &err) == 0)
        fail_msg("allocation %ld failed unnoticed", n);
      assert_int_equal(err.kind, GN_MEMORY);
    }
  }
  gn_alloc_fail_after(-1, 0);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_escape),
    cmocka_unit_test(test_escape_every_byte),
    cmocka_unit_test(test_join),
    cmocka_unit_test(test_checked_base),
    cmocka_unit_test(test_params),
    cmocka_unit_test(test_long_params),
    cmocka_unit_test(test_several_params),
    cmocka_unit_test(test_query),
    cmocka_unit_test(test_refused_bases),
    cmocka_unit_test(test_refused_paths),
    cmocka_unit_test(test_with_query),
    cmocka_unit_test(test_limit),
    cmocka_unit_test(test_long_base),
    cmocka_unit_test(test_curl_allocations),
#ifdef GN_FAULTS
    cmocka_unit_test(test_allocations),
#endif
  };
#ifndef GN_FAULTS
  print_message("built without GN_FAULTS: no allocation is made to fail\n");
#endif
  curl_allows = LONG_MAX;
  if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, free,
                           curl_realloc, curl_strdup, curl_calloc) != 0)
    return 1;
  return cmocka_run_group_tests(tests, NULL, NULL);
}

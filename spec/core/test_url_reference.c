/* Owns: the checks of how URLs that others supply are read: RFC 3986
 * resolution, origins, loopback hosts, and URLs made fit for messages.
 * Must not: use the network.
 */
#include "url_checks.h"

#include "clock.h"

/* RFC 3986, 5.4; fragments are dropped, since they are never sent. */
static const struct {
  const char *reference, *want;
} rfc3986[] = {
  {"http:g", NULL},
  {"g:h", NULL},
  {"g", "http://a/b/c/g"},
  {"./g", "http://a/b/c/g"},
  {"g/", "http://a/b/c/g/"},
  {"/g", "http://a/g"},
  {"//g", "http://g/"},
  {"?y", "http://a/b/c/d;p?y"},
  {"g?y", "http://a/b/c/g?y"},
  {"#s", "http://a/b/c/d;p?q"},
  {"g#s", "http://a/b/c/g"},
  {"g?y#s", "http://a/b/c/g?y"},
  {";x", "http://a/b/c/;x"},
  {"g;x", "http://a/b/c/g;x"},
  {"g;x?y#s", "http://a/b/c/g;x?y"},
  {"", "http://a/b/c/d;p?q"},
  {".", "http://a/b/c/"},
  {"./", "http://a/b/c/"},
  {"..", "http://a/b/"},
  {"../", "http://a/b/"},
  {"../g", "http://a/b/g"},
  {"../..", "http://a/"},
  {"../../", "http://a/"},
  {"../../g", "http://a/g"},
  {"../../../g", "http://a/g"},
  {"../../../../g", "http://a/g"},
  {"/./g", "http://a/g"},
  {"/../g", "http://a/g"},
  {"g.", "http://a/b/c/g."},
  {".g", "http://a/b/c/.g"},
  {"g..", "http://a/b/c/g.."},
  {"..g", "http://a/b/c/..g"},
  {"./../g", "http://a/b/g"},
  {"./g/.", "http://a/b/c/g/"},
  {"g/./h", "http://a/b/c/g/h"},
  {"g/../h", "http://a/b/c/h"},
  {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
  {"g;x=1/../y", "http://a/b/c/y"},
  {"g?y/./x", "http://a/b/c/g?y/./x"},
  {"g?y/../x", "http://a/b/c/g?y/../x"},
  {"g#s/../x", "http://a/b/c/g"},
};

static void test_resolve_rfc3986(void **state) {
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(rfc3986); i++) {
    struct gn_error err = {0};
    char *out = NULL;
    int status =
        gn_url_resolve("http://a/b/c/d;p?q", rfc3986[i].reference, &out, &err);
    if (rfc3986[i].want) {
      assert_text(status, &err, out, rfc3986[i].want);
    } else {
      assert_int_equal(status, -1);
      assert_null(out);
      assert_refused(&err, "URL");
    }
  }
}

static void test_resolve(void **state) {
  static const struct {
    const char *reference, *want;
  } cases[] = {
    {"HTTPS://F.Example:444/a%2fb/%7e?X-Sig=a%2Bb%3d&y=a+b#f",
     "https://F.Example:444/a%2fb/%7e?X-Sig=a%2Bb%3d&y=a+b"},
    {"http://h2", "http://h2/"},
    {"http://h2?q", "http://h2/?q"},
    {"http://h2/a/../../b/./c?d=../e", "http://h2/b/c?d=../e"},
    {"https://h2/%2e%2e/x", "https://h2/%2e%2e/x"},
    {"//h2:81/x", "http://h2:81/x"},
    {"/a?b=https://evil/", "http://h:80/a?b=https://evil/"},
    {"/x:y", "http://h:80/x:y"},
    {"./x:y", "http://h:80/p/x:y"},
    {"/caf\xc3\xa9?q=\xc3\xa9", "http://h:80/caf%C3%A9?q=%C3%A9"},
    {"?page=2", "http://h:80/p/q?page=2"},
  };
  static const char *const refused[] = {
    "ftp://h/x",       "file:///etc/passwd", "gopher://h/", "data:text/plain,x",
    "javascript:x()",  "http:/x",            "http:///x",   "///x",
    "//",              "http://u:p@h/",      "//u@h/x",     "http://a b/",
    " /x",             "/x y",               "/x\r\nHost: evil",
    "\\\\evil\\x",     "/\\evil",            "http://127.0.0.1:28400\\@evil/",
    "http://%65vil/",  "http://\xc3\xa9/",   "http://h:0/", "http://h:99999/",
    "http://[::1",     "http://h:80:80/",
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err = {0};
    char *out = NULL;
    int status =
        gn_url_resolve("http://h:80/p/q?r#s", cases[i].reference, &out, &err);
    assert_text(status, &err, out, cases[i].want);
  }
  for (i = 0; i < COUNT(refused); i++) {
    struct gn_error err = {0};
    char *out = NULL;
    if (gn_url_resolve("http://h:80/p/q", refused[i], &out, &err) == 0)
      fail_msg("%s became %s", refused[i], out);
    assert_refused(&err, "");
    assert_null(out);
  }
}

static void test_resolve_bad_base(void **state) {
  struct gn_error err = {0};
  char *out = NULL;
  (void)state;
  assert_int_equal(gn_url_resolve("/p", "/x", &out, &err), -1);
  assert_refused(&err, "base URL");
}

static void test_origin(void **state) {
  static const struct {
    const char *url, *scheme, *host;
    unsigned port;
  } cases[] = {
    {"https://API.Example.com/x?y", "https", "api.example.com", 443},
    {"HTTP://h", "http", "h", 80},
    {"https://h:443", "https", "h", 443},
    {"http://h:8080/", "http", "h", 8080},
    {"http://[0:0::1]:81/", "http", "[::1]", 81},
    {"http://[FE80::1%25eth0]/", "http", "[fe80::1%25eth0]", 80},
    /* What reaches loopback in disguise is seen without it. */
    {"http://0x7f.1/", "http", "127.0.0.1", 80},
    {"http://2130706433/", "http", "127.0.0.1", 80},
    {"http://127.1/", "http", "127.0.0.1", 80},
    {"http://h./", "http", "h.", 80},
  };
  struct gn_error err = {0};
  struct gn_origin o;
  char url[400];
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    if (gn_url_origin(cases[i].url, &o, &err) != 0)
      fail_msg("%s: %s", cases[i].url, err.message);
    assert_string_equal(o.scheme, cases[i].scheme);
    assert_string_equal(o.host, cases[i].host);
    assert_int_equal(o.port, cases[i].port);
  }
  assert_int_equal(gn_url_origin("//h/x", &o, &err), -1);
  assert_int_equal(gn_url_origin("h", &o, &err), -1);
  assert_int_equal(gn_url_origin("https://u@h/", &o, &err), -1);
  assert_int_equal(gn_url_origin("http:/x", &o, &err), -1);
  memset(url, 'h', sizeof url);
  memcpy(url, "http://", 7);
  url[sizeof url - 1] = '\0';
  assert_int_equal(gn_url_origin(url, &o, &err), -1);
  assert_refused(&err, "host");
}

static void test_same_origin(void **state) {
  static const struct {
    const char *a, *b;
    bool same;
  } cases[] = {
    {"https://h/x", "https://H:443/y?z", true},
    {"http://h", "http://h:80/", true},
    {"http://127.0.0.1:81", "http://127.1:81/", true},
    {"https://h", "http://h:443", false},
    {"https://h", "https://h:444", false},
    {"https://h", "https://h.evil", false},
    {"https://h", "https://xh", false},
    {"https://h", "https://h.", false},
    {"https://h.x", "https://hx", false},
  };
  struct gn_error err = {0};
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_origin a, b;
    assert_int_equal(gn_url_origin(cases[i].a, &a, &err), 0);
    assert_int_equal(gn_url_origin(cases[i].b, &b, &err), 0);
    assert_int_equal(gn_url_same_origin(&a, &b), cases[i].same);
    assert_int_equal(gn_url_same_origin(&b, &a), cases[i].same);
  }
}

static void test_redact(void **state) {
  static const struct {
    const char *url;
    bool server;
    const char *want;
  } cases[] = {
    {"https://h/p", false, "https://h/p"},
    {"https://h/p?size=10&pageToken=abc", false,
     "https://h/p?size=10&pageToken=abc"},
    {"https://u:pa55@h:81/p#f", false, "https://h:81/p"},
    {"https://pa55@h/p", true, "https://h/p"},
    {"https://h/p?a=1&token=pa55&b=2", false,
     "https://h/p?a=1&token=***&b=2"},
    {"https://h/p?Access_Token=pa55", false, "https://h/p?Access_Token=***"},
    {"https://h/p?%74oken=pa55", false, "https://h/p?%74oken=***"},
    {"https://h/p?key=pa55&sig=pa55&signature=pa55", false,
     "https://h/p?key=***&sig=***&signature=***"},
    {"https://h/p?X-Amz-Credential=pa55&x-amz-date=pa55", false,
     "https://h/p?X-Amz-Credential=***&x-amz-date=***"},
    {"https://h/p?password=pa55&client_secret=pa55&code=pa55", false,
     "https://h/p?password=***&client_secret=***&code=***"},
    {"https://h/p?a=1;token=pa55=x?y", false, "https://h/p?a=1;token=***"},
    {"https://h/p?token", false, "https://h/p?token"},
    {"https://h/p?Signed=pa55&a=b", true, "https://h/p?..."},
    {"https://h/p?", true, "https://h/p"},
    {"/p?token=pa55", false, "(unreadable URL)"},
    {"https://u:pa55/x@h/", false, "(unreadable URL)"},
    {"https://h\\pa55@h/", false, "(unreadable URL)"},
    {"https://h/p?a=\npa55", false, "(unreadable URL)"},
    {"", true, "(unreadable URL)"},
  };
  char out[512];
  size_t i, cap;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    gn_url_redact(cases[i].url, cases[i].server, out, sizeof out);
    assert_string_equal(out, cases[i].want);
    for (cap = 0; cap < 80; cap++) {
      memset(out, '!', sizeof out);
      gn_url_redact(cases[i].url, cases[i].server, out, cap);
      assert_int_equal(out[cap], '!');
      if (cap > 0)
        assert_in_range(strlen(out), 0, cap - 1);
      if (cap > 0)
        assert_null(strstr(out, "pa55"));
    }
  }
  gn_url_redact("https://h/path?a=b", false, out, 12);
  assert_string_equal(out, "https://...");
}

static void test_loopback(void **state) {
  static const char *const yes[] = {
    "localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.9.9.9", "::1",
    "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "::"};
  static const char *const no[] = {
    "", "localhost.evil", "notlocalhost", ".localhost", "127.0.0.1.evil",
    "128.0.0.1", "10.0.0.1", "[::2]", "[::1", "169.254.169.254", "127.0.0.1x",
    "[]", "0.0.0.1"};
  char host[300];
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(yes); i++) {
    if (!gn_url_is_loopback_host(yes[i]))
      fail_msg("%s is loopback", yes[i]);
  }
  for (i = 0; i < COUNT(no); i++) {
    if (gn_url_is_loopback_host(no[i]))
      fail_msg("%s is no loopback", no[i]);
  }
  memset(host, '1', sizeof host - 1);
  host[sizeof host - 1] = '\0';
  assert_false(gn_url_is_loopback_host(host));
}

/* Texts glued from what URLs break on. Whatever is accepted is stable, has an
 * origin, and shows no secret. */
static void glue(struct gn_random *random, char *out, size_t cap) {
  static const char *const pieces[] = {
    "http://", "https://", "//", "/", "?", "#", "@", ":", "..", ".", "%2e",
    "%", "%00", "\\", "[::1]", "127.0.0.1", "host", "evil.example", ":80",
    ":65536", "pa55", "user:pa55@", "?token=pa55", "&sig=pa55", ";", "&", "=",
    "a", "\xc3\xa9", "\xff", "{id}", " ", "\n", "xn--", "0x7f.1", "[", "]"};
  size_t n = 1 + (size_t)(gn_random_next(random) * 8), len = 0;
  *out = '\0';
  while (n-- > 0) {
    const char *piece =
        pieces[(size_t)(gn_random_next(random) * (double)COUNT(pieces))];
    if (len + strlen(piece) >= cap)
      return;
    strcpy(out + len, piece);
    len += strlen(piece);
  }
}

static void test_random(void **state) {
  struct gn_random random = {.state = 71};
  long i, accepted = 0;
  (void)state;
  for (i = 0; i < 50000; i++) {
    struct gn_error err = {0};
    struct gn_origin origin;
    char text[200], shown[300], *host, *once = NULL, *twice = NULL;
    glue(&random, text, sizeof text);
    gn_url_redact(text, true, shown, sizeof shown);
    host = strstr(shown, "://");
    if ((host && memchr(host, '@', 3 + strcspn(host + 3, "/"))) ||
        strstr(shown, "?token"))
      fail_msg("%s is shown as %s", text, shown);
    if (gn_url_resolve("https://h/p/q?r", text, &once, &err) != 0) {
      assert_refused(&err, "");
      assert_null(strstr(err.message, "pa55"));
      continue;
    }
    accepted++;
    if (gn_url_origin(once, &origin, &err) != 0)
      fail_msg("%s became %s: %s", text, once, err.message);
    if (strpbrk(origin.host, "@/?#\\% ") || strpbrk(once, "#\\ \n"))
      fail_msg("%s became %s", text, once);
    assert_int_equal(gn_url_resolve("http://x", once, &twice, &err), 0);
    assert_string_equal(twice, once);
    gn_free(once);
    gn_free(twice);
  }
  assert_in_range(accepted, 2000, 48000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_resolve_rfc3986),
    cmocka_unit_test(test_resolve),
    cmocka_unit_test(test_resolve_bad_base),
    cmocka_unit_test(test_origin),
    cmocka_unit_test(test_same_origin),
    cmocka_unit_test(test_redact),
    cmocka_unit_test(test_loopback),
    cmocka_unit_test(test_random),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

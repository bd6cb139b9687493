/* Owns: the checks of src/core/next_page.c: what a page says about the one
 * after it, and how that is asked for.
 * Must not: use the network; test_pager.c walks.
 */
#include "next_page.h"

#include "alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define T(text) ((char[]){text})

static struct gn_result *page(const char *headers, const char *body) {
  struct gn_error err;
  struct gn_result *r = gn_result_new();
  gn_buf_init(&r->headers, 4096);
  gn_buf_append_text(&r->headers, headers);
  r->body = gn_sink_new_memory(65536, &err);
  gn_sink_begin(r->body, &err);
  gn_sink_write(r->body, body, strlen(body), &err);
  return r;
}

static void read_page(const struct gn_pager_rules *given, bool tape,
                      struct gn_page_count *count, uint64_t n,
                      const char *headers, const char *body, char out[200]) {
  struct gn_pager_rules rules = *given;
  struct gn_result *r = page(headers, body);
  struct gn_error err;
  char *value;
  int rc;
  rules.tape = tape;
  rc = gn_next_page_find(&rules, count, r, n, "http://h/a/b", &value, &err);
  strcpy(out, rc < 0 ? err.code : rc == 1 ? value
                                : rc == 0 ? "(last)" : "(repeated)");
  assert_int_equal(r->tape ? 1 : 0,
                   tape && (rc >= 0 || strcmp(err.code, "json") != 0));
  gn_free(value);
  gn_result_free(r);
}

/* The value that is found, "(last)", "(repeated)" or the error's code; the same
 * with a tape and without. */
static const char *find(const struct gn_pager_rules *rules,
                        struct gn_page_count *count, uint64_t n,
                        const char *headers, const char *body) {
  static char out[200], taped[200];
  struct gn_page_count none = {0}, copy = count ? *count : none;
  read_page(rules, true, &copy, n, headers, body, taped);
  read_page(rules, false, count ? count : &none, n, headers, body, out);
  assert_string_equal(taped, out);
  return out;
}

static void test_sources(void **state) {
  const struct {
    struct gn_pager_rules rules;
    const char *headers, *body, *want;
  } rows[] = {
    {{.to = GN_TO_QUERY, .source = T("n")}, "", "{\"n\":\"t/1\"}", "t/1"},
    {{.to = GN_TO_QUERY, .source = T("n")}, "", "{\"n\":12}", "12"},
    {{.to = GN_TO_QUERY, .source = T("n")}, "", "{\"n\":\"\"}", "(last)"},
    {{.to = GN_TO_QUERY, .source = T("n")}, "", "{\"n\":null}", "(last)"},
    {{.to = GN_TO_QUERY, .source = T("n")}, "", "{\"n\":false}", "(last)"},
    {{.to = GN_TO_QUERY, .source = T("n")}, "", "{}", "(last)"},
    {{.to = GN_TO_QUERY, .source = T("n")}, "", "{\"n\":true}", "page_token"},
    {{.to = GN_TO_QUERY, .source = T("n")}, "", "{\"n\":[1]}", "page_token"},
    {{.to = GN_TO_QUERY, .source = T("n")}, "", "{\"n\":\"a\\u0000\"}",
     "page_token"},
    {{.to = GN_TO_QUERY, .source = T("n")}, "", "<html>", "json"},
    {{.to = GN_TO_BODY, .source = T("n")}, "", "{\"n\":\"a\\\"\"}",
     "\"a\\u0022\""},
    {{.to = GN_TO_BODY, .source = T("n")}, "", "{\"n\":1.50}", "1.50"},
    {{.to = GN_TO_URL, .source = T("n")}, "", "{\"n\":\"c?d\"}",
     "http://h/a/c?d"},
    {{.to = GN_TO_URL, .source = T("n")}, "", "{\"n\":\"ftp://h/\"}", "link"},
    {{.from = GN_FROM_HEADER, .source = T("X-N")}, "x-n:  5 \r\n", "[]", "5"},
    {{.from = GN_FROM_HEADER, .source = T("X-N")}, "x-n:\r\n", "[]",
     "(last)"},
    {{.from = GN_FROM_HEADER, .source = T("X-N")}, "", "[]", "(last)"},
    {{.from = GN_FROM_HEADER, .source = T("X-N")}, "x-n: 5\r\n", "x",
     "json"},
    {{.from = GN_FROM_HEADER, .to = GN_TO_BODY, .source = T("X-N")},
     "x-n: a\"b\r\n", "[]", "\"a\\u0022b\""},
    {{.from = GN_FROM_HEADER, .to = GN_TO_BODY, .source = T("X-N")},
     "x-n: a\xff\r\n", "[]", "page_token"},
    {{.from = GN_FROM_LINK, .to = GN_TO_URL, .source = T("next")},
     "Link: <?p=2>; rel=\"next\"\r\n", "[]", "http://h/a/b?p=2"},
    {{.from = GN_FROM_LINK, .to = GN_TO_URL, .source = T("next")},
     "Link: <?p=2>; rel=\"prev\"\r\n", "[]", "(last)"},
    /* A flag beside the token. */
    {{.source = T("n"), .more = T("m")}, "", "{\"n\":\"t\",\"m\":false}",
     "(last)"},
    {{.source = T("n"), .more = T("m")}, "", "{\"n\":\"t\",\"m\":true}", "t"},
    {{.source = T("n"), .more = T("m")}, "", "{\"n\":\"t\"}", "t"},
    {{.source = T("n"), .more = T("m")}, "", "{\"m\":true}", "page_token"},
    {{.source = T("n"), .more = T("m")}, "", "{\"n\":\"t\",\"m\":\"0\"}",
     "(last)"},
    {{.source = T("n"), .more = T("m")}, "", "{\"n\":\"t\",\"m\":\"maybe\"}",
     "shape"},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(rows); i++) {
    const char *got = find(&rows[i].rules, NULL, 1, rows[i].headers,
                           rows[i].body);
    if (strcmp(got, rows[i].want) != 0)
      fail_msg("row %zu, %s%s: %s, not %s", i, rows[i].headers, rows[i].body,
               got, rows[i].want);
  }
}

struct step {
  const char *body;
  const char *want;
};

static void count_through(const struct gn_pager_rules *rules,
                          const struct step *steps) {
  struct gn_page_count count = {.at = rules->first};
  uint64_t n;
  for (n = 1; steps[n - 1].body; n++) {
    const char *got = find(rules, &count, n, "", steps[n - 1].body);
    if (strcmp(got, steps[n - 1].want) != 0)
      fail_msg("page %d, %s: %s, not %s", (int)n, steps[n - 1].body, got,
               steps[n - 1].want);
  }
}

/* Where a short page ends the walk, and where only an empty one does. */
static void test_counts(void **state) {
  const struct {
    struct gn_pager_rules rules;
    struct step steps[6];
  } rows[] = {
    /* The server keeps the size: a short page is the last. */
    {{.from = GN_FROM_PAGE, .items = T("i"), .size = 2, .first = 1},
     {{"{\"i\":[1,2]}", "2"}, {"{\"i\":[3,4]}", "3"},
      {"{\"i\":[5]}", "(last)"}}},
    /* It gives fewer than it was asked for: on to an empty page. */
    {{.from = GN_FROM_PAGE, .items = T("i"), .size = 9, .first = 0},
     {{"{\"i\":[1,2]}", "1"}, {"{\"i\":[3,4]}", "2"}, {"{\"i\":[5]}", "3"},
      {"{\"i\":[]}", "(last)"}}},
    /* It gives more than it was asked for. */
    {{.from = GN_FROM_OFFSET, .items = T("i"), .size = 2},
     {{"{\"i\":[1,2,3]}", "3"}, {"{\"i\":[4]}", "4"},
      {"{\"i\":[]}", "(last)"}}},
    {{.from = GN_FROM_OFFSET, .items = T("i"), .first = 10},
     {{"{\"i\":[1,2]}", "12"}, {"{\"i\":[3]}", "13"},
      {"{\"i\":null}", "(last)"}}},
    {{.from = GN_FROM_OFFSET, .items = T("i"), .size = 2},
     {{"{\"i\":[1,2]}", "2"}, {"{\"i\":[3]}", "(last)"}}},
    {{.from = GN_FROM_PAGE, .items = T("i"), .size = 2, .first = 1},
     {{"{}", "(last)"}}},
    {{.from = GN_FROM_PAGE, .items = T("i"), .size = 2, .first = 1},
     {{"{\"i\":{}}", "shape"}}},
    /* A flag knows better than the length. */
    {{.from = GN_FROM_PAGE, .items = T("i"), .more = T("m"), .size = 2,
      .first = 1},
     {{"{\"i\":[1,2],\"m\":true}", "2"}, {"{\"i\":[],\"m\":true}", "3"},
      {"{\"i\":[3],\"m\":1}", "4"}, {"{\"i\":[4,5],\"m\":false}",
      "(last)"}}},
    {{.from = GN_FROM_PAGE, .more = T("m"), .first = 1},
     {{"{\"m\":true}", "2"}, {"{\"m\":false}", "(last)"}}},
    {{.from = GN_FROM_OFFSET, .items = T("i"), .more = T("m")},
     {{"{\"i\":[1],\"m\":true}", "1"}, {"{\"i\":[],\"m\":true}", "shape"}}},
    /* The same page again: the one before it, or the first. */
    {{.from = GN_FROM_PAGE, .items = T("i"), .size = 2, .first = 1},
     {{"{\"i\":[1,2],\"at\":1}", "2"},
      {"{\"i\":[1,2],\"at\":2}", "page_repeated"}}},
    {{.from = GN_FROM_OFFSET, .items = T("i"), .size = 2},
     {{"{\"i\":[1,2]}", "2"}, {"{\"i\":[3,4]}", "4"},
      {"{\"i\":[1,2]}", "page_repeated"}}},
    {{.from = GN_FROM_PAGE, .items = T("i"), .size = 2, .first = 1,
      .repeats = GN_REPEATS_END},
     {{"{\"i\":[1,2]}", "2"}, {"{\"i\":[1,2]}", "(repeated)"}}},
    {{.from = GN_FROM_PAGE, .items = T("i"), .size = 2, .first = 1,
      .repeats = GN_REPEATS_ALLOW},
     {{"{\"i\":[1,1]}", "2"}, {"{\"i\":[1,1]}", "3"},
      {"{\"i\":[1]}", "(last)"}}},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(rows); i++)
    count_through(&rows[i].rules, rows[i].steps);
}

static void test_apply(void **state) {
  const struct {
    struct gn_pager_rules rules;
    const char *value;
    const char *url, *header, *body; /* NULL: as it was */
    const char *code;                /* of the error, or NULL */
  } rows[] = {
    {{.to = GN_TO_QUERY, .target = T("t")}, "a&b", "http://h/a?x=1&t=a%26b",
     NULL, NULL, NULL},
    {{.to = GN_TO_URL}, "http://o/2", "http://o/2", NULL, NULL, NULL},
    {{.to = GN_TO_URL}, "file:///etc/passwd", NULL, NULL, NULL, "link"},
    {{.to = GN_TO_HEADER, .target = T("x-OLD")}, "n", NULL, "x-OLD: n", NULL,
     NULL},
    {{.to = GN_TO_HEADER, .target = T("X-Old")}, "a\r\nb: c", NULL, NULL, NULL,
     "page_token"},
    {{.to = GN_TO_BODY, .prefix = T("{\"t\":"), .suffix = T(",\"q\":1}")},
     "\"v\"", NULL, NULL, "{\"t\":\"v\",\"q\":1}", NULL},
    {{.to = GN_TO_BODY, .prefix = T("{\"t\":"), .suffix = T("}")}, "12", NULL,
     NULL, "{\"t\":12}", NULL},
    {{.to = GN_TO_BODY, .prefix = T("{\"t\":"), .suffix = T("}")},
     "1,\"admin\":true", NULL, NULL, NULL, "page_token"},
    {{.to = GN_TO_BODY, .prefix = T("{\"t\":"), .suffix = T("}")}, "{}", NULL,
     NULL, NULL, "page_token"},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(rows); i++) {
    struct gn_error err;
    struct gn_request *r = gn_request_new("POST", "http://h/a?x=1", &err);
    int rc;
    gn_request_add_header(r, "X-Old", 5, "o", 1, &err);
    gn_request_set_body(r, "{}", 2, &err);
    rc = gn_next_page_apply(&rows[i].rules, r, rows[i].value, &err);
    if (rc != (rows[i].code ? -1 : 0) ||
        (rows[i].code && strcmp(err.code, rows[i].code) != 0))
      fail_msg("row %zu: %d %s", i, rc, rc ? err.code : "");
    if (!rows[i].code) {
      assert_string_equal(r->url, rows[i].url ? rows[i].url
                                              : "http://h/a?x=1");
      assert_int_equal(r->header_count, 1);
      assert_string_equal(r->headers[0], rows[i].header ? rows[i].header
                                                        : "X-Old: o");
      assert_string_equal(r->body, rows[i].body ? rows[i].body : "{}");
      assert_int_equal(r->server_url, rows[i].rules.to == GN_TO_URL);
    }
    gn_request_free(r);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_sources),
    cmocka_unit_test(test_counts),
    cmocka_unit_test(test_apply),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

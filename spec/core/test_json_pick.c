/* Owns: the checks of src/core/json_pick.c: paths, elements, decoded strings.
 * Must not: need any file, or link more than json, error, alloc and buf.
 */
#include "json.h"

#include "alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define T(s) {s, sizeof(s) - 1}

struct text {
  const char *s;  /* may hold NULs */
  size_t len;     /* bytes of it */
};

static struct gn_json_slice pick_one(const char *text, const char *path) {
  struct gn_json_slice out;
  struct gn_error err;
  if (gn_json_pick(text, strlen(text), &path, 1, &out, &err) != 0)
    fail_msg("%s: %s", text, err.message);
  return out;
}

static void assert_slice(const struct gn_json_slice *s, const char *want) {
  if (!want) {
    assert_int_equal(s->type, GN_JSON_ABSENT);
    return;
  }
  assert_int_not_equal(s->type, GN_JSON_ABSENT);
  if (s->len != strlen(want) || memcmp(s->text, want, s->len) != 0)
    fail_msg("picked %.*s, wanted %s", (int)s->len, s->text, want);
}

static void test_pick(void **state) {
  static const struct {
    const char *text, *path, *want;
  } cases[] = {
    {"[1]", "", "[1]"},
    {" \"x\" ", "", "\"x\""},
    {"{\"a\":1}", "a", "1"},
    {"{\"a\":1}", "b", NULL},
    {"{\"a\":{\"b\":\"c\"}}", "a.b", "\"c\""},
    {"{\"a\":{\"b\":\"c\"}}", "b", NULL},
    {"{\"a\":{\"b\":\"c\"}}", "a.b.c", NULL},
    {"{\"a\":{\"b\":[1,{\"x\":2}]}}", "a", "{\"b\":[1,{\"x\":2}]}"},
    {"{\"a\": [ 1 , 2 ] }", "a", "[ 1 , 2 ]"},
    {"{\"x\":{\"a\":1},\"a\":2}", "a", "2"},
    {"{\"a\":2,\"x\":{\"a\":1}}", "a", "2"},
    {"[[1,2],[3,[4]]]", "1.1.0", "4"},
    {"[[1,2],[3,[4]]]", "1", "[3,[4]]"},
    {"[5,6]", "2", NULL},
    {"[5,6]", "01", NULL},
    {"[5,6]", "-1", NULL},
    {"[5,6]", "1x", NULL},
    {"{\"0\":7}", "0", "7"},
    {"{\"\":7}", "", "{\"\":7}"},
    {"{\"a\":{\"\":7}}", "a.", "7"},
    {"{\"\\u0061b\":7}", "ab", "7"},
    {"{\"a\\n\":7}", "a", NULL},
    {"{\"a\":null}", "a", "null"},
    /* a key that occurs twice: the last one, whatever the first had */
    {"{\"a\":1,\"a\":2}", "a", "2"},
    {"{\"a\":{\"b\":1},\"a\":{}}", "a.b", NULL},
    {"{\"a\":{\"b\":1},\"a\":3}", "a.b", NULL},
    {"{\"a\":3,\"a\":{\"b\":1}}", "a.b", "1"},
    {"{\"a\":[1,2],\"a\":[3]}", "a.1", NULL},
    {"{\"a\":[1,2],\"\\u0061\":[3]}", "a.0", "3"},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_json_slice s = pick_one(cases[i].text, cases[i].path);
    assert_slice(&s, cases[i].want);
  }
}

static void test_pick_many(void **state) {
  const char *paths[40];
  char names[40][16], text[1000] = "{";
  struct gn_json_slice out[40];
  struct gn_error err;
  char long_path[100];
  const char *bad = long_path;
  int i;
  (void)state;
  for (i = 0; i < 40; i++) {
    snprintf(names[i], sizeof names[i], "k%d.%d", i, i % 3);
    paths[i] = names[i];
    snprintf(text + strlen(text), sizeof text - strlen(text),
             "%s\"k%d\":[%d,%d]", i ? "," : "", i, i, i + 100);
  }
  strcat(text, "}");
  assert_int_equal(gn_json_pick(text, strlen(text), paths, 40, out, &err), 0);
  for (i = 0; i < 40; i++) {
    char want[16];
    snprintf(want, sizeof want, "%d", i % 3 ? i + 100 : i);
    assert_slice(&out[i], i % 3 == 2 ? NULL : want);
  }
  /* Not JSON: nothing is picked, also what came before the damage. */
  text[strlen(text) - 1] = ',';
  assert_int_equal(gn_json_pick(text, strlen(text), paths, 40, out, &err), -1);
  for (i = 0; i < 40; i++)
    assert_int_equal(out[i].type, GN_JSON_ABSENT);
  assert_int_equal(gn_json_pick("[", 1, NULL, 0, NULL, &err), -1);
  assert_int_equal(gn_json_pick("[]", 2, NULL, 0, NULL, &err), 0);
  memset(long_path, '.', 99);
  long_path[99] = '\0';
  assert_int_equal(gn_json_pick("[]", 2, &bad, 1, out, &err), -1);
  assert_int_equal(err.kind, GN_INVALID);
}

static void test_pick_deep(void **state) {
  char text[1025], path[64] = "0";
  const char *p = path;
  struct gn_json_slice out;
  struct gn_error err;
  int i;
  (void)state;
  memset(text, '[', 512);
  memset(text + 512, ']', 512);
  for (i = 1; i < 32; i++)
    strcat(path, ".0");
  assert_int_equal(gn_json_pick(text, 1024, &p, 1, &out, &err), 0);
  assert_int_equal(out.type, GN_JSON_ARRAY);
  assert_int_equal(out.len, 1024 - 64);
  assert_ptr_equal(out.text, text + 32);
}

static void test_array(void **state) {
  static const char *const want[] = {"1", "\"a,]\"", "[2,[]]", "{\"x\":[3]}",
                                     "null", "true"};
  struct gn_json_slice array = pick_one(
      "{\"a\":[ 1 , \"a,]\" ,[2,[]],{\"x\":[3]} , null,true ] }", "a");
  struct gn_json_slice empty = pick_one("{\"a\":[ ]}", "a");
  struct gn_json_slice other = pick_one("{\"a\":[ ]}", "");
  struct gn_json_slice element;
  size_t pos = 0, i = 0;
  (void)state;
  while (gn_json_array_next(&array, &pos, &element)) {
    assert_true(i < COUNT(want));
    assert_slice(&element, want[i++]);
  }
  assert_int_equal(i, COUNT(want));
  assert_int_equal(gn_json_array_next(&array, &pos, &element), 0);
  assert_int_equal(gn_json_count(&array), COUNT(want));
  assert_int_equal(gn_json_count(&empty), 0);
  assert_int_equal(gn_json_count(&other), 0);
  other.type = GN_JSON_ABSENT;
  assert_int_equal(gn_json_count(&other), 0);
  pos = 1000;
  assert_int_equal(gn_json_array_next(&array, &pos, &element), 0);
}

static void test_string(void **state) {
  static const struct {
    const char *text;
    struct text want;
  } cases[] = {
    {"\"\"", T("")},
    {"\"abc\"", T("abc")},
    {"\"a\\u0000b\"", T("a\0b")},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", T("\"\\/\b\f\n\r\t")},
    {"\"x\\u0041\\u00e9\\u20ac\\uFFFD\\ud83d\\ude00y\"",
     T("xA\xc3\xa9\xe2\x82\xac\xef\xbf\xbd\xf0\x9f\x98\x80y")},
    {"\"\xe4\xb8\xad\"", T("\xe4\xb8\xad")},
    {"-1.50e3", T("-1.50e3")},
    {"true", T("true")},
    {"false", T("false")},
  };
  static const char *const others[] = {"null", "[]", "{}"};
  struct gn_json_slice absent = pick_one("{}", "a");
  struct gn_error err;
  char *out;
  size_t i, len;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_json_slice s = pick_one(cases[i].text, "");
    assert_int_equal(gn_json_string(&s, &out, &len, &err), 0);
    assert_int_equal(len, cases[i].want.len);
    assert_memory_equal(out, cases[i].want.s, len + 1);
    gn_free(out);
    if (strlen(cases[i].want.s) == len)
      assert_true(gn_json_equals(&s, cases[i].want.s));
    assert_false(gn_json_equals(&s, "something else"));
  }
  for (i = 0; i < COUNT(others); i++) {
    struct gn_json_slice s = pick_one(others[i], "");
    assert_int_equal(gn_json_string(&s, &out, &len, &err), -1);
    assert_int_equal(err.kind, GN_PROTOCOL);
    assert_false(gn_json_equals(&s, others[i]));
  }
  assert_int_equal(gn_json_string(&absent, &out, &len, &err), -1);
  assert_false(gn_json_equals(&absent, ""));
}

static void test_equals(void **state) {
  struct gn_json_slice s = pick_one("\"a\\u00e9\"", "");
  struct gn_json_slice nul = pick_one("\"a\\u0000\"", "");
  struct gn_json_slice n = pick_one("1.0", "");
  (void)state;
  assert_true(gn_json_equals(&s, "a\xc3\xa9"));
  assert_false(gn_json_equals(&s, "a\xc3"));
  assert_false(gn_json_equals(&s, "a\xc3\xa9x"));
  assert_false(gn_json_equals(&s, "a"));
  assert_false(gn_json_equals(&s, ""));
  assert_false(gn_json_equals(&nul, "a"));
  assert_true(gn_json_equals(&n, "1.0"));
  assert_false(gn_json_equals(&n, "1"));
}

static void test_plain(void **state) {
  (void)state;
  assert_int_equal(gn_json_plain("", 0), 0);
  assert_int_equal(gn_json_plain("abc", 3), 3);
  assert_int_equal(gn_json_plain("ab\"c", 4), 2);
  assert_int_equal(gn_json_plain("ab\\c", 4), 2);
  assert_int_equal(gn_json_plain("ab\nc", 4), 2);
  assert_int_equal(gn_json_plain("ab\0c", 4), 2);
  assert_int_equal(gn_json_plain("0123456789\x1f", 11), 10);
  assert_int_equal(gn_json_plain("\xe4\xb8\xad\x7f/", 5), 5);
  assert_int_equal(gn_json_plain("a\xe4\xb8", 3), 1);
  assert_int_equal(gn_json_plain("\xff", 1), 0);
}

#ifdef GN_FAULTS
static void test_memory(void **state) {
  static const char *const texts[] = {"\"a\\n\"", "12"};
  size_t i, len;
  (void)state;
  for (i = 0; i < COUNT(texts); i++) {
    struct gn_json_slice s = pick_one(texts[i], "");
    struct gn_error err;
    char *out = NULL;
    int status;
    gn_alloc_fail_after(0, 0);
    status = gn_json_string(&s, &out, &len, &err);
    gn_alloc_fail_after(-1, 0);
    assert_int_equal(status, -1);
    assert_int_equal(err.kind, GN_MEMORY);
    assert_null(out);
  }
}
#endif

/* A document of which one path is asked for is checked as if all of it were
 * read, though most of it is skipped. */
static void assert_as_read(const char *text, size_t len) {
  static const char *const path = "k.zz";
  struct gn_json_reader r;
  struct gn_json_slice out;
  struct gn_error read = {0}, picked = {0}, checked = {0};
  enum gn_json_event event;
  int rc, status;
  gn_json_reader_init(&r, text, len, 0);
  do
    event = gn_json_next(&r);
  while (event != GN_JSON_GET_FAILED && event != GN_JSON_GET_END);
  rc = event == GN_JSON_GET_END ? 0 : gn_json_reader_error(&r, &read);
  status = gn_json_pick(text, len, &path, 1, &out, &picked);
  if (status != rc || strcmp(read.message, picked.message) != 0)
    fail_msg("%.*s: '%s' instead of '%s'", (int)len, text, picked.message,
             read.message);
  status = gn_json_check(text, len, 0, &checked);
  if (status != rc || strcmp(read.message, checked.message) != 0)
    fail_msg("%.*s: '%s' instead of '%s'", (int)len, text, checked.message,
             read.message);
}

static void test_skipped_is_checked(void **state) {
  static const char document[] =
      "{\"a\":[{\"id\":\"event-00000001\",\"n\":-12.50,\"e\":1e+3,\"x\":0,"
      "\"l\":[1,[],{},\"a longer text than sixteen bytes\",[[null]]],"
      "\"t\":true,\"f\":false,\"u\":\"caf\xc3\xa9 \\u2013\",\"\":{}} , "
      "{ \"b\" : [ 10 , { } ] ,\n\"c\":{\"d\":{\"e\":null}}},[]],"
      "\"k\":{\"zy\":[3,{\"q\":0.5}],\"zz\":\"1\"},\"last\":9}";
  static const char bytes[] = "\"\\{}[],:0-.e19tfn x\x80\xc3\x1f\n";
  char text[sizeof document + 1];
  size_t at, i, len = sizeof document - 1;
  (void)state;
  assert_int_equal(gn_json_check(document, len, 0, NULL), 0);
  for (at = 0; at < len; at++) {
    assert_as_read(document, at);
    for (i = 0; i < sizeof bytes; i++) {
      memcpy(text, document, len);
      text[at] = bytes[i];
      assert_as_read(text, len);
    }
    /* One byte less, and one more. */
    memmove(text + at, document + at + 1, len - at - 1);
    assert_as_read(text, len - 1);
    memcpy(text, document, at);
    text[at] = ',';
    memcpy(text + at + 1, document + at, len - at);
    assert_as_read(text, len + 1);
  }
}

static void test_skipped_is_deep(void **state) {
  static char text[2 * GN_JSON_DEPTH + 20];
  unsigned depth, i;
  (void)state;
  for (depth = GN_JSON_DEPTH - 2; depth < GN_JSON_DEPTH + 2; depth++) {
    size_t n = 0;
    n += (size_t)snprintf(text, sizeof text, "{\"a\":");
    for (i = 1; i < depth; i++)
      text[n++] = '[';
    for (i = 1; i < depth; i++)
      text[n++] = ']';
    text[n++] = '}';
    assert_as_read(text, n);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_skipped_is_checked),
    cmocka_unit_test(test_skipped_is_deep),
    cmocka_unit_test(test_pick),      cmocka_unit_test(test_pick_many),
    cmocka_unit_test(test_pick_deep), cmocka_unit_test(test_array),
    cmocka_unit_test(test_string),    cmocka_unit_test(test_equals),
    cmocka_unit_test(test_plain),
#ifdef GN_FAULTS
    cmocka_unit_test(test_memory),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

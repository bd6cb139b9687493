/* Owns: the checks of src/core/json_split.c: elements, paths, limits, and that
 * a document's pieces mean the same as the document, wherever it is cut.
 * Must not: need any file but JSONTestSuite's, where it is.
 */
#define _GNU_SOURCE
#include "json_split.h"

#include "alloc.h"
#include "json.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define LARGE ((size_t)1 << 20)

struct found {
  char items[8192];     /* the batches, one after the other */
  size_t count;         /* elements */
  struct gn_error err;  /* GN_OK: the document is good */
};

static void take(struct gn_json_split *s, struct found *f) {
  struct gn_error err;
  struct gn_batch *b;
  size_t used = strlen(f->items), ready = gn_json_split_ready(s);
  assert_int_equal(gn_json_split_take(s, &b, &err), 0);
  assert_int_equal(b != NULL, ready > 0);
  if (!b)
    return;
  assert_int_equal(b->text[0], '[');
  assert_int_equal(b->text[b->len - 1], ']');
  assert_int_equal(gn_json_check(b->text, b->len, 0, &err), 0);
  if (used + b->len < sizeof f->items)
    memcpy(f->items + used, b->text, b->len);
  f->count += b->count;
  gn_batch_free(b);
}

/* In pieces of n bytes; each: what is whole is taken after each of them. */
static void split(const char *text, size_t len, const char *path, size_t n,
                  size_t max, bool each, struct found *f) {
  struct gn_error err = {0};
  struct gn_json_split *s = gn_json_split_new(path, max, &err);
  size_t at;
  assert_non_null(s);
  memset(f, 0, sizeof *f);
  for (at = 0; at < len; at += n) {
    char *piece = malloc(n); /* whole, so that a byte beyond it is found */
    size_t some = len - at < n ? len - at : n;
    int rc;
    memcpy(piece, text + at, some);
    rc = gn_json_split_feed(s, piece, some, &f->err);
    free(piece);
    if (each)
      take(s, f);
    if (rc != 0)
      break;
  }
  if (f->err.kind == GN_OK)
    gn_json_split_end(s, &f->err);
  take(s, f);
  gn_json_split_free(s);
}

static void test_items(void **state) {
  static const struct {
    const char *text, *path, *want;
  } cases[] = {
    {"[]", "", ""},
    {" [ ] ", "", ""},
    {"[1]", "", "[1]"},
    {" [ 1 , 2.5e3 ,\"a\\\"]\", null,true ] \n", "",
     "[1 , 2.5e3 ,\"a\\\"]\", null,true]"},
    {"[{\"a\":[1,{}]},[[]],[]]", "", "[{\"a\":[1,{}]},[[]],[]]"},
    {"{\"items\":[{\"x\":1}]}", "items", "[{\"x\":1}]"},
    {"{\"a\":{\"items\":[0]},\"items\":[{\"items\":[2]}],\"b\":[1]}", "items",
     "[{\"items\":[2]}]"},
    {"{\"n\":7,\"data\":{\"x\":[[1]],\"items\":[1,2]},\"z\":{\"items\":0}}",
     "data.items", "[1,2]"},
    {"{\"d\":1,\"d\":{\"x\":3},\"d\":{\"i\":[3]}}", "d.i", "[3]"},
    {"{\"d\":null,\"d\":[3]}", "d", "[3]"},
    {"{\"\\u0064ata\":[1]}", "data", "[1]"},
    {"[[1],[{\"r\":[2,3]}],4]", "1.0.r", "[2,3]"},
    {"[[1],[2,3]]", "1", "[2,3]"},
    {"[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",\"\\ud83d\\ude00\"]", "",
     "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",\"\\ud83d\\ude00\"]"},
  };
  size_t i, n;
  (void)state;
  for (i = 0; i < COUNT(cases); i++)
    for (n = 1; n <= strlen(cases[i].text); n++) {
      struct found f;
      split(cases[i].text, strlen(cases[i].text), cases[i].path, n, LARGE,
            false, &f);
      if (f.err.kind != GN_OK || strcmp(f.items, cases[i].want) != 0)
        fail_msg("%s by %zu: \"%s\" %s", cases[i].text, n, f.items,
                 f.err.message);
    }
}

/* Taken as they come, they are as many. */
static void test_each(void **state) {
  static const char text[] = "{\"a\":[{\"x\":1},2,\"three\",[4,4,4,4],5]}";
  size_t n;
  (void)state;
  for (n = 1; n < sizeof text; n++) {
    struct found f;
    split(text, sizeof text - 1, "a", n, LARGE, true, &f);
    assert_int_equal(f.err.kind, GN_OK);
    assert_int_equal(f.count, 5);
  }
}

static void test_refused(void **state) {
  static const struct {
    const char *text, *path, *code, *message;
    size_t count;
  } cases[] = {
    {"", "", "json", "not JSON: there is no value at byte 1", 0},
    {"  ", "", "json", "not JSON: there is no value at byte 3", 0},
    {"<html>", "", "json", "not JSON: expected a value at byte 1", 0},
    {"[1,2", "", "incomplete",
     "the JSON text ends too early, after 4 bytes", 2},
    {"[1,{\"a\":2}, {\"b\"", "", "incomplete", NULL, 2},
    {"[1,2]]", "", "json", "not JSON: text after the value at byte 6", 2},
    {"[1,2] x", "", "json", "not JSON: text after the value at byte 7", 2},
    {"[1,,2]", "", "json", "not JSON: expected a value at byte 4", 1},
    {"[1 2]", "", "json", NULL, 1},
    {"[1,2}", "", "json", NULL, 2},
    {"[1,2,]", "", "json", NULL, 2},
    {"[1,{]}]", "", "json", NULL, 1},
    {"[1,\"\xff\"]", "", "json", "not JSON: not UTF-8 at byte 5", 1},
    {"[1,\"\xe2\x82\"]", "", "json", "not JSON: not UTF-8 at byte 5", 1},
    {"[1,\"\\ud83d\"]", "", "json", NULL, 1},
    {"\xef\xbb\xbf[1]", "", "json", "not JSON: a byte order mark at byte 1", 0},
    {"{\"a\":[1],\"b\":01}", "a", "json", NULL, 1},
    {"{\"b\":01,\"a\":[1]}", "a", "json", NULL, 0},
    {"{\"a\":[1]", "a", "incomplete", NULL, 1},
    {"{\"a\":[1]}", "b", "no_items", "expected a list at b, found nothing", 0},
    {"{\"a\":{\"b\":{}}}", "a.b", "json",
     "expected a list at a.b, found an object", 0},
    {"{\"a\":null}", "a", "no_items", "expected a list at a, found null", 0},
    {"{\"a\":null,\"b\":[1", "a", "incomplete", NULL, 0},
    {"{\"a\":null,\"b\":01}", "a", "json", NULL, 0},
    {"{\"a\":null}]", "a", "json", NULL, 0},
    {"{\"a\":7}", "a.b", "no_items", NULL, 0},
    {"\"a\"", "", "json", "expected a list, found text", 0},
    {"[[1]]", "1", "no_items", NULL, 0},
    {"[[1],true]", "1", "json", "expected a list at 1, found a boolean", 0},
    {"{\"a\":[1],\"a\":[2]}", "a", "json",
     "the key \"a\" comes twice, and with it the list", 1},
    {"{\"a\":{\"b\":[1]},\"a\":3}", "a.b", "json", NULL, 1},
  };
  size_t i, n;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    size_t len = strlen(cases[i].text);
    for (n = 1; n <= len + 1; n++) {
      struct found f;
      split(cases[i].text, len, cases[i].path, n, LARGE, n % 2, &f);
      if (f.err.kind != GN_PROTOCOL || strcmp(f.err.code, cases[i].code) != 0)
        fail_msg("%s by %zu: %s/%s", cases[i].text, n, f.err.code,
                 f.err.message);
      if (cases[i].message)
        assert_string_equal(f.err.message, cases[i].message);
      assert_int_equal(f.count, cases[i].count);
    }
  }
}

static char *repeat(const char *head, const char *part, size_t times,
                    const char *tail, size_t *len) {
  size_t part_len = strlen(part), i;
  char *text = malloc(strlen(head) + part_len * times + strlen(tail) + 1);
  char *p = stpcpy(text, head);
  for (i = 0; i < times; i++, p += part_len)
    memcpy(p, part, part_len);
  p = stpcpy(p, tail);
  *len = (size_t)(p - text);
  return text;
}

static void test_depth(void **state) {
  size_t len, open = GN_JSON_DEPTH - 2;
  char *head, *text;
  struct found f;
  (void)state;
  for (; open <= GN_JSON_DEPTH; open++) {
    head = repeat("{\"a\":", "[", open, "1", &len);
    text = repeat(head, "]", open, "}", &len);
    split(text, len, "a", 100, LARGE, false, &f);
    assert_int_equal(f.err.kind == GN_OK, open < GN_JSON_DEPTH);
    free(head);
    free(text);
  }
}

static void test_limits(void **state) {
  static const struct {
    const char *text;
    size_t max;
    bool good;
  } cases[] = {
    {"[{\"a\":\"0123456789\"}]", 18, true},
    {"[{\"a\":\"0123456789\"}]", 17, false},
    {"[1,{\"a\":\"0123456789\"},2]", 17, false},
    {"[1,\"0123456789abcdef\"]", 18, true},
    {"[1,\"0123456789abcdef\"]", 17, false},
    {"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]", 2, true},
  };
  size_t i, n;
  (void)state;
  for (i = 0; i < COUNT(cases); i++)
    for (n = 1; n <= strlen(cases[i].text); n++) {
      struct found f;
      split(cases[i].text, strlen(cases[i].text), "", n, cases[i].max, false,
            &f);
      if (cases[i].good != (f.err.kind == GN_OK))
        fail_msg("%s by %zu: %s", cases[i].text, n, f.err.message);
      if (!cases[i].good) {
        assert_int_equal(f.err.kind, GN_TOO_LARGE);
        assert_string_equal(f.err.code, "item");
      }
    }
}

/* Much text beside the list needs no room, one long text in it is read in a
 * time that grows with its length. */
static void test_long(void **state) {
  size_t len;
  struct found f;
  char *text = repeat("{\"x\":[0", ",[1,{}]", 100000, "],\"a\":[7]}", &len);
  (void)state;
  split(text, len, "a", 1000, 64, false, &f);
  assert_int_equal(f.err.kind, GN_OK);
  assert_string_equal(f.items, "[7]");
  free(text);
  text = repeat("[\"", "\\\"\xc3\xa9 abc", 400000, "\"]", &len);
  split(text, len, "", 100, 2 * len, false, &f);
  assert_int_equal(f.err.kind, GN_OK);
  assert_int_equal(f.count, 1);
  free(text);
}

/* What goes away meanwhile is not remembered: a document of any length. */
static void test_batches(void **state) {
  struct gn_error err = {0};
  struct gn_json_split *s = gn_json_split_new("", 1000, &err);
  struct gn_batch *b;
  size_t i, count = 0;
  (void)state;
  assert_int_equal(gn_json_split_feed(s, "[-1", 3, &err), 0);
  for (i = 0; i < 50000; i++) {
    char text[64];
    int len = snprintf(text, sizeof text, ",{\"id\":%zu}", i);
    assert_int_equal(gn_json_split_feed(s, text, (size_t)len, &err), 0);
    if (gn_json_split_ready(s) < 4096)
      continue;
    assert_int_equal(gn_json_split_take(s, &b, &err), 0);
    count += b->count;
    assert_true(b->len < 5000);
    assert_int_equal(gn_json_split_ready(s), 0);
    gn_batch_free(b);
  }
  assert_int_equal(gn_json_split_feed(s, "]", 1, &err), 0);
  assert_int_equal(gn_json_split_end(s, &err), 0);
  assert_int_equal(gn_json_split_take(s, &b, &err), 0);
  assert_int_equal(count + b->count, 50001);
  gn_batch_free(b);
  gn_json_split_reset(s);
  assert_int_equal(gn_json_split_feed(s, "[3]", 3, &err), 0);
  assert_int_equal(gn_json_split_end(s, &err), 0);
  gn_json_split_free(s);
}

/* One text of the suite as a document, an element, and beside the list. */
static void compare(const char *name, const char *text, size_t len) {
  static const char *const frames[][3] = {
    {"", "", ""}, {"[1,", "]", ""}, {"{\"x\":", ",\"a\":[2]}", "a"},
    {"{\"a\":[2],\"x\":", "}", "a"},
  };
  static const size_t pieces[] = {1, 2, 3, 5, 13, 100000};
  size_t i, k;
  for (i = 0; i < COUNT(frames); i++) {
    size_t head = strlen(frames[i][0]), tail = strlen(frames[i][1]);
    char *whole = malloc(head + len + tail + 1);
    struct gn_error err;
    struct found f;
    bool good;
    memcpy(whole, frames[i][0], head);
    memcpy(whole + head, text, len);
    memcpy(whole + head + len, frames[i][1], tail);
    good = gn_json_check(whole, head + len + tail, 0, &err) == 0;
    for (k = 0; k < COUNT(pieces); k++) {
      bool no_list, as_good;
      split(whole, head + len + tail, frames[i][2], pieces[k], LARGE, k % 2,
            &f);
      no_list = strncmp(f.err.message, "expected a list", 15) == 0;
      as_good = f.err.kind == GN_OK || (i == 0 && no_list);
      if (as_good != good && !no_list)
        fail_msg("%s, frame %zu by %zu: %s", name, i, pieces[k],
                 f.err.message);
    }
    free(whole);
  }
}

static void test_suite(void **state) {
  static char text[1 << 20];
  static const char folder[] =
      GARNER_SOURCE_DIR "/../shared/data/JSONTestSuite/test_parsing";
  DIR *dir = opendir(folder);
  struct dirent *entry;
  (void)state;
  if (!dir)
    skip();
  while ((entry = readdir(dir))) {
    char path[1024];
    FILE *file;
    size_t len;
    if (entry->d_name[0] == '.')
      continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    file = fopen(path, "rb");
    assert_non_null(file);
    len = fread(text, 1, sizeof text, file);
    fclose(file);
    compare(entry->d_name, text, len);
  }
  closedir(dir);
}

#ifdef GN_FAULTS
static void test_memory(void **state) {
  static const char text[] = "{\"a\":[1,{\"b\":\"ccccccccccccccc\"},3]}";
  long n;
  (void)state;
  for (n = 0; n < 20; n++) {
    struct gn_error err = {0};
    struct gn_json_split *s;
    struct gn_batch *b = NULL;
    int rc;
    gn_alloc_fail_after(n, 0);
    s = gn_json_split_new("a", 1000, &err);
    rc = s ? gn_json_split_feed(s, text, sizeof text - 1, &err) : -1;
    if (rc == 0)
      rc = gn_json_split_take(s, &b, &err);
    gn_alloc_fail_after(-1, 0);
    if (rc == 0) {
      assert_int_equal(b->count, 3);
      gn_batch_free(b);
      gn_json_split_free(s);
      break;
    }
    assert_int_equal(err.kind, GN_MEMORY);
    gn_json_split_free(s);
  }
  assert_in_range(n, 4, 19);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_items), cmocka_unit_test(test_each),
    cmocka_unit_test(test_refused), cmocka_unit_test(test_depth),
    cmocka_unit_test(test_limits), cmocka_unit_test(test_long),
    cmocka_unit_test(test_batches), cmocka_unit_test(test_suite),
#ifdef GN_FAULTS
    cmocka_unit_test(test_memory),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

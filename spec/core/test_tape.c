/* Owns: the checks of src/core/tape.c: a tape says what the reader's events
 * say, and picks what gn_json_pick picks.
 * Must not: need any file, or link more than json, tape, error and alloc.
 */
#include "tape.h"

#include "alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define LARGEST 40000

static uint32_t seed;

static unsigned random_below(unsigned n) {
  seed = seed * 1664525u + 1013904223u;
  return (unsigned)((uint64_t)seed * n >> 32);
}

/* Reads a tape beside the events of its text. */
struct check {
  struct gn_json_reader r;         /* of the text */
  const struct gn_tape *t;         /* what is checked */
  size_t i;                        /* its next word */
  size_t open[GN_JSON_DEPTH];      /* the words of what is open */
  unsigned children[GN_JSON_DEPTH];/* so far */
  const char *keys[GN_TAPE_KEYS];  /* what their numbers stand for */
  size_t lens[GN_TAPE_KEYS];       /* their bytes */
  size_t escaped_max;              /* seen so far */
  unsigned depth;                  /* likewise */
};

static void check_key(struct check *c, uint64_t w) {
  unsigned n = GN_TAPE_KEY_OF(w);
  if (n == GN_TAPE_NO_KEY) {
    assert_false(w & GN_TAPE_FIRST);
    return;
  }
  assert_true(n < GN_TAPE_KEYS);
  assert_false(w & GN_TAPE_ESCAPED);
  if (w & GN_TAPE_FIRST) {
    c->keys[n] = c->r.token;
    c->lens[n] = c->r.token_len;
  }
  assert_non_null(c->keys[n]);
  assert_int_equal(c->lens[n], c->r.token_len);
  assert_memory_equal(c->keys[n], c->r.token, c->r.token_len);
}

static void check_number(struct check *c, uint64_t w) {
  double want, got;
  bool integer = c->r.number == GN_JSON_INTEGER;
  switch (GN_TAPE_TYPE(w)) {
  case GN_TAPE_SHORT:
    assert_true(integer && c->r.integer == GN_TAPE_SHORT_VALUE(w));
    break;
  case GN_TAPE_LONG:
    assert_true(integer && c->r.integer == (int64_t)c->t->words[c->i++]);
    break;
  case GN_TAPE_REAL:
    assert_int_equal(c->r.number, GN_JSON_REAL);
    assert_true(gn_json_double(&c->r, &want));
    memcpy(&got, &c->t->words[c->i++], sizeof got);
    assert_memory_equal(&got, &want, sizeof got);
    break;
  default:
    assert_int_equal(GN_TAPE_TYPE(w), GN_TAPE_NUMBER);
    assert_true(c->r.number == GN_JSON_BIG_INTEGER ||
                !gn_json_double(&c->r, &want));
  }
}

static void check_token(struct check *c, uint64_t w) {
  bool text = GN_TAPE_TYPE(w) == GN_TAPE_STRING ||
              GN_TAPE_TYPE(w) == GN_TAPE_KEY;
  size_t len = GN_TAPE_TYPE(w) == GN_TAPE_SHORT ? GN_TAPE_SHORT_LEN(w)
                                                : GN_TAPE_LEN(w);
  assert_ptr_equal(c->t->text + GN_TAPE_OFFSET(w), c->r.token);
  assert_int_equal(len, c->r.token_len);
  if (GN_TAPE_TYPE(w) != GN_TAPE_SHORT)
    assert_int_equal(w & GN_TAPE_ESCAPED ? 1 : 0, text && c->r.escaped);
  if (text && c->r.escaped && len > c->escaped_max)
    c->escaped_max = len;
}

static void check_end(struct check *c) {
  size_t at = c->open[c->r.depth];
  uint64_t w = c->t->words[at], counts = c->t->words[at + 1];
  assert_int_equal(GN_TAPE_COUNT(counts), c->children[c->r.depth]);
  assert_int_equal(GN_TAPE_AFTER(counts), c->i);
  assert_ptr_equal(c->t->text + GN_TAPE_OFFSET(w) + GN_TAPE_LEN(w), c->r.p);
}

static void check_event(struct check *c, enum gn_json_event event) {
  static const enum gn_tape_type types[] = {
    [GN_JSON_GET_NULL] = GN_TAPE_NULL, [GN_JSON_GET_FALSE] = GN_TAPE_FALSE,
    [GN_JSON_GET_TRUE] = GN_TAPE_TRUE, [GN_JSON_GET_STRING] = GN_TAPE_STRING,
    [GN_JSON_GET_KEY] = GN_TAPE_KEY, [GN_JSON_GET_ARRAY] = GN_TAPE_ARRAY,
    [GN_JSON_GET_OBJECT] = GN_TAPE_OBJECT,
  };
  bool opens = event == GN_JSON_GET_ARRAY || event == GN_JSON_GET_OBJECT;
  unsigned around = c->r.depth - opens;
  uint64_t w;
  if (event >= GN_JSON_GET_ARRAY_END) {
    check_end(c);
    return;
  }
  assert_true(c->i < c->t->count);
  w = c->t->words[c->i++];
  if (around > 0 && event != GN_JSON_GET_KEY)
    c->children[around - 1]++;
  if (event != GN_JSON_GET_NUMBER)
    assert_int_equal(GN_TAPE_TYPE(w), types[event]);
  if (opens) {
    assert_ptr_equal(c->t->text + GN_TAPE_OFFSET(w), c->r.token);
    c->open[around] = c->i++ - 1;
    c->children[around] = 0;
    c->depth = c->depth < c->r.depth ? c->r.depth : c->depth;
    return;
  }
  check_token(c, w);
  if (event == GN_JSON_GET_KEY)
    check_key(c, w);
  else if (event == GN_JSON_GET_NUMBER)
    check_number(c, w);
}

/* Returns what gn_tape_new did; the text is copied, so that sanitizers see any
 * byte read beyond it. */
static int check_text(const char *source, size_t len) {
  static struct check c;
  char *text = malloc(len ? len : 1);
  struct gn_error err, want;
  struct gn_tape *t;
  enum gn_json_event event;
  int rc;
  memcpy(text, source, len);
  memset(&c, 0, sizeof c);
  rc = gn_tape_new(text, len, &t, &err);
  assert_int_equal(t ? 1 : 0, rc == 1);
  c.t = t;
  gn_json_reader_init(&c.r, text, len, 0);
  while (rc == 1 && (event = gn_json_next(&c.r)) > GN_JSON_GET_END)
    check_event(&c, event);
  if (rc == 1) {
    assert_int_equal(event, GN_JSON_GET_END);
    assert_int_equal(c.i, t->count);
    assert_int_equal(c.depth, t->depth);
    assert_int_equal(c.escaped_max, t->escaped_max);
  } else if (rc == -1) {
    assert_int_equal(gn_json_check(text, len, 0, &want), -1);
    assert_string_equal(err.message, want.message);
    assert_string_equal(err.code, want.code);
  }
  gn_tape_free(t);
  free(text);
  return rc;
}

static void test_texts(void **state) {
  static const char *const good[] = {
    "1", " \"x\" ", "null", "[]", "{}", "[[],{},[{}]]", "-0", "[-0.0,0,1e400]",
    "[2147483647,-2147483648,2147483648,-2147483649,9223372036854775807,"
    "-9223372036854775808,9223372036854775808,1.5,-1e-7,-9,10]",
    "{\"a\":1,\"a\":2,\"\\u0061\":[3]}", "{\"\":\"\",\"x\":\"\\n\"}",
    "[true , false,null , \"caf\xc3\xa9\", \"\\ud83d\\ude00\" ] ",
    "{\"k1234567890123456789012345678901\":1,"
    "\"k1234567890123456789012345678901\":2,"
    "\"1234567890123456789012345678901\":3}",
  };
  static const char *const bad[] = {
    "", " ", "[", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "[1}", "{]",
    "01", "-", "1.", "nul", "\"\n\"", "\"\xff\"", "[1] x", "\"\\ud800\"",
    "{\"a\":1 \"b\":2}", "\xef\xbb\xbf[]", "{1:2}", "[1 2]",
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(good); i++)
    assert_int_equal(check_text(good[i], strlen(good[i])), 1);
  for (i = 0; i < COUNT(bad); i++)
    assert_int_equal(check_text(bad[i], strlen(bad[i])), -1);
  assert_int_equal(check_text("[1]\0", 4), -1);
}

struct document {
  char text[LARGEST]; /* what was made so far */
  size_t len;         /* bytes of it */
};

static void put(struct document *d, const char *text) {
  size_t n = strlen(text);
  assert_true(d->len + n < LARGEST);
  memcpy(d->text + d->len, text, n);
  d->len += n;
}

static void put_key(struct document *d, unsigned kinds) {
  char key[64];
  if (random_below(12) == 0)
    snprintf(key, sizeof key, "\"k\\u003%u\":", random_below(8));
  else
    snprintf(key, sizeof key, "\"%.*s%u\"%s:", (int)random_below(33),
             "abcdefghijklmnopqrstuvwxyzabcdefgh", random_below(kinds),
             random_below(6) ? "" : " ");
  put(d, key);
}

static void put_value(struct document *d, unsigned depth, unsigned kinds) {
  static const char *const scalars[] = {
    "0", "17", "-4", "1.25", "-0", "2e3", "4000000000", "true", "false", "null",
    "\"\"", "\"some text\"", "\"tab\\t\"", "\"\xe4\xb8\xad\xe6\x96\x87\"",
    "99999999999999999999", "1e999", "\"a longer text, beyond sixteen bytes\"",
  };
  unsigned i, n = random_below(7);
  bool object = random_below(2);
  if (depth == 0 || d->len > LARGEST / 2 || random_below(3) == 0) {
    put(d, scalars[random_below(COUNT(scalars))]);
    return;
  }
  put(d, object ? "{" : "[");
  for (i = 0; i < n; i++) {
    put(d, i == 0 ? "" : random_below(5) ? "," : " ,\n ");
    if (object)
      put_key(d, kinds);
    put_value(d, depth - 1, kinds);
  }
  put(d, object ? "}" : "]");
}

static void test_generated(void **state) {
  static struct document d;
  unsigned i;
  (void)state;
  seed = 11;
  for (i = 0; i < 1500; i++) {
    unsigned cut;
    d.len = 0;
    put_value(&d, 6, i % 3 ? 3 : 90);
    assert_int_equal(check_text(d.text, d.len), 1);
    cut = random_below((unsigned)d.len);
    check_text(d.text, cut);
    d.text[cut] = (char)random_below(256);
    check_text(d.text, d.len);
  }
}

static char *repeated(const char *first, const char *text, size_t times,
                      const char *last) {
  size_t n = strlen(text), at = strlen(first), i;
  char *out = malloc(at + n * times + strlen(last) + 1);
  memcpy(out, first, at);
  for (i = 0; i < times; i++)
    memcpy(out + at + i * n, text, n);
  strcpy(out + at + n * times, last);
  return out;
}

static int check_free(char *text) {
  int rc = check_text(text, strlen(text));
  free(text);
  return rc;
}

static void test_limits(void **state) {
  char deepest[8 * GN_JSON_DEPTH];
  int i;
  char *blank = repeated("", " ", GN_TAPE_TEXT_MAX, "1");
  (void)state;
  memset(deepest, ' ', sizeof deepest);
  for (i = 0; i < 2 * GN_JSON_DEPTH; i++)
    deepest[4 * i] = i < GN_JSON_DEPTH ? '[' : ']';
  assert_int_equal(check_text(deepest, sizeof deepest), 1);
  assert_int_equal(check_text(deepest, sizeof deepest / 2), -1);
  deepest[4 * GN_JSON_DEPTH] = '[';
  assert_int_equal(check_text(deepest, sizeof deepest), -1);
  /* Words grow with the text, but only so far. */
  assert_int_equal(check_free(repeated("[", "12,", 50000, "3]")), 1);
  assert_int_equal(check_free(repeated("[", "[],", 50000, "0]")), 0);
  assert_int_equal(check_text(blank + 1, GN_TAPE_TEXT_MAX), 1);
  assert_int_equal(check_free(blank), 0);
}

/* Both ways to pick agree, whatever is asked for. */
static void test_pick(void **state) {
  static const char *const paths[] = {
    "", "a", "a.b", "0", "1.0", "a.0", "0.a", "abc.1", "abcd0", "1", "k3",
  };
  static const char twice[] =
      "{\"a\":{\"b\":1},\"a\":{\"x\":[1,2]},\"\\u0061\":[{\"a\":2147483648}]}";
  struct gn_json_slice got[COUNT(paths)], want[COUNT(paths)];
  static struct document d;
  unsigned i, k;
  (void)state;
  seed = 5;
  for (i = 0; i < 600; i++) {
    struct gn_error err;
    struct gn_tape *t;
    d.len = 0;
    if (i == 0)
      put(&d, twice);
    else
      put_value(&d, 4, 2);
    assert_int_equal(gn_tape_new(d.text, d.len, &t, &err), 1);
    assert_int_equal(gn_json_pick(d.text, d.len, paths, COUNT(paths), want,
                                  &err), 0);
    assert_int_equal(gn_tape_pick(t, paths, COUNT(paths), got, &err), 0);
    for (k = 0; k < COUNT(paths); k++) {
      assert_int_equal(got[k].type, want[k].type);
      if (got[k].type == GN_JSON_ABSENT)
        continue;
      assert_ptr_equal(got[k].text, want[k].text);
      assert_int_equal(got[k].len, want[k].len);
    }
    gn_tape_free(t);
  }
}

static void test_pick_limit(void **state) {
  char dots[40];
  const char *path = dots;
  struct gn_json_slice out;
  struct gn_error err;
  struct gn_tape *t;
  (void)state;
  memset(dots, '.', 32);
  dots[32] = '\0';
  assert_int_equal(gn_tape_new("[]", 2, &t, &err), 1);
  assert_int_equal(gn_tape_pick(t, &path, 1, &out, &err), -1);
  assert_string_equal(err.code, "path");
  dots[31] = '\0';
  assert_int_equal(gn_tape_pick(t, &path, 1, &out, &err), 0);
  assert_int_equal(out.type, GN_JSON_ABSENT);
  gn_tape_free(t);
}

#ifdef GN_FAULTS
static void test_memory(void **state) {
  char *text = repeated("[", "{\"a\":[1,2,\"x\"]},", 300, "0]");
  struct gn_error err;
  struct gn_tape *t;
  int n, rc = 0;
  (void)state;
  for (n = 0; n < 10 && rc == 0; n++) {
    gn_alloc_fail_after(n, 0);
    rc = gn_tape_new(text, strlen(text), &t, &err);
    gn_alloc_fail_after(-1, 0);
    assert_int_equal(t ? 1 : 0, rc);
    gn_tape_free(t);
  }
  assert_int_equal(rc, 1);
  assert_true(n > 2);
  free(text);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_texts), cmocka_unit_test(test_generated),
    cmocka_unit_test(test_limits), cmocka_unit_test(test_pick),
    cmocka_unit_test(test_pick_limit),
#ifdef GN_FAULTS
    cmocka_unit_test(test_memory),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

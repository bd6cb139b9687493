/* Owns: the checks of what the JSON reader gives: events, keys that were
 * guessed, numbers.
 * Must not: need any file, or link more than json, error, alloc and buf.
 */
#include "json_step.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static uint32_t seed;

static unsigned random_below(unsigned n) {
  seed = seed * 1664525u + 1013904223u;
  return (unsigned)((uint64_t)seed * n >> 32);
}

static void test_events(void **state) {
  static const char text[] =
      "{\"a\":[1,2.5,\"x\\n\",null],\"b\":{},\"c\":true}";
  static const enum gn_json_event want[] = {
    GN_JSON_GET_OBJECT, GN_JSON_GET_KEY, GN_JSON_GET_ARRAY,
    GN_JSON_GET_NUMBER, GN_JSON_GET_NUMBER, GN_JSON_GET_STRING,
    GN_JSON_GET_NULL, GN_JSON_GET_ARRAY_END, GN_JSON_GET_KEY,
    GN_JSON_GET_OBJECT, GN_JSON_GET_OBJECT_END, GN_JSON_GET_KEY,
    GN_JSON_GET_TRUE, GN_JSON_GET_OBJECT_END, GN_JSON_GET_END, GN_JSON_GET_END
  };
  static const unsigned depths[] = {1, 1, 2, 2, 2, 2, 2, 1,
                                    1, 2, 1, 1, 1, 0, 0, 0};
  struct gn_json_reader r;
  size_t i;
  (void)state;
  gn_json_reader_init(&r, text, sizeof text - 1, 0);
  for (i = 0; i < COUNT(want); i++) {
    assert_int_equal(gn_json_next(&r), want[i]);
    assert_int_equal(r.depth, depths[i]);
    if (want[i] == GN_JSON_GET_STRING) {
      assert_true(r.escaped);
      assert_int_equal(r.token_len, 3);
      assert_memory_equal(r.token, "x\\n", 3);
    }
  }
  gn_json_reader_init(&r, "[x  ", 4, 0);
  assert_int_equal(gn_json_next(&r), GN_JSON_GET_ARRAY);
  for (i = 0; i < 3; i++) {  /* once failed, failed for good */
    assert_int_equal(gn_json_next(&r), GN_JSON_GET_FAILED);
    assert_int_equal(gn_json_reader_offset(&r), 1);
  }
}

static void test_guess(void **state) {
  static const char *const keys[] = {
    "a", "b", "name", "namf", "name1", "12345678", "12345679", "x2345678",
    "123456789012345", "1234567890123456", "12345678901234567",
    "1234567890123456789012345678901", "1234567890123456789012345678902",
  };
  size_t i, k, tail;
  (void)state;
  for (i = 0; i < COUNT(keys); i++)
    for (k = 0; k < COUNT(keys); k++)
      for (tail = 0; tail <= 50; tail += 25) {
        bool same = strcmp(keys[i], keys[k]) == 0;
        struct gn_json_reader r;
        char text[160];
        snprintf(text, sizeof text, "{\"%s\":1,\"%s\" :2%*s}", keys[i], keys[k],
                 (int)tail, "");
        gn_json_reader_init(&r, text, strlen(text), 0);
        assert_int_equal(gn_json_next(&r), GN_JSON_GET_OBJECT);
        assert_int_equal(gn_json_next(&r), GN_JSON_GET_KEY);
        assert_false(r.guessed);
        r.guess = r.token;
        r.guess_len = (unsigned)r.token_len;
        assert_int_equal(gn_json_next(&r), GN_JSON_GET_NUMBER);
        assert_int_equal(gn_json_next(&r), GN_JSON_GET_KEY);
        if (!same || tail == 50)
          assert_true(r.guessed == same || !GN_JSON_WORDS);
        assert_int_equal(r.token_len, strlen(keys[k]));
        assert_memory_equal(r.token, keys[k], r.token_len);
        assert_int_equal(gn_json_next(&r), GN_JSON_GET_NUMBER);
        assert_int_equal(r.integer, 2);
        assert_int_equal(gn_json_next(&r), GN_JSON_GET_OBJECT_END);
        assert_int_equal(gn_json_next(&r), GN_JSON_GET_END);
      }
}

static struct gn_json_reader read_number(const char *text) {
  struct gn_json_reader r;
  gn_json_reader_init(&r, text, strlen(text), 0);
  if (gn_json_next(&r) != GN_JSON_GET_NUMBER)
    fail_msg("%s is no number", text);
  return r;
}

static void test_integers(void **state) {
  static const struct {
    const char *text;
    enum gn_json_number number;
    int64_t value;
  } cases[] = {
    {"0", GN_JSON_INTEGER, 0},
    {"-0", GN_JSON_REAL, 0},
    {"-1", GN_JSON_INTEGER, -1},
    {"9007199254740993", GN_JSON_INTEGER, 9007199254740993},
    {"999999999999999999", GN_JSON_INTEGER, 999999999999999999},
    {"1000000000000000000", GN_JSON_INTEGER, 1000000000000000000},
    {"9223372036854775807", GN_JSON_INTEGER, INT64_MAX},
    {"-9223372036854775808", GN_JSON_INTEGER, INT64_MIN},
    {"9223372036854775808", GN_JSON_BIG_INTEGER, 0},
    {"-9223372036854775809", GN_JSON_BIG_INTEGER, 0},
    {"9999999999999999999", GN_JSON_BIG_INTEGER, 0},
    {"10000000000000000000", GN_JSON_BIG_INTEGER, 0},
    {"18446744073709551616", GN_JSON_BIG_INTEGER, 0},
    {"100000000000000000000000000", GN_JSON_BIG_INTEGER, 0},
    {"1.0", GN_JSON_REAL, 0},
    {"1e0", GN_JSON_REAL, 0},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_json_reader r = read_number(cases[i].text);
    assert_int_equal(r.number, cases[i].number);
    if (r.number == GN_JSON_INTEGER)
      assert_true(r.integer == cases[i].value);
    assert_int_equal(r.token_len, strlen(cases[i].text));
  }
}

/* The C locale is in force: strtod is the judge. */
static void assert_as_strtod(const char *text) {
  struct gn_json_reader r = read_number(text);
  double want = strtod(text, NULL), got = 42;
  bool finite = gn_json_double(&r, &got);
  assert_int_equal(finite, isfinite(want) != 0);
  if (finite && memcmp(&want, &got, sizeof got) != 0)
    fail_msg("%s: %.17g, wanted %.17g", text, got, want);
}

static void test_doubles(void **state) {
  static const char *const cases[] = {
    "0.0", "-0", "-0.0", "0e99999", "-0e-1", "1.5", "0.1", "-0.1", "1e22",
    "1e23", "1e-22", "1e-23", "9007199254740992.0", "9007199254740993.0",
    "9007199254740991e22", "123456789012345678e5", "1.7976931348623157e308",
    "1.7976931348623159e308", "-1e309", "1e400", "1e99999999999999999999",
    "4.9e-324", "2.4703282292062327e-324", "2.4703282292062328e-324",
    "2.2250738585072011e-308", "2.2250738585072014e-308", "1e-400",
    "1e-99999999999999999999", "0.000000000000000000000000000000000001",
    "100000000000000000000000000000000000.0",
    "1.00000000000000011102230246251565",
    "1.00000000000000011102230246251564", "179769313486231580793e289",
    "0.30000000000000004", "8.41e21", "9.5e-5", "5e-324", "3e-324", "2e-324",
  };
  char text[2100];
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++)
    assert_as_strtod(cases[i]);
  seed = 1;
  for (i = 0; i < 20000; i++) {
    int exponent = (int)random_below(700) - 350;
    snprintf(text, sizeof text, "%u.%06u%06ue%d", random_below(100000),
             random_below(1000000), random_below(1000000), exponent);
    assert_as_strtod(text);
    snprintf(text, sizeof text, "-%u.%u", random_below(1000000),
             random_below(100000000));
    assert_as_strtod(text);
  }
  /* Halfway between two doubles, and a one far beyond any buffer. */
  memset(text, '0', sizeof text);
  memcpy(text, "9007199254740993.", 17);
  text[2000] = '\0';
  assert_as_strtod(text);
  text[1999] = '1';
  assert_as_strtod(text);
  /* Zeros that the exponent takes back. */
  memset(text, '0', sizeof text);
  text[1] = '.';
  memcpy(text + 1500, "7e1499", 7);
  assert_as_strtod(text);
  memset(text, '0', sizeof text);
  text[0] = '7';
  memcpy(text + 1500, "e-1500", 7);
  assert_as_strtod(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_events),
    cmocka_unit_test(test_guess),
    cmocka_unit_test(test_integers),
    cmocka_unit_test(test_doubles),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

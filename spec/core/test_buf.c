/* Owns: the checks of src/core/buf.c: growth, the limit, failing memory.
 * Must not: know who uses buffers.
 */
#include "buf.h"

#include "alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_append(void **state) {
  struct gn_buf b;
  (void)state;
  gn_buf_init(&b, 100);
  assert_null(b.data);
  assert_int_equal(gn_buf_append(&b, NULL, 0), GN_BUF_OK);
  assert_string_equal(b.data, "");
  assert_int_equal(gn_buf_append(&b, "a\0b", 3), GN_BUF_OK);
  assert_int_equal(gn_buf_append_text(&b, "text"), GN_BUF_OK);
  assert_int_equal(b.len, 7);
  assert_memory_equal(b.data, "a\0btext", 8);
  gn_buf_reset(&b);
  assert_int_equal(b.len, 0);
  assert_string_equal(b.data, "");
  assert_true(b.capacity > 0);
  gn_buf_free(&b);
  assert_null(b.data);
  gn_buf_free(&b);
  gn_buf_reset(&b);
}

/* A refused append leaves the buffer as it was, at every limit. */
static void test_limit(void **state) {
  static char data[2100];
  size_t max;
  (void)state;
  memset(data, 'x', sizeof data);
  for (max = 0; max <= 2048; max++) {
    struct gn_buf b;
    size_t half = max / 2;
    gn_buf_init(&b, max);
    assert_int_equal(gn_buf_append(&b, data, max + 1), GN_BUF_FULL);
    assert_null(b.data);
    assert_int_equal(gn_buf_append(&b, data, half), GN_BUF_OK);
    assert_int_equal(gn_buf_append(&b, data, max - half + 1), GN_BUF_FULL);
    assert_int_equal(b.len, half);
    assert_int_equal(strlen(b.data), half);
    assert_int_equal(gn_buf_append(&b, data, max - half), GN_BUF_OK);
    assert_int_equal(strlen(b.data), max);
    assert_int_equal(gn_buf_append(&b, "y", 1), GN_BUF_FULL);
    assert_int_equal(b.len, max);
    assert_in_range(b.capacity, max + 1, max + 1 + 256);
    gn_buf_free(&b);
  }
}

static void test_growth(void **state) {
  struct gn_buf b;
  size_t i, grown = 0, capacity = 0;
  (void)state;
  gn_buf_init(&b, (size_t)1 << 20);
  for (i = 0; i < (size_t)1 << 20; i++) {
    char c = (char)('a' + i % 26);
    assert_int_equal(gn_buf_append(&b, &c, 1), GN_BUF_OK);
    grown += b.capacity != capacity;
    capacity = b.capacity;
  }
  assert_in_range(grown, 1, 14);
  assert_int_equal(b.capacity, b.max + 1);
  for (i = 0; i < b.len; i++) {
    if (b.data[i] != (char)('a' + i % 26))
      fail_msg("byte %zu changed", i);
  }
  gn_buf_free(&b);
}

static void test_reserve(void **state) {
  struct gn_buf b;
  char *before;
  (void)state;
  gn_buf_init(&b, 5000);
  assert_int_equal(gn_buf_reserve(&b, 3000), GN_BUF_OK);
  before = b.data;
  assert_int_equal(b.len, 0);
  memset(b.data, 'x', 3000);
  assert_int_equal(gn_buf_reserve(&b, 3000), GN_BUF_OK);
  assert_ptr_equal(b.data, before);
  assert_int_equal(gn_buf_reserve(&b, 5001), GN_BUF_FULL);
  gn_buf_free(&b);
}

/* Sizes that wrap around must not look small. */
static void test_huge(void **state) {
  struct gn_buf b;
  (void)state;
  gn_buf_init(&b, SIZE_MAX);
  assert_int_equal(gn_buf_append(&b, "abc", 3), GN_BUF_OK);
  assert_int_equal(gn_buf_reserve(&b, SIZE_MAX - 3), GN_BUF_FULL);
  assert_int_equal(gn_buf_reserve(&b, SIZE_MAX), GN_BUF_FULL);
  assert_string_equal(b.data, "abc");
  gn_buf_free(&b);
}

static void test_steal(void **state) {
  struct gn_buf b;
  char *text;
  (void)state;
  gn_buf_init(&b, 10);
  assert_null(gn_buf_steal(&b));
  assert_int_equal(gn_buf_append_text(&b, "one"), GN_BUF_OK);
  text = gn_buf_steal(&b);
  assert_string_equal(text, "one");
  assert_null(b.data);
  assert_int_equal(b.len, 0);
  assert_int_equal(gn_buf_append_text(&b, "0123456789"), GN_BUF_OK);
  assert_string_equal(b.data, "0123456789");
  assert_string_equal(text, "one");
  gn_free(text);
  gn_buf_free(&b);
}

#ifdef GN_FAULTS
static void test_memory_fails(void **state) {
  struct gn_buf b;
  static char data[1000];
  (void)state;
  gn_buf_init(&b, sizeof data);
  gn_alloc_fail_after(0, 1);
  assert_int_equal(gn_buf_append_text(&b, "abc"), GN_BUF_MEMORY);
  assert_null(b.data);
  gn_alloc_fail_after(1, 1);
  assert_int_equal(gn_buf_append_text(&b, "abc"), GN_BUF_OK);
  assert_int_equal(gn_buf_append(&b, data, 900), GN_BUF_MEMORY);
  assert_int_equal(b.len, 3);
  assert_string_equal(b.data, "abc");
  gn_alloc_fail_after(-1, 0);
  assert_int_equal(gn_buf_append(&b, data, 900), GN_BUF_OK);
  gn_buf_free(&b);
}

static void test_alloc_helpers(void **state) {
  char *p;
  int i;
  (void)state;
  p = gn_alloc_zero(4);
  assert_memory_equal(p, "\0\0\0\0", 4);
  p = gn_realloc(p, 8);
  assert_non_null(p);
  gn_free(p);
  gn_free(NULL);
  p = gn_strndup("abcdef", 3);
  assert_string_equal(p, "abc");
  gn_free(p);
  p = gn_alloc(0);
  assert_non_null(p);
  gn_free(p);
  for (i = 0; i < 2; i++) {
    gn_alloc_fail_after(0, i);
    assert_null(gn_strdup("x"));
    p = gn_strdup("x");
    assert_true(i == 0 ? p != NULL : p == NULL);
    gn_free(p);
    assert_int_equal(gn_alloc_count(), 2);
  }
  gn_alloc_fail_after(-1, 0);
}
#endif

static void test_expect(void **state) {
  struct gn_buf b;
  (void)state;
  gn_buf_init(&b, 10);
  gn_buf_expect(&b, 11);
  assert_null(b.data);
  gn_buf_expect(&b, 4);
  assert_string_equal(b.data, "");
  assert_int_equal(b.capacity, 5);
  gn_buf_expect(&b, 9); /* it has some already */
  assert_int_equal(b.capacity, 5);
  assert_int_equal(gn_buf_append(&b, "abcd", 4), GN_BUF_OK);
  assert_int_equal(b.capacity, 5);
  assert_int_equal(gn_buf_append(&b, "efghij", 6), GN_BUF_OK);
  assert_string_equal(b.data, "abcdefghij");
  assert_int_equal(gn_buf_append(&b, "k", 1), GN_BUF_FULL);
  gn_buf_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_append),
    cmocka_unit_test(test_limit),
    cmocka_unit_test(test_growth),
    cmocka_unit_test(test_reserve),
    cmocka_unit_test(test_huge),
    cmocka_unit_test(test_steal),
    cmocka_unit_test(test_expect),
#ifdef GN_FAULTS
    cmocka_unit_test(test_memory_fails),
    cmocka_unit_test(test_alloc_helpers),
#endif
  };
#ifndef GN_FAULTS
  print_message("built without GN_FAULTS: no allocation is made to fail\n");
#endif
  return cmocka_run_group_tests(tests, NULL, NULL);
}

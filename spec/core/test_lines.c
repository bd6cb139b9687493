/* Owns: the checks of an attempt's header lines: their order, names, growth and
 * what is done with those that are owned. Must not: need a server.
 */
#include "lines.h"

#include "alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_order_and_growth(void **state) {
  static char texts[100][16];
  struct gn_lines l = {0};
  struct gn_error err;
  struct curl_slist *node;
  int i, round;
  (void)state;
  assert_null(gn_lines_list(&l));
  for (round = 0; round < 2; round++) {
    for (i = 0; i < 100; i++) {
      snprintf(texts[i], sizeof texts[i], "N%d: v", i);
      assert_int_equal(gn_lines_add(&l, texts[i], &err), 0);
      assert_ptr_equal(gn_lines_at(&l, (size_t)i), texts[i]);
    }
    for (i = 0, node = gn_lines_list(&l); node; node = node->next, i++)
      assert_ptr_equal(node->data, texts[i]);
    assert_int_equal(i, 100);
    gn_lines_clear(&l);
    assert_null(gn_lines_list(&l));
  }
}

static void test_owned_and_names(void **state) {
  struct gn_lines l = {0};
  struct gn_error err;
  (void)state;
  assert_int_equal(gn_lines_take(&l, gn_strdup("Authorization: x"), &err), 0);
  assert_int_equal(gn_lines_take(&l, NULL, &err), -1);
  assert_int_equal(err.kind, GN_MEMORY);
  assert_int_equal(gn_lines_add(&l, "Empty;", &err), 0);
  assert_true(gn_lines_have(&l, "authorization:"));
  assert_true(gn_lines_have(&l, "EMPTY: x"));
  assert_false(gn_lines_have(&l, "Author: x"));
  assert_false(gn_lines_have(&l, "Authorization-2: x"));
  gn_lines_clear(&l);
  assert_false(gn_lines_have(&l, "Authorization:"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_order_and_growth),
    cmocka_unit_test(test_owned_and_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

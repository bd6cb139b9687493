/* Owns: the checks of src/core/error.c: the kinds' stable texts and the fixed
 * storage. Must not: know who sets errors.
 */
#include "error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_kind_names(void **state) {
  static const char *const names[] = {
    "ok", "transport", "timeout", "cancelled", "memory", "unauthenticated",
    "forbidden", "not_found", "invalid", "throttled", "server", "protocol",
    "too_large", "truncated", "in_doubt", "file"};
  int i;
  (void)state;
  /* These are API; a new kind is added to this list on purpose. */
  assert_int_equal(GN_KIND_COUNT, sizeof names / sizeof *names);
  for (i = 0; i < GN_KIND_COUNT; i++)
    assert_string_equal(gn_kind_name((enum gn_kind)i), names[i]);
  assert_string_equal(gn_kind_name(GN_KIND_COUNT), "unknown");
  assert_string_equal(gn_kind_name((enum gn_kind)-1), "unknown");
}

static void test_set(void **state) {
  struct gn_error err;
  (void)state;
  memset(&err, 'x', sizeof err);
  assert_int_equal(gn_error_set(&err, GN_FILE, "ENOSPC", "%s of %d", "3", 4),
                   -1);
  assert_int_equal(err.kind, GN_FILE);
  assert_string_equal(err.code, "ENOSPC");
  assert_string_equal(err.message, "3 of 4");
  assert_int_equal(gn_error_set(&err, GN_SERVER, NULL, "%s", "new"), -1);
  assert_string_equal(err.code, "");
  assert_string_equal(err.message, "new");
  gn_error_clear(&err);
  assert_int_equal(err.kind, GN_OK);
  assert_string_equal(err.code, "");
  assert_string_equal(err.message, "");
}

static void test_memory(void **state) {
  struct gn_error err;
  (void)state;
  assert_int_equal(gn_error_memory(&err), -1);
  assert_int_equal(err.kind, GN_MEMORY);
  assert_string_equal(err.code, "memory");
  assert_string_equal(err.message, "out of memory");
}

static void test_nobody_listens(void **state) {
  (void)state;
  assert_int_equal(gn_error_set(NULL, GN_FILE, "code", "%s", "text"), -1);
  assert_int_equal(gn_error_memory(NULL), -1);
}

static void test_long_text_is_cut(void **state) {
  static char text[2000];
  struct gn_error err;
  (void)state;
  memset(text, 'x', sizeof text - 1);
  assert_int_equal(gn_error_set(&err, GN_PROTOCOL, text, "%s", text), -1);
  assert_int_equal(err.kind, GN_PROTOCOL);
  assert_int_equal(strlen(err.code), sizeof err.code - 1);
  assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_kind_names),
    cmocka_unit_test(test_set),
    cmocka_unit_test(test_memory),
    cmocka_unit_test(test_nobody_listens),
    cmocka_unit_test(test_long_text_is_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

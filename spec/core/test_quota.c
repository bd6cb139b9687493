/* Owns: the checks of src/core/quota.c: what headers say about the rate, in
 * every spelling that is read.
 * Must not: use a clock or the network.
 */
#include "quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define T(text) ((char[]){text})
#define WALL 1800000000.0
#define COUNT(a) (sizeof(a) / sizeof *(a))

static double wait_of(const struct gn_quota_rules *rules, const char *text) {
  struct gn_buf headers;
  double wait;
  gn_buf_init(&headers, 4096);
  gn_buf_append_text(&headers, text);
  wait = gn_quota_wait(rules, &headers, WALL);
  gn_buf_free(&headers);
  return wait;
}

static void check(const struct gn_quota_rules *rules, const char *text,
                  double want) {
  double got = wait_of(rules, text);
  if (got < want - 1e-6 || got > want + 1e-6)
    fail_msg("%s: %g, not %g", text, got, want);
}

static void test_standard(void **state) {
  static const struct {
    const char *text;
    double want;
  } rows[] = {
    {"", 0},
    {"Content-Type: text/plain\r\n", 0},
    {"RateLimit-Limit: 100\r\nRateLimit-Remaining: 0\r\n"
     "RateLimit-Reset: 5\r\n", 5},
    {"ratelimit-remaining: 0\r\nratelimit-reset: 2.5\r\n", 2.5},
    {"RateLimit-Remaining: 1\r\nRateLimit-Reset: 5\r\n", 0},
    {"RateLimit-Remaining: 0\r\n", -1},
    {"RateLimit-Remaining: 0\r\nRateLimit-Reset: soon\r\n", -1},
    {"RateLimit-Remaining: none\r\nRateLimit-Reset: 5\r\n", 0},
    {"RateLimit-Remaining: -1\r\nRateLimit-Reset: 5\r\n", 0},
    {"RateLimit-Remaining: \r\nRateLimit-Reset: 5\r\n", 0},
    {"RateLimit-Remaining: 0\r\nRateLimit-Reset: 0\r\n", 0},
    {"X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 7\r\n", 7},
    {"X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1800000030\r\n", 30},
    {"X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1800000030500\r\n", 30.5},
    {"X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1799999000\r\n", 0},
    {"x-rate-limit-remaining: 0\r\nx-rate-limit-reset: 3\r\n", 3},
    {"RateLimit: limit=100, remaining=0, reset=50\r\n", 50},
    {"RateLimit: limit=100, remaining=9, reset=50\r\n", 0},
    {"RateLimit: \"default\";r=0;t=30\r\n", 30},
    {"RateLimit: \"a\";r=5;t=60, \"b\";r=0;t=12\r\n", 12},
    {"RateLimit: \"a\";r=0, \"b\";r=5;t=12\r\n", 0},
    {"RateLimit: \"a\";t=12;r=0\r\n", 12},
    {"RateLimit: ;;,,==\r\n", 0},
    {"RateLimit: r\r\n", 0},
    {"RateLimit: r=0;t\r\n", 0},
    {"RateLimit:\r\n", 0},
    {"RateLimit: \"x\";r=0;t=5\r\nRateLimit-Remaining: 0\r\n"
     "RateLimit-Reset: 9\r\n", 9},
  };
  static const struct gn_quota_rules none = {0};
  static const struct gn_quota_rules off = {.off = true};
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(rows); i++) {
    check(&none, rows[i].text, rows[i].want);
    check(&off, rows[i].text, 0);
  }
}

static void test_own_names(void **state) {
  struct gn_quota_rules left = {.remaining = T("X-Left"),
                                       .reset = T("X-When")};
  struct gn_quota_rules used = {.used = T("X-Calls"), .reset = T("X-When")};
  struct gn_quota_rules two = {.used = T("X-Calls"), .limit = T("X-Most")};
  (void)state;
  check(&left, "x-left: 0\r\nx-when: 4\r\n", 4);
  check(&left, "x-left: 3\r\nx-when: 4\r\n", 0);
  check(&left, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 7\r\n", 0);
  check(&left, "x-left: 0\r\nx-when: 1800000009\r\n", 9);
  left.reset_kind = GN_QUOTA_SECONDS;
  check(&left, "x-left: 0\r\nx-when: 1800000009\r\n", 1800000009.0);
  left.reset_kind = GN_QUOTA_EPOCH;
  check(&left, "x-left: 0\r\nx-when: 9\r\n", 0);
  check(&used, "X-Calls: 40/40\r\nX-When: 2\r\n", 2);
  check(&used, "X-Calls: 39/40\r\nX-When: 2\r\n", 0);
  check(&used, "X-Calls: 41/40\r\n", -1);
  check(&used, "X-Calls: 40\r\n", 0);
  check(&used, "X-Calls: 40/x\r\n", 0);
  check(&two, "X-Calls: 40\r\nX-Most: 40\r\n", -1);
  check(&two, "X-Calls: 1\r\nX-Most: 40\r\n", 0);
}

static void test_copy(void **state) {
  struct gn_quota_rules from = {.remaining = T("a"), .used = T("b"),
                                .limit = T("c"),
                                .reset = T("d"), .reset_kind = GN_QUOTA_EPOCH};
  struct gn_quota_rules to = {0};
  struct gn_error err;
  (void)state;
  assert_int_equal(gn_quota_copy(&to, &from, &err), 0);
  assert_string_equal(to.remaining, "a");
  assert_string_equal(to.reset, "d");
  assert_ptr_not_equal(to.limit, from.limit);
  assert_int_equal(to.reset_kind, GN_QUOTA_EPOCH);
  gn_quota_destroy(&to);
  assert_null(to.used);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_standard),
    cmocka_unit_test(test_own_names),
    cmocka_unit_test(test_copy),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Owns: what libcurl may tell of sockets, in whatever number and order: newer
 * releases tell of more than the one that the tests run with.
 * Must not: connect anywhere.
 */
#include "../../src/core/sockets.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MANY = 700 };

static int tell(struct gn_sockets *s, int fd, int what, size_t place) {
  return on_socket(NULL, fd, what, s, (void *)(uintptr_t)place);
}

/* More of them than the handles that were added account for. */
static void test_many(void **state) {
  struct gn_sockets s;
  size_t i;
  (void)state;
  assert_int_equal(gn_sockets_open(&s), 0);
  for (i = 0; i < MANY; i++)
    assert_int_equal(tell(&s, (int)i + 1000, CURL_POLL_INOUT, 0), 0);
  assert_int_equal(s.count, MANY);
  assert_true(s.room > s.count);
  for (i = 0; i < MANY; i++)
    assert_int_equal(s.fds[i].events, POLLIN | POLLOUT);
  assert_int_equal(tell(&s, 1000, CURL_POLL_IN, 1), 0);
  assert_int_equal(s.fds[0].events, POLLIN);
  assert_int_equal(tell(&s, 1000, CURL_POLL_REMOVE, 1), 0);
  assert_int_equal(s.count, MANY - 1);
  assert_int_equal(s.fds[0].fd, 1000 + MANY - 1);
  gn_sockets_close(&s);
}

/* One that was never told of, or had no room, is not there to be removed. */
static void test_unknown(void **state) {
  struct gn_sockets s;
#ifdef GN_FAULTS
  size_t i;
#endif
  (void)state;
  assert_int_equal(gn_sockets_open(&s), 0);
  assert_int_equal(tell(&s, 5, CURL_POLL_REMOVE, 0), 0);
  assert_int_equal(s.count, 0);
#ifdef GN_FAULTS
  gn_alloc_fail_after(0, 1);
  for (i = 0; i < MANY; i++)
    assert_int_equal(tell(&s, (int)i + 1000, CURL_POLL_IN, 0), 0);
  gn_alloc_fail_after(-1, 0);
  assert_true(s.count > 0);
  assert_int_equal(s.count + OTHERS, s.room);
#endif
  gn_sockets_close(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_many), cmocka_unit_test(test_unknown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Owns: the checks of src/core/limiter.c: single cases, and over many random
 * arrivals that no span of time holds more than the rate allows.
 * Must not: wait; time is an argument.
 */
#include "limiter.h"

#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void near(double got, double want) {
  if (got < want - 1e-6 || got > want + 1e-6)
    fail_msg("%g, not %g", got, want);
}

static void test_off(void **state) {
  struct gn_limiter l;
  int i;
  (void)state;
  gn_limiter_init(&l, 0, 10);
  for (i = 0; i < 1000; i++)
    near(gn_limiter_reserve(&l, 5), 0);
  gn_limiter_init(&l, -1, 1);
  for (i = 0; i < 1000; i++)
    near(gn_limiter_reserve(&l, 5), 0);
}

static void test_steady(void **state) {
  struct gn_limiter l;
  int i;
  (void)state;
  gn_limiter_init(&l, 4, 1);
  for (i = 0; i < 100; i++)
    near(gn_limiter_reserve(&l, 1000), i * 0.25);
  /* All slots up to 1025 are taken. */
  near(gn_limiter_reserve(&l, 1020), 5);
  near(gn_limiter_reserve(&l, 1030), 0);
  near(gn_limiter_reserve(&l, 1030), 0.25);
}

static void test_burst(void **state) {
  struct gn_limiter l;
  int i;
  (void)state;
  gn_limiter_init(&l, 2, 40);
  for (i = 0; i < 40; i++)
    near(gn_limiter_reserve(&l, 7), 0);
  near(gn_limiter_reserve(&l, 7), 0.5);
  near(gn_limiter_reserve(&l, 7), 1);
  /* 7 + 1 is used up; ten seconds later 20 more are there. */
  for (i = 0; i < 20; i++)
    near(gn_limiter_reserve(&l, 18), 0);
  near(gn_limiter_reserve(&l, 18), 0.5);
}

/* Idle time does not pile up beyond the burst. */
static void test_idle(void **state) {
  struct gn_limiter l;
  (void)state;
  gn_limiter_init(&l, 1, 2);
  near(gn_limiter_reserve(&l, 0), 0);
  near(gn_limiter_reserve(&l, 1e6), 0);
  near(gn_limiter_reserve(&l, 1e6), 0);
  near(gn_limiter_reserve(&l, 1e6), 1);
}

static void test_small_burst_is_one(void **state) {
  struct gn_limiter l;
  (void)state;
  gn_limiter_init(&l, 1, 0);
  near(gn_limiter_reserve(&l, 3), 0);
  near(gn_limiter_reserve(&l, 3), 1);
}

#define N 400

static void one_run(struct gn_random *random) {
  static double sent[N];
  double rate = 0.5 + 20 * gn_random_next(random);
  double burst = 1 + (int)(10 * gn_random_next(random));
  double now = 1e5 * gn_random_next(random);
  struct gn_limiter l;
  int i, j;
  gn_limiter_init(&l, rate, burst);
  for (i = 0; i < N; i++) {
    double wait;
    if (gn_random_next(random) < 0.5)
      now += 3 * gn_random_next(random) / rate;
    wait = gn_limiter_reserve(&l, now);
    assert_true(wait >= 0);
    sent[i] = now + wait;
    if (i > 0 && sent[i] < sent[i - 1] - 1e-6)
      fail_msg("request %d overtakes", i);
  }
  for (i = 0; i < N; i++) {
    for (j = i; j < N; j++) {
      if (j - i + 1 > burst + rate * (sent[j] - sent[i]) + 1e-3)
        fail_msg("%d requests in %g s at %g/s, burst %g", j - i + 1,
                 sent[j] - sent[i], rate, burst);
    }
  }
}

static void test_never_above_the_rate(void **state) {
  struct gn_random random = {.state = 20261119};
  int i;
  (void)state;
  for (i = 0; i < 100; i++)
    one_run(&random);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_off),
    cmocka_unit_test(test_steady),
    cmocka_unit_test(test_burst),
    cmocka_unit_test(test_idle),
    cmocka_unit_test(test_small_burst_is_one),
    cmocka_unit_test(test_never_above_the_rate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

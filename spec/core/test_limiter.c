/* Owns: the checks of src/core/limiter.c: single cases, and over many random
 * arrivals that no span of time holds more than the rate allows.
 * Must not: wait; time is an argument.
 */
#include "limiter.h"

#include "alloc.h"
#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void near(double got, double want) {
  if (got < want - 1e-6 || got > want + 1e-6)
    fail_msg("%g, not %g", got, want);
}

static double reserve(struct gn_limiter *l, double now) {
  double slot;
  return gn_limiter_reserve(l, now, &slot);
}

static void test_off(void **state) {
  struct gn_limiter l;
  int i;
  (void)state;
  gn_limiter_init(&l, 0, 10);
  for (i = 0; i < 1000; i++)
    near(reserve(&l, 5), 0);
  gn_limiter_init(&l, -1, 1);
  for (i = 0; i < 1000; i++)
    near(reserve(&l, 5), 0);
}

static void test_steady(void **state) {
  struct gn_limiter l;
  int i;
  (void)state;
  gn_limiter_init(&l, 4, 1);
  for (i = 0; i < 100; i++)
    near(reserve(&l, 1000), i * 0.25);
  /* All slots up to 1025 are taken. */
  near(reserve(&l, 1020), 5);
  near(reserve(&l, 1030), 0);
  near(reserve(&l, 1030), 0.25);
}

static void test_burst(void **state) {
  struct gn_limiter l;
  int i;
  (void)state;
  gn_limiter_init(&l, 2, 40);
  for (i = 0; i < 40; i++)
    near(reserve(&l, 7), 0);
  near(reserve(&l, 7), 0.5);
  near(reserve(&l, 7), 1);
  /* 7 + 1 is used up; ten seconds later 20 more are there. */
  for (i = 0; i < 20; i++)
    near(reserve(&l, 18), 0);
  near(reserve(&l, 18), 0.5);
}

/* Idle time does not pile up beyond the burst. */
static void test_idle(void **state) {
  struct gn_limiter l;
  (void)state;
  gn_limiter_init(&l, 1, 2);
  near(reserve(&l, 0), 0);
  near(reserve(&l, 1e6), 0);
  near(reserve(&l, 1e6), 0);
  near(reserve(&l, 1e6), 1);
}

static void test_small_burst_is_one(void **state) {
  struct gn_limiter l;
  (void)state;
  gn_limiter_init(&l, 1, 0);
  near(reserve(&l, 3), 0);
  near(reserve(&l, 3), 1);
}

/* What is given back from the end of the line shortens it, in any order. */
static void test_release(void **state) {
  struct gn_limiter l;
  double slots[40], none;
  int i;
  (void)state;
  gn_limiter_init(&l, 2, 1);
  for (i = 0; i < 40; i++)
    near(gn_limiter_reserve(&l, 100, &slots[i]), i * 0.5);
  for (i = 1; i < 40; i++) /* every second one, then the others */
    gn_limiter_release(&l, slots[i * 2 < 40 ? i * 2 : i * 2 - 39]);
  assert_int_equal(l.freed_count, 0);
  near(reserve(&l, 100), 0.5);
  near(reserve(&l, 100), 1);
  gn_limiter_release(&l, GN_NO_SLOT);
  near(reserve(&l, 100), 1.5);
  gn_limiter_destroy(&l);
  gn_limiter_init(&l, 0, 1);
  near(gn_limiter_reserve(&l, 100, &none), 0);
  near(none, GN_NO_SLOT);
  gn_limiter_release(&l, none);
  gn_limiter_destroy(&l);
}

/* One from the middle is the next that is taken, unless its time has passed. */
static void test_release_in_the_middle(void **state) {
  struct gn_limiter l;
  double slots[6];
  int i;
  (void)state;
  gn_limiter_init(&l, 1, 1);
  for (i = 0; i < 6; i++)
    gn_limiter_reserve(&l, 10, &slots[i]);
  gn_limiter_release(&l, slots[3]);
  gn_limiter_release(&l, slots[1]);
  near(reserve(&l, 10.5), 0.5);
  near(reserve(&l, 10.5), 2.5);
  near(reserve(&l, 10.5), 5.5);
  gn_limiter_release(&l, slots[2]);
  near(reserve(&l, 13), 4);
  gn_limiter_destroy(&l);
}

static void test_release_without_memory(void **state) {
#ifdef GN_FAULTS
  struct gn_limiter l;
  double slots[3];
  int i;
  gn_limiter_init(&l, 1, 1);
  for (i = 0; i < 3; i++)
    gn_limiter_reserve(&l, 10, &slots[i]);
  gn_alloc_fail_after(0, 1);
  gn_limiter_release(&l, slots[1]); /* lost, but never used twice */
  gn_alloc_fail_after(-1, 0);
  near(reserve(&l, 10), 3);
  gn_limiter_destroy(&l);
#endif
  (void)state;
}

static void test_pause(void **state) {
  struct gn_limiter l;
  double early, slot;
  (void)state;
  gn_limiter_init(&l, 2, 10);
  gn_limiter_reserve(&l, 5, &early);
  gn_limiter_pause(&l, 8);
  gn_limiter_pause(&l, 6); /* a shorter one changes nothing */
  assert_true(gn_limiter_paused(&l, 7.9));
  assert_false(gn_limiter_paused(&l, 8));
  gn_limiter_release(&l, early);
  /* Behind it at the rate, not as a burst. */
  near(reserve(&l, 5), 3);
  near(gn_limiter_reserve(&l, 5, &slot), 3.5);
  near(reserve(&l, 5), 4);
  gn_limiter_release(&l, slot);
  gn_limiter_pause(&l, 12);
  near(reserve(&l, 11), 1);
  near(reserve(&l, 11), 1.5);
  gn_limiter_destroy(&l);
  gn_limiter_init(&l, 0, 1);
  gn_limiter_pause(&l, 8);
  near(reserve(&l, 5), 3);
  near(reserve(&l, 8), 0);
  gn_limiter_destroy(&l);
}

#define N 400

static int by_time(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void one_run(struct gn_random *random, bool giving_back) {
  static double sent[N];
  double rate = 0.5 + 20 * gn_random_next(random);
  double burst = 1 + (int)(10 * gn_random_next(random));
  double now = 1e5 * gn_random_next(random);
  struct gn_limiter l;
  int i, j;
  gn_limiter_init(&l, rate, burst);
  for (i = 0; i < N; i++) {
    double wait, slot;
    if (gn_random_next(random) < 0.5)
      now += 3 * gn_random_next(random) / rate;
    wait = gn_limiter_reserve(&l, now, &slot);
    assert_true(wait >= 0);
    sent[i] = now + wait;
    if (!giving_back && i > 0 && sent[i] < sent[i - 1] - 1e-6)
      fail_msg("request %d overtakes", i);
    if (giving_back && wait > 0 && gn_random_next(random) < 0.4) {
      gn_limiter_release(&l, slot);
      i--;
    }
  }
  gn_limiter_destroy(&l);
  qsort(sent, N, sizeof *sent, by_time);
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
    one_run(&random, i % 2 == 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_off),
    cmocka_unit_test(test_steady),
    cmocka_unit_test(test_burst),
    cmocka_unit_test(test_idle),
    cmocka_unit_test(test_small_burst_is_one),
    cmocka_unit_test(test_release),
    cmocka_unit_test(test_release_in_the_middle),
    cmocka_unit_test(test_release_without_memory),
    cmocka_unit_test(test_pause),
    cmocka_unit_test(test_never_above_the_rate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Owns: the checks of src/core/limiter_words.c: the line and its end, words
 * that nobody can have written, and many threads that never get more than the
 * rate.
 * Must not: wait for slots; time is an argument.
 */
#include "limiter_words.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S GN_WORD_SECOND

static const int64_t START = 5000 * S; /* since this boot */

static struct gn_limiter_words words;
static struct gn_limiter_pace pace;

static void begin(double rate, double burst) {
  memset(&words, 0, sizeof words);
  gn_limiter_pace_init(&pace, rate, burst);
  gn_limiter_words_join(&words, &pace);
}

/* Nanoseconds to wait, or -1 where no slot is due soon. */
static int64_t reserve(int64_t now, int64_t *slot) {
  int64_t due;
  return gn_limiter_words_reserve(&words, &pace, now, slot, &due) ? due - now
                                                                  : -1;
}

static int64_t reserve_twice(int64_t now, int64_t *slot) {
  int64_t wait = reserve(now, slot);
  return wait >= 0 ? wait : reserve(now, slot);
}

static void test_line(void **state) {
  int64_t slot, due;
  int i;
  (void)state;
  begin(2, 3);
  for (i = 0; i < 3; i++)
    assert_int_equal(reserve(START, &slot), 0);
  assert_int_equal(reserve(START, &slot), S / 2);
  /* The one after that is too far ahead: nothing is taken, ever so often. */
  for (i = 0; i < 5; i++) {
    assert_false(gn_limiter_words_reserve(&words, &pace, START, &slot, &due));
    assert_int_equal(due, START + S);
  }
  assert_int_equal(reserve(START + S / 2, &slot), S / 2);
  /* A long idle time does not pile up beyond the burst. */
  for (i = 0; i < 3; i++)
    assert_int_equal(reserve(START + 1000 * S, &slot), 0);
  assert_int_equal(reserve(START + 1000 * S, &slot), S / 2);
}

static void test_release(void **state) {
  int64_t a, b;
  (void)state;
  begin(20, 1);
  assert_int_equal(reserve(START, &a), 0);
  assert_int_equal(reserve(START, &a), S / 20);
  assert_int_equal(reserve(START, &b), S / 10);
  gn_limiter_words_release(&words, &pace, b);
  assert_int_equal(reserve(START, &b), S / 10);
  gn_limiter_words_release(&words, &pace, a); /* not the last: lost */
  assert_int_equal(reserve(START, &a), -1);
  gn_limiter_words_release(&words, &pace, b);
  assert_int_equal(reserve(START, &b), S / 10);
}

static void test_pause(void **state) {
  int64_t slot;
  (void)state;
  begin(10, 5);
  gn_limiter_words_pause(&words, START, START + 30 * S);
  gn_limiter_words_pause(&words, START, START + 3 * S);
  assert_true(gn_limiter_words_paused(&words, START) == START + 30 * S);
  assert_int_equal(reserve(START, &slot), -1);
  assert_int_equal(reserve(START + 30 * S - S / 20, &slot), S / 20);
  /* At the rate then, not as one burst. */
  assert_int_equal(reserve(START + 30 * S, &slot), S / 10);
  assert_int_equal(reserve(START + 30 * S, &slot), -1);
  gn_limiter_words_pause(&words, START, INT64_MAX);
  assert_true(gn_limiter_words_paused(&words, START) ==
              START + GN_WORD_MAX_PAUSE);
}

/* A word from elsewhere holds nobody up for longer than one of ours could. */
static void test_damaged(void **state) {
  static const int64_t damaged[] = {INT64_MAX, INT64_MIN, -1,
                                    INT64_C(1) << 62, 86400 * S};
  size_t i;
  int64_t slot, wait;
  (void)state;
  for (i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
    begin(2, 3);
    atomic_store(&words.arrival, damaged[i]);
    wait = reserve_twice(START, &slot);
    assert_true(wait >= 0 && wait <= S / 2);
    begin(2, 3);
    atomic_store(&words.pause, damaged[i]);
    assert_int_equal(reserve(START, &slot), 0);
    gn_limiter_words_pause(&words, START, START + S);
    assert_true(gn_limiter_words_paused(&words, START) == START + S);
    begin(2, 3);
    atomic_store(&words.reach, damaged[i]);
    atomic_store(&words.arrival, INT64_MAX);
    wait = reserve_twice(START, &slot);
    assert_true(wait >= 0 && wait <= S / 2);
  }
  /* One that jumped back, as after a reboot. */
  begin(2, 3);
  assert_int_equal(reserve(START, &slot), 0);
  assert_int_equal(reserve_twice(START - 4990 * S, &slot), 0);
  assert_int_equal(reserve(START - 4990 * S, &slot), S / 2);
}

/* It read the clock, stood still, and goes on while others moved the line. */
static void test_stopped(void **state) {
  struct gn_limiter_pace other;
  int64_t slot, line;
  int i;
  (void)state;
  begin(2, 3);
  other = pace;
  for (i = 0; i < 5; i++) {
    assert_int_equal(reserve(START + 60 * S + i * S, &slot), 0);
    line = atomic_load(&words.arrival);
    pace = other;
    assert_int_equal(reserve(START, &slot), -1);
    other = pace;
    gn_limiter_pace_init(&pace, 2, 3);
    assert_true(atomic_load(&words.arrival) == line);
  }
}

/* A few a day, just after boot: no burst is lost, none invented. */
static void test_slow(void **state) {
  int64_t slot, day = 86400 * S;
  int i;
  (void)state;
  begin(1.0 / 86400, 10);
  for (i = 0; i < 10; i++)
    assert_int_equal(reserve(S, &slot), 0);
  assert_true(reserve(S, &slot) == day);
  assert_int_equal(reserve(S, &slot), -1);
  /* Somebody with another rate does not take that for damage. */
  gn_limiter_pace_init(&pace, 100, 1);
  gn_limiter_words_join(&words, &pace);
  assert_int_equal(reserve(S, &slot), -1);
}

/* Threads ------------------------------------------------------------------*/

enum { THREADS = 4, STEPS = 20000, STEP = S / 1000 };

struct crowd {
  atomic_int_fast64_t now;       /* a clock that all move on */
  atomic_int taken[THREADS * STEPS / 1000 + 20]; /* per second of it */
};

static struct crowd crowd;

static void *jostle(void *arg) {
  unsigned n = (unsigned)(size_t)arg;
  struct gn_limiter_pace own = pace;
  int i;
  for (i = 0; i < STEPS; i++) {
    int64_t now = atomic_fetch_add(&crowd.now, STEP), slot, due;
    if (!gn_limiter_words_reserve(&words, &own, now, &slot, &due))
      continue;
    if ((n * 7919 + (unsigned)i) % 5 == 0)
      gn_limiter_words_release(&words, &pace, slot);
    else
      atomic_fetch_add(&crowd.taken[(slot - START) / S], 1);
  }
  return NULL;
}

/* More come than may leave, some give up: no two have slots that are closer
 * than the rate allows, and what was given back is not lost. */
static void test_threads(void **state) {
  pthread_t threads[THREADS];
  int total = 0;
  size_t i;
  (void)state;
  memset(&crowd, 0, sizeof crowd);
  begin(50, 10);
  atomic_store(&crowd.now, START);
  for (i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, jostle, (void *)i), 0);
  for (i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  for (i = 0; i < THREADS * STEPS / 1000; i++) {
    assert_in_range(atomic_load(&crowd.taken[i]), 0, 51);
    total += atomic_load(&crowd.taken[i]);
  }
  assert_in_range(total, 50 * (THREADS * STEPS / 1000) * 6 / 10,
                  50 * (THREADS * STEPS / 1000) + 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_line), cmocka_unit_test(test_release),
    cmocka_unit_test(test_pause), cmocka_unit_test(test_damaged),
    cmocka_unit_test(test_stopped), cmocka_unit_test(test_slow),
    cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

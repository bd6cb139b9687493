/* Owns: the order of timers. Must not: wait; the clock is made up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock.h"
#include "timer.h"

#define COUNT 200

struct item {
  struct gn_timer timer; /* under test */
  unsigned set_as;       /* which call of gn_timer_set it was */
  unsigned fired;        /* how often */
};

static struct item *last_fired;

static void on_fire(struct gn_timer *t) {
  struct item *item = t->owner;
  if (last_fired) {
    assert_true(last_fired->timer.when <= t->when);
    if (last_fired->timer.when == t->when)
      assert_true(last_fired->set_as < item->set_as);
  }
  last_fired = item;
  item->fired++;
}

/* By time, then in the order they were set; however they are spread. */
static void test_order(void **state) {
  struct gn_random random = {.state = 20261122};
  static struct item items[COUNT];
  struct gn_timers timers = {0};
  unsigned round, i, sets = 0, left;
  (void)state;
  for (i = 0; i < COUNT; i++) {
    items[i].timer.fire = on_fire;
    items[i].timer.owner = &items[i];
  }
  for (round = 0; round < 20; round++) {
    int64_t spread = round % 4 == 0 ? 1 : round % 4 == 1 ? 5 : 1000;
    left = COUNT;
    for (i = 0; i < COUNT; i++) {
      struct item *item = &items[(i * 7 + round) % COUNT];
      int64_t when = (int64_t)(gn_random_next(&random) * (double)spread);
      if (round % 3 == 0 && i % 2)
        when += 100000; /* deadlines behind what is due soon */
      item->set_as = ++sets;
      item->fired = 0;
      gn_timer_set(&timers, &item->timer, when);
      if (i % 5 == 0) {
        item->set_as = ++sets;
        gn_timer_set(&timers, &item->timer, when / 2);
      }
    }
    for (i = 0; i < COUNT; i += 9, left--)
      gn_timer_clear(&timers, &items[i].timer);
    last_fired = NULL;
    assert_int_equal(gn_timer_run(&timers, 200000), left);
    assert_true(gn_timer_next(&timers) == GN_NEVER);
    for (i = 0; i < COUNT; i++)
      assert_int_equal(items[i].fired, i % 9 != 0);
  }
}

static void test_due(void **state) {
  struct gn_timers timers = {0};
  static struct item a, b;
  (void)state;
  a.timer.fire = b.timer.fire = on_fire;
  a.timer.owner = &a;
  b.timer.owner = &b;
  b.set_as = 1;
  last_fired = NULL;
  gn_timer_set(&timers, &b.timer, 20);
  gn_timer_set(&timers, &a.timer, 10);
  assert_true(gn_timer_next(&timers) == 10);
  assert_int_equal(gn_timer_run(&timers, 9), 0);
  assert_int_equal(gn_timer_run(&timers, 19), 1);
  assert_int_equal(a.fired, 1);
  assert_true(gn_timer_next(&timers) == 20);
  assert_int_equal(gn_timer_run(&timers, 20), 1);
  assert_int_equal(b.fired, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_order), cmocka_unit_test(test_due),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

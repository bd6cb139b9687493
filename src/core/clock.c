/* Owns: reading the clocks and the generator of jitter. Must not: sleep.
 */
#include "posix.h"

#include "clock.h"

#include "platform.h"

#include <stddef.h>
#include <time.h>
#include <unistd.h>

static struct timespec read_monotonic(void) {
  struct timespec t;
  gn_clock_read(&t);
  return t;
}

int64_t gn_now_ms(void) {
  struct timespec t = read_monotonic();
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

double gn_now(void) {
  struct timespec t = read_monotonic();
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double gn_wall_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void gn_random_seed(struct gn_random *r) {
  uint64_t seed = 0;
  if (!gn_entropy(&seed, sizeof seed)) {
    struct timespec t = read_monotonic();
    seed = (uint64_t)t.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)t.tv_sec ^
           (uint64_t)getpid() << 32;
  }
  r->state = seed ? seed : 1;
}

double gn_random_next(struct gn_random *r) {
  uint64_t x = r->state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  r->state = x;
  return (double)(x >> 11) * (1.0 / 9007199254740992.0);
}

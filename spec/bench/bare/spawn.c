/* Owns: running another program and telling what it cost, from the kernel's
 * own account of the ended process (wait4).
 * Must not: use anything of garner.
 *
 * spawn COUNT PROGRAM [ARGUMENT...]
 *   -> prints n=COUNT cpu=SECONDS wall=SECONDS rss=KIB (the largest of all)
 * Ends with 1 if the program ended with anything but 0.
 */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double of(struct timeval t) {
  return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

int main(int argc, char **argv) {
  long i, count = argc > 2 ? strtol(argv[1], NULL, 10) : 0, rss = 0;
  double cpu = 0, begin;
  if (count < 1) {
    fprintf(stderr, "usage: spawn COUNT PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  begin = now();
  for (i = 0; i < count; i++) {
    struct rusage usage;
    int status;
    pid_t pid;
    if (posix_spawnp(&pid, argv[2], NULL, NULL, argv + 2, environ) != 0 ||
        wait4(pid, &status, 0, &usage) != pid) {
      fprintf(stderr, "spawn: %s cannot be run\n", argv[2]);
      return 1;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      fprintf(stderr, "spawn: %s ended with %d\n", argv[2],
              WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
      return 1;
    }
    cpu += of(usage.ru_utime) + of(usage.ru_stime);
    rss = usage.ru_maxrss > rss ? usage.ru_maxrss : rss;
  }
  printf("n=%ld cpu=%.6f wall=%.6f rss=%ld\n", count, cpu, now() - begin, rss);
  return 0;
}

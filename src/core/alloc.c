/* Owns: the allocation functions and, in fault builds, the counter that makes
 * the n-th of them fail. Must not: know who allocates or why.
 */
#include "alloc.h"

#include <stdlib.h>
#include <string.h>

#define SMALL 1024

#ifdef GN_FAULTS
#include <stdatomic.h>

static atomic_long fail_after = -1;
static atomic_int fail_persistent;
static atomic_long allocations;

void gn_alloc_fail_after(long count, int persistent) {
  atomic_store(&fail_persistent, persistent);
  atomic_store(&allocations, 0);
  atomic_store(&fail_after, count);
}

long gn_alloc_count(void) {
  return atomic_load(&allocations);
}

static int must_fail(void) {
  long limit = atomic_load(&fail_after);
  long n = atomic_fetch_add(&allocations, 1);
  if (limit < 0)
    return 0;
  return atomic_load(&fail_persistent) ? n >= limit : n == limit;
}
#else
static int must_fail(void) {
  return 0;
}
#endif

void *gn_alloc(size_t size) {
  return must_fail() ? NULL : malloc(size ? size : 1);
}

/* glibc's calloc does not look where it keeps small blocks that were freed. */
void *gn_alloc_zero(size_t size) {
  void *p;
  if (must_fail())
    return NULL;
  if (size > SMALL)
    return calloc(1, size);
  p = malloc(size ? size : 1);
  return p ? memset(p, 0, size) : NULL;
}

void *gn_realloc(void *p, size_t size) {
  return must_fail() ? NULL : realloc(p, size ? size : 1);
}

void gn_free(void *p) {
  free(p);
}

char *gn_strndup(const char *s, size_t len) {
  char *copy = gn_alloc(len + 1);
  if (copy) {
    memcpy(copy, s, len);
    copy[len] = '\0';
  }
  return copy;
}

char *gn_strdup(const char *s) {
  return gn_strndup(s, strlen(s));
}

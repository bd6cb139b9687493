/* Owns: every allocation of the core, so that tests can make one fail.
 * Must not: be bypassed by malloc or strdup elsewhere in src/core; libcurl's
 * own allocations are libcurl's.
 */
#ifndef GN_ALLOC_H
#define GN_ALLOC_H

#include <stddef.h>

void *gn_alloc(size_t size);
void *gn_alloc_zero(size_t size);
void *gn_realloc(void *p, size_t size);
void gn_free(void *p);
char *gn_strndup(const char *s, size_t len);
char *gn_strdup(const char *s);

#ifdef GN_FAULTS
/* Let `count` more allocations succeed, then fail one (or all that follow, if
 * `persistent`). A negative count switches the fault off. */
void gn_alloc_fail_after(long count, int persistent);
long gn_alloc_count(void);
#endif

#endif

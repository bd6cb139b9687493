/* Owns: what there is once per process: libcurl's initialisation, the list of
 * running engines, and the hook that stops them before the process exits.
 * Must not: outlive a fork: a new process starts with an empty list.
 */
#ifndef GN_PROCESS_H
#define GN_PROCESS_H

#include "error.h"

struct gn_running {
  struct gn_running *next;     /* in the list */
  struct gn_running *prev;     /* in the list */
  int listed;                  /* is in the list */
  void (*hold)(void *engine);  /* keeps its memory; the list is locked */
  void (*stop)(void *engine);  /* closes it and lets go of it */
  void (*pause)(void *engine); /* before a fork: has it at rest; locked */
  void (*resume)(void *engine); /* in the parent, after it; locked */
  void *engine;                /* for the four */
};

/* Has forks followed from now on. */
int gn_process_init(struct gn_error *err);
/* Starts libcurl and OpenSSL, for the first engine: it takes a millisecond. */
int gn_process_start(struct gn_error *err);
/* Differs in every process that a fork made: a number, not a system call, since
 * every entry into an engine asks. */
unsigned gn_process_generation(void);
void gn_running_add(struct gn_running *r);
void gn_running_remove(struct gn_running *r);
unsigned gn_running_count(void);

#endif

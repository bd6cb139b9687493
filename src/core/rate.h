/* Owns: the rate that one client, several clients, or several processes keep:
 * the lock round a limiter, in memory or in a file, and the order in which this
 * process's requests get the slots of a file. Shared by reference count.
 * Must not: wait; it hands out instants.
 */
#ifndef GN_RATE_H
#define GN_RATE_H

#include "error.h"
#include "limiter.h"
#include "limiter_file.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct gn_rate_options {
  double rate;      /* requests a second, 0: no limit */
  double burst;     /* how many at once */
  const char *file; /* where all processes keep it, or NULL: in memory */
  int mode;         /* of a file that is made, 0: its owner's alone */
};

struct gn_rate {
  atomic_int refs;              /* clients and the owner */
  unsigned generation;          /* of the process that uses it */
  double interval;              /* seconds between requests, 0: off */
  double rate;                  /* as in the options */
  double burst;                 /* as in the options */
  struct gn_limiter_settings other; /* what others that use the file go by */
  pthread_mutex_t lock;         /* guards what follows */
  struct gn_limiter memory;     /* where there is no file */
  struct gn_limiter_file *file; /* or NULL */
  uint64_t issued;              /* file: tickets of those who wait */
  uint64_t served;              /* file: how many of them have left */
};

/* What one request has of a rate. */
struct gn_rate_place {
  bool taken;      /* it has a slot, and may leave when that is due */
  bool late;       /* it had one that passed while nobody looked */
  double slot;     /* memory: to give back, GN_NO_SLOT for none */
  int64_t word;    /* file: to give back, 0 for none */
  uint64_t ticket; /* file: its turn among this process's, 0 for none */
};

struct gn_rate *gn_rate_new(const struct gn_rate_options *o,
                            struct gn_error *err);
struct gn_rate *gn_rate_ref(struct gn_rate *r);
void gn_rate_unref(struct gn_rate *r);
/* As gn_policy_enter, for those who are no policy. */
void gn_rate_enter(struct gn_rate *r);

void gn_rate_place_init(struct gn_rate_place *place);
/* Gives back what the place holds and takes the next slot; the seconds until it
 * is due, 0 for now. Where place->taken is false they are over before it has
 * one: ask again then. */
double gn_rate_reserve(struct gn_rate *r, double now,
                       struct gn_rate_place *place);
/* True, once, for a slot whose time passed while this process stood still:
 * together with those of the others it would be one too many. */
bool gn_rate_missed(struct gn_rate *r, double now,
                    struct gn_rate_place *place);
/* A slot, or a turn, that nobody will use. */
void gn_rate_release(struct gn_rate *r, struct gn_rate_place *place);
/* The request has left: there is nothing to give back any more. */
void gn_rate_use(struct gn_rate_place *place);
/* Nothing leaves for so many seconds; a file's users hear of it. */
void gn_rate_pause(struct gn_rate *r, double now, double seconds);
bool gn_rate_paused(struct gn_rate *r, double now);

#endif

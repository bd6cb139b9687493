/* Owns: what an engine is made of, for the files that work on it.
 * Must not: be included by anything but engine.c, submit.c, turn.c, pool.c,
 * relay.c, lane.c, notify.c, rest.c and doorbell.c.
 */
#ifndef GN_ENGINE_STATE_H
#define GN_ENGINE_STATE_H

#include "clock.h"
#include "descriptor.h"
#include "doorbell.h"
#include "engine.h"
#include "files.h"
#include "lane.h"
#include "process.h"
#include "roster.h"
#include "sockets.h"
#include "work.h"

#include <pthread.h>
#include <stdatomic.h>

struct gn_engine {
  struct gn_sockets sockets;        /* the step's thread only */
  struct gn_descriptor wake;        /* if threaded: ends its sleep */
  bool has_wake;                    /* it is open; the lock */
  bool asleep;                      /* has to be signalled; the lock */
  bool woken;                       /* must look before it sleeps; the lock */
  struct gn_timers timers;          /* the step's thread only */
  struct gn_lanes lanes;            /* the step's thread only */
  struct gn_random random;          /* the step's thread only */
  struct gn_attempt *idle;          /* to use again; the step's thread only */
  size_t idle_count;                /* how many; the same */
  struct gn_files *files;           /* if threaded; else NULL */
  struct gn_work *works;            /* running; list changes need the lock */
  struct gn_work *incoming;         /* submitted, oldest first; the lock */
  struct gn_work *incoming_tail;    /* submitted, newest; the lock */
  struct gn_exchange *asked;        /* wait for an answer; the step's thread */
  uint64_t next_asked;              /* requests asked so far; the same */
  struct gn_supply *supplies;       /* answers, oldest first; the lock */
  struct gn_supply *supplies_tail;  /* answers, newest; the lock */
  bool resting;                     /* the thread awaits a call; the lock */
  bool lent;                        /* a caller has its turn; the lock */
  bool attention;                   /* some work has a flag up; the lock */
  atomic_bool stopping;             /* takes no more work; set with the lock */
  bool stopped;                     /* nothing runs any more; the lock */
  bool stepping;                    /* inline: a step runs; the lock */
  bool left_to_step;                /* it shuts down as it ends; the lock */
  bool threaded;                    /* has a thread; never changes */
  pthread_t thread;                 /* if threaded */
  unsigned generation;              /* of the process that made it */
  int refs;                         /* owner, mailboxes, thread; the lock */
  uint64_t next_id;                 /* ids given so far; the lock */
  atomic_uint_fast64_t sequence;    /* events posted; set with the lock */
  struct gn_roster roster;          /* its mailboxes; the lock */
  struct gn_descriptor descriptor;  /* for a host's loop; the lock */
  bool has_descriptor;              /* it was made; the lock */
  bool signalled;                   /* it is readable; the lock */
  struct gn_doorbell *_Atomic doorbell; /* made on demand; NULL: not yet */
  struct gn_doorbell_address address; /* of the doorbell; the lock */
  struct gn_bell *orphans;          /* whose mailbox was closed; the lock */
  unsigned untold;                  /* events nobody was woken for; the lock */
  bool at_work;                     /* beyond its poll; the lock */
  bool forking;                     /* must not begin to work; the lock */
  pthread_mutex_t lock;             /* guards what says so */
  pthread_cond_t changed;           /* an event was posted, or it stopped */
  pthread_cond_t called;            /* the thread's rest ends */
  struct gn_counters *counters;     /* a reference */
  struct gn_running running;        /* in the process's list */
};

/* With the lock held: the step looks at what is new, also if it sleeps. */
void gn_engine_wake(struct gn_engine *e);
/* It is closed: every loop may know, and nobody connects any more. */
void gn_engine_hush(struct gn_engine *e);

/* turn.c. On the thread: returns when it is its turn and something is to be
 * done; false: the engine is being closed. */
bool gn_turn_wait(struct gn_engine *e);
/* With the lock held: true if the caller steps from now on, until it returns
 * the turn. */
bool gn_turn_borrow(struct gn_engine *e);
void gn_turn_return(struct gn_engine *e);
/* With the lock held: something is to be done. */
void gn_turn_call(struct gn_engine *e);

/* Steps until the sequence differs from `seen`, for at most ms. */
void gn_engine_drive(struct gn_engine *e, uint64_t seen, int64_t ms);

/* pool.c: at the engine's end. */
void gn_engine_free_attempts(struct gn_engine *e);

/* notify.c. With the lock held: wakes who waits for an event. */
void gn_engine_tell(struct gn_engine *e);

/* rest.c: around all that runs libcurl, but its poll. It begins with the lock
 * held, so that what is new can be looked at. */
void gn_engine_work_begin(struct gn_engine *e);
void gn_engine_work_end(struct gn_engine *e);
/* For the process's list. */
void gn_engine_pause(void *engine);
void gn_engine_resume(void *engine);

/* A child of fork has no thread of ours, but the lock may look taken. */
static inline bool gn_engine_is_foreign(const struct gn_engine *e) {
  return e->generation != gn_process_generation();
}

#endif

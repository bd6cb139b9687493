/* Owns: the seam between the engine and what it runs: a call, a walk or a poll,
 * each with an id and a mailbox. Only the engine's step calls the operations.
 * Must not: know what the works do.
 */
#ifndef GN_WORK_H
#define GN_WORK_H

#include "files.h"
#include "mailbox.h"
#include "policy.h"
#include "stats.h"
#include "timer.h"

#include <curl/curl.h>

struct gn_attempt;
struct gn_work;

struct gn_work_ops {
  void (*start)(struct gn_work *w);   /* once, first */
  void (*cancel)(struct gn_work *w, const char *why); /* must finish it */
  void (*advance)(struct gn_work *w); /* one that waited has credit */
  void (*destroy)(struct gn_work *w); /* frees it; may never have started */
};

struct gn_work {
  const struct gn_work_ops *ops; /* what it is */
  struct gn_engine *engine;      /* borrowed: the engine outlives its works */
  struct gn_mailbox *mailbox;    /* a reference */
  struct gn_policy *policy;      /* a reference */
  struct gn_event *done;         /* kept ready, so that the end can be told */
  struct gn_result *spare;       /* kept ready to tell an error of its own */
  uint64_t id;                   /* unique in this engine */
  uint64_t tag;                  /* its submitter's own, for its events */
  struct gn_work *next;          /* in the engine's list */
  struct gn_work *prev;          /* in the engine's list */
  struct gn_work *starts;        /* the next one that the step starts */
  bool listed;                   /* is in the engine's list of running works */
  bool cancelled;                /* asked for, under the engine's lock */
  unsigned credits;              /* pages that may be begun, or batches of
                                    rows posted, under the lock */
  bool waiting;                  /* for credit, under the lock */
};

/* Takes the references; -1 if memory ran out. spare: the work has errors of its
 * own to tell, by gn_work_fail without a result. */
int gn_work_init(struct gn_work *w, const struct gn_work_ops *ops,
                 struct gn_engine *e, struct gn_mailbox *m,
                 struct gn_policy *p, bool spare, struct gn_error *err);
/* Lets go of what init took. */
void gn_work_release(struct gn_work *w);
/* Takes a credit; false: there is none, and the engine calls advance
 * when there is. */
bool gn_work_take_credit(struct gn_work *w);
/* Posts an event before the end; result is taken. -1: out of memory. */
int gn_work_post(struct gn_work *w, enum gn_event_type type,
                 struct gn_result *result);
/* A request, record or log event. The traffic is taken; NULL: memory ran out
 * for it, which is counted like a dropped log event. */
int gn_work_post_traffic(struct gn_work *w, enum gn_event_type type,
                         struct gn_traffic *traffic);
/* The batch is taken. -1: out of memory, and it is gone. */
int gn_work_post_rows(struct gn_work *w, struct gn_batch *batch);
int gn_work_post_progress(struct gn_work *w, unsigned pending,
                          unsigned finished, unsigned polls);
/* Dropped where nobody takes them. */
void gn_work_post_bytes(struct gn_work *w, uint64_t bytes, int64_t total);
/* The end, and no more of the engine's running works; for gn_work_finish. */
void gn_work_post_done(struct gn_work *w, struct gn_result *result);
/* The end with an error of the work's own. result, if any, carries it and is
 * taken. */
void gn_work_fail(struct gn_work *w, struct gn_result *result,
                  const struct gn_error *err);
/* Posts the end (result is taken, may be NULL) and destroys the work. */
void gn_work_finish(struct gn_work *w, struct gn_result *result);

/* The engine's side, for works and exchanges; the step's thread only. */
/* One whose handle is set up as wanted, if there is any (see setup.h); NULL:
 * out of memory. */
struct gn_attempt *gn_engine_attempt_take(struct gn_engine *e,
                                          uint64_t wanted);
/* Lets go of what it was for. */
void gn_engine_attempt_give(struct gn_engine *e, struct gn_attempt *a);
/* With the lock held: it runs no more. */
void gn_engine_delist(struct gn_engine *e, struct gn_work *w);
/* Starts a work that nobody submitted; taken. */
void gn_engine_run(struct gn_engine *e, struct gn_work *w);
/* True if the engine has a thread for files and took the job. */
bool gn_engine_finish_file(struct gn_engine *e, struct gn_file_job *job);
/* -1: out of memory. */
int gn_engine_wire_add(struct gn_engine *e, CURL *easy);
void gn_engine_wire_remove(struct gn_engine *e, CURL *easy);
struct gn_timers *gn_engine_timers(struct gn_engine *e);
struct gn_random *gn_engine_random(struct gn_engine *e);

struct gn_counters *gn_engine_counters(struct gn_engine *e);
void gn_engine_count(struct gn_engine *e, enum gn_count what, int64_t n);

#endif

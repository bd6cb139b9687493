/* Owns: the step: take what was submitted, fire timers, let libcurl work, hand
 * finished attempts to their exchanges; and the thread that runs it.
 * Must not: interpret anything. Process-wide matters are in process.c.
 */
#include "posix.h"

#include "engine_state.h"

#include "alloc.h"
#include "auth.h"
#include "exchange.h"
#include "platform.h"
#include "relay.h"

#include <signal.h>
#include <string.h>

#define MOST_STREAMS 1000L /* on one connection; the server may say less */
#define LONGEST_POLL_MS 60000
#define INLINE_POLL_MS 1000 /* nothing ends it: so soon a close is seen */
#define JOIN_TIMEOUT_MS 5000

void gn_engine_lock(struct gn_engine *e) {
  if (!gn_engine_is_foreign(e))
    pthread_mutex_lock(&e->lock);
}

void gn_engine_unlock(struct gn_engine *e) {
  if (!gn_engine_is_foreign(e))
    pthread_mutex_unlock(&e->lock);
}

void gn_engine_ref(struct gn_engine *e) {
  gn_engine_lock(e);
  e->refs++;
  gn_engine_unlock(e);
}

bool gn_engine_finish_file(struct gn_engine *e, struct gn_file_job *job) {
  return e->files && gn_files_submit(e->files, job);
}

static void take_files(struct gn_engine *e) {
  struct gn_file_job *job;
  while (e->files && (job = gn_files_take(e->files)))
    job->done(job);
}

/* On the files' thread. */
static void wake_up(void *engine) {
  gn_engine_lock(engine);
  gn_engine_wake(engine);
  gn_engine_unlock(engine);
}

/* The running list belongs to the step's thread; others only read it, with the
 * lock held. */
static void list_add(struct gn_engine *e, struct gn_work *w) {
  w->prev = NULL;
  w->next = e->works;
  if (e->works)
    e->works->prev = w;
  e->works = w;
  w->listed = true;
}

void gn_engine_delist(struct gn_engine *e, struct gn_work *w) {
  if (!w->listed)
    return;
  if (w->prev)
    w->prev->next = w->next;
  else
    e->works = w->next;
  if (w->next)
    w->next->prev = w->prev;
  w->listed = false;
}

void gn_work_finish(struct gn_work *w, struct gn_result *result) {
  if (result && result->error.kind != GN_OK)
    gn_engine_count(w->engine,
                    (enum gn_count)(GN_COUNT_ERRORS + result->error.kind), 1);
  gn_work_post_done(w, result);
  w->ops->destroy(w);
}

void gn_engine_run(struct gn_engine *e, struct gn_work *w) {
  gn_engine_lock(e);
  w->id = ++e->next_id;
  list_add(e, w);
  gn_engine_unlock(e);
  w->ops->start(w);
}

/* With the lock held; in the order they came. */
static struct gn_work *take_incoming(struct gn_engine *e) {
  struct gn_work *first = e->incoming, *w = first;
  while (w) {
    struct gn_work *next = w->starts = w->next;
    list_add(e, w);
    w = next;
  }
  e->incoming = e->incoming_tail = NULL;
  return first;
}

/* Starting one never ends another one. */
static void start_works(struct gn_work *w) {
  while (w) {
    struct gn_work *next = w->starts;
    w->ops->start(w);
    w = next;
  }
}

/* One flagged work per call, since handling it may end it. */
static void take_attention(struct gn_engine *e) {
  struct gn_work *w;
  bool cancelled = false;
  gn_engine_lock(e);
  for (w = e->attention ? e->works : NULL; w; w = w->next)
    if (w->cancelled || (w->waiting && w->credits))
      break;
  if (w) {
    cancelled = w->cancelled;
    w->cancelled = false;
  } else if (!e->incoming) {
    /* One that came meanwhile may be flagged already: the next step sees. */
    e->attention = false;
  }
  gn_engine_unlock(e);
  if (cancelled)
    w->ops->cancel(w, "cancelled by the caller");
  else if (w)
    w->ops->advance(w);
}

/* Begins the work, with what is new of it. True: there are answers, too. */
static bool begin_work(struct gn_engine *e) {
  bool answers;
  gn_engine_work_begin(e);
  while (e->incoming || e->attention) {
    struct gn_work *fresh = take_incoming(e);
    gn_engine_unlock(e);
    start_works(fresh);
    if (!fresh)
      take_attention(e);
    gn_engine_lock(e);
  }
  answers = e->supplies != NULL;
  gn_engine_unlock(e);
  return answers;
}

static void reap(struct gn_engine *e) {
  CURLMsg *message;
  int left;
  while ((message = curl_multi_info_read(e->sockets.multi, &left))) {
    struct gn_attempt *a = NULL;
    CURLcode rc = message->data.result;
    if (message->msg != CURLMSG_DONE)
      continue;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &a);
    gn_exchange_completed(a->exchange, rc);
  }
}

static void run_wire(struct gn_engine *e) {
  gn_sockets_run(&e->sockets);
  gn_lanes_run(e);
  reap(e);
}

/* True: there were some that are due. */
static bool run_timers(struct gn_engine *e) {
  return gn_timer_next(&e->timers) != GN_NEVER &&
         gn_timer_run(&e->timers, gn_now_ms()) > 0;
}

static void run_once(struct gn_engine *e) {
  bool answers = begin_work(e);
  take_files(e);
  if (answers)
    gn_relay_run(e);
  run_timers(e);
  run_wire(e);
  /* What that led to, such as the next page's request, leaves at once: who
   * steps may not come again soon. */
  if (run_timers(e))
    run_wire(e);
  gn_engine_work_end(e);
}

/* False: somebody wants something that has not been looked at. */
static bool fall_asleep(struct gn_engine *e) {
  bool may;
  gn_engine_lock(e);
  may = e->asleep = !e->woken;
  e->woken = false;
  gn_engine_unlock(e);
  return may;
}

static void wake(struct gn_engine *e, bool signalled) {
  if (signalled)
    gn_descriptor_clear(&e->wake);
  gn_engine_lock(e);
  e->asleep = e->woken = false;
  gn_engine_unlock(e);
}

static void poll_sockets(struct gn_engine *e, int ms) {
  struct gn_doorbell *doorbell = e->doorbell;
  struct pollfd *more = NULL;
  unsigned count = 0;
  if (doorbell)
    more = gn_doorbell_watched(doorbell, &count);
  if (!e->threaded)
    gn_sockets_wait(&e->sockets, -1, more, count, ms);
  else
    wake(e, gn_sockets_wait(&e->sockets, e->wake.read_end, more, count,
                            fall_asleep(e) ? ms : 0));
  if (doorbell)
    gn_doorbell_run(doorbell);
}

/* fresh: what was submitted may not have been looked at; the thread has, by
 * its step before. */
static void step(struct gn_engine *e, int64_t ms, bool fresh) {
  uint64_t before = gn_engine_sequence(e);
  int64_t due, wait = ms;
  if (fresh) {
    run_once(e);
    if (gn_engine_sequence(e) != before)
      return;
  }
  due = gn_timer_next(&e->timers);
  if (due != GN_NEVER) {
    int64_t left = due - gn_now_ms();
    wait = left < wait ? left : wait;
  }
  if (wait > (e->threaded ? LONGEST_POLL_MS : INLINE_POLL_MS))
    wait = e->threaded ? LONGEST_POLL_MS : INLINE_POLL_MS;
  if (wait < 0)
    wait = 0;
  poll_sockets(e, (int)wait);
  run_once(e);
}

/* On the step's thread, or when there is none any more. */
static void shut_down(struct gn_engine *e) {
  struct gn_work *w;
  begin_work(e);
  if (e->files)
    gn_files_stop(e->files);
  take_files(e);
  while ((w = e->works))
    w->ops->cancel(w, "the engine was closed");
  gn_relay_drop(e);
  gn_lanes_free(&e->lanes);
  gn_doorbell_free(e->doorbell);
  e->doorbell = NULL;
  gn_engine_free_attempts(e);
  gn_files_free(e->files);
  e->files = NULL;
  gn_sockets_close(&e->sockets);
  gn_engine_lock(e);
  if (e->has_wake)
    gn_descriptor_close(&e->wake);
  e->has_wake = e->asleep = e->at_work = false;
  e->stopped = true;
  gn_engine_tell(e);
  gn_engine_unlock(e);
}

static void destroy(struct gn_engine *e);

/* An inline engine may be closed by another thread than the one that steps it:
 * a process that exits closes all of them. */
static bool step_begin(struct gn_engine *e) {
  bool may;
  if (gn_engine_is_foreign(e))
    return false;
  gn_engine_lock(e);
  may = !e->stopping;
  if (may) {
    e->stepping = true;
    e->refs++;
  }
  gn_engine_unlock(e);
  return may;
}

static void step_end(struct gn_engine *e) {
  bool last;
  int left = 1;
  gn_engine_lock(e);
  e->stepping = false;
  last = e->left_to_step;
  if (e->stopping)
    pthread_cond_broadcast(&e->changed);
  if (!last)
    left = --e->refs;
  gn_engine_unlock(e);
  if (last) {
    shut_down(e);
    gn_engine_unref(e);
  } else if (left == 0) {
    gn_engine_close(e);
    destroy(e);
  }
}

void gn_engine_step(struct gn_engine *e, int64_t ms) {
  if (!step_begin(e))
    return;
  step(e, ms, true);
  step_end(e);
}

/* False: the step takes too long, and is to shut down itself when it ends. */
static bool wait_for_step(struct gn_engine *e) {
  int64_t until = gn_now_ms() + JOIN_TIMEOUT_MS;
  bool ended;
  gn_engine_lock(e);
  while (e->stepping && gn_cond_wait_until(&e->changed, &e->lock, until)) {
  }
  ended = !e->stepping;
  e->left_to_step = !ended;
  gn_engine_unlock(e);
  return ended;
}

static bool is_stopping(struct gn_engine *e) {
  return atomic_load_explicit(&e->stopping, memory_order_acquire);
}

static void *thread_main(void *arg) {
  struct gn_engine *e = arg;
  while (gn_turn_wait(e))
    step(e, LONGEST_POLL_MS, false);
  shut_down(e);
  gn_engine_unref(e);
  return NULL;
}

/* Signals are the host's; the thread must never run a handler. */
static int start_thread(struct gn_engine *e) {
  sigset_t all, old;
  int rc;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  e->refs++;
  rc = pthread_create(&e->thread, NULL, thread_main, e);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (rc != 0)
    e->refs--;
  return rc;
}

static void destroy(struct gn_engine *e) {
  if (e->has_descriptor)
    gn_descriptor_close(&e->descriptor);
  if (e->has_wake)
    gn_descriptor_close(&e->wake);
  pthread_cond_destroy(&e->called);
  pthread_cond_destroy(&e->changed);
  pthread_mutex_destroy(&e->lock);
  gn_counters_unref(e->counters);
  gn_wipe(&e->address, sizeof e->address);
  gn_free(e);
}

static void hold_running(void *engine) {
  gn_engine_ref(engine);
}

static void stop_running(void *engine) {
  gn_engine_close(engine);
  gn_engine_unref(engine);
}

struct gn_engine *gn_engine_new(bool threaded, struct gn_error *err) {
  struct gn_counters *c = gn_counters_new();
  struct gn_engine *e = NULL;
  if (c)
    e = gn_engine_new_counted(threaded, c, err);
  else
    gn_error_memory(err);
  gn_counters_unref(c);
  return e;
}

struct gn_engine *gn_engine_new_counted(bool threaded, struct gn_counters *c,
                                        struct gn_error *err) {
  struct gn_engine *e;
  if (gn_process_start(err) != 0)
    return NULL;
  e = gn_alloc_zero(sizeof *e);
  if (!e) {
    gn_error_memory(err);
    return NULL;
  }
  pthread_mutex_init(&e->lock, NULL);
  gn_cond_init(&e->changed);
  gn_cond_init(&e->called);
  e->counters = gn_counters_ref(c);
  e->generation = gn_process_generation();
  e->refs = 1;
  e->threaded = threaded;
  gn_random_seed(&e->random);
  if (gn_sockets_open(&e->sockets) != 0) {
    gn_error_memory(err);
    goto fail;
  }
  curl_multi_setopt(e->sockets.multi, CURLMOPT_MAX_CONCURRENT_STREAMS,
                    MOST_STREAMS);
  e->has_wake = threaded && gn_descriptor_open(&e->wake) == 0;
  if (threaded && !e->has_wake) {
    gn_error_set(err, GN_TRANSPORT, "thread",
                 "the engine's thread could not be woken: no descriptor left");
    goto fail;
  }
  if (threaded && !(e->files = gn_files_new(wake_up, e))) {
    gn_error_memory(err);
    goto fail;
  }
  if (threaded && start_thread(e) != 0) {
    gn_error_set(err, GN_TRANSPORT, "thread",
                 "the engine's thread could not be started");
    goto fail;
  }
  e->running.hold = hold_running;
  e->running.stop = stop_running;
  e->running.pause = gn_engine_pause;
  e->running.resume = gn_engine_resume;
  e->running.engine = e;
  gn_running_add(&e->running);
  gn_engine_count(e, GN_COUNT_ENGINES, 1);
  return e;
fail:
  gn_files_free(e->files);
  gn_sockets_close(&e->sockets);
  destroy(e);
  return NULL;
}

/* Waits until nothing runs any more, but not for ever. */
static bool wait_stopped(struct gn_engine *e) {
  int64_t until = gn_now_ms() + JOIN_TIMEOUT_MS;
  bool stopped;
  gn_engine_lock(e);
  while (!e->stopped &&
         gn_cond_wait_until(&e->changed, &e->lock, until)) {
  }
  stopped = e->stopped;
  gn_engine_unlock(e);
  return stopped;
}

void gn_engine_close(struct gn_engine *e) {
  bool first;
  if (gn_engine_is_foreign(e))
    return;
  gn_engine_lock(e);
  first = !e->stopping;
  e->stopping = true;
  if (first)
    gn_engine_wake(e);
  gn_engine_unlock(e);
  if (!first) {
    /* Another thread is closing it: true for the caller only when it is done,
     * since a process may be about to exit. */
    wait_stopped(e);
    return;
  }
  gn_engine_hush(e);
  /* A thread that hangs is left to itself and keeps the engine's memory by its
   * own reference. */
  if (e->threaded && wait_stopped(e))
    pthread_join(e->thread, NULL);
  else if (e->threaded)
    pthread_detach(e->thread);
  else if (wait_for_step(e))
    shut_down(e);
  gn_running_remove(&e->running);
}

void gn_engine_unref(struct gn_engine *e) {
  int left;
  if (!e || gn_engine_is_foreign(e))
    return;
  gn_engine_lock(e);
  left = --e->refs;
  gn_engine_unlock(e);
  if (left == 0) {
    gn_engine_close(e);
    destroy(e);
  }
}

bool gn_engine_is_closed(struct gn_engine *e) {
  return gn_engine_is_foreign(e) || is_stopping(e);
}

bool gn_engine_is_threaded(const struct gn_engine *e) {
  return e->threaded;
}

uint64_t gn_engine_sequence(struct gn_engine *e) {
  return atomic_load_explicit(&e->sequence, memory_order_acquire);
}

static void wait_threaded(struct gn_engine *e, uint64_t seen, int64_t ms) {
  int64_t until = gn_now_ms() + ms;
  gn_engine_lock(e);
  while (e->sequence == seen && !e->stopped &&
         gn_cond_wait_until(&e->changed, &e->lock, until)) {
  }
  gn_engine_unlock(e);
}

/* Mostly the first step brings what is waited for: what time it is then is of
 * no interest. */
void gn_engine_drive(struct gn_engine *e, uint64_t seen, int64_t ms) {
  int64_t until = gn_now_ms() + ms;
  do {
    step(e, ms, true);
    if (gn_engine_sequence(e) != seen)
      break;
    ms = until - gn_now_ms();
  } while (ms > 0 && !is_stopping(e));
}

uint64_t gn_engine_wait(struct gn_engine *e, uint64_t seen, int64_t ms) {
  if (gn_engine_is_closed(e))
    return gn_engine_sequence(e);
  if (e->threaded) {
    wait_threaded(e, seen, ms);
    return gn_engine_sequence(e);
  }
  /* Where there are events that the caller has not seen, it must not sleep. */
  if (gn_engine_sequence(e) != seen)
    gn_engine_step(e, 0);
  else if (ms > 0 && step_begin(e)) {
    gn_engine_drive(e, seen, ms);
    step_end(e);
  }
  return gn_engine_sequence(e);
}

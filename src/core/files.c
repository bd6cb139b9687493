/* Owns: the queue in front of the file thread and the one behind it. Must not:
 * call `done` itself; that belongs to the thread that steps the engine.
 */
#include "posix.h"

#include "files.h"

#include "alloc.h"

#include <pthread.h>
#include <signal.h>

struct queue {
  struct gn_file_job *first; /* the oldest */
  struct gn_file_job *last;  /* the newest */
};

struct gn_files {
  pthread_mutex_t lock;   /* guards all below */
  pthread_cond_t changed; /* a job was submitted, or stopping was set */
  struct queue waiting;   /* to be finished */
  struct queue finished;  /* to be taken */
  pthread_t thread;       /* if running */
  bool running;           /* the thread was started and not joined */
  bool stopping;          /* the thread ends when nothing waits */
  void (*wake)(void *);   /* tells the engine */
  void *arg;              /* for wake */
};

static void put(struct queue *q, struct gn_file_job *job) {
  job->next = NULL;
  if (q->last)
    q->last->next = job;
  else
    q->first = job;
  q->last = job;
}

static struct gn_file_job *get(struct queue *q) {
  struct gn_file_job *job = q->first;
  if (job) {
    q->first = job->next;
    if (!q->first)
      q->last = NULL;
  }
  return job;
}

static void *thread_main(void *arg) {
  struct gn_files *f = arg;
  struct gn_file_job *job;
  pthread_mutex_lock(&f->lock);
  for (;;) {
    while (!f->waiting.first && !f->stopping)
      pthread_cond_wait(&f->changed, &f->lock);
    job = get(&f->waiting);
    if (!job)
      break;
    pthread_mutex_unlock(&f->lock);
    gn_error_clear(&job->error);
    gn_sink_finish(job->sink, &job->error);
    pthread_mutex_lock(&f->lock);
    put(&f->finished, job);
    f->wake(f->arg);
  }
  pthread_mutex_unlock(&f->lock);
  return NULL;
}

struct gn_files *gn_files_new(void (*wake)(void *), void *arg) {
  struct gn_files *f = gn_alloc_zero(sizeof *f);
  if (!f)
    return NULL;
  pthread_mutex_init(&f->lock, NULL);
  pthread_cond_init(&f->changed, NULL);
  f->wake = wake;
  f->arg = arg;
  return f;
}

/* With the lock held. Signals are the host's, never this thread's. */
static bool start(struct gn_files *f) {
  sigset_t all, old;
  if (f->running || f->stopping)
    return f->running;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  f->running = pthread_create(&f->thread, NULL, thread_main, f) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return f->running;
}

bool gn_files_submit(struct gn_files *f, struct gn_file_job *job) {
  bool taken;
  pthread_mutex_lock(&f->lock);
  taken = !f->stopping && start(f);
  if (taken) {
    put(&f->waiting, job);
    pthread_cond_signal(&f->changed);
  }
  pthread_mutex_unlock(&f->lock);
  return taken;
}

struct gn_file_job *gn_files_take(struct gn_files *f) {
  struct gn_file_job *job;
  pthread_mutex_lock(&f->lock);
  job = get(&f->finished);
  pthread_mutex_unlock(&f->lock);
  return job;
}

void gn_files_stop(struct gn_files *f) {
  bool running;
  pthread_mutex_lock(&f->lock);
  f->stopping = true;
  running = f->running;
  f->running = false;
  pthread_cond_signal(&f->changed);
  pthread_mutex_unlock(&f->lock);
  if (running)
    pthread_join(f->thread, NULL);
}

void gn_files_free(struct gn_files *f) {
  if (!f)
    return;
  gn_files_stop(f);
  pthread_cond_destroy(&f->changed);
  pthread_mutex_destroy(&f->lock);
  gn_free(f);
}

/* Owns: the only global state of the core, behind one mutex. Must not: hold the
 * mutex while an engine is stopped; stopping takes engines off the list.
 */
#include "posix.h"

#include "process.h"

#include "inherited.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gn_running *list; /* engines of this process */
static atomic_uint generation;  /* forks between the first process and us */
static bool follows_forks;      /* inherited by children, as the hooks are */
static bool started;            /* libcurl is; inherited as well */

/* An engine at work may hold a lock of OpenSSL's that nobody would ever give
 * back in the child: of children that fork from between TLS handshakes one in
 * two hundred hung in its first own. So no engine is at work during a fork. */
static void before_fork(void) {
  struct gn_running *r;
  pthread_mutex_lock(&list_lock);
  for (r = list; r; r = r->next)
    r->pause(r->engine);
}

static void in_parent(void) {
  struct gn_running *r;
  for (r = list; r; r = r->next)
    r->resume(r->engine);
  pthread_mutex_unlock(&list_lock);
}

static void in_child(void) {
  static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
  atomic_fetch_add(&generation, 1);
  list_lock = fresh;
  list = NULL;
  gn_inherited_close();
}

unsigned gn_process_generation(void) {
  return atomic_load_explicit(&generation, memory_order_relaxed);
}

static void enter(void) {
  pthread_mutex_lock(&list_lock);
}

static void leave(void) {
  pthread_mutex_unlock(&list_lock);
}

/* OpenSSL's own exit handler would otherwise free what a live thread uses. */
static void stop_all(void) {
  for (;;) {
    struct gn_running first = {0};
    enter();
    if (list) {
      first = *list;
      first.hold(first.engine);
    }
    leave();
    if (!first.engine)
      return;
    first.stop(first.engine);
  }
}

int gn_process_init(struct gn_error *err) {
  int rc = 0;
  enter();
  if (!follows_forks) {
    if (pthread_atfork(before_fork, in_parent, in_child) != 0)
      rc = gn_error_memory(err);
    else
      follows_forks = true;
  }
  leave();
  return rc;
}

/* Where no descriptor is left, OpenSSL goes without its configuration, and
 * nobody would be told. */
static int check_descriptor(struct gn_error *err) {
  int fd = open("/", O_RDONLY | O_CLOEXEC);
  if (fd < 0 && (errno == EMFILE || errno == ENFILE))
    return gn_error_set(err, GN_TRANSPORT, "descriptor",
                        "libcurl could not be started: no descriptor left");
  if (fd >= 0)
    close(fd);
  return 0;
}

/* The hook comes after libcurl, since hooks run in reverse: see stop_all. */
int gn_process_start(struct gn_error *err) {
  int rc = 0;
  enter();
  if (!started) {
    rc = check_descriptor(err);
    if (rc == 0 && (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
                    atexit(stop_all) != 0))
      rc = gn_error_memory(err);
    started = rc == 0;
  }
  leave();
  return rc;
}

void gn_running_add(struct gn_running *r) {
  enter();
  r->prev = NULL;
  r->next = list;
  if (list)
    list->prev = r;
  list = r;
  r->listed = 1;
  leave();
}

void gn_running_remove(struct gn_running *r) {
  enter();
  if (r->listed) {
    if (r->prev)
      r->prev->next = r->next;
    else
      list = r->next;
    if (r->next)
      r->next->prev = r->prev;
    r->listed = 0;
  }
  leave();
}

unsigned gn_running_count(void) {
  unsigned count = 0;
  struct gn_running *r;
  enter();
  for (r = list; r; r = r->next)
    count++;
  leave();
  return count;
}

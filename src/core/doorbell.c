/* Owns: the listener, who is connected, and their lines. All but the list of a
 * mailbox's waiters belongs to the step's thread.
 * Must not: write with the engine's lock held, or wait for a slow reader: who
 * lets two bytes not in is hung up on.
 */
#include "doorbell.h"

#include "alloc.h"
#include "engine_state.h"
#include "inherited.h"
#include "platform.h"
#include "watcher.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096
#define STRANGER_MS 5000 /* to show the key in */
#define PAUSE_MS 100     /* before the next try, out of descriptors */

struct gn_doorbell {
  struct gn_engine *engine;    /* borrowed: the engine owns this */
  int listener;                /* the socket */
  bool listening;              /* is watched; else the pause runs */
  struct gn_watcher watcher;   /* of the listener and the connections */
  struct gn_bell *strangers;   /* have not shown the key, oldest first */
  struct gn_bell *last;        /* the newest of them */
  struct gn_bell *friends;     /* have */
  struct gn_timer patience;    /* for the oldest stranger */
  struct gn_timer pause;       /* until connections are taken again */
  char key[GN_KEY_SIZE];       /* what they have to show */
};

static void list_out(struct gn_doorbell *d, struct gn_bell *b) {
  struct gn_bell **first = b->known ? &d->friends : &d->strangers;
  if (b->prev)
    b->prev->next = b->next;
  else
    *first = b->next;
  if (b->next)
    b->next->prev = b->prev;
  else if (!b->known)
    d->last = b->prev;
  b->prev = b->next = NULL;
}

static void befriend(struct gn_doorbell *d, struct gn_bell *b) {
  list_out(d, b);
  b->known = true;
  b->next = d->friends;
  if (d->friends)
    d->friends->prev = b;
  d->friends = b;
}

/* With the lock held. */
static void link_in(struct gn_bell **head, struct gn_bell *b) {
  b->next_waiter = *head;
  if (*head)
    (*head)->link = &b->next_waiter;
  *head = b;
  b->link = head;
}

/* With the lock held: the mailbox it was subscribed to, with the reference. */
static struct gn_mailbox *link_out(struct gn_bell *b) {
  struct gn_mailbox *m = b->mailbox;
  if (b->link) {
    *b->link = b->next_waiter;
    if (b->next_waiter)
      b->next_waiter->link = b->link;
  }
  b->link = NULL;
  b->mailbox = NULL;
  b->next_waiter = NULL;
  return m;
}

struct gn_bell *gn_doorbell_detach(struct gn_mailbox *m) {
  struct gn_bell *waiters = NULL, *b;
  while ((b = m->waiters)) {
    link_out(b);
    m->refs--; /* never the last one: who calls has one of its own */
    b->next_rung = waiters;
    waiters = b;
  }
  return waiters;
}

/* With the lock held. */
static void subscribe_to(struct gn_mailbox *m, struct gn_bell *b) {
  m->refs++;
  b->mailbox = m;
  link_in(&m->waiters, b);
}

bool gn_doorbell_subscribe(struct gn_mailbox *m) {
  if (m->bell && !m->bell->link)
    subscribe_to(m, m->bell);
  return m->bell && m->bell->mailbox == m;
}

/* With the lock held. */
static void disown(struct gn_bell *b) {
  if (b->own)
    b->own->bell = NULL;
  b->own = NULL;
}

/* With the lock held. */
static void own(struct gn_mailbox *m, struct gn_bell *b) {
  disown(b);
  if (m->bell)
    disown(m->bell);
  b->own = m;
  m->bell = b;
}

/* Its own connection is of no more use: an answer tells whoever keeps it. */
void gn_doorbell_orphan(struct gn_engine *e, struct gn_mailbox *m) {
  struct gn_bell *b;
  gn_doorbell_subscribe(m);
  if (m->bell)
    disown(m->bell);
  if (m->waiters && !e->stopping)
    gn_engine_wake(e);
  while ((b = m->waiters)) {
    link_out(b);
    m->refs--; /* never the last one: the owner has one */
    link_in(&e->orphans, b);
  }
}

static void answer(const struct gn_bell *b, const char *line) {
  ssize_t rc;
  do
    rc = gn_send(b->fd, line, 2);
  while (rc < 0 && errno == EINTR);
  /* Readable from now on, so that it is hung up on in its turn. */
  if (rc != 2)
    shutdown(b->fd, SHUT_RDWR);
}

void gn_doorbell_ring(struct gn_bell *waiters) {
  while (waiters) {
    struct gn_bell *b = waiters;
    waiters = b->next_rung;
    b->next_rung = NULL;
    answer(b, "+\n");
  }
}

static void ring_orphans(struct gn_doorbell *d) {
  struct gn_engine *e = d->engine;
  struct gn_bell *waiters = NULL, *b;
  gn_engine_lock(e);
  while ((b = e->orphans)) {
    link_out(b);
    b->next_rung = waiters;
    waiters = b;
  }
  gn_engine_unlock(e);
  gn_doorbell_ring(waiters);
}

/* A child of fork may hold the socket open: the other end learns anyway. */
static void hang_up(struct gn_doorbell *d, struct gn_bell *b) {
  gn_engine_lock(d->engine);
  disown(b);
  gn_engine_unlock(d->engine);
  gn_timer_clear(&d->engine->timers, &b->deadline);
  gn_watcher_remove(&d->watcher, b->fd);
  shutdown(b->fd, SHUT_RDWR);
  gn_inherited_remove(b->fd);
  close(b->fd);
  list_out(d, b);
  gn_free(b);
}

/* False: it was not subscribed, or its answer is on its way. Who owns the
 * mailbox may close it at this moment: so the lock is held to look, too. */
static bool unsubscribe(struct gn_doorbell *d, struct gn_bell *b) {
  struct gn_mailbox *m;
  bool waits;
  gn_engine_lock(d->engine);
  waits = b->link != NULL;
  m = link_out(b);
  gn_engine_unlock(d->engine);
  if (m)
    gn_mailbox_release(m);
  return waits;
}

static void out_of_time(struct gn_timer *t) {
  struct gn_bell *b = t->owner;
  if (unsubscribe(b->doorbell, b))
    answer(b, "-\n");
}

/* It hung up, or broke the rules. No call subscribes it from here on. */
static void lose(struct gn_doorbell *d, struct gn_bell *b) {
  struct gn_mailbox *m;
  gn_engine_lock(d->engine);
  disown(b);
  m = link_out(b);
  gn_engine_unlock(d->engine);
  if (m) {
    gn_engine_cancel_mailbox(d->engine, m);
    gn_mailbox_release(m);
  }
  hang_up(d, b);
}

static int subscribe(struct gn_doorbell *d, struct gn_bell *b, uint64_t id,
                     int64_t ms, bool for_calls) {
  struct gn_engine *e = d->engine;
  struct gn_mailbox *m;
  bool now, twice;
  gn_engine_lock(e);
  twice = b->link != NULL;
  m = gn_roster_find(&e->roster, id);
  now = !m || m->head || e->stopping;
  if (for_calls && !twice && m && !e->stopping)
    own(m, b);
  if (!twice && !now)
    subscribe_to(m, b);
  gn_engine_unlock(e);
  if (twice)
    return -1;
  if (now)
    answer(b, "+\n");
  else if (ms != GN_NEVER)
    gn_timer_set(&e->timers, &b->deadline, gn_now_ms() + ms);
  return 0;
}

static bool is_key(const struct gn_doorbell *d, const char *line, size_t len) {
  return len == GN_KEY_SIZE - 1 && CRYPTO_memcmp(line, d->key, len) == 0;
}

/* "ID", "=ID" or "ID MILLISECONDS". */
static int take_subscription(struct gn_doorbell *d, struct gn_bell *b,
                             const char *line, size_t len) {
  static const char digits[] = "0123456789";
  bool for_calls = *line == '=';
  size_t id, ms;
  line += for_calls;
  len -= for_calls;
  id = strspn(line, digits);
  if (id == 0 || id > 19)
    return -1;
  if (id == len)
    return subscribe(d, b, strtoull(line, NULL, 10), GN_NEVER, for_calls);
  ms = line[id] == ' ' && !for_calls ? strspn(line + id + 1, digits) : 0;
  if (ms == 0 || ms > 12 || id + 1 + ms != len)
    return -1;
  return subscribe(d, b, strtoull(line, NULL, 10),
                   strtoll(line + id + 1, NULL, 10), false);
}

/* The line is ended by a NUL. -1: no line of the protocol. */
static int take_line(struct gn_doorbell *d, struct gn_bell *b,
                     const char *line, size_t len) {
  if (!b->known) {
    if (!is_key(d, line, len))
      return -1;
    befriend(d, b);
    return 0;
  }
  gn_timer_clear(&d->engine->timers, &b->deadline);
  if (len == 1 && line[0] == '-') {
    unsubscribe(d, b);
    answer(b, "-\n");
    return 0;
  }
  return take_subscription(d, b, line, len);
}

/* -1: there is nothing to be had from this one any more. */
static int hear(struct gn_doorbell *d, struct gn_bell *b) {
  char *from = b->line, *end;
  ssize_t got = recv(b->fd, b->line + b->len, sizeof b->line - b->len, 0);
  if (got < 0)
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
  if (got == 0)
    return -1;
  b->len += (size_t)got;
  while ((end = memchr(from, '\n', b->len))) {
    size_t len = (size_t)(end - from);
    *end = '\0';
    if (take_line(d, b, from, len) != 0)
      return -1;
    b->len -= len + 1;
    from = end + 1;
  }
  memmove(b->line, from, b->len);
  return b->len < sizeof b->line ? 0 : -1;
}

static void out_of_patience(struct gn_timer *t) {
  struct gn_doorbell *d = t->owner;
  while (d->strangers && d->strangers->due <= gn_now_ms())
    hang_up(d, d->strangers);
  if (d->strangers)
    gn_timer_set(&d->engine->timers, t, d->strangers->due);
}

static int welcome(struct gn_doorbell *d, int fd) {
  struct gn_bell *b = gn_peer_is_ours(fd) ? gn_alloc_zero(sizeof *b) : NULL;
  if (!b || gn_watcher_add(&d->watcher, fd, b) != 0) {
    gn_free(b);
    close(fd);
    return -1;
  }
  gn_inherited_add(fd);
  b->fd = fd;
  b->doorbell = d;
  b->deadline.fire = out_of_time;
  b->deadline.owner = b;
  b->due = gn_now_ms() + STRANGER_MS;
  b->prev = d->last;
  if (d->last)
    d->last->next = b;
  else
    d->strangers = b;
  d->last = b;
  if (!d->patience.set)
    gn_timer_set(&d->engine->timers, &d->patience, b->due);
  return 0;
}

static void listen_again(struct gn_timer *t) {
  struct gn_doorbell *d = t->owner;
  d->listening = gn_watcher_add(&d->watcher, d->listener, d) == 0;
  if (!d->listening)
    gn_timer_set(&d->engine->timers, t, gn_now_ms() + PAUSE_MS);
}

/* Out of descriptors, the listener would stay readable and the step spin. */
static void accept_all(struct gn_doorbell *d) {
  int fd;
  do {
    fd = gn_accept(d->listener);
    if (fd >= 0)
      welcome(d, fd);
  } while (fd >= 0 || errno == EINTR || errno == ECONNABORTED);
  if (errno == EAGAIN || errno == EWOULDBLOCK)
    return;
  gn_watcher_remove(&d->watcher, d->listener);
  d->listening = false;
  gn_timer_set(&d->engine->timers, &d->pause, gn_now_ms() + PAUSE_MS);
}

static void ready(void *owner, void *arg) {
  struct gn_doorbell *d = arg;
  if (owner == d)
    accept_all(d);
  else if (hear(d, owner) != 0)
    lose(d, owner);
}

struct pollfd *gn_doorbell_watched(struct gn_doorbell *d,
                                        unsigned *count) {
  *count = d->watcher.count;
  return d->watcher.fds;
}

void gn_doorbell_run(struct gn_doorbell *d) {
  ring_orphans(d);
  gn_watcher_run(&d->watcher, ready, d);
}

static int make_key(char key[GN_KEY_SIZE], struct gn_error *err) {
  static const char digits[] = "0123456789abcdef";
  unsigned char bytes[(GN_KEY_SIZE - 1) / 2];
  size_t i;
  if (RAND_bytes(bytes, sizeof bytes) != 1)
    return gn_error_set(err, GN_TRANSPORT, "doorbell",
                        "no random key for the engine's socket");
  for (i = 0; i < sizeof bytes; i++) {
    key[2 * i] = digits[bytes[i] >> 4];
    key[2 * i + 1] = digits[bytes[i] & 15];
  }
  key[GN_KEY_SIZE - 1] = '\0';
  return 0;
}

static int no_socket(struct gn_error *err) {
  return gn_error_set(err, GN_TRANSPORT, "doorbell",
                      "the engine's socket could not be made: %s",
                      strerror(errno));
}

static int open_socket(struct gn_doorbell *d,
                       struct gn_doorbell_address *address,
                       struct gn_error *err) {
  d->listener = gn_unix_socket();
  if (d->listener < 0)
    return no_socket(err);
  if (gn_folder_bind(d->listener, address->path, err) != 0)
    goto fail;
  if (listen(d->listener, BACKLOG) != 0 ||
      gn_watcher_open(&d->watcher) != 0) {
    no_socket(err);
    goto fail;
  }
  if (gn_watcher_add(&d->watcher, d->listener, d) != 0) {
    no_socket(err);
    gn_watcher_close(&d->watcher);
    goto fail;
  }
  gn_inherited_add(d->listener);
  d->listening = true;
  return 0;
fail:
  gn_folder_remove(address->path);
  close(d->listener);
  return -1;
}

struct gn_doorbell *gn_doorbell_new(struct gn_engine *e,
                                    struct gn_doorbell_address *address,
                                    struct gn_error *err) {
  struct gn_doorbell *d = gn_alloc_zero(sizeof *d);
  if (!d) {
    gn_error_memory(err);
    return NULL;
  }
  if (make_key(d->key, err) != 0 || open_socket(d, address, err) != 0) {
    gn_free(d);
    return NULL;
  }
  d->engine = e;
  d->patience.fire = out_of_patience;
  d->patience.owner = d;
  d->pause.fire = listen_again;
  d->pause.owner = d;
  memcpy(address->key, d->key, sizeof address->key);
  return d;
}

void gn_doorbell_free(struct gn_doorbell *d) {
  struct gn_bell *b;
  if (!d)
    return;
  while ((b = d->friends ? d->friends : d->strangers)) {
    if (unsubscribe(d, b))
      answer(b, "+\n");
    hang_up(d, b);
  }
  gn_timer_clear(&d->engine->timers, &d->patience);
  gn_timer_clear(&d->engine->timers, &d->pause);
  gn_watcher_close(&d->watcher);
  gn_inherited_remove(d->listener);
  close(d->listener);
  OPENSSL_cleanse(d->key, sizeof d->key);
  gn_free(d);
}

/* Owns: how waiters learn that something was posted: the engine's sequence, its
 * descriptor and the list behind it, its doorbell.
 * Must not: post; mailboxes do.
 */
#include "engine_state.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#define TOLD_AT_ONCE 8 /* events, but in the step's end all there are */

void gn_engine_enrol(struct gn_engine *e, struct gn_mailbox *m) {
  if (gn_engine_is_foreign(e))
    return;
  gn_engine_lock(e);
  gn_roster_add(&e->roster, m);
  gn_engine_unlock(e);
}

/* In a child of fork the lists may be in the middle of a change. */
void gn_engine_strike(struct gn_engine *e, struct gn_mailbox *m) {
  if (gn_engine_is_foreign(e))
    return;
  gn_roster_remove(&e->roster, m);
  gn_doorbell_orphan(e, m);
}

static void signal_descriptor(struct gn_engine *e) {
  if (e->signalled || !e->has_descriptor)
    return;
  e->signalled = true;
  gn_descriptor_signal(&e->descriptor);
}

/* Who is woken may get the core at once, take the one event and sleep again:
 * two switches for each, where the step has more of them a moment later. */
void gn_engine_tell(struct gn_engine *e) {
  e->untold = 0;
  pthread_cond_broadcast(&e->changed);
  signal_descriptor(e);
}

struct gn_bell *gn_engine_posted(struct gn_engine *e, struct gn_mailbox *m) {
  atomic_fetch_add_explicit(&e->sequence, 1, memory_order_release);
  gn_roster_mark(&e->roster, m);
  if (++e->untold == TOLD_AT_ONCE || !e->at_work)
    gn_engine_tell(e);
  return gn_doorbell_detach(m);
}

static int refuses(struct gn_engine *e, struct gn_error *err) {
  if (!e->threaded)
    return gn_error_set(err, GN_INVALID, "thread",
                        "waiting in a host's loop needs a threaded engine");
  if (gn_engine_is_closed(e))
    return gn_error_set(err, GN_CANCELLED, "closed", "the engine is closed");
  return 0;
}

int gn_engine_descriptor(struct gn_engine *e, struct gn_error *err) {
  int fd = -1;
  if (refuses(e, err) != 0)
    return -1;
  gn_engine_lock(e);
  if (!e->has_descriptor) {
    if (gn_descriptor_open(&e->descriptor) != 0)
      gn_error_set(err, GN_TRANSPORT, "descriptor",
                   "the engine's descriptor could not be made: %s",
                   strerror(errno));
    else
      e->has_descriptor = true;
    /* What was posted before counts, and so does a close meanwhile. */
    if (e->roster.first || e->stopping)
      signal_descriptor(e);
  }
  if (e->has_descriptor)
    fd = e->descriptor.read_end;
  gn_engine_unlock(e);
  return fd;
}

void gn_engine_acknowledge(struct gn_engine *e) {
  if (gn_engine_is_foreign(e))
    return;
  gn_engine_lock(e);
  if (e->signalled && !e->stopping) {
    gn_descriptor_clear(&e->descriptor);
    e->signalled = false;
  }
  gn_engine_unlock(e);
}

uint64_t gn_engine_ready(struct gn_engine *e) {
  struct gn_mailbox *m;
  uint64_t id = 0;
  if (gn_engine_is_foreign(e))
    return 0;
  gn_engine_lock(e);
  m = e->stopping ? NULL : gn_roster_take(&e->roster);
  if (m)
    id = m->id;
  gn_engine_unlock(e);
  return id;
}

/* True if the engine has one now, be it this or another caller's. */
static bool publish(struct gn_engine *e, struct gn_doorbell *d,
                    const struct gn_doorbell_address *address) {
  bool taken;
  gn_engine_lock(e);
  taken = !e->stopping && !e->doorbell;
  if (taken) {
    e->doorbell = d;
    e->address = *address;
    gn_engine_wake(e);
  }
  gn_engine_unlock(e);
  return taken;
}

static bool find_doorbell(struct gn_engine *e,
                          struct gn_doorbell_address *out) {
  bool found;
  gn_engine_lock(e);
  found = !e->stopping && e->doorbell;
  if (found)
    *out = e->address;
  gn_engine_unlock(e);
  return found;
}

int gn_engine_doorbell(struct gn_engine *e, struct gn_doorbell_address *out,
                       struct gn_error *err) {
  struct gn_doorbell *d;
  if (refuses(e, err) != 0)
    return -1;
  if (find_doorbell(e, out))
    return 0;
  memset(out, 0, sizeof *out);
  d = gn_doorbell_new(e, out, err);
  if (!d)
    return -1;
  if (publish(e, d, out))
    return 0;
  gn_doorbell_free(d);
  gn_folder_remove(out->path);
  OPENSSL_cleanse(out, sizeof *out);
  if (find_doorbell(e, out))
    return 0;
  return gn_error_set(err, GN_CANCELLED, "closed", "the engine is closed");
}

void gn_engine_hush(struct gn_engine *e) {
  gn_engine_lock(e);
  signal_descriptor(e);
  gn_engine_unlock(e);
  /* No lock is held over a call of the file system: closed, the engine gets
   * no other address any more. */
  gn_folder_remove(e->address.path);
}

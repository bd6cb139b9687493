/* Owns: the lanes of an engine and who waits in them. Must not: send anything.
 */
#include "lane.h"

#include "alloc.h"
#include "clock.h"
#include "engine_state.h"
#include "exchange.h"

#include <string.h>
#include <strings.h>

#define KEPT_LANES 32 /* idle ones beyond that go */

enum kind {
  UNKNOWN, /* the first connection will tell */
  SHARED,  /* HTTP/2: one connection is opened at a time */
  ALONE    /* each request has its own: nobody waits */
};

struct gn_lane {
  struct gn_lane *next;         /* used before this one */
  uint64_t serial;              /* the policy's */
  char *origin;                 /* "https://host:port" as URLs have it */
  size_t len;                   /* its bytes */
  enum kind kind;               /* what is known of its connections */
  bool told;                    /* by an answer, not by a failure */
  size_t users;                 /* exchanges that wait or are with libcurl */
  size_t sharing;               /* of them whose connection is there */
  size_t full;                  /* so many, when the last dial was needed */
  int port;                     /* our end of the last one's connection */
  struct gn_exchange *dialing;  /* its connection is being opened, or NULL */
  struct gn_exchange *first;    /* waits longest */
  struct gn_exchange *last;     /* waits shortest */
};

static size_t origin_len(const char *url) {
  return 8 + strcspn(url + 8, "/?#");
}

/* Only what may be sent on a connection that others use. */
static bool may_share(const struct gn_exchange *x, const char *url) {
  return x->policy->http_version != 1 && !x->policy->transport && !x->rows &&
         x->request->safe && strncasecmp(url, "https://", 8) == 0;
}

static struct gn_lane *find(struct gn_lanes *l, uint64_t serial,
                            const char *url, size_t len) {
  struct gn_lane **link, *lane;
  for (link = &l->first; (lane = *link); link = &lane->next)
    if (lane->serial == serial && lane->len == len &&
        memcmp(lane->origin, url, len) == 0) {
      *link = lane->next;
      lane->next = l->first;
      l->first = lane;
      return lane;
    }
  return NULL;
}

static void free_lane(struct gn_lane *lane) {
  gn_free(lane->origin);
  gn_free(lane);
}

static struct gn_lane *make(struct gn_lanes *l, uint64_t serial,
                            const char *url, size_t len) {
  struct gn_lane *lane = gn_alloc_zero(sizeof *lane);
  if (lane)
    lane->origin = gn_strndup(url, len);
  if (!lane || !lane->origin) {
    gn_free(lane);
    return NULL;
  }
  lane->serial = serial;
  lane->len = len;
  lane->next = l->first;
  l->first = lane;
  l->count++;
  return lane;
}

static void drop_idle(struct gn_lanes *l) {
  struct gn_lane **link = &l->first, *lane;
  while (l->count > KEPT_LANES && (lane = *link)) {
    if (lane->users > 0) {
      link = &lane->next;
      continue;
    }
    *link = lane->next;
    l->count--;
    free_lane(lane);
  }
}

static void set_dialing(struct gn_exchange *x, struct gn_lane *lane,
                        struct gn_exchange *dialing) {
  struct gn_lanes *l = &x->engine->lanes;
  if (lane->dialing)
    l->dialing--;
  if (dialing)
    l->dialing++;
  lane->dialing = dialing;
}

static void stop_waiting(struct gn_exchange *x) {
  struct gn_lane_place *p = &x->lane;
  struct gn_lane *lane = p->lane;
  if (p->prev)
    p->prev->lane.next = p->next;
  else
    lane->first = p->next;
  if (p->next)
    p->next->lane.prev = p->prev;
  else
    lane->last = p->prev;
  p->next = p->prev = NULL;
  p->waiting = false;
}

static void take_first(struct gn_lane *lane) {
  struct gn_exchange *x = lane->first;
  stop_waiting(x);
  gn_timer_set(gn_engine_timers(x->engine), &x->timer, gn_now_ms());
}

/* In their order; the first who has to open a connection stops the rest. */
static void let_all_try(struct gn_lane *lane) {
  while (lane->first)
    take_first(lane);
}

bool gn_lane_enter(struct gn_exchange *x, const char *url) {
  struct gn_lane_place *p = &x->lane;
  struct gn_lanes *l = &x->engine->lanes;
  size_t len;
  if (!p->lane) {
    if (!may_share(x, url))
      return true;
    len = origin_len(url);
    p->lane = find(l, x->policy->serial, url, len);
    if (!p->lane)
      p->lane = make(l, x->policy->serial, url, len);
    if (!p->lane)
      return true;
    p->lane->users++;
    drop_idle(l);
  }
  if (!p->lane->dialing || p->lane->kind == ALONE ||
      p->lane->sharing < p->lane->full)
    return true;
  p->prev = p->lane->last;
  if (p->prev)
    p->prev->lane.next = x;
  else
    p->lane->first = x;
  p->lane->last = x;
  p->waiting = true;
  return false;
}

static void connected(struct gn_exchange *x) {
  struct gn_lane *lane = x->lane.lane;
  if (lane->kind == UNKNOWN && lane->sharing > 0 &&
      lane->port == x->attempt->connected)
    lane->kind = SHARED;
  lane->port = x->attempt->connected;
  lane->sharing++;
  x->lane.shares = true;
}

/* Libcurl looks for a connection at once, so that the next one in the lane
 * knows whether this one found some or opens its own. */
void gn_lane_sent(struct gn_exchange *x) {
  struct gn_lane *lane = x->lane.lane;
  if (!lane || lane->kind == ALONE)
    return;
  gn_sockets_begin(&x->engine->sockets);
  if (x->attempt->connected) {
    connected(x);
  } else if (lane->kind == UNKNOWN && lane->sharing > 0) {
    lane->kind = ALONE;
    let_all_try(lane);
  } else {
    lane->full = lane->sharing;
    if (!lane->dialing)
      set_dialing(x, lane, x);
  }
}

/* What a response says of its connection. */
static void learn(struct gn_lane *lane, const struct gn_exchange *x) {
  long version = 0;
  curl_easy_getinfo(x->attempt->setup.easy, CURLINFO_HTTP_VERSION, &version);
  if (version == 0)
    return;
  lane->kind = version >= CURL_HTTP_VERSION_2_0 ? SHARED : ALONE;
  lane->told = true;
}

void gn_lane_leave(struct gn_exchange *x) {
  struct gn_lane_place *p = &x->lane;
  struct gn_lane *lane = p->lane;
  if (!lane)
    return;
  if (p->waiting)
    stop_waiting(x);
  if (x->on_wire)
    learn(lane, x);
  if (lane->dialing == x) {
    set_dialing(x, lane, NULL);
    /* Not one after the other into the same silence. */
    if (!x->attempt->connected && !x->called_off) {
      lane->kind = ALONE;
      lane->told = false;
    }
    let_all_try(lane);
  } else if (lane->kind == ALONE) {
    let_all_try(lane);
  }
  if (p->shares)
    lane->sharing--;
  if (lane->first && lane->sharing < lane->full)
    take_first(lane);
  if (--lane->users == 0 && !lane->told)
    lane->kind = UNKNOWN;
  memset(p, 0, sizeof *p);
}

void gn_lanes_run(struct gn_engine *e) {
  struct gn_lane *lane;
  if (e->lanes.dialing == 0)
    return;
  for (lane = e->lanes.first; lane; lane = lane->next) {
    struct gn_exchange *x = lane->dialing;
    if (!x || !x->attempt->connected)
      continue;
    set_dialing(x, lane, NULL);
    connected(x);
    let_all_try(lane);
  }
}

void gn_lanes_free(struct gn_lanes *l) {
  while (l->first) {
    struct gn_lane *lane = l->first;
    l->first = lane->next;
    free_lane(lane);
  }
  l->count = 0;
}

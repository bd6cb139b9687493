/* Owns: which requests to one origin may go to libcurl now, where a connection
 * may carry many of them (HTTP/2): while one is being opened, who could share
 * it waits here, by its own deadline. libcurl's way of waiting (PIPEWAIT) knows
 * no deadline, lets a server that is silent keep one waiter after the other for
 * a whole connect timeout, and opens a connection for each request above the
 * server's limit of streams at once.
 * Must not: hold up requests where connections are not shared.
 *
 * All on the thread that steps the engine, never within libcurl's callbacks.
 */
#ifndef GN_LANE_H
#define GN_LANE_H

#include <stdbool.h>
#include <stddef.h>

struct gn_engine;
struct gn_exchange;
struct gn_lane;

/* An engine's. */
struct gn_lanes {
  struct gn_lane *first; /* the one used last, and so on */
  size_t count;          /* how many */
  size_t dialing;        /* how many of them wait for a connection */
};

/* An exchange's part in one. */
struct gn_lane_place {
  struct gn_lane *lane;     /* NULL: none */
  struct gn_exchange *next; /* who waits behind it */
  struct gn_exchange *prev; /* who waits before it */
  bool waiting;             /* it waits */
  bool shares;              /* its connection is there */
};

/* False: it waits, and its timer will be set when it may try again. To be
 * called before every attempt. */
bool gn_lane_enter(struct gn_exchange *x, const char *url);
/* Libcurl has it now. */
void gn_lane_sent(struct gn_exchange *x);
/* Libcurl has it no longer, but still the easy handle; or it never had it. */
void gn_lane_leave(struct gn_exchange *x);
/* After libcurl worked: connections may be there. */
void gn_lanes_run(struct gn_engine *e);
void gn_lanes_free(struct gn_lanes *l);

#endif

/* Owns: what is the same for every request of one client: its origins and
 * credential, transport settings, limits, retry rules, rate and retry budget.
 * Shared by reference count between its owner and the exchanges in flight; only
 * what is behind the lock changes after it was made.
 * Must not: know of engines or libcurl handles.
 */
#ifndef GN_POLICY_H
#define GN_POLICY_H

#include "auth.h"
#include "oauth.h"
#include "quota.h"
#include "rate.h"
#include "retry.h"
#include "url.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What a caller gives; NULL, 0 or a negative number mean the default. */
struct gn_policy_options {
  const char *base_url;        /* required */
  enum gn_auth_scheme scheme;  /* which credential */
  const char *auth_header;     /* GN_AUTH_HEADER: the header's name */
  const char *token;           /* bearer and header schemes; may come later */
  size_t token_len;            /* its bytes */
  const char *user;            /* basic */
  const char *password;        /* basic */
  const struct gn_oauth_options *oauth; /* bearer, header: tokens after that */
  const char *const *headers;  /* "Name: value" lines for own origins only */
  size_t header_count;         /* how many */
  const char *const *origins;  /* further origins that may get credentials */
  size_t origin_count;         /* how many */
  const char *ca_file;         /* PEM bundle; NULL: libcurl's own */
  bool proxy_env;              /* take the proxy from the environment */
  const char *proxy;           /* a proxy's URL */
  const char *user_agent;      /* appended to garner's own */
  double connect_timeout;      /* seconds, default 10 */
  double timeout;              /* seconds an exchange may take, default 120 */
  double stall_timeout;        /* seconds under 1 byte/s, default 60 */
  int attempts;                /* default 4 */
  double backoff;              /* seconds, default 0.25 */
  double backoff_throttled;    /* seconds, default 1 */
  double backoff_cap;          /* seconds, default 20 */
  double max_wait;             /* seconds, default 120 */
  double max_body;             /* bytes in memory, default 64 MiB */
  double max_headers;          /* bytes, default 256 KiB */
  int http_version;            /* 0: best over TLS, 1: HTTP/1.1, 2: HTTP/2 */
  bool allow_http;             /* credentials over plain http */
  bool allow_private;          /* server-supplied URLs at private addresses */
  bool insecure_tls;           /* no certificate checks */
  double rate;                 /* requests a second, 0: no limit */
  double burst;                /* how many at once */
  struct gn_rate *limiter;     /* instead of these two; borrowed, or NULL */
  bool transport;              /* the waiter answers, nothing is sent */
  bool record;                 /* every attempt is told for a recording */
  int log;                     /* 1: waits are told, 2: heads too */
  struct gn_quota_rules quota; /* which headers speak of the rate; borrowed */
};

struct gn_policy {
  atomic_int refs;               /* owner and exchanges */
  uint64_t serial;               /* no other policy of this process has it */
  unsigned generation;           /* of the process that uses it */
  char *base;                    /* base_url in gn_url_base's form */
  size_t base_origin;            /* bytes of base up to its path */
  struct gn_origin origin;       /* of base_url */
  struct gn_origin *origins;     /* further ones that get credentials */
  size_t origin_count;           /* how many */
  struct gn_auth auth;           /* the credential */
  struct gn_oauth *oauth;        /* where its tokens come from, or NULL */
  char **headers;                /* header lines for own origins */
  size_t header_count;           /* how many */
  char *ca_file;                 /* a readable one, or NULL */
  char *proxy_http;              /* for http URLs, "" for none */
  char *proxy_https;             /* for https URLs, "" for none */
  char *no_proxy;                /* hosts that no proxy serves, or NULL */
  char *agent_line;              /* the whole User-Agent line */
  const char *user_agent;        /* its value */
  int64_t connect_timeout_ms;    /* per attempt */
  int64_t timeout_ms;            /* per exchange */
  long stall_seconds;            /* under 1 byte/s for so long */
  size_t max_body;               /* bytes in memory, decoded */
  size_t max_headers;            /* bytes of all header lines */
  int http_version;              /* as in the options */
  bool proxy_env;                /* as in the options */
  bool allow_http;               /* as in the options */
  bool allow_private;            /* as in the options */
  bool insecure_tls;             /* as in the options */
  bool transport;                /* as in the options */
  bool record;                   /* as in the options */
  int log;                       /* as in the options */
  struct gn_retry_policy retry;  /* as in the options */
  struct gn_rate *rate;          /* its own, or one that clients share */
  struct gn_quota_rules quota;   /* which headers speak of the rate */
  pthread_mutex_t lock;          /* guards the three below */
  atomic_bool spent;             /* the budget is not full; read without it */
  struct gn_retry_budget budget; /* the client's retries */
  int own_class;                 /* enum gn_address_class of the own origin */
};

struct gn_policy *gn_policy_new(const struct gn_policy_options *o,
                                struct gn_error *err);
struct gn_policy *gn_policy_ref(struct gn_policy *p);
/* On the owner's thread, before any use of its own: in a child of fork the
 * locks may look taken by a thread that is not there. */
void gn_policy_enter(struct gn_policy *p);
void gn_policy_unref(struct gn_policy *p);

/* True if this URL begins with the base's own scheme, host and port, letter for
 * letter, so that nothing need be parsed to know its origin. */
bool gn_policy_at_base(const struct gn_policy *p, const char *url);
/* As gn_url_origin, without parsing where the base's will do. */
int gn_policy_origin_of(const struct gn_policy *p, const char *url,
                        struct gn_origin *out, struct gn_error *err);
/* The proxy for URLs of an origin, "" for none (no_proxy is libcurl's). */
const char *gn_policy_proxy(const struct gn_policy *p,
                            const struct gn_origin *o);
/* True if a credential may go to this URL. */
bool gn_policy_owns(const struct gn_policy *p, const char *url);
/* The credential's header line for a request of that scope (or NULL); as
 * gn_auth_line gives it. */
char *gn_policy_credential(struct gn_policy *p, const char *scope,
                           struct gn_error *err);
/* True if it is at the base URL's origin. */
bool gn_policy_is_base(const struct gn_policy *p, const char *url);
/* All that keep the client's rate wait for so many seconds, max_wait at
 * most. */
void gn_policy_pause(struct gn_policy *p, double now, double seconds);
/* Pauses the client if a response's headers say that nothing is left. marks: of
 * its lines (see head.h). */
void gn_policy_heed(struct gn_policy *p, const struct gn_buf *headers,
                    unsigned marks);
bool gn_policy_take_retry(struct gn_policy *p, bool throttled);
void gn_policy_refund(struct gn_policy *p, double taken);
void gn_policy_set_own_class(struct gn_policy *p, int address_class);
int gn_policy_own_class(struct gn_policy *p);

#endif

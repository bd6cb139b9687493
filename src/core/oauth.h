/* Owns: a credential whose tokens come from a token endpoint (OAuth 2): how it
 * asks for them, the tokens it has (one per scope), and what its owner must be
 * told. Shared by the engine's thread and the owner's; what changes is behind
 * its lock.
 * Must not: send anything (a fetch does), or show a secret.
 */
#ifndef GN_OAUTH_H
#define GN_OAUTH_H

#include "auth.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gn_policy;
struct gn_policy_options;
struct gn_fetch;
struct gn_jwt_key;

enum gn_grant {
  GN_GRANT_ASSERTION, /* RFC 7523: a signed assertion for each scope */
  GN_GRANT_REFRESH,   /* RFC 6749: a refresh token */
  GN_GRANT_LOGIN      /* a fixed body that logs in */
};

/* What a caller gives; everything is copied. */
struct gn_oauth_options {
  enum gn_grant grant;         /* how tokens are asked for */
  const char *token_url;       /* required, absolute */
  bool url_from_key;           /* somebody else chose it: addresses checked */
  const char *scopes;          /* where a request names none; may be NULL */
  const char *private_key;     /* assertion: PEM */
  size_t private_key_len;      /* its bytes */
  const char *key_id;          /* assertion: the header's kid, or NULL */
  const char *issuer;          /* assertion: who signs */
  const char *subject;         /* assertion: for whom, or NULL */
  const char *audience;        /* assertion: NULL: token_url */
  const char *client_id;       /* refresh */
  const char *client_secret;   /* refresh; NULL: a public client */
  const char *refresh_token;   /* refresh */
  bool rotates;                /* refresh: each is good for one use only */
  const char *body;            /* login: JSON */
};

/* One good answer of a token endpoint; texts are gn_alloc'd secrets. */
struct gn_grant_reply {
  char *access_token;  /* never NULL */
  char *refresh_token; /* NULL: the old one stays */
  double lifetime;     /* seconds from now; 0: not known */
};

/* A refresh token that its owner has to store; the newest is the last. */
struct gn_oauth_news {
  struct gn_oauth_news *next; /* the one after */
  char *refresh_token;        /* the new one */
  char *access_token;         /* that came with it */
  double expires_at;          /* of access_token, Unix seconds; 0: unknown */
};

/* A token of one scope. */
struct gn_oauth_token {
  struct gn_oauth_token *next; /* another scope's */
  char *scope;                 /* what it was asked for, "" for nothing */
  char *line;                  /* the header line; NULL: there is none */
  uint64_t serial;             /* no other token of this credential has it */
  int64_t refresh_at;          /* monotonic ms: from then on asked for anew */
  int64_t expires_at;          /* monotonic ms, or GN_NEVER */
};

#define GN_OAUTH_SEEN 16
#define GN_OAUTH_SECRETS (GN_OAUTH_SEEN + 2)

struct gn_oauth {
  pthread_mutex_t lock;          /* guards what says so */
  enum gn_grant grant;           /* as in the options, like those below */
  char *token_url;               /* absolute */
  bool url_from_key;             /* as in the options */
  bool rotates;                  /* as in the options */
  char *scopes;                  /* or NULL */
  struct gn_jwt_key *key;        /* or NULL */
  char *key_id;                  /* or NULL */
  char *issuer;                  /* or NULL */
  char *subject;                 /* or NULL */
  char *audience;                /* or NULL */
  char *client_id;               /* or NULL */
  char *client_secret;           /* secret, or NULL */
  char *body;                    /* secret, or NULL */
  char *host;                    /* of token_url, for messages */
  struct gn_policy *policy;      /* the token endpoint's own, no credential */
  char *refresh_token;           /* secret, or NULL; the lock */
  struct gn_oauth_token *tokens; /* newest scope first; the lock */
  uint64_t serials;              /* given so far; the lock */
  char *seen[GN_OAUTH_SEEN];     /* secrets it had, newest first; the lock */
  struct gn_oauth_news *news;    /* oldest first; the lock */
  struct gn_fetch *fetches;      /* that run; the lock */
};

/* p: the client's settings; NULL and err if something is wrong or missing. */
struct gn_oauth *gn_oauth_new(const struct gn_oauth_options *o,
                              const struct gn_policy_options *p,
                              struct gn_error *err);
void gn_oauth_free(struct gn_oauth *o);
/* In a child of fork: nothing that the parent began goes on here. */
void gn_oauth_enter(struct gn_oauth *o);

/* The scope that a request's tokens are kept under. */
const char *gn_oauth_scope(const struct gn_oauth *o, const char *requested);
/* The serial of a token that may be sent now; 0: none. stale: one that should
 * be refreshed will do. */
uint64_t gn_oauth_usable(struct gn_oauth *o, const char *scope, bool stale);
/* A gn_alloc'd copy of its header line; NULL with err->kind GN_OK: none. */
char *gn_oauth_line(struct gn_oauth *o, const char *scope,
                    struct gn_error *err);
/* The server refused the token of that serial. */
void gn_oauth_refuse(struct gn_oauth *o, uint64_t serial);
/* Keeps what came; auth: how a token becomes a header line. */
int gn_oauth_store(struct gn_oauth *o, const struct gn_auth *auth,
                   const char *scope, struct gn_grant_reply *reply,
                   struct gn_error *err);
/* A token that the owner has already. */
int gn_oauth_seed(struct gn_oauth *o, const struct gn_auth *auth,
                  const char *token, struct gn_error *err);
/* True if the token of that scope, due for a refresh that failed for now, is
 * still good for a while. */
bool gn_oauth_postpone(struct gn_oauth *o, const char *scope);

/* For the owner: the oldest news that was not dropped, or NULL. */
const struct gn_oauth_news *gn_oauth_news(struct gn_oauth *o);
void gn_oauth_drop_news(struct gn_oauth *o);
/* Another refresh token, from where the owner keeps it. */
int gn_oauth_set_refresh_token(struct gn_oauth *o, const char *token,
                               struct gn_error *err);
/* Takes a text that has to be hidden, too. */
void gn_oauth_remember(struct gn_oauth *o, char *secret);
/* One of the texts to hide, i < GN_OAUTH_SECRETS, gn_alloc'd; NULL: this place
 * is empty. */
char *gn_oauth_secret(struct gn_oauth *o, size_t i);

/* oauth_grant.c: the request's form or JSON, a secret; wall: Unix seconds. */
char *gn_grant_body(struct gn_oauth *o, const char *scope, double wall,
                    size_t *len, struct gn_error *err);
/* Reads a 200's body. */
int gn_grant_read(const char *body, size_t len, double wall,
                  struct gn_grant_reply *out, struct gn_error *err);
void gn_grant_reply_wipe(struct gn_grant_reply *r);
/* An error body's `error` and `error_description`, cut; "" where there is none.
 * A description that repeats a secret is not shown. */
void gn_grant_read_error(struct gn_oauth *o, const char *body, size_t len,
                         char *code, size_t code_cap, char *text,
                         size_t text_cap);
/* Says that the endpoint is not up to it now. */
bool gn_grant_is_transient(const char *code);

#endif

/* Owns: a client's credential and how it becomes one header line. Another
 * thread may read it while its owner replaces the token.
 * Must not: decide which origin gets it (the policy does), or show it.
 */
#ifndef GN_AUTH_H
#define GN_AUTH_H

#include "error.h"

#include <pthread.h>
#include <stddef.h>

enum gn_auth_scheme {
  GN_AUTH_NONE,   /* no credential */
  GN_AUTH_BEARER, /* Authorization: Bearer <token> */
  GN_AUTH_HEADER, /* <header>: <token> */
  GN_AUTH_BASIC   /* Authorization: Basic base64(user:password) */
};

struct gn_auth {
  pthread_mutex_t lock;       /* guards line */
  enum gn_auth_scheme scheme; /* never changes */
  char *header;               /* the header's name, never changes */
  char *line;                 /* the whole header line, secret; may be NULL */
};

void gn_auth_init(struct gn_auth *a);
/* header is read for GN_AUTH_HEADER only. */
int gn_auth_set_scheme(struct gn_auth *a, enum gn_auth_scheme scheme,
                       const char *header, struct gn_error *err);
/* bearer and header schemes; CR, LF, NUL or an empty token are refused. */
int gn_auth_set_token(struct gn_auth *a, const char *token, size_t len,
                      struct gn_error *err);
int gn_auth_set_basic(struct gn_auth *a, const char *user,
                      const char *password, struct gn_error *err);
/* The header line of a token, gn_alloc'd; what set_token refuses is refused. */
char *gn_auth_make_line(const struct gn_auth *a, const char *token, size_t len,
                        struct gn_error *err);
/* A gn_alloc'd copy of the header line, NULL with err->kind GN_OK if there is
 * no credential. The caller wipes it. */
char *gn_auth_line(struct gn_auth *a, struct gn_error *err);
void gn_auth_destroy(struct gn_auth *a);

/* True if text of len bytes can be a header's value. */
int gn_header_value_ok(const char *value, size_t len);
/* True if name is an RFC 9110 token. */
int gn_header_name_ok(const char *name, size_t len);
void gn_wipe(void *p, size_t len);

#endif

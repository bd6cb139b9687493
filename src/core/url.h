/* Owns: URLs: path templates, query encoding, join, resolution of references,
 * origins, and URLs made fit for messages. On top of curl's URL API, which
 * alone decides what the host of a URL is.
 * Must not: open connections, or put a URL's text into an error message.
 *
 * Bad input: -1, kind GN_INVALID, code "url", and a message naming the part.
 * Results in *out are the caller's, from gn_alloc.
 */
#ifndef GN_URL_H
#define GN_URL_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

#define GN_URL_MAX 65536 /* bytes that a URL may have */

struct gn_pair {
  const char *name;  /* NUL-terminated */
  const char *value; /* len bytes; NULL is a missing value */
  size_t len;        /* bytes in value */
};

struct gn_origin {
  char scheme[8];  /* "http" or "https" */
  char host[256];  /* lower case; IPv6 in brackets */
  unsigned port;   /* the scheme's own if the URL names none */
};

/* RFC 3986 unreserved bytes are kept, every other byte becomes %XX. */
int gn_url_escape(const char *s, size_t len, char **out, struct gn_error *err);

/* base's path + path, where "{name}" is replaced by the escaped parameter
 * (missing, "", ".", ".." and NUL are refused, so is a parameter that the path
 * does not use), then the query in the order given. Path may carry "?a=b". */
int gn_url_build(const char *base, const char *path,
                 const struct gn_pair *params, size_t nparams,
                 const struct gn_pair *query, size_t nquery, char **out,
                 struct gn_error *err);

/* A base checked once, in the form that gn_url_build_on takes: no slash at its
 * end. *origin_len: how much of it is scheme, host and port. */
int gn_url_base(const char *base, char **out, size_t *origin_len,
                struct gn_error *err);
/* As gn_url_build, but nothing of the base is looked at again. */
int gn_url_build_on(const char *checked, const char *path,
                    const struct gn_pair *params, size_t nparams,
                    const struct gn_pair *query, size_t nquery, char **out,
                    struct gn_error *err);

/* Sets one query parameter: the first of exactly that name is replaced, later
 * ones are dropped, none: appended. The rest stays byte for byte. */
int gn_url_with_query(const char *url, const char *name, const char *value,
                      size_t len, char **out, struct gn_error *err);

/* RFC 3986, for redirects and next links. The result has no fragment, and is
 * http or https without userinfo. Note that "//host/path" is a reference; where
 * only a whole URL will do, ask gn_url_origin first. */
int gn_url_resolve(const char *base, const char *reference, char **out,
                   struct gn_error *err);

int gn_url_origin(const char *url, struct gn_origin *out,
                  struct gn_error *err);
bool gn_url_same_origin(const struct gn_origin *a, const struct gn_origin *b);

/* Whether a query parameter of that name, percent-escapes allowed, is likely to
 * carry a secret. */
bool gn_url_looks_secret(const char *name, size_t len);
/* A URL for messages: no userinfo, no fragment; of a URL that a server supplied
 * no query, else no values of parameters whose names look secret. Text that is
 * no URL becomes a fixed phrase. Cut at cap bytes, the NUL included. */
void gn_url_redact(const char *url, bool server_supplied, char *out,
                   size_t cap);

/* "localhost", names under it, and literal addresses of this machine. */
bool gn_url_is_loopback_host(const char *host);

#endif

/* Owns: the one door from a URL's text to its parts, and the appending of text
 * to a URL. Internal to url.c.
 * Must not: be used to decide anything about a host except through the parts.
 */
#ifndef GN_URL_PARTS_H
#define GN_URL_PARTS_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>

#define GN_URL_UNRESERVED \
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
#define GN_URL_HEX "0123456789abcdefABCDEF"

struct gn_url_parts {
  char *prefix;     /* "https://host:port", no slash at its end; curl's */
  char *path;       /* begins with "/"; curl's */
  char *query;      /* without "?"; NULL if there is none; curl's */
  char scheme[8];   /* lower case */
  char host[256];   /* lower case, IPv6 in brackets and with its zone */
  unsigned port;    /* never 0 */
};

/* `part` is what messages call the text. Only http and https; no userinfo
 * unless allowed (it is in no part); the bytes of path and query unchanged. */
int gn_url_parse(const char *url, const char *part, bool allow_user,
                 struct gn_url_parts *p, struct gn_error *err);
void gn_url_parts_free(struct gn_url_parts *p);

/* No control characters, spaces or backslashes, and not too long. */
int gn_url_check_bytes(const char *text, const char *part,
                       struct gn_error *err);
int gn_url_refuse(struct gn_error *err, const char *part, const char *why);

int gn_url_put(struct gn_buf *b, const char *data, size_t len,
               struct gn_error *err);
int gn_url_put_text(struct gn_buf *b, const char *text, struct gn_error *err);

/* Bytes of `kept` as they are (NULL: all of ASCII), every other one as %XX. */
int gn_url_put_escaped(struct gn_buf *b, const char *s, size_t len,
                       const char *kept, struct gn_error *err);

#endif

/* Owns: reading a URL. Schemes, hosts and ports are only ever told apart by
 * curl's URL API, so that what is checked is what is connected to; what is done
 * on text here only refuses.
 * Must not: change the bytes of a path or a query.
 */
#include "url_parts.h"

#include "url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int gn_url_refuse(struct gn_error *err, const char *part, const char *why) {
  return gn_error_set(err, GN_INVALID, "url", "%s %s", part, why);
}

int gn_url_put(struct gn_buf *b, const char *data, size_t len,
               struct gn_error *err) {
  switch (gn_buf_append(b, data, len)) {
  case GN_BUF_OK:
    return 0;
  case GN_BUF_FULL:
    return gn_error_set(err, GN_INVALID, "url", "URL is longer than %d bytes",
                        GN_URL_MAX);
  case GN_BUF_MEMORY:
    break;
  }
  return gn_error_memory(err);
}

int gn_url_put_text(struct gn_buf *b, const char *text, struct gn_error *err) {
  return gn_url_put(b, text, strlen(text), err);
}

int gn_url_put_escaped(struct gn_buf *b, const char *s, size_t len,
                       const char *kept, struct gn_error *err) {
  static const char digits[] = "0123456789ABCDEF";
  size_t i, run = 0;
  for (i = 0; i < len; i++) {
    unsigned char c = (unsigned char)s[i];
    char code[3];
    if (kept ? c != 0 && strchr(kept, c) : c < 0x80) {
      run++;
      continue;
    }
    code[0] = '%';
    code[1] = digits[c >> 4];
    code[2] = digits[c & 15];
    if (gn_url_put(b, s + i - run, run, err) != 0 ||
        gn_url_put(b, code, 3, err) != 0)
      return -1;
    run = 0;
  }
  return gn_url_put(b, s + len - run, run, err);
}

int gn_url_check_bytes(const char *text, const char *part,
                       struct gn_error *err) {
  const char *p;
  for (p = text; *p; p++) {
    unsigned char c = (unsigned char)*p;
    if (c < 0x20 || c == 0x7f)
      return gn_url_refuse(err, part, "has a control character");
    if (c == ' ')
      return gn_url_refuse(err, part, "has a space");
    if (c == '\\')
      return gn_url_refuse(err, part, "has a backslash");
  }
  if (p - text > GN_URL_MAX)
    return gn_url_refuse(err, part, "is too long");
  return 0;
}

static int curl_refusal(CURLUcode code, const char *part,
                        struct gn_error *err) {
  switch (code) {
  case CURLUE_OUT_OF_MEMORY:
    return gn_error_memory(err);
  case CURLUE_BAD_SCHEME:
  case CURLUE_UNSUPPORTED_SCHEME:
    return gn_url_refuse(err, part, "has no http or https scheme");
  case CURLUE_USER_NOT_ALLOWED:
    return gn_url_refuse(err, part, "holds a user name or password");
  case CURLUE_BAD_PORT_NUMBER:
    return gn_url_refuse(err, part, "has a bad port");
  case CURLUE_NO_HOST:
  case CURLUE_BAD_HOSTNAME:
  case CURLUE_BAD_IPV6:
    return gn_url_refuse(err, part, "has a bad host");
  default:
    return gn_error_set(err, GN_INVALID, "url", "%s is malformed: %s", part,
                        curl_url_strerror(code));
  }
}

void gn_url_parts_free(struct gn_url_parts *p) {
  curl_free(p->prefix);
  curl_free(p->path);
  curl_free(p->query);
  memset(p, 0, sizeof *p);
}

/* curl forgives "http:/host", "http:///host" and escapes in hosts; what is
 * forgiven is read differently elsewhere. */
static int check_shape(const char *url, const char *part,
                       struct gn_error *err) {
  const char *host;
  size_t len;
  if (strncasecmp(url, "https://", 8) == 0)
    host = url + 8;
  else if (strncasecmp(url, "http://", 7) == 0)
    host = url + 7;
  else
    return gn_url_refuse(err, part, "does not begin with http:// or https://");
  len = strcspn(host, "/?#");
  if (len == 0)
    return gn_url_refuse(err, part, "has no host");
  if (host[0] != '[' && memchr(host, '%', len))
    return gn_url_refuse(err, part, "has an escape in its host");
  return 0;
}

static int read_host(CURLU *u, struct gn_url_parts *p, const char *part,
                     struct gn_error *err) {
  char *host = NULL, *zone = NULL;
  size_t i;
  int len, status = -1;
  CURLUcode code = curl_url_get(u, CURLUPART_HOST, &host, 0);
  if (code == CURLUE_OK) {
    code = curl_url_get(u, CURLUPART_ZONEID, &zone, 0);
    if (code == CURLUE_NO_ZONEID)
      code = CURLUE_OK;
  }
  if (code != CURLUE_OK) {
    curl_refusal(code, part, err);
    goto done;
  }
  if (zone)
    len = snprintf(p->host, sizeof p->host, "%.*s%%25%s]",
                   (int)strlen(host) - 1, host, zone);
  else
    len = snprintf(p->host, sizeof p->host, "%s", host);
  if (len <= 0 || (size_t)len >= sizeof p->host) {
    gn_url_refuse(err, part, "has a bad host");
    goto done;
  }
  for (i = 0; p->host[i]; i++) {
    if ((unsigned char)p->host[i] >= 0x80) {
      gn_url_refuse(err, part, "has a host beyond ASCII (write it as xn--...)");
      goto done;
    }
    if (p->host[i] >= 'A' && p->host[i] <= 'Z')
      p->host[i] += 'a' - 'A';
  }
  status = 0;
done:
  curl_free(host);
  curl_free(zone);
  return status;
}

/* The authority as curl reads it: what is left when the rest is taken away. */
static int read_prefix(CURLU *u, struct gn_url_parts *p, const char *part,
                       struct gn_error *err) {
  size_t len;
  CURLUcode code = curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
  if (code == CURLUE_OK)
    code = curl_url_set(u, CURLUPART_QUERY, NULL, 0);
  if (code == CURLUE_OK)
    code = curl_url_set(u, CURLUPART_PATH, "/", 0);
  if (code == CURLUE_OK)
    code = curl_url_set(u, CURLUPART_USER, NULL, 0);
  if (code == CURLUE_OK)
    code = curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
  if (code == CURLUE_OK)
    code = curl_url_get(u, CURLUPART_URL, &p->prefix, 0);
  if (code != CURLUE_OK)
    return curl_refusal(code, part, err);
  len = strlen(p->prefix);
  if (len > 0 && p->prefix[len - 1] == '/')
    p->prefix[len - 1] = '\0';
  return 0;
}

static int read_parts(CURLU *u, struct gn_url_parts *p, const char *part,
                      struct gn_error *err) {
  char *scheme = NULL, *port = NULL;
  CURLUcode code = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
  if (code == CURLUE_OK)
    code = curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
  if (code == CURLUE_OK)
    code = curl_url_get(u, CURLUPART_PATH, &p->path, 0);
  if (code == CURLUE_OK) {
    code = curl_url_get(u, CURLUPART_QUERY, &p->query, 0);
    if (code == CURLUE_NO_QUERY)
      code = CURLUE_OK;
  }
  if (code == CURLUE_OK) {
    p->port = (unsigned)strtoul(port, NULL, 10);
    snprintf(p->scheme, sizeof p->scheme, "%s", scheme);
    if (p->port == 0)
      code = CURLUE_BAD_PORT_NUMBER;
  }
  curl_free(scheme);
  curl_free(port);
  if (code != CURLUE_OK)
    return curl_refusal(code, part, err);
  if (read_host(u, p, part, err) != 0)
    return -1;
  return read_prefix(u, p, part, err);
}

int gn_url_parse(const char *url, const char *part, bool allow_user,
                 struct gn_url_parts *p, struct gn_error *err) {
  unsigned flags = CURLU_PATH_AS_IS | (allow_user ? 0 : CURLU_DISALLOW_USER);
  int status = -1;
  CURLU *u = NULL;
  CURLUcode code;
  memset(p, 0, sizeof *p);
  if (gn_url_check_bytes(url, part, err) != 0 ||
      check_shape(url, part, err) != 0)
    return -1;
  u = curl_url();
  if (!u)
    return gn_error_memory(err);
  code = curl_url_set(u, CURLUPART_URL, url, flags);
  if (code != CURLUE_OK)
    curl_refusal(code, part, err);
  else
    status = read_parts(u, p, part, err);
  curl_url_cleanup(u);
  if (status != 0)
    gn_url_parts_free(p);
  return status;
}

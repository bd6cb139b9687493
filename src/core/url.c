/* Owns: how URLs are put together, joined, compared and shown.
 * Must not: tell hosts apart by itself (see url_parts.h), or change what a
 * server supplied more than RFC 3986 asks for: signatures cover the bytes.
 */
#include "url.h"

#include "address.h"
#include "alloc.h"
#include "buf.h"
#include "url_parts.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a path written by a programmer may hold as it is. */
#define LITERAL GN_URL_UNRESERVED "!$&'()*+,;=:@/?%"

/* Gives the buffer's text away, or frees it. */
static int take(struct gn_buf *b, int status, char **out) {
  *out = status == 0 ? gn_buf_steal(b) : NULL;
  gn_buf_free(b);
  return status;
}

int gn_url_escape(const char *s, size_t len, char **out,
                  struct gn_error *err) {
  struct gn_buf b;
  int status;
  gn_buf_init(&b, GN_URL_MAX);
  status = gn_url_put_escaped(&b, s, len, GN_URL_UNRESERVED, err);
  return take(&b, status, out);
}

/* ---- building ---- */

static bool is_dots(const char *segment, size_t len) {
  size_t i, dots = 0;
  for (i = 0; i < len; dots++) {
    if (segment[i] == '.')
      i++;
    else if (len - i >= 3 && strncasecmp(segment + i, "%2e", 3) == 0)
      i += 3;
    else
      return false;
  }
  return dots == 1 || dots == 2;
}

static int check_path(const char *path, const char *part,
                      struct gn_error *err) {
  const char *p = path, *end = path + strcspn(path, "?");
  while (p < end) {
    size_t len = strcspn(p, "/?");
    if (is_dots(p, len))
      return gn_url_refuse(err, part, "has a \".\" or \"..\" segment");
    p += len + 1;
  }
  for (p = strchr(path, '%'); p; p = strchr(p + 1, '%')) {
    if (strspn(p + 1, GN_URL_HEX) < 2)
      return gn_url_refuse(err, part, "has a \"%\" that begins no escape");
  }
  return 0;
}

static const struct gn_pair *find(const struct gn_pair *pairs, size_t n,
                                  const char *name, size_t len) {
  size_t i;
  for (i = 0; i < n; i++) {
    if (strlen(pairs[i].name) == len && memcmp(pairs[i].name, name, len) == 0)
      return &pairs[i];
  }
  return NULL;
}

static int put_param(struct gn_buf *b, const char *name, size_t len,
                     const struct gn_pair *params, size_t nparams,
                     struct gn_error *err) {
  const struct gn_pair *pair = find(params, nparams, name, len);
  const char *why = NULL;
  if (!pair || !pair->value)
    why = "is missing";
  else if (pair->len == 0)
    why = "is empty";
  else if (memchr(pair->value, '\0', pair->len))
    why = "has a NUL byte";
  else if ((pair->len == 1 && pair->value[0] == '.') ||
           (pair->len == 2 && memcmp(pair->value, "..", 2) == 0))
    why = "must not be \".\" or \"..\"";
  if (why)
    return gn_error_set(err, GN_INVALID, "url", "path parameter \"%.*s\" %s",
                        len < 60 ? (int)len : 60, name, why);
  return gn_url_put_escaped(b, pair->value, pair->len, GN_URL_UNRESERVED, err);
}

static int check_used(const char *path, const struct gn_pair *params,
                      size_t nparams, struct gn_error *err) {
  size_t i;
  for (i = 0; i < nparams; i++) {
    size_t len = strlen(params[i].name);
    const char *p = strchr(path, '{');
    while (p && !(strncmp(p + 1, params[i].name, len) == 0 &&
                  p[1 + len] == '}'))
      p = strchr(p + 1, '{');
    if (!p)
      return gn_error_set(err, GN_INVALID, "url",
                          "path has no \"{%.60s}\" for that parameter",
                          params[i].name);
  }
  return 0;
}

static int put_path(struct gn_buf *b, const char *path,
                    const struct gn_pair *params, size_t nparams,
                    struct gn_error *err) {
  if (path[0] && path[0] != '/')
    return gn_url_refuse(err, "path", "does not begin with \"/\"");
  if (strchr(path, '#'))
    return gn_url_refuse(err, "path", "has a fragment");
  if (gn_url_check_bytes(path, "path", err) != 0)
    return -1;
  while (*path) {
    size_t len = strcspn(path, "{}");
    if (gn_url_put_escaped(b, path, len, LITERAL, err) != 0)
      return -1;
    path += len;
    if (*path == '\0')
      break;
    len = strcspn(path + 1, "{}");
    if (*path == '}' || path[1 + len] != '}' || len == 0)
      return gn_url_refuse(err, "path",
                           "has a \"{\" or \"}\" that is no {name}");
    if (put_param(b, path + 1, len, params, nparams, err) != 0)
      return -1;
    path += len + 2;
  }
  return 0;
}

static int put_pair(struct gn_buf *b, const char *name, const char *value,
                    size_t len, struct gn_error *err) {
  if (gn_url_put_escaped(b, name, strlen(name), GN_URL_UNRESERVED, err) != 0 ||
      gn_url_put(b, "=", 1, err) != 0)
    return -1;
  return gn_url_put_escaped(b, value, len, GN_URL_UNRESERVED, err);
}

static int put_query(struct gn_buf *b, const struct gn_pair *query,
                     size_t nquery, struct gn_error *err) {
  size_t i;
  for (i = 0; i < nquery; i++) {
    const char *joint = "?", *mark = strchr(b->data, '?');
    if (!query[i].name[0])
      return gn_url_refuse(err, "query", "has a parameter without a name");
    if (!query[i].value)
      return gn_error_set(err, GN_INVALID, "url",
                          "query parameter \"%.60s\" is missing",
                          query[i].name);
    if (mark)
      joint = mark[1] && b->data[b->len - 1] != '&' ? "&" : "";
    if (gn_url_put_text(b, joint, err) != 0 ||
        put_pair(b, query[i].name, query[i].value, query[i].len, err) != 0)
      return -1;
  }
  return 0;
}

static int put_base(struct gn_buf *b, const char *base, bool path_follows,
                    size_t *origin_len, struct gn_error *err) {
  struct gn_url_parts p;
  size_t len;
  int status = -1;
  if (strpbrk(base, "?#"))
    return gn_url_refuse(err, "base URL", "has a query or a fragment");
  if (gn_url_parse(base, "base URL", false, &p, err) != 0)
    return -1;
  if (origin_len)
    *origin_len = strlen(p.prefix);
  len = strlen(p.path);
  if (path_follows && len > 0 && p.path[len - 1] == '/')
    len--;
  if (check_path(p.path, "base URL", err) == 0 &&
      gn_url_put_text(b, p.prefix, err) == 0)
    status = gn_url_put_escaped(b, p.path, len, LITERAL, err);
  gn_url_parts_free(&p);
  return status;
}

/* The last word on what was put together is curl's. */
static int check_result(const char *url, struct gn_error *err) {
  struct gn_url_parts p;
  if (gn_url_parse(url, "URL", false, &p, err) != 0)
    return -1;
  gn_url_parts_free(&p);
  return 0;
}

/* What follows a base that stands in the buffer. */
static int put_rest(struct gn_buf *b, const char *path,
                    const struct gn_pair *params, size_t nparams,
                    const struct gn_pair *query, size_t nquery,
                    struct gn_error *err) {
  size_t prefix = b->len;
  if (put_path(b, path, params, nparams, err) != 0 ||
      check_path(b->data + prefix, "path", err) != 0 ||
      check_used(path, params, nparams, err) != 0)
    return -1;
  return put_query(b, query, nquery, err);
}

int gn_url_build(const char *base, const char *path,
                 const struct gn_pair *params, size_t nparams,
                 const struct gn_pair *query, size_t nquery, char **out,
                 struct gn_error *err) {
  struct gn_buf b;
  int status = -1;
  gn_buf_init(&b, GN_URL_MAX);
  *out = NULL;
  if (put_base(&b, base, path[0] != '\0', NULL, err) == 0 &&
      put_rest(&b, path, params, nparams, query, nquery, err) == 0)
    status = check_result(b.data, err);
  return take(&b, status, out);
}

int gn_url_base(const char *base, char **out, size_t *origin_len,
                struct gn_error *err) {
  struct gn_buf b;
  gn_buf_init(&b, GN_URL_MAX);
  return take(&b, put_base(&b, base, true, origin_len, err), out);
}

int gn_url_build_on(const char *checked, const char *path,
                    const struct gn_pair *params, size_t nparams,
                    const struct gn_pair *query, size_t nquery, char **out,
                    struct gn_error *err) {
  struct gn_buf b;
  int status;
  gn_buf_init(&b, GN_URL_MAX);
  status = gn_url_put_text(&b, checked, err);
  if (status == 0)
    status = put_rest(&b, path, params, nparams, query, nquery, err);
  return take(&b, status, out);
}

/* ---- one parameter of a query ---- */

/* Whether the raw name decodes to exactly `name`. */
static bool names(const char *raw, size_t len, const char *name) {
  size_t i;
  for (i = 0; i < len; name++) {
    char c = raw[i];
    if (c == '%' && len - i >= 3 && strspn(raw + i + 1, GN_URL_HEX) >= 2) {
      char code[3] = {raw[i + 1], raw[i + 2], '\0'};
      c = (char)strtoul(code, NULL, 16);
      i += 3;
    } else {
      i++;
    }
    if (c == '\0' || c != *name)
      return false;
  }
  return *name == '\0';
}

/* Copies the parameters of query[0..len), the one replaced. */
static int replace(struct gn_buf *b, const char *query, size_t len,
                   const struct gn_pair *pair, struct gn_error *err) {
  const char *p = query, *end = query + len;
  bool done = false, first = true;
  while (p <= end && len > 0) {
    const char *amp = memchr(p, '&', (size_t)(end - p));
    size_t whole = (size_t)((amp ? amp : end) - p);
    const char *eq = memchr(p, '=', whole);
    bool hit = names(p, eq ? (size_t)(eq - p) : whole, pair->name);
    if (!hit || !done) {
      if (!first && gn_url_put(b, "&", 1, err) != 0)
        return -1;
      first = false;
      if ((hit ? put_pair(b, pair->name, pair->value, pair->len, err)
               : gn_url_put(b, p, whole, err)) != 0)
        return -1;
      done = done || hit;
    }
    p += whole + 1;
  }
  if (done)
    return 0;
  if (!first && b->data[b->len - 1] != '&' && gn_url_put(b, "&", 1, err) != 0)
    return -1;
  return put_pair(b, pair->name, pair->value, pair->len, err);
}

int gn_url_with_query(const char *url, const char *name, const char *value,
                      size_t len, char **out, struct gn_error *err) {
  struct gn_buf b;
  struct gn_pair pair = {name, value, len};
  size_t before = strcspn(url, "?#");
  const char *query = url + before + (url[before] == '?');
  size_t qlen = url[before] == '?' ? strcspn(query, "#") : 0;
  int status = -1;
  gn_buf_init(&b, GN_URL_MAX);
  *out = NULL;
  if (!name[0] || !value) {
    gn_url_refuse(err, "query", "has a parameter without a name or value");
    goto done;
  }
  if (check_result(url, err) != 0 || gn_url_put(&b, url, before, err) != 0 ||
      gn_url_put(&b, "?", 1, err) != 0 ||
      replace(&b, query, qlen, &pair, err) != 0 ||
      gn_url_put_text(&b, query + qlen, err) != 0)
    goto done;
  status = check_result(b.data, err);
done:
  return take(&b, status, out);
}

/* ---- references ---- */

static bool has_scheme(const char *reference) {
  size_t len = strcspn(reference, ":/?#");
  return len > 0 && reference[len] == ':';
}

/* RFC 3986, 5.2.4; what is removed never reaches before `floor`. */
static int put_without_dots(struct gn_buf *b, const char *path, size_t len,
                            struct gn_error *err) {
  size_t floor = b->len;
  const char *p = path, *end = path + len;
  while (p < end) {
    const char *slash = memchr(p + 1, '/', (size_t)(end - p - 1));
    size_t whole = (size_t)((slash ? slash : end) - p);
    bool one = whole == 2 && p[1] == '.';
    bool two = whole == 3 && p[1] == '.' && p[2] == '.';
    if (two) {
      while (b->len > floor && b->data[--b->len] != '/')
        ;
      b->data[b->len] = '\0';
    }
    if (!one && !two) {
      if (gn_url_put(b, p, whole, err) != 0)
        return -1;
    } else if (!slash && gn_url_put(b, "/", 1, err) != 0) {
      return -1;
    }
    p += whole;
  }
  return 0;
}

/* An empty query is none: curl's URL API does not tell them apart. */
static int put_query_text(struct gn_buf *b, const char *query,
                          struct gn_error *err) {
  if (!query || !query[0])
    return 0;
  return gn_url_put(b, "?", 1, err) != 0 ? -1 : gn_url_put_text(b, query, err);
}

/* Joins a reference that has neither scheme nor authority. */
static int put_relative(struct gn_buf *b, const struct gn_url_parts *base,
                        const char *reference, struct gn_error *err) {
  size_t len = strcspn(reference, "?");
  struct gn_buf path;
  int status = -1;
  gn_buf_init(&path, GN_URL_MAX);
  if (reference[0] != '/') {
    const char *cut = strrchr(base->path, '/');
    size_t kept = len == 0 ? strlen(base->path)
                           : (size_t)(cut - base->path) + 1;
    if (gn_url_put(&path, base->path, kept, err) != 0)
      goto done;
  }
  if (gn_url_put(&path, reference, len, err) != 0 ||
      gn_url_put_text(b, base->prefix, err) != 0 ||
      put_without_dots(b, path.data, path.len, err) != 0)
    goto done;
  if (reference[0] == '\0')
    status = put_query_text(b, base->query, err);
  else
    status = put_query_text(b, reference[len] ? reference + len + 1 : NULL,
                            err);
done:
  gn_buf_free(&path);
  return status;
}

/* A whole URL: curl's prefix, the path without dots, the query as it came. */
static int put_whole(struct gn_buf *b, const char *url, struct gn_error *err) {
  struct gn_url_parts p;
  int status = -1;
  if (gn_url_parse(url, "URL", false, &p, err) != 0)
    return -1;
  if (gn_url_put_text(b, p.prefix, err) == 0 &&
      put_without_dots(b, p.path, strlen(p.path), err) == 0)
    status = put_query_text(b, p.query, err);
  gn_url_parts_free(&p);
  return status;
}

static int put_resolved(struct gn_buf *b, const char *base,
                        const char *reference, struct gn_error *err) {
  struct gn_url_parts p;
  char *text = NULL;
  size_t len;
  int status = -1;
  if (gn_url_check_bytes(reference, "reference", err) != 0)
    return -1;
  if (has_scheme(reference))
    return put_whole(b, reference, err);
  if (gn_url_parse(base, "base URL", false, &p, err) != 0)
    return -1;
  len = strlen(p.scheme) + strlen(reference) + 2;
  text = gn_alloc(len);
  if (!text) {
    gn_error_memory(err);
    goto done;
  }
  if (strncmp(reference, "//", 2) == 0) {
    snprintf(text, len, "%s:%s", p.scheme, reference);
    status = put_whole(b, text, err);
  } else {
    snprintf(text, len, "%.*s", (int)strcspn(reference, "#"), reference);
    status = put_relative(b, &p, text, err);
  }
done:
  gn_free(text);
  gn_url_parts_free(&p);
  return status;
}

int gn_url_resolve(const char *base, const char *reference, char **out,
                   struct gn_error *err) {
  struct gn_buf raw, b;
  int status = -1;
  gn_buf_init(&raw, GN_URL_MAX);
  gn_buf_init(&b, GN_URL_MAX);
  /* Only what no URL may hold is escaped: a server's text is the server's. */
  if (put_resolved(&raw, base, reference, err) == 0 &&
      gn_url_put_escaped(&b, raw.data, raw.len, NULL, err) == 0)
    status = check_result(b.data, err);
  gn_buf_free(&raw);
  return take(&b, status, out);
}

/* ---- origins ---- */

int gn_url_origin(const char *url, struct gn_origin *out,
                  struct gn_error *err) {
  struct gn_url_parts p;
  memset(out, 0, sizeof *out);
  if (gn_url_parse(url, "URL", false, &p, err) != 0)
    return -1;
  memcpy(out->scheme, p.scheme, sizeof out->scheme);
  memcpy(out->host, p.host, sizeof out->host);
  out->port = p.port;
  gn_url_parts_free(&p);
  return 0;
}

bool gn_url_same_origin(const struct gn_origin *a, const struct gn_origin *b) {
  return a->port == b->port && strcmp(a->scheme, b->scheme) == 0 &&
         strcmp(a->host, b->host) == 0;
}

bool gn_url_is_loopback_host(const char *host) {
  static const char localhost[] = ".localhost";
  const size_t tail = sizeof localhost - 1;
  struct sockaddr_in in = {.sin_family = AF_INET};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
  char bare[64];
  size_t len = strlen(host);
  if (strcasecmp(host, localhost + 1) == 0 ||
      (len > tail && strcasecmp(host + len - tail, localhost) == 0))
    return true;
  if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
    host++;
    len -= 2;
  }
  if (len >= sizeof bare)
    return false;
  snprintf(bare, sizeof bare, "%.*s", (int)len, host);
  if (inet_pton(AF_INET, bare, &in.sin_addr) == 1)
    return gn_address_classify((struct sockaddr *)&in) == GN_ADDRESS_LOOPBACK;
  if (inet_pton(AF_INET6, bare, &in6.sin6_addr) == 1)
    return gn_address_classify((struct sockaddr *)&in6) ==
           GN_ADDRESS_LOOPBACK;
  return false;
}

/* ---- for messages ---- */

struct room {
  char *at;     /* where the next byte goes */
  size_t left;  /* bytes left, the NUL's included */
  bool cut;     /* something did not fit */
};

static void show(struct room *r, const char *text, size_t len) {
  size_t n = len < r->left ? len : r->left - 1;
  memcpy(r->at, text, n);
  r->at += n;
  r->left -= n;
  *r->at = '\0';
  r->cut = r->cut || n < len;
}

bool gn_url_looks_secret(const char *name, size_t len) {
  static const char *const exact[] = {
    "token", "access_token", "refresh_token", "id_token", "key", "api_key",
    "apikey", "sig", "pwd", "auth", "authorization", "code", "assertion",
    "jwt", "session", "sessionid"};
  static const char *const within[] = {
    "x-amz-", "x-goog-", "secret", "passw", "signature", "credential",
    "accesskey", "access-token"};
  char plain[64];
  size_t i, n = 0;
  for (i = 0; i < len && n < sizeof plain - 1; i++) {
    char c = name[i];
    if (c == '%' && len - i >= 3 && strspn(name + i + 1, GN_URL_HEX) >= 2) {
      char code[3] = {name[i + 1], name[i + 2], '\0'};
      c = (char)strtoul(code, NULL, 16);
      i += 2;
    }
    plain[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
  }
  plain[n] = '\0';
  for (i = 0; i < sizeof exact / sizeof *exact; i++) {
    if (strcmp(plain, exact[i]) == 0)
      return true;
  }
  for (i = 0; i < sizeof within / sizeof *within; i++) {
    if (strstr(plain, within[i]))
      return true;
  }
  return false;
}

static void show_query(struct room *r, const char *query) {
  while (*query) {
    size_t whole = strcspn(query, "&;");
    size_t name = strcspn(query, "=&;");
    if (name < whole && gn_url_looks_secret(query, name)) {
      show(r, query, name + 1);
      show(r, "***", 3);
    } else {
      show(r, query, whole);
    }
    query += whole;
    if (*query)
      show(r, query++, 1);
  }
}

void gn_url_redact(const char *url, bool server_supplied, char *out,
                   size_t cap) {
  static const char unreadable[] = "(unreadable URL)";
  struct room r = {out, cap, false};
  struct gn_url_parts p;
  if (cap == 0)
    return;
  out[0] = '\0';
  if (gn_url_parse(url, "URL", true, &p, NULL) != 0) {
    show(&r, unreadable, sizeof unreadable - 1);
    return;
  }
  show(&r, p.prefix, strlen(p.prefix));
  show(&r, p.path, strlen(p.path));
  if (p.query && p.query[0] && server_supplied) {
    show(&r, "?...", 4);
  } else if (p.query && p.query[0]) {
    show(&r, "?", 1);
    show_query(&r, p.query);
  }
  gn_url_parts_free(&p);
  if (r.cut && cap > 3)
    memcpy(out + cap - 4, "...", 4);
}

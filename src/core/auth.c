/* Owns: building and replacing the credential's header line, and the checks of
 * header names and values. Must not: log or return any part of a secret.
 */
#include "posix.h"

#include "auth.h"

#include "alloc.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

void gn_wipe(void *p, size_t len) {
  if (p)
    OPENSSL_cleanse(p, len);
}

int gn_header_value_ok(const char *value, size_t len) {
  size_t i;
  for (i = 0; i < len; i++) {
    unsigned char c = (unsigned char)value[i];
    if ((c < 0x20 && c != '\t') || c == 0x7f)
      return 0;
  }
  return 1;
}

int gn_header_name_ok(const char *name, size_t len) {
  static const char extra[] = "!#$%&'*+-.^_`|~";
  size_t i;
  for (i = 0; i < len; i++) {
    char c = name[i];
    int alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                (c >= 'A' && c <= 'Z');
    if (!alnum && (c == '\0' || !strchr(extra, c)))
      return 0;
  }
  return len > 0;
}

void gn_auth_init(struct gn_auth *a) {
  memset(a, 0, sizeof *a);
  pthread_mutex_init(&a->lock, NULL);
}

int gn_auth_set_scheme(struct gn_auth *a, enum gn_auth_scheme scheme,
                       const char *header, struct gn_error *err) {
  const char *name = scheme == GN_AUTH_HEADER ? header : "Authorization";
  if (scheme == GN_AUTH_NONE)
    return 0;
  if (!name || !gn_header_name_ok(name, strlen(name)))
    return gn_error_set(err, GN_INVALID, "header",
                        "the credential's header name is not a valid one");
  a->header = gn_strdup(name);
  if (!a->header)
    return gn_error_memory(err);
  a->scheme = scheme;
  return 0;
}

static int replace_line(struct gn_auth *a, char *line) {
  char *old;
  pthread_mutex_lock(&a->lock);
  old = a->line;
  a->line = line;
  pthread_mutex_unlock(&a->lock);
  if (old)
    gn_wipe(old, strlen(old));
  gn_free(old);
  return 0;
}

char *gn_auth_make_line(const struct gn_auth *a, const char *token, size_t len,
                        struct gn_error *err) {
  const char *prefix = a->scheme == GN_AUTH_BEARER ? "Bearer " : "";
  const char *bad = NULL;
  size_t size;
  char *line;
  if (!a->header)
    bad = "this client has no credential to replace";
  else if (len == 0)
    bad = "the token is empty";
  else if (!gn_header_value_ok(token, len))
    bad = "the token holds a control character";
  if (bad) {
    gn_error_set(err, GN_INVALID, "token", "%s", bad);
    return NULL;
  }
  size = strlen(a->header) + 2 + strlen(prefix) + len + 1;
  line = gn_alloc(size);
  if (line)
    snprintf(line, size, "%s: %s%.*s", a->header, prefix, (int)len, token);
  else
    gn_error_memory(err);
  return line;
}

int gn_auth_set_token(struct gn_auth *a, const char *token, size_t len,
                      struct gn_error *err) {
  char *line = gn_auth_make_line(a, token, len, err);
  return line ? replace_line(a, line) : -1;
}

static void base64(const unsigned char *in, size_t len, char *out) {
  static const char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t i;
  for (i = 0; i < len; i += 3) {
    unsigned v = (unsigned)in[i] << 16;
    v |= i + 1 < len ? (unsigned)in[i + 1] << 8 : 0;
    v |= i + 2 < len ? in[i + 2] : 0;
    *out++ = digits[v >> 18 & 63];
    *out++ = digits[v >> 12 & 63];
    *out++ = i + 1 < len ? digits[v >> 6 & 63] : '=';
    *out++ = i + 2 < len ? digits[v & 63] : '=';
  }
  *out = '\0';
}

int gn_auth_set_basic(struct gn_auth *a, const char *user,
                      const char *password, struct gn_error *err) {
  size_t plain_len = strlen(user) + 1 + strlen(password);
  size_t size = sizeof "Authorization: Basic " + (plain_len + 2) / 3 * 4;
  char *plain = NULL, *line = NULL;
  if (strchr(user, ':'))
    return gn_error_set(err, GN_INVALID, "user", "a user name holds no ':'");
  plain = gn_alloc(plain_len + 1);
  line = gn_alloc(size);
  if (!plain || !line)
    goto fail;
  snprintf(plain, plain_len + 1, "%s:%s", user, password);
  strcpy(line, "Authorization: Basic ");
  base64((unsigned char *)plain, plain_len, line + strlen(line));
  gn_wipe(plain, plain_len);
  gn_free(plain);
  return replace_line(a, line);
fail:
  gn_free(plain);
  gn_free(line);
  return gn_error_memory(err);
}

char *gn_auth_line(struct gn_auth *a, struct gn_error *err) {
  char *copy = NULL;
  gn_error_clear(err);
  if (a->scheme == GN_AUTH_NONE)
    return NULL;
  pthread_mutex_lock(&a->lock);
  if (a->line) {
    copy = gn_strdup(a->line);
    if (!copy)
      gn_error_memory(err);
  }
  pthread_mutex_unlock(&a->lock);
  return copy;
}

void gn_auth_destroy(struct gn_auth *a) {
  replace_line(a, NULL);
  gn_free(a->header);
  a->header = NULL;
  pthread_mutex_destroy(&a->lock);
}

/* Owns: reading RateLimit (all drafts of the IETF's field), the X-RateLimit
 * family and headers that a caller named. Must not: believe what is no number.
 */
#include "quota.h"

#include "alloc.h"
#include "request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NOTHING (-1.0)
#define EPOCH_SECONDS 1e9 /* no delay is so long, no clock so far back */
#define EPOCH_MILLIS 1e12

struct family {
  const char *remaining; /* a header's name */
  const char *reset;     /* a header's name */
};

static const struct family families[] = {
  {"RateLimit-Remaining", "RateLimit-Reset"},
  {"X-RateLimit-Remaining", "X-RateLimit-Reset"},
  {"X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"},
};

static int copy(char **to, const char *from, struct gn_error *err) {
  if (!from)
    return 0;
  *to = gn_strdup(from);
  return *to ? 0 : gn_error_memory(err);
}

int gn_quota_copy(struct gn_quota_rules *to, const struct gn_quota_rules *from,
                  struct gn_error *err) {
  to->off = from->off;
  to->reset_kind = from->reset_kind;
  if (copy(&to->remaining, from->remaining, err) != 0 ||
      copy(&to->used, from->used, err) != 0 ||
      copy(&to->limit, from->limit, err) != 0)
    return -1;
  return copy(&to->reset, from->reset, err);
}

void gn_quota_destroy(struct gn_quota_rules *r) {
  gn_free(r->remaining);
  gn_free(r->used);
  gn_free(r->limit);
  gn_free(r->reset);
  memset(r, 0, sizeof *r);
}

/* The number that a text begins with, NOTHING if it begins with none; *rest is
 * what follows. */
static double number(const char *text, size_t len, size_t *rest) {
  double value = 0, unit = 1;
  size_t i = 0, digits = 0;
  while (i < len && (text[i] == ' ' || text[i] == '\t'))
    i++;
  for (; i < len && text[i] >= '0' && text[i] <= '9'; i++, digits++)
    value = value * 10 + (text[i] - '0');
  if (digits > 0 && i + 1 < len && text[i] == '.')
    for (i++; i < len && text[i] >= '0' && text[i] <= '9'; i++)
      value += (text[i] - '0') * (unit /= 10);
  *rest = i;
  return digits > 0 ? value : NOTHING;
}

static double header_number(const struct gn_buf *headers, const char *name) {
  size_t len, rest;
  const char *value = name ? gn_headers_find(headers, name, &len) : NULL;
  return value ? number(value, len, &rest) : NOTHING;
}

static double seconds_until(double reset, enum gn_quota_reset kind,
                            double wall) {
  if (reset < 0)
    return NOTHING;
  if (kind == GN_QUOTA_GUESS && reset >= EPOCH_MILLIS)
    reset = reset / 1000 - wall;
  else if (kind == GN_QUOTA_EPOCH ||
           (kind == GN_QUOTA_GUESS && reset >= EPOCH_SECONDS))
    reset -= wall;
  return reset > 0 ? reset : 0;
}

static double longer(double a, double b) {
  /* "Nothing left, but not until when" is weaker than any time. */
  if (a > 0 || b > 0)
    return a > b ? a : b;
  return a < b ? a : b;
}

/* "limit=9, remaining=0, reset=5" and "name";r=0;t=5, also several of them. */
static double read_field(const char *text, size_t len) {
  double remaining = NOTHING, reset = NOTHING, wait = 0;
  size_t i = 0;
  while (i < len) {
    size_t n = 0, rest, eq;
    while (i < len && strchr(" \t,;", text[i]))
      i++;
    while (i + n < len && text[i + n] != ',' && text[i + n] != ';')
      n++;
    if (n > 0 && text[i] == '"')
      remaining = reset = NOTHING;
    for (eq = 0; eq < n && text[i + eq] != '='; eq++)
      ;
    if ((eq == 1 && text[i] == 'r') ||
        (eq == 9 && strncasecmp(text + i, "remaining", 9) == 0))
      remaining = eq < n ? number(text + i + eq + 1, n - eq - 1, &rest)
                         : NOTHING;
    else if ((eq == 1 && text[i] == 't') ||
             (eq == 5 && strncasecmp(text + i, "reset", 5) == 0))
      reset = eq < n ? number(text + i + eq + 1, n - eq - 1, &rest) : NOTHING;
    i += n;
    if (remaining >= 0 && remaining < 1 && reset >= 0)
      wait = longer(wait, reset);
  }
  return wait;
}

static double read_own(const struct gn_quota_rules *r,
                       const struct gn_buf *headers, double wall) {
  double left = header_number(headers, r->remaining);
  if (r->used) {
    size_t len, rest = 0, end;
    const char *value = gn_headers_find(headers, r->used, &len);
    double used = value ? number(value, len, &rest) : NOTHING;
    double limit = header_number(headers, r->limit);
    if (used >= 0 && rest < len && value[rest] == '/')
      limit = number(value + rest + 1, len - rest - 1, &end);
    left = used >= 0 && limit > 0 ? (limit > used ? limit - used : 0)
                                  : NOTHING;
  }
  if (left < 0 || left >= 1)
    return 0;
  return seconds_until(header_number(headers, r->reset), r->reset_kind, wall);
}

double gn_quota_wait(const struct gn_quota_rules *r,
                     const struct gn_buf *headers, double wall) {
  double wait = 0;
  const char *value;
  size_t i, len;
  if (r->off)
    return 0;
  if (r->remaining || r->used)
    return read_own(r, headers, wall);
  value = gn_headers_find(headers, "RateLimit", &len);
  if (value)
    wait = read_field(value, len);
  for (i = 0; i < sizeof families / sizeof families[0]; i++) {
    double left = header_number(headers, families[i].remaining);
    if (left >= 0 && left < 1)
      wait = longer(wait, seconds_until(
                              header_number(headers, families[i].reset),
                              r->reset_kind, wall));
  }
  return wait;
}

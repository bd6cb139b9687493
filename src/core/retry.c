/* Owns: the tables of what may be sent again, after libcurl's result, the
 * body's own code, and the HTTP status, in that order. Must not: wait.
 */
#include "retry.h"

#include "alloc.h"
#include "framing.h"
#include "json.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum when { NEVER, IF_SAFE, ALWAYS };

struct curl_row {
  int code;          /* CURLcode */
  enum gn_kind kind; /* what it means to a caller */
  const char *text;  /* the error's code */
  enum when again;   /* when it may be sent again */
};

static const struct curl_row curl_rows[] = {
  {CURLE_COULDNT_RESOLVE_HOST, GN_TRANSPORT, "resolve", ALWAYS},
  {CURLE_COULDNT_CONNECT, GN_TRANSPORT, "connect", ALWAYS},
  {CURLE_COULDNT_RESOLVE_PROXY, GN_TRANSPORT, "proxy", NEVER},
  {CURLE_PROXY, GN_TRANSPORT, "proxy", NEVER},
  {CURLE_SSL_CONNECT_ERROR, GN_TRANSPORT, "tls", NEVER},
  {CURLE_PEER_FAILED_VERIFICATION, GN_TRANSPORT, "tls", NEVER},
  {CURLE_SSL_CERTPROBLEM, GN_TRANSPORT, "tls", NEVER},
  {CURLE_SSL_CIPHER, GN_TRANSPORT, "tls", NEVER},
  {CURLE_SSL_CACERT_BADFILE, GN_TRANSPORT, "tls", NEVER},
  {CURLE_SSL_ISSUER_ERROR, GN_TRANSPORT, "tls", NEVER},
  {CURLE_SSL_ENGINE_NOTFOUND, GN_TRANSPORT, "tls", NEVER},
  {CURLE_SSL_ENGINE_SETFAILED, GN_TRANSPORT, "tls", NEVER},
  {CURLE_SSL_INVALIDCERTSTATUS, GN_TRANSPORT, "tls", NEVER},
  {CURLE_USE_SSL_FAILED, GN_TRANSPORT, "tls", NEVER},
  {CURLE_GOT_NOTHING, GN_TRANSPORT, "reset", IF_SAFE},
  {CURLE_SEND_ERROR, GN_TRANSPORT, "reset", IF_SAFE},
  {CURLE_RECV_ERROR, GN_TRANSPORT, "reset", IF_SAFE},
  {CURLE_HTTP2, GN_TRANSPORT, "reset", IF_SAFE},
  {CURLE_HTTP2_STREAM, GN_TRANSPORT, "reset", IF_SAFE},
  {CURLE_PARTIAL_FILE, GN_PROTOCOL, "incomplete", IF_SAFE},
  {CURLE_OPERATION_TIMEDOUT, GN_TIMEOUT, "stall", IF_SAFE},
  {CURLE_BAD_CONTENT_ENCODING, GN_PROTOCOL, "encoding", NEVER},
  {CURLE_WEIRD_SERVER_REPLY, GN_PROTOCOL, "framing", NEVER},
  {CURLE_UNSUPPORTED_PROTOCOL, GN_PROTOCOL, "framing", NEVER},
  {CURLE_FILESIZE_EXCEEDED, GN_TOO_LARGE, "body", NEVER},
  {GN_CURLE_TOO_LARGE, GN_TOO_LARGE, "headers", NEVER},
  {CURLE_URL_MALFORMAT, GN_INVALID, "url", NEVER},
  {CURLE_ABORTED_BY_CALLBACK, GN_CANCELLED, "cancelled", NEVER},
  {CURLE_OUT_OF_MEMORY, GN_MEMORY, "memory", NEVER},
};

struct rpc_row {
  const char *name;  /* google.rpc.Code's name */
  enum gn_kind kind; /* its kind; GN_OK: the HTTP status decides */
  enum when again;   /* when it may be sent again */
};

/* Indexed by google.rpc.Code. */
static const struct rpc_row rpc_rows[] = {
  {"OK", GN_OK, NEVER},
  {"CANCELLED", GN_OK, NEVER},
  {"UNKNOWN", GN_OK, NEVER},
  {"INVALID_ARGUMENT", GN_INVALID, NEVER},
  {"DEADLINE_EXCEEDED", GN_SERVER, IF_SAFE},
  {"NOT_FOUND", GN_NOT_FOUND, NEVER},
  {"ALREADY_EXISTS", GN_INVALID, NEVER},
  {"PERMISSION_DENIED", GN_FORBIDDEN, NEVER},
  {"RESOURCE_EXHAUSTED", GN_THROTTLED, ALWAYS},
  {"FAILED_PRECONDITION", GN_INVALID, NEVER},
  {"ABORTED", GN_INVALID, NEVER},
  {"OUT_OF_RANGE", GN_INVALID, NEVER},
  {"UNIMPLEMENTED", GN_SERVER, NEVER},
  {"INTERNAL", GN_SERVER, IF_SAFE},
  {"UNAVAILABLE", GN_SERVER, IF_SAFE},
  {"DATA_LOSS", GN_SERVER, NEVER},
  {"UNAUTHENTICATED", GN_UNAUTHENTICATED, NEVER},
};
#define RPC_CODES ((int)(sizeof rpc_rows / sizeof rpc_rows[0]))

static const char *const quota_reasons[] = {
  "rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded",
  "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "dailyLimitExceeded",
};

static bool is_quota_reason(const char *reason) {
  size_t i;
  for (i = 0; i < sizeof quota_reasons / sizeof quota_reasons[0]; i++)
    if (strcmp(reason, quota_reasons[i]) == 0)
      return true;
  return false;
}

static bool may(enum when again, bool safe) {
  return again == ALWAYS || (again == IF_SAFE && safe);
}

static void judge_curl(const struct gn_outcome *o, bool safe,
                       struct gn_verdict *v) {
  struct curl_row row = {0, GN_TRANSPORT, "failed", IF_SAFE};
  size_t i;
  for (i = 0; i < sizeof curl_rows / sizeof curl_rows[0]; i++)
    if (curl_rows[i].code == o->curl_code)
      row = curl_rows[i];
  if (o->blocked)
    row = (struct curl_row){0, GN_PROTOCOL, "address", NEVER};
  else if (o->proxy_refused)
    row = (struct curl_row){0, GN_TRANSPORT, "proxy", NEVER};
  else if (o->curl_code == CURLE_OPERATION_TIMEDOUT && !o->sent)
    row = (struct curl_row){0, GN_TIMEOUT, "connect", ALWAYS};
  v->kind = row.kind;
  snprintf(v->code, sizeof v->code, "%s", row.text);
  v->again = may(row.again, safe) || (row.again != NEVER && !o->sent);
}

static void judge_status(const struct gn_outcome *o, bool safe,
                         struct gn_verdict *v) {
  long s = o->status;
  bool quota = is_quota_reason(o->reason);
  if (s == 401 || ((s == 400 || s == 403) && o->says_unauthenticated))
    v->kind = GN_UNAUTHENTICATED;
  else if (s == 429 || ((s == 403 || s == 503) && quota))
    v->kind = GN_THROTTLED;
  else if (s == 403)
    v->kind = GN_FORBIDDEN;
  else if (s == 404)
    v->kind = GN_NOT_FOUND;
  else if (s == 408)
    v->kind = GN_TIMEOUT;
  else if (s >= 400 && s < 500)
    v->kind = GN_INVALID;
  else if (s >= 500 && s < 600)
    v->kind = GN_SERVER;
  else
    v->kind = GN_PROTOCOL;
  v->throttled = v->kind == GN_THROTTLED;
  v->again = v->throttled || (safe && (s == 408 || s == 500 || s == 502 ||
                                       s == 503 || s == 504));
}

static void judge_rpc(const struct gn_outcome *o, bool safe,
                      struct gn_verdict *v) {
  const struct rpc_row *row;
  if (o->rpc_code <= 0 || o->rpc_code >= RPC_CODES)
    return;
  row = &rpc_rows[o->rpc_code];
  snprintf(v->code, sizeof v->code, "%s", row->name);
  /* A quota reason or a 429 knows better than the status name beside it. */
  if (row->kind == GN_OK || v->kind == GN_UNAUTHENTICATED || v->throttled)
    return;
  v->kind = row->kind;
  v->throttled = row->kind == GN_THROTTLED;
  v->again = may(row->again, safe);
}

/* A request that creates something is sent again only if the server surely did
 * not take it; where nothing is known, that is what the caller must hear. */
static void judge_creation(const struct gn_outcome *o, struct gn_verdict *v) {
  bool answered = o->curl_code == 0;
  if (!answered && !o->sent)
    return;
  if (answered && o->status == 503 && o->retry_after >= 0) {
    v->again = true;
  } else if (answered && (v->throttled || o->status < 500) &&
             o->status != 408) {
    v->again = o->status == 429;
  } else {
    v->kind = GN_IN_DOUBT;
    v->again = false;
  }
}

void gn_retry_judge(const struct gn_outcome *o, bool safe,
                    struct gn_verdict *v) {
  memset(v, 0, sizeof *v);
  if (o->curl_code == 0 && o->status >= 200 && o->status < 300)
    return;
  if (o->curl_code != 0) {
    judge_curl(o, safe, v);
  } else if (o->proxy_refused) {
    v->kind = GN_TRANSPORT;
    snprintf(v->code, sizeof v->code, "proxy");
  } else {
    snprintf(v->code, sizeof v->code, "%ld", o->status);
    judge_status(o, safe, v);
    judge_rpc(o, safe, v);
  }
  if (!safe)
    judge_creation(o, v);
}

double gn_retry_backoff(const struct gn_retry_policy *p, unsigned n,
                        bool throttled, double random) {
  double wait = throttled ? p->base_throttled : p->base;
  while (n-- > 0 && wait < p->cap)
    wait *= 2;
  return random * (wait < p->cap ? wait : p->cap);
}

static bool contains(const char *text, size_t len, const char *word) {
  size_t n = strlen(word), i;
  for (i = 0; i + n <= len; i++)
    if (strncasecmp(text + i, word, n) == 0)
      return true;
  return false;
}

static void read_duration(const struct gn_json_slice *s, double *out) {
  char text[32];
  char *end;
  double v;
  if (s->type != GN_JSON_STRING || s->len < 3 || s->len - 2 >= sizeof text)
    return;
  memcpy(text, s->text + 1, s->len - 2);
  text[s->len - 2] = '\0';
  v = strtod(text, &end);
  /* A floor like Retry-After: the longer of the two counts. */
  if (end != text && strcmp(end, "s") == 0 && v > *out && v >= 0 && v < 1e9)
    *out = v;
}

static void read_reason(const struct gn_json_slice *s, char *out, size_t cap) {
  size_t len = s->len >= 2 ? s->len - 2 : 0;
  if (s->type != GN_JSON_STRING || len == 0 || len >= cap || *out)
    return;
  memcpy(out, s->text + 1, len);
  out[len] = '\0';
}

static int small_int(const struct gn_json_slice *s) {
  if (s->type != GN_JSON_NUMBER || s->len > 2)
    return 0;
  return s->text[0] == '-' ? 0 : (int)strtol(s->text, NULL, 10);
}

static void read_details(const struct gn_json_slice *details,
                         struct gn_outcome *o) {
  static const char *const paths[] = {"retryDelay", "retry_delay"};
  struct gn_json_slice element, found[2];
  size_t pos = 0;
  if (details->type != GN_JSON_ARRAY)
    return;
  while (gn_json_array_next(details, &pos, &element)) {
    if (gn_json_pick(element.text, element.len, paths, 2, found, NULL) != 0)
      continue;
    read_duration(&found[0], &o->retry_after);
    read_duration(&found[1], &o->retry_after);
  }
}

void gn_retry_read_body(const char *body, size_t len, struct gn_outcome *o) {
  static const char *const paths[] = {
    "code", "error.status", "error.errors.0.reason", "details",
    "error.details", "status",
  };
  struct gn_json_slice s[6];
  int code;
  if (len == 0)
    return;
  o->says_unauthenticated =
      contains(body, len < 4096 ? len : 4096, "unauthorized") ||
      contains(body, len < 4096 ? len : 4096, "unauthenticated");
  if (gn_json_pick(body, len, paths, 6, s, NULL) != 0)
    return;
  code = small_int(&s[0]);
  read_reason(&s[2], o->reason, sizeof o->reason);
  read_reason(&s[1], o->reason, sizeof o->reason);
  for (int i = 1; code == 0 && i < RPC_CODES; i++)
    if (gn_json_equals(&s[1], rpc_rows[i].name) ||
        gn_json_equals(&s[5], rpc_rows[i].name))
      code = i;
  o->rpc_code = code > 0 && code < RPC_CODES ? code : 0;
  read_details(&s[3], o);
  read_details(&s[4], o);
}

double gn_retry_after_parse(const char *value, size_t len, double wall) {
  char text[64];
  char *end;
  double seconds;
  while (len > 0 && (*value == ' ' || *value == '\t'))
    value++, len--;
  while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
    len--;
  if (len == 0 || len >= sizeof text)
    return -1;
  memcpy(text, value, len);
  text[len] = '\0';
  if (strspn(text, "0123456789") == len)
    return strtod(text, &end);
  if (text[0] < 'A' || text[0] > 'Z')
    return -1;
  seconds = (double)curl_getdate(text, NULL);
  return seconds > wall ? seconds - wall : -1;
}

void gn_retry_budget_init(struct gn_retry_budget *b) {
  b->tokens = GN_RETRY_BUDGET;
}

bool gn_retry_budget_take(struct gn_retry_budget *b, bool throttled) {
  double cost = throttled ? GN_RETRY_COST_THROTTLED : GN_RETRY_COST;
  if (b->tokens < cost)
    return false;
  b->tokens -= cost;
  return true;
}

void gn_retry_budget_refund(struct gn_retry_budget *b, double taken) {
  b->tokens += taken > 0 ? taken : 1;
  if (b->tokens > GN_RETRY_BUDGET)
    b->tokens = GN_RETRY_BUDGET;
}

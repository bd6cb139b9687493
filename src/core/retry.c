/* Owns: the tables of what may be sent again, after libcurl's result, the
 * body's own code, and the HTTP status, in that order. Must not: wait.
 */
#include "retry.h"

#include "framing.h"
#include "json.h"
#include "request.h"

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

#define TEXT_READ 4096 /* bytes of a body that words are looked for in */

static const char *const quota_reasons[] = {
  "rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded",
  "RATE_LIMIT_EXCEEDED", "RESOURCE_QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED",
  "dailyLimitExceeded",
};

/* How bodies begin that are only text. */
static const char *const quota_texts[] = {
  "Quota exceeded", "Request rate higher than configured",
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
  enum when again = NEVER;
  bool quota = o->says_quota || is_quota_reason(o->reason);
  bool words = o->rpc_code == 0 && o->says_unauthenticated;
  if (s == 401 || ((s == 400 || s == 403) && words))
    v->kind = GN_UNAUTHENTICATED;
  else if (s == 429 || ((s == 403 || s == 503) && quota))
    v->kind = GN_THROTTLED, again = ALWAYS;
  else if (s == 403)
    v->kind = GN_FORBIDDEN;
  else if (s == 404)
    v->kind = GN_NOT_FOUND;
  else if (s == 408)
    v->kind = GN_TIMEOUT, again = IF_SAFE;
  else if (s == 425)
    v->kind = GN_SERVER, again = IF_SAFE;
  else if (s >= 400 && s < 500)
    v->kind = GN_INVALID;
  else if (s >= 500 && s < 600)
    v->kind = GN_SERVER, again = s == 501 || s == 505 ? NEVER : IF_SAFE;
  else
    v->kind = GN_PROTOCOL;
  v->throttled = v->kind == GN_THROTTLED;
  /* A day's quota is not back before any wait of ours ends. */
  v->again = may(again, safe) && strcmp(o->reason, "dailyLimitExceeded") != 0;
  v->once = s > 504 && s < 600; /* what it means is not known */
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
  v->once = false;
}

/* A request that creates something is sent again only if the server surely did
 * not take it; where nothing is known, that is what the caller must hear. */
static void judge_creation(const struct gn_outcome *o, struct gn_verdict *v) {
  bool answered = o->curl_code == 0;
  bool refused = o->status < 500 && o->status != 408 &&
                 (v->kind != GN_SERVER || o->status == 425);
  if (!answered && !o->sent)
    return;
  if (answered && o->status == 503 && o->retry_after >= 0) {
    v->again = true;
  } else if (answered && (v->throttled || refused)) {
    v->again = v->again && o->status == 429;
  } else {
    v->kind = GN_IN_DOUBT;
    v->again = false;
  }
}

static void judge(const struct gn_outcome *o, bool safe,
                  struct gn_verdict *v) {
  if (o->curl_code != 0) {
    judge_curl(o, safe, v);
    return;
  }
  if (o->proxy_refused) {
    v->kind = GN_TRANSPORT;
    snprintf(v->code, sizeof v->code, "proxy");
    return;
  }
  snprintf(v->code, sizeof v->code, "%ld", o->status);
  judge_status(o, safe, v);
  judge_rpc(o, safe, v);
}

void gn_retry_judge(const struct gn_outcome *o, bool safe,
                    struct gn_verdict *v) {
  memset(v, 0, sizeof *v);
  if (o->curl_code == 0 && o->status >= 200 && o->status < 300)
    return;
  judge(o, safe, v);
  if (!safe) {
    struct gn_verdict other = {GN_OK, "", false, false, false, false};
    judge(o, true, &other);
    judge_creation(o, v);
    v->held_back = other.again && !v->again;
  }
}

double gn_retry_backoff(const struct gn_retry_policy *p, unsigned n,
                        bool throttled, double random) {
  double wait = throttled ? p->base_throttled : p->base;
  while (n-- > 0 && wait < p->cap)
    wait *= 2;
  return random * (wait < p->cap ? wait : p->cap);
}

double gn_retry_spread(double floor, double random) {
  double most = floor * 0.1;
  return floor + random * (most < 1 ? most : 1);
}

void gn_retry_decide(const struct gn_retry_policy *p,
                     const struct gn_verdict *v, const struct gn_outcome *o,
                     const struct gn_retry_state *at,
                     struct gn_retry_next *next) {
  double floor = o->retry_after;
  next->again = false;
  next->wait = gn_retry_backoff(p, at->sends - 1, v->throttled, at->random);
  next->why = v->throttled ? GN_WHY_THROTTLED : GN_WHY_BACKOFF;
  if (floor > 0 && next->wait < floor) {
    next->wait = gn_retry_spread(floor, at->random);
    /* The part on top must not be what passes the deadline. */
    if (next->wait >= at->left && floor < at->left)
      next->wait = floor;
    next->why = o->retry_info ? GN_WHY_RETRY_INFO : GN_WHY_RETRY_AFTER;
  }
  if (!v->again)
    next->why = v->held_back ? GN_WHY_UNSAFE
                : v->kind == GN_TIMEOUT && at->left <= 0.001 ? GN_WHY_DEADLINE
                                                             : GN_WHY_FINAL;
  else if (at->sends >= at->attempts || (v->once && at->sends > 1))
    next->why = GN_WHY_USED_UP;
  else if (floor > p->max_wait)
    next->why = GN_WHY_MAX_WAIT;
  else if (next->wait >= at->left)
    next->why = GN_WHY_DEADLINE;
  else
    next->again = true;
  if (!next->again)
    next->wait = 0;
}

static bool contains(const char *text, size_t len, const char *word) {
  size_t n = strlen(word), i;
  for (i = 0; i + n <= len; i++)
    if (strncasecmp(text + i, word, n) == 0)
      return true;
  return false;
}

static bool begins(const char *text, size_t len, const char *word) {
  return len >= strlen(word) && strncasecmp(text, word, strlen(word)) == 0;
}

/* A message that begins so is about a quota; of a text or page that is no JSON,
 * any part may be. */
static bool is_quota_text(const char *text, size_t len, bool anywhere) {
  size_t i;
  for (i = 0; i < sizeof quota_texts / sizeof quota_texts[0]; i++)
    if (anywhere ? contains(text, len, quota_texts[i])
                 : begins(text, len, quota_texts[i]))
      return true;
  return false;
}

static bool says_quota(const struct gn_json_slice *message) {
  return message->type == GN_JSON_STRING &&
         is_quota_text(message->text + 1, message->len - 1, false);
}

static void read_duration(const struct gn_json_slice *s,
                          struct gn_outcome *o) {
  char text[32];
  char *end;
  double v;
  if (s->type != GN_JSON_STRING || s->len < 3 || s->len - 2 >= sizeof text)
    return;
  memcpy(text, s->text + 1, s->len - 2);
  text[s->len - 2] = '\0';
  v = strtod(text, &end);
  /* A floor like Retry-After: the longer of the two counts. */
  if (end != text && strcmp(end, "s") == 0 && v > o->retry_after && v >= 0 &&
      v < 1e9) {
    o->retry_after = v;
    o->retry_info = true;
  }
}

/* The first one counts, but for a quota's, which is what matters here. */
static void read_reason(const struct gn_json_slice *s, char *out, size_t cap) {
  size_t len = s->len >= 2 ? s->len - 2 : 0, i;
  bool quota = false;
  if (s->type != GN_JSON_STRING || len == 0 || len >= cap)
    return;
  for (i = 0; i < sizeof quota_reasons / sizeof quota_reasons[0]; i++)
    quota = quota || gn_json_equals(s, quota_reasons[i]);
  if (*out && (!quota || is_quota_reason(out)))
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
  static const char *const paths[] = {"retryDelay", "retry_delay", "reason"};
  struct gn_json_slice element, found[3];
  size_t pos = 0;
  if (details->type != GN_JSON_ARRAY)
    return;
  while (gn_json_array_next(details, &pos, &element)) {
    if (gn_json_pick(element.text, element.len, paths, 3, found, NULL) != 0)
      continue;
    read_duration(&found[0], o);
    read_duration(&found[1], o);
    read_reason(&found[2], o->reason, sizeof o->reason);
  }
}

void gn_retry_read_body(const char *body, size_t len, struct gn_outcome *o) {
  static const char *const paths[] = {
    "code", "error.status", "error.errors.0.reason", "details",
    "error.details", "status", "message", "error.message", "error", "",
  };
  struct gn_json_slice s[10];
  size_t start = len < TEXT_READ ? len : TEXT_READ;
  int code;
  if (len == 0)
    return;
  o->says_unauthenticated = contains(body, start, "unauthorized") ||
                            contains(body, start, "unauthenticated");
  if (gn_json_pick(body, len, paths, 10, s, NULL) != 0) {
    o->says_quota = is_quota_text(body, start, true);
    return;
  }
  o->says_quota = says_quota(&s[6]) || says_quota(&s[7]) ||
                  says_quota(&s[8]) || says_quota(&s[9]);
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

double gn_retry_after_of(const struct gn_buf *headers, double wall) {
  const char *name, *value, *date;
  size_t pos = 0, name_len, len;
  double longest = -1;
  date = gn_headers_find(headers, "Date", &len);
  if (date && len > 0 && len < 64) {
    char text[64];
    double theirs;
    memcpy(text, date, len);
    text[len] = '\0';
    theirs = (double)curl_getdate(text, NULL);
    if (theirs >= 0 && theirs < wall)
      wall = theirs;
  }
  while (gn_headers_next(headers, &pos, &name, &name_len, &value, &len)) {
    double seconds;
    if (name_len != 11 || strncasecmp(name, "Retry-After", 11) != 0)
      continue;
    seconds = gn_retry_after_parse(value, len, wall);
    if (seconds > longest)
      longest = seconds;
  }
  return longest;
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

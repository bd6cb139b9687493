/* Owns: the checks of src/core/retry.c: what each outcome means and whether it
 * is sent again, waits, Retry-After, error bodies, the retry budget.
 * Must not: use a clock or the network.
 */
#include "retry.h"

#include <curl/curl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

struct expected {
  struct gn_outcome o;
  bool safe;
  enum gn_kind kind;
  const char *code;  /* NULL: any */
  bool again, throttled;
};

#define SAFE true
#define CREATES false
#define AGAIN true
#define NEVER false

#define CURL(c, was_sent) \
  {.curl_code = (c), .sent = (was_sent), .retry_after = -1}
#define STATUS(s) {.sent = true, .status = (s), .retry_after = -1}

static const char *doing = ""; /* the text being read, for messages */

static void check(const struct expected *rows, size_t n) {
  size_t i;
  for (i = 0; i < n; i++) {
    const struct expected *e = &rows[i];
    struct gn_verdict v;
    gn_retry_judge(&e->o, e->safe, &v);
    if (v.kind != e->kind || v.again != e->again ||
        v.throttled != e->throttled || (e->code && strcmp(v.code, e->code)))
      fail_msg("%s row %zu (curl %d, status %ld, %s): got %s \"%s\" again=%d "
               "throttled=%d, not %s \"%s\" again=%d throttled=%d", doing, i,
               e->o.curl_code, e->o.status, e->safe ? "safe" : "creates",
               gn_kind_name(v.kind), v.code, v.again, v.throttled,
               gn_kind_name(e->kind), e->code ? e->code : "*", e->again,
               e->throttled);
  }
}

static void test_good(void **state) {
  static const struct expected rows[] = {
    {STATUS(200), SAFE, GN_OK, "", NEVER, false},
    {STATUS(201), CREATES, GN_OK, "", NEVER, false},
    {STATUS(204), SAFE, GN_OK, "", NEVER, false},
    {STATUS(299), CREATES, GN_OK, "", NEVER, false},
  };
  (void)state;
  check(rows, COUNT(rows));
}

static void test_statuses_of_safe_requests(void **state) {
  static const struct expected rows[] = {
    {STATUS(301), SAFE, GN_PROTOCOL, "301", NEVER, false},
    {STATUS(304), SAFE, GN_PROTOCOL, "304", NEVER, false},
    {STATUS(400), SAFE, GN_INVALID, "400", NEVER, false},
    {STATUS(401), SAFE, GN_UNAUTHENTICATED, "401", NEVER, false},
    {STATUS(403), SAFE, GN_FORBIDDEN, "403", NEVER, false},
    {STATUS(404), SAFE, GN_NOT_FOUND, "404", NEVER, false},
    {STATUS(405), SAFE, GN_INVALID, "405", NEVER, false},
    {STATUS(408), SAFE, GN_TIMEOUT, "408", AGAIN, false},
    {STATUS(409), SAFE, GN_INVALID, "409", NEVER, false},
    {STATUS(422), SAFE, GN_INVALID, "422", NEVER, false},
    {STATUS(425), SAFE, GN_SERVER, "425", AGAIN, false},
    {STATUS(429), SAFE, GN_THROTTLED, "429", AGAIN, true},
    {STATUS(500), SAFE, GN_SERVER, "500", AGAIN, false},
    {STATUS(501), SAFE, GN_SERVER, "501", NEVER, false},
    {STATUS(502), SAFE, GN_SERVER, "502", AGAIN, false},
    {STATUS(503), SAFE, GN_SERVER, "503", AGAIN, false},
    {STATUS(504), SAFE, GN_SERVER, "504", AGAIN, false},
    {STATUS(505), SAFE, GN_SERVER, "505", NEVER, false},
    {STATUS(507), SAFE, GN_SERVER, "507", AGAIN, false},
    {STATUS(520), SAFE, GN_SERVER, "520", AGAIN, false},
    {STATUS(599), SAFE, GN_SERVER, "599", AGAIN, false},
    {STATUS(0), SAFE, GN_PROTOCOL, NULL, NEVER, false},
    {STATUS(999), SAFE, GN_PROTOCOL, "999", NEVER, false},
  };
  (void)state;
  check(rows, COUNT(rows));
}

static void test_curl_codes_of_safe_requests(void **state) {
  static const struct expected rows[] = {
    {CURL(CURLE_COULDNT_RESOLVE_HOST, false), SAFE, GN_TRANSPORT, "resolve",
     AGAIN, false},
    {CURL(CURLE_COULDNT_CONNECT, false), SAFE, GN_TRANSPORT, "connect", AGAIN,
     false},
    {CURL(CURLE_RECV_ERROR, true), SAFE, GN_TRANSPORT, "reset", AGAIN, false},
    {CURL(CURLE_SEND_ERROR, true), SAFE, GN_TRANSPORT, "reset", AGAIN, false},
    {CURL(CURLE_GOT_NOTHING, true), SAFE, GN_TRANSPORT, "reset", AGAIN, false},
    {CURL(CURLE_HTTP2_STREAM, true), SAFE, GN_TRANSPORT, "reset", AGAIN,
     false},
    {CURL(CURLE_PARTIAL_FILE, true), SAFE, GN_PROTOCOL, "incomplete", AGAIN,
     false},
    {CURL(CURLE_OPERATION_TIMEDOUT, true), SAFE, GN_TIMEOUT, NULL, AGAIN,
     false},
    {CURL(CURLE_OPERATION_TIMEDOUT, false), SAFE, GN_TIMEOUT, "connect", AGAIN,
     false},
    {CURL(CURLE_SSL_CONNECT_ERROR, false), SAFE, GN_TRANSPORT, "tls", NEVER,
     false},
    {CURL(CURLE_PEER_FAILED_VERIFICATION, false), SAFE, GN_TRANSPORT, "tls",
     NEVER, false},
    {CURL(CURLE_SSL_CACERT_BADFILE, false), SAFE, GN_TRANSPORT, "tls", NEVER,
     false},
    {CURL(CURLE_COULDNT_RESOLVE_PROXY, false), SAFE, GN_TRANSPORT, "proxy",
     NEVER, false},
    {CURL(CURLE_PROXY, false), SAFE, GN_TRANSPORT, "proxy", NEVER, false},
    {{.curl_code = CURLE_RECV_ERROR, .proxy_refused = true, .retry_after = -1},
     SAFE, GN_TRANSPORT, "proxy", NEVER, false},
    {{.curl_code = CURLE_COULDNT_CONNECT, .blocked = true, .retry_after = -1},
     SAFE, GN_PROTOCOL, "address", NEVER, false},
    {CURL(CURLE_BAD_CONTENT_ENCODING, true), SAFE, GN_PROTOCOL, "encoding",
     NEVER, false},
    {CURL(CURLE_WEIRD_SERVER_REPLY, true), SAFE, GN_PROTOCOL, "framing", NEVER,
     false},
    {CURL(CURLE_URL_MALFORMAT, false), SAFE, GN_INVALID, "url", NEVER, false},
    {CURL(CURLE_OUT_OF_MEMORY, false), SAFE, GN_MEMORY, "memory", NEVER,
     false},
  };
  (void)state;
  check(rows, COUNT(rows));
}

/* Never twice by accident: again only where the server surely did not take it,
 * in doubt wherever that is not known. */
static void test_creations(void **state) {
  static const struct expected rows[] = {
    {CURL(CURLE_COULDNT_RESOLVE_HOST, false), CREATES, GN_TRANSPORT, "resolve",
     AGAIN, false},
    {CURL(CURLE_COULDNT_CONNECT, false), CREATES, GN_TRANSPORT, "connect",
     AGAIN, false},
    {CURL(CURLE_OPERATION_TIMEDOUT, false), CREATES, GN_TIMEOUT, "connect",
     AGAIN, false},
    {CURL(CURLE_PEER_FAILED_VERIFICATION, false), CREATES, GN_TRANSPORT, "tls",
     NEVER, false},
    {CURL(CURLE_OPERATION_TIMEDOUT, true), CREATES, GN_IN_DOUBT, NULL, NEVER,
     false},
    {CURL(CURLE_RECV_ERROR, true), CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {CURL(CURLE_SEND_ERROR, true), CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {CURL(CURLE_GOT_NOTHING, true), CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {CURL(CURLE_PARTIAL_FILE, true), CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {{.curl_code = CURLE_PARTIAL_FILE, .sent = true, .status = 200,
      .retry_after = -1}, CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {CURL(CURLE_BAD_CONTENT_ENCODING, true), CREATES, GN_IN_DOUBT, NULL, NEVER,
     false},
    {STATUS(408), CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {STATUS(500), CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {STATUS(502), CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {STATUS(503), CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {STATUS(504), CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {{.sent = true, .status = 503, .retry_after = 2}, CREATES, GN_SERVER,
     "503", AGAIN, false},
    {{.sent = true, .status = 503, .retry_after = 0}, CREATES, GN_SERVER,
     "503", AGAIN, false},
    {{.sent = true, .status = 500, .retry_after = 2}, CREATES, GN_IN_DOUBT,
     NULL, NEVER, false},
    {STATUS(429), CREATES, GN_THROTTLED, "429", AGAIN, true},
    {STATUS(425), CREATES, GN_SERVER, "425", NEVER, false},
    {STATUS(501), CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {STATUS(520), CREATES, GN_IN_DOUBT, NULL, NEVER, false},
    {STATUS(400), CREATES, GN_INVALID, "400", NEVER, false},
    {STATUS(401), CREATES, GN_UNAUTHENTICATED, "401", NEVER, false},
    {STATUS(403), CREATES, GN_FORBIDDEN, "403", NEVER, false},
    {STATUS(404), CREATES, GN_NOT_FOUND, "404", NEVER, false},
    {STATUS(302), CREATES, GN_PROTOCOL, "302", NEVER, false},
  };
  (void)state;
  check(rows, COUNT(rows));
}

/* What a body says about a status. */
static const struct {
  long status;
  bool safe;
  const char *body;
  enum gn_kind kind;
  const char *code;
  bool again, throttled;
} bodies[] = {
  {400, SAFE, "\"Unauthorized\"", GN_UNAUTHENTICATED, "400", NEVER, false},
  {400, SAFE, "{\"errors\":[\"Unauthorized\"]}", GN_UNAUTHENTICATED, "400",
   NEVER, false},
  {400, SAFE, "Bad Request", GN_INVALID, "400", NEVER, false},
  {404, SAFE, "Unauthorized", GN_NOT_FOUND, "404", NEVER, false},
  {400, SAFE, "{\"code\":3,\"message\":\"m\",\"details\":[]}", GN_INVALID,
   "INVALID_ARGUMENT", NEVER, false},
  {400, SAFE, "{\"code\":9}", GN_INVALID, "FAILED_PRECONDITION", NEVER,
   false},
  {400, SAFE, "{\"code\":16}", GN_UNAUTHENTICATED, "UNAUTHENTICATED", NEVER,
   false},
  {404, SAFE, "{\"code\":5}", GN_NOT_FOUND, "NOT_FOUND", NEVER, false},
  {429, SAFE, "{\"code\":8}", GN_THROTTLED, "RESOURCE_EXHAUSTED", AGAIN,
   true},
  {503, SAFE, "{\"code\":14}", GN_SERVER, "UNAVAILABLE", AGAIN, false},
  {500, SAFE, "{\"code\":13}", GN_SERVER, "INTERNAL", AGAIN, false},
  {500, SAFE, "{\"code\":2}", GN_SERVER, "UNKNOWN", AGAIN, false},
  {501, SAFE, "{\"code\":12}", GN_SERVER, "UNIMPLEMENTED", NEVER, false},
  {500, SAFE, "{\"code\":15}", GN_SERVER, "DATA_LOSS", NEVER, false},
  {500, CREATES, "{\"code\":13}", GN_IN_DOUBT, NULL, NEVER, false},
  {503, CREATES, "{\"code\":14}", GN_IN_DOUBT, NULL, NEVER, false},
  {429, CREATES, "{\"code\":8}", GN_THROTTLED, NULL, AGAIN, true},
  {500, SAFE, "{\"code\":17}", GN_SERVER, "500", AGAIN, false},
  {500, SAFE, "{\"code\":-3}", GN_SERVER, "500", AGAIN, false},
  {500, SAFE, "{\"code\":\"3\"}", GN_SERVER, "500", AGAIN, false},
  {500, SAFE, "<html>", GN_SERVER, "500", AGAIN, false},
  {500, SAFE, "", GN_SERVER, "500", AGAIN, false},
  {403, SAFE, "{\"error\":{\"code\":403,\"errors\":[{\"domain\":"
   "\"usageLimits\",\"reason\":\"rateLimitExceeded\"}]}}", GN_THROTTLED,
   "403", AGAIN, true},
  {403, SAFE, "{\"error\":{\"errors\":[{\"reason\":"
   "\"userRateLimitExceeded\"}]}}", GN_THROTTLED, "403", AGAIN, true},
  /* The reason knows better than the status name beside it. */
  {403, SAFE, "{\"error\":{\"code\":403,\"errors\":[{\"reason\":"
   "\"rateLimitExceeded\"}],\"status\":\"PERMISSION_DENIED\"}}",
   GN_THROTTLED, NULL, AGAIN, true},
  {429, SAFE, "{\"error\":{\"status\":\"PERMISSION_DENIED\"}}", GN_THROTTLED,
   NULL, AGAIN, true},
  {503, SAFE, "{\"error\":{\"errors\":[{\"reason\":\"quotaExceeded\"}]}}",
   GN_THROTTLED, "503", AGAIN, true},
  {403, SAFE, "{\"error\":{\"errors\":[{\"reason\":\"forbidden\"}],"
   "\"status\":\"PERMISSION_DENIED\"}}", GN_FORBIDDEN, "PERMISSION_DENIED",
   NEVER, false},
  {400, SAFE, "{\"error\":{\"status\":\"INVALID_ARGUMENT\"}}", GN_INVALID,
   "INVALID_ARGUMENT", NEVER, false},
  /* The body's code before the status. */
  {500, SAFE, "{\"code\":3}", GN_INVALID, "INVALID_ARGUMENT", NEVER, false},
  {404, SAFE, "{\"code\":14}", GN_SERVER, "UNAVAILABLE", AGAIN, false},
  {408, SAFE, "{\"code\":4}", GN_SERVER, "DEADLINE_EXCEEDED", AGAIN, false},
  {412, SAFE, "{\"code\":9}", GN_INVALID, "FAILED_PRECONDITION", NEVER,
   false},
  {403, SAFE, "{\"code\":8}", GN_THROTTLED, "RESOURCE_EXHAUSTED", AGAIN,
   true},
  {409, SAFE, "{\"code\":10}", GN_INVALID, "ABORTED", NEVER, false},
  {499, SAFE, "{\"code\":1}", GN_INVALID, "CANCELLED", NEVER, false},
  {404, CREATES, "{\"code\":13}", GN_IN_DOUBT, NULL, NEVER, false},
  {408, CREATES, "{\"code\":4}", GN_IN_DOUBT, NULL, NEVER, false},
  /* Words count only where no code speaks. */
  {403, SAFE, "{\"code\":7,\"message\":\"unauthorized\"}", GN_FORBIDDEN,
   "PERMISSION_DENIED", NEVER, false},
  {403, SAFE, "{\"message\":\"unauthorized\"}", GN_UNAUTHENTICATED, "403",
   NEVER, false},
  /* Reasons of Google: where they stand, and which are a quota's. */
  {403, SAFE, "{\"error\":{\"errors\":[{\"reason\":\"dailyLimitExceeded\"}"
   "]}}", GN_THROTTLED, "403", NEVER, true},
  {403, SAFE, "{\"error\":{\"status\":\"PERMISSION_DENIED\",\"details\":[{"
   "\"reason\":\"RATE_LIMIT_EXCEEDED\"}]}}", GN_THROTTLED, NULL, AGAIN,
   true},
  {403, SAFE, "{\"error\":{\"errors\":[{\"reason\":\"forbidden\"}],"
   "\"details\":[{\"reason\":\"SERVICE_DISABLED\"}]}}", GN_FORBIDDEN, "403",
   NEVER, false},
  {403, SAFE, "{\"error\":{\"errors\":[{\"reason\":\"insufficient"
   "Permissions\"}]}}", GN_FORBIDDEN, "403", NEVER, false},
  /* Text and pages. */
  {403, SAFE, "Quota exceeded for quota metric 'Queries'", GN_THROTTLED,
   "403", AGAIN, true},
  {403, SAFE, "Request rate higher than configured.", GN_THROTTLED, "403",
   AGAIN, true},
  {403, SAFE, "<html><h1>Quota exceeded</h1></html>", GN_THROTTLED, "403",
   AGAIN, true},
  {503, SAFE, "<html><h1>Quota exceeded</h1></html>", GN_THROTTLED, "503",
   AGAIN, true},
  {502, SAFE, "<html>Bad gateway</html>", GN_SERVER, "502", AGAIN, false},
  {403, SAFE, "<html>Forbidden</html>", GN_FORBIDDEN, "403", NEVER, false},
  {429, SAFE, "<html>Sorry</html>", GN_THROTTLED, "429", AGAIN, true},
  {403, SAFE, "{\"error\":{\"message\":\"Quota exceeded for x\"}}",
   GN_THROTTLED, "403", AGAIN, true},
  {403, SAFE, "\"Quota exceeded\"", GN_THROTTLED, "403", AGAIN, true},
  {403, SAFE, "{\"message\":\"your storage: Quota exceeded\"}",
   GN_FORBIDDEN, "403", NEVER, false},
  {400, SAFE, "Quota exceeded", GN_INVALID, "400", NEVER, false},
};

static void test_bodies(void **state) {
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(bodies); i++) {
    struct expected e = {STATUS(0), bodies[i].safe, bodies[i].kind,
                         bodies[i].code, bodies[i].again,
                         bodies[i].throttled};
    e.o.status = bodies[i].status;
    gn_retry_read_body(bodies[i].body, strlen(bodies[i].body), &e.o);
    doing = bodies[i].body;
    check(&e, 1);
  }
  doing = "";
}

static double body_delay(double header, const char *body) {
  struct gn_outcome o = STATUS(503);
  o.retry_after = header;
  gn_retry_read_body(body, strlen(body), &o);
  return o.retry_after;
}

#define INFO(delay) \
  "{\"code\":14,\"details\":[{\"@type\":\"type.googleapis.com/google.rpc." \
  "RetryInfo\",\"retryDelay\":" delay "}]}"

static void near(double got, double want) {
  if (got < want - 1e-9 || got > want + 1e-9)
    fail_msg("%s: %g, not %g", doing, got, want);
}

static void test_retry_info(void **state) {
  (void)state;
  near(body_delay(-1, INFO("\"3.5s\"")), 3.5);
  near(body_delay(-1, INFO("\"0s\"")), 0);
  near(body_delay(-1, "{\"error\":{\"details\":[{},"
                      "{\"retry_delay\":\"7s\"}]}}"), 7);
  /* Both are floors: the longer one counts. */
  near(body_delay(2, INFO("\"30s\"")), 30);
  near(body_delay(30, INFO("\"2s\"")), 30);
  near(body_delay(5, "{}"), 5);
  near(body_delay(-1, INFO("\"-2s\"")), -1);
  near(body_delay(-1, INFO("\"2\"")), -1);
  near(body_delay(-1, INFO("\"s\"")), -1);
  near(body_delay(-1, INFO("\"nans\"")), -1);
  near(body_delay(-1, INFO("\"1e300s\"")), -1);
  near(body_delay(-1, INFO("2")), -1);
  near(body_delay(-1, INFO("null")), -1);
  near(body_delay(-1, "{\"details\":{\"retryDelay\":\"9s\"}}"), -1);
  near(body_delay(-1, "{\"details\":[\"9s\",{\"retryDelay\":\"9s\"}"), -1);
}

static void test_backoff(void **state) {
  static const struct gn_retry_policy p = {
    .attempts = 4, .base = 0.25, .base_throttled = 1, .cap = 20};
  static const double top[] = {0.25, 0.5, 1, 2, 4, 8, 16, 20, 20};
  unsigned n;
  int i;
  (void)state;
  for (n = 0; n < COUNT(top); n++) {
    near(gn_retry_backoff(&p, n, false, 0), 0);
    near(gn_retry_backoff(&p, n, false, 0.5), top[n] / 2);
    for (i = 0; i < 1000; i++) {
      double wait = gn_retry_backoff(&p, n, false, i / 1000.0);
      if (wait < 0 || wait >= top[n])
        fail_msg("retry %u waits %g", n, wait);
    }
  }
  near(gn_retry_backoff(&p, 0, true, 0.5), 0.5);
  near(gn_retry_backoff(&p, 3, true, 0.5), 4);
  near(gn_retry_backoff(&p, 5, true, 0.5), 10);
  near(gn_retry_backoff(&p, 4000000000u, false, 0.5), 10);
}

static void test_retry_after(void **state) {
  /* 784111777: the instant of RFC 9110's example dates. */
  static const struct {
    const char *value;
    double wall, want;
  } rows[] = {
    {"120", 0, 120},
    {"0", 0, 0},
    {" 7\t", 0, 7},
    {"007", 0, 7},
    {"1000000000000", 0, 1e12},
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777 - 90, 90},
    {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777 - 90, 90},
    {"Sun Nov  6 08:49:37 1994", 784111777 - 90, 90},
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777 - 0.5, 0.5},
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777 + 10, -1},
    {"-5", 0, -1},
    {"+5", 0, -1},
    {"1.5", 0, -1},
    {"0x10", 0, -1},
    {"1e3", 0, -1},
    {"5s", 0, -1},
    {"abc", 0, -1},
    {"Soon", 0, -1},
    {"inf", 0, -1},
    {"NaN", 0, -1},
    {"5, 6", 0, -1},
    {"", 0, -1},
    {"   ", 0, -1},
    {"Sun, 99 Foo 1994", 0, -1},
  };
  char longest[200];
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(rows); i++) {
    doing = rows[i].value;
    near(gn_retry_after_parse(rows[i].value, strlen(rows[i].value),
                              rows[i].wall), rows[i].want);
  }
  doing = "";
  memset(longest, '9', sizeof longest);
  near(gn_retry_after_parse(longest, sizeof longest, 0), -1);
  near(gn_retry_after_parse("12", 1, 0), 1); /* not NUL-terminated */
}

static void test_retry_after_headers(void **state) {
  static const struct {
    const char *text;
    double want;
  } rows[] = {
    {"X: 1\r\n", -1},
    {"retry-after: 5\r\n", 5},
    {"Retry-After: 2\r\nRetry-After: 9\r\n", 9},
    {"Retry-After: 9\r\nRetry-After: abc\r\n", 9},
    {"Retry-After: -9\r\nRetry-After: 0\r\n", 0},
    {"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 60},
    /* Their clock is 30 s behind ours, then ahead of it. */
    {"Date: Sun, 06 Nov 1994 08:48:07 GMT\r\n"
     "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 90},
    {"Date: Sun, 06 Nov 1994 08:49:07 GMT\r\n"
     "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 60},
    {"Date: yesterday\r\nRetry-After: 7\r\n", 7},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(rows); i++) {
    struct gn_buf headers;
    gn_buf_init(&headers, 4096);
    gn_buf_append_text(&headers, rows[i].text);
    doing = rows[i].text;
    near(gn_retry_after_of(&headers, 784111777 - 60), rows[i].want);
    gn_buf_free(&headers);
  }
  doing = "";
}

/* Which wait, and the word for it. */
static void test_decide(void **state) {
  static const struct gn_retry_policy p = {
    .attempts = 4, .base = 1, .base_throttled = 4, .cap = 20, .max_wait = 60};
  static const struct {
    bool again, throttled, once, held_back, info;
    double floor;
    unsigned sends;
    double left;
    bool goes_on;
    double least, most;
    const char *why;
  } rows[] = {
    {true, false, false, false, false, -1, 1, 99, true, 0.5, 0.5, "backoff"},
    {true, false, false, false, false, -1, 3, 99, true, 2, 2, "backoff"},
    {true, true, false, false, false, -1, 1, 99, true, 2, 2, "throttled"},
    {true, false, false, false, false, 0, 1, 99, true, 0.5, 0.5, "backoff"},
    {true, false, false, false, false, 5, 1, 99, true, 5.2, 5.3,
     "retry_after"},
    {true, true, false, false, true, 5, 1, 99, true, 5.2, 5.3, "retry_info"},
    {true, false, false, false, false, 50, 1, 99, true, 50.4, 50.6,
     "retry_after"},
    /* What is added to the floor does not cost the attempt. */
    {true, false, false, false, false, 5, 1, 5.1, true, 5, 5, "retry_after"},
    {true, false, false, false, false, 5, 1, 5, false, 0, 0, "deadline"},
    {true, false, false, false, false, -1, 1, 0.4, false, 0, 0, "deadline"},
    {true, false, false, false, false, -1, 1, -1, false, 0, 0, "deadline"},
    {true, false, false, false, false, 60, 1, 99, true, 60.4, 60.6,
     "retry_after"},
    {true, false, false, false, false, 61, 1, 99, false, 0, 0, "max_wait"},
    {true, false, false, false, false, 1e12, 1, 99, false, 0, 0, "max_wait"},
    {true, false, false, false, false, -1, 4, 99, false, 0, 0,
     "attempts used up"},
    {true, false, true, false, false, -1, 1, 99, true, 0.5, 0.5, "backoff"},
    {true, false, true, false, false, -1, 2, 99, false, 0, 0,
     "attempts used up"},
    {false, false, false, true, false, -1, 1, 99, false, 0, 0,
     "not safe to repeat"},
    {false, false, false, false, false, -1, 1, 99, false, 0, 0, "final"},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(rows); i++) {
    struct gn_verdict v = {GN_SERVER, "", rows[i].again, rows[i].throttled,
                           rows[i].once, rows[i].held_back};
    struct gn_outcome o = STATUS(503);
    struct gn_retry_state at = {rows[i].sends, 4, rows[i].left, 0.5};
    struct gn_retry_next next;
    o.retry_after = rows[i].floor;
    o.retry_info = rows[i].info;
    gn_retry_decide(&p, &v, &o, &at, &next);
    if (next.again != rows[i].goes_on || next.wait < rows[i].least - 1e-9 ||
        next.wait > rows[i].most + 1e-9 || strcmp(next.why, rows[i].why) != 0)
      fail_msg("row %zu: again=%d wait=%g %s", i, next.again, next.wait,
               next.why);
  }
}

/* Those who were told the same do not come at the same instant. */
static void test_spread(void **state) {
  int i;
  (void)state;
  for (i = 0; i < 1000; i++) {
    double wait = gn_retry_spread(5, i / 1000.0);
    assert_true(wait >= 5 && wait <= 5.5);
    wait = gn_retry_spread(100, i / 1000.0);
    assert_true(wait >= 100 && wait <= 101);
  }
  near(gn_retry_spread(0, 0.9), 0);
}

static void test_held_back(void **state) {
  static const struct gn_outcome again = STATUS(500), final = STATUS(400);
  struct gn_verdict v;
  (void)state;
  gn_retry_judge(&again, CREATES, &v);
  assert_true(v.held_back);
  gn_retry_judge(&again, SAFE, &v);
  assert_false(v.held_back);
  gn_retry_judge(&final, CREATES, &v);
  assert_false(v.held_back);
}

static void test_budget(void **state) {
  struct gn_retry_budget b;
  int n = 0;
  (void)state;
  gn_retry_budget_init(&b);
  while (gn_retry_budget_take(&b, false))
    n++;
  assert_int_equal(n, 35); /* 500 / 14 */
  assert_true(gn_retry_budget_take(&b, true)); /* 10 left */
  assert_true(gn_retry_budget_take(&b, true));
  assert_false(gn_retry_budget_take(&b, true));
  near(b.tokens, 0);
  gn_retry_budget_refund(&b, 0); /* a success without retries */
  near(b.tokens, 1);
  gn_retry_budget_refund(&b, 28); /* what two retries had taken */
  near(b.tokens, 29);
  gn_retry_budget_refund(&b, 1000);
  near(b.tokens, 500);
  gn_retry_budget_refund(&b, 0);
  near(b.tokens, 500);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_good),
    cmocka_unit_test(test_statuses_of_safe_requests),
    cmocka_unit_test(test_curl_codes_of_safe_requests),
    cmocka_unit_test(test_creations),
    cmocka_unit_test(test_bodies),
    cmocka_unit_test(test_retry_info),
    cmocka_unit_test(test_backoff),
    cmocka_unit_test(test_retry_after),
    cmocka_unit_test(test_retry_after_headers),
    cmocka_unit_test(test_decide),
    cmocka_unit_test(test_spread),
    cmocka_unit_test(test_held_back),
    cmocka_unit_test(test_budget),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

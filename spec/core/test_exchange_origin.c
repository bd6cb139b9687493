/* Owns: the checks of who gets what: redirects, credentials, client headers,
 * URLs from servers, private addresses, proxies; and bodies that go to files.
 * Must not: check retries.
 */
#define _GNU_SOURCE
#include "rig.h"


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct server *elsewhere; /* another origin */

static int start(void **state) {
  static const char *const headers[] = {"x-org: secret-org"};
  struct rig *g;
  if (rig_setup(state) != 0)
    return -1;
  g = *state;
  g->options.headers = headers;
  g->options.header_count = 1;
  rig_policy(g);
  return 0;
}

static int stop(void **state) {
  if (elsewhere)
    server_stop(elsewhere);
  elsewhere = NULL;
  return rig_teardown(state);
}

/* /to/302=URL answers with that status and place; all else says where it is. */
static void route(struct server_request *r, void *arg) {
  char line[2200];
  (void)arg;
  if (strncmp(r->target, "/to/", 4) == 0) {
    int status = atoi(r->target + 4);
    snprintf(line, sizeof line, "Location: %s\r\n", r->target + 8);
    server_answer(r, status, line, "moved");
  } else if (strcmp(r->target, "/loop") == 0) {
    server_answer(r, 302, "Location: /loop\r\n", "");
  } else if (strcmp(r->target, "/nowhere") == 0) {
    server_answer(r, 302, NULL, "");
  } else {
    server_answer(r, 200, NULL, r->target);
  }
}

static void route_both(struct rig *g) {
  server_set(g->server, route, NULL);
  if (!elsewhere)
    elsewhere = server_start(route, NULL);
}

/* Nothing that is meant for the own origin came to the other one. */
static void check_no_leak(void) {
  const struct server_request *r;
  unsigned i;
  for (i = 0; (r = server_request(elsewhere, i)); i++) {
    assert_null(server_header(r, "Authorization"));
    assert_null(server_header(r, "x-org"));
    assert_null(server_header(r, "x-mine"));
    assert_null(strstr(r->head, "secret"));
  }
}

static void check_credential(struct rig *g, unsigned i) {
  const struct server_request *r = server_request(g->server, i);
  assert_string_equal(server_header(r, "Authorization"), "Bearer secret");
  assert_string_equal(server_header(r, "x-org"), "secret-org");
}

static struct gn_request *with_header(struct gn_request *r) {
  struct gn_error err;
  assert_int_equal(gn_request_add_header(r, "x-mine", 6, "secret", 6, &err), 0);
  return r;
}

static void test_same_origin(void **state) {
  static const char *const paths[] = {"/to/301=/there", "/to/302=/there",
                                      "/to/303=/there", "/to/307=/there",
                                      "/to/308=/to/302=/to/302=/there"};
  struct rig *g = *state;
  size_t i;
  route_both(g);
  for (i = 0; i < 5; i++) {
    struct gn_event *event;
    server_forget(g->server);
    event = rig_expect(g, with_header(rig_request(g, "GET", paths[i])), GN_OK,
                       NULL);
    assert_string_equal(event->result->records[0].why, "redirect");
    rig_body(event, "/there");
    check_credential(g, 0);
    check_credential(g, 1);
  }
}

static void far(struct server_request *r, void *arg) {
  char sig[6000];
  (void)arg;
  memset(sig, 'x', sizeof sig);
  if (strcmp(r->target, "/far") == 0) {
    server_send(r, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n"
                   "Location: /there?sig=");
    server_write(r, sig, sizeof sig);
    server_send(r, "\r\n\r\n");
  } else {
    server_answer(r, 200, NULL, strstr(r->head, "xx HTTP/1.1") ? "all" : "");
  }
}

static void test_long_location(void **state) {
  struct rig *g = *state;
  server_set(g->server, far, NULL);
  rig_body(rig_expect(g, rig_request(g, "GET", "/far"), GN_OK, NULL), "all");
}

static void test_refused_redirects(void **state) {
  struct rig *g = *state;
  char to[3][256];
  const char *const paths[] = {
    to[0], to[1], to[2], "/loop", "/nowhere", "/to/302=file:///etc/passwd",
    "/to/302=https://127.0.0.1/", "/to/302=http://u:p@127.0.0.1/",
    "/to/302=http://example.com/",
  };
  size_t i;
  route_both(g);
  snprintf(to[0], sizeof to[0], "/to/302=%s", server_url(elsewhere, "/x"));
  snprintf(to[1], sizeof to[1], "/to/302=/%s",
           server_url(elsewhere, "/x") + strlen("http:/"));
  snprintf(to[2], sizeof to[2], "/to/307=http://localhost:%u/x",
           server_port(g->server));
  for (i = 0; i < sizeof paths / sizeof *paths; i++) {
    server_forget(g->server);
    gn_event_free(rig_expect(g, rig_request(g, "GET", paths[i]), GN_PROTOCOL,
                             "redirect"));
    assert_int_equal(server_hits(g->server, "/"), i == 3 ? 6 : 1);
  }
  assert_int_equal(server_connections(elsewhere), 0);
}

/* Neither a POST nor its body goes anywhere else, and it is no GET then. */
static void test_post_is_not_redirected(void **state) {
  static const int statuses[] = {301, 302, 303, 307, 308};
  struct rig *g = *state;
  size_t i;
  int safe;
  route_both(g);
  for (i = 0; i < 5; i++)
    for (safe = 0; safe < 2; safe++) {
      char path[64];
      struct gn_request *r;
      snprintf(path, sizeof path, "/to/%d=/there", statuses[i]);
      r = rig_request(g, "POST", path);
      r->safe = safe;
      r->redirects = 5; /* even if asked for */
      server_forget(g->server);
      /* "See Other" comes from a server that took the request. */
      gn_event_free(rig_expect(
          g, r, statuses[i] == 303 && !safe ? GN_IN_DOUBT : GN_PROTOCOL,
          "redirect"));
      assert_int_equal(server_hits(g->server, "/"), 1);
    }
}

static void test_other_urls(void **state) {
  struct rig *g = *state;
  struct gn_request *r;
  route_both(g);
  /* a next link elsewhere: fetched, with nothing of ours */
  r = with_header(rig_request(g, "GET", server_url(elsewhere, "/next")));
  r->server_url = true;
  rig_body(rig_expect(g, r, GN_OK, NULL), "/next");
  /* one at home: with everything */
  r = with_header(rig_request(g, "GET", "/next"));
  r->server_url = true;
  rig_body(rig_expect(g, r, GN_OK, NULL), "/next");
  check_credential(g, 0);
  /* the caller's own URL elsewhere: the caller's headers, no credential */
  rig_body(rig_expect(g, rig_request(g, "GET", server_url(elsewhere, "/own")),
                      GN_OK, NULL), "/own");
  check_no_leak();
}

static void test_listed_origin(void **state) {
  struct rig *g = *state;
  const char *more;
  struct gn_request *r;
  route_both(g);
  more = server_url(elsewhere, "");
  g->options.origins = &more;
  g->options.origin_count = 1;
  rig_policy(g);
  r = rig_request(g, "GET", server_url(elsewhere, "/to/302=/there"));
  rig_body(rig_expect(g, r, GN_OK, NULL), "/there");
  assert_string_equal(server_header(server_request(elsewhere, 1),
                                    "Authorization"), "Bearer secret");
}

static void test_own_authorization_wins(void **state) {
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/x");
  struct gn_error err;
  const char *head;
  gn_request_add_header(r, "authorization", 13, "Mine", 4, &err);
  gn_event_free(rig_expect(g, r, GN_OK, NULL));
  head = server_request(g->server, 0)->head;
  assert_null(strcasestr(head, "Bearer"));
  assert_non_null(strcasestr(head, "authorization: Mine"));
}

static void test_private_addresses(void **state) {
  static const char *const urls[] = {
    "https://10.0.0.1/", "https://169.254.169.254/latest", "https://[fe80::1]/",
    "https://192.168.1.1/", "https://[::ffff:10.0.0.1]/",
  };
  struct rig *g = *state;
  int proxy;
  size_t i;
  for (proxy = 0; proxy < 2; proxy++) {
    g->options.proxy = proxy ? server_url(g->server, "") : NULL;
    rig_policy(g);
    for (i = 0; i < sizeof urls / sizeof *urls; i++) {
      struct gn_request *r = rig_request(g, "GET", urls[i]);
      r->download = i % 2;
      r->server_url = true;
      gn_event_free(rig_expect(g, r, GN_PROTOCOL, "address"));
    }
  }
  assert_int_equal(server_connections(g->server), 0);
}

/* What the server chose is not talked to in the clear, but on this machine. */
static void test_plain_http_from_server(void **state) {
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "http://192.0.2.1/x");
  r->download = true;
  gn_event_free(rig_expect(g, r, GN_PROTOCOL, "address"));
}

/* A proxy from the environment never sees what is meant for this machine. */
static void test_environment_proxy(void **state) {
  struct rig *g = *state;
  route_both(g);
  setenv("http_proxy", server_url(elsewhere, ""), 1);
  g->options.proxy_env = true;
  rig_policy(g);
  unsetenv("http_proxy");
  rig_body(rig_expect(g, rig_request(g, "GET", "/direct"), GN_OK, NULL),
           "/direct");
  assert_int_equal(server_connections(elsewhere), 0);
  g->options.proxy_env = false;
  g->options.proxy = server_url(elsewhere, "");
  rig_policy(g);
  gn_event_free(rig_expect(g, rig_request(g, "GET", "/asked"), GN_OK, NULL));
  assert_int_equal(server_connections(elsewhere), 1);
}

/* ---- files ---- */

static char folder[] = "/tmp/garner-exchange-XXXXXX";
static char path[64], part[80];

static int make_folder(void **state) {
  (void)state;
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  unlink(path);
  return rmdir(folder);
}

static struct gn_request *download(struct rig *g, const char *url) {
  struct gn_error err;
  struct gn_request *r = with_header(rig_request(g, "GET", url));
  snprintf(path, sizeof path, "%s/file.csv", folder);
  snprintf(part, sizeof part, "%s.part", path);
  unlink(path);
  r->download = true;
  assert_int_equal(gn_request_set_file(r, path, &err), 0);
  return r;
}

static void check_file(const char *want) {
  char got[64] = "";
  FILE *f = fopen(path, "rb");
  assert_int_equal(access(part, F_OK), -1);
  if (!want) {
    assert_null(f);
    return;
  }
  assert_non_null(f);
  got[fread(got, 1, sizeof got - 1, f)] = '\0';
  fclose(f);
  assert_string_equal(got, want);
}

static void test_download(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  char to[256], shown[256];
  route_both(g);
  event = rig_expect(g, download(g, server_url(elsewhere, "/file?sig=1")),
                     GN_OK, NULL);
  assert_string_equal(event->result->file, path);
  assert_int_equal(event->result->file_size, strlen("/file?sig=1"));
  gn_result_url(event->result, shown, sizeof shown);
  assert_null(strstr(shown, "sig"));
  gn_event_free(event);
  check_file("/file?sig=1");
  snprintf(to, sizeof to, "/to/302=%s", server_url(elsewhere, "/again"));
  gn_event_free(rig_expect(g, download(g, to), GN_OK, NULL));
  check_file("/again");
  assert_null(server_header(server_request(g->server, 0), "Authorization"));
  assert_string_equal(server_header(server_request(g->server, 0),
                                    "Accept-Encoding"), "identity");
  check_no_leak();
}

static void bad_file(struct server_request *r, void *arg) {
  const char *kind = arg;
  if (strcmp(kind, "cut") == 0)
    server_send(r, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  else if (strcmp(kind, "gzip") == 0)
    server_answer(r, 200, "Content-Encoding: gzip\r\n", "xxxx");
  else if (strcmp(kind, "part") == 0)
    server_answer(r, 206, "Content-Range: bytes 0-3/100\r\n", "half");
  else if (strcmp(kind, "404") == 0)
    server_answer(r, 404, NULL, "gone");
  else {
    server_send(r, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    server_stall(r, 60000);
  }
  server_close(r);
}

static void test_bad_files(void **state) {
  static const struct {
    const char *kind, *code;
    enum gn_kind error;
  } rows[] = {
    {"cut", "incomplete", GN_PROTOCOL}, {"gzip", "encoding", GN_PROTOCOL},
    {"part", "incomplete", GN_PROTOCOL}, {"404", "404", GN_NOT_FOUND},
    {"stall", "cancelled", GN_CANCELLED},
  };
  struct rig *g = *state;
  struct gn_request *r;
  uint64_t id;
  size_t i;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct gn_event *event;
    server_forget(g->server);
    server_set(g->server, bad_file, (void *)(size_t)rows[i].kind);
    id = rig_submit(g, download(g, "/file"));
    if (rows[i].error == GN_CANCELLED) {
      rig_until(g, "/file", 1);
      rig_run(g, 50);
      assert_int_equal(access(part, F_OK), 0);
      gn_engine_cancel(g->engine, id);
    }
    event = rig_done(g, id);
    rig_error_is(&event->result->error, rows[i].error, rows[i].code);
    gn_event_free(event);
    check_file(NULL);
  }
  r = download(g, "/file");
  gn_request_set_file(r, "/nonexistent-folder/x", &(struct gn_error){0});
  gn_event_free(rig_expect(g, r, GN_FILE, "ENOENT"));
}

/* A body of the API itself is not cut unnoticed either. */
static void test_api_body_to_file(void **state) {
  struct rig *g = *state;
  struct gn_request *r = download(g, "/export");
  r->download = false;
  server_set(g->server, bad_file, (void *)(size_t) "gzip");
  gn_event_free(rig_expect(g, r, GN_PROTOCOL, "encoding"));
  check_credential(g, 0);
  check_file(NULL);
}

#define EACH(test) \
  {#test " (inline)", test, start, stop, &rig_inline}, \
  {#test " (threaded)", test, start, stop, &rig_threaded}

int main(void) {
  const struct CMUnitTest tests[] = {
    EACH(test_same_origin), EACH(test_long_location),
    EACH(test_refused_redirects),
    EACH(test_post_is_not_redirected), EACH(test_other_urls),
    EACH(test_listed_origin), EACH(test_own_authorization_wins),
    EACH(test_private_addresses), EACH(test_plain_http_from_server),
    EACH(test_environment_proxy), EACH(test_download), EACH(test_bad_files),
    EACH(test_api_body_to_file),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

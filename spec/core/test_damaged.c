/* Owns: the checks that no byte of a file is kept that came in a framing which
 * turned out to make no sense: neither for the next attempt nor for the next
 * run.
 * Must not: check answers that are only cut; test_download.c does.
 */
#define _GNU_SOURCE
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHOLE "0123456789"
#define ETAG "ETag: \"v\"\r\n"

static char path[64], part[80], meta[96];

/* The first answer's head and body; the others are as they should be. */
static void serve(struct server_request *r, void *arg) {
  const char *range = server_header(r, "Range");
  char line[100];
  size_t from;
  if (server_hits(r->server, "/file") == 1) {
    server_send(r, "HTTP/1.1 200 OK\r\n" ETAG);
    server_send(r, arg);
  } else if (range) {
    from = strtoul(range + strlen("bytes="), NULL, 10);
    snprintf(line, sizeof line, ETAG "Content-Range: bytes %zu-9/10\r\n", from);
    server_answer(r, 206, line, &WHOLE[from < 10 ? from : 10]);
  } else {
    server_answer(r, 200, ETAG, WHOLE);
  }
  server_close(r);
}

static struct gn_request *download(struct rig *g, char *first) {
  struct gn_request *r = rig_request(g, "GET", "/file");
  struct gn_error err;
  server_quiet(g->server);
  server_forget(g->server);
  server_set(g->server, serve, first);
  r->download = r->resume = true;
  assert_int_equal(gn_request_set_file(r, path, &err), 0);
  return r;
}

static void check_whole(struct gn_event *event) {
  char got[32] = "";
  FILE *f;
  rig_error_is(&event->result->error, GN_OK, NULL);
  assert_int_equal(event->result->resumed, 0);
  gn_event_free(event);
  f = fopen(path, "r");
  assert_non_null(f);
  assert_int_equal(fread(got, 1, sizeof got - 1, f), 10);
  fclose(f);
  assert_string_equal(got, WHOLE);
  unlink(path);
}

/* Four bytes of a chunk were lost on the way: what follows it came as data. */
static void test_damaged_chunk(void **state) {
  static char damaged[] = "Transfer-Encoding: chunked\r\n\r\n"
                          "8\r\n0123\r\n4\r\r\nxx\r\n0\r\n\r\n";
  struct rig *g = *state;
  struct gn_request *r = download(g, damaged);
  check_whole(rig_done(g, rig_submit(g, r)));
  assert_int_equal(server_hits(g->server, "/file"), 2);
}

/* Nor does it help that the answer was cut as well. */
static void test_cut_too(void **state) {
  static char lengths[] = "Content-Length: 4\r\nContent-Length: 20\r\n\r\n"
                          "0123HTTP";
  struct rig *g = *state;
  struct gn_request *r = download(g, lengths);
  gn_event_free(rig_expect(g, r, GN_PROTOCOL, "framing"));
  assert_int_equal(server_hits(g->server, "/file"), 1);
  assert_int_equal(access(part, F_OK), -1);
  assert_int_equal(access(meta, F_OK), -1);
}

static void test_next_run(void **state) {
  static char lengths[] = "Content-Length: 4\r\nContent-Length: 8\r\n\r\n"
                          "0123HTTP";
  static char damaged[] = "Transfer-Encoding: chunked\r\n\r\n"
                          "8\r\n0123\r\n4\r\r\nxx\r\n0\r\n\r\n";
  struct rig *g = *state;
  struct gn_request *r = download(g, lengths);
  gn_event_free(rig_expect(g, r, GN_PROTOCOL, "framing"));
  assert_int_equal(access(part, F_OK), -1);
  assert_int_equal(access(meta, F_OK), -1);
  r = download(g, damaged);
  r->attempts = 1;
  gn_event_free(rig_expect(g, r, GN_PROTOCOL, "incomplete"));
  assert_int_equal(access(part, F_OK), -1);
  assert_int_equal(access(meta, F_OK), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    BOTH(test_damaged_chunk), BOTH(test_cut_too), BOTH(test_next_run),
  };
  snprintf(path, sizeof path, "/tmp/garner-damaged-%ld", (long)getpid());
  snprintf(part, sizeof part, "%s.part", path);
  snprintf(meta, sizeof meta, "%s.meta", part);
  return cmocka_run_group_tests(tests, NULL, NULL);
}

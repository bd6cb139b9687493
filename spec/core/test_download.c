/* Owns: the checks of downloads over a real socket: cut, changed, refused and
 * lying answers, what is gone on with and what is not, within one exchange and
 * after a process was killed.
 * Must not: check the files' system calls; test_sink_faults.c does.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "alloc.h"
#include "clock.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 300000

static char folder[] = "/tmp/garner-download-XXXXXX";
static char path[64], part[80], meta[96];
static char *content;         /* what the server has */
static char content_hex[65];  /* its sha256 */

/* What the server does with one file. */
struct host {
  const char *etag;      /* its header's value, or NULL */
  const char *more;      /* further header lines, or NULL */
  size_t cut;            /* so many bytes are sent, then the end; 0: all */
  unsigned cuts;         /* how many answers are cut */
  const char *new_etag;  /* from the second request on, with new content */
  bool no_ranges;        /* always all of it */
  const char *range;     /* this Content-Range on a 206, instead of the true */
  bool no_length;        /* close-delimited */
  bool piecemeal;        /* a range gives at most 100,000 bytes */
  unsigned pause;        /* ms between blocks of 4 KB */
};

static struct host current; /* what serve follows; changed while all is quiet */

static void fill(char *out, unsigned seed) {
  size_t i;
  for (i = 0; i < SIZE; i++) {
    seed = seed * 1103515245 + 12345;
    out[i] = (char)(seed >> 16);
  }
}

static void hash(const char *data, size_t len, char *out) {
  struct gn_error err;
  struct gn_sum sum;
  struct gn_digest *d = gn_digest_new(GN_CHECK_SHA256, &err);
  assert_non_null(d);
  assert_int_equal(gn_digest_update(d, data, len, &err), 0);
  assert_int_equal(gn_digest_final(d, &sum, &err), 0);
  gn_sum_hex(&sum, out, 65);
  gn_digest_free(d);
}

static void send_body(struct server_request *r, const struct host *h,
                      size_t from, size_t to) {
  size_t block = h->pause ? 4096 : SIZE;
  if (server_hits(r->server, "/file") <= h->cuts && to - from > h->cut)
    to = from + h->cut;
  for (; from < to; from += block) {
    size_t len = to - from < block ? to - from : block;
    server_write(r, content + from, len);
    if (h->pause)
      server_stall(r, h->pause);
  }
}

static void serve(struct server_request *r, void *arg) {
  const struct host *h = &current;
  const char *range = server_header(r, "Range"), *etag = h->etag;
  const char *if_range;
  char head[1024], length[64] = "", line[128] = "";
  size_t from = 0, to = SIZE;
  int n;
  (void)arg;
  if (h->new_etag && server_hits(r->server, "/file") > 1)
    etag = h->new_etag;
  if (range && !h->no_ranges)
    from = strtoul(range + strlen("bytes="), NULL, 10);
  if_range = server_header(r, "If-Range");
  if (from > 0 && (!if_range || !etag || strcmp(if_range, etag) != 0))
    from = 0;
  if (h->piecemeal && from > 0 && from + 100000 < to)
    to = from + 100000;
  if (from > 0)
    snprintf(line, sizeof line, "Content-Range: bytes %zu-%zu/%d\r\n", from,
             to - 1, SIZE);
  if (from > 0 && h->range)
    snprintf(line, sizeof line, "Content-Range: %s\r\n", h->range);
  if (!h->no_length)
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", to - from);
  n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\n%s%s%s%s%s%s\r\n",
               from > 0 ? "206 Partial Content" : "200 OK", length, line,
               etag ? "ETag: " : "", etag ? etag : "", etag ? "\r\n" : "",
               h->more ? h->more : "");
  server_write(r, head, (size_t)n);
  server_close(r);
  send_body(r, h, from, to);
}

static struct gn_request *download(struct rig *g) {
  struct gn_request *r = rig_request(g, "GET", "/file?id=1&sig=secret");
  struct gn_error err;
  r->download = r->resume = r->sha256 = true;
  assert_int_equal(gn_request_set_file(r, path, &err), 0);
  return r;
}

static void host(struct rig *g, const struct host *h) {
  server_quiet(g->server);
  server_forget(g->server);
  if (h)
    current = *h;
  server_set(g->server, serve, NULL);
}

static void absent(const char *name) {
  if (access(name, F_OK) == 0)
    fail_msg("%s is still there", name);
}

static void check_content(void) {
  static char got[SIZE + 1];
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  assert_int_equal(fread(got, 1, sizeof got, f), SIZE);
  fclose(f);
  assert_memory_equal(got, content, SIZE);
}

/* The file is the server's, and nothing lies beside it. */
static void check_file(void) {
  check_content();
  absent(part);
  absent(meta);
}

static void good(struct gn_event *event, uint64_t resumed) {
  const struct gn_result *r = event->result;
  rig_error_is(&r->error, GN_OK, NULL);
  assert_int_equal(r->file_size, SIZE);
  assert_int_equal(r->resumed, resumed);
  assert_string_equal(r->sha256, content_hex);
  check_file();
  gn_event_free(event);
  unlink(path);
}

static struct gn_event *run(struct rig *g) {
  return rig_done(g, rig_submit(g, download(g)));
}

static void test_cut_and_resumed(void **state) {
  struct rig *g = *state;
  struct host h = {.etag = "\"v1\"", .cut = SIZE * 6 / 10, .cuts = 1};
  const struct server_request *second;
  host(g, &h);
  good(run(g), SIZE * 6 / 10);
  assert_int_equal(server_hits(g->server, "/file"), 2);
  second = server_request(g->server, 1);
  assert_string_equal(server_header(second, "Range"), "bytes=180000-");
  assert_string_equal(server_header(second, "If-Range"), "\"v1\"");
  h.piecemeal = true;
  host(g, &h);
  good(run(g), 280000);
  assert_int_equal(server_hits(g->server, "/file"), 3);
}

static void from_zero(struct rig *g, struct host *h, unsigned requests) {
  host(g, h);
  good(run(g), 0);
  if (server_hits(g->server, "/file") != requests)
    fail_msg("%u requests", server_hits(g->server, "/file"));
}

static void test_started_again(void **state) {
  static const char *const weak[] = {
    NULL, "W/\"v1\"", "v1", "\"v1", "\"v 1\"", "\"\x7f\"", "\"",
  };
  static const char *const ranges[] = {
    "bytes 1-299999/300000", "bytes 180000-299999/300001", "bytes 180000-*",
    "bytes 180000-299999/*", "bytes 180000-300000/300000", "items 1-2/3",
    "bytes 180000-299999", "bytes 180001-299999/300000", "",
    "bytes 180000-179999/300000", "bytes 99999999999999999999-1/1",
  };
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < sizeof weak / sizeof *weak; i++) {
    struct host h = {.etag = weak[i], .cut = 180000, .cuts = 1,
                     .more = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
                             "\r\n"};
    from_zero(g, &h, 2);
    assert_null(server_header(server_request(g->server, 1), "Range"));
  }
  {
    struct host h = {.etag = "\"v1\"", .new_etag = "\"v2\"", .cut = 180000,
                     .cuts = 1};
    from_zero(g, &h, 2);
    h.new_etag = NULL;
    h.no_ranges = true;
    from_zero(g, &h, 2);
  }
  for (i = 0; i < sizeof ranges / sizeof *ranges; i++) {
    struct host h = {.etag = "\"v1\"", .cut = 180000, .cuts = 1,
                     .range = ranges[i]};
    from_zero(g, &h, 3);
    assert_null(server_header(server_request(g->server, 2), "Range"));
  }
}

/* 206 with another validator, or none, or packed: never joined. */
static void lying(struct server_request *r, void *arg) {
  char head[256];
  unsigned hits = server_hits(r->server, "/file");
  int n;
  server_close(r);
  if (hits == 2 && strcmp(arg, "416") == 0) {
    server_answer(r, 416, "Content-Range: bytes */9\r\n", "");
    return;
  }
  n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n",
               hits == 2 ? "206 Part" : "200 OK", hits == 2 ? 120000 : SIZE,
               hits == 2 ? (const char *)arg : "ETag: \"v1\"\r\n");
  server_write(r, head, (size_t)n);
  server_write(r, content + (hits == 2 ? 180000 : 0),
               hits == 1 ? 180000 : hits == 2 ? 120000 : SIZE);
}

static void test_refused_parts(void **state) {
#define TRUE_RANGE "Content-Range: bytes 180000-299999/300000\r\n"
  static const char *const answers[] = {
    "416", TRUE_RANGE, TRUE_RANGE "ETag: \"v2\"\r\n",
    TRUE_RANGE "ETag: W/\"v1\"\r\n",
    TRUE_RANGE "ETag: \"v1\"\r\nContent-Encoding: gzip\r\n",
  };
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < sizeof answers / sizeof *answers; i++) {
    struct gn_event *event;
    host(g, NULL);
    server_set(g->server, lying, (void *)(size_t)answers[i]);
    event = run(g);
    rig_error_is(&event->result->error, GN_OK, NULL);
    assert_int_equal(event->result->record_count, 3);
    assert_string_equal(event->result->records[1].why, "restart");
    good(event, 0);
  }
}

static void leave_part(struct rig *g, struct host *h, size_t cut) {
  struct gn_request *r = download(g);
  struct stat st;
  h->cut = cut;
  h->cuts = 9;
  r->attempts = 1;
  host(g, h);
  gn_event_free(rig_expect(g, r, GN_PROTOCOL, "incomplete"));
  assert_int_equal(stat(part, &st), 0);
  assert_int_equal(st.st_size, cut);
  absent(path);
  h->cuts = 0;
  host(g, h);
}

static void test_next_run(void **state) {
  struct rig *g = *state;
  struct host h = {.etag = "\"v1\""};
  struct gn_request *r;
  char text[1000];
  FILE *f;
  size_t n;
  leave_part(g, &h, 100000);
  f = fopen(meta, "r");
  assert_non_null(f);
  n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = '\0';
  assert_null(strstr(text, "secret"));
  assert_null(strstr(text, "127.0.0.1"));
  good(run(g), 100000);
  /* Signed anew: the same file. */
  leave_part(g, &h, 100000);
  r = download(g);
  gn_request_set_url(r, server_url(g->server, "/file?id=1&sig=other"),
                     &(struct gn_error){0});
  good(rig_done(g, rig_submit(g, r)), 100000);
  /* Another URL: another file, whatever the server says. */
  leave_part(g, &h, 100000);
  r = download(g);
  gn_request_set_url(r, server_url(g->server, "/file?id=2"),
                     &(struct gn_error){0});
  good(rig_done(g, rig_submit(g, r)), 0);
  leave_part(g, &h, 100000);
  r = download(g);
  r->resume = false;
  good(rig_done(g, rig_submit(g, r)), 0);
}

/* Killed between the last byte and the rename; longer than the whole; a mark
 * that is torn, of another boot, or missing. */
static void test_odd_parts(void **state) {
  struct rig *g = *state;
  struct host h = {.etag = "\"v1\""};
  FILE *f;
  leave_part(g, &h, 100000);
  f = fopen(part, "a");
  fwrite(content + 100000, 1, SIZE - 100000, f);
  fclose(f);
  good(run(g), SIZE - 1);
  leave_part(g, &h, 100000);
  assert_int_equal(truncate(part, SIZE + 1), 0);
  good(run(g), 0);
  leave_part(g, &h, 100000);
  assert_int_equal(truncate(meta, 150), 0);
  good(run(g), 0);
  leave_part(g, &h, 100000);
  f = fopen(meta, "r+");
  fseek(f, (long)strlen("garner part 1\nboot "), SEEK_SET);
  fputs("zz", f);
  fclose(f);
  good(run(g), 0);
  leave_part(g, &h, 100000);
  assert_int_equal(unlink(meta), 0);
  good(run(g), 0);
  leave_part(g, &h, 100000);
  assert_int_equal(unlink(part), 0);
  good(run(g), 0);
}

static void test_part_in_use(void **state) {
  struct rig *g = *state;
  struct host h = {.etag = "\"v1\"", .pause = 5};
  uint64_t first;
  host(g, &h);
  first = rig_submit(g, download(g));
  rig_until(g, "/file", 1);
  gn_event_free(rig_expect(g, download(g), GN_FILE, "locked"));
  good(rig_done(g, first), 0);
}

/* What somebody wrote wrongly is found by the checksum, and fetched. */
static void test_checksum(void **state) {
  struct rig *g = *state;
  char more[200], wrong[65];
  struct host h = {.etag = "\"v1\"", .more = more};
  struct gn_request *r;
  struct gn_event *event;
  FILE *f;
  snprintf(more, sizeof more, "x-oss-hash-crc64ecma: 1\r\n");
  host(g, &h);
  event = rig_expect(g, download(g), GN_PROTOCOL, "checksum");
  assert_int_equal(event->result->record_count, 2); /* twice the same */
  assert_string_equal(event->result->records[0].code, "checksum");
  gn_event_free(event);
  absent(path);
  absent(part);
  absent(meta);
  server_quiet(g->server);
  *more = '\0';
  leave_part(g, &h, 100000);
  f = fopen(part, "r+");
  fputc(content[0] + 1, f);
  fclose(f);
  r = download(g);
  strcpy(r->sha256_hex, content_hex);
  good(rig_done(g, rig_submit(g, r)), 0);
  assert_int_equal(server_hits(g->server, "/file"), 2);
  memset(wrong, 'a', 64);
  wrong[64] = '\0';
  r = download(g);
  strcpy(r->sha256_hex, wrong);
  r->attempts = 1;
  gn_event_free(rig_expect(g, r, GN_PROTOCOL, "checksum"));
  absent(path);
}

static void test_verified(void **state) {
  struct rig *g = *state;
  struct host h = {.no_length = true};
  struct gn_event *event;
  struct gn_request *r;
  host(g, &h);
  event = run(g);
  assert_false(event->result->verified);
  good(event, 0);
  r = download(g);
  strcpy(r->sha256_hex, content_hex);
  event = rig_done(g, rig_submit(g, r));
  assert_true(event->result->verified);
  good(event, 0);
  h.no_length = false;
  host(g, &h);
  event = run(g);
  assert_true(event->result->verified);
  good(event, 0);
}

static void test_progress(void **state) {
  struct rig *g = *state;
  struct host h = {.etag = "\"v1\"", .pause = 5};
  struct gn_request *r = download(g);
  struct gn_event *event;
  unsigned told = 0;
  uint64_t last = 0;
  r->progress = true;
  host(g, &h);
  rig_submit(g, r);
  while ((event = rig_next(g))->type == GN_EVENT_PROGRESS) {
    told++;
    assert_true(event->bytes > last && event->bytes <= SIZE);
    assert_int_equal(event->total, SIZE);
    last = event->bytes;
    gn_event_free(event);
  }
  assert_true(told >= 1);
  good(event, 0);
}

/* A file that cannot fit is refused before it is written. */
static void huge(struct server_request *r, void *arg) {
  (void)arg;
  server_send(r, "HTTP/1.1 200 OK\r\nETag: \"v\"\r\n"
                 "Content-Length: 9000000000000000\r\n\r\nxxxxxxxx");
  server_stall(r, 60000);
  server_close(r);
}

static void test_no_room(void **state) {
  struct rig *g = *state;
  host(g, NULL);
  server_set(g->server, huge, NULL);
  gn_event_free(rig_expect(g, download(g), GN_FILE, "ENOSPC"));
  absent(path);
  absent(part);
  absent(meta);
}

/* In a process of its own, which may be killed at any moment. */
static int fetch_in_child(struct rig *g) {
  struct gn_error err;
  struct gn_engine *e = gn_engine_new(false, &err);
  struct gn_mailbox *m = gn_mailbox_new(e);
  struct gn_policy *p = gn_policy_new(&g->options, &err);
  struct gn_event *event = NULL;
  uint64_t resumed;
  if (gn_engine_submit(e, m, p, download(g), &err) == 0)
    return 99;
  while (!(event = gn_mailbox_take(m)))
    gn_engine_wait(e, gn_engine_sequence(e), 100);
  resumed = event->result->resumed;
  return event->result->error.kind != GN_OK ? 98 : resumed > 0 ? 1 : 0;
}

static void test_killed(void **state) {
  struct rig *g = *state;
  struct host h = {.etag = "\"v1\"", .pause = 5};
  static char old[] = "the old one";
  struct gn_event *event;
  unsigned i;
  int status;
  FILE *f = fopen(path, "w");
  fputs(old, f);
  fclose(f);
  host(g, &h);
  for (i = 0; i < 15; i++) {
    struct stat st;
    struct timespec wait = {0, (long)(i * i % 13) * 7000000 + 2000000};
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
      _exit(fetch_in_child(g));
    nanosleep(&wait, NULL);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(stat(path, &st), 0);
    if (st.st_size != (off_t)strlen(old))
      check_content();
  }
  h.pause = 0;
  host(g, &h);
  unlink(path);
  event = run(g);
  good(event, event->result->resumed);
}

/* What a killed process wrote is taken over by the next one. */
static void test_killed_and_resumed(void **state) {
  struct rig *g = *state;
  struct host h = {.etag = "\"v1\"", .pause = 5};
  struct stat st = {0};
  int status;
  pid_t child;
  host(g, &h);
  child = fork();
  assert_true(child >= 0);
  if (child == 0)
    _exit(fetch_in_child(g));
  while (stat(part, &st) != 0 || st.st_size < 20000)
    usleep(1000);
  kill(child, SIGKILL);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status));
  assert_int_equal(stat(part, &st), 0);
  h.pause = 0;
  host(g, &h);
  good(run(g), (uint64_t)st.st_size);
}

static void test_allocations(void **state) {
#ifdef GN_FAULTS
  struct rig *g = *state;
  struct host h = {.etag = "\"v1\"", .cut = 180000, .cuts = 1,
                   .more = "x-oss-hash-crc64ecma: 1\r\n"};
  long n;
  int rc = -1;
  h.more = NULL;
  for (n = 0; rc != 0 && n < 300; n++) {
    struct gn_request *r = download(g);
    struct gn_error err = {0};
    uint64_t id;
    struct gn_event *event;
    host(g, &h);
    gn_alloc_fail_after(n, 0);
    id = gn_engine_submit(g->engine, g->mailbox, g->policy, r, &err);
    event = id ? rig_next(g) : NULL;
    gn_alloc_fail_after(-1, 0);
    if (event)
      err = event->result->error;
    rc = err.kind == GN_OK ? 0 : -1;
    if (rc != 0)
      assert_int_equal(err.kind, GN_MEMORY);
    else
      check_file();
    gn_event_free(event);
    unlink(part);
    unlink(meta);
  }
  assert_in_range(n, 10, 299);
  unlink(path);
#else
  (void)state;
#endif
}

static int start(void **state) {
  memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
  if (!mkdtemp(folder))
    return -1;
  snprintf(path, sizeof path, "%s/out.csv", folder);
  snprintf(part, sizeof part, "%s.part", path);
  snprintf(meta, sizeof meta, "%s.meta", part);
  content = malloc(SIZE);
  fill(content, 7);
  hash(content, SIZE, content_hex);
  return rig_setup(state);
}

static int stop(void **state) {
  int rc = rig_teardown(state);
  free(content);
  unlink(path);
  unlink(part);
  unlink(meta);
  return rmdir(folder) == 0 ? rc : -1;
}

#define INLINE_ONE(test) \
  {#test " (inline)", test, start, stop, &rig_inline}
#define EACH(test) \
  INLINE_ONE(test), {#test " (threaded)", test, start, stop, &rig_threaded}

int main(void) {
  const struct CMUnitTest tests[] = {
    EACH(test_cut_and_resumed), EACH(test_started_again),
    EACH(test_refused_parts), EACH(test_next_run), EACH(test_odd_parts),
    EACH(test_part_in_use), EACH(test_checksum), EACH(test_verified),
    EACH(test_progress), EACH(test_no_room), INLINE_ONE(test_killed),
    INLINE_ONE(test_killed_and_resumed),
    INLINE_ONE(test_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

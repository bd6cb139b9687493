/* Owns: the checks of what header lines are marked with: a block that its
 * readers would find something in is never marked as plain.
 * Must not: need a server.
 */
#include "head.h"

#include "body.h"
#include "framing.h"
#include "quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static unsigned marks_of(const char *block) {
  unsigned marks = 0;
  while (*block) {
    size_t len = strcspn(block, "\n");
    len += block[len] == '\n';
    marks = gn_head_mark(marks, block, len);
    block += len;
  }
  return marks;
}

static void test_lines(void **state) {
  static const struct {
    const char *block; /* header lines */
    unsigned want;     /* their marks */
  } rows[] = {
    {"", 0}, {"\r\n", 0}, {"Server: x\r\n\r\n", 0}, {"c\r\n", 0},
    {"Content-Type: text/plain\r\n", 0},
    {"Content-Length: 12\r\n", GN_HEAD_LENGTH},
    {"CONTENT-LENGTH:\t12 \r\n", GN_HEAD_LENGTH},
    {"content-length:0", GN_HEAD_LENGTH},
    {"Content-Length: 12, 12\r\n", GN_HEAD_FRAMING},
    {"Content-Length: \r\n", GN_HEAD_FRAMING},
    {"Content-Length: -1\r\n", GN_HEAD_FRAMING},
    {"Content-Length: 1234567890123456789\r\n", GN_HEAD_FRAMING},
    {"Content-Length: 1\r\nContent-Length: 1\r\n",
     GN_HEAD_LENGTH | GN_HEAD_FRAMING},
    {"Transfer-Encoding: Chunked\r\n", GN_HEAD_CHUNKED},
    {"Transfer-Encoding: gzip, chunked\r\n", GN_HEAD_FRAMING},
    {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
     GN_HEAD_CHUNKED | GN_HEAD_FRAMING},
    {"content-encoding: gzip\r\n", GN_HEAD_CODING},
    {"RateLimit: x\r\n", GN_HEAD_QUOTA},
    {"x-ratelimit-remaining: 0\r\n", GN_HEAD_QUOTA},
    {"X-Rate-Limit-Reset: 1\r\n", GN_HEAD_QUOTA},
  };
  size_t i;
  (void)state;
  for (i = 0; i < sizeof rows / sizeof *rows; i++)
    if (marks_of(rows[i].block) != rows[i].want)
      fail_msg("row %zu: %u", i, marks_of(rows[i].block));
}

/* Every two lines of these, beside each other. */
static void test_never_less_than_the_readers(void **state) {
  static const char *const lines[] = {
    "", "Content-Length: 5\r\n", "content-length: 6\r\n",
    "Content-Length: +5\r\n", "Content-Length: 5,6\r\n",
    "Content-Length : 7\r\n", "Transfer-Encoding: chunked\r\n",
    "TRANSFER-ENCODING: identity\r\n", "Transfer-Encoding: x\r\n",
    "Transfer-Encoding: chunked, chunked\r\n", "Content-Encoding: gzip\r\n",
    "Content-Encoding : gzip\r\n", "CONTENT-ENCODING: br, gzip\r\n",
    "RateLimit: limit=1, remaining=0, reset=9\r\n",
    "RateLimit-Remaining: 0\r\n", "X-RateLimit-Remaining: 0\r\n",
    "X-Rate-Limit-Remaining: 0\r\n", " Content-Length: 9\r\n",
  };
  const size_t n = sizeof lines / sizeof *lines;
  struct gn_quota_rules rules = {0};
  size_t i, k;
  (void)state;
  for (i = 0; i < n; i++)
    for (k = 0; k < n; k++) {
      struct gn_buf b;
      unsigned marks;
      gn_buf_init(&b, 1000);
      gn_buf_append_text(&b, lines[i]);
      gn_buf_append_text(&b, lines[k]);
      gn_buf_append_text(&b, "\r\n");
      marks = marks_of(b.data);
      if (!(marks & GN_HEAD_FRAMING))
        assert_null(gn_framing_contradiction(&b));
      if (!(marks & GN_HEAD_CODING))
        assert_int_equal(gn_body_coding(&b), GN_CODING_IDENTITY);
      if (!(marks & GN_HEAD_QUOTA))
        assert_true(gn_quota_wait(&rules, &b, 0) == 0);
      gn_buf_free(&b);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_lines),
    cmocka_unit_test(test_never_less_than_the_readers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Owns: the checks of the result codes that framing makes of libcurl's. The
 * wire behind them is in the specs of the server of faults.
 * Must not: need a server.
 */
#include "framing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct row {
  const char *block; /* header lines */
  CURLcode want;     /* what they mean after a success */
};

static CURLcode judge(CURLcode rc, const char *block, bool answering,
                      bool ended, const char *words) {
  char text[CURL_ERROR_SIZE];
  struct gn_buf headers;
  struct gn_framing f = {rc, &headers, answering, ended, false, text};
  CURLcode result;
  snprintf(text, sizeof text, "%s", words);
  gn_buf_init(&headers, 4096);
  if (*block)
    assert_int_equal(gn_buf_append_text(&headers, block), GN_BUF_OK);
  result = gn_framing_result(&f);
  assert_true(result == rc || *text);
  gn_buf_free(&headers);
  return result;
}

static void test_lengths(void **state) {
  static const struct row rows[] = {
    {"", CURLE_OK},
    {"Content-Length: 0\r\n\r\n", CURLE_OK},
    {"content-length: 12\r\n\r\n", CURLE_OK},
    {"Content-Length: 2\r\nContent-Length: 2\r\n\r\n", CURLE_OK},
    {"Content-Length: 2, 2 ,2\r\nX: 1\r\n\r\n", CURLE_OK},
    {"Content-Length: 922337203685477580\r\n\r\n", CURLE_OK},
    {"Content-Lengths: x\r\n\r\n", CURLE_OK},
    {"Transfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n", CURLE_OK},
    {"Transfer-Encoding: Chunked\r\n\r\n", CURLE_OK},
    {"Transfer-Encoding: gzip\r\n\r\n", CURLE_WEIRD_SERVER_REPLY},
    {"Transfer-Encoding: gzip, chunked\r\n\r\n", CURLE_WEIRD_SERVER_REPLY},
    {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     CURLE_WEIRD_SERVER_REPLY},
    {"Content-Length: 2\r\nContent-Length: 3\r\n\r\n",
     CURLE_WEIRD_SERVER_REPLY},
    {"Content-Length: 2, 3\r\n\r\n", CURLE_WEIRD_SERVER_REPLY},
    {"Content-Length: \r\n\r\n", CURLE_WEIRD_SERVER_REPLY},
    {"Content-Length: ,\r\n\r\n", CURLE_WEIRD_SERVER_REPLY},
    {"Content-Length: +2\r\n\r\n", CURLE_WEIRD_SERVER_REPLY},
    {"Content-Length: -2\r\n\r\n", CURLE_WEIRD_SERVER_REPLY},
    {"Content-Length: 2 2\r\n\r\n", CURLE_WEIRD_SERVER_REPLY},
    {"Content-Length: 0x10\r\n\r\n", CURLE_WEIRD_SERVER_REPLY},
    {"Content-Length: 9223372036854775808\r\n\r\n", CURLE_WEIRD_SERVER_REPLY},
    {"Content-Length: 99999999999999999999999\r\n\r\n",
     CURLE_WEIRD_SERVER_REPLY},
  };
  size_t i;
  (void)state;
  for (i = 0; i < sizeof rows / sizeof *rows; i++)
    assert_int_equal(judge(CURLE_OK, rows[i].block, true, true, ""),
                     rows[i].want);
}

static void test_head_cut(void **state) {
  (void)state;
  assert_int_equal(judge(CURLE_OK, "Content-Length: 2\r\n", true, false, ""),
                   CURLE_PARTIAL_FILE);
  assert_int_equal(judge(CURLE_GOT_NOTHING, "", false, false, "Empty reply"),
                   CURLE_GOT_NOTHING);
}

static void test_long_line(void **state) {
  (void)state;
  assert_int_equal(judge(CURLE_OUT_OF_MEMORY, "", true, false, ""),
                   GN_CURLE_TOO_LARGE);
  assert_int_equal(judge(GN_CURLE_TOO_LARGE, "A: b\r\n", true, false, "x"),
                   GN_CURLE_TOO_LARGE);
  assert_int_equal(judge(CURLE_RECV_ERROR, "A: b\r\n", true, false,
                         "Too large response headers: 307547 > 307200"),
                   GN_CURLE_TOO_LARGE);
  /* before the answer, and in its body, it is what it says */
  assert_int_equal(judge(CURLE_OUT_OF_MEMORY, "", false, false, ""),
                   CURLE_OUT_OF_MEMORY);
  assert_int_equal(judge(CURLE_OUT_OF_MEMORY, "A: b\r\n\r\n", true, true, ""),
                   CURLE_OUT_OF_MEMORY);
}

static void test_words(void **state) {
  (void)state;
  assert_int_equal(judge(CURLE_RECV_ERROR, "", true, true,
                         "Malformed encoding found in chunked-encoding"),
                   CURLE_PARTIAL_FILE);
  assert_int_equal(judge(CURLE_RECV_ERROR, "", true, true,
                         "Recv failure: Connection reset by peer"),
                   CURLE_RECV_ERROR);
  assert_int_equal(judge(CURLE_SSL_CONNECT_ERROR, "", false, false,
                         "OpenSSL SSL_connect: SSL_ERROR_SYSCALL in c"),
                   CURLE_COULDNT_CONNECT);
  assert_int_equal(judge(CURLE_SSL_CONNECT_ERROR, "", false, false,
                         "Send failure: Connection reset by peer"),
                   CURLE_COULDNT_CONNECT);
  assert_int_equal(judge(CURLE_SSL_CONNECT_ERROR, "", false, false,
                         "SSL routines::unexpected eof while reading"),
                   CURLE_COULDNT_CONNECT);
  assert_int_equal(judge(CURLE_SSL_CONNECT_ERROR, "", false, false,
                         "tlsv1 alert protocol version"),
                   CURLE_SSL_CONNECT_ERROR);
  assert_int_equal(judge(CURLE_PEER_FAILED_VERIFICATION, "", false, false,
                         "certificate has expired"),
                   CURLE_PEER_FAILED_VERIFICATION);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_lengths), cmocka_unit_test(test_head_cut),
    cmocka_unit_test(test_long_line), cmocka_unit_test(test_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

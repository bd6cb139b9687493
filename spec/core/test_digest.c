/* Owns: the checks of src/core/digest.c and verify.c: known values, bytes in
 * pieces, what servers' headers say, and what marks keep.
 * Must not: need a network.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "mark.h"
#include "verify.h"

static const char *const hex_of_digits[GN_CHECK_COUNT] = {
  "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
  "25f9e794323b453885f5181f1b624d0b",
  "995dc9bbdf1939fa",
  "e3069283",
};

static void digest(enum gn_check check, const char *data, size_t len,
                   size_t step, char *hex) {
  struct gn_error err = {0};
  struct gn_sum sum;
  struct gn_digest *d = gn_digest_new(check, &err);
  size_t at;
  assert_non_null(d);
  for (at = 0; at < len; at += step)
    assert_int_equal(gn_digest_update(d, data + at,
                                      len - at < step ? len - at : step, &err),
                     0);
  assert_int_equal(gn_digest_final(d, &sum, &err), 0);
  gn_sum_hex(&sum, hex, 2 * GN_CHECK_SIZE + 1);
  gn_digest_free(d);
}

static void test_known_values(void **state) {
  char hex[2 * GN_CHECK_SIZE + 1], pieces[2 * GN_CHECK_SIZE + 1];
  static char data[1000];
  int check;
  size_t i, step;
  (void)state;
  for (i = 0; i < sizeof data; i++)
    data[i] = (char)(i * i);
  for (check = 0; check < GN_CHECK_COUNT; check++) {
    digest((enum gn_check)check, "123456789", 9, 9, hex);
    assert_string_equal(hex, hex_of_digits[check]);
    digest((enum gn_check)check, data, sizeof data, sizeof data, hex);
    for (step = 1; step < 20; step++) {
      digest((enum gn_check)check, data, sizeof data, step, pieces);
      assert_string_equal(pieces, hex);
    }
  }
}

#define SHA256_B64 "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="
#define MD5_B64 "JfnnlDI7RTiF9RgfG2JNCw=="

static void test_headers(void **state) {
  static const struct {
    const char *headers;
    enum gn_check check; /* COUNT: none is given */
    bool part;
  } rows[] = {
    {"Content-MD5: " MD5_B64 "\r\n", GN_CHECK_MD5, false},
    {"Content-MD5: " MD5_B64 "\r\n", GN_CHECK_COUNT, true},
    {"Content-MD5: " MD5_B64 "x\r\n", GN_CHECK_COUNT, false},
    {"Content-MD5: JfnnlDI7RTiF9RgfG2JNCw\r\n", GN_CHECK_COUNT, false},
    {"Content-MD5: JfnnlDI7RTiF9RgfG2JN!w==\r\n", GN_CHECK_COUNT, false},
    {"Content-MD5:\r\n", GN_CHECK_COUNT, false},
    {"Digest: MD5=" MD5_B64 ",SHA-256=" SHA256_B64 "\r\n", GN_CHECK_SHA256,
     true},
    {"Digest: adler32=03da0195,md5=" MD5_B64 "\r\n", GN_CHECK_MD5, false},
    {"Repr-Digest: sha-256=:" SHA256_B64 ":\r\n", GN_CHECK_SHA256, true},
    {"Repr-Digest: sha-512=:AAAA:, sha-256=:" SHA256_B64 ": \r\n",
     GN_CHECK_SHA256, false},
    {"Content-Digest: sha-256=:" SHA256_B64 ":\r\n", GN_CHECK_SHA256, false},
    {"Content-Digest: sha-256=:" SHA256_B64 ":\r\n", GN_CHECK_COUNT, true},
    {"Repr-Digest: sha-256=:\r\n", GN_CHECK_COUNT, false},
    {"Repr-Digest: sha-256\r\nDigest: ,,=,\r\n", GN_CHECK_COUNT, false},
    {"x-goog-hash: crc32c=4waSgw==\r\nx-goog-hash: md5=" MD5_B64 "\r\n",
     GN_CHECK_MD5, true},
    {"x-goog-hash: crc32c=4waSgw==,md5=\r\n", GN_CHECK_CRC32C, false},
    {"x-goog-stored-content-encoding: gzip\r\nx-goog-hash: md5=" MD5_B64
     "\r\n", GN_CHECK_COUNT, false},
    {"x-goog-stored-content-encoding: identity\r\nx-goog-hash: md5=" MD5_B64
     "\r\n", GN_CHECK_MD5, false},
    {"x-oss-hash-crc64ecma: 11051210869376104954\r\n", GN_CHECK_CRC64, true},
    {"x-oss-hash-crc64ecma: 18446744073709551616\r\n", GN_CHECK_COUNT, false},
    {"x-oss-hash-crc64ecma: -1\r\nx-oss-hash-crc64ecma:\r\n", GN_CHECK_COUNT,
     false},
  };
  char hex[2 * GN_CHECK_SIZE + 1];
  size_t i;
  (void)state;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *text = rows[i].headers;
    struct gn_buf block = {(char *)(uintptr_t)text, strlen(text), 0, 0};
    struct gn_sum sum;
    gn_sum_read(&sum, &block, rows[i].part);
    gn_sum_hex(&sum, hex, sizeof hex);
    if (sum.check != rows[i].check)
      fail_msg("row %zu gave %d (%s)", i, (int)sum.check, hex);
    assert_string_equal(hex, sum.check == GN_CHECK_COUNT
                                 ? "" : hex_of_digits[sum.check]);
  }
}

static void test_verify(void **state) {
  struct gn_error err = {0};
  struct gn_verify v;
  (void)state;
  assert_false(gn_verify_init(&v, true, "abc"));
  assert_true(gn_verify_init(&v, false, hex_of_digits[GN_CHECK_SHA256]));
  assert_true(gn_sum_parse(&v.server, GN_CHECK_CRC64, "995DC9BBDF1939FA"));
  assert_int_equal(gn_verify_start(&v, &err), 0);
  assert_int_equal(gn_verify_update(&v, "123456789", 9, &err), 0);
  assert_int_equal(gn_verify_finish(&v, &err), 0);
  assert_int_equal(gn_verify_start(&v, &err), 0);
  assert_int_equal(gn_verify_update(&v, "12345678", 8, &err), 0);
  assert_int_equal(gn_verify_finish(&v, &err), -1);
  assert_string_equal(err.code, "checksum");
  assert_false(v.same_wrong);
  assert_int_equal(gn_verify_start(&v, &err), 0);
  assert_int_equal(gn_verify_update(&v, "12345678", 8, &err), 0);
  assert_int_equal(gn_verify_finish(&v, &err), -1);
  assert_true(v.same_wrong);
  gn_verify_free(&v);
}

static void same_source(const char *a, const char *b, bool same) {
  struct gn_error err = {0};
  struct gn_mark x, y;
  assert_int_equal(gn_mark_init(&x, a, &err), 0);
  assert_int_equal(gn_mark_init(&y, b, &err), 0);
  if (gn_sum_equal(&x.source, &y.source) != same)
    fail_msg("%s and %s", a, b);
}

static void test_sources(void **state) {
  (void)state;
  same_source("https://h/f?X-Amz-Signature=1&id=2&X-Amz-Date=3",
              "https://h/f?x-amz-date=9&id=2", true);
  same_source("https://h/f?id=2&X-Amz-Signature=1",
              "https://h/f?id=2&X-Amz-Signature=2&X-Amz-Date=3#f", true);
  same_source("https://h/f?Expires=1&OSSAccessKeyId=a&Signature=b",
              "https://h/f?Expires=2&OSSAccessKeyId=c&Signature=d", true);
  same_source("https://h/f?se=1&sig=2", "https://h/f?se=2&sig=3", true);
  same_source("https://h/f?se=1", "https://h/f?se=2", false);
  same_source("https://h/f?id=1", "https://h/f?id=2", false);
  same_source("https://h/f", "https://h/g", false);
  same_source("https://h/f", "http://h/f", false);
}

static void test_allocations(void **state) {
#ifdef GN_FAULTS
  int check;
  (void)state;
  for (check = 0; check < GN_CHECK_COUNT; check++) {
    struct gn_error err = {0};
    struct gn_digest *d = NULL;
    long n;
    for (n = 0; !d; n++) {
      gn_alloc_fail_after(n, 1);
      d = gn_digest_new((enum gn_check)check, &err);
      gn_alloc_fail_after(-1, 0);
      if (!d)
        assert_int_equal(err.kind, GN_MEMORY);
    }
    assert_in_range(n, 2, 4);
    gn_digest_free(d);
  }
#else
  (void)state;
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_known_values), cmocka_unit_test(test_headers),
    cmocka_unit_test(test_verify), cmocka_unit_test(test_sources),
    cmocka_unit_test(test_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

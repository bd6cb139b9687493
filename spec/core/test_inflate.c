/* Owns: the checks of src/core/inflate.c and body.c: whole, cut and damaged
 * gzip data in pieces of every size, what a header block says of it, limits,
 * and allocations that fail.
 * Must not: need a network.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "alloc.h"
#include "body.h"

#define ROOM 4096

static char plain[ROOM], packed[ROOM];
static size_t plain_len, packed_len;

/* bits: 31 gzip, 15 zlib. Appends to packed. */
static void pack(const char *text, size_t len, int bits) {
  z_stream z = {0};
  assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, 0), Z_OK);
  z.next_in = (unsigned char *)(uintptr_t)text;
  z.avail_in = (unsigned)len;
  z.next_out = (unsigned char *)packed + packed_len;
  z.avail_out = (unsigned)(ROOM - packed_len);
  assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
  packed_len = ROOM - z.avail_out;
  deflateEnd(&z);
}

static int setup(void **state) {
  int i;
  (void)state;
  packed_len = plain_len = 0;
  for (i = 0; i < 300; i++)
    plain_len += (size_t)snprintf(plain + plain_len, ROOM - plain_len,
                                  "%d,", i * i);
  pack(plain, plain_len, 31);
  return 0;
}

/* Unpacks len bytes of packed, `step` at a time into `cap` bytes of room. */
static int unpack(enum gn_coding coding, size_t len, size_t step, size_t cap,
                  char *out, size_t *out_len, struct gn_error *err) {
  struct gn_inflate *z = gn_inflate_new(coding, err);
  size_t at = 0;
  int rc = z ? 0 : -1;
  *out_len = 0;
  while (rc == 0 && at < len) {
    const char *data = packed + at;
    size_t some = len - at < step ? len - at : step, n = 1;
    at += some;
    while (rc == 0 && n > 0) {
      rc = gn_inflate_next(z, &data, &some, out + *out_len, cap, &n, err);
      *out_len += rc == 0 ? n : 0;
    }
    if (rc == 0)
      assert_int_equal(some, 0);
  }
  if (rc == 0)
    rc = gn_inflate_finish(z, err);
  gn_inflate_free(z);
  return rc;
}

static void fails(size_t len, const char *code) {
  char out[3 * ROOM];
  size_t n;
  struct gn_error err = {0};
  if (unpack(GN_CODING_GZIP, len, 7, 64, out, &n, &err) == 0)
    fail_msg("%zu bytes of %zu were taken for whole", len, packed_len);
  assert_int_equal(err.kind, GN_PROTOCOL);
  assert_string_equal(err.code, code);
}

static void test_whole(void **state) {
  static const size_t steps[] = {1, 2, 3, 17, 100, ROOM};
  char out[2 * ROOM];
  size_t i, n;
  struct gn_error err = {0};
  (void)state;
  for (i = 0; i < sizeof steps / sizeof *steps; i++) {
    assert_int_equal(unpack(GN_CODING_GZIP, packed_len, steps[i],
                            steps[i] % 2 ? 1 : ROOM, out, &n, &err), 0);
    assert_int_equal(n, plain_len);
    assert_memory_equal(out, plain, n);
  }
}

static void test_members_and_padding(void **state) {
  char out[3 * ROOM];
  size_t step, n;
  struct gn_error err = {0};
  (void)state;
  pack("", 0, 31);
  pack("second", 6, 31);
  memset(packed + packed_len, 0, 20);
  packed_len += 20;
  for (step = 1; step < packed_len; step += 13) {
    assert_int_equal(unpack(GN_CODING_GZIP, packed_len, step, 50, out, &n,
                            &err), 0);
    assert_int_equal(n, plain_len + 6);
    assert_memory_equal(out + plain_len, "second", 6);
  }
}

static void test_cut_anywhere(void **state) {
  size_t first = packed_len, len;
  (void)state;
  for (len = 0; len < packed_len; len++)
    fails(len, "incomplete");
  pack("second", 6, 31);
  for (len = first + 1; len < packed_len; len++)
    fails(len, "incomplete");
}

static void test_damaged(void **state) {
  size_t whole = packed_len, i;
  (void)state;
  for (i = whole - 8; i < whole; i++) { /* CRC, then length */
    packed[i] ^= 1;
    fails(whole, "encoding");
    packed[i] ^= 1;
  }
  packed[0] = 'x';
  fails(whole, "encoding");
  packed[0] = 0x1f;
  packed[packed_len++] = 'x';
  fails(packed_len, "encoding");
  packed[packed_len - 1] = '\0';
  packed[packed_len++] = 'x';
  fails(packed_len, "encoding");
}

static void test_zlib(void **state) {
  char out[ROOM];
  size_t n, whole;
  struct gn_error err = {0};
  (void)state;
  packed_len = 0;
  pack("hello", 5, 15);
  whole = packed_len;
  assert_int_equal(unpack(GN_CODING_DEFLATE, whole, 1, 9, out, &n, &err), 0);
  assert_int_equal(n, 5);
  packed[packed_len++] = '\0';
  assert_int_equal(unpack(GN_CODING_DEFLATE, whole + 1, 9, 9, out, &n, &err),
                   -1);
  assert_string_equal(err.code, "encoding");
  assert_int_equal(unpack(GN_CODING_DEFLATE, whole - 1, 9, 9, out, &n, &err),
                   -1);
  assert_string_equal(err.code, "incomplete");
}

static void test_coding(void **state) {
  static const struct {
    const char *headers;
    enum gn_coding coding;
  } rows[] = {
    {"HTTP/1.1 200 OK\r\n\r\n", GN_CODING_IDENTITY},
    {"Content-Encoding:\r\n", GN_CODING_IDENTITY},
    {"Content-Encoding: gzip\r6\r\n", GN_CODING_OTHER},
    {"content-encoding: identity\r\n", GN_CODING_IDENTITY},
    {"Content-Encoding: GZip \r\n", GN_CODING_GZIP},
    {"Content-Encoding: x-gzip\r\n", GN_CODING_GZIP},
    {"Content-Encoding: identity, gzip\r\n", GN_CODING_GZIP},
    {"Content-Encoding: deflate\r\n", GN_CODING_DEFLATE},
    {"Content-Encoding: gzip, gzip\r\n", GN_CODING_OTHER},
    {"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n", GN_CODING_OTHER},
    {"Content-Encoding: deflate,gzip\r\n", GN_CODING_OTHER},
    {"Content-Encoding: br\r\n", GN_CODING_OTHER},
    {"Content-Encoding: gzipped\r\n", GN_CODING_OTHER},
  };
  size_t i;
  (void)state;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *text = rows[i].headers;
    struct gn_buf headers = {(char *)(uintptr_t)text, strlen(text), 0, 0};
    if (gn_body_coding(&headers) != rows[i].coding)
      fail_msg("row %zu: %d", i, (int)gn_body_coding(&headers));
  }
}

/* A whole body into memory of at most max bytes. */
static int receive(size_t len, size_t max, const char *headers, bool lenient,
                   struct gn_sink **sink, struct gn_error *err) {
  struct gn_body body = {0};
  struct gn_buf block = {(char *)(uintptr_t)headers, strlen(headers), 0, 0};
  int rc = -1;
  *sink = gn_sink_new_memory(max, err);
  if (*sink && gn_sink_begin(*sink, err) == 0 &&
      gn_body_begin(&body, *sink, &block, false, lenient, err) == 0 &&
      gn_body_write(&body, packed, len / 2, err) == 0 &&
      gn_body_write(&body, packed + len / 2, len - len / 2, err) == 0)
    rc = gn_body_end(&body, err);
  gn_body_free(&body);
  return rc;
}

static void test_body(void **state) {
  static const struct {
    const char *headers, *code;
    size_t cut, max;
    bool lenient;
  } rows[] = {
    {"Content-Encoding: gzip\r\n", NULL, 0, ROOM, false},
    {"Content-Encoding: gzip\r\n", "incomplete", 1, ROOM, false},
    {"Content-Encoding: gzip\r\n", NULL, 1, ROOM, true},
    {"Content-Encoding: gzip\r\n", "body", 0, 1000, false},
    {"Content-Encoding: gzip\r\n", "body", 0, 1000, true},
    {"Content-Encoding: br\r\n", "encoding", 0, ROOM, false},
    {"Content-Encoding: br\r\n", NULL, 0, ROOM, true},
    {"Content-Encoding: deflate\r\n", "encoding", 0, ROOM, false},
    {"\r\n", NULL, 0, ROOM, false},
  };
  size_t i;
  (void)state;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct gn_error err = {0};
    struct gn_sink *sink;
    int rc = receive(packed_len - rows[i].cut, rows[i].max, rows[i].headers,
                     rows[i].lenient, &sink, &err);
    if ((rc != 0) != (rows[i].code != NULL))
      fail_msg("row %zu: %s", i, err.message);
    if (rows[i].code)
      assert_string_equal(err.code, rows[i].code);
    if (i == 0) {
      assert_int_equal(gn_sink_size(sink), plain_len);
      assert_memory_equal(gn_sink_data(sink), plain, plain_len);
    }
    gn_sink_free(sink);
  }
}

static void test_allocations(void **state) {
#ifdef GN_FAULTS
  long i;
  int rc = -1;
  (void)state;
  for (i = 0; rc != 0; i++) {
    struct gn_error err = {0};
    struct gn_sink *sink;
    gn_alloc_fail_after(i, 1);
    rc = receive(packed_len, ROOM, "Content-Encoding: gzip\r\n", false, &sink,
                 &err);
    gn_alloc_fail_after(-1, 0);
    if (rc != 0)
      assert_int_equal(err.kind, GN_MEMORY);
    gn_sink_free(sink);
  }
  assert_in_range(i, 4, 40);
#else
  (void)state;
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(test_whole, setup),
    cmocka_unit_test_setup(test_members_and_padding, setup),
    cmocka_unit_test_setup(test_cut_anywhere, setup),
    cmocka_unit_test_setup(test_damaged, setup),
    cmocka_unit_test_setup(test_zlib, setup),
    cmocka_unit_test_setup(test_coding, setup),
    cmocka_unit_test_setup(test_body, setup),
    cmocka_unit_test_setup(test_allocations, setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

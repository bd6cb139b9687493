/* Owns: the checks of src/core/auth.c: header lines, what is refused, secrets
 * kept out of messages, a token replaced while another thread reads.
 * Must not: use the network.
 */
#include "auth.h"

#include "alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SECRET "s3cret-t0ken"

static void begin(struct gn_auth *a, enum gn_auth_scheme scheme,
                  const char *header) {
  struct gn_error err = {0};
  gn_auth_init(a);
  if (gn_auth_set_scheme(a, scheme, header, &err) != 0)
    fail_msg("%s", err.message);
}

static void assert_line(struct gn_auth *a, const char *want) {
  struct gn_error err = {0};
  char *line = gn_auth_line(a, &err);
  assert_int_equal(err.kind, GN_OK);
  if (!want) {
    assert_null(line);
    return;
  }
  assert_non_null(line);
  assert_string_equal(line, want);
  gn_free(line);
}

static void test_bearer(void **state) {
  struct gn_auth a;
  struct gn_error err = {0};
  (void)state;
  begin(&a, GN_AUTH_BEARER, NULL);
  assert_line(&a, NULL);
  assert_int_equal(gn_auth_set_token(&a, SECRET "!", sizeof SECRET - 1, &err),
                   0);
  assert_line(&a, "Authorization: Bearer " SECRET);
  assert_int_equal(gn_auth_set_token(&a, "two", 3, &err), 0);
  assert_line(&a, "Authorization: Bearer two");
  gn_auth_destroy(&a);
}

static void test_own_header(void **state) {
  struct gn_auth a;
  struct gn_error err = {0};
  (void)state;
  begin(&a, GN_AUTH_HEADER, "access-token");
  assert_int_equal(gn_auth_set_token(&a, "x y", 3, &err), 0);
  assert_line(&a, "access-token: x y");
  gn_auth_destroy(&a);
}

static void test_none(void **state) {
  struct gn_auth a;
  struct gn_error err = {0};
  (void)state;
  begin(&a, GN_AUTH_NONE, NULL);
  assert_line(&a, NULL);
  assert_int_equal(gn_auth_set_token(&a, SECRET, 3, &err), -1);
  assert_int_equal(err.kind, GN_INVALID);
  assert_line(&a, NULL);
  gn_auth_destroy(&a);
}

/* RFC 4648, 10, with a user before each. */
static void test_basic(void **state) {
  static const struct {
    const char *user, *password, *want;
  } rows[] = {
    {"", "", "Og=="},
    {"f", "", "Zjo="},
    {"f", "o", "Zjpv"},
    {"f", "oo", "Zjpvbw=="},
    {"Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
    {"test", "123\xc2\xa3", "dGVzdDoxMjPCow=="},
    {"u", "a:b", "dTphOmI="},
    {"\xff\xfe", "\xfb\xef\xbe", "//46++++"},
  };
  struct gn_error err = {0};
  struct gn_auth a;
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(rows); i++) {
    char want[100];
    begin(&a, GN_AUTH_BASIC, NULL);
    assert_int_equal(
        gn_auth_set_basic(&a, rows[i].user, rows[i].password, &err), 0);
    snprintf(want, sizeof want, "Authorization: Basic %s", rows[i].want);
    assert_line(&a, want);
    gn_auth_destroy(&a);
  }
  begin(&a, GN_AUTH_BASIC, NULL);
  assert_int_equal(gn_auth_set_basic(&a, "us:er", SECRET, &err), -1);
  assert_int_equal(err.kind, GN_INVALID);
  assert_null(strstr(err.message, SECRET));
  gn_auth_destroy(&a);
}

static void test_refused_tokens(void **state) {
  static const struct {
    const char *token;
    size_t len;
  } rows[] = {
    {"", 0},
    {SECRET "\r\nX: y", sizeof SECRET + 5},
    {SECRET "\n", sizeof SECRET},
    {SECRET "\r", sizeof SECRET},
    {SECRET "\0", sizeof SECRET},
    {"\x7f" SECRET, sizeof SECRET},
    {"\x1b" SECRET, sizeof SECRET},
  };
  struct gn_error err = {0};
  struct gn_auth a;
  size_t i;
  (void)state;
  begin(&a, GN_AUTH_BEARER, NULL);
  assert_int_equal(gn_auth_set_token(&a, "good", 4, &err), 0);
  for (i = 0; i < COUNT(rows); i++) {
    gn_error_clear(&err);
    if (gn_auth_set_token(&a, rows[i].token, rows[i].len, &err) == 0)
      fail_msg("token %zu was taken", i);
    assert_int_equal(err.kind, GN_INVALID);
    assert_string_equal(err.code, "token");
    assert_null(strstr(err.message, SECRET));
    assert_line(&a, "Authorization: Bearer good"); /* the old one stays */
  }
  gn_auth_destroy(&a);
}

static void test_refused_header_names(void **state) {
  static const char *const names[] = {"", "a b", "a:", "a\r\nb", "a\tb", "(x)",
                                      "caf\xc3\xa9", NULL};
  struct gn_error err = {0};
  struct gn_auth a;
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(names); i++) {
    gn_auth_init(&a);
    assert_int_equal(gn_auth_set_scheme(&a, GN_AUTH_HEADER, names[i], &err),
                     -1);
    assert_int_equal(err.kind, GN_INVALID);
    gn_auth_destroy(&a);
  }
}

static void test_header_parts(void **state) {
  int c;
  (void)state;
  for (c = 0; c < 256; c++) {
    char text[3] = {'a', (char)c, 'b'};
    bool control = (c < 0x20 && c != '\t') || c == 0x7f;
    bool token = c > 0x20 && c < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", c);
    assert_int_equal(gn_header_value_ok(text, 3), !control);
    assert_int_equal(gn_header_name_ok(text, 3), token);
  }
  assert_true(gn_header_value_ok("", 0));
  assert_false(gn_header_name_ok("", 0));
}

static void test_wipe(void **state) {
  char text[] = SECRET;
  (void)state;
  gn_wipe(text, sizeof text - 1);
  assert_memory_equal(text, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
  gn_wipe(NULL, 5);
}

static atomic_int reading;

static void *reader(void *arg) {
  struct gn_auth *a = arg;
  long bad = 0;
  while (atomic_load(&reading)) {
    struct gn_error err;
    char *line = gn_auth_line(a, &err);
    size_t len = line ? strlen(line) : 0, i;
    bad += len < 32;
    for (i = 24; i < len; i++)
      bad += line[i] != line[23];
    gn_free(line);
  }
  return (void *)bad;
}

/* A reader sees one token or the other, never a mixture. */
static void test_replaced_while_read(void **state) {
  struct gn_error err = {0};
  struct gn_auth a;
  pthread_t thread;
  void *bad;
  int i;
  (void)state;
  begin(&a, GN_AUTH_BEARER, NULL);
  assert_int_equal(gn_auth_set_token(&a, "aaaaaaaaaa", 10, &err), 0);
  atomic_store(&reading, 1);
  assert_int_equal(pthread_create(&thread, NULL, reader, &a), 0);
  for (i = 0; i < 20000; i++) {
    char token[200];
    size_t len = 10 + (size_t)(i % 190);
    memset(token, 'a' + i % 26, len);
    assert_int_equal(gn_auth_set_token(&a, token, len, &err), 0);
  }
  atomic_store(&reading, 0);
  assert_int_equal(pthread_join(thread, &bad), 0);
  assert_null(bad);
  gn_auth_destroy(&a);
}

#ifdef GN_FAULTS
static int flow(struct gn_error *err) {
  struct gn_auth a;
  char *line = NULL;
  int status = -1;
  gn_auth_init(&a);
  if (gn_auth_set_scheme(&a, GN_AUTH_BEARER, NULL, err) == 0 &&
      gn_auth_set_token(&a, SECRET, 12, err) == 0 &&
      gn_auth_set_basic(&a, "user", SECRET, err) == 0 &&
      (line = gn_auth_line(&a, err)) != NULL)
    status = 0;
  gn_free(line);
  gn_auth_destroy(&a);
  return status;
}

static void test_allocations(void **state) {
  struct gn_error err = {0};
  long n, total;
  (void)state;
  gn_alloc_fail_after(-1, 0);
  assert_int_equal(flow(&err), 0);
  total = gn_alloc_count();
  assert_in_range(total, 5, 50);
  for (n = 0; n < total; n++) {
    gn_error_clear(&err);
    gn_alloc_fail_after(n, 0);
    assert_int_equal(flow(&err), -1);
    assert_int_equal(err.kind, GN_MEMORY);
  }
  gn_alloc_fail_after(-1, 0);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_bearer),
    cmocka_unit_test(test_own_header),
    cmocka_unit_test(test_none),
    cmocka_unit_test(test_basic),
    cmocka_unit_test(test_refused_tokens),
    cmocka_unit_test(test_refused_header_names),
    cmocka_unit_test(test_header_parts),
    cmocka_unit_test(test_wipe),
    cmocka_unit_test(test_replaced_while_read),
#ifdef GN_FAULTS
    cmocka_unit_test(test_allocations),
#endif
  };
#ifndef GN_FAULTS
  print_message("built without GN_FAULTS: no allocation is made to fail\n");
#endif
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Owns: the checks of assertions against OpenSSL's own verification, and of
 * keys that are none. Must not: need an engine.
 */
#define _GNU_SOURCE
#include "jwt.h"

#include "alloc.h"
#include "keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>

static EVP_PKEY *key;
static char *pem;

static int setup(void **state) {
  (void)state;
  key = keys_make(EVP_PKEY_RSA, 2048);
  pem = keys_pem(key, NULL);
  return key && pem ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  EVP_PKEY_free(key);
  free(pem);
  return 0;
}

static const struct gn_jwt_claims full = {
  "robot@example.iam", "admin@example.com", "https://a.example/token",
  "https://s.example/x https://s.example/y", 1700000000, 1700003600,
};

static void test_signed(void **state) {
  struct gn_error err = {0};
  struct gn_jwt_key *k = gn_jwt_key_new(pem, strlen(pem), &err);
  char *jwt, *header, *claims;
  (void)state;
  assert_non_null(k);
  jwt = gn_jwt_sign(k, "key-1", &full, &err);
  assert_non_null(jwt);
  assert_int_equal(strspn(jwt, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
                               "qrstuvwxyz0123456789-_."), strlen(jwt));
  assert_int_equal(keys_verify(key, jwt, &header, &claims), 1);
  assert_string_equal(header,
                      "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"key-1\"}");
  assert_string_equal(claims,
                      "{\"iat\":1700000000,\"exp\":1700003600,"
                      "\"iss\":\"robot@example.iam\","
                      "\"sub\":\"admin@example.com\","
                      "\"aud\":\"https://a.example/token\","
                      "\"scope\":\"https://s.example/x https://s.example/y\"}");
  free(header);
  free(claims);
  gn_free(jwt);
  gn_jwt_key_free(k);
}

static void test_what_is_left_out(void **state) {
  struct gn_jwt_claims few = {"i", NULL, "a", NULL, 1, 2};
  struct gn_error err = {0};
  struct gn_jwt_key *k = gn_jwt_key_new(pem, strlen(pem), &err);
  char *jwt = gn_jwt_sign(k, NULL, &few, &err), *header, *claims;
  (void)state;
  assert_int_equal(keys_verify(key, jwt, &header, &claims), 1);
  assert_string_equal(header, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}");
  assert_string_equal(claims,
                      "{\"iat\":1,\"exp\":2,\"iss\":\"i\",\"aud\":\"a\"}");
  free(header);
  free(claims);
  gn_free(jwt);
  gn_jwt_key_free(k);
}

static void refused_key(const char *text) {
  struct gn_error err = {0};
  assert_null(gn_jwt_key_new(text, strlen(text), &err));
  assert_int_equal(err.kind, GN_INVALID);
  assert_string_equal(err.code, "private_key");
  assert_int_equal(ERR_peek_error(), 0);
}

static void test_bad_keys(void **state) {
  EVP_PKEY *ed = keys_make(EVP_PKEY_ED25519, 0);
  char *other = keys_pem(ed, NULL), *locked = keys_pem(key, "secret");
  char *cut = strndup(pem, strlen(pem) / 2);
  (void)state;
  refused_key("");
  refused_key("no key");
  refused_key(cut);
  refused_key(locked);
  refused_key(other);
  EVP_PKEY_free(ed);
  free(other);
  free(locked);
  free(cut);
}

static void test_bad_texts(void **state) {
  struct gn_jwt_claims c = full;
  struct gn_error err = {0};
  struct gn_jwt_key *k = gn_jwt_key_new(pem, strlen(pem), &err);
  char *longer = calloc(1, 40000);
  (void)state;
  memset(longer, 'x', 39999);
  c.subject = "a\"b";
  assert_null(gn_jwt_sign(k, NULL, &c, &err));
  assert_int_equal(err.kind, GN_INVALID);
  c.subject = "a\nb";
  assert_null(gn_jwt_sign(k, NULL, &c, &err));
  assert_int_equal(err.kind, GN_INVALID);
  c.subject = longer;
  assert_null(gn_jwt_sign(k, NULL, &c, &err));
  assert_int_equal(err.kind, GN_INVALID);
  assert_null(gn_jwt_sign(k, longer, &full, &err));
  assert_int_equal(err.kind, GN_INVALID);
  assert_null(gn_jwt_sign(k, "a\\", &full, &err));
  assert_int_equal(err.kind, GN_INVALID);
  free(longer);
  gn_jwt_key_free(k);
}

#ifdef GN_FAULTS
static void test_allocations(void **state) {
  long n;
  bool reached = true;
  (void)state;
  for (n = 0; reached; n++) {
    struct gn_error err = {0};
    struct gn_jwt_key *k;
    char *jwt = NULL;
    gn_alloc_fail_after(n, 0);
    k = gn_jwt_key_new(pem, strlen(pem), &err);
    if (k)
      jwt = gn_jwt_sign(k, "k", &full, &err);
    reached = gn_alloc_count() > n;
    gn_alloc_fail_after(-1, 0);
    assert_int_equal(jwt == NULL, reached);
    if (reached)
      assert_int_equal(err.kind, GN_MEMORY);
    gn_free(jwt);
    gn_jwt_key_free(k);
  }
  assert_in_range(n, 3, 50);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_signed),
    cmocka_unit_test(test_what_is_left_out),
    cmocka_unit_test(test_bad_keys),
    cmocka_unit_test(test_bad_texts),
#ifdef GN_FAULTS
    cmocka_unit_test(test_allocations),
#endif
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}

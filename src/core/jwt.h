/* Owns: signed assertions (RFC 7515 and 7519, RS256 only) and the private key
 * that signs them.
 * Must not: read files or clocks, or show any part of a key or an assertion.
 */
#ifndef GN_JWT_H
#define GN_JWT_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

struct gn_jwt_key;

struct gn_jwt_claims {
  const char *issuer;   /* iss */
  const char *subject;  /* sub; NULL: none */
  const char *audience; /* aud */
  const char *scope;    /* scope; NULL: none */
  int64_t issued_at;    /* iat, seconds since 1970 */
  int64_t expires_at;   /* exp, seconds since 1970 */
};

/* An RSA key in PEM (PKCS#8 or PKCS#1), not encrypted. Others: GN_INVALID. */
struct gn_jwt_key *gn_jwt_key_new(const char *pem, size_t len,
                                  struct gn_error *err);
void gn_jwt_key_free(struct gn_jwt_key *key);
/* The assertion, gn_alloc'd, NULL and err otherwise; it is a secret: the caller
 * wipes it. key_id: the header's kid, or NULL. Texts that gn_jwt_text_ok does
 * not like are GN_INVALID. */
char *gn_jwt_sign(const struct gn_jwt_key *key, const char *key_id,
                  const struct gn_jwt_claims *claims, struct gn_error *err);
/* True if a text can stand between quotes in JSON as it is. */
int gn_jwt_text_ok(const char *text);

#endif

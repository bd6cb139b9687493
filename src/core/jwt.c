/* Owns: the one place that signs, on OpenSSL's EVP functions. Must not: leave
 * anything in OpenSSL's error queue, which the host may use too.
 */
#include "jwt.h"

#include "alloc.h"
#include "auth.h"
#include "buf.h"
#include "json.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#define LONGEST_CLAIMS 16384

struct gn_jwt_key {
  EVP_PKEY *key; /* an RSA key */
};

/* Without it OpenSSL would ask the terminal for a password. */
static int no_password(char *out, int size, int writing, void *arg) {
  (void)out;
  (void)size;
  (void)writing;
  (void)arg;
  return 0;
}

struct gn_jwt_key *gn_jwt_key_new(const char *pem, size_t len,
                                  struct gn_error *err) {
  struct gn_jwt_key *k = gn_alloc_zero(sizeof *k);
  BIO *bio = NULL;
  if (!k) {
    gn_error_memory(err);
    return NULL;
  }
  bio = len <= INT_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
  if (bio)
    k->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
  BIO_free(bio);
  ERR_clear_error();
  if (!k->key || EVP_PKEY_base_id(k->key) != EVP_PKEY_RSA) {
    gn_error_set(err, GN_INVALID, "private_key", "%s",
                 k->key ? "the private key is no RSA key"
                        : "the private key is not a PEM text of a key without "
                          "a password (-----BEGIN PRIVATE KEY-----)");
    gn_jwt_key_free(k);
    return NULL;
  }
  return k;
}

void gn_jwt_key_free(struct gn_jwt_key *k) {
  if (!k)
    return;
  EVP_PKEY_free(k->key);
  gn_free(k);
}

int gn_jwt_text_ok(const char *text) {
  size_t len = strlen(text);
  return gn_json_plain(text, len) == len;
}

/* Appends base64url without padding; at least what it needs is reserved. */
static enum gn_buf_status append_encoded(struct gn_buf *b, const void *data,
                                         size_t len) {
  size_t i, start = b->len, size = (len + 2) / 3 * 4;
  if (gn_buf_reserve(b, size + 1) != GN_BUF_OK)
    return GN_BUF_MEMORY;
  EVP_EncodeBlock((unsigned char *)b->data + start, data, (int)len);
  while (size > 0 && b->data[start + size - 1] == '=')
    size--;
  for (i = start; i < start + size; i++)
    b->data[i] = b->data[i] == '+' ? '-' : b->data[i] == '/' ? '_'
                                                             : b->data[i];
  b->len = start + size;
  b->data[b->len] = '\0';
  return GN_BUF_OK;
}

/* ,"name":"value"; nothing for NULL. */
static size_t put(char *out, size_t cap, const char *name, const char *value) {
  if (!value)
    return 0;
  return (size_t)snprintf(out, cap, ",\"%s\":\"%s\"", name, value);
}

static int claims_text(const struct gn_jwt_claims *c, char *out, size_t cap,
                       struct gn_error *err) {
  const char *texts[4];
  size_t i, used, need = 100;
  texts[0] = c->issuer, texts[1] = c->subject;
  texts[2] = c->audience, texts[3] = c->scope;
  for (i = 0; i < 4; i++) {
    if (texts[i] && !gn_jwt_text_ok(texts[i]))
      return gn_error_set(err, GN_INVALID, "assertion",
                          "a name in the assertion holds a quote, a backslash "
                          "or a control character");
    need += texts[i] ? strlen(texts[i]) + 20 : 0;
  }
  if (need > cap)
    return gn_error_set(err, GN_INVALID, "assertion",
                        "the assertion's claims are too long");
  used = (size_t)snprintf(out, cap, "{\"iat\":%lld,\"exp\":%lld",
                          (long long)c->issued_at, (long long)c->expires_at);
  used += put(out + used, cap - used, "iss", c->issuer);
  used += put(out + used, cap - used, "sub", c->subject);
  used += put(out + used, cap - used, "aud", c->audience);
  used += put(out + used, cap - used, "scope", c->scope);
  snprintf(out + used, cap - used, "}");
  return 0;
}

static int append_signature(const struct gn_jwt_key *k, struct gn_buf *b) {
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  size_t len = (size_t)EVP_PKEY_size(k->key);
  unsigned char *signature = gn_alloc(len);
  int ok = ctx && signature &&
           EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1 &&
           EVP_DigestSign(ctx, signature, &len, (unsigned char *)b->data,
                          b->len) == 1 &&
           gn_buf_append(b, ".", 1) == GN_BUF_OK &&
           append_encoded(b, signature, len) == GN_BUF_OK;
  EVP_MD_CTX_free(ctx);
  gn_free(signature);
  ERR_clear_error();
  return ok ? 0 : -1;
}

char *gn_jwt_sign(const struct gn_jwt_key *key, const char *key_id,
                  const struct gn_jwt_claims *claims, struct gn_error *err) {
  char header[512], text[LONGEST_CLAIMS];
  struct gn_buf b;
  size_t used;
  if (key_id && (strlen(key_id) > 256 || !gn_jwt_text_ok(key_id))) {
    gn_error_set(err, GN_INVALID, "private_key_id",
                 "the private key's id is not a plain text");
    return NULL;
  }
  if (claims_text(claims, text, sizeof text, err) != 0)
    return NULL;
  used = (size_t)snprintf(header, sizeof header,
                          "{\"alg\":\"RS256\",\"typ\":\"JWT\"");
  used += put(header + used, sizeof header - used, "kid", key_id);
  snprintf(header + used, sizeof header - used, "}");
  gn_buf_init(&b, 3 * LONGEST_CLAIMS);
  /* All at once, so that no half of it stays behind in freed memory. */
  if (gn_buf_reserve(&b, 2 * (strlen(text) + strlen(header)) +
                             2 * (size_t)EVP_PKEY_size(key->key) + 16) !=
          GN_BUF_OK ||
      append_encoded(&b, header, strlen(header)) != GN_BUF_OK ||
      gn_buf_append(&b, ".", 1) != GN_BUF_OK ||
      append_encoded(&b, text, strlen(text)) != GN_BUF_OK ||
      append_signature(key, &b) != 0) {
    gn_wipe(b.data, b.len);
    gn_buf_free(&b);
    gn_error_set(err, GN_MEMORY, "memory", "the assertion cannot be signed");
    return NULL;
  }
  return gn_buf_steal(&b);
}

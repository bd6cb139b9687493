/* Owns: an RSA key made for a test, its PEM text, and the check of what it
 * signed. Must not: be used for anything real.
 */
#ifndef SPEC_KEYS_H
#define SPEC_KEYS_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

static EVP_PKEY *keys_make(int type, int bits) {
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(type, NULL);
  EVP_PKEY *key = NULL;
  if (EVP_PKEY_keygen_init(ctx) == 1 &&
      (bits == 0 || EVP_PKEY_CTX_ctrl(ctx, EVP_PKEY_RSA, EVP_PKEY_OP_KEYGEN,
                                      EVP_PKEY_CTRL_RSA_KEYGEN_BITS, bits,
                                      NULL) == 1))
    EVP_PKEY_keygen(ctx, &key);
  EVP_PKEY_CTX_free(ctx);
  return key;
}

/* PKCS#8; the caller frees it. */
static char *keys_pem(EVP_PKEY *key, const char *password) {
  BIO *bio = BIO_new(BIO_s_mem());
  char *data, *text;
  long len;
  PEM_write_bio_PKCS8PrivateKey(bio, key,
                                password ? EVP_aes_128_cbc() : NULL, password,
                                password ? (int)strlen(password) : 0, NULL,
                                NULL);
  len = BIO_get_mem_data(bio, &data);
  text = calloc(1, (size_t)len + 1);
  memcpy(text, data, (size_t)len);
  BIO_free(bio);
  return text;
}

/* base64url without padding; NUL beyond the end; the caller frees it. */
static unsigned char *keys_decode(const char *text, size_t len, size_t *out) {
  size_t padded = (len + 3) / 4 * 4, i;
  char *plain = calloc(1, padded + 1);
  unsigned char *data = calloc(1, padded + 1);
  for (i = 0; i < padded; i++)
    plain[i] = i >= len ? '=' : text[i] == '-' ? '+' : text[i] == '_' ? '/'
                                                               : text[i];
  EVP_DecodeBlock(data, (unsigned char *)plain, (int)padded);
  *out = len * 3 / 4;
  data[*out] = '\0';
  free(plain);
  return data;
}

/* Splits an assertion; 1 if its signature is the key's. */
static int keys_verify(EVP_PKEY *key, const char *jwt, char **header,
                       char **claims) {
  const char *a = strchr(jwt, '.'), *b = a ? strchr(a + 1, '.') : NULL;
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  unsigned char *signature;
  size_t len;
  int ok;
  if (!b)
    return 0;
  *header = (char *)keys_decode(jwt, (size_t)(a - jwt), &len);
  *claims = (char *)keys_decode(a + 1, (size_t)(b - a - 1), &len);
  signature = keys_decode(b + 1, strlen(b + 1), &len);
  ok = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
       EVP_DigestVerify(ctx, signature, len, (const unsigned char *)jwt,
                        (size_t)(b - jwt)) == 1;
  EVP_MD_CTX_free(ctx);
  free(signature);
  return ok;
}

#endif

-- RS256 signatures, checked with the OpenSSL that nginx itself is linked to. Knows no API.
local ffi = require "ffi"

local M = {}

ffi.cdef [[
typedef struct bio_st BIO;
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_ctx_st EVP_MD_CTX;
BIO *BIO_new_mem_buf(const void *data, int len);
int BIO_free(BIO *bio);
EVP_PKEY *PEM_read_bio_PUBKEY(BIO *bio, EVP_PKEY **key, void *callback, void *arg);
EVP_MD_CTX *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX *ctx);
const void *EVP_sha256(void);
int EVP_DigestVerifyInit(EVP_MD_CTX *ctx, void **key_ctx, const void *type, void *engine,
  EVP_PKEY *key);
int EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *signature, size_t signature_len,
  const unsigned char *data, size_t len);
]]

---A public key from PEM text, to be kept for good.
function M.public_key(pem)
  local bio = ffi.C.BIO_new_mem_buf(pem, #pem)
  local key = ffi.C.PEM_read_bio_PUBKEY(bio, nil, nil, nil)
  ffi.C.BIO_free(bio)
  return key ~= nil and key or nil
end

---Whether `signature` (bytes) is the key's over `data`.
function M.verify(key, data, signature)
  local ctx = ffi.C.EVP_MD_CTX_new()
  local ok = ffi.C.EVP_DigestVerifyInit(ctx, nil, ffi.C.EVP_sha256(), nil, key) == 1 and
    ffi.C.EVP_DigestVerify(ctx, signature, #signature, data, #data) == 1
  ffi.C.EVP_MD_CTX_free(ctx)
  return ok
end

return M

/* Owns: the arithmetic of CRCs, OpenSSL's digests behind the same door, and the
 * headers that carry checksums. Must not: compare for anybody.
 */
#include "digest.h"

#include "alloc.h"
#include "request.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SLICES 8

struct crc {
  uint64_t table[SLICES][256]; /* table[n]: a byte and n zeros behind it */
  uint64_t state;              /* of what passed so far */
  uint64_t ones;               /* what it starts with and is inverted by */
};

struct gn_digest {
  enum gn_check check;  /* which */
  EVP_MD_CTX *context;  /* OpenSSL's, for a hash */
  struct crc *crc;      /* for a CRC */
};

static const struct {
  const char *name; /* for messages */
  size_t size;      /* bytes */
} kinds[GN_CHECK_COUNT] = {
  {"sha256", 32}, {"md5", 16}, {"crc64", 8}, {"crc32c", 4},
};

const char *gn_check_name(enum gn_check check) {
  return kinds[check].name;
}

/* ---- CRC ---- */

/* A CRC of 32 bits is one of 64 whose upper half stays zero. */
static struct crc *crc_new(enum gn_check check) {
  struct crc *c = gn_alloc(sizeof *c);
  uint64_t polynomial = check == GN_CHECK_CRC64
                            ? UINT64_C(0xC96C5795D7870F42)
                            : UINT64_C(0x82F63B78);
  unsigned i, k;
  if (!c)
    return NULL;
  c->ones = check == GN_CHECK_CRC64 ? UINT64_MAX : UINT64_C(0xFFFFFFFF);
  c->state = c->ones;
  for (i = 0; i < 256; i++) {
    uint64_t v = i;
    for (k = 0; k < 8; k++)
      v = v & 1 ? polynomial ^ (v >> 1) : v >> 1;
    c->table[0][i] = v;
  }
  for (k = 1; k < SLICES; k++)
    for (i = 0; i < 256; i++) {
      uint64_t v = c->table[k - 1][i];
      c->table[k][i] = c->table[0][v & 255] ^ (v >> 8);
    }
  return c;
}

/* Eight bytes at a time. */
static void crc_update(struct crc *c, const unsigned char *p, size_t len) {
  uint64_t v = c->state;
  for (; len >= 8; p += 8, len -= 8) {
    unsigned i;
    uint64_t next = 0;
    for (i = 0; i < 8; i++)
      next ^= c->table[7 - i][(v >> (8 * i) & 255) ^ p[i]];
    v = next;
  }
  for (; len > 0; p++, len--)
    v = c->table[0][(v ^ *p) & 255] ^ (v >> 8);
  c->state = v;
}

static void put_big_endian(unsigned char *out, uint64_t v, size_t size) {
  while (size > 0) {
    out[--size] = (unsigned char)(v & 255);
    v >>= 8;
  }
}

/* ---- digests ---- */

struct gn_digest *gn_digest_new(enum gn_check check, struct gn_error *err) {
  struct gn_digest *d = gn_alloc_zero(sizeof *d);
  bool made = false;
  if (d) {
    d->check = check;
    if (check == GN_CHECK_SHA256 || check == GN_CHECK_MD5) {
      d->context = EVP_MD_CTX_new();
      made = d->context &&
             EVP_DigestInit_ex(d->context, check == GN_CHECK_MD5
                                               ? EVP_md5() : EVP_sha256(),
                               NULL) == 1;
    } else {
      d->crc = crc_new(check);
      made = d->crc != NULL;
    }
  }
  if (made)
    return d;
  if (d && d->context)
    gn_error_set(err, GN_FILE, "digest", "OpenSSL does not do %s here",
                 gn_check_name(check));
  else
    gn_error_memory(err);
  gn_digest_free(d);
  return NULL;
}

int gn_digest_update(struct gn_digest *d, const void *data, size_t len,
                     struct gn_error *err) {
  if (d->crc)
    crc_update(d->crc, data, len);
  else if (EVP_DigestUpdate(d->context, data, len) != 1)
    return gn_error_set(err, GN_FILE, "digest", "OpenSSL's digest failed");
  return 0;
}

int gn_digest_final(struct gn_digest *d, struct gn_sum *out,
                    struct gn_error *err) {
  memset(out, 0, sizeof *out);
  out->check = d->check;
  if (d->crc)
    put_big_endian(out->value, d->crc->state ^ d->crc->ones,
                   kinds[d->check].size);
  else if (EVP_DigestFinal_ex(d->context, out->value, NULL) != 1)
    return gn_error_set(err, GN_FILE, "digest", "OpenSSL's digest failed");
  return 0;
}

void gn_digest_free(struct gn_digest *d) {
  if (!d)
    return;
  EVP_MD_CTX_free(d->context);
  gn_free(d->crc);
  gn_free(d);
}

/* ---- sums ---- */

void gn_sum_hex(const struct gn_sum *sum, char *out, size_t cap) {
  size_t i;
  *out = '\0';
  for (i = 0; sum->check < GN_CHECK_COUNT && i < kinds[sum->check].size &&
              2 * i + 2 < cap; i++)
    snprintf(out + 2 * i, 3, "%02x", sum->value[i]);
}

bool gn_sum_parse(struct gn_sum *sum, enum gn_check check, const char *hex) {
  size_t i, size = kinds[check].size;
  memset(sum, 0, sizeof *sum);
  sum->check = GN_CHECK_COUNT;
  if (strlen(hex) != 2 * size ||
      strspn(hex, "0123456789abcdefABCDEF") != 2 * size)
    return false;
  for (i = 0; i < size; i++) {
    char byte[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
    sum->value[i] = (unsigned char)strtoul(byte, NULL, 16);
  }
  sum->check = check;
  return true;
}

bool gn_sum_equal(const struct gn_sum *a, const struct gn_sum *b) {
  return a->check == b->check &&
         memcmp(a->value, b->value, sizeof a->value) == 0;
}

/* ---- headers ---- */

/* The better of what was found so far and this one. */
static void offer(struct gn_sum *best, enum gn_check check,
                  const unsigned char *value) {
  if (check >= best->check)
    return;
  memset(best, 0, sizeof *best);
  best->check = check;
  memcpy(best->value, value, kinds[check].size);
}

/* Exactly the bytes of that checksum, padded as base64 has to be. */
static void offer_base64(struct gn_sum *best, enum gn_check check,
                         const char *text, size_t len) {
  unsigned char in[48], out[36];
  size_t size = kinds[check].size, padding = 2 - (size + 2) % 3, i;
  if (len != (size + 2) / 3 * 4)
    return;
  memcpy(in, text, len);
  for (i = len - padding; i < len; i++)
    if (in[i] != '=')
      return;
  if (EVP_DecodeBlock(out, in, (int)len) == (int)(size + padding))
    offer(best, check, out);
}

static bool is(const char *text, size_t len, const char *word) {
  return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

static enum gn_check check_of(const char *name, size_t len) {
  if (is(name, len, "sha-256"))
    return GN_CHECK_SHA256;
  if (is(name, len, "md5"))
    return GN_CHECK_MD5;
  return is(name, len, "crc32c") ? GN_CHECK_CRC32C : GN_CHECK_COUNT;
}

/* name=value, name=:value: and so on. Structured fields put the base64 between
 * colons, older ones do not. */
static void read_list(struct gn_sum *best, const char *text, size_t len) {
  while (len > 0) {
    size_t item = 0, name;
    const char *value;
    enum gn_check check;
    while (item < len && text[item] != ',')
      item++;
    for (; item > 0 && (*text == ' ' || *text == '\t'); text++, len--)
      item--;
    value = memchr(text, '=', item);
    name = value ? (size_t)(value - text) : 0;
    check = check_of(text, name);
    if (value && check < GN_CHECK_COUNT) {
      size_t size = item - name - 1;
      value++;
      while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
        size--;
      if (size >= 2 && *value == ':' && value[size - 1] == ':')
        offer_base64(best, check, value + 1, size - 2);
      else
        offer_base64(best, check, value, size);
    }
    item += item < len;
    text += item;
    len -= item;
  }
}

/* Alibaba's OSS writes a decimal number, always of the whole object. */
static void read_crc64(struct gn_sum *best, const char *text, size_t len) {
  unsigned char value[8];
  uint64_t v = 0;
  size_t i;
  for (i = 0; i < len; i++) {
    unsigned digit = (unsigned)(text[i] - '0');
    if (digit > 9 || v > (UINT64_MAX - digit) / 10)
      return;
    v = v * 10 + digit;
  }
  put_big_endian(value, v, sizeof value);
  if (len > 0)
    offer(best, GN_CHECK_CRC64, value);
}

void gn_sum_read(struct gn_sum *sum, const struct gn_buf *headers, bool part) {
  const char *n, *v, *stored;
  size_t pos = 0, nlen, vlen, len;
  memset(sum, 0, sizeof *sum);
  sum->check = GN_CHECK_COUNT;
  /* Google unpacks a stored gzip object on the way, but hashed it packed. */
  stored = gn_headers_find(headers, "x-goog-stored-content-encoding", &len);
  while (gn_headers_next(headers, &pos, &n, &nlen, &v, &vlen)) {
    if (is(n, nlen, "Repr-Digest") || is(n, nlen, "Digest") ||
        (is(n, nlen, "Content-Digest") && !part) ||
        (is(n, nlen, "x-goog-hash") &&
         (!stored || is(stored, len, "identity"))))
      read_list(sum, v, vlen);
    else if (is(n, nlen, "Content-MD5") && !part)
      offer_base64(sum, GN_CHECK_MD5, v, vlen);
    else if (is(n, nlen, "x-oss-hash-crc64ecma"))
      read_crc64(sum, v, vlen);
  }
}

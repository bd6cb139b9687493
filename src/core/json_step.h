/* Owns: the reader's inner loop, compiled into those who drive it: one step is
 * one event. What is rare (errors, odd numbers, escapes) is called in json.c.
 * Must not: be included but by who reads whole documents, or be more lenient
 * than RFC 8259.
 */
#ifndef GN_JSON_STEP_H
#define GN_JSON_STEP_H

#include "json.h"

#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__GNUC__)
#define GN_JSON_INLINE static inline __attribute__((always_inline))
#define GN_JSON_LIKELY(x) __builtin_expect(!!(x), 1)
#else
#define GN_JSON_INLINE static inline
#define GN_JSON_LIKELY(x) (x)
#endif

#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define GN_JSON_WORDS 1
#else
#define GN_JSON_WORDS 0
#endif

enum gn_json_state {
  GN_JSON_AT_AFTER,         /* after a value: ',', a closing bracket, the end */
  GN_JSON_AT_VALUE,         /* a value must come */
  GN_JSON_AT_VALUE_OR_END,  /* after '[' */
  GN_JSON_AT_KEY_OR_END,    /* after '{' */
  GN_JSON_AT_FAILED
};

/* What a byte is inside a string, and how long a sequence it leads. */
enum {
  GN_JSON_PLAIN, GN_JSON_CONTROL, GN_JSON_QUOTE, GN_JSON_BACKSLASH,
  GN_JSON_BAD, GN_JSON_LEAD2, GN_JSON_LEAD3, GN_JSON_LEAD4
};

extern const unsigned char gn_json_class[256];

/* The rare cases; each leaves the reader as gn_json_next says. */
enum gn_json_event gn_json_fail(struct gn_json_reader *r, const char *p,
                                const char *message);
enum gn_json_event gn_json_early(struct gn_json_reader *r);
enum gn_json_event gn_json_odd_value(struct gn_json_reader *r, const char *p);
/* r->p is at '-' or a digit. */
enum gn_json_event gn_json_number_at(struct gn_json_reader *r);
/* Goes on with a string whose byte at p is not plain. */
bool gn_json_odd_string(struct gn_json_reader *r, const char *p);

/* The first byte at or after p that a string cannot hold as it is, or which
 * starts a sequence of UTF-8. */
GN_JSON_INLINE const char *gn_json_skip_plain(const char *p, const char *end) {
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'),
                control = _mm_set1_epi8(0x1f);
  while (end - p >= 16) {
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i hit = _mm_or_si128(
        _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash)),
        _mm_cmpeq_epi8(_mm_min_epu8(x, control), x));
    /* The sign bits of x itself are those of the bytes beyond ASCII. */
    int mask = _mm_movemask_epi8(_mm_or_si128(hit, x));
    if (mask)
      return p + __builtin_ctz((unsigned)mask);
    p += 16;
  }
#elif GN_JSON_WORDS
  const uint64_t ones = 0x0101010101010101u;
  while (end - p >= 8) {
    uint64_t x, hit;
    memcpy(&x, p, 8);
    hit = ((x - ones * 0x20) | ((x ^ ones * '"') - ones) |
           ((x ^ ones * '\\') - ones) | x) & ones * 0x80;
    if (hit)
      return p + (__builtin_ctzll(hit) >> 3);
    p += 8;
  }
#endif
  while (p < end && gn_json_class[(unsigned char)*p] == GN_JSON_PLAIN)
    p++;
  return p;
}

GN_JSON_INLINE const char *gn_json_skip_space(const char *p, const char *end) {
  while (p < end && (unsigned char)*p <= ' ' &&
         (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
    p++;
  return p;
}

/* p is after the opening quote. */
GN_JSON_INLINE bool gn_json_string_at(struct gn_json_reader *r, const char *p) {
  r->token = p;
  r->escaped = false;
  p = gn_json_skip_plain(p, r->end);
  if (GN_JSON_LIKELY(p < r->end && *p == '"')) {
    r->token_len = (size_t)(p - r->token);
    r->p = p + 1;
    return true;
  }
  return gn_json_odd_string(r, p);
}

#define GN_JSON_IS_DIGIT(p, end) ((p) < (end) && (unsigned)(*(p) - '0') <= 9)

GN_JSON_INLINE enum gn_json_event gn_json_open(struct gn_json_reader *r,
                                               const char *p, bool object) {
  unsigned char bit = (unsigned char)(1u << (r->depth & 7));
  if (r->depth == r->max_depth)
    return gn_json_fail(r, p, "nested too deep");
  if (object)
    r->objects[r->depth >> 3] |= bit;
  else
    r->objects[r->depth >> 3] &= (unsigned char)~bit;
  r->depth++;
  r->in_object = object;
  r->token = p;
  r->token_len = 1;
  r->p = p + 1;
  r->state = object ? GN_JSON_AT_KEY_OR_END : GN_JSON_AT_VALUE_OR_END;
  return object ? GN_JSON_GET_OBJECT : GN_JSON_GET_ARRAY;
}

GN_JSON_INLINE enum gn_json_event gn_json_close(struct gn_json_reader *r,
                                                const char *p) {
  bool object = r->in_object;
  unsigned depth = --r->depth;
  if (depth > 0)
    r->in_object = r->objects[(depth - 1) >> 3] >> ((depth - 1) & 7) & 1;
  r->p = p + 1;
  r->state = GN_JSON_AT_AFTER;
  return object ? GN_JSON_GET_OBJECT_END : GN_JSON_GET_ARRAY_END;
}

GN_JSON_INLINE enum gn_json_event gn_json_value_at(struct gn_json_reader *r,
                                                   const char *p) {
  switch (*p) {
  case '"':
    r->state = GN_JSON_AT_AFTER;
    return GN_JSON_LIKELY(gn_json_string_at(r, p + 1)) ? GN_JSON_GET_STRING
                                                       : GN_JSON_GET_FAILED;
  case '{':
    return gn_json_open(r, p, true);
  case '[':
    return gn_json_open(r, p, false);
  case '-': case '0': case '1': case '2': case '3': case '4':
  case '5': case '6': case '7': case '8': case '9':
    r->p = p;
    return gn_json_number_at(r);
  default:
    return gn_json_odd_value(r, p);
  }
}

#if GN_JSON_WORDS
/* Whether the n bytes at a and b are the same; 32 bytes may be read there. */
GN_JSON_INLINE bool gn_json_same(const char *a, const char *b, size_t n) {
  uint64_t x, y, i = 0;
  for (; n - i > 8; i += 8) {
    memcpy(&x, a + i, 8);
    memcpy(&y, b + i, 8);
    if (x != y)
      return false;
  }
  memcpy(&x, a + i, 8);
  memcpy(&y, b + i, 8);
  return (x ^ y) << (64 - (n - i) * 8) == 0;
}
#endif

/* p is where a key must be. */
GN_JSON_INLINE enum gn_json_event gn_json_key_at(struct gn_json_reader *r,
                                                 const char *p) {
  if (*p != '"')
    return gn_json_fail(r, p, r->state == GN_JSON_AT_KEY_OR_END
                                  ? "expected a key or '}'"
                                  : "expected a key");
  p++;
#if GN_JSON_WORDS
  if (r->guess && r->end - p >= GN_JSON_GUESS_MAX &&
      gn_json_same(p, r->guess, r->guess_len + 1)) {
    r->token = p;
    r->token_len = r->guess_len;
    r->escaped = false;
    r->guessed = true;
    r->p = p + r->guess_len + 1;
  } else
#endif
  {
    r->guessed = false;
    if (!gn_json_string_at(r, p))
      return GN_JSON_GET_FAILED;
  }
  p = gn_json_skip_space(r->p, r->end);
  if (!GN_JSON_LIKELY(p < r->end && *p == ':'))
    return p == r->end ? gn_json_early(r) : gn_json_fail(r, p, "expected ':'");
  r->p = p + 1;
  r->state = GN_JSON_AT_VALUE;
  return GN_JSON_GET_KEY;
}

/* The step that follows a key: its value. */
GN_JSON_INLINE enum gn_json_event gn_json_step_value(struct gn_json_reader *r) {
  const char *p = gn_json_skip_space(r->p, r->end);
  return p == r->end ? gn_json_early(r) : gn_json_value_at(r, p);
}

/* gn_json_next, inline. */
GN_JSON_INLINE enum gn_json_event gn_json_step(struct gn_json_reader *r) {
  const char *p = gn_json_skip_space(r->p, r->end);
  if (p == r->end)
    return gn_json_early(r);
  switch (r->state) {
  case GN_JSON_AT_AFTER:
    if (*p == ',' && r->depth > 0) {
      p = gn_json_skip_space(p + 1, r->end);
      if (p == r->end)
        return gn_json_early(r);
      return r->in_object ? gn_json_key_at(r, p) : gn_json_value_at(r, p);
    }
    if (r->depth == 0)
      return gn_json_fail(r, p, "text after the value");
    if (*p == (r->in_object ? '}' : ']'))
      return gn_json_close(r, p);
    return gn_json_fail(r, p, r->in_object ? "expected ',' or '}'"
                                           : "expected ',' or ']'");
  case GN_JSON_AT_VALUE_OR_END:
    if (*p == ']')
      return gn_json_close(r, p);
    return gn_json_value_at(r, p);
  case GN_JSON_AT_VALUE:
    return gn_json_value_at(r, p);
  case GN_JSON_AT_KEY_OR_END:
    if (*p == '}')
      return gn_json_close(r, p);
    return gn_json_key_at(r, p);
  default:
    return GN_JSON_GET_FAILED;
  }
}

#endif

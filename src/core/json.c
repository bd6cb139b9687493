/* Owns: the pull reader: one pass over the text, one event a call, and the
 * grammar of RFC 8259 with nothing added (UTF-8 is checked, a byte order mark,
 * lone surrogates and trailing text are refused). What is frequent is in
 * json_step.h, what is rare is here.
 * Must not: allocate, recurse, or read a byte beyond the end it was given.
 */
#include "json_step.h"

#define PLAIN GN_JSON_PLAIN
#define CONTROL GN_JSON_CONTROL
#define QUOTE GN_JSON_QUOTE
#define BACKSLASH GN_JSON_BACKSLASH
#define BAD GN_JSON_BAD
#define LEAD2 GN_JSON_LEAD2
#define LEAD3 GN_JSON_LEAD3
#define LEAD4 GN_JSON_LEAD4

#define X4(c) c, c, c, c
#define X16(c) X4(c), X4(c), X4(c), X4(c)
const unsigned char gn_json_class[256] = {
  X16(CONTROL), X16(CONTROL),
  PLAIN, PLAIN, QUOTE, PLAIN, X4(PLAIN), X4(PLAIN), X4(PLAIN),  /* 0x20 */
  X16(PLAIN), X16(PLAIN),
  X4(PLAIN), X4(PLAIN), X4(PLAIN), BACKSLASH, PLAIN, PLAIN, PLAIN,  /* 0x50 */
  X16(PLAIN), X16(PLAIN),
  X16(BAD), X16(BAD), X16(BAD), X16(BAD),                           /* 0x80 */
  BAD, BAD, LEAD2, LEAD2, X4(LEAD2), X4(LEAD2), X4(LEAD2),          /* 0xc0 */
  X16(LEAD2), X16(LEAD3),
  X4(LEAD4), LEAD4, BAD, BAD, BAD, X4(BAD), X4(BAD)                 /* 0xf0 */
};

enum gn_json_event gn_json_fail(struct gn_json_reader *r, const char *p,
                                const char *message) {
  r->p = p;
  r->message = message;
  r->state = GN_JSON_AT_FAILED;
  return GN_JSON_GET_FAILED;
}

enum gn_json_event gn_json_early(struct gn_json_reader *r) {
  if (r->state == GN_JSON_AT_FAILED)
    return GN_JSON_GET_FAILED;
  if (r->depth == 0 && r->state == GN_JSON_AT_AFTER) {
    r->p = r->end;
    return GN_JSON_GET_END;
  }
  return gn_json_fail(r, r->end, r->depth == 0 && r->state == GN_JSON_AT_VALUE
                                     ? "there is no value"
                                     : "the text ends too early");
}

static enum gn_json_event fail_early(struct gn_json_reader *r) {
  return gn_json_fail(r, r->end, "the text ends too early");
}

/* Length of the well-formed UTF-8 sequence of two or more bytes at p, or 0
 * (overlong, a surrogate, beyond U+10FFFF, cut short). */
static size_t sequence(const char *text, const char *end) {
  const unsigned char *p = (const unsigned char *)text;
  size_t left = (size_t)(end - text);
  unsigned c = p[0];
  switch (gn_json_class[c]) {
  case LEAD2:
    return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
  case LEAD3:
    if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
        (c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f))
      return 0;
    return 3;
  case LEAD4:
    if (left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
        (p[3] & 0xc0) != 0x80 || (c == 0xf0 && p[1] < 0x90) ||
        (c == 0xf4 && p[1] > 0x8f))
      return 0;
    return 4;
  default:
    return 0;
  }
}

size_t gn_json_plain(const char *s, size_t len) {
  const char *p = s, *end = s + len;
  for (;;) {
    size_t n;
    p = gn_json_skip_plain(p, end);
    if (p == end || (n = sequence(p, end)) == 0)
      return (size_t)(p - s);
    p += n;
  }
}

static int hex4(const char *p) {
  int value = 0, i;
  for (i = 0; i < 4; i++) {
    int c = (unsigned char)p[i];
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0)
      return -1;
    value = value * 16 + digit;
  }
  return value;
}

/* p is at a backslash; returns the byte after the escape, or NULL. */
static const char *scan_escape(struct gn_json_reader *r, const char *p) {
  int unit;
  if (r->end - p < 2)
    return fail_early(r), NULL;
  if (p[1] != 'u') {
    if (p[1] && strchr("\"\\/bfnrt", p[1]))
      return p + 2;
    return gn_json_fail(r, p + 1, "unknown escape"), NULL;
  }
  if (r->end - p < 6)
    return fail_early(r), NULL;
  unit = hex4(p + 2);
  if (unit < 0)
    return gn_json_fail(r, p + 2, "\\u needs four hexadecimal digits"), NULL;
  if (unit < 0xd800 || unit > 0xdfff)
    return p + 6;
  if (unit < 0xdc00 && r->end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
    unit = hex4(p + 8);
    if (unit >= 0xdc00 && unit <= 0xdfff)
      return p + 12;
  }
  return gn_json_fail(r, p, "half of a surrogate pair"), NULL;
}

bool gn_json_odd_string(struct gn_json_reader *r, const char *p) {
  for (;;) {
    size_t n;
    if (p == r->end)
      return fail_early(r), false;
    switch (gn_json_class[(unsigned char)*p]) {
    case QUOTE:
      r->token_len = (size_t)(p - r->token);
      r->p = p + 1;
      return true;
    case BACKSLASH:
      r->escaped = true;
      p = scan_escape(r, p);
      if (!p)
        return false;
      break;
    case CONTROL:
      return gn_json_fail(r, p, "a control character in a string"), false;
    default:
      /* Text beyond ASCII comes in runs. */
      do {
        n = sequence(p, r->end);
        if (n == 0)
          return gn_json_fail(r, p, "not UTF-8"), false;
        p += n;
      } while (p < r->end && (unsigned char)*p >= 0x80);
    }
    p = gn_json_skip_plain(p, r->end);
  }
}

#define IS_DIGIT GN_JSON_IS_DIGIT

/* Takes digits into the mantissa as long as they fit (19 always do), returns
 * the byte after the last one. `power` is what a digit adds to the exponent. */
static const char *scan_digits(struct gn_json_reader *r, const char *p,
                               int power) {
  for (; IS_DIGIT(p, r->end); p++) {
    if (r->mantissa < 1000000000000000000u) {
      r->mantissa = r->mantissa * 10 + (unsigned)(*p - '0');
      r->exponent += power;
    } else {
      r->exact = false;
    }
  }
  return p;
}

static const char *scan_exponent(struct gn_json_reader *r, const char *p) {
  bool down = false;
  int64_t value = 0;
  p++;
  if (p < r->end && (*p == '+' || *p == '-'))
    down = *p++ == '-';
  if (!IS_DIGIT(p, r->end))
    return NULL;
  /* So far beyond any double that no digits before it bring it back. */
  for (; IS_DIGIT(p, r->end); p++)
    if (value < 100000000000000000)
      value = value * 10 + (*p - '0');
  r->exponent += down ? -value : value;
  return p;
}

static void classify_integer(struct gn_json_reader *r) {
  uint64_t limit = (uint64_t)INT64_MAX + r->negative;
  r->number = GN_JSON_BIG_INTEGER;
  if (!r->exact || r->mantissa > limit)
    return;
  if (r->negative && r->mantissa == 0) {
    r->number = GN_JSON_REAL;  /* an integer has no minus zero */
    return;
  }
  r->number = GN_JSON_INTEGER;
  r->integer = r->negative ? -1 - (int64_t)(r->mantissa - 1)
                           : (int64_t)r->mantissa;
}

/* Any number. */
static enum gn_json_event odd_number(struct gn_json_reader *r) {
  const char *p = r->p, *end = r->end;
  bool real = false;
  r->token = p;
  r->mantissa = 0;
  r->exponent = 0;
  r->exact = true;
  r->negative = *p == '-';
  p += r->negative;
  if (!IS_DIGIT(p, end))
    goto bad;
  if (*p == '0') {
    p++;
    if (IS_DIGIT(p, end))
      return gn_json_fail(r, p, "a number with a leading zero");
  } else {
    p = scan_digits(r, p, 0);
  }
  if (p < end && *p == '.') {
    p++;
    if (!IS_DIGIT(p, end))
      goto bad;
    p = scan_digits(r, p, -1);
    real = true;
  }
  if (p < end && (*p == 'e' || *p == 'E')) {
    const char *after = scan_exponent(r, p);
    if (!after) {
      p++;
      p += p < end && (*p == '+' || *p == '-');
      goto bad;
    }
    p = after;
    real = true;
  }
  if (real)
    r->number = GN_JSON_REAL;
  else
    classify_integer(r);
  r->token_len = (size_t)(p - r->token);
  r->p = p;
  r->state = GN_JSON_AT_AFTER;
  return GN_JSON_GET_NUMBER;
bad:
  return p == end ? fail_early(r) : gn_json_fail(r, p, "a digit is missing");
}

/* Adds the digits at p to *value, eight at a time where there are as many: sums
 * of neighbours, then of pairs, then of fours. More than 18 overflow it. */
static const char *take_digits(const char *p, const char *end,
                               uint64_t *value) {
  uint64_t v = *value;
#if GN_JSON_WORDS
  const uint64_t ones = 0x0101010101010101u;
  uint64_t x;
  while (end - p >= 8) {
    memcpy(&x, p, 8);
    if (((x + ones * 0x46) | (x - ones * 0x30)) & ones * 0x80)
      break;
    x -= ones * 0x30;
    x = x * 10 + (x >> 8);
    x = ((x & 0x000000ff000000ffu) * 0x000f424000000064u +
         (x >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u) >> 32;
    v = v * 100000000 + x;
    p += 8;
  }
#endif
  while (IS_DIGIT(p, end))
    v = v * 10 + (unsigned)(*p++ - '0');
  *value = v;
  return p;
}

/* Up to 18 digits, with a point or without: what
 * comes from outside has hardly any others. */
enum gn_json_event gn_json_number_at(struct gn_json_reader *r) {
  const char *start = r->p, *p = start, *end = r->end, *point = NULL, *digits;
  uint64_t value = 0;
  r->negative = *p == '-';
  digits = p += r->negative;
  p = take_digits(p, end, &value);
  if (p == digits || (*digits == '0' && p - digits > 1))
    return odd_number(r);
  if (p < end && *p == '.') {
    point = ++p;
    p = take_digits(p, end, &value);
    if (p == point)
      return odd_number(r);
  }
  if (p - digits > 18 || (p < end && (*p | 0x20) == 'e') ||
      (value == 0 && r->negative))
    return odd_number(r);
  r->mantissa = value;
  r->exact = true;
  r->exponent = point ? point - p : 0;
  r->number = point ? GN_JSON_REAL : GN_JSON_INTEGER;
  r->integer = r->negative ? -(int64_t)value : (int64_t)value;
  r->token = start;
  r->token_len = (size_t)(p - start);
  r->p = p;
  r->state = GN_JSON_AT_AFTER;
  return GN_JSON_GET_NUMBER;
}

static enum gn_json_event scan_literal(struct gn_json_reader *r,
                                       const char *word,
                                       enum gn_json_event event) {
  size_t i, len = strlen(word);
  for (i = 1; i < len; i++) {
    if (r->p + i == r->end)
      return fail_early(r);
    if (r->p[i] != word[i])
      return gn_json_fail(r, r->p, "expected a value");
  }
  r->token = r->p;
  r->token_len = len;
  r->p += len;
  r->state = GN_JSON_AT_AFTER;
  return event;
}

enum gn_json_event gn_json_odd_value(struct gn_json_reader *r, const char *p) {
  r->p = p;
  switch (*p) {
  case 't':
    return scan_literal(r, "true", GN_JSON_GET_TRUE);
  case 'f':
    return scan_literal(r, "false", GN_JSON_GET_FALSE);
  case 'n':
    return scan_literal(r, "null", GN_JSON_GET_NULL);
  case '\xef':
    if (p == r->text && r->end - p >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
      return gn_json_fail(r, p, "a byte order mark");
    return gn_json_fail(r, p, "expected a value");
  default:
    return gn_json_fail(r, p, "expected a value");
  }
}

void gn_json_reader_init(struct gn_json_reader *r, const char *text, size_t len,
                         unsigned depth) {
  /* Field by field: the bits are written before they are read. */
  r->text = r->p = r->token = text;
  r->end = text + len;
  r->token_len = 0;
  r->message = "";
  r->integer = 0;
  r->mantissa = 0;
  r->exponent = 0;
  r->number = GN_JSON_INTEGER;
  r->negative = r->escaped = r->in_object = r->guessed = false;
  r->exact = true;
  r->guess = NULL;
  r->guess_len = 0;
  r->state = GN_JSON_AT_VALUE;
  r->depth = 0;
  r->max_depth = depth == 0 ? GN_JSON_DEPTH : depth;
  if (r->max_depth > GN_JSON_DEPTH_MAX)
    r->max_depth = GN_JSON_DEPTH_MAX;
}

void gn_json_reader_resume(struct gn_json_reader *r, size_t offset) {
  r->p = r->text + offset;
  r->state = GN_JSON_AT_AFTER;
}

enum gn_json_event gn_json_next(struct gn_json_reader *r) {
  return gn_json_step(r);
}

size_t gn_json_reader_offset(const struct gn_json_reader *r) {
  return (size_t)(r->p - r->text);
}

int gn_json_reader_error(const struct gn_json_reader *r, struct gn_error *err) {
  return gn_error_set(err, GN_PROTOCOL, "json", "not JSON: %s at byte %zu",
                      r->message, gn_json_reader_offset(r) + 1);
}

int gn_json_check(const char *text, size_t len, unsigned depth,
                  struct gn_error *err) {
  struct gn_json_reader r;
  enum gn_json_event event;
  gn_json_reader_init(&r, text, len, depth);
  do {
    gn_json_skip(&r);
    event = gn_json_next(&r);
  } while (event > GN_JSON_GET_END);
  return event == GN_JSON_GET_END ? 0 : gn_json_reader_error(&r, err);
}

/* Owns: the pull reader: one pass over the text, one event a call, and the
 * grammar of RFC 8259 with nothing added (UTF-8 is checked, a byte order mark,
 * lone surrogates and trailing text are refused).
 * Must not: allocate, recurse, or read a byte beyond the end it was given.
 */
#include "json.h"

#include <string.h>

enum state {
  VALUE,         /* a value must come */
  VALUE_OR_END,  /* after '[' */
  KEY,           /* after ',' in an object */
  KEY_OR_END,    /* after '{' */
  AFTER,         /* after a value: ',', a closing bracket, or the end */
  FAILED
};

/* What a byte is inside a string, and how long a sequence it leads. */
enum { PLAIN, CONTROL, QUOTE, BACKSLASH, BAD, LEAD2, LEAD3, LEAD4 };

#define X4(c) c, c, c, c
#define X16(c) X4(c), X4(c), X4(c), X4(c)
static const unsigned char string_class[256] = {
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

static enum gn_json_event fail(struct gn_json_reader *r, const char *p,
                               const char *message) {
  r->p = p;
  r->message = message;
  r->state = FAILED;
  return GN_JSON_GET_FAILED;
}

static enum gn_json_event fail_early(struct gn_json_reader *r) {
  return fail(r, r->end, "the text ends too early");
}

/* The first byte at or after p that a string cannot hold as it is, or which
 * starts a sequence of UTF-8; eight bytes at a time where that is cheap. */
static const char *skip_plain(const char *p, const char *end) {
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
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
  while (p < end && string_class[(unsigned char)*p] == PLAIN)
    p++;
  return p;
}

/* Length of the well-formed UTF-8 sequence of two or more bytes at p, or 0
 * (overlong, a surrogate, beyond U+10FFFF, cut short). */
static size_t sequence(const char *text, const char *end) {
  const unsigned char *p = (const unsigned char *)text;
  size_t left = (size_t)(end - text);
  unsigned c = p[0];
  switch (string_class[c]) {
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
    p = skip_plain(p, end);
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
    return fail(r, p + 1, "unknown escape"), NULL;
  }
  if (r->end - p < 6)
    return fail_early(r), NULL;
  unit = hex4(p + 2);
  if (unit < 0)
    return fail(r, p + 2, "\\u needs four hexadecimal digits"), NULL;
  if (unit < 0xd800 || unit > 0xdfff)
    return p + 6;
  if (unit < 0xdc00 && r->end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
    unit = hex4(p + 8);
    if (unit >= 0xdc00 && unit <= 0xdfff)
      return p + 12;
  }
  return fail(r, p, "half of a surrogate pair"), NULL;
}

/* r->p is after the opening quote. */
static bool scan_string(struct gn_json_reader *r) {
  const char *p = r->p;
  r->token = p;
  r->escaped = false;
  for (;;) {
    size_t n;
    p = skip_plain(p, r->end);
    if (p == r->end)
      return fail_early(r), false;
    switch (string_class[(unsigned char)*p]) {
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
      return fail(r, p, "a control character in a string"), false;
    default:
      /* Text beyond ASCII comes in runs. */
      do {
        n = sequence(p, r->end);
        if (n == 0)
          return fail(r, p, "not UTF-8"), false;
        p += n;
      } while (p < r->end && (unsigned char)*p >= 0x80);
    }
  }
}

#define IS_DIGIT(p, end) ((p) < (end) && (unsigned)(*(p) - '0') <= 9)

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

/* r->p is at '-' or a digit. */
static enum gn_json_event scan_number(struct gn_json_reader *r) {
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
      return fail(r, p, "a number with a leading zero");
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
  r->state = AFTER;
  return GN_JSON_GET_NUMBER;
bad:
  return p == end ? fail_early(r) : fail(r, p, "a digit is missing");
}

static enum gn_json_event scan_literal(struct gn_json_reader *r,
                                       const char *word,
                                       enum gn_json_event event) {
  size_t i, len = strlen(word);
  for (i = 1; i < len; i++) {
    if (r->p + i == r->end)
      return fail_early(r);
    if (r->p[i] != word[i])
      return fail(r, r->p, "expected a value");
  }
  r->token = r->p;
  r->token_len = len;
  r->p += len;
  r->state = AFTER;
  return event;
}

static enum gn_json_event open_container(struct gn_json_reader *r,
                                         bool object) {
  unsigned char bit = (unsigned char)(1u << (r->depth & 7));
  if (r->depth == r->max_depth)
    return fail(r, r->p, "nested too deep");
  if (object)
    r->objects[r->depth >> 3] |= bit;
  else
    r->objects[r->depth >> 3] &= (unsigned char)~bit;
  r->depth++;
  r->token = r->p++;
  r->token_len = 1;
  r->state = object ? KEY_OR_END : VALUE_OR_END;
  return object ? GN_JSON_GET_OBJECT : GN_JSON_GET_ARRAY;
}

static bool in_object(const struct gn_json_reader *r) {
  unsigned top = r->depth - 1;
  return r->objects[top >> 3] >> (top & 7) & 1;
}

static enum gn_json_event close_container(struct gn_json_reader *r) {
  bool object = in_object(r);
  r->depth--;
  r->p++;
  r->state = AFTER;
  return object ? GN_JSON_GET_OBJECT_END : GN_JSON_GET_ARRAY_END;
}

static bool skip_space(struct gn_json_reader *r) {
  const char *p = r->p;
  while (p < r->end && (unsigned char)*p <= ' ' &&
         (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
    p++;
  r->p = p;
  return p < r->end;
}

static enum gn_json_event value(struct gn_json_reader *r) {
  switch (*r->p) {
  case '"':
    r->p++;
    if (!scan_string(r))
      return GN_JSON_GET_FAILED;
    r->state = AFTER;
    return GN_JSON_GET_STRING;
  case '{':
    return open_container(r, true);
  case '[':
    return open_container(r, false);
  case 't':
    return scan_literal(r, "true", GN_JSON_GET_TRUE);
  case 'f':
    return scan_literal(r, "false", GN_JSON_GET_FALSE);
  case 'n':
    return scan_literal(r, "null", GN_JSON_GET_NULL);
  case '-': case '0': case '1': case '2': case '3': case '4':
  case '5': case '6': case '7': case '8': case '9':
    return scan_number(r);
  case '\xef':
    if (r->p == r->text && r->end - r->p >= 3 &&
        memcmp(r->p, "\xef\xbb\xbf", 3) == 0)
      return fail(r, r->p, "a byte order mark");
    return fail(r, r->p, "expected a value");
  default:
    return fail(r, r->p, "expected a value");
  }
}

static enum gn_json_event key(struct gn_json_reader *r) {
  if (*r->p != '"')
    return fail(r, r->p, r->state == KEY_OR_END ? "expected a key or '}'"
                                                : "expected a key");
  r->p++;
  if (!scan_string(r))
    return GN_JSON_GET_FAILED;
  if (!skip_space(r))
    return fail_early(r);
  if (*r->p != ':')
    return fail(r, r->p, "expected ':'");
  r->p++;
  r->state = VALUE;
  return GN_JSON_GET_KEY;
}

static enum gn_json_event after(struct gn_json_reader *r) {
  bool object;
  if (r->depth == 0)
    return fail(r, r->p, "text after the value");
  object = in_object(r);
  if (*r->p == (object ? '}' : ']'))
    return close_container(r);
  if (*r->p != ',')
    return fail(r, r->p, object ? "expected ',' or '}'"
                                : "expected ',' or ']'");
  r->p++;
  r->state = object ? KEY : VALUE;
  if (!skip_space(r))
    return fail_early(r);
  return object ? key(r) : value(r);
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
  r->negative = r->escaped = false;
  r->exact = true;
  r->state = VALUE;
  r->depth = 0;
  r->max_depth = depth == 0 ? GN_JSON_DEPTH : depth;
  if (r->max_depth > GN_JSON_DEPTH_MAX)
    r->max_depth = GN_JSON_DEPTH_MAX;
}

void gn_json_reader_resume(struct gn_json_reader *r, size_t offset) {
  r->p = r->text + offset;
  r->state = AFTER;
}

enum gn_json_event gn_json_next(struct gn_json_reader *r) {
  if (r->state == FAILED)
    return GN_JSON_GET_FAILED;
  if (!skip_space(r)) {
    if (r->state == AFTER && r->depth == 0)
      return GN_JSON_GET_END;
    if (r->state == VALUE && r->depth == 0)
      return fail(r, r->end, "there is no value");
    return fail_early(r);
  }
  switch (r->state) {
  case AFTER:
    return after(r);
  case VALUE_OR_END:
    return *r->p == ']' ? close_container(r) : value(r);
  case VALUE:
    return value(r);
  case KEY_OR_END:
    return *r->p == '}' ? close_container(r) : key(r);
  default:
    return key(r);
  }
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
  do
    event = gn_json_next(&r);
  while (event > GN_JSON_GET_END);
  return event == GN_JSON_GET_END ? 0 : gn_json_reader_error(&r, err);
}

/* Owns: going over parts of a document that nobody asks about, checked as
 * strictly as by gn_json_next, but without an event for each value.
 * Must not: judge what is rare or wrong: it stops there, for gn_json_next.
 */
#include "json_step.h"

#define OPENS(c) (((c) | 0x20) == '{')

/* After the string whose first quote is at p, or NULL: it has escapes, more
 * than ASCII, or no end. */
GN_JSON_INLINE const char *plain_string(const char *p, const char *end) {
  p = gn_json_skip_plain(p + 1, end);
  return GN_JSON_LIKELY(p < end && *p == '"') ? p + 1 : NULL;
}

GN_JSON_INLINE const char *digits(const char *p, const char *end) {
  while (p < end && (unsigned)(*p - '0') <= 9)
    p++;
  return p;
}

/* After the number at p, or NULL: it is none, or has an exponent. */
GN_JSON_INLINE const char *plain_number(const char *p, const char *end) {
  const char *first = p + (*p == '-'), *q = digits(first, end);
  if (q == first || (*first == '0' && q - first > 1))
    return NULL;
  if (q < end && *q == '.') {
    first = q + 1;
    q = digits(first, end);
    if (q == first)
      return NULL;
  }
  return q < end && (*q | 0x20) == 'e' ? NULL : q;
}

GN_JSON_INLINE const char *word(const char *p, const char *end,
                                const char *text, size_t len) {
  return (size_t)(end - p) >= len && memcmp(p, text, len) == 0 ? p + len
                                                                : NULL;
}

GN_JSON_INLINE const char *plain_scalar(const char *p, const char *end) {
  if (*p == '"')
    return plain_string(p, end);
  if (*p == 't')
    return word(p, end, "true", 4);
  if (*p == 'f')
    return word(p, end, "false", 5);
  if (*p == 'n')
    return word(p, end, "null", 4);
  return plain_number(p, end);
}

/* Where the value of the key at p begins, or NULL. */
GN_JSON_INLINE const char *plain_key(const char *p, const char *end) {
  if (p == end || *p != '"')
    return NULL;
  p = plain_string(p, end);
  if (!p)
    return NULL;
  p = gn_json_skip_space(p, end);
  return p < end && *p == ':' ? gn_json_skip_space(p + 1, end) : NULL;
}

/* Goes over plain children of an object or array, from *at, where the reader is
 * in that state, to what is no plain one: *at, and the state there. */
GN_JSON_INLINE unsigned plain_children(const char **at, const char *end,
                                       unsigned state, bool object) {
  for (;;) {
    const char *p = gn_json_skip_space(*at, end);
    if (state == GN_JSON_AT_AFTER) {
      if (p == end || *p != ',')
        return state;
      p = gn_json_skip_space(p + 1, end);
    }
    if (state != GN_JSON_AT_VALUE && object) {
      p = plain_key(p, end);
      if (!p)
        return state;
    } else if (p == end) {
      return state;
    }
    if (object || state == GN_JSON_AT_AFTER) {
      *at = p;
      state = GN_JSON_AT_VALUE;
      if (p == end)
        return state;
    }
    if (OPENS(*p))
      return state;
    p = plain_scalar(p, end);
    if (!p)
      return state;
    *at = p;
    state = GN_JSON_AT_AFTER;
  }
}

void gn_json_skip(struct gn_json_reader *r) {
  const char *p = r->p, *end = r->end;
  unsigned state = r->state, floor = r->depth;
  while (r->depth > 0 && state != GN_JSON_AT_FAILED) {
    state = r->in_object ? plain_children(&p, end, state, true)
                         : plain_children(&p, end, state, false);
    p = gn_json_skip_space(p, end);
    if (p == end)
      break;
    if (OPENS(*p) && (state == GN_JSON_AT_VALUE ||
                      state == GN_JSON_AT_VALUE_OR_END)) {
      if (r->depth == r->max_depth)
        break;
      gn_json_open(r, p, *p == '{');
      state = r->state;
    } else if (*p == (r->in_object ? '}' : ']') && r->depth > floor &&
               state != GN_JSON_AT_VALUE) {
      gn_json_close(r, p);
      state = GN_JSON_AT_AFTER;
    } else {
      break;
    }
    p = r->p;
  }
  r->p = p;
  r->state = state;
}

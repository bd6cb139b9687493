/* Owns: what is done with the reader's events and tokens: strings decoded,
 * numbers turned into doubles, values picked out by path.
 * Must not: parse anything itself; a slice is read with the same reader.
 */
#include "alloc.h"
#include "json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned hex4(const char *p) {
  unsigned value = 0;
  int i;
  for (i = 0; i < 4; i++) {
    unsigned c = (unsigned char)p[i];
    value = value << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return value;
}

static size_t put_utf8(unsigned code, char *out) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  if (code < 0x800) {
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3f));
    return 2;
  }
  if (code < 0x10000) {
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | code >> 18);
  out[1] = (char)(0x80 | (code >> 12 & 0x3f));
  out[2] = (char)(0x80 | (code >> 6 & 0x3f));
  out[3] = (char)(0x80 | (code & 0x3f));
  return 4;
}

/* Decodes the escape at *p into out (4 bytes at most) and moves *p past it. */
static size_t unescape_one(const char **p, char *out) {
  static const char names[] = "bfnrt", bytes[] = "\b\f\n\r\t";
  char c = (*p)[1];
  const char *name;
  unsigned code;
  if (c != 'u') {
    name = strchr(names, c);
    out[0] = name ? bytes[name - names] : c;
    *p += 2;
    return 1;
  }
  code = hex4(*p + 2);
  *p += 6;
  if (code >= 0xd800 && code <= 0xdfff) {
    code = 0x10000 + ((code - 0xd800) << 10) + (hex4(*p + 2) - 0xdc00);
    *p += 6;
  }
  return put_utf8(code, out);
}

size_t gn_json_unescape(const char *token, size_t len, char *out) {
  const char *p = token, *end = token + len;
  char *to = out;
  while (p < end) {
    const char *run = memchr(p, '\\', (size_t)(end - p));
    size_t n = (size_t)((run ? run : end) - p);
    memcpy(to, p, n);
    to += n;
    p += n;
    if (p < end)
      to += unescape_one(&p, to);
  }
  return (size_t)(to - out);
}

bool gn_json_token_equals(const char *token, size_t len, const char *text,
                          size_t text_len) {
  const char *end = token + len, *text_end = text + text_len;
  while (token < end) {
    char bytes[4];
    size_t n = 1;
    if (*token == '\\')
      n = unescape_one(&token, bytes);
    else
      bytes[0] = *token++;
    if ((size_t)(text_end - text) < n || memcmp(text, bytes, n) != 0)
      return false;
    text += n;
  }
  return text == text_end;
}

/* More significant digits than this change no double, but whether any of them
 * is not zero does. */
#define MAX_DIGITS 800

/* Any number, by strtod, without a decimal point: that of the locale may be
 * something else. */
static double slow_double(const struct gn_json_reader *r) {
  char text[MAX_DIGITS + 40];
  const char *p = r->token, *end = p + r->token_len;
  size_t n = 0;
  int64_t exponent = 0, given = 0;
  bool point = false, lost = false;
  for (; p < end && *p != 'e' && *p != 'E'; p++) {
    if (*p == '.') {
      point = true;
    } else if (*p != '-' && (n > 0 || *p != '0' || point)) {
      exponent -= point;
      if (n == 0 && *p == '0')
        continue;
      if (n < MAX_DIGITS)
        text[n++] = *p;
      else {
        lost = lost || *p != '0';
        exponent++;
      }
    }
  }
  if (n == 0)
    return r->negative ? -0.0 : 0.0;
  if (p < end) {
    bool down = *++p == '-';
    for (p += down || *p == '+'; p < end; p++)
      if (given < 100000000000000000)
        given = given * 10 + (*p - '0');
    exponent += down ? -given : given;
  }
  if (lost) {
    text[n++] = '1';
    exponent--;
  }
  if (exponent + (int64_t)n > 400)
    return r->negative ? -HUGE_VAL : HUGE_VAL;
  if (exponent + (int64_t)n < -400)
    return r->negative ? -0.0 : 0.0;
  snprintf(text + n, sizeof text - n, "e%d", (int)exponent);
  return r->negative ? -strtod(text, NULL) : strtod(text, NULL);
}

bool gn_json_double(const struct gn_json_reader *r, double *out) {
#if FLT_EVAL_METHOD == 0
  /* Both operands are exact, so one operation rounds correctly. */
  static const double tens[] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
  };
  if (r->exact && r->mantissa <= (uint64_t)1 << 53 && r->exponent >= -22 &&
      r->exponent <= 22) {
    double value = (double)r->mantissa;
    if (r->exponent < 0)
      value /= tens[-r->exponent];
    else
      value *= tens[r->exponent];
    *out = r->negative ? -value : value;
    return true;
  }
#endif
  *out = slow_double(r);
  return isfinite(*out);
}

static enum gn_json_type type_of(enum gn_json_event event) {
  switch (event) {
  case GN_JSON_GET_NULL:
    return GN_JSON_NULL;
  case GN_JSON_GET_FALSE:
    return GN_JSON_FALSE;
  case GN_JSON_GET_TRUE:
    return GN_JSON_TRUE;
  case GN_JSON_GET_NUMBER:
    return GN_JSON_NUMBER;
  case GN_JSON_GET_STRING:
    return GN_JSON_STRING;
  case GN_JSON_GET_ARRAY:
    return GN_JSON_ARRAY;
  case GN_JSON_GET_OBJECT:
    return GN_JSON_OBJECT;
  default:
    return GN_JSON_ABSENT;
  }
}

/* The value that the event begins; a container's length is not known yet. */
static void begin_slice(const struct gn_json_reader *r,
                        enum gn_json_event event, struct gn_json_slice *s) {
  s->type = type_of(event);
  s->text = r->token - (event == GN_JSON_GET_STRING);
  s->len = (size_t)(r->p - s->text);
}

/* Paths looked for in one pass, and segments that a path may have. */
#define PASS 16
#define SEGMENTS 32

struct finder {
  const char *path;            /* the caller's */
  struct gn_json_slice *out;   /* where its value goes */
  unsigned segments;           /* of path; 0: the document itself */
  unsigned live;               /* leading segments the open containers match */
  unsigned begin[SEGMENTS];    /* where each segment begins in path */
  unsigned size[SEGMENTS];     /* its length */
  size_t number[SEGMENTS];     /* it as an index, or GN_JSON_NO_INDEX */
};

struct picker {
  struct gn_json_reader r;
  struct finder finders[PASS];  /* one per path */
  size_t n;                     /* of finders */
  size_t index[SEGMENTS];       /* elements begun in the array at each depth */
  bool array[SEGMENTS];         /* is the container at this depth an array */
};

size_t gn_json_index(const char *text, size_t len) {
  size_t i, value = 0;
  if (len == 0 || len > 9 || (len > 1 && text[0] == '0'))
    return GN_JSON_NO_INDEX;
  for (i = 0; i < len; i++) {
    if (text[i] < '0' || text[i] > '9')
      return GN_JSON_NO_INDEX;
    value = value * 10 + (size_t)(text[i] - '0');
  }
  return value;
}

int gn_json_check_path(const char *path, struct gn_error *err) {
  size_t parts = *path != '\0';
  for (; *path; path++)
    parts += *path == '.';
  return parts <= SEGMENTS
             ? 0
             : gn_error_set(err, GN_INVALID, "path",
                            "a JSON path has more than %d parts", SEGMENTS);
}

static int split(struct finder *f, const char *path, struct gn_error *err) {
  const char *p = path;
  if (gn_json_check_path(path, err) != 0)
    return -1;
  f->path = path;
  f->segments = 0;
  f->live = 0;
  while (*path) {
    size_t n = strcspn(p, ".");
    f->begin[f->segments] = (unsigned)(p - path);
    f->size[f->segments] = (unsigned)n;
    f->number[f->segments++] = gn_json_index(p, n);
    if (!p[n])
      break;
    p += n + 1;
  }
  return 0;
}

static bool segment_matches(const struct picker *k, const struct finder *f,
                            unsigned depth) {
  const char *name = f->path + f->begin[depth];
  size_t len = f->size[depth];
  if (k->array[depth])
    return k->index[depth] == f->number[depth];
  if (k->r.escaped)
    return gn_json_token_equals(k->r.token, k->r.token_len, name, len);
  return len == k->r.token_len && memcmp(name, k->r.token, len) == 0;
}

/* A child of the container at `depth` comes next: whose path leads on? Called
 * at a key, whose token it compares, or at an element. */
static void enter_child(struct picker *k, unsigned depth) {
  size_t i;
  for (i = 0; i < k->n; i++) {
    struct finder *f = &k->finders[i];
    if (f->live > depth)
      f->live = depth;
    if (f->live == depth && depth < f->segments &&
        segment_matches(k, f, depth)) {
      f->live = depth + 1;
      /* A key seen before does not count any more, nor what was below it. */
      f->out->type = GN_JSON_ABSENT;
    }
  }
}

/* `depth` containers are open around this value. */
static void enter_value(struct picker *k, enum gn_json_event event,
                        unsigned depth) {
  size_t i;
  for (i = 0; i < k->n; i++) {
    struct finder *f = &k->finders[i];
    if (f->segments == depth && f->live == depth)
      begin_slice(&k->r, event, f->out);
  }
}

static void leave_container(struct picker *k, unsigned depth) {
  size_t i;
  for (i = 0; i < k->n; i++) {
    struct finder *f = &k->finders[i];
    if (f->live < depth)
      continue;
    if (f->segments == depth && f->out->type != GN_JSON_ABSENT)
      f->out->len = (size_t)(k->r.p - f->out->text);
    f->live = depth;
  }
}

/* Whether any path leads into the container that was just opened. */
static bool leads_in(const struct picker *k) {
  size_t i;
  for (i = 0; i < k->n; i++)
    if (k->finders[i].live == k->r.depth - 1 &&
        k->finders[i].segments >= k->r.depth)
      return true;
  return false;
}

/* The next event that matters: of a container where no path leads (its depth,
 * or 0: there is none) only the end does. */
static enum gn_json_event next(struct picker *k, unsigned boring) {
  enum gn_json_event event = gn_json_next(&k->r);
  while (boring && k->r.depth >= boring && event != GN_JSON_GET_FAILED) {
    gn_json_skip(&k->r);
    event = gn_json_next(&k->r);
  }
  return event;
}

static int pick_pass(struct picker *k, const char *text, size_t len,
                     struct gn_error *err) {
  struct gn_json_reader *r = &k->r;
  unsigned boring = 0;
  gn_json_reader_init(r, text, len, 0);
  for (;;) {
    enum gn_json_event event = next(k, boring);
    bool opens = event == GN_JSON_GET_ARRAY || event == GN_JSON_GET_OBJECT;
    unsigned around = r->depth - opens;  /* containers around the value */
    boring = 0;
    switch (event) {
    case GN_JSON_GET_FAILED:
      return gn_json_reader_error(r, err);
    case GN_JSON_GET_END:
      return 0;
    case GN_JSON_GET_KEY:
      if (r->depth <= SEGMENTS)
        enter_child(k, r->depth - 1);
      continue;
    case GN_JSON_GET_ARRAY_END:
    case GN_JSON_GET_OBJECT_END:
      leave_container(k, r->depth);
      continue;
    default:
      break;
    }
    if (around > 0 && around <= SEGMENTS && k->array[around - 1]) {
      enter_child(k, around - 1);
      k->index[around - 1]++;
    }
    enter_value(k, event, around);
    if (opens && !leads_in(k)) {
      boring = r->depth;
    } else if (opens) {
      k->array[around] = event == GN_JSON_GET_ARRAY;
      k->index[around] = 0;
    }
  }
}

int gn_json_pick(const char *text, size_t len, const char *const *paths,
                 size_t npaths, struct gn_json_slice *out,
                 struct gn_error *err) {
  struct picker k;
  size_t done = 0, i;
  for (i = 0; i < npaths; i++) {
    out[i].type = GN_JSON_ABSENT;
    out[i].text = NULL;
    out[i].len = 0;
  }
  do {
    k.n = npaths - done < PASS ? npaths - done : PASS;
    for (i = 0; i < k.n; i++) {
      k.finders[i].out = &out[done + i];
      if (split(&k.finders[i], paths[done + i], err) != 0)
        goto fail;
    }
    if (pick_pass(&k, text, len, err) != 0)
      goto fail;
    done += k.n;
  } while (done < npaths);
  return 0;
fail:
  for (i = 0; i < npaths; i++)
    out[i].type = GN_JSON_ABSENT;
  return -1;
}

int gn_json_array_next(const struct gn_json_slice *array, size_t *pos,
                       struct gn_json_slice *element) {
  struct gn_json_reader r;
  enum gn_json_event event;
  if (array->type != GN_JSON_ARRAY || *pos > array->len)
    return 0;
  /* Open the array again, then go to where the last call stopped. */
  gn_json_reader_init(&r, array->text, array->len, GN_JSON_DEPTH_MAX);
  if (gn_json_next(&r) != GN_JSON_GET_ARRAY)
    return 0;
  if (*pos > 0)
    gn_json_reader_resume(&r, *pos);
  event = gn_json_next(&r);
  if (type_of(event) == GN_JSON_ABSENT)
    return 0;
  begin_slice(&r, event, element);
  while (r.depth > 1)
    if (gn_json_next(&r) == GN_JSON_GET_FAILED)
      return 0;
  *pos = gn_json_reader_offset(&r);
  element->len = (size_t)(r.p - element->text);
  return 1;
}

size_t gn_json_count(const struct gn_json_slice *array) {
  struct gn_json_slice element;
  size_t pos = 0, n = 0;
  while (gn_json_array_next(array, &pos, &element))
    n++;
  return n;
}

int gn_json_string(const struct gn_json_slice *s, char **out, size_t *len,
                   struct gn_error *err) {
  char *text;
  switch (s->type) {
  case GN_JSON_STRING:
    text = gn_alloc(s->len);
    if (!text)
      return gn_error_memory(err);
    *len = gn_json_unescape(s->text + 1, s->len - 2, text);
    text[*len] = '\0';
    break;
  case GN_JSON_NUMBER:
  case GN_JSON_TRUE:
  case GN_JSON_FALSE:
    text = gn_strndup(s->text, s->len);
    if (!text)
      return gn_error_memory(err);
    *len = s->len;
    break;
  default:
    return gn_error_set(err, GN_PROTOCOL, "json", "expected text, found %s",
                        s->type == GN_JSON_ARRAY    ? "an array"
                        : s->type == GN_JSON_OBJECT ? "an object"
                        : s->type == GN_JSON_NULL   ? "null"
                                                    : "nothing");
  }
  *out = text;
  return 0;
}

bool gn_json_equals(const struct gn_json_slice *s, const char *text) {
  switch (s->type) {
  case GN_JSON_STRING:
    return gn_json_token_equals(s->text + 1, s->len - 2, text, strlen(text));
  case GN_JSON_NUMBER:
  case GN_JSON_TRUE:
  case GN_JSON_FALSE:
    return strlen(text) == s->len && memcmp(s->text, text, s->len) == 0;
  default:
    return false;
  }
}

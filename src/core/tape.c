/* Owns: writing a tape, and finding values on it. Must not: read what
 * gn_json_next would refuse, or grow beyond a multiple of the text.
 */
#include "tape.h"

#include "alloc.h"
#include "json_step.h"

#include <string.h>

#define FIRST_PART 6  /* a word for so many bytes of text, at first */
#define WORDS_MORE 64 /* and these */
#define KEY_MAX 31    /* bytes of a key that gets a number */
#define PLACES 256    /* where keys are looked up */
#define WORDS_AT_ONCE 3 /* words of a key and its value */

struct known_key {
  const char *text;     /* its raw text in the document */
  unsigned char len;    /* bytes of it; 0: none yet */
  unsigned char after;  /* the key that last came after it */
};

struct open {
  size_t at;       /* its first word */
  unsigned count;  /* children so far */
};

struct writer {
  struct gn_json_reader r;                 /* reads the document */
  struct gn_tape *t;                       /* takes the words */
  struct open *in;                         /* the container open now */
  unsigned last;                           /* the key before */
  unsigned numbers;                        /* numbers given to keys so far */
  unsigned char places[PLACES];            /* keys' numbers by their hash */
  struct known_key keys[GN_TAPE_KEYS + 1]; /* what numbers stand for */
  struct open open[GN_JSON_DEPTH + 1];     /* the document, then one for each
                                              open container */
};

void gn_tape_free(struct gn_tape *t) {
  if (!t)
    return;
  gn_free(t->words);
  gn_free(t);
}

GN_JSON_INLINE uint64_t word_of(enum gn_tape_type type, size_t offset,
                                size_t len) {
  return (uint64_t)type | (uint64_t)len << 16 | (uint64_t)offset << 40;
}

GN_JSON_INLINE void add(struct writer *w, uint64_t word) {
  w->t->words[w->t->count++] = word;
}

/* The token that was read last. */
GN_JSON_INLINE void add_token(struct writer *w, uint64_t type) {
  const struct gn_json_reader *r = &w->r;
  size_t len = r->token_len;
  uint64_t word = type | (uint64_t)len << 16 |
                  (uint64_t)(r->token - r->text) << 40;
  if (!GN_JSON_LIKELY(!r->escaped)) {
    word |= GN_TAPE_ESCAPED;
    if (len > w->t->escaped_max)
      w->t->escaped_max = len;
  }
  add(w, word);
}

/* The number of a key that was not foreseen, as it stands in the key's word. */
static uint64_t number_of(struct writer *w, const char *text, size_t len,
                          bool escaped) {
  struct known_key *known;
  unsigned i, n;
  if (escaped || len == 0 || len > KEY_MAX)
    return GN_TAPE_NO_KEY << 8;
  i = ((unsigned)(unsigned char)text[0] | (unsigned char)text[len - 1] << 8 |
       (unsigned char)text[len / 2] << 16 | (unsigned)len << 24) *
          2654435769u >> 24;
  known = &w->keys[w->places[i]];
  if (known->len && (known->len != len || memcmp(known->text, text, len))) {
    i ^= 1;  /* a second place, so that two keys need not fight for one */
    known = &w->keys[w->places[i]];
  }
  if (known->len == len && memcmp(known->text, text, len) == 0)
    return (uint64_t)w->places[i] << 8;
  n = w->numbers++ % GN_TAPE_KEYS;
  w->places[i] = (unsigned char)n;
  known = &w->keys[n];
  known->text = text;
  known->len = (unsigned char)len;
  known->after = GN_TAPE_NO_KEY;
  return n << 8 | GN_TAPE_FIRST;
}
/* The keys of a document are few and come again and again, mostly in the same
 * order: bytes that are as foreseen need no scanning. */
GN_JSON_INLINE void add_key(struct writer *w) {
  struct gn_json_reader *r = &w->r;
  struct known_key *before = &w->keys[w->last];
  uint64_t number = (uint64_t)before->after << 8;
  if (!r->guessed) {
    number = number_of(w, r->token, r->token_len, r->escaped);
    before->after = (unsigned char)GN_TAPE_KEY_OF(number);
  }
  add_token(w, GN_TAPE_KEY | number);
  w->last = GN_TAPE_KEY_OF(number);
  before = &w->keys[w->keys[w->last].after];
  r->guess = before->text;
  r->guess_len = before->len;
}

static void add_number(struct writer *w) {
  const struct gn_json_reader *r = &w->r;
  size_t offset = (size_t)(r->token - r->text), len = r->token_len;
  uint64_t bits;
  double value;
  if (r->number == GN_JSON_INTEGER && r->integer == (int32_t)r->integer) {
    add(w, (uint64_t)GN_TAPE_SHORT | (uint64_t)len << 4 |
               (uint64_t)(uint32_t)r->integer << 8 | (uint64_t)offset << 40);
  } else if (r->number == GN_JSON_INTEGER) {
    add(w, word_of(GN_TAPE_LONG, offset, len));
    add(w, (uint64_t)r->integer);
  } else if (r->number == GN_JSON_REAL && gn_json_double(r, &value)) {
    add(w, word_of(GN_TAPE_REAL, offset, len));
    memcpy(&bits, &value, sizeof bits);
    add(w, bits);
  } else {
    add(w, word_of(GN_TAPE_NUMBER, offset, len));
  }
}

/* An array or object was opened. */
static void add_open(struct writer *w, bool object) {
  struct gn_tape *t = w->t;
  w->in->count++;
  w->in = &w->open[w->r.depth];
  w->in->at = t->count;
  w->in->count = 0;
  add(w, word_of(object ? GN_TAPE_OBJECT : GN_TAPE_ARRAY,
                 (size_t)(w->r.token - w->r.text), 0));
  add(w, 0);
  if (w->r.depth > t->depth)
    t->depth = w->r.depth;
}

static void add_close(struct writer *w) {
  uint64_t *words = w->t->words + w->in->at;
  size_t len = (size_t)(w->r.p - w->r.text) - GN_TAPE_OFFSET(words[0]);
  words[0] |= (uint64_t)len << 16;
  words[1] = (uint64_t)w->t->count << 32 | w->in->count;
  w->in = &w->open[w->r.depth];
}

/* Room for the words of a key and its value; false: no memory, or too many. */
static bool grow(struct gn_tape *t, size_t limit) {
  size_t capacity = t->capacity * 2 < limit ? t->capacity * 2 : limit;
  uint64_t *words = NULL;
  if (t->capacity < limit)
    words = gn_realloc(t->words, capacity * sizeof *words);
  if (!words)
    return false;
  t->words = words;
  t->capacity = capacity;
  return true;
}

/* 1, 0 or -1, as gn_tape_new. */
static int write(struct writer *w, size_t limit) {
  struct gn_tape *t = w->t;
  for (;;) {
    enum gn_json_event event;
    if (t->count + WORDS_AT_ONCE > t->capacity && !grow(t, limit))
      return 0;
    event = gn_json_step(&w->r);
    if (event == GN_JSON_GET_KEY) {
      add_key(w);
      event = gn_json_step_value(&w->r);
    }
    switch (event) {
    case GN_JSON_GET_FAILED:
      return -1;
    case GN_JSON_GET_END:
      return 1;
    case GN_JSON_GET_ARRAY:
    case GN_JSON_GET_OBJECT:
      add_open(w, event == GN_JSON_GET_OBJECT);
      continue;
    case GN_JSON_GET_ARRAY_END:
    case GN_JSON_GET_OBJECT_END:
      add_close(w);
      continue;
    case GN_JSON_GET_STRING:
      add_token(w, GN_TAPE_STRING);
      break;
    case GN_JSON_GET_NUMBER:
      add_number(w);
      break;
    default:
      w->r.escaped = false;
      add_token(w, event == GN_JSON_GET_NULL   ? GN_TAPE_NULL
                   : event == GN_JSON_GET_TRUE ? GN_TAPE_TRUE
                                               : GN_TAPE_FALSE);
    }
    w->in->count++;
  }
}

int gn_tape_new(const char *text, size_t len, struct gn_tape **tape,
                struct gn_error *err) {
  struct writer w;
  struct gn_tape *t;
  int rc = 0;
  *tape = NULL;
  if (len > GN_TAPE_TEXT_MAX)
    return 0;
  t = gn_alloc_zero(sizeof *t);
  if (!t)
    return 0;
  t->text = text;
  t->capacity = len / FIRST_PART + WORDS_MORE;
  t->words = gn_alloc(t->capacity * sizeof *t->words);
  if (t->words) {
    gn_json_reader_init(&w.r, text, len, 0);
    w.t = t;
    w.in = w.open;
    w.in->count = 0;
    w.last = GN_TAPE_NO_KEY;
    w.numbers = 0;
    memset(w.places, GN_TAPE_NO_KEY, sizeof w.places);
    memset(w.keys, 0, sizeof w.keys);
    w.keys[GN_TAPE_NO_KEY].after = GN_TAPE_NO_KEY;
    rc = write(&w, len / 2 + WORDS_MORE);
  }
  if (rc == 1) {
    *tape = t;
    return 1;
  }
  gn_tape_free(t);
  return rc == 0 ? 0 : gn_json_reader_error(&w.r, err);
}

/* ---- finding ---- */

static size_t next(const struct gn_tape *t, size_t i) {
  switch (GN_TAPE_TYPE(t->words[i])) {
  case GN_TAPE_ARRAY:
  case GN_TAPE_OBJECT:
    return GN_TAPE_AFTER(t->words[i + 1]);
  case GN_TAPE_LONG:
  case GN_TAPE_REAL:
    return i + 2;
  default:
    return i + 1;
  }
}

static void slice(const struct gn_tape *t, size_t i,
                  struct gn_json_slice *out) {
  static const enum gn_json_type types[] = {
    [GN_TAPE_NULL] = GN_JSON_NULL, [GN_TAPE_FALSE] = GN_JSON_FALSE,
    [GN_TAPE_TRUE] = GN_JSON_TRUE, [GN_TAPE_STRING] = GN_JSON_STRING,
    [GN_TAPE_KEY] = GN_JSON_STRING, [GN_TAPE_SHORT] = GN_JSON_NUMBER,
    [GN_TAPE_LONG] = GN_JSON_NUMBER, [GN_TAPE_REAL] = GN_JSON_NUMBER,
    [GN_TAPE_NUMBER] = GN_JSON_NUMBER, [GN_TAPE_ARRAY] = GN_JSON_ARRAY,
    [GN_TAPE_OBJECT] = GN_JSON_OBJECT,
  };
  uint64_t w = t->words[i];
  unsigned quote;
  out->type = types[GN_TAPE_TYPE(w)];
  quote = out->type == GN_JSON_STRING;
  out->text = t->text + GN_TAPE_OFFSET(w) - quote;
  out->len = (GN_TAPE_TYPE(w) == GN_TAPE_SHORT ? GN_TAPE_SHORT_LEN(w)
                                               : GN_TAPE_LEN(w)) + 2 * quote;
}

/* The value of the key, the last one of that name, in the object at i; 0: there
 * is none (no child is the first word). */
static size_t member(const struct gn_tape *t, size_t i, const char *name,
                     size_t len) {
  size_t end = GN_TAPE_AFTER(t->words[i + 1]), found = 0;
  for (i += 2; i < end; i = next(t, i + 1)) {
    uint64_t key = t->words[i];
    const char *token = t->text + GN_TAPE_OFFSET(key);
    if (gn_json_token_equals(token, GN_TAPE_LEN(key), name, len))
      found = i + 1;
  }
  return found;
}

static size_t element(const struct gn_tape *t, size_t i, size_t index) {
  if (index >= GN_TAPE_COUNT(t->words[i + 1]))
    return 0;
  for (i += 2; index > 0; index--)
    i = next(t, i);
  return i;
}

static void find(const struct gn_tape *t, const char *path,
                 struct gn_json_slice *out) {
  size_t i = 0;
  const char *p = path;
  while (*path) {
    size_t n = strcspn(p, ".");
    enum gn_tape_type type = GN_TAPE_TYPE(t->words[i]);
    i = type == GN_TAPE_OBJECT  ? member(t, i, p, n)
        : type == GN_TAPE_ARRAY ? element(t, i, gn_json_index(p, n))
                                : 0;
    if (i == 0)
      return;
    if (!p[n])
      break;
    p += n + 1;
  }
  slice(t, i, out);
}

int gn_tape_pick(const struct gn_tape *t, const char *const *paths, size_t n,
                 struct gn_json_slice *out, struct gn_error *err) {
  size_t i;
  for (i = 0; i < n; i++)
    out[i].type = GN_JSON_ABSENT;
  for (i = 0; i < n; i++)
    if (gn_json_check_path(paths[i], err) != 0)
      return -1;
  for (i = 0; i < n; i++)
    find(t, paths[i], &out[i]);
  return 0;
}

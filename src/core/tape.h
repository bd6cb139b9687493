/* Owns: a JSON document as a list of words, made in one strict pass over its
 * text: what is left to do on another thread is to build values.
 * Must not: keep a byte of the text; the words point into it.
 */
#ifndef GN_TAPE_H
#define GN_TAPE_H

#include "json.h"

#define GN_TAPE_TEXT_MAX ((size_t)1 << 22) /* longer documents get no tape */
#define GN_TAPE_KEYS 64                    /* numbers that keys can have */
#define GN_TAPE_NO_KEY GN_TAPE_KEYS        /* of one that has no number */

/* The four lowest bits of a word. The values stand in the order of the text, a
 * key before its value. An array or object, GN_TAPE_LONG and GN_TAPE_REAL have
 * a second word. */
enum gn_tape_type {
  GN_TAPE_NULL,
  GN_TAPE_FALSE,
  GN_TAPE_TRUE,
  GN_TAPE_STRING,
  GN_TAPE_KEY,    /* the first one of a number gives it its meaning */
  GN_TAPE_SHORT,  /* an integer of 32 bits, in the word itself */
  GN_TAPE_LONG,   /* an int64_t */
  GN_TAPE_REAL,   /* a finite double */
  GN_TAPE_NUMBER, /* one that neither can hold: only its text */
  GN_TAPE_ARRAY,  /* how many children, and where the words after them are */
  GN_TAPE_OBJECT  /* likewise */
};

#define GN_TAPE_TYPE(w) ((enum gn_tape_type)((w) & 15))
#define GN_TAPE_OFFSET(w) ((size_t)((w) >> 40)) /* of its text, no quotes */
/* Not of GN_TAPE_SHORT: */
#define GN_TAPE_ESCAPED 0x10u /* has backslashes */
#define GN_TAPE_FIRST 0x20u   /* its number stands for this key from now on */
#define GN_TAPE_KEY_OF(w) ((unsigned)((w) >> 8 & 255))
#define GN_TAPE_LEN(w) ((size_t)((w) >> 16 & 0xffffff))
/* Of GN_TAPE_SHORT: */
#define GN_TAPE_SHORT_LEN(w) ((size_t)((w) >> 4 & 15))
#define GN_TAPE_SHORT_VALUE(w) ((int32_t)(uint32_t)((w) >> 8))
/* Of an array's or object's second word: */
#define GN_TAPE_COUNT(w) ((unsigned)((w) & 0xffffffff))
#define GN_TAPE_AFTER(w) ((size_t)((w) >> 32))

struct gn_tape {
  const char *text;     /* the document, not owned */
  uint64_t *words;      /* the document's value */
  size_t count;         /* of the words */
  size_t capacity;      /* words that there is room for */
  size_t escaped_max;   /* bytes of the longest token with backslashes */
  unsigned depth;       /* containers open at once, at most */
  bool used;            /* values are, or were, built of it */
};

/* 1: *tape is the caller's; 0: there is none (the text is too long or makes too
 * many words, or memory ran out); -1: not JSON, err as gn_json_reader_error
 * fills it. The depth allowed is GN_JSON_DEPTH. */
int gn_tape_new(const char *text, size_t len, struct gn_tape **tape,
                struct gn_error *err);
void gn_tape_free(struct gn_tape *t); /* NULL is allowed */
/* As gn_json_pick. */
int gn_tape_pick(const struct gn_tape *t, const char *const *paths, size_t n,
                 struct gn_json_slice *out, struct gn_error *err);

#endif

/* Owns: the strict JSON reader (RFC 8259): a pull reader, and what picks values
 * out of a document without building it.
 * Must not: allocate (but for a decoded string), recurse, write JSON, or be
 * more lenient than the standard. A host-language error may jump out between
 * two events: the reader owns nothing.
 */
#ifndef GN_JSON_H
#define GN_JSON_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_JSON_DEPTH 512       /* the default, also for a depth of 0 */
#define GN_JSON_DEPTH_MAX 2048  /* a greater depth is cut to this */
#define GN_JSON_GUESS_MAX 40    /* bytes that comparing a guess may read */

/* What gn_json_next found. */
enum gn_json_event {
  GN_JSON_GET_FAILED,        /* not JSON: see gn_json_reader_error */
  GN_JSON_GET_END,           /* the value is complete, nothing follows it */
  GN_JSON_GET_NULL,
  GN_JSON_GET_FALSE,
  GN_JSON_GET_TRUE,
  GN_JSON_GET_NUMBER,
  GN_JSON_GET_STRING,
  GN_JSON_GET_KEY,           /* its value is the next event */
  GN_JSON_GET_ARRAY,         /* opens; depth counts it already */
  GN_JSON_GET_OBJECT,
  GN_JSON_GET_ARRAY_END,     /* closed; depth does not count it any more */
  GN_JSON_GET_OBJECT_END
};

enum gn_json_number {
  GN_JSON_INTEGER,     /* digits only, fits int64_t, not "-0" */
  GN_JSON_BIG_INTEGER, /* digits only, does not fit */
  GN_JSON_REAL         /* with a fraction or an exponent, or "-0" */
};

struct gn_json_reader {
  const char *text;            /* the document, the caller's */
  const char *p;               /* the next byte; once failed: the bad byte */
  const char *end;             /* beyond the document's last byte */
  const char *token;           /* the last scalar or key, raw, no quotes */
  size_t token_len;            /* its bytes */
  const char *message;         /* why it failed */
  int64_t integer;             /* the last number, if GN_JSON_INTEGER */
  uint64_t mantissa;           /* the last number: up to 19 digits of it */
  int64_t exponent;            /* power of ten that goes with mantissa */
  enum gn_json_number number;  /* the last number's sort */
  bool negative;               /* the last number's sign */
  bool exact;                  /* mantissa and exponent are the whole number */
  bool escaped;                /* token has backslashes: gn_json_unescape */
  bool in_object;              /* what is open now, if anything is */
  bool guessed;                /* the last key was the guess */
  unsigned state;              /* what may come next */
  unsigned depth;              /* containers open now */
  unsigned max_depth;          /* no more than these */
  unsigned guess_len;          /* bytes of it, below GN_JSON_GUESS_MAX - 8 */
  const char *guess;           /* what the next key may be: an earlier one in
                                  text, no escapes; the driver's; or NULL */
  unsigned char objects[GN_JSON_DEPTH_MAX / 8];  /* a bit each: an object? */
};

void gn_json_reader_init(struct gn_json_reader *r, const char *text, size_t len,
                         unsigned depth);
enum gn_json_event gn_json_next(struct gn_json_reader *r);
/* Goes on inside the container open now, without its events: to its closing
 * bracket, or to something rare; gn_json_next goes on from there. */
void gn_json_skip(struct gn_json_reader *r);
/* Goes on in the container open now, after its child that ended at offset. */
void gn_json_reader_resume(struct gn_json_reader *r, size_t offset);
size_t gn_json_reader_offset(const struct gn_json_reader *r); /* from 0 */
/* Fills err: kind GN_PROTOCOL, code "json", "... at byte N", N counted from 1.
 * Returns -1. */
int gn_json_reader_error(const struct gn_json_reader *r, struct gn_error *err);
/* The last number as a double, correctly rounded in any locale. False if it is
 * not finite. */
bool gn_json_double(const struct gn_json_reader *r, double *out);

/* Decodes a token (checked by the reader) into out, which has room for len
 * bytes: it never grows. Returns the bytes written. */
size_t gn_json_unescape(const char *token, size_t len, char *out);
/* Whether a token, decoded, is the text. */
bool gn_json_token_equals(const char *token, size_t len, const char *text,
                          size_t text_len);
/* How many of the first bytes can stand in a JSON string as they are: valid
 * UTF-8, no control character, no quote, no backslash. */
size_t gn_json_plain(const char *s, size_t len);

enum gn_json_type {
  GN_JSON_ABSENT,
  GN_JSON_NULL,
  GN_JSON_FALSE,
  GN_JSON_TRUE,
  GN_JSON_NUMBER,
  GN_JSON_STRING,
  GN_JSON_ARRAY,
  GN_JSON_OBJECT
};

/* A value inside a document that gn_json_pick has checked. */
struct gn_json_slice {
  enum gn_json_type type;  /* GN_JSON_ABSENT: the rest says nothing */
  const char *text;        /* its raw text in the document, quotes included */
  size_t len;              /* bytes of it */
};

/* 0, or -1 with err as gn_json_reader_error fills it. */
int gn_json_check(const char *text, size_t len, unsigned depth,
                  struct gn_error *err);
/* Checks the whole document and finds the values at dotted paths, such as
 * "error.errors.0.reason" (indices from 0; "" is the document itself). What is
 * not there ends as GN_JSON_ABSENT; of a key that occurs twice, the last one
 * counts. Returns 0, or -1 with all of out absent. */
int gn_json_pick(const char *text, size_t len, const char *const *paths,
                 size_t npaths, struct gn_json_slice *out,
                 struct gn_error *err);
/* -1, GN_INVALID, code "path": it has too many parts. */
int gn_json_check_path(const char *path, struct gn_error *err);
/* A part of such a path as an index. */
#define GN_JSON_NO_INDEX ((size_t)-1)
size_t gn_json_index(const char *text, size_t len);
/* 1 and the next element, or 0 at the end (or if this is no array). *pos starts
 * at 0 and belongs to this function. */
int gn_json_array_next(const struct gn_json_slice *array, size_t *pos,
                       struct gn_json_slice *element);
size_t gn_json_count(const struct gn_json_slice *array);
/* A string decoded, a number, true or false as its text; gn_alloc'd, with a NUL
 * beyond *len (the text itself may have some). Others: -1, GN_PROTOCOL. */
int gn_json_string(const struct gn_json_slice *s, char **out, size_t *len,
                   struct gn_error *err);
/* As gn_json_string's result would compare with text; others equal nothing. */
bool gn_json_equals(const struct gn_json_slice *s, const char *text);

#endif

/* Owns: the strings of a large document that is being built. One that comes
 * again, as names, states and the times of parallel series do, is taken from a
 * table; to make it anew is a search through memory that no cache holds.
 * Must not: grow with the document, or believe a hash: bytes are
 * compared.
 */
#ifndef GN_LUA_JSON_STRINGS_H
#define GN_LUA_JSON_STRINGS_H

#include "compat.h"

#include "../core/json_step.h"

#include <stdint.h>

#define GN_STRINGS_COLUMNS 65  /* one for each key's number, one for others */
#define GN_STRINGS_SLOTS 2     /* of the Lua stack, until the end */
#define GN_STRING_MAX 63       /* bytes of the longest that is remembered */

struct gn_string_seen {
  const char *text;  /* its raw text in the document */
  uint32_t len;      /* bytes of it; 0: none */
  uint32_t after;    /* the string that last came after it in its column */
};

struct gn_string_column {
  uint32_t last;  /* its last string that is remembered */
  int credit;     /* new strings that will be found by hash, each of them */
  unsigned idle;  /* strings that will not be looked for */
};

struct gn_strings {
  int slot;                     /* of the table with the strings */
  uint32_t n;                   /* strings in it, from 1 */
  uint32_t max;                 /* fewer than these; 0: none */
  struct gn_string_seen *seen;  /* of each string; the first one is none */
  uint32_t *places;             /* by hash: a string's number and a tag */
  struct gn_string_column columns[GN_STRINGS_COLUMNS];  /* by key */
};

/* slot: the first of GN_STRINGS_SLOTS. len: bytes of the document. */
void gn_strings_init(struct gn_strings *s, lua_State *L, int slot, size_t len);
/* Pushes text, which has no escapes and at most GN_STRING_MAX bytes. */
void gn_strings_push(struct gn_strings *s, lua_State *L,
                     struct gn_string_column *c, const char *text, size_t len);

/* Where a value of the column must come: takes the string that came after the
 * last one, if it is there, unread: its bytes were checked before. */
GN_JSON_INLINE bool gn_strings_take(struct gn_strings *s, lua_State *L,
                                    struct gn_string_column *c,
                                    struct gn_json_reader *r) {
#if GN_JSON_WORDS
  uint32_t i = s->max ? s->seen[c->last].after : 0;
  const struct gn_string_seen *seen;
  const char *p;
  if (i == 0)
    return false;
  seen = &s->seen[i];
  p = gn_json_skip_space(r->p, r->end);
  if (r->end - p < GN_STRING_MAX + 16 || *p != '"' ||
      !gn_json_same(p + 1, seen->text, seen->len + 1))
    return false;
  r->p = p + seen->len + 2;
  r->state = GN_JSON_AT_AFTER;
  c->last = i;
  lua_rawgeti(L, s->slot, (int)i);
  return true;
#else
  (void)s, (void)L, (void)c, (void)r;
  return false;
#endif
}

#endif

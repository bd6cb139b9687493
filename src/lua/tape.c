/* Owns: Lua values built from a tape: each table is made with room for exactly
 * its children, which go straight into it.
 * Must not: read the text but for what strings hold, or free the tape.
 */
#include "json.h"

#include "util.h"

#include <string.h>

#define FIRST_SCRATCH 256 /* bytes of a string with escapes without userdata */
#define FIRST_FRAMES 32   /* open containers that need no userdata */
#define EVENT_SLOTS 8     /* slots that a value and an error may need */

struct frame {
  unsigned left;  /* children still to come */
  int index;      /* of the last element, or -1: it is an object */
};

struct builder {
  lua_State *L;                     /* where the values go */
  const struct gn_tape *t;          /* what is read */
  int keys;                         /* the slot of the key of number 0 */
  char *scratch;                    /* for escapes: `little` or userdata */
  struct frame *frames;             /* one per open container */
  struct frame first[FIRST_FRAMES]; /* where they are at first */
  char little[FIRST_SCRATCH];       /* scratch at first */
};

static void push_text(struct builder *b, uint64_t w) {
  const char *text = b->t->text + GN_TAPE_OFFSET(w);
  size_t len = GN_TAPE_LEN(w);
  if (w & GN_TAPE_ESCAPED) {
    len = gn_json_unescape(text, len, b->scratch);
    text = b->scratch;
  }
  lua_pushlstring(b->L, text, len);
}

static void push_new_key(struct builder *b, uint64_t w) {
  push_text(b, w);
  if (w & GN_TAPE_FIRST) {
    lua_pushvalue(b->L, -1);
    lua_replace(b->L, b->keys + (int)GN_TAPE_KEY_OF(w));
  }
}

/* Returns where the word after it is. */
static const uint64_t *push_scalar(struct builder *b, const uint64_t *p) {
  lua_State *L = b->L;
  uint64_t w = *p++;
  double real;
  switch (GN_TAPE_TYPE(w)) {
  case GN_TAPE_NULL:
    lua_pushlightuserdata(L, NULL);
    break;
  case GN_TAPE_FALSE:
  case GN_TAPE_TRUE:
    lua_pushboolean(L, GN_TAPE_TYPE(w) == GN_TAPE_TRUE);
    break;
  case GN_TAPE_SHORT:
    GN_LUA_PUSH_INT64(L, GN_TAPE_SHORT_VALUE(w));
    break;
  case GN_TAPE_LONG:
    if (GN_LUA_EXACT((int64_t)*p))
      GN_LUA_PUSH_INT64(L, (int64_t)*p);
    else
      push_text(b, w);
    p++;
    break;
  case GN_TAPE_REAL:
    memcpy(&real, p++, sizeof real);
    lua_pushnumber(L, (lua_Number)real);
    break;
  default:
    push_text(b, w);
  }
  return p;
}

/* Makes the table of the array or object at p; true: it has children. */
static int open(struct builder *b, const uint64_t *p, struct frame *f) {
  bool array = GN_TAPE_TYPE(*p) == GN_TAPE_ARRAY;
  f->left = GN_TAPE_COUNT(p[1]);
  f->index = array ? 0 : -1;
  lua_createtable(b->L, array ? (int)f->left : 0, array ? 0 : (int)f->left);
  if (array && f->left == 0) {
    gn_lua_json_push_array_metatable(b->L);
    lua_setmetatable(b->L, -2);
  }
  return f->left > 0;
}

static void build(struct builder *b) {
  lua_State *L = b->L;
  const uint64_t *p = b->t->words;
  struct frame root = {1, 0}, *f = &root, *inner = b->frames;
  for (;;) {
    uint64_t w = *p;
    switch (GN_TAPE_TYPE(w)) {
    case GN_TAPE_KEY:
      p++;
      if (GN_TAPE_KEY_OF(w) != GN_TAPE_NO_KEY && !(w & GN_TAPE_FIRST))
        lua_pushvalue(L, b->keys + (int)GN_TAPE_KEY_OF(w));
      else
        push_new_key(b, w);
      continue;
    case GN_TAPE_ARRAY:
    case GN_TAPE_OBJECT:
      if (open(b, p, inner)) {
        f = inner++;
        p += 2;
        continue;
      }
      p += 2;
      break;
    case GN_TAPE_STRING:
      p++;
      push_text(b, w);
      break;
    default:
      p = push_scalar(b, p);
    }
    /* A value is whole; with it maybe what is around it. */
    for (;;) {
      if (f == &root)
        return;
      if (f->index < 0)
        lua_rawset(L, -3);
      else
        lua_rawseti(L, -2, ++f->index);
      if (--f->left > 0)
        break;
      f = --inner == b->frames ? &root : inner - 1;
    }
  }
}

void gn_lua_tape_push(lua_State *L, const struct gn_tape *t) {
  struct builder b;
  int base = lua_gettop(L);
  gn_lua_reserve(L, GN_TAPE_KEYS + 2 * (int)t->depth + EVENT_SLOTS);
  b.L = L;
  b.t = t;
  b.scratch = b.little;
  b.frames = b.first;
  if (t->escaped_max > sizeof b.little)
    b.scratch = gn_compat_userdata(L, t->escaped_max);
  if (t->depth > FIRST_FRAMES)
    b.frames = gn_compat_userdata(L, t->depth * sizeof *b.frames);
  b.keys = lua_gettop(L) + 1;
  lua_settop(L, b.keys + GN_TAPE_KEYS - 1);
  build(&b);
  lua_replace(L, base + 1);
  lua_settop(L, base + 1);
}

/* Owns: JSON text made from Lua values: the same value gives the same bytes on
 * every Lua and in every locale (sorted keys, no metamethods).
 * Must not: hold memory of its own while Lua may raise; buffers are userdata.
 */
#include "json.h"

#include "../core/json.h"
#include "util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 512
#define FIRST_KEYS 32
#define LEVEL_SLOTS 8        /* slots that one level of nesting may need */
#define EXACT 9007199254740992.0
#define PATH_PARTS 8         /* of a path in a message, the rest is "..." */

struct level {
  const struct level *above;  /* the table around this one; NULL: outermost */
  const void *table;          /* its identity */
  const char *key;            /* where its child is; NULL: in an array */
  size_t len;                 /* bytes of key */
  size_t index;               /* where its child is in an array */
  unsigned depth;             /* levels above */
};

struct key {
  const char *text;  /* anchored by the table of keys */
  size_t len;        /* bytes of text */
  int slot;          /* its index in the table of keys */
};

struct encoder {
  lua_State *L;      /* whose values are written */
  char *out;         /* the text so far: userdata at slot OUT */
  size_t len;        /* bytes of it */
  size_t size;       /* bytes there is room for */
  struct key *keys;  /* a stack of the open objects' keys: userdata at KEYS */
  int n;             /* keys on it */
  int max;           /* keys there is room for */
  unsigned depth;    /* tables may nest this deep */
  char what[64];     /* a complaint in the making */
  char message[400]; /* the complaint with its path */
};

enum { VALUE = 1, OUT, KEYS, ANCHOR };

static int encode_value(struct encoder *e, const struct level *above);

static char *reserve(struct encoder *e, size_t extra) {
  if (e->size - e->len < extra) {
    size_t size = e->size;
    char *out;
    while (size - e->len < extra) {
      if (size > (size_t)-1 / 2)
        luaL_error(e->L, "not enough memory");
      size *= 2;
    }
    out = lua_newuserdata(e->L, size);
    memcpy(out, e->out, e->len);
    lua_replace(e->L, OUT);
    e->out = out;
    e->size = size;
  }
  return e->out + e->len;
}

static void put(struct encoder *e, const char *text, size_t len) {
  memcpy(reserve(e, len), text, len);
  e->len += len;
}

static void put_byte(struct encoder *e, char c) {
  *reserve(e, 1) = c;
  e->len++;
}

/* "filters[2].name", or "" for the outermost value. */
static void write_path(const struct level *where, char *out, size_t cap) {
  const struct level *parts[PATH_PARTS];
  size_t n = 0, used = 0;
  unsigned skipped = 0;
  for (; where; where = where->above) {
    if (where->depth >= PATH_PARTS)
      skipped++;
    else
      parts[n++] = where;
  }
  out[0] = '\0';
  while (n > 0 && used < cap) {
    const struct level *l = parts[--n];
    int wrote = l->key ? snprintf(out + used, cap - used, "%s%.*s",
                                  used ? "." : "",
                                  l->len > 32 ? 32 : (int)l->len, l->key)
                       : snprintf(out + used, cap - used, "[%zu]", l->index);
    used += wrote > 0 ? (size_t)wrote : 0;
  }
  if (skipped && used < cap)
    snprintf(out + used, cap - used, "...");
}

static int refuse(struct encoder *e, const struct level *where,
                  const char *what) {
  int n = snprintf(e->message, sizeof e->message, "cannot encode %s%s", what,
                   where ? " at " : "");
  if (where)
    write_path(where, e->message + n, sizeof e->message - (size_t)n);
  return -1;
}

static int encode_text(struct encoder *e, const char *s, size_t len,
                       const struct level *above) {
  const char *end = s + len;
  put_byte(e, '"');
  for (;;) {
    static const char bytes[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    size_t n = gn_json_plain(s, (size_t)(end - s));
    const char *found;
    put(e, s, n);
    s += n;
    if (s == end)
      break;
    if ((unsigned char)*s >= 0x80)
      return refuse(e, above, "text that is not UTF-8");
    found = *s ? strchr(bytes, *s) : NULL;
    if (found) {
      char escape[2] = { '\\', names[found - bytes] };
      put(e, escape, 2);
    } else {
      char escape[8];
      snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)*s);
      put(e, escape, 6);
    }
    s++;
  }
  put_byte(e, '"');
  return 0;
}

static void put_integer(struct encoder *e, int64_t i) {
  char digits[24], *p = digits + sizeof digits;
  uint64_t rest = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
  do
    *--p = (char)('0' + rest % 10);
  while (rest /= 10);
  if (i < 0)
    *--p = '-';
  put(e, p, (size_t)(digits + sizeof digits - p));
}

/* The shortest text that reads back as the same double, with a point whatever
 * the locale has. */
static void put_fraction(struct encoder *e, double value) {
  char text[40], *from, *to = text;
  int digits;
  for (digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (digits == 17 || strtod(text, NULL) == value)
      break;
  }
  for (from = text; *from; from++) {
    if (strchr("0123456789+-e", *from))
      *to++ = *from;
    else if (to == text || to[-1] != '.')
      *to++ = '.';
  }
  put(e, text, (size_t)(to - text));
}

static int encode_double(struct encoder *e, double value,
                         const struct level *above) {
  if (!isfinite(value))
    return refuse(e, above, value != value ? "NaN" : "infinity");
  if (value != floor(value)) {
    put_fraction(e, value);
  } else if (value == 0 && signbit(value)) {
    put(e, "-0", 2);
  } else if (fabs(value) <= EXACT) {
    put_integer(e, (int64_t)value);
  } else {
    /* Without ".0" it would claim to be exact, and be read back as text. */
    char *text = reserve(e, 340);
    e->len += (size_t)snprintf(text, 340, "%.0f.0", value);
  }
  return 0;
}

static int encode_number(struct encoder *e, const struct level *above) {
#if GN_LUA_HAS_INTEGERS
  if (lua_isinteger(e->L, -1)) {
    put_integer(e, (int64_t)lua_tointeger(e->L, -1));
    return 0;
  }
#endif
  return encode_double(e, (double)lua_tonumber(e->L, -1), above);
}

static void add_key(struct encoder *e) {
  struct key *k;
  if (e->n == e->max) {
    struct key *more = lua_newuserdata(e->L, (size_t)e->max * 2 * sizeof *more);
    memcpy(more, e->keys, (size_t)e->n * sizeof *more);
    lua_replace(e->L, KEYS);
    e->keys = more;
    e->max *= 2;
  }
  k = &e->keys[e->n++];
  k->text = lua_tolstring(e->L, -1, &k->len);
  k->slot = e->n;
  lua_pushvalue(e->L, -1);
  lua_rawseti(e->L, ANCHOR, e->n);
}

static int compare_keys(const void *a, const void *b) {
  const struct key *x = a, *y = b;
  size_t len = x->len < y->len ? x->len : y->len;
  int order = memcmp(x->text, y->text, len);
  return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* What the table on top is: its length as an array, or -1 as an object, whose
 * keys then are the last of e->keys; -2 if it is neither. */
static long classify(struct encoder *e, const struct level *level,
                     int is_array) {
  lua_State *L = e->L;
  size_t length = lua_rawlen(L, -1), indices = 0;
  int first = e->n;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TNUMBER) {
      lua_Number key = lua_tonumber(L, -1);
      if (!(key >= 1 && key <= (lua_Number)length && key == floor(key)))
        return refuse(e, level, "a sparse array (keys other than 1..n)"), -2;
      indices++;
    } else if (lua_type(L, -1) != LUA_TSTRING) {
      return refuse(e, level, "a key that is neither text nor index"), -2;
    } else if (is_array) {
      return refuse(e, level, "an array with a key that is text"), -2;
    } else {
      add_key(e);
    }
    if (indices > 0 && e->n > first)
      return refuse(e, level, "a table with both indices and text as keys"), -2;
  }
  if (indices != length)
    return refuse(e, level, "a sparse array (keys other than 1..n)"), -2;
  return is_array || indices > 0 ? (long)length : -1;
}

static int encode_array(struct encoder *e, struct level *level, long n) {
  long i;
  put_byte(e, '[');
  for (i = 1; i <= n; i++) {
    level->index = (size_t)i;
    if (i > 1)
      put_byte(e, ',');
    lua_rawgeti(e->L, -1, i);
    if (encode_value(e, level) != 0)
      return -1;
    lua_pop(e->L, 1);
  }
  put_byte(e, ']');
  return 0;
}

static int encode_object(struct encoder *e, struct level *level, int first) {
  lua_State *L = e->L;
  int i, n = e->n;
  qsort(e->keys + first, (size_t)(n - first), sizeof *e->keys, compare_keys);
  put_byte(e, '{');
  for (i = first; i < n; i++) {
    if (i > first)
      put_byte(e, ',');
    level->key = e->keys[i].text;
    level->len = e->keys[i].len;
    if (encode_text(e, level->key, level->len, level->above) != 0)
      return -1;
    put_byte(e, ':');
    lua_rawgeti(L, ANCHOR, e->keys[i].slot);
    lua_rawget(L, -2);
    if (encode_value(e, level) != 0)
      return -1;
    lua_pop(L, 1);
  }
  put_byte(e, '}');
  e->n = first;
  return 0;
}

static int refuse_depth(struct encoder *e, const struct level *above) {
  const void *table = lua_topointer(e->L, -1);
  const struct level *l;
  for (l = above; l; l = l->above)
    if (l->table == table)
      return refuse(e, above, "a table that contains itself");
  snprintf(e->what, sizeof e->what, "tables nested deeper than %u", e->depth);
  return refuse(e, above, e->what);
}

static int encode_table(struct encoder *e, const struct level *above) {
  lua_State *L = e->L;
  struct level level = { above, lua_topointer(L, -1), NULL, 0, 0, 0 };
  int is_array = 0, first = e->n;
  long n;
  level.depth = above ? above->depth + 1 : 0;
  if (level.depth >= e->depth)
    return refuse_depth(e, above);
  gn_lua_reserve(L, LEVEL_SLOTS);
  if (lua_getmetatable(L, -1)) {
    gn_lua_json_push_array_metatable(L);
    is_array = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  n = classify(e, above, is_array);
  if (n == -2)
    return -1;
  return n >= 0 ? encode_array(e, &level, n) : encode_object(e, &level, first);
}

/* Writes the value on top of the stack, which stays there. 0, or -1 with the
 * message set. */
static int encode_value(struct encoder *e, const struct level *above) {
  lua_State *L = e->L;
  size_t len;
  const char *text;
  switch (lua_type(L, -1)) {
  case LUA_TSTRING:
    text = lua_tolstring(L, -1, &len);
    return encode_text(e, text, len, above);
  case LUA_TNUMBER:
    return encode_number(e, above);
  case LUA_TBOOLEAN:
    if (lua_toboolean(L, -1))
      put(e, "true", 4);
    else
      put(e, "false", 5);
    return 0;
  case LUA_TTABLE:
    return encode_table(e, above);
  case LUA_TLIGHTUSERDATA:
    if (!lua_touserdata(L, -1)) {
      put(e, "null", 4);
      return 0;
    }
    break;
  default:
    break;
  }
  snprintf(e->what, sizeof e->what, "a %s", luaL_typename(L, -1));
  return refuse(e, above, e->what);
}

static unsigned depth_option(lua_State *L) {
  lua_Number depth = GN_JSON_DEPTH;
  if (lua_isnoneornil(L, 2))
    return GN_JSON_DEPTH;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_getfield(L, 2, "depth");
  if (!lua_isnil(L, -1)) {
    luaL_argcheck(L, lua_type(L, -1) == LUA_TNUMBER, 2,
                  "depth must be a number");
    depth = lua_tonumber(L, -1);
    luaL_argcheck(L, depth >= 1 && depth <= GN_JSON_DEPTH_MAX, 2,
                  "depth out of range");
  }
  return (unsigned)depth;
}

int gn_lua_json_encode(lua_State *L) {
  struct encoder e;
  luaL_checkany(L, 1);
  e.L = L;
  e.depth = depth_option(L);
  lua_settop(L, VALUE);
  e.out = lua_newuserdata(L, FIRST_BYTES);
  e.len = 0;
  e.size = FIRST_BYTES;
  e.keys = lua_newuserdata(L, FIRST_KEYS * sizeof *e.keys);
  e.n = 0;
  e.max = FIRST_KEYS;
  lua_newtable(L);
  lua_pushvalue(L, VALUE);
  if (encode_value(&e, NULL) != 0) {
    lua_pushnil(L);
    lua_pushstring(L, e.message);
    return 2;
  }
  lua_pushlstring(L, e.out, e.len);
  return 1;
}

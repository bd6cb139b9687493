/* Owns: Lua values built from the core reader's events, in one pass: children
 * are collected on the Lua stack, then one table of the right size takes them.
 * Must not: parse, or hold memory of its own while Lua may raise; what it needs
 * besides the C stack is userdata on the Lua stack.
 */
#include "json.h"

#include "../core/json_step.h"
#include "collector.h"
#include "json_strings.h"
#include "util.h"

#include <stdio.h>
#include <string.h>

#define ARRAY_METATABLE "garner.json.array"

#define FIRST_SCRATCH 256 /* bytes of a string with escapes without userdata */
#define FIRST_FRAMES 32   /* open containers that need no userdata */
#define CHUNK 128         /* slots asked for at a time */
#define EVENT_SLOTS 6     /* slots that a key and its value may need */
#define KEYS_MAX 64       /* keys remembered: a bit each of a uint64_t */
#define KEY_MAX 31        /* longer ones are not */
#define UNKNOWN KEYS_MAX  /* no key's number */

struct frame {
  int base;       /* slot of its table, or of nil while there is none */
  int stored;     /* elements already in the table */
  uint64_t seen;  /* its keys so far, a bit each */
  unsigned char parent;  /* the key it is under, or UNKNOWN */
  unsigned char key;     /* an object's last key; an array's parent */
  bool distinct;  /* no two keys are the same: a slot holds each one seen */
  bool made;      /* there is a table */
};

struct known_key {
  const char *text;   /* its raw text in the document */
  unsigned char len;  /* bytes of it; 0: none yet */
};

struct builder {
  lua_State *L;                       /* where the values go */
  struct gn_json_reader r;            /* reads the document */
  int base;                           /* slots up to here are the caller's */
  int top;                            /* slots in use */
  int room;                           /* slots that may be used */
  size_t scratch_size;                /* bytes there are at scratch */
  char *scratch;                      /* for escapes: `little` or userdata */
  unsigned max_frames;                /* how many frames there is room for */
  struct frame *frames;               /* one per open container */
  struct frame first[FIRST_FRAMES];   /* where they are at first */
  struct known_key keys[KEYS_MAX + 1];/* what the slots of keys hold */
  unsigned char after[KEYS_MAX + 1][KEYS_MAX + 1]; /* the key that last came
                                         under a parent after a key */
  struct gn_strings strings;          /* what may come again */
  char little[FIRST_SCRATCH];         /* scratch at first */
};

/* Slots of the builder's own, above its base. */
enum {
  SCRATCH = 1, FRAMES, STRINGS, KEYS = STRINGS + GN_STRINGS_SLOTS,
  FIRST_VALUE = KEYS + KEYS_MAX
};

void gn_lua_json_push_array_metatable(lua_State *L) {
  luaL_getmetatable(L, ARRAY_METATABLE);
  if (!lua_isnil(L, -1))
    return;
  /* Whole before it is known: memory may run out on the way. */
  lua_pop(L, 1);
  lua_createtable(L, 0, 2);
  lua_pushliteral(L, ARRAY_METATABLE);
  lua_setfield(L, -2, "__name");
  lua_pushliteral(L, "array");
  lua_setfield(L, -2, "__jsontype");
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, ARRAY_METATABLE);
}

/* Moves the children of a container, at slots from..to, into its table. */
static void store(struct builder *b, const struct frame *f, int from, int to,
                  int object) {
  lua_State *L = b->L;
  int i;
  if (!object) {
    for (i = from; i <= to; i++) {
      lua_pushvalue(L, i);
      lua_rawseti(L, f->base, f->stored + i - from + 1);
    }
    return;
  }
  /* In the order of the text, so that the last of equal keys wins. */
  for (i = from; i < to; i += 2) {
    lua_pushvalue(L, i);
    lua_pushvalue(L, i + 1);
    lua_rawset(L, f->base);
  }
}

static int is_object(const struct builder *b, unsigned frame) {
  return b->r.objects[frame >> 3] >> (frame & 7) & 1;
}

/* Puts what the open containers have so far into their tables and closes the
 * gaps: at most two slots a container (table, key) stay in use. */
static void flush(struct builder *b) {
  lua_State *L = b->L;
  unsigned i, open = b->r.depth;
  int to = b->base + FIRST_VALUE;
  for (i = 0; i < open; i++) {
    struct frame *f = &b->frames[i];
    int object = is_object(b, i);
    int last = i + 1 < open ? b->frames[i + 1].base - 1 : b->top;
    int n = last - f->base;
    int pending = object ? n % 2 : 0;  /* a key whose value is still to come */
    if (!f->made) {
      lua_createtable(L, object ? 0 : n, object ? n / 2 : 0);
      lua_replace(L, f->base);
      f->made = true;
    }
    store(b, f, f->base + 1, last - pending, object);
    f->stored += object ? 0 : n;
    lua_pushvalue(L, f->base);
    lua_replace(L, to);
    f->base = to++;
    if (pending) {
      lua_pushvalue(L, last);
      lua_replace(L, to++);
    }
  }
  lua_settop(L, to - 1);
  b->top = to - 1;
}

static void make_room(struct builder *b) {
  if (b->top + CHUNK <= GN_LUA_STACK_SLOTS && lua_checkstack(b->L, CHUNK)) {
    b->room = b->top + CHUNK;
    return;
  }
  if (b->r.depth > 0)
    flush(b);
  gn_lua_reserve(b->L, EVENT_SLOTS);
  if (b->room < b->top + EVENT_SLOTS)
    b->room = b->top + EVENT_SLOTS;
}

static void push_unescaped(struct builder *b) {
  size_t len = b->r.token_len;
  if (b->scratch_size < len) {
    size_t size = b->scratch_size;
    while (size < len)
      size = size > len / 2 ? len : size * 2;
    b->scratch = lua_newuserdata(b->L, size);
    b->scratch_size = size;
    lua_replace(b->L, b->base + SCRATCH);
  }
  len = gn_json_unescape(b->r.token, len, b->scratch);
  lua_pushlstring(b->L, b->scratch, len);
}

/* The key of a slot gives way: objects that have had it could not tell it from
 * another one any more. */
static void give_way(struct builder *b, unsigned i) {
  unsigned frame;
  for (frame = 0; frame < b->r.depth; frame++)
    if (b->frames[frame].seen >> i & 1)
      b->frames[frame].distinct = false;
}

/* A key that was not guessed. Returns its number, maybe a new one, or UNKNOWN:
 * then it was pushed without being remembered. */
static unsigned find_key(struct builder *b) {
  const char *text = b->r.token;
  size_t len = b->r.token_len;
  struct known_key *known;
  unsigned i;
  if (b->r.escaped || len == 0 || len > KEY_MAX) {
    if (b->r.escaped)
      push_unescaped(b);
    else
      lua_pushlstring(b->L, text, len);
    return UNKNOWN;
  }
  i = ((unsigned)(unsigned char)text[0] | (unsigned char)text[len - 1] << 8 |
       (unsigned char)text[len / 2] << 16 | (unsigned)len << 24) *
          2654435769u >> 26;
  known = &b->keys[i];
  if (known->len && (known->len != len || memcmp(known->text, text, len))) {
    i ^= 1;  /* a second place, so that two keys need not fight for one */
    known = &b->keys[i];
  }
  if (known->len == len && memcmp(known->text, text, len) == 0) {
    lua_pushvalue(b->L, b->base + KEYS + (int)i);
    return i;
  }
  lua_pushlstring(b->L, text, len);
  lua_pushvalue(b->L, -1);
  lua_replace(b->L, b->base + KEYS + (int)i);
  if (known->len)
    give_way(b, i);
  known->text = text;
  known->len = (unsigned char)len;
  return i;
}

/* What the next key in f may be: as under such a parent after such a key. */
static inline void guess_key(struct builder *b, const struct frame *f) {
  const struct known_key *known = &b->keys[b->after[f->parent][f->key]];
  b->r.guess = known->text;
  b->r.guess_len = known->len;
}

/* The keys of a document are few and come again and again, mostly in the same
 * order: a slot that holds the string is cheaper than hashing it, and bytes
 * that are as foreseen need no scanning. */
static inline struct frame *push_key(struct builder *b) {
  struct frame *f = &b->frames[b->r.depth - 1];
  unsigned char *after = &b->after[f->parent][f->key];
  unsigned i = *after;
  if (b->r.guessed)
    lua_pushvalue(b->L, b->base + KEYS + (int)i);
  else
    *after = (unsigned char)(i = find_key(b));
  if (i == UNKNOWN || f->seen >> i & 1)
    f->distinct = false;
  else
    f->seen |= (uint64_t)1 << i;
  f->key = (unsigned char)i;
  guess_key(b, f);
  return f;
}

/* The key that a value belongs to, or UNKNOWN. */
static inline unsigned column(const struct builder *b) {
  return b->r.depth > 0 ? b->frames[b->r.depth - 1].key : UNKNOWN;
}

static inline void push_string(struct builder *b) {
  const char *text = b->r.token;
  size_t len = b->r.token_len;
  if (b->strings.max > 0 && len - 1 < GN_STRING_MAX)
    gn_strings_push(&b->strings, b->L, &b->strings.columns[column(b)], text,
                    len);
  else
    lua_pushlstring(b->L, text, len);
}

static inline void push_number(struct builder *b) {
  const struct gn_json_reader *r = &b->r;
  double value;
  if (r->number == GN_JSON_INTEGER && GN_LUA_EXACT(r->integer))
    GN_LUA_PUSH_INT64(b->L, r->integer);
  else if (r->number == GN_JSON_REAL && gn_json_double(r, &value))
    lua_pushnumber(b->L, (lua_Number)value);
  else
    lua_pushlstring(b->L, r->token, r->token_len);
}

static inline void open_frame(struct builder *b, bool object) {
  lua_State *L = b->L;
  unsigned i = b->r.depth - 1;
  struct frame *f;
  if (i == b->max_frames) {
    unsigned n = b->max_frames * 4 < b->r.max_depth ? b->max_frames * 4
                                                    : b->r.max_depth;
    struct frame *more = lua_newuserdata(L, n * sizeof *more);
    memcpy(more, b->frames, i * sizeof *more);
    lua_replace(L, b->base + FRAMES);
    b->frames = more;
    b->max_frames = n;
  }
  lua_pushnil(L);
  f = &b->frames[i];
  f->base = ++b->top;
  f->stored = 0;
  f->seen = 0;
  f->distinct = true;
  f->made = false;
  f->parent = i > 0 ? f[-1].key : UNKNOWN;
  f->key = object ? UNKNOWN : f->parent;
  if (object)
    guess_key(b, f);
}

static void close_array(struct builder *b) {
  lua_State *L = b->L;
  struct frame *f = &b->frames[b->r.depth];
  int i, n = b->top - f->base;
  if (!f->made) {
    lua_createtable(L, n, 0);
    lua_replace(L, f->base);
  }
  if (n == 0 && f->stored == 0) {
    gn_lua_json_push_array_metatable(L);
    lua_setmetatable(L, f->base);
  }
  for (i = n; i > 0; i--)
    lua_rawseti(L, f->base, f->stored + i);
  b->top = f->base;
}

static void close_object(struct builder *b) {
  lua_State *L = b->L;
  struct frame *f = &b->frames[b->r.depth];
  if (!f->made) {
    lua_createtable(L, 0, (b->top - f->base) / 2);
    lua_replace(L, f->base);
    if (f->distinct) {
      int n = (b->top - f->base) / 2;
      while (n-- > 0)
        lua_rawset(L, f->base);
      b->top = f->base;
      return;
    }
  }
  store(b, f, f->base + 1, b->top, 1);
  b->top = f->base;
  lua_settop(L, b->top);
}

/* What was around the container that closed goes on. */
static inline void go_back(struct builder *b) {
  if (b->r.depth > 0 && b->r.in_object)
    guess_key(b, &b->frames[b->r.depth - 1]);
}

/* Returns how it ended: GN_JSON_GET_END or GN_JSON_GET_FAILED. */
static enum gn_json_event build(struct builder *b) {
  lua_State *L = b->L;
  for (;;) {
    enum gn_json_event event = gn_json_step(&b->r);
    if (event == GN_JSON_GET_KEY) {
      const struct frame *f = push_key(b);
      b->top++;
      if (gn_strings_take(&b->strings, L, &b->strings.columns[f->key],
                          &b->r)) {
        b->top++;
        if (b->top + EVENT_SLOTS > b->room)
          make_room(b);
        continue;
      }
      event = gn_json_step_value(&b->r);
    }
    switch (event) {
    case GN_JSON_GET_FAILED:
    case GN_JSON_GET_END:
      return event;
    case GN_JSON_GET_ARRAY_END:
      close_array(b);
      go_back(b);
      continue;
    case GN_JSON_GET_OBJECT_END:
      close_object(b);
      go_back(b);
      continue;
    case GN_JSON_GET_ARRAY:
    case GN_JSON_GET_OBJECT:
      open_frame(b, event == GN_JSON_GET_OBJECT);
      break;
    case GN_JSON_GET_STRING:
      if (b->r.escaped)
        push_unescaped(b);
      else
        push_string(b);
      b->top++;
      break;
    case GN_JSON_GET_NUMBER:
      push_number(b);
      b->top++;
      break;
    case GN_JSON_GET_NULL:
      lua_pushlightuserdata(L, NULL);
      b->top++;
      break;
    default:
      lua_pushboolean(L, event == GN_JSON_GET_TRUE);
      b->top++;
    }
    if (b->top + EVENT_SLOTS > b->room)
      make_room(b);
  }
}

int gn_lua_json_push(lua_State *L, const char *text, size_t len,
                     unsigned depth) {
  struct builder b;
  gn_json_reader_init(&b.r, text, len, depth);
  b.L = L;
  b.base = lua_gettop(L);
  gn_lua_reserve(L, FIRST_VALUE + CHUNK);
  lua_settop(L, b.base + FIRST_VALUE - 1);
  b.top = b.base + FIRST_VALUE - 1;
  b.room = b.top + CHUNK;
  b.scratch = b.little;
  b.scratch_size = sizeof b.little;
  b.frames = b.first;
  b.max_frames = FIRST_FRAMES;
  memset(b.keys, 0, sizeof b.keys);
  memset(b.after, UNKNOWN, sizeof b.after);
  gn_strings_init(&b.strings, L, b.base + STRINGS, len);
  if (build(&b) == GN_JSON_GET_END) {
    lua_replace(L, b.base + 1);
    lua_settop(L, b.base + 1);
    return 1;
  } else {
    size_t offset = gn_json_reader_offset(&b.r) + 1;
    char message[120];
    snprintf(message, sizeof message, "%s at byte %zu", b.r.message, offset);
    lua_settop(L, b.base);
    lua_pushnil(L);
    lua_pushstring(L, message);
    GN_LUA_PUSH_INT64(L, offset);
    return 3;
  }
}

static int decode_text(lua_State *L) {
  size_t len;
  const char *text = lua_tolstring(L, 1, &len);
  return gn_lua_json_push(L, text, len, (unsigned)lua_tonumber(L, 2));
}

static int json_decode(lua_State *L) {
  lua_Number depth = luaL_optnumber(L, 2, 0);
  luaL_checktype(L, 1, LUA_TSTRING);
  luaL_argcheck(L, depth >= 0 && depth <= GN_JSON_DEPTH_MAX, 2,
                "out of range");
  return gn_lua_uncollected(L, decode_text, lua_rawlen(L, 1));
}

static int json_array(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  gn_lua_json_push_array_metatable(L);
  lua_setmetatable(L, 1);
  return 1;
}

void gn_lua_json_open(lua_State *L) {
  lua_pushcfunction(L, json_decode);
  lua_setfield(L, -2, "json_decode");
  lua_pushcfunction(L, gn_lua_json_encode);
  lua_setfield(L, -2, "json_encode");
  lua_pushcfunction(L, json_array);
  lua_setfield(L, -2, "json_array");
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
}

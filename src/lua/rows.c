/* Owns: batches of rows as Lua objects, and the core's cutting of a list for
 * documents that Lua itself reads.
 * Must not: keep a batch longer than it takes to make Lua values of it: the
 * collector does not see how large it is.
 */
#include "../core/json_split.h"

#include "json.h"
#include "util.h"

struct gn_batch **gn_lua_batch_new(lua_State *L) {
  return gn_lua_object(L, sizeof(struct gn_batch *), GN_LUA_BATCH);
}

static struct gn_batch *check_batch(lua_State *L) {
  struct gn_batch **b = luaL_checkudata(L, 1, GN_LUA_BATCH);
  luaL_argcheck(L, *b != NULL, 1, "the batch was taken");
  return *b;
}

static int batch_close(lua_State *L) {
  struct gn_batch **b = luaL_checkudata(L, 1, GN_LUA_BATCH);
  struct gn_batch *gone = *b;
  *b = NULL;
  gn_batch_free(gone);
  return 0;
}

/* json(): the rows as a list, how many; the batch is empty then. */
static int batch_json(lua_State *L) {
  struct gn_batch *b = check_batch(L);
  size_t count = b->count;
  int n = gn_lua_json_push(L, b->text, b->len, 0);
  batch_close(L);
  if (n != 1)
    return n;
  gn_lua_push_size(L, count);
  return 2;
}

/* text(): the same for another decoder. */
static int batch_text(lua_State *L) {
  struct gn_batch *b = check_batch(L);
  size_t count = b->count;
  lua_pushlstring(L, b->text, b->len);
  batch_close(L);
  gn_lua_push_size(L, count);
  return 2;
}

static int batch_tostring(lua_State *L) {
  struct gn_batch **b = luaL_checkudata(L, 1, GN_LUA_BATCH);
  lua_pushfstring(L, GN_LUA_BATCH " (%d)", *b ? (int)(*b)->count : 0);
  return 1;
}

static struct gn_json_split *check_split(lua_State *L) {
  struct gn_json_split **s = luaL_checkudata(L, 1, GN_LUA_SPLIT);
  luaL_argcheck(L, *s != NULL, 1, "it was closed");
  return *s;
}

/* json_split_new(path, max): for the list at the path, elements of at most so
 * many bytes. */
static int split_new(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_Number max = luaL_checknumber(L, 2);
  struct gn_json_split **s = gn_lua_object(L, sizeof *s, GN_LUA_SPLIT);
  struct gn_error err;
  luaL_argcheck(L, max >= 1 && max < 9007199254740992.0, 2, "out of range");
  *s = gn_json_split_new(path, (size_t)max, &err);
  return *s ? 1 : gn_lua_refuse(L, &err);
}

/* Puts what is found into the batch at the top: that one or nil, and an error
 * or nothing: what is whole comes before it. */
static int push_found(lua_State *L, struct gn_json_split *s,
                      struct gn_batch **b, int rc,
                      const struct gn_error *failure) {
  struct gn_error err;
  if (gn_json_split_take(s, b, &err) != 0)
    return gn_lua_no_memory(L);
  if (!*b) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  if (rc == 0)
    return 1;
  if (failure->kind == GN_MEMORY)
    return gn_lua_no_memory(L);
  gn_lua_push_error(L, failure);
  return 2;
}

/* feed(text). Looks at its argument when the batch is there: a finalizer that
 * runs meanwhile may close it. */
static int split_feed(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  struct gn_batch **b = gn_lua_batch_new(L);
  struct gn_json_split *s = check_split(L);
  struct gn_error err;
  int rc = gn_json_split_feed(s, text, len, &err);
  return push_found(L, s, b, rc, &err);
}

/* finish(): the document ends here. */
static int split_finish(lua_State *L) {
  struct gn_batch **b = gn_lua_batch_new(L);
  struct gn_json_split *s = check_split(L);
  struct gn_error err;
  int rc = gn_json_split_end(s, &err);
  return push_found(L, s, b, rc, &err);
}

static int split_close(lua_State *L) {
  struct gn_json_split **s = luaL_checkudata(L, 1, GN_LUA_SPLIT);
  struct gn_json_split *gone = *s;
  *s = NULL;
  gn_json_split_free(gone);
  return 0;
}

static int split_tostring(lua_State *L) {
  struct gn_json_split **s = luaL_checkudata(L, 1, GN_LUA_SPLIT);
  lua_pushstring(L, *s ? GN_LUA_SPLIT : GN_LUA_SPLIT " (closed)");
  return 1;
}

void gn_lua_rows_open(lua_State *L) {
  static const luaL_Reg batch_methods[] = {
    {"json", batch_json}, {"text", batch_text}, {"close", batch_close},
    {NULL, NULL},
  };
  static const luaL_Reg batch_meta[] = {
    {"__gc", batch_close}, {"__close", batch_close},
    {"__tostring", batch_tostring}, {NULL, NULL},
  };
  static const luaL_Reg split_methods[] = {
    {"feed", split_feed}, {"finish", split_finish}, {"close", split_close},
    {NULL, NULL},
  };
  static const luaL_Reg split_meta[] = {
    {"__gc", split_close}, {"__close", split_close},
    {"__tostring", split_tostring}, {NULL, NULL},
  };
  gn_lua_type(L, GN_LUA_BATCH, batch_methods, batch_meta);
  gn_lua_type(L, GN_LUA_SPLIT, split_methods, split_meta);
  lua_pushcfunction(L, split_new);
  lua_setfield(L, -2, "json_split_new");
}

/* Owns: a file that Lua writes, on the core's file sink: beside its name as
 * ".part", locked while it is open, whole or not at all under its name.
 * Must not: read files, or touch what the process before a fork has open.
 */
#include "../core/process.h"
#include "../core/sink.h"
#include "util.h"

#include <string.h>

struct file {
  struct gn_sink *sink; /* NULL: not opened, or over */
  unsigned generation;  /* the process that opened it */
};

static struct file *check_file(lua_State *L) {
  struct file *f = luaL_checkudata(L, 1, GN_LUA_FILE);
  if (!f->sink || f->generation != gn_process_generation())
    luaL_error(L, "the file is closed");
  return f;
}

/* A child must not remove the file that its parent is writing: what it has of
 * it stays allocated. */
static void drop(struct file *f) {
  struct gn_sink *sink = f->sink;
  f->sink = NULL;
  if (f->generation == gn_process_generation())
    gn_sink_free(sink);
}

/* path -> file, its .part open, locked and empty; or nil and an error, with
 * code "locked" where somebody else has it. Raises where path names no file. */
static int file_open(lua_State *L) {
  size_t len;
  const char *path = luaL_checklstring(L, 1, &len);
  struct gn_error err;
  struct file *f;
  luaL_argcheck(L, strlen(path) == len, 1, "a NUL in a file's name");
  f = gn_lua_object(L, sizeof *f, GN_LUA_FILE);
  f->generation = gn_process_generation();
  gn_error_clear(&err);
  f->sink = gn_sink_new_file(path, 0, &err);
  if (!f->sink)
    return gn_lua_refuse(L, &err);
  if (gn_sink_begin(f->sink, &err) == 0)
    return 1;
  drop(f);
  return gn_lua_fail(L, &err);
}

static int file_write(lua_State *L) {
  struct file *f = check_file(L);
  size_t len;
  const char *data = luaL_checklstring(L, 2, &len);
  struct gn_error err;
  gn_error_clear(&err);
  if (gn_sink_write(f->sink, data, len, &err) != 0)
    return gn_lua_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

/* fsync, rename, fsync of the folder. Over either way. */
static int file_finish(lua_State *L) {
  struct file *f = check_file(L);
  struct gn_error err;
  int status;
  gn_error_clear(&err);
  status = gn_sink_finish(f->sink, &err);
  drop(f);
  if (status != 0)
    return gn_lua_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

/* abort, __gc and __close: what is not finished is removed. */
static int file_abort(lua_State *L) {
  struct file *f = luaL_checkudata(L, 1, GN_LUA_FILE);
  if (f->sink)
    drop(f);
  return 0;
}

void gn_lua_file_open(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"write", file_write}, {"finish", file_finish}, {"abort", file_abort},
    {NULL, NULL},
  };
  static const luaL_Reg meta[] = {
    {"__gc", file_abort}, {"__close", file_abort}, {NULL, NULL},
  };
  gn_lua_type(L, GN_LUA_FILE, methods, meta);
  lua_pushcfunction(L, file_open);
  lua_setfield(L, -2, "file_open");
}

/* Owns: making garner's Lua files, compiled into the program, known to require.
 * Must not: run one of them before it is required.
 */
#include "../lua/compat.h"
#include "files.h"

#include <garner.h>

/* The loader of one file: require's arguments are the chunk's. */
static int load_file(lua_State *L) {
  size_t i = (size_t)lua_tointeger(L, lua_upvalueindex(1));
  const struct gn_embedded_file *file = &gn_embedded_files[i];
  int args = lua_gettop(L);
  if (luaL_loadbuffer(L, (const char *)file->text, file->size,
                      file->chunk) != 0)
    return lua_error(L);
  lua_insert(L, 1);
  lua_call(L, args, 1);
  return 1;
}

void garner_preload(lua_State *L) {
  size_t i;
  luaL_checkstack(L, 4, "garner_preload");
  gn_compat_preload(L);
  lua_pushcfunction(L, luaopen_garner_core);
  lua_setfield(L, -2, "garner.core");
  for (i = 0; i < gn_embedded_count; i++) {
    lua_pushinteger(L, (lua_Integer)i);
    lua_pushcclosure(L, load_file, 1);
    lua_setfield(L, -2, gn_embedded_files[i].module);
  }
  lua_pop(L, 1);
}

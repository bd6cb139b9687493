/* Owns: the smallest program with garner in it, for the checks of an install:
 * compiled as C and as C++. Must not: need a file of garner's but the header.
 */
#include <garner.h>

#ifdef __cplusplus
extern "C" {
#endif
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#ifdef __cplusplus
}
#endif

#include <stdio.h>
#include <string.h>

/* A program's own name, which the archive must leave free. */
int gn_process_init(void);
int gn_process_init(void) {
  return 0;
}

static const char script[] =
  "package.path, package.cpath = '', ''\n"
  "local garner = require 'garner'\n"
  "assert(garner.versions().garner == version, garner.versions().garner)\n"
  "local fine, why = pcall(garner.client, {})\n"
  "assert(not fine and why:find 'base_url', why)\n"
  "print(garner._VERSION)\n";

int main(void) {
  lua_State *L = luaL_newstate();
  int top, failed;
  char version[32];
  luaL_openlibs(L);
  lua_pushliteral(L, "kept");
  top = lua_gettop(L);
  garner_preload(L);
  garner_preload(L);
  if (lua_gettop(L) != top || strcmp(lua_tostring(L, -1), "kept") != 0)
    return 3;
  snprintf(version, sizeof version, "%d.%d.%d", GARNER_VERSION_MAJOR,
           GARNER_VERSION_MINOR, GARNER_VERSION_PATCH);
  if (strcmp(version, GARNER_VERSION) != 0)
    return 4;
  lua_pushstring(L, version);
  lua_setglobal(L, "version");
  failed = luaL_loadstring(L, script) || lua_pcall(L, 0, 0, 0);
  if (failed)
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_close(L);
  return failed + gn_process_init();
}

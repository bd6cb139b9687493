/* Owns: the module garner.core: its functions, its version, and that it stays
 * in memory once loaded, since an engine's thread may outlive the Lua state.
 * Must not: be used but by the Lua files of garner.
 */
#include "../core/posix.h"

#include "../core/clock.h"
#include "../core/digest.h"
#include "../core/platform.h"
#include "../core/process.h"
#include "../core/version.h"
#include "json.h"
#include "util.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__GNUC__)
#define GN_EXPORT __attribute__((visibility("default")))
#else
#define GN_EXPORT
#endif

GN_EXPORT int luaopen_garner_core(lua_State *L);

static int core_now(lua_State *L) {
  lua_pushnumber(L, gn_now());
  return 1;
}

static int core_time(lua_State *L) {
  lua_pushnumber(L, gn_wall_time());
  return 1;
}

struct core_random {
  struct gn_random random; /* its state */
  unsigned generation;     /* the process it was seeded in */
};

static void seed(struct core_random *r) {
  gn_random_seed(&r->random);
  r->generation = gn_process_generation();
}

/* The workers of one server must not all draw the same numbers. */
static int core_random(lua_State *L) {
  struct core_random *r = lua_touserdata(L, lua_upvalueindex(1));
  if (r->generation != gn_process_generation())
    seed(r);
  lua_pushnumber(L, gn_random_next(&r->random));
  return 1;
}

/* The sha256 of a text, in hexadecimal digits. */
static int core_sha256(lua_State *L) {
  char hex[2 * GN_CHECK_SIZE + 1];
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  struct gn_error err;
  struct gn_sum sum;
  struct gn_digest *d = gn_digest_new(GN_CHECK_SHA256, &err);
  int status = d ? 0 : -1;
  if (d)
    status = gn_digest_update(d, text, len, &err);
  if (status == 0)
    status = gn_digest_final(d, &sum, &err);
  gn_digest_free(d);
  if (status != 0)
    return gn_lua_fail(L, &err);
  gn_sum_hex(&sum, hex, sizeof hex);
  lua_pushstring(L, hex);
  return 1;
}

static int core_isatty(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

static int core_pid(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)getpid());
  return 1;
}

/* An empty file that only its owner can read. */
static int core_create_private(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd >= 0 && fchmod(fd, 0600) == 0) {
    close(fd);
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", path, strerror(errno));
  if (fd >= 0)
    close(fd);
  return 2;
}

/* Hosts replace the coroutine library by one that knows less. */
static int core_yieldable(lua_State *L) {
  int told = gn_compat_yieldable(L);
  if (told < 0)
    lua_pushnil(L);
  else
    lua_pushboolean(L, told);
  return 1;
}

/* Whether a coroutine is the one that runs, and may yield as far as known. */
static int core_runs(lua_State *L) {
  lua_pushboolean(L, lua_tothread(L, 1) == L && gn_compat_yieldable(L) != 0);
  return 1;
}

static int core_running(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)gn_running_count());
  return 1;
}

static void set_field(lua_State *L, const char *name, const char *value) {
  if (!value)
    return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

static int core_versions(lua_State *L) {
  const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
  lua_createtable(L, 0, 6);
  set_field(L, "garner", GN_VERSION);
  set_field(L, "libcurl", curl->version);
  set_field(L, "ssl", curl->ssl_version);
  set_field(L, "zlib", curl->libz_version);
  set_field(L, "nghttp2", curl->nghttp2_version);
  set_field(L, "lua", LUA_VERSION);
  return 1;
}

static void check_libcurl(lua_State *L) {
  if (curl_version_info(CURLVERSION_NOW)->version_num < 0x075800)
    luaL_error(L, "garner needs libcurl 7.88.0 or newer, this is %s",
               curl_version_info(CURLVERSION_NOW)->version);
}

int luaopen_garner_core(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"now", core_now}, {"time", core_time}, {"isatty", core_isatty},
    {"pid", core_pid}, {"running", core_running},
    {"yieldable", core_yieldable}, {"runs", core_runs},
    {"create_private", core_create_private}, {"sha256", core_sha256},
    {"versions", core_versions}, {NULL, NULL},
  };
  struct gn_error err;
  check_libcurl(L);
  if (gn_process_init(&err) != 0)
    return luaL_error(L, "%s", err.message);
  /* Unloading the module under a running thread would end the process. */
  gn_pin((void (*)(void))luaopen_garner_core);
  gn_compat_open(L);
  luaL_newlib(L, functions);
  seed(lua_newuserdata(L, sizeof(struct core_random)));
  lua_pushcclosure(L, core_random, 1);
  lua_setfield(L, -2, "random");
  gn_lua_json_open(L);
  gn_lua_result_open(L);
  gn_lua_request_open(L);
  gn_lua_limiter_open(L);
  gn_lua_client_open(L);
  gn_lua_rules_open(L);
  gn_lua_engine_open(L);
  gn_lua_mailbox_open(L);
  gn_lua_stats_open(L);
  gn_lua_urls_open(L);
  gn_lua_inflate_open(L);
  gn_lua_rows_open(L);
  gn_lua_file_open(L);
  set_field(L, "VERSION", GN_VERSION);
  return 1;
}

/* What specs of processes need and Lua lacks, as a Lua module compiled by the
 * spec that uses it: fork and its relatives.
 * Must not: know garner.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

int luaopen_process(lua_State *L);

/* fork() -> 0 in the child, its id in the parent */
static int process_fork(lua_State *L) {
  lua_pushnumber(L, (lua_Number)fork());
  return 1;
}

/* wait(id) -> exit code, or 128 + signal */
static int process_wait(lua_State *L) {
  int status = 0;
  pid_t pid = (pid_t)luaL_checknumber(L, 1), got;
  do
    got = waitpid(pid, &status, 0);
  while (got < 0 && errno == EINTR);
  if (got != pid)
    return luaL_error(L, "waitpid: %s", strerror(errno));
  lua_pushnumber(L, WIFEXITED(status) ? WEXITSTATUS(status)
                                      : 128 + WTERMSIG(status));
  return 1;
}

/* leave(code): _exit */
static int process_leave(lua_State *L) {
  _exit((int)luaL_checknumber(L, 1));
}

static int process_kill(lua_State *L) {
  lua_pushboolean(L, kill((pid_t)luaL_checknumber(L, 1),
                          (int)luaL_checknumber(L, 2)) == 0);
  return 1;
}

static int process_alarm(lua_State *L) {
  alarm((unsigned)luaL_checknumber(L, 1));
  return 0;
}

int luaopen_process(lua_State *L) {
  static const struct {
    const char *name;
    lua_CFunction function;
  } functions[] = {
    {"fork", process_fork},   {"wait", process_wait},
    {"leave", process_leave}, {"kill", process_kill},
    {"alarm", process_alarm},
  };
  size_t i;
  lua_newtable(L);
  for (i = 0; i < sizeof functions / sizeof *functions; i++) {
    lua_pushcfunction(L, functions[i].function);
    lua_setfield(L, -2, functions[i].name);
  }
  return 1;
}

/* Owns: a program with a poll loop of its own and one Lua state in it, where
 * each script runs as a coroutine and waits, through garner, in that loop.
 * Must not: block anywhere but in poll, or touch Lua outside a protected call.
 */
#define _POSIX_C_SOURCE 200809L
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#ifdef EMBED_STATIC
#include <garner.h>
#endif

#include "driver.h" /* driver.lua, written into C by CMakeLists.txt */

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BEAT 0.02 /* seconds between two beats of the program's own work */

/* What the Lua state may use: its own memory, not what garner's core holds. */
struct budget {
  size_t limit; /* bytes, 0: any */
  size_t used;  /* now */
  size_t most;  /* at any time */
};

struct task {
  const char *path;   /* the script */
  lua_State *co;      /* it runs in this coroutine; NULL: not there or over */
  int anchor;         /* keeps the coroutine from the collector */
  bool ready;         /* may run */
  int fd;             /* waits until this is readable; -1: for the time only */
  double deadline;    /* and runs again at this time in any case */
  lua_Number mailbox; /* what it waits for, told by driver.readable */
};

struct host {
  lua_State *L;         /* the one state */
  struct budget memory; /* of that state */
  struct task *tasks;   /* one per script */
  int count;            /* of tasks */
  struct pollfd *polls; /* the signals' pipe first, then one per descriptor */
  struct task *asking;  /* driver.readable is called for its descriptor */
  int driver;           /* where driver.lua's table is */
  double beat;          /* when the next beat is due */
  double late;          /* how late the latest beat was */
  long beats;           /* so many there were */
  bool verbose;         /* tell of them at the end */
  int status;           /* exit status */
};

static int signal_pipe[2] = {-1, -1};

static void on_signal(int number) {
  int saved = errno;
  char byte = (char)number;
  if (write(signal_pipe[1], &byte, 1) < 0)
    _exit(128 + number);
  errno = saved;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What makes smaller or frees must not fail. */
static void *allocate(void *ud, void *block, size_t old, size_t size) {
  struct budget *b = ud;
  void *p = NULL;
  if (!block)
    old = 0; /* it is a type then */
  if (size > old && b->limit && b->used - old + size > b->limit)
    return NULL;
  if (size == 0)
    free(block);
  else if (!(p = realloc(block, size)))
    return NULL;
  b->used = b->used - old + size;
  if (b->used > b->most)
    b->most = b->used;
  return p;
}

/* Lua's own differences ---------------------------------------------------- */

#if LUA_VERSION_NUM < 502
static int protect(lua_State *L, lua_CFunction fn, void *ud) {
  return lua_cpcall(L, fn, ud);
}
#else
static int protect(lua_State *L, lua_CFunction fn, void *ud) {
  lua_pushcfunction(L, fn);
  lua_pushlightuserdata(L, ud);
  return lua_pcall(L, 1, 0, 0);
}
#endif

static int resume(lua_State *co, lua_State *from, int nargs) {
#if LUA_VERSION_NUM >= 504
  int results;
  return lua_resume(co, from, nargs, &results);
#elif LUA_VERSION_NUM >= 502
  return lua_resume(co, from, nargs);
#else
  (void)from;
  return lua_resume(co, nargs);
#endif
}

/* What the driver calls ---------------------------------------------------- */

static int host_now(lua_State *L) {
  lua_pushnumber(L, now());
  return 1;
}

static int host_wake(lua_State *L) {
  struct host *h = lua_touserdata(L, lua_upvalueindex(1));
  lua_Number id = luaL_checknumber(L, 1);
  int i;
  for (i = 0; i < h->count; i++)
    if (h->tasks[i].co && h->tasks[i].fd == h->asking->fd &&
        h->tasks[i].mailbox == id)
      h->tasks[i].ready = true;
  return 0;
}

/* The state ---------------------------------------------------------------- */

static void set_paths(lua_State *L) {
#ifdef EMBED_STATIC
  garner_preload(L);
#else
  static const char *const names[] = {"path", "cpath"};
  static const char *const paths[] = {GARNER_LUA_PATH, GARNER_LUA_CPATH};
  int i;
  lua_getglobal(L, "package");
  for (i = 0; i < 2; i++) {
    lua_getfield(L, -1, names[i]);
    lua_pushfstring(L, "%s;%s", paths[i], lua_tostring(L, -1));
    lua_setfield(L, -3, names[i]);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
#endif
}

/* Opens Lua and garner, and gives garner the driver. */
static int set_up(lua_State *L) {
  struct host *h = lua_touserdata(L, 1);
  luaL_openlibs(L);
  set_paths(L);
  if (luaL_loadbuffer(L, (const char *)driver_lua, sizeof driver_lua,
                      "@driver.lua") != 0)
    return lua_error(L);
  lua_pushcfunction(L, host_now);
  lua_pushlightuserdata(L, h);
  lua_pushcclosure(L, host_wake, 1);
  lua_call(L, 2, 1);
  lua_pushvalue(L, -1);
  h->driver = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "garner");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "use");
  lua_pushvalue(L, -3);
  lua_call(L, 1, 0);
  return 0;
}

static int load_task(lua_State *L) {
  struct task *t = lua_touserdata(L, 1);
  lua_State *co = lua_newthread(L);
  t->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
  t->co = co;
  if (luaL_loadfile(L, t->path) != 0)
    return lua_error(L);
  lua_xmove(L, co, 1);
  t->ready = true;
  return 0;
}

/* The error object at the top of a coroutine, by its own __tostring. */
static int print_error(lua_State *L) {
  lua_State *co = lua_touserdata(L, 1);
  const char *text;
  lua_getglobal(L, "tostring");
  lua_xmove(co, L, 1);
  lua_call(L, 1, 1);
  text = lua_tostring(L, -1);
  fprintf(stderr, "embed-host: %s\n", text ? text : "an error");
  return 0;
}

/* Text needs no memory to be shown. */
static void report(struct host *h, lua_State *from) {
  if (lua_type(from, -1) == LUA_TSTRING)
    fprintf(stderr, "embed-host: %s\n", lua_tostring(from, -1));
  else if (from == h->L || protect(h->L, print_error, from) != 0)
    fprintf(stderr, "embed-host: an error that cannot be shown\n");
  lua_settop(h->L, 0);
  h->status = 1;
}

/* Tasks -------------------------------------------------------------------- */

static int release_task(lua_State *L) {
  const struct task *t = lua_touserdata(L, 1);
  luaL_unref(L, LUA_REGISTRYINDEX, t->anchor);
  return 0;
}

/* The first luaL_unref of a state needs memory; one that fails leaves the
 * coroutine to the end of the state. */
static void end_task(struct host *h, struct task *t) {
  t->co = NULL;
  t->ready = false;
  if (protect(h->L, release_task, t) != 0)
    lua_settop(h->L, 0);
}

/* Runs a task until it waits: what it yields then is driver.lua's. */
static void run_task(struct host *h, struct task *t) {
  lua_State *co = t->co;
  int rc;
  t->ready = false;
  if (lua_status(co) == LUA_YIELD)
    lua_settop(co, 0);
  rc = resume(co, h->L, 0);
  if (rc != LUA_YIELD) {
    if (rc != 0)
      report(h, co);
    end_task(h, t);
    return;
  }
  lua_settop(co, 4);
  t->fd = lua_isnumber(co, 1) ? (int)lua_tonumber(co, 1) : -1;
  t->deadline = lua_isnumber(co, 2) ? lua_tonumber(co, 2) : HUGE_VAL;
  t->mailbox = lua_tonumber(co, 4);
  if (t->fd < 0 && t->deadline == HUGE_VAL)
    t->ready = true; /* a yield of the script's own */
}

static void run_ready(struct host *h) {
  int i;
  for (i = 0; i < h->count; i++)
    if (h->tasks[i].ready)
      run_task(h, &h->tasks[i]);
}

/* driver.readable tells by wake which of those that wait may run. */
static int ask_driver(lua_State *L) {
  struct host *h = lua_touserdata(L, 1);
  lua_State *co = h->asking->co;
  int i;
  lua_rawgeti(L, LUA_REGISTRYINDEX, h->driver);
  lua_getfield(L, -1, "readable");
  lua_pushvalue(co, 3);
  lua_xmove(co, L, 1);
  lua_call(L, 1, 1);
  if (lua_toboolean(L, -1))
    for (i = 0; i < h->count; i++)
      if (h->tasks[i].co && h->tasks[i].fd == h->asking->fd)
        h->tasks[i].ready = true;
  return 0;
}

/* The loop ----------------------------------------------------------------- */

static struct task *waits_for(struct host *h, int fd) {
  int i;
  for (i = 0; i < h->count; i++)
    if (h->tasks[i].co && h->tasks[i].fd == fd)
      return &h->tasks[i];
  return NULL;
}

/* The descriptors of those that wait, each once, after the signals'. */
static nfds_t fill_polls(struct host *h) {
  nfds_t n = 1;
  int i;
  for (i = 0; i < h->count; i++) {
    struct task *t = &h->tasks[i];
    if (t->co && t->fd >= 0 && waits_for(h, t->fd) == t) {
      h->polls[n].fd = t->fd;
      h->polls[n++].events = POLLIN;
    }
  }
  return n;
}

/* Milliseconds until the next beat or deadline; 0 where somebody may run. */
static int time_left(const struct host *h) {
  double next = h->beat, left;
  int i;
  for (i = 0; i < h->count; i++) {
    if (h->tasks[i].ready)
      return 0;
    if (h->tasks[i].co && h->tasks[i].deadline < next)
      next = h->tasks[i].deadline;
  }
  left = next - now();
  return left > 0 ? (int)ceil(left * 1000) : 0;
}

/* What this program has to do besides: it must not wait for any transfer. */
static void beat(struct host *h) {
  double late = now() - h->beat;
  if (late < 0)
    return;
  h->beats++;
  h->late = late > h->late ? late : h->late;
  h->beat = now() + BEAT;
}

static void take_signal(struct host *h) {
  char number;
  if (read(signal_pipe[0], &number, 1) == 1)
    h->status = 128 + number;
}

static void poll_once(struct host *h) {
  nfds_t i, n = fill_polls(h);
  int k;
  if (poll(h->polls, n, time_left(h)) > 0) {
    if (h->polls[0].revents)
      take_signal(h);
    for (i = 1; i < n; i++) {
      h->asking = waits_for(h, h->polls[i].fd);
      if (h->polls[i].revents && protect(h->L, ask_driver, h) != 0)
        report(h, h->L);
    }
  }
  for (k = 0; k < h->count; k++)
    if (h->tasks[k].co && h->tasks[k].deadline <= now())
      h->tasks[k].ready = true;
  beat(h);
}

static bool alive(const struct host *h) {
  int i;
  for (i = 0; i < h->count; i++)
    if (h->tasks[i].co)
      return true;
  return false;
}

/* Runs until all tasks are over, or a signal or an error ends it. */
static void run(struct host *h) {
  int i;
  h->beat = now();
  for (i = 0; i < h->count && h->status == 0; i++)
    if (protect(h->L, load_task, &h->tasks[i]) != 0)
      report(h, h->L);
  while (h->status == 0 && alive(h)) {
    run_ready(h);
    poll_once(h);
  }
}

/* The program -------------------------------------------------------------- */

static int usage(void) {
  fprintf(stderr, "usage: embed-host [--memory-limit BYTES[K|M]] [--verbose] "
                  "SCRIPT...\n");
  return 2;
}

static size_t read_size(const char *text) {
  char *end;
  unsigned long long n = strtoull(text, &end, 10);
  int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 0;
  if (end == text || *(end + (shift != 0)) != '\0')
    return 0;
  return (size_t)n << shift;
}

static int read_arguments(struct host *h, int argc, char **argv) {
  int i = 1;
  for (; i < argc && argv[i][0] == '-'; i++) {
    if (strcmp(argv[i], "--verbose") == 0)
      h->verbose = true;
    else if (strcmp(argv[i], "--memory-limit") == 0 && i + 1 < argc &&
             (h->memory.limit = read_size(argv[i + 1])) > 0)
      i++;
    else
      return -1;
  }
  if (i == argc)
    return -1;
  h->count = argc - i;
  h->tasks = calloc((size_t)h->count, sizeof *h->tasks);
  h->polls = calloc((size_t)h->count + 1, sizeof *h->polls);
  if (!h->tasks || !h->polls)
    return -1;
  for (; i < argc; i++)
    h->tasks[h->count - (argc - i)].path = argv[i];
  return 0;
}

static int watch_signals(struct host *h) {
  struct sigaction action;
  int i;
  if (pipe(signal_pipe) != 0)
    return -1;
  for (i = 0; i < 2; i++) {
    fcntl(signal_pipe[i], F_SETFD, FD_CLOEXEC);
    fcntl(signal_pipe[i], F_SETFL, O_NONBLOCK);
  }
  h->polls[0].fd = signal_pipe[0];
  h->polls[0].events = POLLIN;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  return 0;
}

int main(int argc, char **argv) {
  struct host h;
  memset(&h, 0, sizeof h);
  if (read_arguments(&h, argc, argv) != 0)
    return usage();
  h.L = lua_newstate(allocate, &h.memory);
  if (!h.L || watch_signals(&h) != 0) {
    fprintf(stderr, "embed-host: no memory for a Lua state, or no pipe\n");
    h.status = 1;
  } else if (protect(h.L, set_up, &h) != 0) {
    report(&h, h.L);
  } else {
    run(&h);
  }
  /* What is in flight ends here: garner's engine goes with the state. */
  if (h.L)
    lua_close(h.L);
  if (h.verbose)
    fprintf(stderr, "embed-host: %ld beats, none more than %.0f ms late; Lua "
            "had %zu KiB at most, has %zu bytes now\n", h.beats,
            h.late * 1000, h.memory.most >> 10, h.memory.used);
  free(h.tasks);
  free(h.polls);
  return h.status;
}

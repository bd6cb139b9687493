/* Owns: running garner in Lua states whose allocator fails: at the n-th
 * allocation, at all from the n-th on, beyond a number of bytes; the same for
 * the memory that garner's core takes. Whatever n, a phase of the script works
 * or ends with an error of memory, the state goes on or closes, all of it is
 * given back, and nothing is left open.
 * Must not: know what the phases do.
 *
 *   allocations SCRIPT POINTS [PHASE]
 *
 * POINTS: so many n are tried in each phase and each way, 0: all. PHASE: only
 * the phase of that name.
 */
#define _POSIX_C_SOURCE 200809L
#include <garner.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PHASES 32       /* at most */
#define HANG 60         /* seconds that one try may take */
#define NEVER (-1L)
/* LuaJIT itself loses some bytes where an allocation fails: nobody else has
 * this allocator. */
#define LOST_BY_LUAJIT 4096

enum way {
  ONCE,    /* the n-th allocation of a phase fails, in a state that lives on */
  FRESH,   /* the same in a state of its own */
  SHORT,   /* all fail from the n-th on, until the phase is over */
  CLOSING, /* all fail from the n-th on, also while the state is closed */
  CORE_ONCE,  /* the n-th of the core's own fails */
  CORE_SHORT, /* all of them from the n-th on, until the phase is over */
  WAYS
};

static const char *const way_names[] = {"once", "once, fresh", "from then on",
                                        "until the state is closed",
                                        "the core's, once",
                                        "the core's, from then on"};

struct faults {
  size_t used;      /* bytes now */
  size_t most;      /* at any time */
  size_t limit;     /* bytes, 0: any */
  long count;       /* allocations since it was armed */
  long fail_at;     /* which of them fails, NEVER: none */
  bool persistent;  /* and all after it */
  bool failed;      /* one did */
  size_t again;     /* bytes of the one that did: it fails once more */
};

struct trial {
  lua_State *L;          /* the state */
  struct faults faults;  /* its allocator */
  int script;            /* where the list of phases is */
  int phases;            /* how many */
  bool luajit;           /* which Lua it is */
};

/* The core's allocator: the linker leads its calls here. */
static struct {
  atomic_long count;     /* allocations since it was armed */
  atomic_long fail_at;   /* which of them fails, NEVER: none */
  atomic_bool persistent; /* and all after it */
  atomic_bool failed;    /* one did */
} core;

static long taken_by_core; /* allocations in the phase before */
static const char *script_path;
static char now[160]; /* what is being tried */
static long bad; /* things that are not as they must be */
static long tries;
static long ended; /* phases that ended with an error */

/* The allocators ----------------------------------------------------------- */

/* Names that the linker's --wrap gives. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t size);

static bool core_fails(void) {
  long n = atomic_fetch_add(&core.count, 1), at = atomic_load(&core.fail_at);
  bool fails = at != NEVER && n >= at &&
               (n == at || atomic_load(&core.persistent));
  if (fails)
    atomic_store(&core.failed, true);
  return fails;
}

void *__wrap_malloc(size_t size) {
  return core_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
  return core_fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *block, size_t size) {
  return core_fails() ? NULL : __real_realloc(block, size);
}

static void arm_core(long fail_at, bool persistent) {
  atomic_store(&core.fail_at, NEVER);
  atomic_store(&core.count, 0);
  atomic_store(&core.failed, false);
  atomic_store(&core.persistent, persistent);
  atomic_store(&core.fail_at, fail_at);
}

/* From 5.2 on Lua collects its garbage and asks a second time. */
static bool must_fail(struct faults *f, size_t more) {
  long n = f->count++;
  bool fails = f->limit && f->used + more > f->limit;
  if (f->again == more)
    fails = true;
  f->again = 0;
  if (f->fail_at != NEVER && n >= f->fail_at) {
    fails = fails || f->persistent || n == f->fail_at;
    f->again = n == f->fail_at ? more : 0;
  }
  f->failed = f->failed || fails;
  return fails;
}

static void *allocate(void *ud, void *block, size_t old, size_t size) {
  struct faults *f = ud;
  void *p;
  if (!block)
    old = 0;
  if (size > old && must_fail(f, size - old))
    return NULL;
  if (size == 0) {
    free(block);
    f->used -= old;
    return NULL;
  }
  p = __real_realloc(block, size);
  if (p) {
    f->used = f->used - old + size;
    f->most = f->used > f->most ? f->used : f->most;
  }
  return p;
}

static void arm(struct faults *f, long fail_at, bool persistent) {
  f->count = 0;
  f->failed = false;
  f->again = 0;
  f->fail_at = fail_at;
  f->persistent = persistent;
}

/* The state ---------------------------------------------------------------- */

static void complain(const char *format, ...) {
  va_list args;
  bad++;
  printf("NOT OK: %s: ", now);
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  putchar('\n');
  fflush(stdout);
}

static int call_preload(lua_State *L) {
  garner_preload(L);
  return 0;
}

static int protect(lua_State *L, lua_CFunction fn, void *ud) {
#if LUA_VERSION_NUM < 502
  return lua_cpcall(L, fn, ud);
#else
  lua_pushcfunction(L, fn);
  lua_pushlightuserdata(L, ud);
  return lua_pcall(L, 1, 0, 0);
#endif
}

/* The script gives a list of { name, function }. */
static int load_script(lua_State *L) {
  struct trial *t = lua_touserdata(L, 1);
  luaL_openlibs(L);
  /* LuaJIT's compiled code does not survive an allocation that fails. */
  if (luaL_dostring(L, "return jit and jit.off() == nil") != 0)
    return lua_error(L);
  t->luajit = lua_toboolean(L, -1);
  lua_pop(L, 1);
  lua_pushcfunction(L, call_preload);
  lua_setglobal(L, "preload");
  if (luaL_loadfile(L, script_path) != 0)
    return lua_error(L);
  lua_call(L, 0, 1);
  t->phases = 0;
  for (;; t->phases++) {
    lua_rawgeti(L, -1, t->phases + 1);
    if (lua_isnil(L, -1))
      break;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  t->script = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static void begin(struct trial *t) {
  memset(t, 0, sizeof *t);
  arm(&t->faults, NEVER, false);
  arm_core(NEVER, false);
  snprintf(now, sizeof now, "a state without faults");
  t->L = lua_newstate(allocate, &t->faults);
  if (!t->L || protect(t->L, load_script, t) != 0) {
    printf("NOT OK: no state: %s\n",
           t->L ? lua_tostring(t->L, -1) : "lua_newstate");
    exit(2);
  }
}

static int count_entries(const char *path) {
  DIR *folder = opendir(path);
  int n = 0;
  while (folder && readdir(folder))
    n++;
  if (folder)
    closedir(folder);
  return n;
}

/* The kernel lists a thread that was waited for a moment longer. */
static bool has_threads(void) {
  struct timespec slice = {0, 1000000};
  int slices = 2000;
  while (count_entries("/proc/self/task") > 3 && slices-- > 0)
    nanosleep(&slice, NULL);
  return slices < 0;
}

static void end(struct trial *t) {
  static int descriptors;
  int open;
  lua_close(t->L);
  if (t->faults.used > (t->luajit ? LOST_BY_LUAJIT : 0))
    complain("%zu bytes were not given back", t->faults.used);
  open = count_entries("/proc/self/fd");
  if (descriptors && open > descriptors)
    complain("%d descriptors are open, %d before", open, descriptors);
  descriptors = open;
  if (has_threads())
    complain("a thread is left");
}

/* Phases ------------------------------------------------------------------- */

/* Lua's own text, which coroutine.wrap puts a place before; or what 5.3 and 5.4
 * say where the buffer of one of their functions cannot grow, and 5.2 where its
 * table.sort gets no stack. */
static bool is_memory_text(const char *text) {
  static const char own[] = "not enough memory";
  static const char buffer[] = "not enough memory for buffer allocation";
  static const char odd[] =
    "variable '(C temporary)' got a non-closable value";
  static const char sort[] = ": stack overflow ()";
  const char *found = strstr(text, own);
  if (!found)
    return strcmp(text, odd) == 0 || strstr(text, sort) != NULL;
  return (strcmp(found, own) == 0 || strcmp(found, buffer) == 0) &&
    (found == text || (found > text + 3 && found[-3] >= '0' &&
                       found[-3] <= '9'));
}

/* Lua's own error, or one of garner's: never anything else. A create that was
 * sent before memory ended is in doubt, and says why. */
static bool is_memory(lua_State *L, int i) {
  const char *kind, *text;
  bool yes;
  if (lua_isstring(L, i))
    return is_memory_text(lua_tostring(L, i));
  if (!lua_istable(L, i))
    return false;
  lua_getfield(L, i, "kind");
  lua_getfield(L, i, "message");
  kind = lua_tostring(L, -2);
  text = lua_tostring(L, -1);
  yes = kind && text &&
        (strcmp(kind, "memory") == 0 ||
         (strcmp(kind, "in_doubt") == 0 && strstr(text, "out of memory")));
  lua_pop(L, 2);
  return yes;
}

static const char *show(lua_State *L, int i) {
  lua_getglobal(L, "tostring");
  lua_pushvalue(L, i);
  if (lua_pcall(L, 1, 1, 0) != 0)
    return "an error that cannot be shown";
  return lua_tostring(L, -1) ? lua_tostring(L, -1) : "an error";
}

/* Calls phase i: true if it worked. Whatever else it gives must be an error of
 * memory, and only where an allocation failed. Faults are off afterwards, but
 * where they are to last. */
static bool run_phase(struct trial *t, int i, bool lasting) {
  lua_State *L = t->L;
  struct faults saved;
  bool fine, failed;
  int rc;
  lua_settop(L, 0);
  lua_rawgeti(L, LUA_REGISTRYINDEX, t->script);
  lua_rawgeti(L, 1, i + 1);
  lua_rawgeti(L, 2, 2);
  alarm(HANG);
  rc = lua_pcall(L, 0, 2, 0);
  saved = t->faults;
  failed = saved.failed || atomic_load(&core.failed);
  taken_by_core = atomic_load(&core.count);
  arm_core(NEVER, false);
  t->faults.failed = false;
  t->faults.fail_at = NEVER;
  t->faults.limit = 0;
  t->faults.again = 0;
  fine = rc == 0 && lua_toboolean(L, 3);
  ended += !fine;
  if (!fine && (!failed || !is_memory(L, rc == 0 ? 4 : 3)))
    complain("%s: %s", failed ? "not an error of memory" :
             "no allocation failed", show(L, rc == 0 ? 4 : 3));
  lua_settop(L, 0);
  if (lasting) {
    t->faults.fail_at = saved.fail_at;
    t->faults.limit = saved.limit;
  }
  return fine;
}

static const char *name_of(struct trial *t, int i) {
  const char *name;
  lua_rawgeti(t->L, LUA_REGISTRYINDEX, t->script);
  lua_rawgeti(t->L, -1, i + 1);
  lua_rawgeti(t->L, -1, 1);
  name = lua_tostring(t->L, -1);
  lua_pop(t->L, 3);
  return name;
}

static void run_from(struct trial *t, int first, int last) {
  for (; first <= last; first++)
    run_phase(t, first, false);
}

static void name_trial(struct trial *t, int phase, enum way way, long n) {
  snprintf(now, sizeof now, "%s, allocation %ld fails (%s)",
           name_of(t, phase), n, way_names[way]);
  tries++;
}

/* In one state for all n: what failed must work right after. */
static void try_reused(int phase, long from, long count, long step,
                       enum way way) {
  struct trial t;
  long n;
  begin(&t);
  run_from(&t, 0, phase);
  for (n = from; n < count; n += step) {
    name_trial(&t, phase, way, n);
    if (way >= CORE_ONCE)
      arm_core(n, way == CORE_SHORT);
    else
      arm(&t.faults, n, way == SHORT);
    if (!run_phase(&t, phase, false))
      run_phase(&t, phase, false);
  }
  run_from(&t, t.phases - 1, t.phases - 1);
  end(&t);
}

/* In a state each: the phase has never run before, its modules are loaded in
 * it. */
static void try_fresh(int phase, long from, long count, long step,
                      enum way way) {
  long n;
  for (n = from; n < count; n += step) {
    struct trial t;
    bool lasting = way == CLOSING;
    begin(&t);
    run_from(&t, 0, phase - 1);
    name_trial(&t, phase, way, n);
    arm(&t.faults, n, lasting);
    if (!run_phase(&t, phase, lasting) && !lasting)
      run_phase(&t, phase, false);
    if (!lasting)
      run_from(&t, t.phases - 1, t.phases - 1);
    end(&t);
  }
}

/* Odd, so that the steps do not always hit the same kind of allocation. */
static long step_for(long count, long points) {
  long step = points ? count / points : 1;
  return step < 1 ? 1 : step | 1;
}

/* What a phase takes: at first, when run again, and from the core. */
struct counts {
  long first;
  long again;
  long core;
};

static void try_phase(int phase, const struct counts *c, long points) {
  long step = step_for(c->again, points), fresh = step_for(c->first, points);
  long core_step = step_for(c->core, points);
  printf("phase %d: %ld allocations, %ld when run again, %ld of the core\n",
         phase, c->first, c->again, c->core);
  if (phase > 0) {
    try_reused(phase, 0, c->again, step, ONCE);
    try_reused(phase, step / 2, c->again, step, SHORT);
    try_reused(phase, core_step / 3, c->core, core_step, CORE_ONCE);
    try_reused(phase, core_step / 2, c->core, core_step, CORE_SHORT);
  }
  try_fresh(phase, fresh / 3, c->first, fresh, FRESH);
  try_fresh(phase, fresh * 2 / 3, c->first, fresh, CLOSING);
}

/* A limit for everything: from what the state has at first to what it needs. */
static void try_limits(long points) {
  struct trial t;
  size_t low, high, limit, step;
  int i;
  begin(&t);
  low = t.faults.used;
  run_from(&t, 0, t.phases - 1);
  high = t.faults.most;
  end(&t);
  step = (high - low) / (size_t)(points ? points : 200) + 1;
  for (limit = low; limit < high; limit += step) {
    begin(&t);
    snprintf(now, sizeof now, "a limit of %zu bytes", limit);
    tries++;
    for (i = 0; i < t.phases; i++) {
      t.faults.limit = limit;
      t.faults.failed = false;
      if (!run_phase(&t, i, false) && i == 0)
        break; /* without garner there is nothing to try */
    }
    t.faults.limit = limit;
    end(&t);
  }
}

static void on_alarm(int number) {
  static const char text[] = "NOT OK: hangs: ";
  if (write(STDOUT_FILENO, text, sizeof text - 1) < 0 ||
      write(STDOUT_FILENO, now, strlen(now)) < 0)
    _exit(128 + number);
  _exit(3);
}

int main(int argc, char **argv) {
  struct trial t;
  struct counts counts[PHASES];
  long points;
  bool wanted[PHASES] = {false};
  int i;
  if (argc < 3)
    return 2;
  script_path = argv[1];
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGALRM, on_alarm);
  points = atol(argv[2]);
  begin(&t);
  for (i = 0; i < 2 * t.phases && t.phases < PHASES; i++) {
    int phase = i % t.phases;
    arm(&t.faults, NEVER, false);
    arm_core(NEVER, false);
    run_phase(&t, phase, false);
    counts[phase].core = taken_by_core;
    *(i < t.phases ? &counts[phase].first : &counts[phase].again) =
      t.faults.count;
    wanted[phase] = !argv[3] || strcmp(argv[3], name_of(&t, phase)) == 0;
  }
  end(&t);
  for (i = 0; i < PHASES; i++)
    if (wanted[i])
      try_phase(i, &counts[i], points);
  if (!argv[3])
    try_limits(points * 2);
  printf("%ld tries, %ld ended with an error, %ld not ok\n", tries, ended,
         bad);
  return bad != 0;
}

/* Owns: a C program with Lua states in threads, for process_spec.lua and the
 * thread sanitizer: each thread makes a state, runs a script in it and closes
 * it, round after round, in another order each time; what grows is told.
 *
 * usage: host SCRIPT THREADS ROUNDS [ARGUMENT...]
 *
 * The script gets the round, the thread (from 1) and the arguments. With one
 * thread the main one does it. Must not: know garner, but by its module's name.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

enum { MOST_THREADS = 16 };

struct seat {
  int number;       /* of the thread, from 1 */
  pthread_t thread; /* that sits on it */
  char error[2048]; /* of its script, or empty */
};

static char **arguments; /* of the script */
static int argument_count;
static const char *script;
static int threads, turn, current_round;
static pthread_barrier_t ready;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;

static lua_State *run(struct seat *s) {
  lua_State *L = luaL_newstate();
  int i;
  luaL_openlibs(L);
  if (luaL_loadfile(L, script) == 0) {
    luaL_checkstack(L, argument_count + 2, "arguments");
    lua_pushinteger(L, current_round);
    lua_pushinteger(L, s->number);
    for (i = 0; i < argument_count; i++)
      lua_pushstring(L, arguments[i]);
    if (lua_pcall(L, argument_count + 2, 0, 0) == 0)
      return L;
  }
  lua_getglobal(L, "tostring");
  lua_insert(L, -2);
  lua_call(L, 1, 1);
  snprintf(s->error, sizeof s->error, "%s", lua_tostring(L, -1));
  return L;
}

/* In even rounds one after the other, in an order that the round decides; in
 * odd ones all at once. */
static void await_turn(const struct seat *s) {
  int mine = (s->number * 5 + current_round / 2) % threads;
  if (current_round % 2)
    return;
  pthread_mutex_lock(&lock);
  while (turn != mine)
    pthread_cond_wait(&moved, &lock);
  pthread_mutex_unlock(&lock);
}

static void pass_turn(void) {
  pthread_mutex_lock(&lock);
  turn++;
  pthread_cond_broadcast(&moved);
  pthread_mutex_unlock(&lock);
}

static void *sit(void *arg) {
  struct seat *s = arg;
  lua_State *L = run(s);
  pthread_barrier_wait(&ready);
  await_turn(s);
  lua_close(L);
  pass_turn();
  return NULL;
}

static int count_entries(const char *folder) {
  DIR *d = opendir(folder);
  int n = 0;
  if (!d)
    return -1;
  while (readdir(d))
    n++;
  closedir(d);
  return n;
}

static long resident_kb(void) {
  char line[256];
  long kb = -1;
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "VmRSS: %ld", &kb) == 1)
      break;
  if (f)
    fclose(f);
  return kb;
}

static bool is_mapped(const char *name) {
  char line[4096];
  bool found = false;
  FILE *f = fopen("/proc/self/maps", "r");
  while (f && !found && fgets(line, sizeof line, f))
    found = strstr(line, name) != NULL;
  if (f)
    fclose(f);
  return found;
}

/* "round N: F descriptors, T threads, K KB" */
static int do_round(struct seat *seats) {
  int i, failed = 0;
  turn = 0;
  for (i = 0; i < threads; i++) {
    seats[i].number = i + 1;
    seats[i].error[0] = '\0';
    if (threads > 1 &&
        pthread_create(&seats[i].thread, NULL, sit, &seats[i]) != 0) {
      fprintf(stderr, "no thread\n");
      exit(2);
    }
  }
  if (threads == 1)
    sit(&seats[0]);
  for (i = 0; i < threads; i++) {
    if (threads > 1)
      pthread_join(seats[i].thread, NULL);
    if (seats[i].error[0]) {
      fprintf(stderr, "round %d, thread %d: %s\n", current_round, i + 1,
              seats[i].error);
      failed = 1;
    }
  }
  printf("round %d: %d descriptors, %d threads, %ld KB\n", current_round,
         count_entries("/proc/self/fd"), count_entries("/proc/self/task") - 2,
         resident_kb());
  return failed;
}

int main(int argc, char **argv) {
  static struct seat seats[MOST_THREADS];
  int rounds, failed = 0;
  if (argc < 4)
    return 2;
  script = argv[1];
  threads = atoi(argv[2]);
  rounds = atoi(argv[3]);
  arguments = argv + 4;
  argument_count = argc - 4;
  if (threads < 1 || threads > MOST_THREADS || argument_count > 10)
    return 2;
  pthread_barrier_init(&ready, NULL, (unsigned)threads);
  for (current_round = 1; current_round <= rounds; current_round++)
    failed |= do_round(seats);
  pthread_barrier_destroy(&ready);
  printf("garner/core.so is %s\n",
         is_mapped("garner/core.so") ? "mapped" : "gone");
  return failed;
}

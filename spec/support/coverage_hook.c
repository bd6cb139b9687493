/* Owns: which lines of lua/garner a Lua process executed. A hook in C, since
 * one written in Lua makes the specs fifty times slower. Loaded by coverage.lua
 * and never unloaded; writes "file:line" lines into $GARNER_COVERAGE at exit.
 * Must not: be part of the module; only the coverage build compiles it.
 */
#define _GNU_SOURCE
#include <lauxlib.h>
#include <lua.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MARK "/lua/garner/"
#define MAX_LINES 4096
#define BUCKETS 256

struct source {
  struct source *next;            /* of the same bucket */
  const char *key;                /* the chunk's own text, compared first */
  char *name;                     /* a copy, since the chunk may be collected */
  const char *file;               /* inside name, from "garner/" on; or NULL */
  unsigned char lines[MAX_LINES]; /* 1: executed */
};

static struct source *buckets[BUCKETS];

/* Chunks are told apart by the address of their name, which a later chunk may
 * get again; so the text decides. */
static struct source *find(const char *key) {
  struct source **bucket = &buckets[((size_t)key >> 4) % BUCKETS], *s;
  const char *at;
  for (s = *bucket; s; s = s->next)
    if (s->key == key && strcmp(s->name, key) == 0)
      return s;
  s = calloc(1, sizeof *s);
  if (!s || !(s->name = strdup(key)))
    abort();
  s->key = key;
  for (at = s->name; *key == '@' && (at = strstr(at, MARK)); at++)
    s->file = at + strlen("/lua/");
  s->next = *bucket;
  *bucket = s;
  return s;
}

static void count_line(lua_State *L, lua_Debug *ar) {
  struct source *s;
  lua_getinfo(L, "S", ar);
  s = find(ar->source);
  if (s->file && ar->currentline >= 0 && ar->currentline < MAX_LINES)
    s->lines[ar->currentline] = 1;
}

static void write_lines(void) {
  const char *folder = getenv("GARNER_COVERAGE");
  struct timespec now;
  struct source *s;
  char path[4096];
  FILE *out;
  int i, line;
  clock_gettime(CLOCK_REALTIME, &now);
  snprintf(path, sizeof path, "%s/%ld-%ld%09ld.lines", folder ? folder : ".",
           (long)getpid(), (long)now.tv_sec, now.tv_nsec);
  out = fopen(path, "w");
  if (!out) {
    perror(path);
    return;
  }
  for (i = 0; i < BUCKETS; i++)
    for (s = buckets[i]; s; s = s->next)
      for (line = 0; s->file && line < MAX_LINES; line++)
        if (s->lines[line])
          fprintf(out, "%s:%d\n", s->file, line);
  fclose(out);
}

__attribute__((visibility("default"))) int
luaopen_garner_coverage(lua_State *L);

/* Coroutines made from here on inherit the hook. */
int luaopen_garner_coverage(lua_State *L) {
  atexit(write_lines);
  lua_sethook(L, count_line, LUA_MASKLINE, 0);
  return 0;
}

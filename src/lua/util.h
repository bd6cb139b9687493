/* Owns: what the binding files share: making objects, reading option tables,
 * showing the core's errors as tables.
 * Must not: hold policy; defaults belong to the core.
 */
#ifndef GN_LUA_UTIL_H
#define GN_LUA_UTIL_H

#include "../core/error.h"
#include "../core/policy.h"
#include "../core/request.h"
#include "../core/stats.h"
#include "../core/traffic.h"
#include "compat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_LUA_COUNTERS "garner.core.counters"
#define GN_LUA_FILE "garner.core.file"
#define GN_LUA_RULES "garner.core.rules"
#define GN_LUA_INFLATE "garner.core.inflate"
#define GN_LUA_TEXT "garner.core.text"
#define GN_LUA_LIMITER "garner.core.limiter"
#define GN_LUA_PLACE "garner.core.place"
#define GN_LUA_BATCH "garner.core.batch"
#define GN_LUA_SPLIT "garner.core.json_split"

/* Types that every request meets: gn_lua_check knows them by address. */
extern const char GN_LUA_ENGINE[], GN_LUA_MAILBOX[], GN_LUA_CLIENT[],
    GN_LUA_RESULT[], GN_LUA_REQUEST[];

/* A userdata of zeros with its metatable: collectable from birth. */
void *gn_lua_object(lua_State *L, size_t size, const char *type);
/* The object of such a type at an index; anything else raises. */
void *gn_lua_check(lua_State *L, int arg, const char *type);
/* A metatable whose methods are in __index and that cannot be looked into. */
void gn_lua_type(lua_State *L, const char *type, const luaL_Reg *methods,
                 const luaL_Reg *meta);

/* Raises what Lua itself raises: text and all, so that callers need to know one
 * error only. For memory of the core's too. */
int gn_lua_no_memory(lua_State *L);
/* Room for n more values: where Lua allows them and yet there is none, memory
 * has run out. */
void gn_lua_reserve(lua_State *L, int n);

/* Fields of the table at an absolute index. Wrong types raise; an absent field
 * gives the fallback. Text stays anchored as long as the table keeps it. */
const char *gn_lua_text(lua_State *L, int table, const char *name,
                        size_t *len);
double gn_lua_number(lua_State *L, int table, const char *name,
                     double fallback);
/* A number of things, a million at most. */
int gn_lua_count(lua_State *L, int table, const char *name, int fallback);
bool gn_lua_flag(lua_State *L, int table, const char *name, bool fallback);
/* Pushes the field, which must be a table, and returns true; or pushes nothing
 * and returns false if it is absent. */
bool gn_lua_table(lua_State *L, int table, const char *name);

/* After a wait: lets a Ctrl-C end this coroutine. */
void gn_lua_pass_interrupt(lua_State *L);
/* A count, of bytes mostly: an integer where this Lua has them. */
void gn_lua_push_size(lua_State *L, uint64_t size);

/* Pushes { kind, code, message }. */
void gn_lua_push_error(lua_State *L, const struct gn_error *err);
/* nil and that table. */
int gn_lua_fail(lua_State *L, const struct gn_error *err);
/* Misuse raises, as lack of memory does; the rest is nil, table. */
int gn_lua_refuse(lua_State *L, const struct gn_error *err);

/* result.c: pushes the result's object, or nil for NULL; takes the result. */
struct gn_result **gn_lua_result_new(lua_State *L);
void gn_lua_result_open(lua_State *L);
/* request.c: what is to be sent, out of the object or table at index arg; a
 * table's is pushed in a box. */
struct gn_lua_request {
  struct gn_request *request; /* a reference, or NULL */
  bool kept;                  /* to be sent more than once */
};
struct gn_lua_request *gn_lua_request(lua_State *L, int arg,
                                      const struct gn_policy *p);
/* The reference, or another one if it is kept. Raises nothing. */
struct gn_request *gn_lua_request_take(struct gn_lua_request *box);
/* client:request_new(table) */
int gn_lua_request_new(lua_State *L);
void gn_lua_request_open(lua_State *L);
/* client.c */
struct gn_policy *gn_lua_client(lua_State *L, int arg);
void gn_lua_client_open(lua_State *L);
/* limiter.c */
struct gn_rate *gn_lua_limiter(lua_State *L, int arg);
void gn_lua_limiter_open(lua_State *L);
/* walk.c: rules of walks and polls in a box on the stack. */
struct gn_lua_rules {
  struct gn_pager_rules *pager;   /* owned, or NULL */
  struct gn_poller_rules *poller; /* owned, or NULL */
};
struct gn_lua_rules *gn_lua_walk_rules(lua_State *L, int arg);
struct gn_lua_rules *gn_lua_poll_rules(lua_State *L, int arg);
void gn_lua_rules_open(lua_State *L);
/* traffic.c: pushes the table of a request, record or log event. */
void gn_lua_push_traffic(lua_State *L, const struct gn_traffic *t);
/* Pushes { method, url, headers, body, file, server_url }. */
void gn_lua_push_request(lua_State *L, const struct gn_request *r,
                         bool server_url);
/* engine:supply(serial, response) */
int gn_lua_engine_supply(lua_State *L);
/* file.c; file_open(path) */
void gn_lua_file_open(lua_State *L);
/* engine.c */
struct gn_engine *gn_lua_engine(lua_State *L, int arg);
void gn_lua_engine_open(lua_State *L);
/* mailbox.c; engine:mailbox_new() */
struct gn_mailbox *gn_lua_mailbox(lua_State *L, int arg);
int gn_lua_mailbox_new(lua_State *L);
/* If the mailbox's oldest event is the end of id: pushes its result and its
 * status, false instead where that is an error, and returns true. Nobody else
 * may take from the mailbox. Where it raises, the event is still there. */
bool gn_lua_mailbox_push_end(lua_State *L, struct gn_mailbox *m, uint64_t id);
void gn_lua_mailbox_open(lua_State *L);
/* stats.c: counters_new() */
struct gn_counters *gn_lua_counters(lua_State *L, int arg);
void gn_lua_stats_open(lua_State *L);
/* inflate.c */
void gn_lua_inflate_open(lua_State *L);
/* rows.c: pushes an empty box. */
struct gn_batch **gn_lua_batch_new(lua_State *L);
void gn_lua_rows_open(lua_State *L);
/* urls.c; client:url_build(path, params, query) */
int gn_lua_client_url_build(lua_State *L);
void gn_lua_urls_open(lua_State *L);

#endif

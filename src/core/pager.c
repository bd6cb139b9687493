/* Owns: the state of one walk. Must not: go ahead of what was asked for, or
 * past an error.
 */
#include "pager.h"

#include "alloc.h"
#include "exchange.h"
#include "json.h"

#include <stdio.h>
#include <string.h>

struct pager {
  struct gn_work work;           /* first, so that one is the other */
  struct gn_request *request;    /* the template */
  struct gn_pager_rules *rules;  /* owned */
  struct gn_exchange *exchange;  /* the page on its way, or NULL */
  char *url;                     /* of the next page; NULL: the request's */
  bool server_url;               /* url came from the server */
  uint64_t pages;                /* good ones so far */
  uint64_t bytes;                /* of their bodies */
  uint64_t *seen;                /* hashes of tokens or links, probed in line */
  size_t seen_count;             /* how many */
  size_t seen_capacity;          /* a power of two, or 0 */
  unsigned credits;              /* pages asked for and not yet begun */
};

struct gn_pager_rules *gn_pager_rules_new(void) {
  return gn_alloc_zero(sizeof(struct gn_pager_rules));
}

void gn_pager_rules_free(struct gn_pager_rules *r) {
  if (!r)
    return;
  gn_free(r->token);
  gn_free(r->query);
  gn_free(r->link);
  gn_free(r->page);
  gn_free(r->items);
  gn_free(r);
}

static void finish(struct pager *g, struct gn_result *result) {
  gn_work_finish(&g->work, result);
}

static uint64_t hash(const char *text) {
  uint64_t h = 1469598103934665603u;
  for (; *text; text++)
    h = (h ^ (unsigned char)*text) * 1099511628211u;
  return h ? h : 1;
}

static bool insert(uint64_t *table, size_t capacity, uint64_t h) {
  size_t i = (size_t)h & (capacity - 1);
  while (table[i] && table[i] != h)
    i = (i + 1) & (capacity - 1);
  if (table[i] == h)
    return false;
  table[i] = h;
  return true;
}

/* 1: new, 0: was there before, -1: out of memory. */
static int remember(struct pager *g, const char *token) {
  size_t i;
  if (g->seen_count * 2 >= g->seen_capacity) {
    size_t capacity = g->seen_capacity ? g->seen_capacity * 2 : 64;
    uint64_t *grown = gn_alloc_zero(capacity * sizeof *grown);
    if (!grown)
      return -1;
    for (i = 0; i < g->seen_capacity; i++)
      if (g->seen[i])
        insert(grown, capacity, g->seen[i]);
    gn_free(g->seen);
    g->seen = grown;
    g->seen_capacity = capacity;
  }
  if (!insert(g->seen, g->seen_capacity, hash(token)))
    return 0;
  g->seen_count++;
  return 1;
}

static int set_url(struct pager *g, const char *name, const char *value,
                   struct gn_error *err) {
  char *url = NULL;
  if (gn_url_with_query(g->request->url, name, value, strlen(value), &url,
                        err) != 0)
    return -1;
  gn_free(g->url);
  g->url = url;
  return 1;
}

static int guard(struct pager *g, const char *token, struct gn_error *err) {
  int fresh = remember(g, token);
  if (fresh < 0)
    return gn_error_memory(err);
  if (fresh == 0)
    return gn_error_set(err, GN_PROTOCOL, "page_token",
                        "page %llu leads to a page that was there before",
                        (unsigned long long)g->pages);
  return 0;
}

static int follow_link(struct pager *g, const char *link,
                       struct gn_error *err) {
  const char *here = g->url ? g->url : g->request->url;
  char *url = NULL;
  if (gn_url_resolve(here, link, &url, err) != 0) {
    if (err->kind != GN_MEMORY)
      err->kind = GN_PROTOCOL;
    return -1;
  }
  if (guard(g, url, err) != 0) {
    gn_free(url);
    return -1;
  }
  gn_free(g->url);
  g->url = url;
  g->server_url = true;
  return 1;
}

static int next_by_token(struct pager *g, const struct gn_json_slice *found,
                         struct gn_error *err) {
  char *text = NULL;
  size_t len;
  int rc;
  if (found->type == GN_JSON_ABSENT || found->type == GN_JSON_NULL)
    return 0;
  if (found->type != GN_JSON_STRING && found->type != GN_JSON_NUMBER)
    return gn_error_set(err, GN_PROTOCOL, "page_token",
                        "the next page's token is neither text nor a number");
  if (gn_json_string(found, &text, &len, err) != 0)
    return -1;
  if (len == 0)
    rc = 0;
  else if (g->rules->link)
    rc = follow_link(g, text, err);
  else if (guard(g, text, err) != 0)
    rc = -1;
  else
    rc = set_url(g, g->rules->query, text, err);
  gn_free(text);
  return rc;
}

/* 1: g->url is the next page, 0: that was the last one, -1: err. */
static int find_next(struct pager *g, const struct gn_result *result,
                     struct gn_error *err) {
  const struct gn_pager_rules *rules = g->rules;
  const char *path = rules->token ? rules->token
                     : rules->link ? rules->link : rules->items;
  struct gn_json_slice found;
  size_t len;
  const char *body = gn_result_body(result, &len);
  char number[32];
  if (gn_json_pick(body, len, &path, 1, &found, err) != 0)
    return -1;
  if (rules->token || rules->link)
    return next_by_token(g, &found, err);
  if (found.type == GN_JSON_ABSENT || found.type == GN_JSON_NULL)
    return 0;
  if (found.type != GN_JSON_ARRAY)
    return gn_error_set(err, GN_PROTOCOL, "shape",
                        "'%s' of page %llu is no list", path,
                        (unsigned long long)g->pages);
  if (gn_json_count(&found) < rules->size)
    return 0;
  snprintf(number, sizeof number, "%llu",
           (unsigned long long)(rules->first + g->pages));
  return set_url(g, rules->page, number, err);
}

static void fetch(struct pager *g);

static void on_page(struct gn_exchange *x) {
  struct pager *g = x->owner;
  struct gn_result *result = gn_exchange_take_result(x);
  struct gn_error err;
  size_t len;
  int more;
  gn_exchange_free(x);
  g->exchange = NULL;
  gn_error_clear(&err);
  if (result->error.kind != GN_OK) {
    finish(g, result);
    return;
  }
  gn_result_body(result, &len);
  g->pages++;
  g->bytes += len;
  more = find_next(g, result, &err);
  if (more < 0 && strcmp(err.code, "json") == 0) {
    gn_work_fail(&g->work, result, &err);
    return;
  }
  if (gn_work_post(&g->work, GN_EVENT_PAGE, result) != 0) {
    more = -1;
    gn_error_memory(&err);
  }
  if (more > 0 && (g->pages >= g->rules->max_pages ||
                   (g->rules->max_bytes && g->bytes >= g->rules->max_bytes)))
    more = gn_error_set(&err, GN_TRUNCATED,
                        g->pages >= g->rules->max_pages ? "max_pages"
                                                        : "max_bytes",
                        "there are more pages after page %llu, where the "
                        "limit ends the walk", (unsigned long long)g->pages);
  if (more < 0)
    gn_work_fail(&g->work, NULL, &err);
  else if (more == 0)
    finish(g, NULL);
  else if (g->credits > 0)
    fetch(g);
}

static void fetch(struct pager *g) {
  struct gn_error err;
  struct gn_request *r;
  gn_error_clear(&err);
  g->credits--;
  r = gn_request_copy(g->request, &err);
  if (r && g->url && gn_request_set_url(r, g->url, &err) != 0) {
    gn_request_free(r);
    r = NULL;
  }
  if (r) {
    r->server_url = r->server_url || g->server_url;
    g->exchange = gn_exchange_new(g->work.engine, r, g->work.policy, on_page,
                                  g, &err);
  }
  if (!g->exchange) {
    gn_work_fail(&g->work, NULL, &err);
    return;
  }
  g->exchange->work = &g->work;
  gn_exchange_start(g->exchange);
}

static void pager_start(struct gn_work *w) {
  struct pager *g = (struct pager *)w;
  struct gn_error err;
  g->credits = 1;
  /* A link that leads back to the first page is a circle too. */
  if (g->rules->link && guard(g, g->request->url, &err) != 0)
    gn_work_fail(w, NULL, &err);
  else
    fetch(g);
}

static void pager_advance(struct gn_work *w, unsigned pages) {
  struct pager *g = (struct pager *)w;
  g->credits += pages;
  if (!g->exchange)
    fetch(g);
}

static void pager_cancel(struct gn_work *w, const char *why) {
  struct pager *g = (struct pager *)w;
  struct gn_error err;
  if (g->exchange) {
    gn_exchange_cancel(g->exchange, why);
    return;
  }
  gn_error_clear(&err);
  gn_error_set(&err, GN_CANCELLED, "cancelled", "%s", why);
  gn_work_fail(&g->work, NULL, &err);
}

static void pager_destroy(struct gn_work *w) {
  struct pager *g = (struct pager *)w;
  gn_exchange_free(g->exchange);
  gn_request_free(g->request);
  gn_pager_rules_free(g->rules);
  gn_free(g->url);
  gn_free(g->seen);
  gn_work_release(w);
  gn_free(g);
}

static const struct gn_work_ops pager_ops = {
  pager_start, pager_cancel, pager_advance, pager_destroy,
};

static int set_first_page(struct pager *g, struct gn_error *err) {
  char number[32];
  if (!g->rules->page)
    return 1;
  snprintf(number, sizeof number, "%llu",
           (unsigned long long)g->rules->first);
  return set_url(g, g->rules->page, number, err);
}

struct gn_work *gn_pager_new(struct gn_engine *e, struct gn_mailbox *m,
                             struct gn_policy *p, struct gn_request *r,
                             struct gn_pager_rules *rules,
                             struct gn_error *err) {
  struct pager *g = gn_alloc_zero(sizeof *g);
  if (!g) {
    gn_request_free(r);
    gn_pager_rules_free(rules);
    gn_error_memory(err);
    return NULL;
  }
  g->request = r;
  g->rules = rules;
  if (set_first_page(g, err) < 0 ||
      gn_work_init(&g->work, &pager_ops, e, m, p, true, err) != 0) {
    gn_request_free(r);
    gn_pager_rules_free(rules);
    gn_free(g->url);
    gn_free(g);
    return NULL;
  }
  return &g->work;
}

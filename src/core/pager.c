/* Owns: the state of one walk. Must not: begin a page that it has no credit
 * for, or go past an error.
 */
#include "pager.h"

#include "alloc.h"
#include "exchange.h"
#include "next_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Beyond so many tokens the guard begins anew: a circle of fewer pages than
 * this is found all the same, one turn later. */
#define SEEN_MAX 65536

struct seen {
  uint64_t hash; /* of a token or link, 0: free */
  uint64_t page; /* the page it leads to */
};

struct pager {
  struct gn_work work;           /* first, so that one is the other */
  struct gn_request *request;    /* the template */
  struct gn_pager_rules *rules;  /* owned */
  struct gn_exchange *exchange;  /* the page on its way, or NULL */
  char *next;                    /* what asks for the next page, or NULL */
  char *here;                    /* URL of the last page; NULL: the request's */
  struct gn_page_count count;    /* of a walk by number or offset */
  uint64_t pages;                /* good ones so far, those before included */
  uint64_t bytes;                /* of the bodies of this run */
  struct seen *seen;             /* probed in line */
  size_t seen_count;             /* how many */
  size_t seen_capacity;          /* a power of two, or 0 */
};

struct gn_pager_rules *gn_pager_rules_new(void) {
  return gn_alloc_zero(sizeof(struct gn_pager_rules));
}

void gn_pager_rules_free(struct gn_pager_rules *r) {
  if (!r)
    return;
  gn_free(r->source);
  gn_free(r->target);
  gn_free(r->prefix);
  gn_free(r->suffix);
  gn_free(r->items);
  gn_free(r->more);
  gn_free(r->start);
  gn_free(r);
}

static void finish(struct pager *g, struct gn_result *result) {
  gn_work_finish(&g->work, result);
}

static struct seen *probe(struct seen *table, size_t capacity, uint64_t hash) {
  size_t i = (size_t)hash & (capacity - 1);
  while (table[i].hash && table[i].hash != hash)
    i = (i + 1) & (capacity - 1);
  return &table[i];
}

static int make_room(struct pager *g) {
  size_t i, capacity = g->seen_capacity ? g->seen_capacity * 2 : 64;
  struct seen *grown;
  if (g->seen_count * 2 < g->seen_capacity)
    return 0;
  if (g->seen_count >= SEEN_MAX) {
    memset(g->seen, 0, g->seen_capacity * sizeof *g->seen);
    g->seen_count = 0;
    return 0;
  }
  grown = gn_alloc_zero(capacity * sizeof *grown);
  if (!grown)
    return -1;
  for (i = 0; i < g->seen_capacity; i++)
    if (g->seen[i].hash)
      *probe(grown, capacity, g->seen[i].hash) = g->seen[i];
  gn_free(g->seen);
  g->seen = grown;
  g->seen_capacity = capacity;
  return 0;
}

/* Remembers what leads to a page; an error if it led to one before. */
static int guard(struct pager *g, const char *token, uint64_t page,
                 struct gn_error *err) {
  uint64_t hash = gn_page_hash(token, strlen(token));
  struct seen *place;
  if (make_room(g) != 0)
    return gn_error_memory(err);
  place = probe(g->seen, g->seen_capacity, hash);
  if (place->hash)
    return gn_error_set(err, GN_PROTOCOL, "page_token",
                        "page %llu leads to page %llu, which was there "
                        "before: the walk would go in circles",
                        (unsigned long long)g->pages,
                        (unsigned long long)place->page);
  place->hash = hash;
  place->page = page;
  g->seen_count++;
  return 0;
}

static bool counts(const struct pager *g) {
  return g->rules->from == GN_FROM_PAGE || g->rules->from == GN_FROM_OFFSET;
}

/* Takes the value that asks for the next page. */
static int keep_next(struct pager *g, char *value, struct gn_result *result,
                     struct gn_error *err) {
  gn_free(g->next);
  g->next = value;
  result->next = gn_strdup(value);
  if (!result->next)
    return gn_error_memory(err);
  return counts(g) ? 1 : guard(g, value, g->pages + 1, err) == 0 ? 1 : -1;
}

static bool is_no_page(const struct gn_error *err) {
  return strcmp(err->code, "json") == 0 ||
         strcmp(err->code, "page_repeated") == 0;
}

static int check_limits(struct pager *g, struct gn_error *err) {
  bool pages = g->pages >= g->rules->max_pages;
  if (!pages && (!g->rules->max_bytes || g->bytes < g->rules->max_bytes))
    return 1;
  return gn_error_set(err, GN_TRUNCATED, pages ? "max_pages" : "max_bytes",
                      "there are more pages after page %llu, where the limit "
                      "ends the walk", (unsigned long long)g->pages);
}

static void fetch(struct pager *g);

static void on_page(struct gn_exchange *x) {
  struct pager *g = x->owner;
  struct gn_result *result = gn_exchange_take_result(x);
  const char *here = g->here ? g->here : g->request->url;
  struct gn_error err;
  char *value = NULL;
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
  more = gn_next_page_find(g->rules, &g->count, result, g->pages + 1, here,
                           &value, &err);
  if (more == GN_PAGE_REPEATED || (more < 0 && is_no_page(&err))) {
    if (more < 0) {
      gn_work_fail(&g->work, result, &err);
    } else {
      gn_result_free(result);
      finish(g, NULL);
    }
    return;
  }
  g->pages++;
  g->bytes += len;
  result->last = more == 0;
  if (more == 1)
    more = keep_next(g, value, result, &err);
  gn_engine_count(g->work.engine, GN_COUNT_PAGES, 1);
  if (gn_work_post(&g->work, GN_EVENT_PAGE, result) != 0)
    more = gn_error_memory(&err);
  if (more == 1)
    more = check_limits(g, &err);
  if (more < 0)
    gn_work_fail(&g->work, NULL, &err);
  else if (more == 0)
    finish(g, NULL);
  else if (gn_work_take_credit(&g->work))
    fetch(g);
}

/* Links are relative to the page that holds them. */
static int set_here(struct pager *g, const char *url, struct gn_error *err) {
  char *copy = gn_strdup(url);
  if (!copy)
    return gn_error_memory(err);
  gn_free(g->here);
  g->here = copy;
  return 0;
}

static void fetch(struct pager *g) {
  struct gn_error err;
  struct gn_request *r;
  gn_error_clear(&err);
  r = gn_request_copy(g->request, &err);
  if (r && ((g->next && gn_next_page_apply(g->rules, r, g->next, &err) != 0) ||
            set_here(g, r->url, &err) != 0)) {
    gn_request_free(r);
    r = NULL;
  }
  if (r)
    g->exchange = gn_exchange_new(g->work.engine, r, g->work.policy, on_page,
                                  g, &err);
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
  const char *first = g->next;
  /* A link that leads back to the first page is a circle too. */
  if (!first && g->rules->to == GN_TO_URL)
    first = g->request->url;
  if (first && !counts(g) && guard(g, first, g->pages + 1, &err) != 0)
    gn_work_fail(w, NULL, &err);
  else if (gn_work_take_credit(w))
    fetch(g);
}

static void pager_advance(struct gn_work *w) {
  if (gn_work_take_credit(w))
    fetch((struct pager *)w);
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
  gn_free(g->next);
  gn_free(g->here);
  gn_free(g->seen);
  gn_work_release(w);
  gn_free(g);
}

static const struct gn_work_ops pager_ops = {
  pager_start, pager_cancel, pager_advance, pager_destroy,
};

/* What asks for the first page; a plain request needs nothing. */
static int set_first(struct pager *g, struct gn_error *err) {
  const struct gn_pager_rules *rules = g->rules;
  char number[32];
  g->pages = rules->before;
  if (counts(g)) {
    g->count.at = rules->start ? strtoull(rules->start, NULL, 10)
                               : rules->first;
    snprintf(number, sizeof number, "%llu", (unsigned long long)g->count.at);
    g->next = gn_strdup(number);
  } else if (rules->start) {
    g->next = gn_strdup(rules->start);
  } else {
    return 0;
  }
  return g->next ? 0 : gn_error_memory(err);
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
  if (set_first(g, err) != 0 ||
      gn_work_init(&g->work, &pager_ops, e, m, p, true, err) != 0) {
    gn_request_free(r);
    gn_pager_rules_free(rules);
    gn_free(g->next);
    gn_free(g);
    return NULL;
  }
  g->work.credits = rules->ahead > 0 ? rules->ahead : 1;
  return &g->work;
}

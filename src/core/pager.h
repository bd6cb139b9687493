/* Owns: a walk over pages by rules that are data: where the next page's token,
 * link or number comes from, where it goes, and when the walk is over or going
 * in circles. It fetches one page for each one asked for.
 * Must not: decode a page; it only picks what the rules name.
 */
#ifndef GN_PAGER_H
#define GN_PAGER_H

#include "work.h"

struct gn_pager_rules {
  char *token;        /* JSON path of the next token; else NULL */
  char *query;        /* the query parameter the token goes to */
  char *link;         /* JSON path of the next page's URL; else NULL */
  char *page;         /* the query parameter of a page number; else NULL */
  char *items;        /* with page: JSON path of the list that is counted */
  uint64_t size;      /* with page: a page with fewer items is the last */
  uint64_t first;     /* with page: the first number */
  uint64_t max_pages; /* pages at most; more end in GN_TRUNCATED */
  uint64_t max_bytes; /* body bytes of all pages at most, 0: no limit */
};

struct gn_pager_rules *gn_pager_rules_new(void);
void gn_pager_rules_free(struct gn_pager_rules *r);

/* Takes request and rules, also on failure. */
struct gn_work *gn_pager_new(struct gn_engine *e, struct gn_mailbox *m,
                             struct gn_policy *p, struct gn_request *r,
                             struct gn_pager_rules *rules,
                             struct gn_error *err);

#endif

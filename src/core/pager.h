/* Owns: a walk over pages by rules that are data: where the next page's token,
 * link or number comes from, where it goes, and when the walk is over or going
 * in circles. It goes as far ahead of who takes the pages as the rules allow.
 * Must not: decode a page; it only picks what the rules name.
 */
#ifndef GN_PAGER_H
#define GN_PAGER_H

#include "work.h"

/* What names the next page. */
enum gn_next_from {
  GN_FROM_JSON,   /* a value of the body */
  GN_FROM_HEADER, /* a response header */
  GN_FROM_LINK,   /* a Link header's target of one relation */
  GN_FROM_PAGE,   /* a number that is counted up */
  GN_FROM_OFFSET  /* the number of items so far */
};

/* Where that goes. */
enum gn_next_to {
  GN_TO_QUERY,  /* a query parameter */
  GN_TO_BODY,   /* a value of the JSON body */
  GN_TO_HEADER, /* a request header */
  GN_TO_URL     /* it is the next page's URL */
};

/* Pages by number or offset that have the same items as the one before them or
 * as the first: the server does not heed the number. */
enum gn_repeats {
  GN_REPEATS_FAIL, /* an error */
  GN_REPEATS_END,  /* that was all; the repeated page is not given */
  GN_REPEATS_ALLOW /* as good as any other */
};

struct gn_pager_rules {
  enum gn_next_from from;  /* what names the next page */
  enum gn_next_to to;      /* where it goes */
  char *source;            /* JSON path, header or link relation; else NULL */
  char *target;            /* query parameter or header; else NULL */
  char *prefix;            /* GN_TO_BODY: the body before the value */
  char *suffix;            /* GN_TO_BODY: the body after it */
  char *items;             /* JSON path of the list that is counted, or NULL */
  char *more;              /* JSON path of a flag "there are more", or NULL */
  char *start;             /* what to begin with, a result's `next`, or NULL */
  uint64_t before;         /* pages that came before the start */
  uint64_t size;           /* items of a full page; 0: not known */
  uint64_t first;          /* number or offset of the first page */
  uint64_t max_pages;      /* at most, with those before; then GN_TRUNCATED */
  uint64_t max_bytes;      /* body bytes of all pages at most, 0: no limit */
  unsigned ahead;          /* pages beyond the one taken last; 0: on demand */
  enum gn_repeats repeats; /* what a repeated page means */
  bool tape;               /* the values of the pages are wanted: as a tape */
};

struct gn_pager_rules *gn_pager_rules_new(void);
void gn_pager_rules_free(struct gn_pager_rules *r);

/* Takes request and rules, also on failure. The first pages, as many as `ahead`
 * says but at least one, come by themselves, then one for each advance. */
struct gn_work *gn_pager_new(struct gn_engine *e, struct gn_mailbox *m,
                             struct gn_policy *p, struct gn_request *r,
                             struct gn_pager_rules *rules,
                             struct gn_error *err);

#endif

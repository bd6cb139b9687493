/* Owns: what a page says about the one after it, and how that is asked for:
 * tokens, links, numbers, flags; query, body, header.
 * Must not: send, or remember tokens; the pager does.
 */
#ifndef GN_NEXT_PAGE_H
#define GN_NEXT_PAGE_H

#include "pager.h"

/* What a walk by number or offset has to know of the pages so far. */
struct gn_page_count {
  uint64_t at;     /* number or offset of the page that is being fetched */
  uint64_t pages;  /* pages that were read */
  bool full_first; /* the first one had as many items as it should */
  uint64_t first;  /* hash of the first page's items, 0: none */
  uint64_t last;   /* hash of the last page's items, 0: none */
};

#define GN_PAGE_REPEATED 2

uint64_t gn_page_hash(const char *text, size_t len);
/* Reads the good page that has the number n and was asked for at the URL
 * `here`; it gets a tape where the rules want one. 1: *value (the caller's)
 * asks for the next one, 0: it was the last, GN_PAGE_REPEATED: it is no new
 * page, and the rules call that the end; -1: err; with code "json" or
 * "page_repeated" it is no page to give. */
int gn_next_page_find(const struct gn_pager_rules *rules,
                      struct gn_page_count *count,
                      struct gn_result *page, uint64_t n, const char *here,
                      char **value, struct gn_error *err);
/* Makes a copy of the walk's request ask for the page that value names. */
int gn_next_page_apply(const struct gn_pager_rules *rules,
                       struct gn_request *r, const char *value,
                       struct gn_error *err);

#endif

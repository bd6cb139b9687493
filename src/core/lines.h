/* Owns: the header lines of one attempt, in the form that libcurl walks.
 * Must not: copy a line that outlives the attempt, or let go of one of its own
 * without wiping it.
 */
#ifndef GN_LINES_H
#define GN_LINES_H

#include "error.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#define GN_LINES_USUAL 12 /* without a further allocation */
#define GN_LINES_OWNED 3  /* a credential, a range and its condition */

struct gn_lines {
  struct curl_slist usual[GN_LINES_USUAL]; /* the first nodes */
  struct curl_slist *more;      /* all of them, if they are too many; or NULL */
  size_t room;                  /* nodes there */
  size_t count;                 /* lines */
  size_t told;                  /* those that garner did not add by itself */
  char *owned[GN_LINES_OWNED];  /* to be wiped and freed */
  size_t owned_count;           /* how many */
};

/* All zeros are an empty list. -1: out of memory. */
/* line outlives the list. */
int gn_lines_add(struct gn_lines *l, const char *line, struct gn_error *err);
/* gn_alloc'd, and taken, also on failure. */
int gn_lines_take(struct gn_lines *l, char *line, struct gn_error *err);
bool gn_lines_have(const struct gn_lines *l, const char *line);
const char *gn_lines_at(const struct gn_lines *l, size_t i);
/* As libcurl takes it, good until the next line; NULL: there is none. */
struct curl_slist *gn_lines_list(struct gn_lines *l);
/* Empties it. */
void gn_lines_clear(struct gn_lines *l);

/* Whether both lines are of the same header, whatever its value. */
bool gn_lines_same_name(const char *line, const char *other);

#endif

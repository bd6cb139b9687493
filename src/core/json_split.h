/* Owns: cutting one list of a JSON document into its elements while the
 * document still arrives, in memory for what has not been taken. All of it is
 * checked as strictly as a document that is read at once: what comes before the
 * list, beside it and behind it, too.
 * Must not: build values, or know where the text comes from.
 */
#ifndef GN_JSON_SPLIT_H
#define GN_JSON_SPLIT_H

#include "error.h"

#include <stddef.h>

struct gn_json_split;

/* Whole elements, as the text of one JSON array. */
struct gn_batch {
  char *memory;     /* what is freed */
  const char *text; /* '[' to ']', inside of memory */
  size_t len;       /* bytes of text */
  size_t count;     /* elements, at least one */
};

void gn_batch_free(struct gn_batch *b); /* NULL is allowed */

/* path: where the list is, as for gn_json_pick ("" is the document itself).
 * max: bytes that one element, or a text beside the list, may have. */
struct gn_json_split *gn_json_split_new(const char *path, size_t max,
                                        struct gn_error *err);
/* Another document begins. */
void gn_json_split_reset(struct gn_json_split *s);
/* The next bytes of the document. Once -1, always -1; what was whole before can
 * be taken. Kind GN_PROTOCOL, code "json"; kind GN_TOO_LARGE, code "item". */
int gn_json_split_feed(struct gn_json_split *s, const char *data, size_t len,
                       struct gn_error *err);
/* The document ends here; code "incomplete" if it cannot, "no_items" if nothing
 * or null was at the path. */
int gn_json_split_end(struct gn_json_split *s, struct gn_error *err);
/* Bytes of the whole elements that wait to be taken. */
size_t gn_json_split_ready(const struct gn_json_split *s);
/* Those elements, the caller's; *out NULL: there is none. -1: out of memory,
 * and they are still there. */
int gn_json_split_take(struct gn_json_split *s, struct gn_batch **out,
                       struct gn_error *err);
void gn_json_split_free(struct gn_json_split *s); /* NULL is allowed */

#endif

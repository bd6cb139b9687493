/* Owns: what must be known of a half file to go on with it, and its text in the
 * file beside it, "<path>.part.meta": the server's strong validator, the whole
 * size and checksum, a hash that stands for the URL, and the machine's boot:
 * what was written before a power cut may not be on disk.
 * Must not: hold a URL or a secret, or touch the half file itself.
 */
#ifndef GN_MARK_H
#define GN_MARK_H

#include "digest.h"
#include "error.h"

#include <stdbool.h>
#include <stdint.h>

struct gn_mark {
  char etag[256];      /* strong, with its quotes; "": it cannot be resumed */
  int64_t total;       /* bytes of the whole file, -1: not known */
  struct gn_sum sum;   /* the server's checksum of the whole file */
  struct gn_sum source; /* of the URL without what only signs it */
};

/* Knows nothing but the URL. */
int gn_mark_init(struct gn_mark *m, const char *url, struct gn_error *err);
/* Takes a validator if it is a strong one that may be sent back; else "". */
void gn_mark_set_etag(struct gn_mark *m, const char *value, size_t len);
/* Keeps it at path. The errno, 0: well. */
int gn_mark_save(const struct gn_mark *m, const char *path);
/* True if there is a whole one at path, of the same source and boot. */
bool gn_mark_load(struct gn_mark *m, const char *path);

#endif

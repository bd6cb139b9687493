/* Owns: whether a file's bytes are what the server, or the caller, said: the
 * digests that they pass through and the comparison at the end.
 * Must not: know where the bytes come from, or what follows from a mismatch.
 */
#ifndef GN_VERIFY_H
#define GN_VERIFY_H

#include "digest.h"

struct gn_verify {
  struct gn_sum server;         /* what the server said, or none */
  struct gn_sum caller;         /* the caller's sha256, or none */
  bool sha256;                  /* is wanted, whatever it is */
  struct gn_digest *digests[2]; /* for server; for caller, or NULL each */
  struct gn_sum found;          /* the file's sha256, or none */
  struct gn_sum wrong;          /* the last that was not as it should be */
  bool same_wrong;              /* twice the same: sending again is no help */
};

/* hex: "" is no sha256 to compare with. False: it is none at all. */
bool gn_verify_init(struct gn_verify *v, bool sha256, const char *hex);
/* Before a file's first byte, and again before another one's. */
int gn_verify_start(struct gn_verify *v, struct gn_error *err);
int gn_verify_update(struct gn_verify *v, const void *data, size_t len,
                     struct gn_error *err);
/* Instead of updates: all of an open file. */
int gn_verify_file(struct gn_verify *v, int fd, struct gn_error *err);
/* A mismatch: kind GN_PROTOCOL, code "checksum". */
int gn_verify_finish(struct gn_verify *v, struct gn_error *err);
void gn_verify_free(struct gn_verify *v); /* what start took */

#endif

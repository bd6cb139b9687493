/* Owns: where a body goes: memory with a maximum, a function, or a file,
 * "<path>.part" that becomes <path> in one rename, so that <path> is always the
 * old or the new file. A .part that can be gone on with has a mark beside it,
 * "<path>.part" and ".meta".
 * Must not: know what a response is; one attempt after the other may begin.
 *
 * Failing files: kind GN_FILE, code the errno's name ("ENOSPC"). One sink is
 * used by one thread at a time.
 */
#ifndef GN_SINK_H
#define GN_SINK_H

#include "error.h"
#include "mark.h"
#include "verify.h"

#include <stddef.h>

struct gn_sink;

struct gn_sink *gn_sink_new_memory(size_t max, struct gn_error *err);

/* Keeps nothing: hands each piece to a function, whose failure is its own. */
struct gn_sink *gn_sink_new_taker(int (*take)(void *owner, const char *data,
                                              size_t len,
                                              struct gn_error *err),
                                  void *owner, struct gn_error *err);

/* Touches no file yet. A relative path is taken from the folder that is current
 * now. max 0: no limit. */
struct gn_sink *gn_sink_new_file(const char *path, size_t max,
                                 struct gn_error *err);

/* A new attempt: what the one before wrote is gone. */
int gn_sink_begin(struct gn_sink *s, struct gn_error *err);

/* File: opens and locks the .part and leaves it as it is. Idempotent. */
int gn_sink_open(struct gn_sink *s, struct gn_error *err);
/* File, after open: the bytes that an interrupted run left of the source that
 * mark names, and all else of the mark; 0: none that can be gone on with. */
uint64_t gn_sink_recall(struct gn_sink *s, struct gn_mark *mark);
/* File, after open: a body begins behind the first `at` bytes of the .part;
 * what follows them is gone. mark (with 0): by which it could be gone on with
 * later, or NULL. verify: what to check before the end, or NULL; borrowed. */
int gn_sink_start(struct gn_sink *s, uint64_t at, const struct gn_mark *mark,
                  struct gn_verify *verify, struct gn_error *err);
/* File, after open: fails with ENOSPC where so many bytes surely do not fit. */
int gn_sink_room(const struct gn_sink *s, uint64_t bytes,
                 struct gn_error *err);

/* Memory: the body will have so many bytes, if what was said of it is true. */
void gn_sink_expect(struct gn_sink *s, uint64_t bytes);

/* Past max: kind GN_TOO_LARGE, code "body", and nothing of data is kept. */
int gn_sink_write(struct gn_sink *s, const void *data, size_t len,
                  struct gn_error *err);

/* The body is whole. File: checks, fsync, rename, fsync of the folder. */
int gn_sink_finish(struct gn_sink *s, struct gn_error *err);

/* File: what is in the .part cannot be gone on with, whoever comes. */
void gn_sink_distrust(struct gn_sink *s);
/* File: closes the .part, and removes it if it cannot be gone on with; nothing
 * after a finish. Idempotent. */
void gn_sink_abort(struct gn_sink *s);
void gn_sink_free(struct gn_sink *s); /* aborts first; NULL is allowed */

const char *gn_sink_data(const struct gn_sink *s); /* NUL beyond the end;
                                                      NULL for a file */
size_t gn_sink_size(const struct gn_sink *s);
const char *gn_sink_path(const struct gn_sink *s); /* as given; NULL: memory */

#endif

/* Owns: where a body goes: memory with a maximum, or "<path>.part" that becomes
 * <path> in one rename, so that <path> is always the old or the new file.
 * Must not: know what a response is; one attempt after the other may begin.
 *
 * Failing files: kind GN_FILE, code the errno's name ("ENOSPC"). One sink is
 * used by one thread at a time.
 */
#ifndef GN_SINK_H
#define GN_SINK_H

#include "error.h"

#include <stddef.h>

struct gn_sink;

struct gn_sink *gn_sink_new_memory(size_t max, struct gn_error *err);

/* Touches no file yet. A relative path is taken from the folder that is current
 * now. max 0: no limit. */
struct gn_sink *gn_sink_new_file(const char *path, size_t max,
                                 struct gn_error *err);

/* A new attempt: what the one before wrote is gone. */
int gn_sink_begin(struct gn_sink *s, struct gn_error *err);

/* Past max: kind GN_TOO_LARGE, code "body", and nothing of data is kept. */
int gn_sink_write(struct gn_sink *s, const void *data, size_t len,
                  struct gn_error *err);

/* The body is whole. File: fsync, rename, fsync of the folder. */
int gn_sink_finish(struct gn_sink *s, struct gn_error *err);

/* File: closes and removes the .part; nothing after a finish. Idempotent. */
void gn_sink_abort(struct gn_sink *s);
void gn_sink_free(struct gn_sink *s); /* aborts first; NULL is allowed */

const char *gn_sink_data(const struct gn_sink *s); /* NUL beyond the end;
                                                      NULL for a file */
size_t gn_sink_size(const struct gn_sink *s);
const char *gn_sink_path(const struct gn_sink *s); /* as given; NULL: memory */

#endif

/* Owns: the mapped file in which processes of one machine keep a limiter's
 * words: made whole or not at all, checked before it is believed, found again
 * after somebody deleted or emptied it.
 * Must not: lock while words are used, or know who waits.
 */
#ifndef GN_LIMITER_FILE_H
#define GN_LIMITER_FILE_H

#include "error.h"
#include "limiter_words.h"

struct gn_limiter_file;

struct gn_limiter_settings {
  double rate;  /* requests a second, above 0 */
  double burst; /* how many at once */
  int mode;     /* of a file that is made */
};

/* NULL and an error where the path is no place for it (read-only, full, a link,
 * somebody else's, another kind of file). *other is what the processes that use
 * the file now go by where that differs, else equal to s. */
struct gn_limiter_file *gn_limiter_file_open(
    const char *path, const struct gn_limiter_settings *s,
    struct gn_limiter_settings *other, struct gn_error *err);
void gn_limiter_file_close(struct gn_limiter_file *f);
/* The words to use now, always some: while the file is gone or cannot be made
 * anew, those of the deleted one or this process's own. */
struct gn_limiter_words *gn_limiter_file_words(struct gn_limiter_file *f,
                                               int64_t now);
struct gn_limiter_pace *gn_limiter_file_pace(struct gn_limiter_file *f);

#endif

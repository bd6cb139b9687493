/* Owns: one thread that makes finished files last: fsync and rename block for
 * as long as the disk likes, which no other transfer of a threaded engine is to
 * feel. Started with the first file, ended with the engine.
 * Must not: touch anything but the sinks it is given.
 */
#ifndef GN_FILES_H
#define GN_FILES_H

#include "error.h"
#include "sink.h"

#include <stdbool.h>

struct gn_files;

struct gn_file_job {
  struct gn_file_job *next;           /* in a queue of the files' own */
  struct gn_sink *sink;               /* finished by the thread, not freed */
  struct gn_error error;              /* what gn_sink_finish said */
  void (*done)(struct gn_file_job *); /* for the step's thread, after that */
  void *owner;                        /* for done */
};

/* wake is called on the files' thread when a job is done. NULL: no memory. */
struct gn_files *gn_files_new(void (*wake)(void *), void *arg);
/* False if there is no thread to do it: then the caller must. */
bool gn_files_submit(struct gn_files *f, struct gn_file_job *job);
/* A job that is done, or NULL. */
struct gn_file_job *gn_files_take(struct gn_files *f);
/* Waits for what was submitted, and ends the thread; gn_files_take goes on. */
void gn_files_stop(struct gn_files *f);
void gn_files_free(struct gn_files *f);

#endif

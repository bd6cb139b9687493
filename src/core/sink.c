/* Owns: the life of a .part file and the bounded body in memory.
 * Must not: leave a .part behind that nobody can go on with (but after a kill),
 * nor touch one that another process is writing.
 */
#include "posix.h"

#include "sink.h"

#include "alloc.h"
#include "buf.h"
#include "inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PART_SUFFIX ".part"
#define MARK_SUFFIX ".meta"
#define OPEN_TRIES 8
#define LARGEST_PROMISE ((uint64_t)1 << 20)
#define PIECE 16384 /* what comes at once where more is there already */
#define ROOM 262144 /* what is written at once */

struct gn_sink {
  int (*take)(void *owner, const char *data, size_t len,
              struct gn_error *err); /* who gets what comes, or NULL */
  void *owner;        /* for take */
  struct gn_buf buf;  /* memory: the body */
  size_t max;         /* bytes allowed; file: 0 is no limit */
  size_t size;        /* file: bytes of it in the .part, and held */
  char *room;         /* file: of ROOM bytes, or NULL */
  size_t held;        /* file: bytes in room, to be written */
  char *path;         /* file: as the caller wrote it; NULL: memory */
  char *target;       /* file: the same, absolute */
  char *part;         /* file: target + ".part" */
  char *mark;         /* file: part + ".meta" */
  int fd;             /* file: the open .part, or -1 */
  bool marked;        /* file: the .part can be gone on with */
  bool joined;        /* file: not all of its bytes passed here */
  bool finished;      /* file: renamed, nothing to remove any more */
  struct gn_verify *verify; /* file: checked at the end; borrowed, or NULL */
};

#define ERRNO_NAMES(X) \
  X(EACCES) X(EBADF) X(EBUSY) X(EDQUOT) X(EEXIST) X(EFAULT) X(EFBIG) X(EINTR) \
  X(EINVAL) X(EIO) X(EISDIR) X(ELOOP) X(EMFILE) X(ENAMETOOLONG) X(ENFILE) \
  X(ENODEV) X(ENOENT) X(ENOLCK) X(ENOMEM) X(ENOSPC) X(ENOTDIR) X(ENOTEMPTY) \
  X(ENXIO) X(EOVERFLOW) X(EPERM) X(EPIPE) X(EROFS) X(ESTALE) X(ETXTBSY) \
  X(EWOULDBLOCK) X(EXDEV)

static const char *errno_name(int number, char *room, size_t cap) {
  switch (number) {
#define ERRNO_CASE(name) \
  case name: \
    return #name;
    ERRNO_NAMES(ERRNO_CASE)
#undef ERRNO_CASE
  default:
    snprintf(room, cap, "errno-%d", number);
    return room;
  }
}

/* The reason comes first: a long path must not push it out of the message. */
static int file_error(struct gn_error *err, int number, const char *doing,
                      const char *path) {
  char name[24], reason[128];
  if (strerror_r(number, reason, sizeof reason) != 0)
    snprintf(reason, sizeof reason, "error %d", number);
  return gn_error_set(err, GN_FILE, errno_name(number, name, sizeof name),
                      "%s while %s \"%s\"", reason, doing, path);
}

static struct gn_sink *new_sink(size_t max, struct gn_error *err) {
  struct gn_sink *s = gn_alloc_zero(sizeof *s);
  if (!s) {
    gn_error_memory(err);
    return NULL;
  }
  s->fd = -1;
  s->max = max;
  gn_buf_init(&s->buf, max);
  return s;
}

struct gn_sink *gn_sink_new_memory(size_t max, struct gn_error *err) {
  return new_sink(max, err);
}

struct gn_sink *gn_sink_new_taker(int (*take)(void *owner, const char *data,
                                              size_t len,
                                              struct gn_error *err),
                                  void *owner, struct gn_error *err) {
  struct gn_sink *s = new_sink(0, err);
  if (s) {
    s->take = take;
    s->owner = owner;
  }
  return s;
}

static char *join(const char *a, const char *between, const char *b) {
  size_t len = strlen(a) + strlen(between) + strlen(b) + 1;
  char *text = gn_alloc(len);
  if (text)
    snprintf(text, len, "%s%s%s", a, between, b);
  return text;
}

/* Absolute at once: a script may change its folder while a body arrives. */
static int set_names(struct gn_sink *s, const char *path,
                     struct gn_error *err) {
  char folder[PATH_MAX];
  s->path = gn_strdup(path);
  if (path[0] == '/')
    s->target = gn_strdup(path);
  else if (!getcwd(folder, sizeof folder))
    return file_error(err, errno, "resolving", path);
  else
    s->target = join(folder, "/", path);
  s->part = s->target ? join(s->target, "", PART_SUFFIX) : NULL;
  s->mark = s->part ? join(s->part, "", MARK_SUFFIX) : NULL;
  return s->path && s->mark ? 0 : gn_error_memory(err);
}

struct gn_sink *gn_sink_new_file(const char *path, size_t max,
                                 struct gn_error *err) {
  struct gn_sink *s;
  size_t len = strlen(path);
  if (len == 0 || path[len - 1] == '/') {
    gn_error_set(err, GN_INVALID, "file", "\"%s\" names no file", path);
    return NULL;
  }
  s = new_sink(max, err);
  if (s && set_names(s, path, err) != 0) {
    gn_sink_free(s);
    s = NULL;
  }
  return s;
}

/* Refused before a byte is fetched, not in the final rename: a folder, and
 * devices such as /dev/null, which the rename would replace. */
static int check_target(const struct gn_sink *s, struct gn_error *err) {
  struct stat st;
  if (stat(s->target, &st) != 0 || S_ISREG(st.st_mode))
    return 0;
  if (S_ISDIR(st.st_mode))
    return file_error(err, EISDIR, "preparing to replace", s->target);
  return gn_error_set(err, GN_FILE, "EINVAL", "\"%s\" is not a regular file",
                      s->target);
}

/* Takes the lock of an open .part and sees whether the name still means it: the
 * one who held it may have renamed it meanwhile. 1: yes, 0: open again. */
static int own_part(struct gn_sink *s, int fd, struct gn_error *err) {
  struct stat mine, named;
  if (fstat(fd, &mine) != 0)
    return file_error(err, errno, "opening", s->part);
  if (!S_ISREG(mine.st_mode))
    return gn_error_set(err, GN_FILE, "EINVAL",
                        "\"%s\" is not a regular file", s->part);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return gn_error_set(err, GN_FILE, "locked",
                          "another run is writing \"%s\" just now",
                          s->part);
    if (errno == EINTR)
      return 0;
    /* A file system without locks: as good as it gets. */
  }
  if (lstat(s->part, &named) != 0 || named.st_dev != mine.st_dev ||
      named.st_ino != mine.st_ino)
    return 0;
  return 1;
}

/* Not O_TRUNC: the file is not ours before it is locked. O_NONBLOCK, or a pipe
 * of that name would block; no effect on files. */
static int open_part(struct gn_sink *s, struct gn_error *err) {
  int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  int tries;
  for (tries = 0; tries < OPEN_TRIES; tries++) {
    int owned, fd = open(s->part, flags, 0644);
    if (fd < 0 && errno == EINTR)
      continue;
    if (fd < 0)
      return file_error(err, errno, "opening", s->part);
    owned = own_part(s, fd, err);
    if (owned == 1) {
      gn_inherited_add(fd);
      s->fd = fd;
      return 0;
    }
    close(fd);
    if (owned < 0)
      return -1;
  }
  return gn_error_set(err, GN_FILE, "locked", "\"%s\" keeps changing", s->part);
}

int gn_sink_open(struct gn_sink *s, struct gn_error *err) {
  s->finished = false;
  if (s->fd >= 0)
    return 0;
  s->size = 0;
  s->marked = false;
  return check_target(s, err) != 0 ? -1 : open_part(s, err);
}

uint64_t gn_sink_recall(struct gn_sink *s, struct gn_mark *mark) {
  struct stat st;
  if (fstat(s->fd, &st) != 0 || st.st_size <= 0 ||
      (s->max && (uint64_t)st.st_size > s->max) ||
      !gn_mark_load(mark, s->mark))
    return 0;
  s->size = (size_t)st.st_size;
  s->marked = true;
  return s->size;
}

/* What a disk without room took is good, and worth going on with; after any
 * other failure it may not be. */
static int failed(struct gn_sink *s, int number, const char *doing,
                  struct gn_error *err) {
  if (number != ENOSPC && number != EDQUOT && number != EFBIG)
    s->marked = false;
  return file_error(err, number, doing, s->part);
}

static int put(struct gn_sink *s, const char *data, size_t len,
               struct gn_error *err) {
  while (len > 0) {
    ssize_t n = write(s->fd, data, len);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      s->size -= len;
      return failed(s, errno, "writing", err);
    }
    if (s->verify && !s->joined &&
        gn_verify_update(s->verify, data, (size_t)n, err) != 0)
      return -1;
    data += n;
    len -= (size_t)n;
  }
  return 0;
}

static int write_held(struct gn_sink *s, struct gn_error *err) {
  size_t len = s->held;
  s->held = 0;
  return put(s, s->room, len, err);
}

/* Of an old body first the mark goes, of a new one it comes before the bytes:
 * whenever the process is killed, a mark belongs to the bytes beside it. One
 * that cannot be written only means that nobody can go on. */
static int cut_part(struct gn_sink *s, uint64_t at, const struct gn_mark *mark,
                    struct gn_error *err) {
  int status;
  if (at == 0) {
    s->marked = false;
    s->held = 0;
    unlink(s->mark);
  } else if (write_held(s, err) != 0) {
    return -1;
  }
  do
    status = ftruncate(s->fd, (off_t)at);
  while (status != 0 && errno == EINTR);
  if (status != 0 || lseek(s->fd, (off_t)at, SEEK_SET) < 0)
    return file_error(err, errno, "emptying", s->part);
  s->size = (size_t)at;
  if (at == 0 && mark && *mark->etag)
    s->marked = gn_mark_save(mark, s->mark) == 0;
  return 0;
}

int gn_sink_start(struct gn_sink *s, uint64_t at, const struct gn_mark *mark,
                  struct gn_verify *verify, struct gn_error *err) {
  s->joined = at > 0;
  s->verify = verify;
  if (cut_part(s, at, mark, err) != 0)
    return -1;
  return verify ? gn_verify_start(verify, err) : 0;
}

int gn_sink_begin(struct gn_sink *s, struct gn_error *err) {
  if (!s->path) {
    gn_buf_reset(&s->buf);
    return 0;
  }
  return gn_sink_open(s, err) != 0 ? -1 : gn_sink_start(s, 0, NULL, NULL, err);
}

/* Some file systems do not know; they are asked by writing. */
int gn_sink_room(const struct gn_sink *s, uint64_t bytes,
                 struct gn_error *err) {
  struct statvfs fs;
  uint64_t unit;
  if (fstatvfs(s->fd, &fs) != 0 || fs.f_blocks == 0)
    return 0;
  unit = fs.f_frsize ? fs.f_frsize : fs.f_bsize;
  if (unit == 0 || bytes / unit <= fs.f_bavail)
    return 0;
  return file_error(err, ENOSPC, "making room for", s->part);
}

/* A file system takes much at once for a third less than little by little. But
 * a short piece is the last that was there: then nothing is held back. */
static int write_file(struct gn_sink *s, const char *data, size_t len,
                      struct gn_error *err) {
  if (s->fd < 0)
    return file_error(err, EBADF, "writing", s->part);
  if (s->held + len > ROOM && write_held(s, err) != 0)
    return -1;
  s->size += len;
  if (len > ROOM || (len < PIECE && s->held == 0) ||
      (!s->room && !(s->room = gn_alloc(ROOM))))
    return put(s, data, len, err);
  memcpy(s->room + s->held, data, len);
  s->held += len;
  return len < PIECE || s->held == ROOM ? write_held(s, err) : 0;
}

/* More than that is not believed before it comes. */
void gn_sink_expect(struct gn_sink *s, uint64_t bytes) {
  if (!s->path && bytes <= LARGEST_PROMISE)
    gn_buf_expect(&s->buf, (size_t)bytes);
}

static int too_large(struct gn_sink *s, struct gn_error *err) {
  s->marked = false;
  return gn_error_set(err, GN_TOO_LARGE, "body",
                      "the body is larger than %zu bytes", s->max);
}

int gn_sink_write(struct gn_sink *s, const void *data, size_t len,
                  struct gn_error *err) {
  if (s->take)
    return s->take(s->owner, data, len, err);
  if (s->path) {
    if (s->max && len > s->max - s->size)
      return too_large(s, err);
    return write_file(s, data, len, err);
  }
  switch (gn_buf_append(&s->buf, data, len)) {
  case GN_BUF_OK:
    return 0;
  case GN_BUF_FULL:
    return too_large(s, err);
  case GN_BUF_MEMORY:
    break;
  }
  return gn_error_memory(err);
}

/* Makes the rename last. A folder that cannot be read or synced at all (some
 * network file systems) is no failure: the file itself is on disk. */
static int sync_folder(const struct gn_sink *s, struct gn_error *err) {
  char folder[PATH_MAX];
  size_t len = (size_t)(strrchr(s->target, '/') - s->target);
  int fd, status = 0;
  if (len >= sizeof folder)
    return 0;
  snprintf(folder, sizeof folder, "%.*s", len ? (int)len : 1, s->target);
  fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return 0;
  if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS)
    status = file_error(err, errno, "syncing the folder of", s->target);
  close(fd);
  return status;
}

/* What another run wrote did not pass here: then all is read once more. */
static int check_bytes(struct gn_sink *s, struct gn_error *err) {
  if (!s->verify)
    return 0;
  if ((!s->joined || gn_verify_file(s->verify, s->fd, err) == 0) &&
      gn_verify_finish(s->verify, err) == 0)
    return 0;
  s->marked = false;
  return -1;
}

/* Unlocked by name: a fork that came in between may have left it open. */
static void close_part(struct gn_sink *s) {
  gn_free(s->room);
  s->room = NULL;
  s->held = 0;
  flock(s->fd, LOCK_UN);
  gn_inherited_remove(s->fd);
  close(s->fd);
  s->fd = -1;
}

int gn_sink_finish(struct gn_sink *s, struct gn_error *err) {
  int status;
  if (!s->path || s->finished)
    return 0;
  if (s->fd < 0)
    return file_error(err, EBADF, "finishing", s->part);
  if (write_held(s, err) != 0 || check_bytes(s, err) != 0)
    return -1;
  do
    status = fsync(s->fd);
  while (status != 0 && errno == EINTR);
  if (status != 0)
    return failed(s, errno, "syncing", err);
  if (rename(s->part, s->target) != 0)
    return failed(s, errno, "renaming", err);
  s->finished = true;
  unlink(s->mark);
  /* Closed, hence unlocked, only now: before the rename another download could
   * have taken the .part over. */
  close_part(s);
  return sync_folder(s, err);
}

void gn_sink_distrust(struct gn_sink *s) {
  if (s->fd < 0)
    return;
  s->marked = false;
  unlink(s->mark);
}

void gn_sink_abort(struct gn_sink *s) {
  struct gn_error unheard;
  if (s->fd < 0)
    return;
  if (s->marked)
    write_held(s, &unheard);
  /* While the lock is held, so that both are surely ours. */
  if (!s->marked || s->size == 0) {
    unlink(s->mark);
    unlink(s->part);
  }
  close_part(s);
  s->size = 0;
}

void gn_sink_free(struct gn_sink *s) {
  if (!s)
    return;
  gn_sink_abort(s);
  gn_buf_free(&s->buf);
  gn_free(s->path);
  gn_free(s->target);
  gn_free(s->part);
  gn_free(s->mark);
  gn_free(s);
}

const char *gn_sink_data(const struct gn_sink *s) {
  if (s->path)
    return NULL;
  return s->buf.data ? s->buf.data : "";
}

size_t gn_sink_size(const struct gn_sink *s) {
  return s->path ? s->size : s->buf.len;
}

const char *gn_sink_path(const struct gn_sink *s) {
  return s->path;
}

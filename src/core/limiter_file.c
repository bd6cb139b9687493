/* Owns: opening, making and checking the file of a shared limiter. A file is
 * filled under another name and then linked, so that whoever sees it sees all
 * of it; a lock, shared by its users, only tells whether there are others.
 * Must not: believe a file of another boot: its clock was another one.
 */
#include "posix.h"

#include "limiter_file.h"

#include "alloc.h"
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x676172726c696d31) /* "garrlim1", in native order */
#define TRIES 8
#define NAMES 100

/* What is in the file, in the machine's own order: it is of this machine. */
struct image {
  uint64_t magic;                /* another order or kind: not ours */
  uint64_t size;                 /* of this struct */
  char boot[48];                 /* which boot's clock; "" where not known */
  double rate;                   /* of who made it, or used it alone last */
  double burst;                  /* the same */
  char gap[48];                  /* the words have a cache line of their own */
  struct gn_limiter_words words; /* all that changes */
};

struct gn_limiter_file {
  char *path;                     /* as given */
  struct gn_limiter_settings set; /* as given */
  struct gn_limiter_pace pace;    /* made of it */
  struct image *image;            /* mapped, or NULL */
  int fd;                         /* of the mapped file, locked; or -1 */
  int64_t look_again;             /* when the path may be tried once more */
  struct gn_limiter_words alone;  /* while there is no file */
};

static int bad(struct gn_error *err, const char *path, const char *why) {
  return gn_error_set(err, GN_INVALID, "limiter",
                      "\"%.200s\" cannot hold a limiter: %s", path, why);
}

/* Making one ---------------------------------------------------------------*/

static int write_image(int fd, const struct gn_limiter_file *f) {
  struct image image;
  memset(&image, 0, sizeof image);
  image.magic = MAGIC;
  image.size = sizeof image;
  gn_boot_id(image.boot, sizeof image.boot);
  image.rate = f->set.rate;
  image.burst = f->set.burst;
  gn_limiter_words_join(&image.words, &f->pace);
  if (fchmod(fd, (mode_t)f->set.mode) != 0)
    return -1;
  errno = ENOSPC; /* what a short write without an error means */
  return pwrite(fd, &image, sizeof image, 0) == (ssize_t)sizeof image ? 0 : -1;
}

/* A name beside the path that nobody else has. */
static int open_beside(const char *path, char *name, size_t size) {
  int i, fd = -1;
  for (i = 0; fd < 0 && i < NAMES; i++) {
    snprintf(name, size, "%s.%ld-%d", path, (long)getpid(), i);
    fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno != EEXIST)
      return -1;
  }
  return fd;
}

/* Gives the file its name, which must be free. A file system without hard links
 * has no such call: a race there is seen by the one who lost it. */
static int link_free(const char *name, const char *path) {
  if (link(name, path) == 0)
    return 0;
  if (errno == EEXIST || access(path, F_OK) == 0) {
    errno = EEXIST;
    return -1;
  }
  return rename(name, path);
}

/* Puts a file at the path: a new one where there is none; `replace`: instead of
 * one that is of no use. Those who use the old one see that it is gone. */
static int make(const struct gn_limiter_file *f, bool replace) {
  size_t size = strlen(f->path) + 40;
  char *name = gn_alloc(size);
  int fd = name ? open_beside(f->path, name, size) : -1, rc = -1, why;
  if (fd >= 0 && write_image(fd, f) == 0)
    rc = replace ? rename(name, f->path) : link_free(name, f->path);
  why = name ? errno : ENOMEM;
  if (fd >= 0) {
    close(fd);
    unlink(name);
  }
  gn_free(name);
  errno = why;
  return rc;
}

/* Using one ----------------------------------------------------------------*/

static const char *why_not(const struct gn_limiter_file *f,
                           const struct stat *st) {
  uid_t me = geteuid();
  if (!S_ISREG(st->st_mode))
    return "it is not a regular file";
  if (st->st_uid != me && st->st_uid != 0 && !(f->set.mode & 022))
    return "it belongs to another user; give every process the same user, or "
           "the option mode";
  return NULL;
}

static int map(struct gn_limiter_file *f, int fd, const struct stat *st,
               struct gn_error *err) {
  struct image *image;
  if (st->st_size < (off_t)sizeof *image)
    return bad(err, f->path, "it is too short to be one of garner's");
  image = mmap(NULL, sizeof *image, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (image == MAP_FAILED)
    return bad(err, f->path, strerror(errno));
  if (image->magic != MAGIC || image->size != sizeof *image) {
    munmap(image, sizeof *image);
    return bad(err, f->path, "it is another kind of file, or of another "
                             "version of garner");
  }
  if (!atomic_is_lock_free(&image->words.arrival)) {
    munmap(image, sizeof *image);
    return bad(err, f->path, "this machine has no atomic words of 64 bits");
  }
  f->image = image;
  f->fd = fd;
  return 0;
}

static void unmap(struct gn_limiter_file *f) {
  if (f->image)
    munmap(f->image, sizeof *f->image);
  if (f->fd >= 0)
    close(f->fd);
  f->image = NULL;
  f->fd = -1;
}

/* The settings are those of the one who is alone with the file. */
static void settle(struct gn_limiter_file *f,
                   struct gn_limiter_settings *other) {
  struct image *i = f->image;
  bool alone = flock(f->fd, LOCK_EX | LOCK_NB) == 0;
  if (alone) {
    i->rate = f->set.rate;
    i->burst = f->set.burst;
    atomic_store(&i->words.reach, 0);
  }
  other->rate = i->rate;
  other->burst = i->burst;
  gn_limiter_words_join(&i->words, &f->pace);
  flock(f->fd, LOCK_SH | LOCK_NB);
}

/* 1: mapped, 0: try again, -1: error. */
static int attach_once(struct gn_limiter_file *f, struct gn_error *err) {
  int fd = open(f->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  char boot[sizeof f->image->boot];
  const char *why;
  struct stat st;
  if (fd < 0 && errno == ENOENT && (make(f, false) == 0 || errno == EEXIST))
    return 0;
  if (fd < 0)
    return bad(err, f->path, errno == ELOOP || errno == EMLINK
                                 ? "it is a symbolic link"
                                 : strerror(errno));
  why = fstat(fd, &st) == 0 ? why_not(f, &st) : strerror(errno);
  if (!why && st.st_size == 0) {
    close(fd);
    return make(f, true) == 0 ? 0 : bad(err, f->path, strerror(errno));
  }
  if (why ? bad(err, f->path, why) != 0 : map(f, fd, &st, err) != 0) {
    close(fd);
    return -1;
  }
  gn_boot_id(boot, sizeof boot);
  if (memcmp(boot, f->image->boot, sizeof boot) == 0)
    return 1;
  unmap(f);
  return make(f, true) == 0 ? 0 : bad(err, f->path, strerror(errno));
}

static int attach(struct gn_limiter_file *f,
                  struct gn_limiter_settings *other, struct gn_error *err) {
  int tries, rc = 0;
  for (tries = 0; rc == 0 && tries < TRIES; tries++)
    rc = attach_once(f, err);
  if (rc == 0)
    return bad(err, f->path, "it keeps changing");
  if (rc > 0)
    settle(f, other);
  return rc > 0 ? 0 : -1;
}

struct gn_limiter_file *gn_limiter_file_open(
    const char *path, const struct gn_limiter_settings *s,
    struct gn_limiter_settings *other, struct gn_error *err) {
  struct gn_limiter_file *f = gn_alloc_zero(sizeof *f);
  if (!f) {
    gn_error_memory(err);
    return NULL;
  }
  f->fd = -1;
  f->set = *s;
  *other = *s;
  gn_limiter_pace_init(&f->pace, s->rate, s->burst);
  f->path = gn_strdup(path);
  if (!f->path)
    gn_error_memory(err);
  if (!f->path || attach(f, other, err) != 0) {
    gn_limiter_file_close(f);
    return NULL;
  }
  return f;
}

void gn_limiter_file_close(struct gn_limiter_file *f) {
  if (!f)
    return;
  unmap(f);
  gn_free(f->path);
  gn_free(f);
}

struct gn_limiter_pace *gn_limiter_file_pace(struct gn_limiter_file *f) {
  return &f->pace;
}

/* Another file is at the path by now, or is made: the line goes on in it. */
static void attach_anew(struct gn_limiter_file *f) {
  struct gn_limiter_file fresh = *f;
  struct gn_limiter_settings other;
  fresh.image = NULL;
  fresh.fd = -1;
  if (attach(&fresh, &other, NULL) != 0)
    return;
  gn_limiter_words_carry(&fresh.image->words,
                         f->image ? &f->image->words : &f->alone);
  unmap(f);
  f->image = fresh.image;
  f->fd = fresh.fd;
}

/* A word beyond the end of a file that was cut is a fatal signal: so the size
 * is looked at first, each time. One who cuts it just then is not survived. */
struct gn_limiter_words *gn_limiter_file_words(struct gn_limiter_file *f,
                                               int64_t now) {
  struct stat st;
  bool whole = f->fd >= 0 && fstat(f->fd, &st) == 0 &&
               st.st_size >= (off_t)sizeof *f->image;
  if (whole && st.st_nlink > 0)
    return &f->image->words;
  if (!whole && f->image) {
    /* What it said is lost: nobody may think that nothing was sent. */
    atomic_store(&f->alone.arrival, now + f->pace.slack);
    unmap(f);
  }
  if (now >= f->look_again) {
    f->look_again = now + GN_WORD_SECOND;
    attach_anew(f);
  }
  return f->image ? &f->image->words : &f->alone;
}

/* Owns: the checks of src/core/sink.c with file calls that fail, are
 * interrupted or do half their work, at a chosen call. The functions below
 * stand in front of libc's for this program.
 * Must not: leave anything outside its own temporary folder.
 */
#define _GNU_SOURCE
#include "sink_folder.h"

#include "alloc.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/statvfs.h>

enum call {
  OPEN, WRITE, FSYNC, RENAME, FTRUNCATE, FLOCK, PREAD, FSTATVFS, CALLS
};

static struct {
  int seen[CALLS];   /* how often each was called */
  int at[CALLS];     /* which one is to fail, from 1; 0: none */
  int error[CALLS];  /* with this errno */
  size_t short_by;   /* writes take at most so many bytes, 0: all */
  void (*on_flock)(void); /* runs before the lock is taken */
} fault;

static bool fails(enum call call) {
  if (++fault.seen[call] != fault.at[call])
    return false;
  errno = fault.error[call];
  return true;
}

static void fail_call(enum call call, int nth, int error) {
  memset(&fault, 0, sizeof fault);
  fault.at[call] = nth;
  fault.error[call] = error;
}

static void *real(const char *name) {
  return dlsym(RTLD_NEXT, name);
}

/* ISO C has no cast from an object's pointer to a function's. */
#define REAL(type, name) \
  type name##_real; \
  void *name##_address = real(#name); \
  memcpy(&name##_real, &name##_address, sizeof name##_real)

typedef int open_type(const char *, int, ...);
typedef ssize_t write_type(int, const void *, size_t);
typedef int fsync_type(int);
typedef int rename_type(const char *, const char *);
typedef int ftruncate_type(int, off_t);
typedef int flock_type(int, int);
typedef ssize_t pread_type(int, void *, size_t, off_t);

int open(const char *path, int flags, ...) {
  REAL(open_type *, open);
  va_list args;
  unsigned mode = 0;
  if (flags & O_CREAT) {
    va_start(args, flags);
    mode = va_arg(args, unsigned);
    va_end(args);
  }
  return fails(OPEN) ? -1 : open_real(path, flags, mode);
}

ssize_t write(int fd, const void *data, size_t len) {
  REAL(write_type *, write);
  if (fails(WRITE))
    return -1;
  if (fault.short_by && len > fault.short_by)
    len = fault.short_by;
  return write_real(fd, data, len);
}

int fsync(int fd) {
  REAL(fsync_type *, fsync);
  return fails(FSYNC) ? -1 : fsync_real(fd);
}

int rename(const char *from, const char *to) {
  REAL(rename_type *, rename);
  return fails(RENAME) ? -1 : rename_real(from, to);
}

int ftruncate(int fd, off_t len) {
  REAL(ftruncate_type *, ftruncate);
  return fails(FTRUNCATE) ? -1 : ftruncate_real(fd, len);
}

int flock(int fd, int operation) {
  REAL(flock_type *, flock);
  void (*hook)(void) = fault.on_flock;
  fault.on_flock = NULL;
  if (hook)
    hook();
  return fails(FLOCK) ? -1 : flock_real(fd, operation);
}

ssize_t pread(int fd, void *data, size_t len, off_t at) {
  REAL(pread_type *, pread);
  return fails(PREAD) ? -1 : pread_real(fd, data, len, at);
}

static uint64_t room = 1 << 30; /* bytes that the file system tells of */

int fstatvfs(int fd, struct statvfs *fs) {
  (void)fd;
  memset(fs, 0, sizeof *fs);
  fs->f_frsize = 4096;
  fs->f_blocks = 1 << 20;
  fs->f_bavail = room / 4096;
  return fails(FSTATVFS) ? -1 : 0;
}

static struct gn_sink *other;

static void other_finishes(void) {
  struct gn_error err = {0};
  assert_int_equal(gn_sink_finish(other, &err), 0);
}

/* Between our opening the .part and locking it, its owner makes it the target:
 * what we have open must not be written to. */
static void test_part_renamed_while_opening(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = new_file(target);
  (void)state;
  other = new_file(target);
  assert_int_equal(gn_sink_begin(other, &err), 0);
  assert_int_equal(gn_sink_write(other, "from the other", 14, &err), 0);
  fault.on_flock = other_finishes;
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(gn_sink_write(s, "mine", 4, &err), 0);
  assert_file(target, "from the other");
  assert_file(part, "mine");
  assert_int_equal(gn_sink_finish(s, &err), 0);
  assert_file(target, "mine");
  gn_sink_free(other);
  gn_sink_free(s);
}

static void remove_part(void) {
  assert_int_equal(unlink(part), 0);
  fault.on_flock = remove_part; /* and again at the next try */
}

static void test_part_keeps_changing(void **state) {
  (void)state;
  fault.on_flock = remove_part;
  assert_begin_fails(target, "locked");
}

static void test_calls_fail(void **state) {
  static const struct {
    enum call call;
    int nth, error;
    const char *code;
  } cases[] = {
    {OPEN, 1, EMFILE, "EMFILE"},     {OPEN, 1, EACCES, "EACCES"},
    {OPEN, 1, EROFS, "EROFS"},       {FTRUNCATE, 1, EIO, "EIO"},
    {WRITE, 1, ENOSPC, "ENOSPC"},    {WRITE, 2, EDQUOT, "EDQUOT"},
    {WRITE, 2, EIO, "EIO"},          {FSYNC, 1, EIO, "EIO"},
    {FSYNC, 1, ENOSPC, "ENOSPC"},    {RENAME, 1, EXDEV, "EXDEV"},
    {RENAME, 1, EACCES, "EACCES"},   {RENAME, 1, ECHILD, "errno-10"},
  };
  size_t i;
  (void)state;
  put_file(target, "old");
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err = {0};
    struct gn_sink *s = new_file(target);
    fail_call(cases[i].call, cases[i].nth, cases[i].error);
    if (flow(s, &err) == 0)
      fail_msg("case %zu went unnoticed", i);
    assert_file_error(&err, cases[i].code);
    gn_sink_free(s);
    assert_absent(part);
    assert_file(target, "old");
  }
}

/* What only comes after the rename can no longer leave the old file. */
static void test_folder_sync_fails(void **state) {
  static const struct {
    enum call call;
    int nth, error, want;
  } cases[] = {
    {FSYNC, 2, EIO, -1},
    {FSYNC, 2, EINVAL, 0},
    {OPEN, 2, EACCES, 0},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err = {0};
    struct gn_sink *s = new_file(target);
    put_file(target, "old");
    fail_call(cases[i].call, cases[i].nth, cases[i].error);
    assert_int_equal(flow(s, &err), cases[i].want);
    if (cases[i].want != 0)
      assert_file_error(&err, "EIO");
    gn_sink_free(s);
    assert_absent(part);
    assert_file(target, "new text");
  }
}

static void test_interrupted(void **state) {
  static const enum call calls[] = {OPEN, FLOCK, FTRUNCATE, WRITE, FSYNC};
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(calls); i++) {
    struct gn_error err = {0};
    struct gn_sink *s = new_file(target);
    fail_call(calls[i], 1, EINTR);
    fault.short_by = 1;
    if (flow(s, &err) != 0)
      fail_msg("call %d: %s", (int)calls[i], err.message);
    assert_file(target, "new text");
    gn_sink_free(s);
  }
}

static void test_no_locks_here(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = new_file(target);
  (void)state;
  fail_call(FLOCK, 1, ENOLCK);
  assert_int_equal(flow(s, &err), 0);
  assert_file(target, "new text");
  gn_sink_free(s);
}

/* A .part that can be gone on with: "half", and its mark. */
static struct gn_sink *marked(struct gn_mark *mark, struct gn_error *err) {
  struct gn_sink *s = new_file(target);
  assert_int_equal(gn_mark_init(mark, "https://h/f", err), 0);
  gn_mark_set_etag(mark, "\"v1\"", 4);
  assert_int_equal(gn_sink_open(s, err), 0);
  assert_int_equal(gn_sink_start(s, 0, mark, NULL, err), 0);
  assert_int_equal(gn_sink_write(s, "half", 4, err), 0);
  return s;
}

static void remembered(bool should) {
  struct gn_error err = {0};
  struct gn_mark mark;
  struct gn_sink *s = new_file(target);
  assert_int_equal(gn_mark_init(&mark, "https://h/f", &err), 0);
  assert_int_equal(gn_sink_open(s, &err), 0);
  assert_int_equal(gn_sink_recall(s, &mark), should ? 4 : 0);
  assert_string_equal(mark.etag, should ? "\"v1\"" : "");
  gn_sink_free(s);
  unlink(part);
}

/* What is worth going on with stays; what may be bad does not. */
static void test_part_that_stays(void **state) {
  static const struct {
    enum call call;
    int error;
    bool stays;
  } cases[] = {
    {CALLS, 0, true},      {WRITE, ENOSPC, true}, {WRITE, EDQUOT, true},
    {WRITE, EIO, false},   {FSYNC, EIO, false},   {FSYNC, ENOSPC, true},
    {RENAME, EXDEV, false},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err = {0};
    struct gn_mark mark;
    struct gn_sink *s = marked(&mark, &err);
    if (cases[i].call != CALLS) {
      fail_call(cases[i].call, 1, cases[i].error);
      assert_int_equal(cases[i].call == WRITE ? gn_sink_write(s, "x", 1, &err)
                                              : gn_sink_finish(s, &err), -1);
    }
    gn_sink_free(s);
    memset(&fault, 0, sizeof fault);
    assert_absent(target);
    remembered(cases[i].stays);
  }
}

/* A mark that cannot be written is no reason to fail. */
static void test_mark_fails(void **state) {
  static const struct {
    enum call call;
    int nth, error;
  } cases[] = {
    {OPEN, 3, EACCES}, {WRITE, 1, ENOSPC}, {WRITE, 1, EINTR},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err = {0};
    struct gn_mark mark;
    struct gn_sink *s;
    fail_call(cases[i].call, cases[i].nth, cases[i].error);
    s = marked(&mark, &err);
    gn_sink_free(s);
    memset(&fault, 0, sizeof fault);
    remembered(cases[i].error == EINTR);
  }
}

static void test_reading_again_fails(void **state) {
  static const struct {
    int nth, error, want;
  } cases[] = {{1, EIO, -1}, {1, EINTR, 0}, {2, EIO, -1}, {0, 0, 0}};
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err = {0};
    struct gn_verify verify;
    struct gn_mark mark;
    struct gn_sink *s = marked(&mark, &err);
    assert_true(gn_verify_init(&verify, true, ""));
    assert_int_equal(gn_sink_start(s, 4, &mark, &verify, &err), 0);
    assert_int_equal(gn_sink_write(s, " more", 5, &err), 0);
    fail_call(PREAD, cases[i].nth, cases[i].error);
    assert_int_equal(gn_sink_finish(s, &err), cases[i].want);
    gn_sink_free(s);
    gn_verify_free(&verify);
    assert_absent(part);
    if (cases[i].want == 0)
      assert_file(target, "half more");
    unlink(target);
  }
}

enum { PIECE = 16384, HELD = 262144 };

static const char *whole_piece(void) {
  static char piece[HELD + 1];
  memset(piece, 'p', sizeof piece);
  return piece;
}

static off_t length(const char *path) {
  struct stat st;
  assert_int_equal(stat(path, &st), 0);
  return st.st_size;
}

static void write_pieces(struct gn_sink *s, int count) {
  struct gn_error err = {0};
  while (count-- > 0)
    assert_int_equal(gn_sink_write(s, whole_piece(), PIECE, &err), 0);
}

/* Whole pieces are written together, at the latest with one that is not. */
static void test_held_back(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = new_file(target);
  (void)state;
  assert_int_equal(gn_sink_begin(s, &err), 0);
  fault.seen[WRITE] = 0;
  write_pieces(s, 3);
  assert_int_equal(length(part), 0);
  assert_int_equal(gn_sink_size(s), 3 * PIECE);
  assert_int_equal(gn_sink_write(s, "short", 5, &err), 0);
  assert_int_equal(length(part), 3 * PIECE + 5);
  write_pieces(s, HELD / PIECE);
  assert_int_equal(length(part), 3 * PIECE + 5 + HELD);
  write_pieces(s, 1);
  assert_int_equal(gn_sink_write(s, whole_piece(), HELD + 1, &err), 0);
  assert_int_equal(length(part), 4 * PIECE + 5 + 2 * HELD + 1);
  assert_int_equal(fault.seen[WRITE], 4);
  write_pieces(s, 1);
  assert_int_equal(gn_sink_finish(s, &err), 0);
  assert_int_equal(length(target), 5 * PIECE + 5 + 2 * HELD + 1);
  assert_int_equal(gn_sink_size(s), length(target));
  gn_sink_free(s);
}

/* The next attempt finds all that came, or nothing where it begins anew. */
static void test_held_back_goes_on(void **state) {
  struct gn_error err = {0};
  struct gn_mark mark;
  struct gn_sink *s = marked(&mark, &err);
  (void)state;
  write_pieces(s, 1);
  assert_int_equal(gn_sink_start(s, gn_sink_size(s), &mark, NULL, &err), 0);
  assert_int_equal(length(part), 4 + PIECE);
  write_pieces(s, 2);
  gn_sink_abort(s);
  assert_int_equal(length(part), 4 + 3 * PIECE);
  assert_int_equal(gn_sink_open(s, &err), 0);
  assert_int_equal(gn_sink_recall(s, &mark), 4 + 3 * PIECE);
  assert_int_equal(gn_sink_start(s, 4 + 3 * PIECE, &mark, NULL, &err), 0);
  write_pieces(s, 1);
  assert_int_equal(gn_sink_start(s, 0, &mark, NULL, &err), 0);
  assert_int_equal(gn_sink_size(s), 0);
  assert_int_equal(gn_sink_write(s, "new", 3, &err), 0);
  assert_int_equal(gn_sink_finish(s, &err), 0);
  assert_file(target, "new");
  gn_sink_free(s);
}

/* What the disk took of it counts, the rest does not. */
static void test_held_back_fails(void **state) {
  struct gn_error err = {0};
  struct gn_mark mark;
  struct gn_sink *s = marked(&mark, &err);
  (void)state;
  write_pieces(s, 2);
  fail_call(WRITE, 2, ENOSPC);
  fault.short_by = PIECE + 100;
  assert_int_equal(gn_sink_finish(s, &err), -1);
  assert_file_error(&err, "ENOSPC");
  assert_int_equal(gn_sink_size(s), 4 + PIECE + 100);
  write_pieces(s, 1);
  fail_call(WRITE, 1, EDQUOT);
  gn_sink_abort(s);
  assert_int_equal(length(part), 4 + PIECE + 100);
  memset(&fault, 0, sizeof fault);
  assert_int_equal(gn_sink_open(s, &err), 0);
  assert_int_equal(gn_sink_recall(s, &mark), 4 + PIECE + 100);
  gn_sink_distrust(s);
  gn_sink_free(s);
  assert_absent(part);
}

#ifdef GN_FAULTS
static void test_nothing_to_hold_it(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = new_file(target);
  (void)state;
  assert_int_equal(gn_sink_begin(s, &err), 0);
  gn_alloc_fail_after(0, 0);
  write_pieces(s, 1);
  gn_alloc_fail_after(-1, 0);
  assert_int_equal(length(part), PIECE);
  gn_sink_free(s);
  assert_absent(part);
}
#endif

static void test_room(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = new_file(target);
  (void)state;
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(gn_sink_room(s, room, &err), 0);
  assert_int_equal(gn_sink_room(s, room + 4096, &err), -1);
  assert_file_error(&err, "ENOSPC");
  fail_call(FSTATVFS, 1, ENOSYS); /* it does not say: try */
  assert_int_equal(gn_sink_room(s, room + 4096, &err), 0);
  gn_sink_free(s);
  assert_absent(part);
}

static int calm_setup(void **state) {
  memset(&fault, 0, sizeof fault);
  return setup(state);
}

static int calm_teardown(void **state) {
  memset(&fault, 0, sizeof fault);
  return teardown(state);
}

#define FAULTY(name) \
  cmocka_unit_test_setup_teardown(name, calm_setup, calm_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
    FAULTY(test_part_renamed_while_opening),
    FAULTY(test_part_keeps_changing),
    FAULTY(test_calls_fail),
    FAULTY(test_folder_sync_fails),
    FAULTY(test_interrupted),
    FAULTY(test_no_locks_here),
    FAULTY(test_part_that_stays),
    FAULTY(test_mark_fails),
    FAULTY(test_reading_again_fails),
    FAULTY(test_held_back),
    FAULTY(test_held_back_goes_on),
    FAULTY(test_held_back_fails),
#ifdef GN_FAULTS
    FAULTY(test_nothing_to_hold_it),
#endif
    FAULTY(test_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

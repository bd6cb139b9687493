/* Owns: the checks of src/core/sink.c against a real file system: bodies in
 * memory, the life of a .part file, names and folders that do not work, two
 * writers, a kill, a full quota.
 * Must not: leave anything outside its own temporary folder.
 */
#define _GNU_SOURCE
#include "sink_folder.h"

#include "alloc.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NOBODY 65534

/* ---- memory ---- */

static void test_memory(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = gn_sink_new_memory(8, &err);
  (void)state;
  assert_non_null(s);
  assert_string_equal(gn_sink_data(s), "");
  assert_int_equal(gn_sink_size(s), 0);
  assert_null(gn_sink_path(s));
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(gn_sink_write(s, "", 0, &err), 0);
  assert_int_equal(gn_sink_write(s, "a\0b", 3, &err), 0);
  assert_int_equal(gn_sink_write(s, "45678", 5, &err), 0);
  assert_int_equal(gn_sink_size(s), 8);
  assert_memory_equal(gn_sink_data(s), "a\0b45678", 9);
  assert_int_equal(gn_sink_write(s, "9", 1, &err), -1);
  assert_int_equal(err.kind, GN_TOO_LARGE);
  assert_string_equal(err.code, "body");
  assert_non_null(strstr(err.message, "8 bytes"));
  assert_memory_equal(gn_sink_data(s), "a\0b45678", 9);
  assert_int_equal(gn_sink_finish(s, &err), 0);
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(gn_sink_size(s), 0);
  assert_string_equal(gn_sink_data(s), "");
  gn_sink_abort(s);
  gn_sink_free(s);
  gn_sink_free(NULL);
}

static void test_memory_large(void **state) {
  const size_t max = (size_t)4 << 20;
  struct gn_error err = {0};
  struct gn_sink *s = gn_sink_new_memory(max, &err);
  static char chunk[16384];
  size_t i;
  (void)state;
  for (i = 0; i < max / sizeof chunk; i++) {
    memset(chunk, (int)('a' + i % 26), sizeof chunk);
    assert_int_equal(gn_sink_write(s, chunk, sizeof chunk, &err), 0);
  }
  assert_int_equal(gn_sink_size(s), max);
  for (i = 0; i < max; i += 4096)
    assert_int_equal(gn_sink_data(s)[i], 'a' + i / sizeof chunk % 26);
  assert_int_equal(gn_sink_data(s)[max], '\0');
  assert_int_equal(gn_sink_write(s, "x", 1, &err), -1);
  gn_sink_free(s);
}

static void test_memory_nothing_allowed(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = gn_sink_new_memory(0, &err);
  (void)state;
  assert_int_equal(gn_sink_write(s, "", 0, &err), 0);
  assert_int_equal(gn_sink_write(s, "x", 1, &err), -1);
  assert_int_equal(err.kind, GN_TOO_LARGE);
  gn_sink_free(s);
}

/* ---- a file that works ---- */

static void test_file(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = new_file(target);
  struct stat st;
  mode_t mask = umask(027);
  (void)state;
  assert_absent(part);
  assert_string_equal(gn_sink_path(s), target);
  assert_null(gn_sink_data(s));
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(gn_sink_write(s, "new", 3, &err), 0);
  assert_file(part, "new");
  assert_absent(target);
  assert_int_equal(gn_sink_write(s, "", 0, &err), 0);
  assert_int_equal(gn_sink_write(s, " text", 5, &err), 0);
  assert_int_equal(gn_sink_size(s), 8);
  assert_int_equal(gn_sink_finish(s, &err), 0);
  assert_int_equal(gn_sink_finish(s, &err), 0);
  assert_int_equal(gn_sink_size(s), 8);
  assert_file(target, "new text");
  assert_absent(part);
  assert_int_equal(stat(target, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0640);
  umask(mask);
  gn_sink_abort(s);
  gn_sink_free(s);
  assert_file(target, "new text");
}

static void test_file_replaces_at_the_end(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = new_file(target);
  (void)state;
  put_file(target, "old");
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(gn_sink_write(s, "longer", 6, &err), 0);
  assert_int_equal(gn_sink_begin(s, &err), 0); /* the next attempt */
  assert_int_equal(gn_sink_size(s), 0);
  assert_file(part, "");
  assert_int_equal(gn_sink_write(s, "new", 3, &err), 0);
  assert_file(target, "old");
  assert_int_equal(gn_sink_finish(s, &err), 0);
  assert_file(target, "new");
  assert_int_equal(flow(s, &err), 0); /* and once more */
  assert_file(target, "new text");
  gn_sink_free(s);
}

static void test_empty_file(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = new_file(target);
  (void)state;
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(gn_sink_finish(s, &err), 0);
  assert_file(target, "");
  gn_sink_free(s);
}

static void test_abort(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = new_file(target);
  (void)state;
  put_file(target, "old");
  gn_sink_abort(s);
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(gn_sink_write(s, "x", 1, &err), 0);
  gn_sink_abort(s);
  gn_sink_abort(s);
  assert_absent(part);
  assert_int_equal(gn_sink_write(s, "x", 1, &err), -1);
  assert_file_error(&err, "EBADF");
  assert_int_equal(gn_sink_finish(s, &err), -1);
  assert_file_error(&err, "EBADF");
  assert_int_equal(gn_sink_begin(s, &err), 0);
  gn_sink_free(s); /* aborts */
  assert_absent(part);
  assert_file(target, "old");
}

static void test_relative_path(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s;
  char before[4096];
  (void)state;
  assert_non_null(getcwd(before, sizeof before));
  assert_int_equal(chdir(folder), 0);
  s = new_file("out.csv");
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(chdir("/"), 0);
  assert_int_equal(gn_sink_write(s, "x", 1, &err), 0);
  assert_int_equal(gn_sink_finish(s, &err), 0);
  assert_int_equal(chdir(before), 0);
  assert_string_equal(gn_sink_path(s), "out.csv");
  assert_file(target, "x");
  gn_sink_free(s);
}

static void test_close_on_exec(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = new_file(target);
  struct stat mine, st;
  int fd, found = 0;
  (void)state;
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(stat(part, &mine), 0);
  for (fd = 0; fd < 256; fd++) {
    if (fstat(fd, &st) == 0 && st.st_ino == mine.st_ino &&
        st.st_dev == mine.st_dev) {
      found++;
      assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
  }
  assert_int_equal(found, 1);
  gn_sink_free(s);
}

static void test_file_limit(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s = gn_sink_new_file(target, 4, &err);
  (void)state;
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(gn_sink_write(s, "1234", 4, &err), 0);
  assert_int_equal(gn_sink_write(s, "", 0, &err), 0);
  assert_int_equal(gn_sink_write(s, "5", 1, &err), -1);
  assert_int_equal(err.kind, GN_TOO_LARGE);
  assert_string_equal(err.code, "body");
  assert_int_equal(gn_sink_size(s), 4);
  gn_sink_free(s);
  assert_absent(part);
}

/* ---- folders and names that do not work ---- */

static void test_names_of_nothing(void **state) {
  struct gn_error err = {0};
  (void)state;
  assert_null(gn_sink_new_file("", 0, &err));
  assert_int_equal(err.kind, GN_INVALID);
  assert_string_equal(err.code, "file");
  assert_null(gn_sink_new_file("/tmp/", 0, &err));
  assert_int_equal(err.kind, GN_INVALID);
}

static void test_bad_folders(void **state) {
  char path[700];
  (void)state;
  snprintf(path, sizeof path, "%s/none/out.csv", folder);
  assert_begin_fails(path, "ENOENT");
  put_file(target, "old");
  snprintf(path, sizeof path, "%s/x", target);
  assert_begin_fails(path, "ENOTDIR");
  /* The name fits, but not with its suffix. */
  snprintf(path, sizeof path, "%s/%0252d", folder, 7);
  assert_begin_fails(path, "ENAMETOOLONG");
  snprintf(path, sizeof path, "%s/%0500d", folder, 7);
  assert_begin_fails(path, "ENAMETOOLONG");
  assert_begin_fails(folder, "EISDIR");
  assert_begin_fails(".", "EISDIR");
}

static void test_unwritable_folder(void **state) {
  const bool root = geteuid() == 0;
  (void)state;
  assert_int_equal(chmod(folder, 0555), 0);
  if (root)
    assert_int_equal(seteuid(NOBODY), 0);
  assert_begin_fails(target, "EACCES");
  if (root)
    assert_int_equal(seteuid(0), 0);
  assert_int_equal(chmod(folder, 0755), 0);
  assert_absent(part);
}

/* Renaming over a device would replace it for the whole machine. */
static void test_devices(void **state) {
  struct stat st;
  (void)state;
  assert_begin_fails("/dev/null", "EINVAL");
  assert_begin_fails("/dev/full", "EINVAL");
  assert_absent("/dev/null.part");
  assert_int_equal(stat("/dev/null", &st), 0);
  assert_true(S_ISCHR(st.st_mode));
}

static void test_strange_parts(void **state) {
  struct stat st;
  (void)state;
  assert_int_equal(mkdir(part, 0755), 0);
  assert_begin_fails(target, "EISDIR");
  assert_int_equal(rmdir(part), 0);
  assert_int_equal(mkfifo(part, 0644), 0); /* must not block */
  assert_begin_fails(target, "EINVAL");
  assert_int_equal(unlink(part), 0);
  assert_int_equal(symlink("/dev/full", part), 0); /* must not be followed */
  assert_begin_fails(target, "ELOOP");
  assert_int_equal(lstat(part, &st), 0); /* not ours, hence not removed */
  assert_int_equal(unlink(part), 0);
}

/* A pipe that somebody reads opens, and is refused for what it is. */
static void test_part_is_read_pipe(void **state) {
  int reader;
  (void)state;
  assert_int_equal(mkfifo(part, 0644), 0);
  reader = open(part, O_RDONLY | O_NONBLOCK);
  assert_true(reader >= 0);
  assert_begin_fails(target, "EINVAL");
  close(reader);
}

/* ---- two downloads to one path ---- */

static void test_two_writers(void **state) {
  struct gn_error err = {0};
  struct gn_sink *a = new_file(target), *b = new_file(target);
  (void)state;
  assert_int_equal(gn_sink_begin(a, &err), 0);
  assert_int_equal(gn_sink_write(a, "from a", 6, &err), 0);
  assert_int_equal(gn_sink_begin(b, &err), -1);
  assert_file_error(&err, "locked");
  gn_sink_free(b);
  assert_file(part, "from a");
  assert_int_equal(gn_sink_finish(a, &err), 0);
  assert_file(target, "from a");
  b = new_file(target);
  assert_int_equal(flow(b, &err), 0);
  gn_sink_free(b);
  gn_sink_free(a);
  assert_file(target, "new text");
}

static void test_killed(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s;
  int status;
  pid_t child;
  (void)state;
  put_file(target, "old");
  child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    s = gn_sink_new_file(target, 0, &err);
    if (s && gn_sink_begin(s, &err) == 0 &&
        gn_sink_write(s, "half a longer text", 18, &err) == 0)
      kill(getpid(), SIGKILL);
    _exit(1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status));
  assert_file(target, "old");
  assert_file(part, "half a longer text");
  s = new_file(target);
  assert_int_equal(flow(s, &err), 0);
  gn_sink_free(s);
  assert_file(target, "new text");
  assert_absent(part);
}

static void test_file_size_limit(void **state) {
  struct rlimit before, limit;
  struct gn_error err = {0};
  struct gn_sink *s = new_file(target);
  static char data[3000];
  void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
  (void)state;
  put_file(target, "old");
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  limit = before;
  limit.rlim_cur = 4096;
  assert_int_equal(gn_sink_begin(s, &err), 0);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
  assert_int_equal(gn_sink_write(s, data, sizeof data, &err), 0);
  assert_int_equal(gn_sink_write(s, data, sizeof data, &err), -1);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  assert_file_error(&err, "EFBIG");
  gn_sink_free(s);
  assert_absent(part);
  assert_file(target, "old");
}

/* The reason is readable, however long the path. */
static void test_message(void **state) {
  struct gn_error err = {0};
  struct gn_sink *s;
  char path[3000];
  (void)state;
  snprintf(path, sizeof path, "%s/%0200d/%0200d/%0200d", folder, 1, 2, 3);
  s = new_file(path);
  assert_int_equal(gn_sink_begin(s, &err), -1);
  assert_memory_equal(err.message, "No such file or directory while", 31);
  gn_sink_free(s);
}

#ifdef GN_FAULTS
static int flow_allocating(const char *path, struct gn_error *err) {
  struct gn_sink *s = path ? gn_sink_new_file(path, 0, err)
                           : gn_sink_new_memory(1000, err);
  int status = s ? flow(s, err) : -1;
  if (status == 0 && !path)
    assert_string_equal(gn_sink_data(s), "new text");
  gn_sink_free(s);
  return status;
}

static void test_allocations(void **state) {
  const char *paths[] = {NULL, target, "relative.csv"};
  struct gn_error err = {0};
  size_t i;
  long n, total;
  (void)state;
  assert_int_equal(chdir(folder), 0);
  for (i = 0; i < COUNT(paths); i++) {
    gn_alloc_fail_after(-1, 0);
    assert_int_equal(flow_allocating(paths[i], &err), 0);
    total = gn_alloc_count();
    assert_in_range(total, 2, 100);
    for (n = 0; n < total; n++) {
      gn_error_clear(&err);
      gn_alloc_fail_after(n, 0);
      assert_int_equal(flow_allocating(paths[i], &err), -1);
      assert_int_equal(err.kind, GN_MEMORY);
      assert_absent(part);
    }
    gn_alloc_fail_after(-1, 0);
  }
  assert_int_equal(chdir("/"), 0);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    TEST(test_memory),
    TEST(test_memory_large),
    TEST(test_memory_nothing_allowed),
    TEST(test_file),
    TEST(test_file_replaces_at_the_end),
    TEST(test_empty_file),
    TEST(test_abort),
    TEST(test_relative_path),
    TEST(test_close_on_exec),
    TEST(test_file_limit),
    TEST(test_names_of_nothing),
    TEST(test_bad_folders),
    TEST(test_unwritable_folder),
    TEST(test_devices),
    TEST(test_strange_parts),
    TEST(test_part_is_read_pipe),
    TEST(test_two_writers),
    TEST(test_killed),
    TEST(test_file_size_limit),
    TEST(test_message),
#ifdef GN_FAULTS
    TEST(test_allocations),
#endif
  };
#ifndef GN_FAULTS
  print_message("built without GN_FAULTS: no allocation is made to fail\n");
#endif
  return cmocka_run_group_tests(tests, NULL, NULL);
}

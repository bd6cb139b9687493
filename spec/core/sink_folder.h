/* Owns: what the sink's test programs share: one temporary folder per test,
 * gone afterwards, the check that no descriptor leaked, and small file helpers.
 * Must not: be included by anything else.
 */
#ifndef SPEC_SINK_FOLDER_H
#define SPEC_SINK_FOLDER_H

#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static char folder[] = "/tmp/garner-sink-XXXXXX";
static char target[256], part[300];
static int descriptors;

static inline int count_descriptors(void) {
  int fd, n = 0;
  for (fd = 0; fd < 256; fd++)
    n += fcntl(fd, F_GETFD) != -1;
  return n;
}

static inline int setup(void **state) {
  (void)state;
  memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
  if (!mkdtemp(folder))
    return -1;
  snprintf(target, sizeof target, "%s/out.csv", folder);
  snprintf(part, sizeof part, "%s.part", target);
  descriptors = count_descriptors();
  return 0;
}

static inline int teardown(void **state) {
  char command[64];
  int leaked = count_descriptors() - descriptors;
  (void)state;
  snprintf(command, sizeof command, "rm -rf %s", folder);
  if (leaked != 0)
    print_error("%d descriptors leaked\n", leaked);
  return system(command) == 0 && leaked == 0 ? 0 : -1;
}

static inline void put_file(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  assert_int_equal(fputs(text, f) < 0, 0);
  assert_int_equal(fclose(f), 0);
}

static inline void assert_file(const char *path, const char *want) {
  char got[8192];
  size_t n;
  FILE *f = fopen(path, "r");
  if (!f)
    fail_msg("%s: %s", path, strerror(errno));
  n = fread(got, 1, sizeof got - 1, f);
  fclose(f);
  got[n] = '\0';
  assert_string_equal(got, want);
}

static inline void assert_absent(const char *path) {
  struct stat st;
  if (lstat(path, &st) == 0)
    fail_msg("%s is still there", path);
}

static inline void assert_file_error(const struct gn_error *err,
                                     const char *code) {
  assert_string_equal(gn_kind_name(err->kind), "file");
  assert_string_equal(err->code, code);
  assert_true(strlen(err->message) > 0);
}

static inline struct gn_sink *new_file(const char *path) {
  struct gn_error err = {0};
  struct gn_sink *s = gn_sink_new_file(path, 0, &err);
  if (!s)
    fail_msg("%s", err.message);
  return s;
}

/* begin, "new", " text", finish */
static inline int flow(struct gn_sink *s, struct gn_error *err) {
  if (gn_sink_begin(s, err) != 0 || gn_sink_write(s, "new", 3, err) != 0 ||
      gn_sink_write(s, " text", 5, err) != 0)
    return -1;
  return gn_sink_finish(s, err);
}

static inline void assert_begin_fails(const char *path, const char *code) {
  struct gn_error err = {0};
  struct gn_sink *s = new_file(path);
  if (gn_sink_begin(s, &err) == 0)
    fail_msg("%s could be opened", path);
  assert_file_error(&err, code);
  gn_sink_free(s);
}

#endif

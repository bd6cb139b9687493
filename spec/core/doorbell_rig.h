/* Owns: a client of the doorbell, as the tests of it need one: every byte is
 * theirs. Must not: know what a right answer is.
 */
#ifndef SPEC_DOORBELL_RIG_H
#define SPEC_DOORBELL_RIG_H

#include "rig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static inline struct gn_doorbell_address doorbell_of(struct gn_engine *e) {
  struct gn_doorbell_address address;
  struct gn_error err = {0};
  if (gn_engine_doorbell(e, &address, &err) != 0)
    fail_msg("%s", err.message);
  return address;
}

/* -1: nobody listens there. */
static inline int dial(const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
  assert_true(fd >= 0);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
    return fd;
  close(fd);
  return -1;
}

static inline void say(int fd, const char *text) {
  size_t len = strlen(text);
  assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* A line of one character; 0: the end. */
static inline char hear(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  char line[2];
  ssize_t got;
  if (poll(&p, 1, 20000) != 1)
    fail_msg("no answer came");
  got = recv(fd, line, 1, 0);
  if (got <= 0)
    return 0;
  assert_int_equal(recv(fd, line + 1, 1, MSG_WAITALL), 1);
  assert_int_equal(line[1], '\n');
  return line[0];
}

static inline void nothing_heard(int fd, int ms) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  assert_int_equal(poll(&p, 1, ms), 0);
}

/* Connected, and known. */
static inline int friend_of(struct gn_engine *e) {
  struct gn_doorbell_address at = doorbell_of(e);
  int fd = dial(at.path);
  assert_true(fd >= 0);
  say(fd, at.key);
  say(fd, "\n");
  return fd;
}

static inline void subscribe(int fd, const struct gn_mailbox *m) {
  char line[32];
  snprintf(line, sizeof line, "%llu\n", (unsigned long long)m->id);
  say(fd, line);
}

/* Back when all that was said so far has been read: the answer tells. */
static inline void settle(int fd) {
  say(fd, "-\n");
  assert_int_equal(hear(fd), '-');
}

#endif

/* Owns: where the folders are and which of them are dead. Must not: follow a
 * link, or trust the environment of a program that runs with another user's
 * rights.
 */
#include "posix.h"

#include "folder.h"

#include "clock.h"
#include "platform.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "garner-"
#define SOCKET "/bell"
#define YOUNG 60 /* seconds in which a folder may still be in the making */

/* Owned by this user and of no use to others; /tmp itself is the last resort
 * and needs no such promise: what is made in it is private. */
static bool is_private(const char *path) {
  struct stat st;
  return path[0] == '/' && stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
         st.st_uid == geteuid() && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static bool is_named_by_us(const char *name, long *pid) {
  char *end;
  if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0)
    return false;
  name += sizeof PREFIX - 1;
  errno = 0;
  *pid = strtol(name, &end, 10);
  return errno == 0 && *pid > 0 && end != name && *end == '-' &&
         strlen(end) == 7;
}

static int address(struct sockaddr_un *out, const char *path) {
  memset(out, 0, sizeof *out);
  out->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof out->sun_path)
    return -1;
  memcpy(out->sun_path, path, strlen(path));
  return 0;
}

/* Nobody listens behind the path. A process of another container looks dead
 * from here, and its number may be given again: only the socket knows. */
static bool is_silent(const char *path) {
  struct sockaddr_un to;
  int fd = gn_unix_socket();
  bool silent = false;
  if (fd < 0)
    return false;
  if (address(&to, path) == 0 &&
      connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
    silent = errno == ECONNREFUSED || errno == ENOENT;
  close(fd);
  return silent;
}

static void sweep_one(const char *base, const char *name) {
  char path[GN_SOCKET_PATH_SIZE];
  struct stat st;
  long pid;
  bool gone;
  int len = snprintf(path, sizeof path, "%s/%s", base, name);
  if (!is_named_by_us(name, &pid) || len < 0 ||
      (size_t)len + sizeof SOCKET > sizeof path)
    return;
  if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode) ||
      st.st_uid != geteuid())
    return;
  gone = kill((pid_t)pid, 0) != 0 && errno == ESRCH;
  memcpy(path + len, SOCKET, sizeof SOCKET);
  if ((gone || gn_wall_time() - (double)st.st_mtime > YOUNG) &&
      is_silent(path))
    gn_folder_remove(path);
}

static void sweep(const char *base) {
  DIR *folder = opendir(base);
  struct dirent *entry;
  if (!folder)
    return;
  while ((entry = readdir(folder)))
    if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) == 0)
      sweep_one(base, entry->d_name);
  closedir(folder);
}

/* Its mode is the socket's whole protection: the umask has no say. */
static int bind_below(const char *base, int fd,
                      char path[GN_SOCKET_PATH_SIZE]) {
  struct sockaddr_un at;
  int kept, len = snprintf(path, GN_SOCKET_PATH_SIZE, "%s/" PREFIX
                           "%ld-XXXXXX", base, (long)getpid());
  if (len < 0 || (size_t)len + sizeof SOCKET > GN_SOCKET_PATH_SIZE) {
    errno = ENAMETOOLONG;
    return -1;
  }
  if (!mkdtemp(path))
    return -1;
  if (chmod(path, S_IRWXU) != 0)
    goto fail;
  memcpy(path + len, SOCKET, sizeof SOCKET);
  if (address(&at, path) != 0 ||
      bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
      chmod(path, S_IRUSR | S_IWUSR) != 0)
    goto fail;
  return 0;
fail:
  kept = errno;
  memcpy(path + len, SOCKET, sizeof SOCKET);
  gn_folder_remove(path);
  errno = kept;
  return -1;
}

int gn_folder_bind(int fd, char path[GN_SOCKET_PATH_SIZE],
                   struct gn_error *err) {
  static const char *const names[] = {"XDG_RUNTIME_DIR", "TMPDIR"};
  bool trusted = getuid() == geteuid() && getgid() == getegid();
  size_t i;
  for (i = 0; trusted && i < sizeof names / sizeof *names; i++) {
    const char *base = getenv(names[i]);
    if (base && is_private(base)) {
      sweep(base);
      if (bind_below(base, fd, path) == 0)
        return 0;
    }
  }
  sweep("/tmp");
  if (bind_below("/tmp", fd, path) == 0)
    return 0;
  path[0] = '\0';
  return gn_error_set(err, GN_TRANSPORT, "doorbell",
                      "no folder for the engine's socket below /tmp: %s",
                      strerror(errno));
}

void gn_folder_remove(const char *path) {
  char folder[GN_SOCKET_PATH_SIZE];
  size_t len = strlen(path);
  if (len < sizeof SOCKET)
    return;
  len -= sizeof SOCKET - 1;
  memcpy(folder, path, len);
  folder[len] = '\0';
  unlink(path);
  rmdir(folder);
}

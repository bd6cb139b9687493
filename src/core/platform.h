/* Owns: the calls that not every system has, each with a counterpart that needs
 * POSIX only. GN_PORTABLE (the build option GARNER_PORTABLE) leaves Linux's own
 * calls unused on Linux too, so that the counterparts are tested.
 * Must not: hold state, or be gone round: no other file tests for a system.
 */
#ifndef GN_PLATFORM_H
#define GN_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#if defined(__linux__) && !defined(GN_PORTABLE)
#define GN_LINUX 1
#else
#define GN_LINUX 0
#endif

/* All descriptors are closed on exec and do not block; -1 and errno. */
int gn_pipe_open(int ends[2]);
int gn_unix_socket(void);
int gn_accept(int listener);
/* -1 and errno; no signal if the other end is gone. */
ssize_t gn_send(int fd, const void *data, size_t len);
/* The process at the other end is this user's, as far as can be told. */
bool gn_peer_is_ours(int fd);
/* From the system's generator; -1: it has none to give. */
int gn_random_bytes(void *out, size_t len);

#endif

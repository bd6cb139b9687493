/* Owns: the calls that not every system has, each with a counterpart that needs
 * POSIX only. GN_PORTABLE (the build option GARNER_PORTABLE) leaves Linux's own
 * calls unused on Linux too, so that the counterparts are tested.
 * Must not: hold state, or be gone round: no file but platform.c, descriptor.c
 * and watcher.c tells systems apart.
 */
#ifndef GN_PLATFORM_H
#define GN_PLATFORM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <sys/types.h>

#if defined(__linux__) && !defined(GN_PORTABLE)
#define GN_LINUX 1
#else
#define GN_LINUX 0
#endif

/* Closed on exec; -1 and errno. */
int gn_socket(int family, int type, int protocol);
/* These do not block, either. */
int gn_pipe_open(int ends[2]);
int gn_unix_socket(void);
int gn_accept(int listener);
/* -1 and errno. For threads that run no signal handlers: where the other end
 * is gone, some systems tell by a signal. */
ssize_t gn_send(int fd, const void *data, size_t len);
/* The process at the other end is this user's, as far as can be told. */
bool gn_peer_is_ours(int fd);
/* Goes on while the system sleeps, if there is such a clock. */
void gn_clock_read(struct timespec *out);
/* What names the time since the system was started, zeros behind it; "": it
 * does not tell. */
void gn_boot_id(char *out, size_t cap);
/* Random bytes of the system's, at most 256; false: it has none. */
bool gn_entropy(void *out, size_t len);
/* Keeps the shared object of that code in memory for the life of the process;
 * nothing is loaded a second time where it is part of the program. */
void gn_pin(void (*code)(void));

int gn_cond_init(pthread_cond_t *cond);
/* False once gn_now_ms has reached `until`; true: somebody signalled, or not:
 * the caller looks. */
bool gn_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock,
                        int64_t until);

#endif

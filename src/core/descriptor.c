/* Owns: signal and clear. Must not: block; a signal that is up already is as
 * good as a new one.
 */
#include "descriptor.h"

#include "platform.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#if GN_LINUX
#include <sys/eventfd.h>
#endif

int gn_descriptor_open(struct gn_descriptor *d) {
#if GN_LINUX
  d->read_end = d->write_end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return d->read_end < 0 ? -1 : 0;
#else
  int ends[2];
  if (gn_pipe_open(ends) != 0)
    return -1;
  d->read_end = ends[0];
  d->write_end = ends[1];
  return 0;
#endif
}

void gn_descriptor_close(struct gn_descriptor *d) {
  if (d->write_end != d->read_end)
    close(d->write_end);
  close(d->read_end);
  d->read_end = d->write_end = -1;
}

void gn_descriptor_signal(const struct gn_descriptor *d) {
  uint64_t one = 1;
  ssize_t rc;
  do
    rc = write(d->write_end, &one, sizeof one);
  while (rc < 0 && errno == EINTR);
}

void gn_descriptor_clear(const struct gn_descriptor *d) {
  uint64_t some[8];
  ssize_t rc;
  do
    rc = read(d->read_end, some, sizeof some);
  while ((rc < 0 && errno == EINTR) || rc == (ssize_t)sizeof some);
}

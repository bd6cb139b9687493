/* Owns: a table by descriptor. Without a lock, since a fork may come at any
 * moment: one that comes between opening and adding leaves a descriptor open in
 * the child, as there was never a table. Must not: trust the number alone; a
 * library may have closed it unseen, and somebody else's have it now.
 */
#include "inherited.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRACKED 65536 /* descriptors beyond are left to exec */

static _Atomic uint64_t inodes[TRACKED]; /* what the descriptor is; 0: none */
static atomic_int highest;               /* that was ever in the table */

static uint64_t inode_of(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

void gn_inherited_add(int fd) {
  int seen = atomic_load(&highest);
  if (fd < 0 || fd >= TRACKED)
    return;
  atomic_store(&inodes[fd], inode_of(fd));
  while (seen < fd && !atomic_compare_exchange_weak(&highest, &seen, fd)) {
  }
}

void gn_inherited_remove(int fd) {
  if (fd >= 0 && fd < TRACKED)
    atomic_store(&inodes[fd], 0);
}

void gn_inherited_close(void) {
  int fd, last = atomic_load(&highest);
  for (fd = 0; fd <= last; fd++) {
    uint64_t inode = atomic_exchange(&inodes[fd], 0);
    if (inode != 0 && inode_of(fd) == inode)
      close(fd);
  }
}

/* Owns: which descriptors of this process a child of fork must not keep: a
 * connection that the child holds open does not end when its parent hangs up,
 * and a file that the child holds open stays locked when its parent has died.
 * Must not: close anything in the process that opened it.
 */
#ifndef GN_INHERITED_H
#define GN_INHERITED_H

/* After the descriptor was opened, and before it is closed. */
void gn_inherited_add(int fd);
void gn_inherited_remove(int fd);
/* In the child, in its fork handler. */
void gn_inherited_close(void);

#endif

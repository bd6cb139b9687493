/* Owns: a descriptor that is readable from signal to clear: an eventfd, or a
 * pipe where there is none. Must not: know why.
 */
#ifndef GN_DESCRIPTOR_H
#define GN_DESCRIPTOR_H

struct gn_descriptor {
  int read_end;  /* what a host polls */
  int write_end; /* the same number if it is an eventfd */
};

/* -1 and errno. Both ends are closed on exec and do not block. */
int gn_descriptor_open(struct gn_descriptor *d);
void gn_descriptor_close(struct gn_descriptor *d);
void gn_descriptor_signal(const struct gn_descriptor *d);
void gn_descriptor_clear(const struct gn_descriptor *d);

#endif

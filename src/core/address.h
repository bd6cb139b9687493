/* Owns: the sorting of numeric addresses into public ones and those that a URL
 * supplied by a server must not reach.
 * Must not: resolve names, or decide whether an address is allowed.
 */
#ifndef GN_ADDRESS_H
#define GN_ADDRESS_H

#include <sys/socket.h>

enum gn_address_class {
  GN_ADDRESS_PUBLIC,
  GN_ADDRESS_LOOPBACK,   /* this machine, also as 0.0.0.0 and :: */
  GN_ADDRESS_LINK_LOCAL, /* where clouds keep their metadata services */
  GN_ADDRESS_PRIVATE     /* everything else that is not globally reachable */
};

/* IPv4 inside IPv6 is judged by the IPv4 address. Where that is public, only
 * NAT64 (64:ff9b::/96) is: networks without IPv4 reach the whole IPv4 world
 * through it. Mapped and 6to4 addresses are then private: no server has one. A
 * family other than IPv4 and IPv6 is private. */
enum gn_address_class gn_address_classify(const struct sockaddr *sa);

/* The class of a numeric host, brackets allowed; a name is taken for public. */
enum gn_address_class gn_address_of_host(const char *host);

const char *gn_address_class_name(enum gn_address_class c);

#endif

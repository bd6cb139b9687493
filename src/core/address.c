/* Owns: the tables of special networks (IANA's registries for special-purpose
 * addresses). Must not: use sockets.
 */
#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct network4 {
  uint32_t address;            /* host byte order */
  unsigned bits;               /* length of the prefix */
  enum gn_address_class class; /* what its members are */
};

struct network6 {
  unsigned char address[16];   /* network byte order */
  unsigned bits;               /* length of the prefix */
  enum gn_address_class class; /* what its members are */
};

/* The first that fits counts. */
static const struct network4 networks4[] = {
  {0x00000000, 32, GN_ADDRESS_LOOPBACK},  /* connects to this machine */
  {0x00000000, 8, GN_ADDRESS_PRIVATE},    /* 0/8 */
  {0x7f000000, 8, GN_ADDRESS_LOOPBACK},   /* 127/8 */
  {0xa9fe0000, 16, GN_ADDRESS_LINK_LOCAL}, /* 169.254/16 */
  {0x0a000000, 8, GN_ADDRESS_PRIVATE},    /* 10/8 */
  {0xac100000, 12, GN_ADDRESS_PRIVATE},   /* 172.16/12 */
  {0xc0a80000, 16, GN_ADDRESS_PRIVATE},   /* 192.168/16 */
  {0x64400000, 10, GN_ADDRESS_PRIVATE},   /* 100.64/10: shared by carriers */
  {0xc0000000, 24, GN_ADDRESS_PRIVATE},   /* 192.0.0/24: protocols */
  {0xc0000200, 24, GN_ADDRESS_PRIVATE},   /* 192.0.2/24: documents */
  {0xc6336400, 24, GN_ADDRESS_PRIVATE},   /* 198.51.100/24: documents */
  {0xcb007100, 24, GN_ADDRESS_PRIVATE},   /* 203.0.113/24: documents */
  {0xc6120000, 15, GN_ADDRESS_PRIVATE},   /* 198.18/15: benchmarks */
  {0xe0000000, 4, GN_ADDRESS_PRIVATE},    /* 224/4: multicast */
  {0xf0000000, 4, GN_ADDRESS_PRIVATE}     /* 240/4: reserved, broadcast */
};

/* The first that fits counts; what fits none is not in use. */
static const struct network6 networks6[] = {
  {{0}, 128, GN_ADDRESS_LOOPBACK},                    /* :: */
  {{[15] = 1}, 128, GN_ADDRESS_LOOPBACK},             /* ::1 */
  {{0xfe, 0x80}, 10, GN_ADDRESS_LINK_LOCAL},          /* fe80::/10 */
  {{0x20, 0x01}, 23, GN_ADDRESS_PRIVATE},             /* 2001::/23: Teredo */
  {{0x20, 0x01, 0x0d, 0xb8}, 32, GN_ADDRESS_PRIVATE}, /* documents */
  {{0x3f, 0xff}, 20, GN_ADDRESS_PRIVATE},             /* documents */
  {{0x20}, 3, GN_ADDRESS_PUBLIC}                      /* 2000::/3 */
};

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
static const unsigned char nat64[12] = {0x00, 0x64, 0xff, 0x9b};
static const unsigned char sixtofour[2] = {0x20, 0x02};

static enum gn_address_class classify4(uint32_t address) {
  size_t i;
  for (i = 0; i < sizeof networks4 / sizeof *networks4; i++) {
    const struct network4 *n = &networks4[i];
    if (((address ^ n->address) >> (32 - n->bits)) == 0)
      return n->class;
  }
  return GN_ADDRESS_PUBLIC;
}

static int in_network6(const unsigned char *a, const struct network6 *n) {
  unsigned whole = n->bits / 8, rest = n->bits % 8;
  if (memcmp(a, n->address, whole) != 0)
    return 0;
  return rest == 0 || ((a[whole] ^ n->address[whole]) >> (8 - rest)) == 0;
}

static uint32_t read4(const unsigned char *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
         (uint32_t)p[2] << 8 | p[3];
}

static enum gn_address_class unless_public(enum gn_address_class c) {
  return c == GN_ADDRESS_PUBLIC ? GN_ADDRESS_PRIVATE : c;
}

static enum gn_address_class classify6(const unsigned char *a) {
  size_t i;
  if (memcmp(a, sixtofour, sizeof sixtofour) == 0)
    return unless_public(classify4(read4(a + 2)));
  for (i = 0; i < sizeof networks6 / sizeof *networks6; i++) {
    if (in_network6(a, &networks6[i]))
      return networks6[i].class;
  }
  if (memcmp(a, nat64, sizeof nat64) == 0)
    return classify4(read4(a + 12));
  if (memcmp(a, mapped, sizeof mapped) == 0)
    return unless_public(classify4(read4(a + 12)));
  return GN_ADDRESS_PRIVATE;
}

enum gn_address_class gn_address_classify(const struct sockaddr *sa) {
  /* Copied out, since the caller's bytes need not be aligned. */
  if (sa->sa_family == AF_INET) {
    struct sockaddr_in in;
    memcpy(&in, sa, sizeof in);
    return classify4(ntohl(in.sin_addr.s_addr));
  }
  if (sa->sa_family == AF_INET6) {
    struct sockaddr_in6 in6;
    memcpy(&in6, sa, sizeof in6);
    return classify6(in6.sin6_addr.s6_addr);
  }
  return GN_ADDRESS_PRIVATE;
}

enum gn_address_class gn_address_of_host(const char *host) {
  struct in_addr in;
  struct in6_addr in6;
  char bare[64];
  size_t len = strlen(host);
  bool brackets = len > 2 && host[0] == '[' && host[len - 1] == ']';
  if (brackets)
    len -= 2;
  if (len >= sizeof bare)
    return GN_ADDRESS_PUBLIC;
  memcpy(bare, host + brackets, len);
  bare[len] = '\0';
  if (inet_pton(AF_INET, bare, &in) == 1)
    return classify4(ntohl(in.s_addr));
  if (inet_pton(AF_INET6, bare, &in6) == 1)
    return classify6(in6.s6_addr);
  return GN_ADDRESS_PUBLIC;
}

const char *gn_address_class_name(enum gn_address_class c) {
  switch (c) {
  case GN_ADDRESS_PUBLIC:
    return "public";
  case GN_ADDRESS_LOOPBACK:
    return "loopback";
  case GN_ADDRESS_LINK_LOCAL:
    return "link-local";
  case GN_ADDRESS_PRIVATE:
    break;
  }
  return "private";
}

/* Owns: a name server that never answers, as a program sees it: preloaded,
 * every look-up of a name that begins with "silent" takes half a minute.
 * Must not: change any other look-up.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int look_up(const char *, const char *, const struct addrinfo *,
                    struct addrinfo **);

int getaddrinfo(const char *node, const char *service,
                const struct addrinfo *hints, struct addrinfo **found) {
  look_up *real;
  void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
  memcpy(&real, &symbol, sizeof real);
  if (node && strncmp(node, "silent", 6) == 0) {
    sleep(30);
    return EAI_AGAIN;
  }
  return real(node, service, hints, found);
}

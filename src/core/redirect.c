/* Owns: which redirects are followed. Must not: send; the exchange does.
 */
#include "redirect.h"

#include "alloc.h"
#include "exchange_parts.h"

#include <string.h>

/* A signed URL with a session's token in it passes 2 KB. */
#define LONGEST_LOCATION 8192

/* Any other method would have to change, or send its body once more. */
static bool is_read(const struct gn_request *r) {
  return r->reads || strcmp(r->method, "HEAD") == 0;
}

int gn_redirect_follow(struct gn_exchange *x, struct gn_error *err) {
  const char *location;
  char *text, *target = NULL;
  struct gn_origin origin, from;
  size_t len;
  bool may;
  int rc;
  long status = x->result->status;
  /* "See Other" is what a server says that took the request. */
  enum gn_kind kind =
      status == 303 && !x->request->safe ? GN_IN_DOUBT : GN_PROTOCOL;
  if (status != 301 && status != 302 && status != 303 && status != 307 &&
      status != 308)
    return 0;
  location = gn_headers_find(&x->result->headers, "Location", &len);
  if (!location || len == 0 || len > LONGEST_LOCATION)
    return gn_error_set(err, kind, "redirect",
                        "HTTP %ld without a usable Location", status);
  text = gn_strndup(location, len);
  if (!text)
    return gn_error_memory(err);
  rc = gn_url_resolve(gn_exchange_url(x), text, &target, err);
  gn_free(text);
  if (rc != 0 || gn_url_origin(target, &origin, err) != 0 ||
      gn_url_origin(gn_exchange_url(x), &from, err) != 0) {
    gn_free(target);
    if (err->kind == GN_MEMORY)
      return -1;
    return gn_error_set(err, kind, "redirect",
                        "HTTP %ld to something that is no http URL", status);
  }
  may = x->redirects_left > 0 && x->request->safe && is_read(x->request) &&
        (x->request->download || gn_url_same_origin(&origin, &from)) &&
        gn_exchange_scheme_ok(x, target);
  if (!may) {
    gn_free(target);
    return gn_error_set(err, kind, "redirect",
                        x->redirects_left <= 0 && x->request->redirects > 0
                            ? "too many redirects, the last to %s://%s"
                            : "HTTP redirect to %s://%s is not followed",
                        origin.scheme, origin.host);
  }
  x->redirects_left--;
  gn_free(x->url);
  x->url = target;
  return 1;
}

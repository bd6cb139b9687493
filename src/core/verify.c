/* Owns: at most two digests of one file. Must not: keep a byte of it.
 */
#include "posix.h"

#include "verify.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PIECE 65536

bool gn_verify_init(struct gn_verify *v, bool sha256, const char *hex) {
  memset(v, 0, sizeof *v);
  v->server.check = v->found.check = v->wrong.check = GN_CHECK_COUNT;
  v->caller.check = GN_CHECK_COUNT;
  v->sha256 = sha256 || *hex;
  return !*hex || gn_sum_parse(&v->caller, GN_CHECK_SHA256, hex);
}

void gn_verify_free(struct gn_verify *v) {
  gn_digest_free(v->digests[0]);
  gn_digest_free(v->digests[1]);
  v->digests[0] = v->digests[1] = NULL;
}

int gn_verify_start(struct gn_verify *v, struct gn_error *err) {
  bool both = v->server.check == GN_CHECK_SHA256;
  gn_verify_free(v);
  v->found.check = GN_CHECK_COUNT;
  if (v->server.check < GN_CHECK_COUNT &&
      !(v->digests[0] = gn_digest_new(v->server.check, err)))
    return -1;
  if (v->sha256 && !both &&
      !(v->digests[1] = gn_digest_new(GN_CHECK_SHA256, err)))
    return -1;
  return 0;
}

int gn_verify_update(struct gn_verify *v, const void *data, size_t len,
                     struct gn_error *err) {
  size_t i;
  for (i = 0; i < 2; i++)
    if (v->digests[i] && gn_digest_update(v->digests[i], data, len, err) != 0)
      return -1;
  return 0;
}

int gn_verify_file(struct gn_verify *v, int fd, struct gn_error *err) {
  static const char reading[] = "the file could not be read again: errno %d";
  unsigned char piece[PIECE];
  off_t at = 0;
  if (!v->digests[0] && !v->digests[1])
    return 0;
  for (;;) {
    ssize_t n = pread(fd, piece, sizeof piece, at);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return gn_error_set(err, GN_FILE, "EIO", reading, errno);
    if (n == 0)
      return 0;
    if (gn_verify_update(v, piece, (size_t)n, err) != 0)
      return -1;
    at += n;
  }
}

static int compare(struct gn_verify *v, const struct gn_sum *found,
                   const struct gn_sum *wanted, const char *who,
                   struct gn_error *err) {
  char is[2 * GN_CHECK_SIZE + 1], should[2 * GN_CHECK_SIZE + 1];
  if (wanted->check == GN_CHECK_COUNT || gn_sum_equal(found, wanted))
    return 0;
  v->same_wrong = gn_sum_equal(found, &v->wrong);
  v->wrong = *found;
  gn_sum_hex(found, is, sizeof is);
  gn_sum_hex(wanted, should, sizeof should);
  return gn_error_set(err, GN_PROTOCOL, "checksum",
                      "the file's %s is %s, %s says %s",
                      gn_check_name(found->check), is, who, should);
}

int gn_verify_finish(struct gn_verify *v, struct gn_error *err) {
  struct gn_sum first;
  int rc = 0;
  first.check = GN_CHECK_COUNT;
  if (v->digests[0])
    rc = gn_digest_final(v->digests[0], &first, err);
  if (first.check == GN_CHECK_SHA256)
    v->found = first;
  if (rc == 0 && v->digests[1])
    rc = gn_digest_final(v->digests[1], &v->found, err);
  gn_verify_free(v);
  if (rc != 0 || compare(v, &first, &v->server, "the server", err) != 0)
    return -1;
  return compare(v, &v->found, &v->caller, "the caller", err);
}

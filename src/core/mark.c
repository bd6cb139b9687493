/* Owns: which parameters of a URL only sign it, and the few lines of a .meta
 * file. A file that ends without its last line was not written to its end.
 * Must not: decide whether to resume.
 */
#include "posix.h"

#include "mark.h"

#include "alloc.h"
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define FIRST_LINE "garner part 1\n"
#define LAST_LINE "end\n"
#define ROOM 1024

/* Beginnings, as the object stores of Amazon (and those that speak its
 * language), Google, Alibaba, Tencent, Microsoft and CloudFront have them. */
static const char *const signing[] = {
  "x-amz-", "x-goog-", "x-oss-", "q-sign", "q-ak", "q-key-time",
  "q-header-list", "q-url-param-list", "expires=", "signature=",
  "awsaccesskeyid=", "googleaccessid=", "ossaccesskeyid=", "security-token=",
  "key-pair-id=", "policy=", "sig=", NULL,
};

/* Microsoft's are so short that they mean this only beside a "sig". */
static const char *const beside_sig[] = {
  "se=", "st=", "sp=", "sv=", "sr=", "skoid=", "sktid=", "skt=", "ske=",
  "sks=", "skv=", NULL,
};

static bool begins(const char *parameter, const char *const *words) {
  for (; *words; words++)
    if (strncasecmp(parameter, *words, strlen(*words)) == 0)
      return true;
  return false;
}

static bool has_sig(const char *url) {
  return strstr(url, "&sig=") || strstr(url, "?sig=");
}

/* The URL that stays the same when its file is asked for anew. */
static int hash_source(struct gn_digest *d, const char *url,
                       struct gn_error *err) {
  const char *p = url;
  size_t len = strcspn(url, "?#");
  bool azure = has_sig(url);
  int rc = gn_digest_update(d, url, len, err);
  p += len;
  while (rc == 0 && (*p == '?' || *p == '&')) {
    len = 1 + strcspn(p + 1, "&#");
    if (!begins(p + 1, signing) && !(azure && begins(p + 1, beside_sig)))
      rc = gn_digest_update(d, p, len, err);
    p += len;
  }
  return rc;
}

int gn_mark_init(struct gn_mark *m, const char *url, struct gn_error *err) {
  struct gn_digest *d = gn_digest_new(GN_CHECK_SHA256, err);
  int rc = -1;
  memset(m, 0, sizeof *m);
  m->total = -1;
  m->sum.check = GN_CHECK_COUNT;
  if (d && hash_source(d, url, err) == 0)
    rc = gn_digest_final(d, &m->source, err);
  gn_digest_free(d);
  return rc;
}

void gn_mark_set_etag(struct gn_mark *m, const char *value, size_t len) {
  size_t i;
  *m->etag = '\0';
  if (len < 2 || len >= sizeof m->etag || *value != '"' ||
      value[len - 1] != '"')
    return;
  for (i = 1; i < len - 1; i++) {
    unsigned char c = (unsigned char)value[i];
    if (c <= ' ' || c == '"' || c == 127)
      return;
  }
  memcpy(m->etag, value, len);
  m->etag[len] = '\0';
}

static int write_all(int fd, const char *text, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, text, len);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return errno;
    text += n;
    len -= (size_t)n;
  }
  return 0;
}

int gn_mark_save(const struct gn_mark *m, const char *path) {
  char text[ROOM], boot[64], source[2 * GN_CHECK_SIZE + 1];
  char sum[2 * GN_CHECK_SIZE + 1];
  int fd, rc, len;
  gn_boot_id(boot, sizeof boot);
  gn_sum_hex(&m->source, source, sizeof source);
  gn_sum_hex(&m->sum, sum, sizeof sum);
  len = snprintf(text, sizeof text,
                 FIRST_LINE "boot %s\nsource %s\ntotal %" PRId64
                 "\nsum %d %s\netag %s\n" LAST_LINE,
                 boot, source, m->total, (int)m->sum.check, sum, m->etag);
  /* Another name's file must not be written through a link. */
  unlink(path);
  fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0)
    return errno;
  rc = write_all(fd, text, (size_t)len);
  if (close(fd) != 0 && rc == 0)
    rc = errno;
  if (rc != 0)
    unlink(path);
  return rc;
}

/* The rest of the line that begins with a word; NULL: the line is another. */
static char *take_line(char **text, const char *word) {
  char *line = *text, *end = strchr(line, '\n');
  size_t len = strlen(word);
  if (!end || strncmp(line, word, len) != 0)
    return NULL;
  *end = '\0';
  *text = end + 1;
  return line + len;
}

static bool take_sum(struct gn_sum *sum, const char *line) {
  char *end;
  long check = strtol(line, &end, 10);
  sum->check = GN_CHECK_COUNT;
  if (check < 0 || check > GN_CHECK_COUNT || *end != ' ')
    return false;
  return check == GN_CHECK_COUNT
             ? end[1] == '\0'
             : gn_sum_parse(sum, (enum gn_check)check, end + 1);
}

static bool parse(struct gn_mark *m, char *text) {
  const char *boot, *source, *total, *sum, *etag;
  char now[64];
  gn_boot_id(now, sizeof now);
  if (!take_line(&text, "garner part 1") ||
      !(boot = take_line(&text, "boot ")) ||
      !(source = take_line(&text, "source ")) ||
      !(total = take_line(&text, "total ")) ||
      !(sum = take_line(&text, "sum ")) ||
      !(etag = take_line(&text, "etag ")) || strcmp(text, LAST_LINE) != 0)
    return false;
  m->total = strtoll(total, NULL, 10);
  gn_mark_set_etag(m, etag, strlen(etag));
  return *boot && strcmp(boot, now) == 0 && m->total >= -1 &&
         take_sum(&m->sum, sum) && *m->etag &&
         gn_sum_parse(&m->source, GN_CHECK_SHA256, source);
}

bool gn_mark_load(struct gn_mark *m, const char *path) {
  char text[ROOM];
  struct gn_mark found;
  ssize_t n = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  memset(&found, 0, sizeof found);
  if (fd >= 0) {
    n = read(fd, text, sizeof text - 1);
    close(fd);
  }
  text[n > 0 ? n : 0] = '\0';
  if (n <= 0 || !parse(&found, text) ||
      !gn_sum_equal(&found.source, &m->source))
    return false;
  *m = found;
  return true;
}

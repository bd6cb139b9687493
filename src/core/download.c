/* Owns: RFC 9110's range requests as far as one download needs them: one range
 * to the end of the file, and only with a strong validator. Must not: join what
 * is not surely of one file.
 */
#include "download.h"

#include "alloc.h"
#include "body.h"
#include "clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define RESTARTS 2
#define TELL_MS 250

struct gn_download *gn_download_new(const struct gn_request *r,
                                    struct gn_error *err) {
  struct gn_download *d = gn_alloc_zero(sizeof *d);
  if (!d) {
    gn_error_memory(err);
    return NULL;
  }
  d->resume = r->resume && r->safe && strcmp(r->method, "GET") == 0;
  d->total = -1;
  if (!gn_verify_init(&d->verify, r->sha256, r->sha256_hex)) {
    gn_error_set(err, GN_INVALID, "sha256",
                 "a sha256 has 64 hexadecimal digits");
    goto fail;
  }
  d->sink = gn_sink_new_file(r->file, r->download ? r->max_body : 0, err);
  if (!d->sink || gn_mark_init(&d->mark, r->url, err) != 0)
    goto fail;
  return d;
fail:
  gn_download_free(d);
  return NULL;
}

void gn_download_free(struct gn_download *d) {
  if (!d)
    return;
  gn_sink_free(d->sink);
  gn_verify_free(&d->verify);
  gn_free(d);
}

/* A whole .part (killed before its rename) is asked for its last byte. */
static uint64_t where_to_go_on(struct gn_download *d) {
  uint64_t have = gn_sink_size(d->sink);
  if (!d->resume)
    return 0;
  if (!d->looked)
    have = gn_sink_recall(d->sink, &d->mark);
  d->looked = true;
  if (!*d->mark.etag || have == 0)
    return 0;
  if (d->mark.total < 0 || have < (uint64_t)d->mark.total)
    return have;
  return have == (uint64_t)d->mark.total ? have - 1 : 0;
}

static void forget(struct gn_download *d) {
  *d->mark.etag = '\0';
  d->mark.total = -1;
  d->mark.sum.check = GN_CHECK_COUNT;
}

int gn_download_prepare(struct gn_download *d, struct gn_error *err) {
  d->refused = d->verified = false;
  d->total = -1;
  d->resumed = 0;
  if (gn_sink_open(d->sink, err) != 0)
    return -1;
  d->asked = where_to_go_on(d);
  if (d->asked > 0)
    return 0;
  forget(d);
  return gn_sink_start(d->sink, 0, NULL, NULL, err);
}

bool gn_download_lines(const struct gn_download *d, char *range, size_t cap,
                       char *if_range, size_t if_cap) {
  if (d->asked == 0)
    return false;
  snprintf(range, cap, "Range: bytes=%" PRIu64 "-", d->asked);
  snprintf(if_range, if_cap, "If-Range: %s", d->mark.etag);
  return true;
}

static int misfit(struct gn_download *d, const char *why,
                  struct gn_error *err) {
  d->refused = true;
  return gn_error_set(err, GN_PROTOCOL, "range",
                      "the part that was sent does not fit what is there: %s",
                      why);
}

static bool read_number(const char **p, const char *end, int64_t *out) {
  const char *start = *p;
  for (*out = 0; *p < end && **p >= '0' && **p <= '9'; ++*p) {
    if (*out > (INT64_MAX - 9) / 10)
      return false;
    *out = *out * 10 + (**p - '0');
  }
  return *p > start;
}

/* "bytes FIRST-LAST/TOTAL"; the total must be told. */
static bool read_range(const char *p, size_t len, int64_t *first,
                       int64_t *last, int64_t *total) {
  const char *end = p + len;
  if (len < 6 || strncasecmp(p, "bytes ", 6) != 0)
    return false;
  p += 6;
  if (!read_number(&p, end, first) || p == end || *p++ != '-' ||
      !read_number(&p, end, last) || p == end || *p++ != '/' ||
      !read_number(&p, end, total) || p != end)
    return false;
  return *first <= *last && *last < *total;
}

static int go_on(struct gn_download *d, const struct gn_buf *headers,
                 struct gn_error *err) {
  int64_t first, last, total;
  size_t len;
  const char *value = gn_headers_find(headers, "Content-Range", &len);
  if (d->asked == 0)
    return gn_error_set(err, GN_PROTOCOL, "incomplete",
                        "a part was sent where the whole file was asked for");
  if (!value || !read_range(value, len, &first, &last, &total))
    return misfit(d, "it does not say which it is", err);
  if (first != (int64_t)d->asked)
    return misfit(d, "it begins elsewhere", err);
  if (d->mark.total >= 0 && total != d->mark.total)
    return misfit(d, "the file has another size now", err);
  value = gn_headers_find(headers, "ETag", &len);
  if (!value || len != strlen(d->mark.etag) ||
      memcmp(value, d->mark.etag, len) != 0)
    return misfit(d, "the file has another validator", err);
  if (gn_body_coding(headers) != GN_CODING_IDENTITY)
    return misfit(d, "it is encoded", err);
  if (gn_sink_room(d->sink, (uint64_t)(total - first), err) != 0)
    return -1;
  if (d->mark.sum.check == GN_CHECK_COUNT)
    gn_sum_read(&d->mark.sum, headers, true);
  d->mark.total = d->total = total;
  d->resumed = d->asked;
  d->verify.server = d->mark.sum;
  return gn_sink_start(d->sink, d->asked, &d->mark, &d->verify, err);
}

/* A checksum of a body that is unpacked on the way would be of other bytes; its
 * own trailer must do. */
static int start(struct gn_download *d, const struct gn_buf *headers,
                 int64_t length, struct gn_error *err) {
  const char *etag;
  size_t len;
  forget(d);
  if (gn_body_coding(headers) == GN_CODING_IDENTITY) {
    d->mark.total = length;
    gn_sum_read(&d->mark.sum, headers, false);
    etag = gn_headers_find(headers, "ETag", &len);
    if (d->resume && etag)
      gn_mark_set_etag(&d->mark, etag, len);
  } else {
    d->verified = true;
  }
  d->total = d->mark.total;
  d->verify.server = d->mark.sum;
  if (gn_sink_start(d->sink, 0, &d->mark, &d->verify, err) != 0)
    return -1;
  return d->total > 0 ? gn_sink_room(d->sink, (uint64_t)d->total, err) : 0;
}

int gn_download_response(struct gn_download *d, long status,
                         const struct gn_buf *headers, int64_t length,
                         struct gn_error *err) {
  return status == 206 ? go_on(d, headers, err)
                       : start(d, headers, length, err);
}

void gn_download_tell(struct gn_download *d) {
  int64_t now;
  if (!d->progress || gn_sink_size(d->sink) == 0)
    return;
  now = gn_now_ms();
  if (d->told_at != 0 && now - d->told_at < TELL_MS)
    return;
  d->told_at = now;
  d->progress(d->owner, gn_sink_size(d->sink), d->total);
}

int gn_download_end(struct gn_download *d, bool framed, struct gn_error *err) {
  int64_t size = (int64_t)gn_sink_size(d->sink);
  if (d->total >= 0 && size < d->total)
    return gn_error_set(err, GN_PROTOCOL, "incomplete",
                        "%" PRId64 " of %" PRId64 " bytes came", size,
                        d->total);
  if (d->total >= 0 && size > d->total)
    return misfit(d, "it is longer than it says", err);
  d->verified = d->verified || framed || d->total >= 0 ||
                d->verify.server.check < GN_CHECK_COUNT ||
                d->verify.caller.check < GN_CHECK_COUNT;
  return 0;
}

void gn_download_distrust(struct gn_download *d) {
  forget(d);
  gn_sink_distrust(d->sink);
}

bool gn_download_restarts(struct gn_download *d, long status) {
  if (d->asked == 0 || (!d->refused && status != 416))
    return false;
  forget(d);
  return d->restarts++ < RESTARTS;
}

bool gn_download_spoiled(struct gn_download *d) {
  forget(d);
  return !d->verify.same_wrong;
}

void gn_download_facts(const struct gn_download *d, struct gn_result *r) {
  r->file_size = gn_sink_size(d->sink);
  r->resumed = d->resumed;
  r->verified = d->verified;
  gn_sum_hex(&d->verify.found, r->sha256, sizeof r->sha256);
}

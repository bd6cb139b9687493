/* Owns: the list of what was measured with libcurl 7.88 (an answer that ends in
 * its header lines is a success there, a long header line "out of memory").
 * Must not: be needed: with no match, libcurl's own code stays.
 */
#include "framing.h"

#include "request.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static void say(const struct gn_framing *f, const char *text) {
  snprintf(f->text, CURL_ERROR_SIZE, "%s", text);
}

/* One decimal number, or many that are the same (RFC 9112, 6.3). */
static bool read_lengths(const char *value, size_t len, int64_t *seen) {
  size_t i = 0;
  while (i < len) {
    int64_t n = 0;
    size_t digits = 0;
    for (; i < len && value[i] >= '0' && value[i] <= '9'; i++, digits++) {
      if (n > (INT64_MAX - 9) / 10)
        return false;
      n = n * 10 + (value[i] - '0');
    }
    if (digits == 0 || (*seen >= 0 && *seen != n))
      return false;
    *seen = n;
    while (i < len && (value[i] == ' ' || value[i] == '\t'))
      i++;
    if (i < len && value[i] != ',')
      return false;
    while (i < len && (value[i] == ',' || value[i] == ' ' || value[i] == '\t'))
      i++;
  }
  return *seen >= 0;
}

static bool is(const char *text, size_t len, const char *word) {
  return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

/* Which of two lengths is the true one is a guess; libcurl takes the last. And
 * what it does not unpack, it gives as it is. */
const char *gn_framing_contradiction(const struct gn_buf *headers) {
  const char *name, *value;
  size_t pos = 0, name_len, len, encodings = 0;
  int64_t seen = -1;
  bool lengths = true;
  while (gn_headers_next(headers, &pos, &name, &name_len, &value, &len)) {
    if (is(name, name_len, "Transfer-Encoding") &&
        !is(value, len, "identity")) {
      if (encodings++ > 0 || !is(value, len, "chunked"))
        return "the Transfer-Encoding is not chunked";
    } else if (is(name, name_len, "Content-Length")) {
      lengths = lengths && read_lengths(value, len, &seen);
    }
  }
  /* Beside chunks no length counts. */
  return lengths || encodings > 0
             ? NULL : "the Content-Length is no number, or several that differ";
}

static CURLcode complete(const struct gn_framing *f) {
  const char *wrong;
  if (!f->head_ended) {
    say(f, "the connection ended within the header lines");
    return CURLE_PARTIAL_FILE;
  }
  wrong = f->plain ? NULL : gn_framing_contradiction(f->headers);
  if (wrong)
    say(f, wrong);
  return wrong ? CURLE_WEIRD_SERVER_REPLY : CURLE_OK;
}

static bool says(const struct gn_framing *f, const char *words) {
  return strstr(f->text, words) != NULL;
}

CURLcode gn_framing_result(const struct gn_framing *f) {
  switch ((int)f->rc) {
  case CURLE_OK:
    return complete(f);
  case CURLE_OUT_OF_MEMORY:
  case GN_CURLE_TOO_LARGE:
    /* The buffer of a line has a limit of its own, 100 KB. */
    if (!f->answering || f->head_ended)
      return f->rc;
    say(f, "a header line is longer than libcurl takes");
    return (CURLcode)GN_CURLE_TOO_LARGE;
  case CURLE_RECV_ERROR:
    if (says(f, "response headers"))
      return (CURLcode)GN_CURLE_TOO_LARGE;
    /* Damaged on the way as often as not: what is cut is judged so too. */
    return says(f, "chunked-encoding") ? CURLE_PARTIAL_FILE : f->rc;
  case CURLE_SSL_CONNECT_ERROR:
    /* Nothing is wrong with the peer's TLS: the connection broke. */
    return says(f, "SSL_ERROR_SYSCALL") || says(f, "reset by peer") ||
                   says(f, "unexpected eof")
               ? CURLE_COULDNT_CONNECT : f->rc;
  default:
    return f->rc;
  }
}

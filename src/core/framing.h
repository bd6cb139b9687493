/* Owns: what libcurl lets pass in the framing of a response, and what it calls
 * by another name: one result code that means what happened.
 * Must not: read a body, or know of handles.
 */
#ifndef GN_FRAMING_H
#define GN_FRAMING_H

#include "buf.h"

#include <curl/curl.h>
#include <stdbool.h>

/* libcurl's own limits on header lines; CURLE_TOO_LARGE, where it has that. */
#define GN_CURLE_TOO_LARGE 100

struct gn_framing {
  CURLcode rc;                  /* libcurl's result */
  const struct gn_buf *headers; /* the last header block */
  bool answering;               /* a byte of the response came */
  bool head_ended;              /* the block's empty line came */
  bool plain;                   /* nothing in it can contradict itself */
  char *text;                   /* libcurl's words, CURL_ERROR_SIZE; ours */
};

/* Why nobody can tell where the body of that header block ends; NULL: well. */
const char *gn_framing_contradiction(const struct gn_buf *headers);
/* The result to judge by; f->text is replaced where libcurl had no words. */
CURLcode gn_framing_result(const struct gn_framing *f);

#endif

/* Owns: one easy handle on the wire: its options, the header block and the body
 * that come back, and the limits on both.
 * Must not: decide anything about the outcome; the exchange does. Nothing that
 * libcurl calls back here does more than copy bytes.
 */
#ifndef GN_ATTEMPT_H
#define GN_ATTEMPT_H

#include "body.h"
#include "download.h"
#include "policy.h"
#include "request.h"
#include "retry.h"
#include "stats.h"

#include <curl/curl.h>

struct gn_attempt {
  CURL *easy;                       /* NULL: not on the wire */
  struct curl_slist *lines;         /* request header lines, wiped at the end */
  struct gn_buf *headers;           /* where header lines go (the result's) */
  struct gn_sink *memory;           /* where a body goes (the result's) */
  struct gn_download *file;         /* where a good body goes, or NULL */
  struct gn_policy *policy;         /* borrowed from the exchange */
  size_t header_bytes;              /* all header lines so far, every kind */
  bool head_ended;                  /* the header block is whole */
  bool body_started;                /* trailers are not headers */
  bool deflate;                     /* the request asks for that coding */
  struct gn_body body;              /* on its way to one of the two */
  bool check_address;               /* the server supplied this URL */
  bool blocked;                     /* the address policy said no */
  bool uses_proxy;                  /* sockets lead to a proxy */
  bool own;                         /* the URL is at an own origin */
  bool base;                        /* the URL is at the base URL's origin */
  uint64_t setup;                   /* the policy the handle is set up for */
  CURLcode setopt_rc;               /* the first option that failed */
  struct gn_error sink_error;       /* why the body could not be kept */
  uint64_t received;                /* body bytes after decoding */
  struct gn_counters *counters;     /* hear of sockets */
  long connects;                    /* connections made, -1: none was there */
  bool has_credential;              /* the first of the lines is it */
  long supplied;                    /* status of what no wire brought */
  bool to_file;                     /* this body goes to the file */
  struct gn_buf copy;               /* of it as it came, for a recording */
  bool copy_cut;                    /* it was too long for that */
  char text[CURL_ERROR_SIZE];       /* libcurl's own words */
};

/* What an exchange asks for with one attempt. */
struct gn_attempt_plan {
  const struct gn_request *request; /* what to send; outlives the attempt */
  struct gn_policy *policy;         /* the client's settings */
  const char *url;                  /* the request's, or a redirect's */
  bool foreign;                     /* no credential, no client header */
  bool check_address;               /* private addresses are refused */
  int64_t timeout_ms;               /* until the deadline; 0: none */
  struct gn_result *result;         /* headers and body go here */
  struct gn_download *file;         /* a good body goes here, or NULL */
  struct gn_counters *counters;     /* outlive the connections */
};

/* What a handle can stay set up for between the requests of one client to its
 * own base: the policy's serial; 0 for any other request. */
uint64_t gn_attempt_setup(const struct gn_attempt_plan *plan);
/* Fills `easy` so that it can be added to a multi handle. setup: what it is set
 * up for; if that is not what this plan needs, it starts from nothing. */
int gn_attempt_prepare(struct gn_attempt *a, CURL *easy, uint64_t setup,
                       const struct gn_attempt_plan *plan,
                       struct gn_error *err);
/* The same without a handle and without the credential: somebody else will
 * bring the response. */
int gn_attempt_stage(struct gn_attempt *a, const struct gn_attempt_plan *plan,
                     struct gn_error *err);
/* A response from there: CURLE_WRITE_ERROR where a limit or the sink ended it,
 * as sink_error says. */
CURLcode gn_attempt_feed(struct gn_attempt *a, long status,
                         const char *headers, size_t headers_len,
                         const char *body, size_t body_len);
/* After libcurl finished with rc: what it brought, the body's own codes too. */
void gn_attempt_outcome(struct gn_attempt *a, CURLcode rc,
                        struct gn_outcome *o);
/* Lets go of everything but the easy handle, which is returned with what it is
 * still set up for. */
CURL *gn_attempt_release(struct gn_attempt *a, uint64_t *setup);

#endif

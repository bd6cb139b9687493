/* Owns: one easy handle on the wire: its options, the header block and the body
 * that come back, and the limits on both.
 * Must not: decide anything about the outcome; the exchange does. Nothing that
 * libcurl calls back here does more than copy bytes.
 */
#ifndef GN_ATTEMPT_H
#define GN_ATTEMPT_H

#include "body.h"
#include "download.h"
#include "lines.h"
#include "policy.h"
#include "request.h"
#include "retry.h"
#include "rows.h"
#include "setup.h"
#include "stats.h"

#include <curl/curl.h>

struct gn_exchange;

/* Used for one attempt after the other: a handle that is set up is worth
 * keeping. libcurl knows its address, and that of its text. */
struct gn_attempt {
  struct gn_attempt *next;          /* in the engine's list of idle ones */
  struct gn_setup setup;            /* the handle and its options */
  struct gn_lines lines;            /* request header lines */
  char text[CURL_ERROR_SIZE];       /* libcurl's own words */
  struct gn_error sink_error;       /* why the body could not be kept */
  struct gn_buf head;               /* header lines of the response */
  /* From here on: of one use; all zeros before it. */
  struct gn_exchange *exchange;     /* whose it is */
  struct gn_buf *headers;           /* where they end up (the result's) */
  struct gn_sink *memory;           /* where a body goes (the result's) */
  struct gn_download *file;         /* where a good body goes, or NULL */
  struct gn_rows *rows;             /* who gets a good body, or NULL */
  struct gn_policy *policy;         /* borrowed from the exchange */
  uint64_t serial;                  /* what the handle may stay set up for */
  size_t header_bytes;              /* all header lines so far, every kind */
  unsigned marks;                   /* of the header lines (see head.h) */
  bool live;                        /* by libcurl, not by who asks */
  bool head_ended;                  /* the header block is whole */
  bool body_started;                /* trailers are not headers */
  bool deflate;                     /* the request asks for that coding */
  struct gn_body body;              /* on its way to one of the two */
  bool check_address;               /* the server supplied this URL */
  bool blocked;                     /* the address policy said no */
  int connected;                    /* our port, once a connection is there */
  bool uses_proxy;                  /* sockets lead to a proxy */
  bool own;                         /* the URL is at an own origin */
  bool base;                        /* the URL is at the base URL's origin */
  CURLcode setopt_rc;               /* the first option that failed */
  uint64_t received;                /* body bytes after decoding */
  struct gn_counters *counters;     /* hear of sockets */
  long connects;                    /* connections made, -1: none was there */
  bool has_credential;              /* the first of the lines is it */
  long status;                      /* of the response, 0: not known yet */
  bool to_file;                     /* this body goes to the file */
  struct gn_buf copy;               /* of it as it came, for a recording; of
                                       rows: of what was unpacked */
  bool copy_cut;                    /* it was too long for that */
};

/* What an exchange asks for with one attempt. */
struct gn_attempt_plan {
  struct gn_exchange *exchange;     /* whose attempt it is */
  const struct gn_request *request; /* what to send; outlives the attempt */
  struct gn_policy *policy;         /* the client's settings */
  const char *url;                  /* the request's, or a redirect's */
  bool at_base;                     /* the base URL's origin, by its letters */
  bool foreign;                     /* no credential, no client header */
  bool check_address;               /* private addresses are refused */
  int64_t timeout_ms;               /* until the deadline; 0: none */
  struct gn_result *result;         /* headers and body go here */
  struct gn_download *file;         /* a good body goes here, or NULL */
  struct gn_rows *rows;             /* it is given to these, or NULL */
  struct gn_counters *counters;     /* outlive the connections */
};

struct gn_attempt *gn_attempt_new(void); /* NULL: out of memory */
void gn_attempt_free(struct gn_attempt *a); /* after its release; or NULL */
/* Sets its handle up so that it can be added to a multi handle. */
int gn_attempt_prepare(struct gn_attempt *a,
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
/* Of a body that is not kept, a part goes to the recording, if there is one. */
void gn_attempt_copy(struct gn_attempt *a, const char *data, size_t len);
/* After libcurl finished with rc: what it brought, the body's own codes too. */
void gn_attempt_outcome(struct gn_attempt *a, CURLcode rc,
                        struct gn_outcome *o);
/* Lets go of everything but the handle. text and sink_error stay as they are
 * until the next use. */
void gn_attempt_release(struct gn_attempt *a);
/* Files come as they are, so that they can be resumed. */
bool gn_attempt_is_for_file(const struct gn_attempt_plan *plan);

#endif

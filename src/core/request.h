/* Owns: one request as its submitter described it, and the result as its waiter
 * gets it. Both are plain data with one owner at a time, but for a request that
 * several have a reference to: nobody changes that any more.
 * Must not: act.
 */
#ifndef GN_REQUEST_H
#define GN_REQUEST_H

#include "buf.h"
#include "error.h"
#include "sink.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gn_request {
  atomic_uint refs;     /* who has it, on any thread */
  char *method;         /* "GET" */
  char *url;            /* absolute */
  char **headers;       /* "Name: value" lines, own origin only */
  size_t header_count;  /* how many */
  char *body;           /* or NULL */
  size_t body_len;      /* its bytes */
  char *file;           /* a good body goes to this path, or NULL */
  char *scope;          /* the access scope that it needs, or NULL */
  char *rows;           /* a good body is given as the rows of the list at this
                           JSON path; NULL: as it is */
  bool reads;           /* the method is GET */
  bool posts;           /* the method is POST or PUT */
  bool safe;            /* sending it twice does no harm */
  bool download;        /* a server-supplied URL of a file */
  bool server_url;      /* a server-supplied URL of an API page */
  int redirects;        /* how many may be followed */
  int64_t timeout_ms;   /* 0: the policy's; downloads have none */
  unsigned attempts;    /* 0: the policy's */
  size_t max_body;      /* 0: the policy's; of a download: none; with rows:
                           bytes of one row */
  bool resume;          /* what there is of the file already is kept */
  bool progress;        /* of the file is to be told */
  bool sha256;          /* the file's is wanted */
  char sha256_hex[65];  /* what it must be, or "" */
};

/* One attempt, or a wait for the rate before one, as the result tells it. */
struct gn_record {
  long status;     /* HTTP status, 0 if none */
  char code[48];   /* what went wrong, "" if nothing did */
  char why[64];    /* what for, or why no more (see retry.h) */
  double waited;   /* seconds waited before the next attempt */
  double elapsed;  /* seconds on the wire, below 0: this is a wait */
};

#define GN_RECORDS_FIRST 4 /* for which there is always room */
#define GN_RECORDS_MAX 64

struct gn_result {
  struct gn_error error;            /* kind GN_OK: a good response */
  bool retryable;                   /* the error may go away by itself */
  double retry_after;               /* seconds the server asked for, or -1 */
  long status;                      /* HTTP status of the last response */
  struct gn_buf headers;            /* its header lines, CRLF between */
  struct gn_sink *body;             /* its body in memory, or NULL */
  struct gn_tape *tape;             /* the body's values, or NULL */
  char *file;                       /* where the body went, or NULL */
  uint64_t file_size;               /* bytes in that file */
  uint64_t resumed;                 /* those that were there before */
  bool verified;                    /* the file is surely whole */
  char sha256[65];                  /* the file's, if it was wanted, or "" */
  struct gn_record *records;        /* the attempts, oldest first, or NULL */
  size_t record_count;              /* how many */
  double elapsed;                   /* seconds from submit to the end */
  bool server_url;                  /* its URL came from the server */
  char *next;                       /* what asks for the page after, or NULL */
  bool last;                        /* a page that has none after it */
  char *id;                         /* a polled report's id, or NULL */
  char state[16];                   /* a polled report's state */
  struct gn_request *request;       /* what was sent, or NULL; of its URL show
                                     * gn_result_url only */
};

struct gn_request *gn_request_new(const char *method, const char *url,
                                  struct gn_error *err);
int gn_request_add_header(struct gn_request *r, const char *name,
                          size_t name_len, const char *value, size_t value_len,
                          struct gn_error *err);
/* Replaces the header of that name, or adds it. */
int gn_request_set_header(struct gn_request *r, const char *name,
                          const char *value, struct gn_error *err);
int gn_request_set_body(struct gn_request *r, const char *body, size_t len,
                        struct gn_error *err);
int gn_request_set_file(struct gn_request *r, const char *path,
                        struct gn_error *err);
int gn_request_set_scope(struct gn_request *r, const char *scope,
                         struct gn_error *err);
int gn_request_set_rows(struct gn_request *r, const char *path,
                        struct gn_error *err);
int gn_request_set_url(struct gn_request *r, const char *url,
                       struct gn_error *err);
struct gn_request *gn_request_copy(const struct gn_request *r,
                                   struct gn_error *err);
/* One more owner, who frees it, too. */
struct gn_request *gn_request_ref(struct gn_request *r);
void gn_request_free(struct gn_request *r);
/* Its method has a body, if only an empty one. */
bool gn_request_carries_body(const struct gn_request *r);

struct gn_result *gn_result_new(void);
void gn_result_free(struct gn_result *r);
/* One more, of zeros. Beyond the maximum, or where memory ran out, the oldest
 * makes room. */
struct gn_record *gn_result_add_record(struct gn_result *r);
/* The URL fit for messages, "" if there is none. */
void gn_result_url(const struct gn_result *r, char *out, size_t cap);
const char *gn_result_body(const struct gn_result *r, size_t *len);
/* True if one of its own headers has the name that the line begins with. */
bool gn_request_has_header(const struct gn_request *r, const char *line);
/* Walks a header block. *pos starts at 0; 1: a header, 0: the end. */
int gn_headers_next(const struct gn_buf *block, size_t *pos, const char **name,
                    size_t *name_len, const char **value, size_t *value_len);
/* The first header of that name, NULL if there is none. */
const char *gn_headers_find(const struct gn_buf *block, const char *name,
                            size_t *len);

#endif

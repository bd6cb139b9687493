/* Owns: what the bare programs of the benchmarks share: kept headers and body
 * of a response, the options of a request, the clocks, and the line that tells
 * the result.
 * Must not: use anything of garner.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct kept {
  char *data;      /* what came, with a NUL behind it */
  size_t len;      /* bytes of it */
  size_t capacity; /* bytes allocated */
};

struct lap {
  double cpu;  /* seconds of the process, user and system, all threads */
  double wall; /* seconds of the monotonic clock */
};

static inline size_t keep(char *data, size_t size, size_t count, void *arg) {
  struct kept *k = arg;
  size_t len = size * count;
  if (k->len + len + 1 > k->capacity) {
    size_t capacity = (k->len + len + 1) * 2;
    char *grown = realloc(k->data, capacity);
    if (!grown)
      return 0;
    k->data = grown;
    k->capacity = capacity;
  }
  memcpy(k->data + k->len, data, len);
  k->len += len;
  k->data[k->len] = '\0';
  return len;
}

/* What a careful program sets; all of it, for each request. */
static inline void prepare(CURL *easy, const char *url, struct kept *headers,
                           struct kept *body) {
  headers->len = body->len = 0;
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, keep);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, headers);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
  curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
}

/* 0, or -1 with a message: the answer must be a 200 of `size` bytes; with 0,
 * of any. */
static inline int answered(CURL *easy, CURLcode code, const struct kept *body,
                           size_t size) {
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  if (code == CURLE_OK && status == 200 && (size == 0 || body->len == size))
    return 0;
  fprintf(stderr, "a request failed: %s, status %ld, %zu bytes\n",
          curl_easy_strerror(code), status, body->len);
  return -1;
}

static inline double seconds(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline struct lap lap_begin(void) {
  struct lap l = {seconds(CLOCK_PROCESS_CPUTIME_ID), seconds(CLOCK_MONOTONIC)};
  return l;
}

static inline void lap_end(struct lap l, long n) {
  printf("n=%ld cpu=%.6f wall=%.6f\n", n,
         seconds(CLOCK_PROCESS_CPUTIME_ID) - l.cpu,
         seconds(CLOCK_MONOTONIC) - l.wall);
}

#endif

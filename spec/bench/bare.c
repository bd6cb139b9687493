/* Owns: the reference of the benchmarks: sequential GETs with libcurl's easy
 * interface on one connection, keeping headers and body, nothing else.
 * Must not: use anything of garner.
 *
 * bare URL COUNT -> prints "<CPU seconds> <wall seconds>" for COUNT requests.
 */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct kept {
  char *data;      /* what came */
  size_t len;      /* bytes of it */
  size_t capacity; /* bytes allocated */
};

static size_t keep(char *data, size_t size, size_t count, void *arg) {
  struct kept *k = arg;
  size_t len = size * count;
  if (k->len + len > k->capacity) {
    char *grown = realloc(k->data, (k->len + len) * 2);
    if (!grown)
      return 0;
    k->data = grown;
    k->capacity = (k->len + len) * 2;
  }
  memcpy(k->data + k->len, data, len);
  k->len += len;
  return len;
}

static double seconds(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int get(CURL *easy, const char *url, struct kept *headers,
               struct kept *body) {
  long status = 0;
  headers->len = body->len = 0;
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, keep);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, headers);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
  curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  if (curl_easy_perform(easy) != CURLE_OK)
    return -1;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  return status == 200 ? 0 : -1;
}

int main(int argc, char **argv) {
  struct kept headers = {0}, body = {0};
  long i, count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
  double cpu, wall;
  int rc = 1;
  CURL *easy;
  if (count < 1) {
    fprintf(stderr, "usage: bare URL COUNT\n");
    return 2;
  }
  curl_global_init(CURL_GLOBAL_DEFAULT);
  easy = curl_easy_init();
  if (!easy || get(easy, argv[1], &headers, &body) != 0)
    goto fail;
  cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
  wall = seconds(CLOCK_MONOTONIC);
  for (i = 0; i < count; i++)
    if (get(easy, argv[1], &headers, &body) != 0)
      goto fail;
  printf("%.6f %.6f\n", seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu,
         seconds(CLOCK_MONOTONIC) - wall);
  rc = 0;
fail:
  if (rc != 0)
    fprintf(stderr, "bare: a request failed\n");
  curl_easy_cleanup(easy);
  free(headers.data);
  free(body.data);
  return rc;
}

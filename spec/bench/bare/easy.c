/* Owns: the reference of sequential requests: GETs with libcurl's easy
 * interface on one connection, keeping headers and body, nothing else.
 * Must not: use anything of garner.
 *
 * easy URL COUNT BYTES -> prints n=COUNT cpu=SECONDS wall=SECONDS
 */
#define _GNU_SOURCE
#include "common.h"

static int get(CURL *easy, const char *url, struct kept *headers,
               struct kept *body, size_t size) {
  prepare(easy, url, headers, body);
  return answered(easy, curl_easy_perform(easy), body, size);
}

int main(int argc, char **argv) {
  struct kept headers = {0}, body = {0};
  long i, count = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
  size_t size = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
  struct lap lap;
  int rc = 1;
  CURL *easy;
  if (count < 1) {
    fprintf(stderr, "usage: easy URL COUNT BYTES\n");
    return 2;
  }
  curl_global_init(CURL_GLOBAL_DEFAULT);
  easy = curl_easy_init();
  if (!easy)
    goto fail;
  for (i = 0; i < 100; i++)
    if (get(easy, argv[1], &headers, &body, size) != 0)
      goto fail;
  lap = lap_begin();
  for (i = 0; i < count; i++)
    if (get(easy, argv[1], &headers, &body, size) != 0)
      goto fail;
  lap_end(lap, count);
  rc = 0;
fail:
  curl_easy_cleanup(easy);
  free(headers.data);
  free(body.data);
  return rc;
}

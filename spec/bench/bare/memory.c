/* Owns: the reference of memory per idle client: easy handles that have done a
 * request each and keep their connection.
 * Must not: use anything of garner.
 *
 * memory URL CLIENTS -> prints n=CLIENTS cpu=SECONDS wall=SECONDS kib=NUMBER
 */
#define _GNU_SOURCE
#include "common.h"
#include <unistd.h>

static double resident_kib(void) {
  long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f)
    return 0;
  if (fscanf(f, "%*d %ld", &pages) != 1)
    pages = 0;
  fclose(f);
  return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static CURL *client(const char *url) {
  struct kept headers = {0}, body = {0};
  CURL *easy = curl_easy_init();
  if (easy) {
    prepare(easy, url, &headers, &body);
    if (answered(easy, curl_easy_perform(easy), &body, 0) != 0) {
      curl_easy_cleanup(easy);
      easy = NULL;
    }
  }
  free(headers.data);
  free(body.data);
  return easy;
}

int main(int argc, char **argv) {
  long i, count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
  CURL **all;
  double before;
  struct lap lap;
  int rc = 1;
  if (count < 1) {
    fprintf(stderr, "usage: memory URL CLIENTS\n");
    return 2;
  }
  curl_global_init(CURL_GLOBAL_DEFAULT);
  all = calloc((size_t)count + 1, sizeof *all);
  if (!all || !(all[count] = client(argv[1])))
    goto fail;
  before = resident_kib();
  lap = lap_begin();
  for (i = 0; i < count; i++)
    if (!(all[i] = client(argv[1])))
      goto fail;
  printf("kib=%.3f ", (resident_kib() - before) / (double)count);
  lap_end(lap, count);
  rc = 0;
fail:
  for (i = 0; all && i <= count; i++)
    curl_easy_cleanup(all[i]);
  free(all);
  return rc;
}

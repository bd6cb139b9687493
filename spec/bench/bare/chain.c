/* Owns: the reference of the page chain: libcurl's easy interface on one
 * connection, each page decoded whole by cJSON, the token followed.
 * Must not: use anything of garner.
 *
 * chain URL PAGES ITEMS [WORK_MS] -> prints n=PAGES cpu=SECONDS wall=SECONDS
 * ITEMS: how many each page must have; WORK_MS: what the caller does per page.
 */
#define _GNU_SOURCE
#include "common.h"
#include <cjson/cJSON.h>

struct walk {
  CURL *easy;          /* the one connection */
  struct kept headers; /* of the latest answer */
  struct kept body;    /* likewise */
  char url[1024];      /* of the page to come */
  const char *first;   /* the URL of the first page */
  int items;           /* what a page must have */
};

/* 1: there is a next page, 0: that was the last one, -1: failed. */
static int page(struct walk *w) {
  cJSON *root, *items, *token;
  int rc = -1;
  prepare(w->easy, w->url, &w->headers, &w->body);
  if (answered(w->easy, curl_easy_perform(w->easy), &w->body, 0) != 0)
    return -1;
  root = cJSON_ParseWithLength(w->body.data, w->body.len);
  items = cJSON_GetObjectItemCaseSensitive(root, "items");
  token = cJSON_GetObjectItemCaseSensitive(root, "nextPageToken");
  if (!root || cJSON_GetArraySize(items) != w->items)
    fprintf(stderr, "chain: not the page that was expected\n");
  else if (!token)
    rc = 0;
  else if (cJSON_IsString(token))
    rc = snprintf(w->url, sizeof w->url, "%s%ctoken=%s", w->first,
                  strchr(w->first, '?') ? '&' : '?', token->valuestring) <
                 (int)sizeof w->url
             ? 1
             : -1;
  cJSON_Delete(root);
  return rc;
}

/* Computes until that much of this thread's own time has gone by. */
static void work(double milliseconds) {
  double end = seconds(CLOCK_THREAD_CPUTIME_ID) + milliseconds / 1e3;
  while (seconds(CLOCK_THREAD_CPUTIME_ID) < end)
    ;
}

static int walk(struct walk *w, long pages, double work_ms) {
  long i;
  snprintf(w->url, sizeof w->url, "%s", w->first);
  for (i = 1; i <= pages; i++) {
    int more = page(w);
    if (more < 0)
      return -1;
    if (work_ms > 0)
      work(work_ms);
    if (!more && i < pages) {
      fprintf(stderr, "chain: ended after %ld pages\n", i);
      return -1;
    }
  }
  return 0;
}

int main(int argc, char **argv) {
  struct walk w = {0};
  long pages = argc >= 4 ? strtol(argv[2], NULL, 10) : 0;
  double work_ms = argc == 5 ? atof(argv[4]) : 0;
  struct lap lap;
  int rc = 1;
  if (pages < 1 || argc > 5) {
    fprintf(stderr, "usage: chain URL PAGES ITEMS [WORK_MS]\n");
    return 2;
  }
  w.first = argv[1];
  w.items = atoi(argv[3]);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  w.easy = curl_easy_init();
  if (!w.easy || walk(&w, pages < 5 ? pages : 5, 0) != 0)
    goto fail;
  lap = lap_begin();
  if (walk(&w, pages, work_ms) != 0)
    goto fail;
  lap_end(lap, pages);
  rc = 0;
fail:
  curl_easy_cleanup(w.easy);
  free(w.headers.data);
  free(w.body.data);
  return rc;
}

/* Owns: the reference of requests side by side: GETs on one multi handle, K in
 * flight with an easy handle each, keeping headers and body, nothing else.
 * Must not: use anything of garner.
 *
 * multi URL COUNT K BYTES [CA_FILE [1.1|2]]
 *   -> prints n=COUNT cpu=SECONDS wall=SECONDS connections=N
 */
#define _GNU_SOURCE
#include "common.h"

struct transfer {
  CURL *easy;          /* its handle, used again for each of its requests */
  struct kept headers; /* of its latest answer */
  struct kept body;    /* likewise */
};

struct run {
  CURLM *multi;          /* holds them all */
  struct transfer *all;  /* K of them */
  int in_flight;         /* K */
  const char *url;       /* what is asked for */
  size_t size;           /* bytes each body must have */
  const char *ca_file;   /* or NULL */
  const char *version;   /* "1.1", "2" or NULL */
  long connections;      /* opened so far */
};

static int start(struct run *r, struct transfer *t) {
  prepare(t->easy, r->url, &t->headers, &t->body);
  curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
  if (r->ca_file) {
    curl_easy_setopt(t->easy, CURLOPT_CAINFO, r->ca_file);
    curl_easy_setopt(t->easy, CURLOPT_CAPATH, NULL);
  }
  if (r->version && strcmp(r->version, "2") == 0) {
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION,
                     (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(t->easy, CURLOPT_PIPEWAIT, 1L);
  } else {
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION,
                     (long)CURL_HTTP_VERSION_1_1);
  }
  return curl_multi_add_handle(r->multi, t->easy) == CURLM_OK ? 0 : -1;
}

/* Takes what has ended; starts as many again while `left` says so. */
static int take(struct run *r, long *left, long *open) {
  CURLMsg *m;
  int rest;
  while ((m = curl_multi_info_read(r->multi, &rest))) {
    CURL *easy = m->easy_handle;
    CURLcode code = m->data.result;
    struct transfer *t = NULL;
    long made = 0;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
    curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &made);
    r->connections += made;
    if (answered(easy, code, &t->body, r->size) != 0)
      return -1;
    curl_multi_remove_handle(r->multi, easy);
    --*open;
    if (*left > 0) {
      if (start(r, t) != 0)
        return -1;
      --*left;
      ++*open;
    }
  }
  return 0;
}

static int get_all(struct run *r, long count) {
  long left = count, open = 0;
  int i, running;
  for (i = 0; i < r->in_flight && left > 0; i++, left--, open++)
    if (start(r, &r->all[i]) != 0)
      return -1;
  while (open > 0) {
    if (curl_multi_perform(r->multi, &running) != CURLM_OK ||
        take(r, &left, &open) != 0)
      return -1;
    if (open > 0 && curl_multi_poll(r->multi, NULL, 0, 1000, NULL) != CURLM_OK)
      return -1;
  }
  return 0;
}

int main(int argc, char **argv) {
  struct run r = {0};
  long count = argc >= 5 ? strtol(argv[2], NULL, 10) : 0, before;
  struct lap lap;
  int i, rc = 1;
  if (count < 1 || argc > 7 || (r.in_flight = atoi(argv[3])) < 1) {
    fprintf(stderr, "usage: multi URL COUNT K BYTES [CA_FILE [1.1|2]]\n");
    return 2;
  }
  r.url = argv[1];
  r.size = strtoul(argv[4], NULL, 10);
  r.ca_file = argc > 5 && argv[5][0] ? argv[5] : NULL;
  r.version = argc > 6 ? argv[6] : NULL;
  curl_global_init(CURL_GLOBAL_DEFAULT);
  r.multi = curl_multi_init();
  r.all = calloc((size_t)r.in_flight, sizeof *r.all);
  if (!r.multi || !r.all)
    goto fail;
  curl_multi_setopt(r.multi, CURLMOPT_MAXCONNECTS, (long)r.in_flight);
  for (i = 0; i < r.in_flight; i++)
    if (!(r.all[i].easy = curl_easy_init()))
      goto fail;
  if (get_all(&r, r.in_flight) != 0 || get_all(&r, 100) != 0)
    goto fail;
  before = r.connections;
  lap = lap_begin();
  if (get_all(&r, count) != 0)
    goto fail;
  printf("connections=%ld ", r.connections - before);
  lap_end(lap, count);
  rc = 0;
fail:
  for (i = 0; r.all && i < r.in_flight; i++) {
    if (r.all[i].easy)
      curl_multi_remove_handle(r.multi, r.all[i].easy);
    curl_easy_cleanup(r.all[i].easy);
    free(r.all[i].headers.data);
    free(r.all[i].body.data);
  }
  free(r.all);
  curl_multi_cleanup(r.multi);
  return rc;
}

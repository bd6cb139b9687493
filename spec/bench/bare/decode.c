/* Owns: cJSON beside the decoders of the other languages: one document decoded
 * again and again.
 * Must not: use anything of garner.
 *
 * decode FILE TIMES -> prints n=TIMES cpu=SECONDS wall=SECONDS
 */
#define _GNU_SOURCE
#include "common.h"
#include <cjson/cJSON.h>

static char *read_file(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  char *text = NULL;
  long size;
  if (!f)
    return NULL;
  if (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) > 0 &&
      fseek(f, 0, SEEK_SET) == 0 && (text = malloc((size_t)size))) {
    *len = fread(text, 1, (size_t)size, f);
    if (*len != (size_t)size) {
      free(text);
      text = NULL;
    }
  }
  fclose(f);
  return text;
}

static int decode(const char *text, size_t len) {
  cJSON *root = cJSON_ParseWithLength(text, len);
  if (!root)
    return -1;
  cJSON_Delete(root);
  return 0;
}

int main(int argc, char **argv) {
  long i, times = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
  size_t len = 0;
  struct lap lap;
  char *text;
  if (times < 1) {
    fprintf(stderr, "usage: decode FILE TIMES\n");
    return 2;
  }
  text = read_file(argv[1], &len);
  if (!text || decode(text, len) != 0) {
    fprintf(stderr, "decode: %s: cannot be read or is not JSON\n", argv[1]);
    free(text);
    return 1;
  }
  lap = lap_begin();
  for (i = 0; i < times; i++)
    decode(text, len);
  lap_end(lap, times);
  free(text);
  return 0;
}

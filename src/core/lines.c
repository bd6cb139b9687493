/* Owns: the nodes. Must not: use libcurl's own lists, which copy each line.
 */
#include "lines.h"

#include "alloc.h"
#include "auth.h"

#include <string.h>
#include <strings.h>

static struct curl_slist *nodes_of(const struct gn_lines *l) {
  return l->more ? l->more : (struct curl_slist *)l->usual;
}

static int grow(struct gn_lines *l) {
  size_t room = (l->room ? l->room : GN_LINES_USUAL) * 2;
  struct curl_slist *grown = gn_realloc(l->more, room * sizeof *grown);
  if (!grown)
    return -1;
  if (!l->more)
    memcpy(grown, l->usual, l->count * sizeof *grown);
  l->more = grown;
  l->room = room;
  return 0;
}

int gn_lines_add(struct gn_lines *l, const char *line, struct gn_error *err) {
  struct curl_slist *node;
  if (l->count >= (l->more ? l->room : GN_LINES_USUAL) && grow(l) != 0)
    return gn_error_memory(err);
  node = &nodes_of(l)[l->count++];
  node->data = (char *)line; /* libcurl only reads */
  node->next = NULL;
  return 0;
}

static void destroy(char *line) {
  gn_wipe(line, strlen(line));
  gn_free(line);
}

int gn_lines_take(struct gn_lines *l, char *line, struct gn_error *err) {
  if (!line)
    return gn_error_memory(err);
  if (gn_lines_add(l, line, err) != 0) {
    destroy(line);
    return -1;
  }
  l->owned[l->owned_count++] = line;
  return 0;
}

bool gn_lines_same_name(const char *line, const char *other) {
  size_t len = strcspn(line, ":;");
  return strncasecmp(line, other, len) == 0 &&
         (other[len] == ':' || other[len] == ';');
}

bool gn_lines_have(const struct gn_lines *l, const char *line) {
  size_t i;
  for (i = 0; i < l->count; i++)
    if (gn_lines_same_name(line, gn_lines_at(l, i)))
      return true;
  return false;
}

const char *gn_lines_at(const struct gn_lines *l, size_t i) {
  return nodes_of(l)[i].data;
}

struct curl_slist *gn_lines_list(struct gn_lines *l) {
  struct curl_slist *nodes = nodes_of(l);
  size_t i;
  for (i = 0; i + 1 < l->count; i++)
    nodes[i].next = &nodes[i + 1];
  return l->count > 0 ? nodes : NULL;
}

void gn_lines_clear(struct gn_lines *l) {
  while (l->owned_count > 0)
    destroy(l->owned[--l->owned_count]);
  gn_free(l->more);
  l->more = NULL;
  l->usual[0].data = NULL;
  l->usual[0].next = NULL;
  l->room = l->count = l->told = 0;
}

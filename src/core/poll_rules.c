/* Owns: making and freeing the rules of a poll, and what an answer means by
 * them. Must not: send anything.
 */
#include "poll_rules.h"

#include "alloc.h"

#include <stdio.h>
#include <string.h>

/* Bytes of a JSON string that holds nothing: its quotes. */
#define EMPTY_STRING 2

struct gn_poller_rules *gn_poller_rules_new(size_t items, size_t states) {
  struct gn_poller_rules *r = gn_alloc_zero(sizeof *r);
  if (!r)
    return NULL;
  r->items = gn_alloc_zero(items * sizeof *r->items);
  r->states = gn_alloc_zero(states * sizeof *r->states);
  r->item_count = items;
  r->state_count = states;
  if (!r->items || !r->states) {
    r->item_count = r->state_count = 0;
    gn_poller_rules_free(r);
    return NULL;
  }
  return r;
}

void gn_poller_rules_free(struct gn_poller_rules *r) {
  size_t i;
  if (!r)
    return;
  for (i = 0; i < r->item_count; i++) {
    gn_free(r->items[i].id);
    gn_free(r->items[i].fragment);
    gn_free(r->items[i].last);
  }
  for (i = 0; i < r->state_count; i++)
    gn_free(r->states[i].status);
  gn_free(r->items);
  gn_free(r->states);
  gn_free(r->prefix);
  gn_free(r->suffix);
  gn_free(r->query);
  gn_free(r->list);
  gn_free(r->id);
  gn_free(r->status);
  gn_free(r->uri);
  gn_free(r);
}

const char *gn_poll_state(const struct gn_poller_rules *r,
                          const struct gn_json_slice *status,
                          const struct gn_json_slice *uri) {
  const char *state = "unknown";
  size_t i;
  for (i = 0; i < r->state_count; i++)
    if (gn_json_equals(status, r->states[i].status))
      state = r->states[i].state;
  if (strcmp(state, "done") == 0 && r->uri &&
      (uri->type != GN_JSON_STRING || uri->len <= EMPTY_STRING))
    return "no_uri";
  return state;
}

bool gn_poll_ended(const char *state) {
  return strcmp(state, "done") == 0 || strcmp(state, "failed") == 0;
}

static bool is_odd(const char *state) {
  return strcmp(state, "unknown") == 0 || strcmp(state, "no_uri") == 0;
}

int gn_poll_item_keep(struct gn_poll_item *item, const char *state,
                      const struct gn_json_slice *element,
                      const struct gn_json_slice *status, bool *odd) {
  char *copy = gn_strndup(element->text, element->len);
  char start[sizeof item->odd];
  bool absent = status->type == GN_JSON_ABSENT;
  if (!copy)
    return -1;
  gn_free(item->last);
  item->last = copy;
  item->last_len = element->len;
  snprintf(item->state, sizeof item->state, "%s", state);
  snprintf(start, sizeof start, "%.*s",
           absent || status->len > sizeof start ? (int)sizeof start
                                                : (int)status->len,
           absent ? "-" : status->text);
  *odd = is_odd(state) && strcmp(start, item->odd) != 0;
  if (*odd)
    memcpy(item->odd, start, sizeof start);
  return 0;
}

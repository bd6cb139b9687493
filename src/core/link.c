/* Owns: the grammar of Link: targets in <>, parameters, quoted text, lists of
 * relations. Must not: be stricter than servers are where the meaning is plain.
 */
#include "link.h"

#include "alloc.h"
#include "request.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct text {
  const char *p; /* not NUL-terminated */
  size_t len;    /* its bytes */
};

static bool at(const struct text *t, char c) {
  return t->len > 0 && *t->p == c;
}

static void skip(struct text *t, size_t n) {
  t->p += n;
  t->len -= n;
}

static void skip_space(struct text *t) {
  while (at(t, ' ') || at(t, '\t'))
    skip(t, 1);
}

/* Up to the first byte of `ends`, which stays. */
static struct text take_until(struct text *t, const char *ends) {
  struct text part = {t->p, 0};
  while (t->len > 0 && !strchr(ends, *t->p)) {
    skip(t, 1);
    part.len++;
  }
  return part;
}

/* A quoted text keeps its backslashes: what is compared has none. */
static struct text take_value(struct text *t) {
  struct text part;
  if (!at(t, '"')) {
    part = take_until(t, ";, \t");
    return part;
  }
  skip(t, 1);
  part.p = t->p;
  part.len = 0;
  while (t->len > 0 && !at(t, '"')) {
    size_t n = at(t, '\\') && t->len > 1 ? 2 : 1;
    skip(t, n);
    part.len += n;
  }
  if (t->len > 0)
    skip(t, 1);
  return part;
}

static bool is(struct text t, const char *word) {
  return t.len == strlen(word) && strncasecmp(t.p, word, t.len) == 0;
}

/* Relations stand in one list, apart by spaces. */
static bool lists(struct text relations, const char *wanted) {
  while (relations.len > 0) {
    skip_space(&relations);
    if (is(take_until(&relations, " \t"), wanted))
      return true;
  }
  return false;
}

/* Takes one link; true if it is of the relation. */
static bool take_link(struct text *t, const char *relation,
                      struct text *target) {
  bool named = false, wanted = false, elsewhere = false;
  skip(t, 1);
  *target = take_until(t, ">");
  if (t->len > 0)
    skip(t, 1);
  for (;;) {
    struct text name, value = {"", 0};
    skip_space(t);
    if (!at(t, ';'))
      break;
    skip(t, 1);
    skip_space(t);
    name = take_until(t, "=;, \t");
    skip_space(t);
    if (at(t, '=')) {
      skip(t, 1);
      skip_space(t);
      value = take_value(t);
    }
    if (is(name, "anchor") && value.len > 0)
      elsewhere = true;
    if (is(name, "rel") && !named) { /* only the first one counts */
      named = true;
      wanted = lists(value, relation);
    }
  }
  return wanted && !elsewhere;
}

static bool search(struct text t, const char *relation, struct text *target) {
  while (t.len > 0) {
    /* Anything else between links is none of ours. */
    take_until(&t, "<");
    if (at(&t, '<') && take_link(&t, relation, target))
      return true;
  }
  return false;
}

int gn_link_find(const struct gn_buf *headers, const char *relation,
                 char **out, struct gn_error *err) {
  const char *name, *value;
  size_t pos = 0, name_len, len;
  *out = NULL;
  while (gn_headers_next(headers, &pos, &name, &name_len, &value, &len)) {
    struct text t = {value, len}, target;
    if (name_len != 4 || strncasecmp(name, "Link", 4) != 0 ||
        !search(t, relation, &target))
      continue;
    *out = gn_strndup(target.p, target.len);
    return *out ? 1 : gn_error_memory(err);
  }
  return 0;
}

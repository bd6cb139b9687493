/* Owns: the text that was not taken yet, and how far the reader is in it. The
 * reader itself knows whole texts only: where one ends too early for it, it is
 * put back to before its last token and asked again when there is more.
 * Must not: read a byte twice because of how it arrived, but for such tokens.
 */
#include "json_split.h"

#include "alloc.h"
#include "json.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENTS 32
#define FIRST_ROOM (80 * 1024)
/* So near to the end a failure may only mean that the rest is not there yet:
 * two escapes that are one character have this length. */
#define LONGEST_LOOK 12
/* Tokens beyond this are tried again only when they have grown by a quarter:
 * one of many chunks would be read anew with each of them. */
#define SHORT_TOKEN 4096

enum place { BEFORE, INSIDE, BEHIND };

struct gn_json_split {
  struct gn_json_reader r;         /* its pointers count during a feed only */
  char *path;                      /* its dots are NULs */
  const char *segment[SEGMENTS];   /* parts of path */
  size_t number[SEGMENTS];         /* as indices, or (size_t)-1 */
  size_t index[SEGMENTS];          /* elements begun in arrays on the path */
  unsigned segments;               /* of the path */
  unsigned on_path;                /* open containers that the path leads to */
  bool matched;                    /* the value after this key is on it */
  bool null;                       /* that was there in the list's place */
  enum place place;                /* of the list, as seen from the reader */
  char *text;                      /* one spare byte, then what is kept */
  size_t len;                      /* bytes of text */
  size_t room;                     /* bytes allocated */
  size_t pos;                      /* in text: what the reader has read */
  size_t first;                    /* in text: the first whole element */
  size_t last;                     /* in text: beyond the last of them */
  size_t item;                     /* in text: the element that is open */
  bool open;                       /* there is one */
  size_t count;                    /* whole elements in text */
  size_t items;                    /* whole elements of the document so far */
  size_t again_at;                 /* length from which to try a token again */
  size_t before;                   /* bytes of the document before text[1] */
  size_t max;                      /* bytes that must be kept for one value */
  struct gn_error failure;         /* GN_OK: none so far */
};

void gn_batch_free(struct gn_batch *b) {
  if (!b)
    return;
  gn_free(b->memory);
  gn_free(b);
}

static size_t index_of(const char *text) {
  size_t len = strlen(text);
  if (len == 0 || len > 9 || (len > 1 && *text == '0') ||
      strspn(text, "0123456789") != len)
    return (size_t)-1;
  return (size_t)strtoul(text, NULL, 10);
}

static int split_path(struct gn_json_split *s, const char *path,
                      struct gn_error *err) {
  char *p;
  s->path = gn_strdup(path);
  if (!s->path)
    return gn_error_memory(err);
  for (p = s->path; *path && p; ) {
    char *dot = strchr(p, '.');
    if (s->segments == SEGMENTS)
      return gn_error_set(err, GN_INVALID, "path",
                          "a JSON path has more than %d parts", SEGMENTS);
    if (dot)
      *dot++ = '\0';
    s->number[s->segments] = index_of(p);
    s->segment[s->segments++] = p;
    p = dot;
  }
  return 0;
}

struct gn_json_split *gn_json_split_new(const char *path, size_t max,
                                        struct gn_error *err) {
  struct gn_json_split *s = gn_alloc_zero(sizeof *s);
  if (!s) {
    gn_error_memory(err);
    return NULL;
  }
  s->max = max;
  if (split_path(s, path, err) != 0) {
    gn_json_split_free(s);
    return NULL;
  }
  gn_json_split_reset(s);
  return s;
}

void gn_json_split_free(struct gn_json_split *s) {
  if (!s)
    return;
  gn_free(s->path);
  gn_free(s->text);
  gn_free(s);
}

void gn_json_split_reset(struct gn_json_split *s) {
  gn_json_reader_init(&s->r, "", 0, 0);
  s->on_path = 0;
  s->matched = s->null = s->open = false;
  s->place = BEFORE;
  s->len = s->pos = s->first = s->last = s->item = 1;
  s->count = s->items = s->again_at = s->before = 0;
  gn_error_clear(&s->failure);
}

/* The reader's failure as one of the whole document. */
static int fail_json(struct gn_json_split *s) {
  size_t at = (size_t)(s->r.p - s->text);
  return gn_error_set(&s->failure, GN_PROTOCOL, "json",
                      "not JSON: %s at byte %zu", s->r.message,
                      s->before + at);
}

static const char *name_of(enum gn_json_event event) {
  switch (event) {
  case GN_JSON_GET_OBJECT:
    return "an object";
  case GN_JSON_GET_STRING:
    return "text";
  case GN_JSON_GET_NUMBER:
    return "a number";
  default:
    return "a boolean";
  }
}

/* What an API leaves out where it has nothing has a code of its own. */
static int fail_no_list(struct gn_json_split *s, const char *code,
                        const char *found) {
  char path[200] = "";
  size_t used = 0;
  unsigned i;
  for (i = 0; i < s->segments && used < sizeof path; i++)
    used += (size_t)snprintf(path + used, sizeof path - used, "%s%s",
                             i ? "." : " at ", s->segment[i]);
  return gn_error_set(&s->failure, GN_PROTOCOL, code,
                      "expected a list%s, found %s", path, found);
}

static int fail_large(struct gn_json_split *s) {
  if (s->place == INSIDE)
    return gn_error_set(&s->failure, GN_TOO_LARGE, "item",
                        "item %zu is larger than %zu bytes", s->items + 1,
                        s->max);
  return gn_error_set(&s->failure, GN_TOO_LARGE, "item",
                      "a text beside the list is larger than %zu bytes",
                      s->max);
}

static bool is_array(const struct gn_json_reader *r, unsigned depth) {
  return !(r->objects[depth >> 3] >> (depth & 7) & 1);
}

/* At a key of an object that is on the path. */
static int match_key(struct gn_json_split *s) {
  const struct gn_json_reader *r = &s->r;
  const struct gn_json_slice key = {GN_JSON_STRING, r->token - 1,
                                    r->token_len + 2};
  unsigned depth = r->depth - 1;
  s->matched = depth < s->segments && gn_json_equals(&key, s->segment[depth]);
  /* Of equal keys the last one counts, but the list was given away. */
  if (!s->matched || s->place == BEFORE)
    return 0;
  return gn_error_set(&s->failure, GN_PROTOCOL, "json",
                      "the key \"%s\" comes twice, and with it the list",
                      s->segment[depth]);
}

/* A value begins, `around` containers are open about it, all on the path. */
static int follow_path(struct gn_json_split *s, enum gn_json_event event,
                       unsigned around, bool opens) {
  if (around > 0 && is_array(&s->r, around - 1))
    s->matched = around <= s->segments &&
                 s->index[around - 1]++ == s->number[around - 1];
  else if (around == 0)
    s->matched = true;
  if (!s->matched || s->place != BEFORE)
    return 0;
  s->matched = false;
  if (around == s->segments && event == GN_JSON_GET_ARRAY)
    s->place = INSIDE;
  else if (around == s->segments && event == GN_JSON_GET_NULL)
    s->null = true; /* good news only if the rest of the document is sound */
  else if (around == s->segments)
    return fail_no_list(s, "json", name_of(event));
  else if (opens && event == GN_JSON_GET_ARRAY)
    s->index[around] = 0;
  if (opens)
    s->on_path = around + 1;
  return 0;
}

static int end_item(struct gn_json_split *s) {
  size_t end = (size_t)(s->r.p - s->text);
  s->open = false;
  if (end - s->item > s->max)
    return fail_large(s);
  if (s->count++ == 0)
    s->first = s->item;
  s->last = end;
  s->items++;
  return 0;
}

/* Inside of the list: only where its elements begin and end is of interest. */
static int follow_items(struct gn_json_split *s, enum gn_json_event event) {
  const struct gn_json_reader *r = &s->r;
  unsigned list = s->segments + 1;
  bool opens = event == GN_JSON_GET_ARRAY || event == GN_JSON_GET_OBJECT;
  if (event >= GN_JSON_GET_ARRAY_END) {
    if (r->depth == list)
      return end_item(s);
    if (r->depth < list) {
      s->place = BEHIND;
      s->on_path = r->depth;
    }
    return 0;
  }
  if (r->depth - opens != list || event == GN_JSON_GET_KEY)
    return 0;
  s->item = (size_t)(r->token - s->text) - (event == GN_JSON_GET_STRING);
  s->open = opens;
  return opens ? 0 : end_item(s);
}

static int follow(struct gn_json_split *s, enum gn_json_event event) {
  const struct gn_json_reader *r = &s->r;
  bool opens = event == GN_JSON_GET_ARRAY || event == GN_JSON_GET_OBJECT;
  if (event >= GN_JSON_GET_ARRAY_END) {
    if (r->depth < s->on_path)
      s->on_path = r->depth;
    return 0;
  }
  if (event == GN_JSON_GET_KEY)
    return r->depth == s->on_path ? match_key(s) : 0;
  return r->depth - opens == s->on_path
             ? follow_path(s, event, s->on_path, opens) : 0;
}

/* The text ends here and the reader wants more. */
static int fail_early(struct gn_json_split *s) {
  size_t at = (size_t)(s->r.p - s->text);
  if (s->r.p < s->r.end || s->r.depth == 0)
    return fail_json(s);
  return gn_error_set(&s->failure, GN_PROTOCOL, "incomplete",
                      "the JSON text ends too early, after %zu bytes",
                      s->before + at - 1);
}

/* Inside an element, or of what is beside the path, no event is of interest. A
 * number that nothing stands behind may go on. */
static void skip(struct gn_json_split *s, bool final) {
  struct gn_json_reader *r = &s->r;
  const char *end = r->end;
  while (!final && r->end > r->p && strchr("0123456789.-+eE", r->end[-1]))
    r->end--;
  gn_json_skip(r);
  r->end = end;
}

/* Reads what there is. final: nothing comes after it. */
static int run(struct gn_json_split *s, bool final) {
  struct gn_json_reader *r = &s->r;
  r->text = s->text + 1;
  r->p = s->text + s->pos;
  r->end = s->text + s->len;
  for (;;) {
    const char *p;
    unsigned state;
    enum gn_json_event event;
    bool early;
    if (s->open || (s->place != INSIDE && r->depth > s->on_path))
      skip(s, final);
    p = r->p;
    state = r->state;
    event = gn_json_next(r);
    early = event == GN_JSON_GET_NUMBER && r->p == r->end;
    if (event == GN_JSON_GET_FAILED) {
      early = r->end - r->p < LONGEST_LOOK;
      if (final || !early)
        return final ? fail_early(s) : fail_json(s);
    }
    if (early && !final) {
      r->p = p;
      r->state = state;
      break;
    }
    if (event == GN_JSON_GET_END)
      break;
    if ((s->place == INSIDE ? follow_items(s, event) : follow(s, event)) != 0)
      return -1;
  }
  s->pos = (size_t)(r->p - s->text);
  return 0;
}

/* What is still needed of the text begins here. */
static size_t kept_from(const struct gn_json_split *s) {
  return s->count ? s->first : s->open ? s->item : s->pos;
}

static size_t less(size_t at, size_t n) {
  return at > n ? at - n : 1;
}

/* The first n bytes are gone: all places move. */
static void forget(struct gn_json_split *s, size_t n) {
  s->before += n;
  s->len -= n;
  s->pos -= n;
  s->again_at = less(s->again_at, n);
  s->first = less(s->first, n);
  s->last = less(s->last, n);
  s->item = less(s->item, n);
}

/* Moves what is needed to the beginning. */
static void drop_read(struct gn_json_split *s) {
  size_t from = kept_from(s);
  if (from == 1)
    return;
  memmove(s->text + 1, s->text + from, s->len - from);
  forget(s, from - 1);
}

static int make_room(struct gn_json_split *s, size_t len) {
  size_t room = s->room ? s->room : FIRST_ROOM;
  char *grown;
  if (len > (size_t)-1 / 4 - s->len)
    return gn_error_memory(&s->failure);
  while (room < s->len + len + 1)
    room *= 2;
  if (room == s->room)
    return 0;
  grown = gn_realloc(s->text, room);
  if (!grown)
    return gn_error_memory(&s->failure);
  s->text = grown;
  s->room = room;
  return 0;
}

/* Of one value, or text that is no whole token, only so much may wait. */
static bool is_too_large(const struct gn_json_split *s) {
  size_t from = s->open ? s->item : s->pos;
  return s->len - from > s->max && s->len - from > LONGEST_LOOK;
}

static int add(struct gn_json_split *s, const char *data, size_t len) {
  size_t left;
  if (s->len + len + 1 > s->room)
    drop_read(s);
  if (make_room(s, len) != 0)
    return -1;
  memcpy(s->text + s->len, data, len);
  s->len += len;
  if (s->len >= s->again_at) {
    if (run(s, false) != 0)
      return -1;
    left = s->len - s->pos;
    s->again_at = left > SHORT_TOKEN ? s->len + left / 4 : 0;
  }
  return is_too_large(s) ? fail_large(s) : 0;
}

static int result(const struct gn_json_split *s, struct gn_error *err) {
  if (s->failure.kind == GN_OK)
    return 0;
  *err = s->failure;
  return -1;
}

int gn_json_split_feed(struct gn_json_split *s, const char *data, size_t len,
                       struct gn_error *err) {
  if (s->failure.kind == GN_OK && len > 0)
    add(s, data, len);
  return result(s, err);
}

int gn_json_split_end(struct gn_json_split *s, struct gn_error *err) {
  if (s->failure.kind == GN_OK && make_room(s, 0) == 0 && run(s, true) == 0 &&
      s->place == BEFORE)
    fail_no_list(s, "no_items", s->null ? "null" : "nothing");
  return result(s, err);
}

size_t gn_json_split_ready(const struct gn_json_split *s) {
  return s->count ? s->last - s->first : 0;
}

int gn_json_split_take(struct gn_json_split *s, struct gn_batch **out,
                       struct gn_error *err) {
  struct gn_batch *b;
  size_t last = s->last, left = s->len - last, room = FIRST_ROOM;
  char *rest;
  *out = NULL;
  if (s->count == 0)
    return 0;
  while (room < left + 2)
    room *= 2;
  b = gn_alloc_zero(sizeof *b);
  rest = gn_alloc(room);
  if (!b || !rest) {
    gn_free(b);
    gn_free(rest);
    return gn_error_memory(err);
  }
  memcpy(rest + 1, s->text + last, left);
  /* The comma or bracket on either side is ours. */
  s->text[s->first - 1] = '[';
  s->text[last] = ']';
  b->memory = s->text;
  b->text = s->text + s->first - 1;
  b->len = last - s->first + 2;
  b->count = s->count;
  s->text = rest;
  s->room = room;
  s->count = 0;
  forget(s, last - 1);
  *out = b;
  return 0;
}

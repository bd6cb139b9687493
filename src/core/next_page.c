/* Owns: reading and asking by the rules of a walk. Must not: write JSON, but
 * for one text or number that is put into a body made elsewhere.
 */
#include "next_page.h"

#include "alloc.h"
#include "auth.h"
#include "json.h"
#include "link.h"
#include "tape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is picked out of a page; absent where the rules do not ask for it. */
struct found {
  struct gn_json_slice token; /* of GN_FROM_JSON */
  struct gn_json_slice more;  /* the flag */
  struct gn_json_slice items; /* the list */
};

uint64_t gn_page_hash(const char *text, size_t len) {
  uint64_t h = 1469598103934665603u;
  size_t i;
  for (i = 0; i < len; i++)
    h = (h ^ (unsigned char)text[i]) * 1099511628211u;
  return h ? h : 1;
}

/* ---- reading ---- */

/* Reads the page once: onto a tape where somebody wants its values, too. */
static int pick_paths(const struct gn_pager_rules *rules,
                      struct gn_result *page, const char *const *paths,
                      size_t n, struct gn_json_slice *out,
                      struct gn_error *err) {
  size_t len;
  const char *body = gn_result_body(page, &len);
  if (rules->tape && gn_tape_new(body, len, &page->tape, err) < 0)
    return -1;
  if (page->tape)
    return gn_tape_pick(page->tape, paths, n, out, err);
  if (n == 0)
    return gn_json_check(body, len, 0, err);
  return gn_json_pick(body, len, paths, n, out, err);
}

static int pick(const struct gn_pager_rules *rules, struct gn_result *page,
                struct found *f, struct gn_error *err) {
  const char *wanted[3], *paths[3];
  struct gn_json_slice *to[3], out[3];
  size_t i, n = 0;
  memset(f, 0, sizeof *f);
  wanted[0] = rules->from == GN_FROM_JSON ? rules->source : NULL;
  wanted[1] = rules->more;
  wanted[2] = rules->items;
  for (i = 0; i < 3; i++)
    if (wanted[i]) {
      paths[n] = wanted[i];
      to[n++] = i == 0 ? &f->token : i == 1 ? &f->more : &f->items;
    }
  if (pick_paths(rules, page, paths, n, out, err) != 0)
    return -1;
  for (i = 0; i < n; i++)
    *to[i] = out[i];
  return 0;
}

enum more { NOT_SAID, NO, YES };

static int read_more(const struct gn_json_slice *s, uint64_t n,
                     enum more *more, struct gn_error *err) {
  *more = NOT_SAID;
  if (s->type == GN_JSON_ABSENT || s->type == GN_JSON_NULL)
    return 0;
  if (s->type == GN_JSON_TRUE || gn_json_equals(s, "true") ||
      gn_json_equals(s, "1"))
    *more = YES;
  else if (s->type == GN_JSON_FALSE || gn_json_equals(s, "false") ||
           gn_json_equals(s, "0"))
    *more = NO;
  else
    return gn_error_set(err, GN_PROTOCOL, "shape",
                        "what tells of more pages on page %llu is neither "
                        "true nor false", (unsigned long long)n);
  return 0;
}

/* A JSON text for a body: the value of any other source, quoted. */
static int quote(const char *text, size_t len, char **out,
                 struct gn_error *err) {
  struct gn_buf b;
  enum gn_buf_status status;
  gn_buf_init(&b, GN_URL_MAX);
  status = gn_buf_append(&b, "\"", 1);
  while (len > 0 && status == GN_BUF_OK) {
    size_t n = gn_json_plain(text, len);
    unsigned char c = (unsigned char)*text;
    char code[8];
    if (n > 0) {
      status = gn_buf_append(&b, text, n);
    } else if (c < 0x80) {
      snprintf(code, sizeof code, "\\u%04x", c);
      status = gn_buf_append(&b, code, 6);
      n = 1;
    } else {
      gn_buf_free(&b);
      return gn_error_set(err, GN_PROTOCOL, "page_token",
                          "the next page's token is not UTF-8");
    }
    text += n;
    len -= n;
  }
  if (status == GN_BUF_OK)
    status = gn_buf_append(&b, "\"", 1);
  *out = status == GN_BUF_OK ? gn_buf_steal(&b) : NULL;
  gn_buf_free(&b);
  if (status == GN_BUF_FULL)
    return gn_error_set(err, GN_PROTOCOL, "page_token",
                        "the next page's token is too long");
  return *out ? 0 : gn_error_memory(err);
}

static int resolve(const char *here, const char *link, char **value,
                   struct gn_error *err) {
  if (gn_url_resolve(here, link, value, err) == 0)
    return 1;
  if (err->kind != GN_MEMORY)
    gn_error_set(err, GN_PROTOCOL, "link",
                 "the next page's link is no URL to follow");
  return -1;
}

/* A token's text in the form that asks for the page. */
static int shape(const struct gn_pager_rules *rules, const char *text,
                 size_t len, const char *here, char **value,
                 struct gn_error *err) {
  if (rules->to == GN_TO_URL)
    return resolve(here, text, value, err);
  if (rules->to == GN_TO_BODY)
    return quote(text, len, value, err) == 0 ? 1 : -1;
  *value = gn_strndup(text, len);
  return *value ? 1 : gn_error_memory(err);
}

static int from_json(const struct gn_pager_rules *rules,
                     const struct gn_json_slice *s, const char *here,
                     char **value, struct gn_error *err) {
  char *text = NULL;
  size_t len;
  int rc = 0;
  if (s->type == GN_JSON_ABSENT || s->type == GN_JSON_NULL ||
      s->type == GN_JSON_FALSE)
    return 0;
  if (s->type != GN_JSON_STRING && s->type != GN_JSON_NUMBER)
    return gn_error_set(err, GN_PROTOCOL, "page_token",
                        "the next page's token is neither text nor a number");
  if (gn_json_string(s, &text, &len, err) != 0)
    return -1;
  if (len == 0)
    rc = 0;
  else if (strlen(text) != len)
    rc = gn_error_set(err, GN_PROTOCOL, "page_token",
                      "the next page's token holds a NUL");
  else if (rules->to == GN_TO_BODY && s->type == GN_JSON_NUMBER)
    *value = text, rc = 1; /* a number stays one */
  else
    rc = shape(rules, text, len, here, value, err);
  if (*value != text)
    gn_free(text);
  return rc;
}

static int from_header(const struct gn_pager_rules *rules,
                       const struct gn_result *page, const char *here,
                       char **value, struct gn_error *err) {
  size_t len;
  const char *text = gn_headers_find(&page->headers, rules->source, &len);
  char *copy;
  int rc;
  if (!text || len == 0)
    return 0;
  copy = gn_strndup(text, len);
  if (!copy)
    return gn_error_memory(err);
  rc = shape(rules, copy, len, here, value, err);
  gn_free(copy);
  return rc;
}

static int from_link(const struct gn_pager_rules *rules,
                     const struct gn_result *page, const char *here,
                     char **value, struct gn_error *err) {
  char *target;
  int rc = gn_link_find(&page->headers, rules->source, &target, err);
  if (rc == 1)
    rc = resolve(here, target, value, err);
  gn_free(target);
  return rc;
}

static int repeated(const struct gn_pager_rules *rules,
                    const struct gn_page_count *c, uint64_t hash, uint64_t n,
                    struct gn_error *err) {
  uint64_t like = hash == c->last ? n - 1 : n - c->pages;
  if (rules->repeats == GN_REPEATS_END)
    return GN_PAGE_REPEATED;
  return gn_error_set(err, GN_PROTOCOL, "page_repeated",
                      "page %llu has the very items of page %llu: the server "
                      "does not heed the page's %s, or has no more pages",
                      (unsigned long long)n, (unsigned long long)like,
                      rules->from == GN_FROM_PAGE ? "number" : "offset");
}

/* Short pages are the last ones only where a page was seen to be full: a server
 * that gives fewer items than it was asked for would end every walk early. */
static bool is_last(const struct gn_pager_rules *rules,
                    const struct gn_page_count *c, enum more more,
                    uint64_t items) {
  if (more != NOT_SAID)
    return more == NO;
  return items == 0 || (c->full_first && items < rules->size);
}

static int from_count(const struct gn_pager_rules *rules,
                      struct gn_page_count *c, const struct found *f,
                      enum more more, uint64_t n, char **value,
                      struct gn_error *err) {
  const struct gn_json_slice *list = &f->items;
  uint64_t items = 0, hash;
  char number[32];
  if (list->type == GN_JSON_ARRAY)
    items = gn_json_count(list);
  else if (list->type != GN_JSON_ABSENT && list->type != GN_JSON_NULL)
    return gn_error_set(err, GN_PROTOCOL, "shape", "'%s' of page %llu is no "
                        "list", rules->items, (unsigned long long)n);
  hash = items > 0 ? gn_page_hash(list->text, list->len) : 0;
  if (hash && rules->repeats != GN_REPEATS_ALLOW &&
      (hash == c->last || hash == c->first))
    return repeated(rules, c, hash, n, err);
  if (c->pages++ == 0) {
    c->full_first = rules->size > 0 && items == rules->size;
    c->first = hash;
  }
  c->last = hash;
  if (is_last(rules, c, more, items))
    return 0;
  if (rules->from == GN_FROM_OFFSET && items == 0)
    return gn_error_set(err, GN_PROTOCOL, "shape",
                        "page %llu says that there are more, but has no items "
                        "to count on from", (unsigned long long)n);
  c->at += rules->from == GN_FROM_OFFSET ? items : 1;
  snprintf(number, sizeof number, "%llu", (unsigned long long)c->at);
  *value = gn_strdup(number);
  return *value ? 1 : gn_error_memory(err);
}

int gn_next_page_find(const struct gn_pager_rules *rules,
                      struct gn_page_count *count,
                      struct gn_result *page, uint64_t n, const char *here,
                      char **value, struct gn_error *err) {
  struct found f;
  enum more more;
  int rc;
  *value = NULL;
  if (pick(rules, page, &f, err) != 0 ||
      read_more(&f.more, n, &more, err) != 0)
    return -1;
  if (rules->from == GN_FROM_PAGE || rules->from == GN_FROM_OFFSET)
    return from_count(rules, count, &f, more, n, value, err);
  if (more == NO)
    return 0;
  if (rules->from == GN_FROM_JSON)
    rc = from_json(rules, &f.token, here, value, err);
  else if (rules->from == GN_FROM_HEADER)
    rc = from_header(rules, page, here, value, err);
  else
    rc = from_link(rules, page, here, value, err);
  if (rc == 0 && more == YES)
    return gn_error_set(err, GN_PROTOCOL, "page_token",
                        "page %llu says that there are more, but not where",
                        (unsigned long long)n);
  return rc;
}

/* ---- asking ---- */

/* What comes from outside (a checkpoint) must be one JSON text or number. */
static int check_json(const char *value, struct gn_error *err) {
  static const char *const whole = "";
  struct gn_json_slice s;
  if (gn_json_pick(value, strlen(value), &whole, 1, &s, NULL) == 0 &&
      (s.type == GN_JSON_STRING || s.type == GN_JSON_NUMBER))
    return 0;
  return gn_error_set(err, GN_INVALID, "page_token",
                      "the page to begin with is no JSON text or number");
}

static int splice(const struct gn_pager_rules *rules, struct gn_request *r,
                  const char *value, struct gn_error *err) {
  struct gn_buf b;
  int rc = -1;
  if (check_json(value, err) != 0)
    return -1;
  gn_buf_init(&b, SIZE_MAX / 2);
  if (gn_buf_append_text(&b, rules->prefix) != GN_BUF_OK ||
      gn_buf_append_text(&b, value) != GN_BUF_OK ||
      gn_buf_append_text(&b, rules->suffix) != GN_BUF_OK)
    gn_error_memory(err);
  else
    rc = gn_request_set_body(r, b.data, b.len, err);
  gn_buf_free(&b);
  return rc;
}

static int ask_header(const struct gn_pager_rules *rules,
                      struct gn_request *r, const char *value,
                      struct gn_error *err) {
  size_t len = strlen(value);
  if (!gn_header_value_ok(value, len))
    return gn_error_set(err, GN_PROTOCOL, "page_token",
                        "the next page's token cannot be a header's value");
  return gn_request_set_header(r, rules->target, value, err);
}

int gn_next_page_apply(const struct gn_pager_rules *rules,
                       struct gn_request *r, const char *value,
                       struct gn_error *err) {
  char *url = NULL;
  int rc;
  if (rules->to == GN_TO_BODY)
    return splice(rules, r, value, err);
  if (rules->to == GN_TO_HEADER)
    return ask_header(rules, r, value, err);
  if (rules->to == GN_TO_URL) {
    rc = resolve(r->url, value, &url, err) == 1 ? 0 : -1;
    r->server_url = true;
  } else {
    rc = gn_url_with_query(r->url, rules->target, value, strlen(value), &url,
                           err);
  }
  if (rc == 0)
    rc = gn_request_set_url(r, url, err);
  gn_free(url);
  return rc;
}

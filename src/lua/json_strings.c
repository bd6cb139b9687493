/* Owns: see json_strings.h. Strings are remembered in the order of the text and
 * each knows which one came next in its column, so that what repeats is read
 * along memory; few are also found by hash, to begin such a walk.
 */
#include "json_strings.h"

#define WORTH (256 * 1024)  /* bytes of text: caches hold what less becomes */
#define NUMBERS 4096        /* strings remembered are fewer: caches hold them */
#define PLACES 8192         /* so few that a cache holds them */
#define ANCHOR 16           /* without credit, one hash of so many counts */
#define CREDIT 256          /* of a column at first */
#define CREDIT_MAX 4096
#define REWARD 4            /* credit for a string found */
#define IDLE 8              /* strings left out where no more has room */

void gn_strings_init(struct gn_strings *s, lua_State *L, int slot, size_t len) {
  uint32_t i;
  memset(s, 0, sizeof *s);
  s->slot = slot;
  if (!GN_JSON_WORDS || len < WORTH)
    return;
  lua_createtable(L, NUMBERS, 0);
  lua_replace(L, slot);
  s->seen = lua_newuserdata(L, NUMBERS * sizeof *s->seen +
                                   PLACES * sizeof *s->places);
  lua_replace(L, slot + 1);
  s->places = (uint32_t *)(void *)(s->seen + NUMBERS);
  memset(s->places, 0, PLACES * sizeof *s->places);
  memset(s->seen, 0, sizeof *s->seen);
  for (i = 0; i < GN_STRINGS_COLUMNS; i++)
    s->columns[i].credit = CREDIT;
  s->max = NUMBERS;
}

/* Some bytes may count more than once, none is left out. */
static uint32_t hash(const char *text, size_t len) {
  const uint64_t factor = 0x9e3779b97f4a7c15u;
  uint64_t x = 0, h = len;
  size_t i;
  if (len >= 8) {
    for (i = 0; i + 8 < len; i += 8) {
      memcpy(&x, text + i, 8);
      h = (h ^ x) * factor;
      h ^= h >> 29;
    }
    memcpy(&x, text + len - 8, 8);
  } else if (len >= 4) {
    uint32_t low, high;
    memcpy(&low, text, 4);
    memcpy(&high, text + len - 4, 4);
    x = low | (uint64_t)high << 32;
  } else {
    x = (unsigned char)text[0] | (unsigned)(unsigned char)text[len / 2] << 8 |
        (unsigned)(unsigned char)text[len - 1] << 16;
  }
  return (uint32_t)((h ^ x) * factor >> 32);
}

static void remember(struct gn_strings *s, const char *text, size_t len) {
  uint32_t i = ++s->n;
  struct gn_string_seen *seen = &s->seen[i];
  seen->text = text;
  seen->len = (uint32_t)len;
  seen->after = 0;
}

void gn_strings_push(struct gn_strings *s, lua_State *L,
                     struct gn_string_column *c, const char *text, size_t len) {
  uint32_t h, *place = NULL, i;
  if (c->idle > 0) {
    c->idle--;
    lua_pushlstring(L, text, len);
    return;
  }
  h = hash(text, len);
  if (c->credit > 0 || h / PLACES % ANCHOR == 0) {
    place = &s->places[h % PLACES];
    i = *place % NUMBERS;
    if ((*place ^ h) < NUMBERS && s->seen[i].len == len &&
        memcmp(s->seen[i].text, text, len) == 0) {
      lua_rawgeti(L, s->slot, (int)i);
      c->credit += c->credit < CREDIT_MAX ? REWARD : 0;
      goto link;
    }
  }
  lua_pushlstring(L, text, len);
  if (s->n + 1 == s->max) {
    c->idle = IDLE;
    return;
  }
  lua_pushvalue(L, -1);
  lua_rawseti(L, s->slot, (int)s->n + 1);
  remember(s, text, len);
  i = s->n;
  if (place) {
    *place = i | (h & ~(uint32_t)(NUMBERS - 1));
    c->credit -= c->credit > 0;
  }
link:
  s->seen[c->last].after = i;
  s->seen[0].after = 0;
  c->last = i;
}

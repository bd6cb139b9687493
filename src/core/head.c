/* Owns: telling lines apart by their first letters. Must not: miss one that a
 * reader of the block would find.
 */
#include "head.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define LONGEST_NUMBER 18 /* digits that surely fit 63 bits */

/* What is longer than the name, as "Content-Length-Hint" is, counts too. */
static bool begins(const char *line, size_t len, const char *name,
                   size_t name_len) {
  return len >= name_len && strncasecmp(line, name, name_len) == 0;
}

#define BEGINS(line, len, name) begins(line, len, name, sizeof name - 1)

static void trim(const char **text, size_t *len) {
  while (*len > 0 && (**text == ' ' || **text == '\t')) {
    (*text)++;
    (*len)--;
  }
  while (*len > 0 && strchr(" \t\r\n", (*text)[*len - 1]))
    (*len)--;
}

/* A second line of the two is for those who read all. */
static unsigned once(unsigned marks, unsigned mark) {
  return marks & (GN_HEAD_LENGTH | GN_HEAD_CHUNKED) ? GN_HEAD_FRAMING : mark;
}

static unsigned of_length(unsigned marks, const char *value, size_t len) {
  size_t i = 0;
  trim(&value, &len);
  while (i < len && value[i] >= '0' && value[i] <= '9')
    i++;
  return i == len && len > 0 && len <= LONGEST_NUMBER
             ? once(marks, GN_HEAD_LENGTH) : GN_HEAD_FRAMING;
}

static unsigned of_encoding(unsigned marks, const char *value, size_t len) {
  trim(&value, &len);
  return len == 7 && strncasecmp(value, "chunked", 7) == 0
             ? once(marks, GN_HEAD_CHUNKED) : GN_HEAD_FRAMING;
}

/* The letter that tells most names with the same first one apart is compared
 * first: a block has a dozen lines, and none of these among them, mostly. */
unsigned gn_head_mark(unsigned marks, const char *line, size_t len) {
  static const char length[] = "Content-Length:";
  static const char encoding[] = "Transfer-Encoding:";
  char ninth = len > 8 ? (char)(line[8] | 0x20) : 0;
  switch (len > 8 ? *line | 0x20 : 0) {
  case 'c':
    if (ninth == 'l' && BEGINS(line, len, length))
      return marks | of_length(marks, line + sizeof length - 1,
                               len - (sizeof length - 1));
    if (ninth == 'e' && BEGINS(line, len, "Content-Encoding"))
      return marks | GN_HEAD_CODING;
    break;
  case 't':
    if (ninth == '-' && BEGINS(line, len, encoding))
      return marks | of_encoding(marks, line + sizeof encoding - 1,
                                 len - (sizeof encoding - 1));
    break;
  case 'r':
    return ninth == 't' && BEGINS(line, len, "RateLimit")
               ? marks | GN_HEAD_QUOTA : marks;
  case 'x':
    return BEGINS(line, len, "X-Rate") ? marks | GN_HEAD_QUOTA : marks;
  }
  return marks;
}

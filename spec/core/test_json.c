/* Owns: the checks of src/core/json.c: what is JSON and what is not, and a
 * flood of damaged documents that a second, naive reading of RFC 8259 in this
 * file judges too.
 * Must not: need any file, or link more than json, error, alloc and buf.
 */
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define T(s) {s, sizeof(s) - 1}

struct text {
  const char *s;  /* may hold NULs */
  size_t len;     /* bytes of it */
};

static const struct text accepted[] = {
  T("null"), T("true"), T("false"), T("0"), T("-0"), T("1"), T("-1"),
  T("10"), T("1234567890123456789012345678901234567890"), T("0.5"),
  T("-0.5"), T("1.0"), T("1e5"), T("1E5"), T("1e+5"), T("1e-5"), T("0e0"),
  T("0E+1"), T("0.0e-0"), T("1.25e400"), T("1e-99999999999999999999"),
  T("9223372036854775807"), T("-9223372036854775808"), T("\"\""),
  T("\"a\""), T("\"/\""), T("\"\\/\""), T("\"\\\"\\\\\\b\\f\\n\\r\\t\""),
  T("\"\\u0000\""), T("\"\\u00e9\\u20AC\\uFFFF\""), T("\"\\ud83d\\ude00\""),
  T("\"\\uDBFF\\uDFFF\""), T("\"\\\\u12\""), T("\"\x7f\""),
  T("\"\xc2\x80\""), T("\"\xdf\xbf\""), T("\"\xe0\xa0\x80\""),
  T("\"\xed\x9f\xbf\""), T("\"\xee\x80\x80\""), T("\"\xef\xbf\xbf\""),
  T("\"\xf0\x90\x80\x80\""), T("\"\xf4\x8f\xbf\xbf\""),
  T("\"\xe2\x80\xa8\xe2\x80\xa9\""), T("\"12345678\""), T("\"1234567\\n\""),
  T("\"123456789abcdef0123456789abcdef\""), T("[]"), T("{}"), T("[[]]"),
  T("[{}]"), T("{\"a\":{}}"), T("[1]"), T("[1,2]"), T("[null,true,false]"),
  T("[\"\",0,[]]"), T("{\"\":0}"), T("{\"a\":1,\"b\":2}"),
  T("{\"a\":1,\"a\":2}"), T("{\"a\":[{\"b\":[]}]}"), T("{\"\\u0061\":1}"),
  T(" 1"), T("1 "), T("\t\n\r [ \t\n\r ] \t\n\r "), T("[ 1 , 2 ]"),
  T("{ \"a\" : 1 , \"b\" : [ ] }"), T("[\n]"), T("{\r\n}"),
  T("[1.5e3,-2E-2,0.001]"), T("\"\xe4\xb8\xad\xe6\x96\x87\""),
  T("[\"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"]"),
};

static const struct text refused[] = {
  /* nothing, or something else */
  T(""), T(" "), T("\n"), T("\xef\xbb\xbf"), T("\xef\xbb\xbf{}"),
  T("\xef\xbb"), T("<html></html>"), T("undefined"), T("NaN"), T("Infinity"),
  T("-Infinity"), T("nan"), T("inf"), T("Null"), T("TRUE"), T("True"),
  T("nul"), T("nulll"), T("tru"), T("truee"), T("fals"), T("falsee"), T("t"),
  T("nullnull"), T("null null"), T("\0"), T("1\0"), T("\0" "1"), T("[]\0"),
  T("'a'"), T("a"), T("//x\n1"), T("/**/1"), T("1//"), T("#\n1"), T("\f1"),
  T("\v1"), T("1\f"), T("\xc2\xa0" "1"), T("\xe2\x80\x83[]"), T("*"), T("+"),
  T(","), T(":"), T("\\"), T("]"), T("}"), T(")"),
  /* numbers */
  T("-"), T("+1"), T("+0"), T("--1"), T("-+1"), T("01"), T("-01"), T("00"),
  T("-00"), T("0123"), T("1."), T("-1."), T(".1"), T("-.1"), T("1.e1"),
  T("1.2."), T("1.2.3"), T("1e"), T("1E"), T("1e+"), T("1e-"), T("1e1.5"),
  T("1ee1"), T("1e+-1"), T("0x1"), T("0x"), T("0b1"), T("1_000"), T("1,000"),
  T("1 000"), T("1a"), T("1f"), T("1L"), T("0e"), T("0."), T("0.e1"), T("- 1"),
  T("1 e1"), T("1e 1"), T("\xef\xbc\x91"), T("1/2"), T("1%"), T("2.5e"),
  T("12345678901234567890."), T("-a"), T("1-1"), T("1.-1"), T("e1"),
  /* strings */
  T("\""), T("\"a"), T("a\""), T("\"\"\""), T("\"\\\""), T("\"\\"),
  T("\"\\a\""), T("\"\\'\""), T("\"\\v\""), T("\"\\0\""), T("\"\\x41\""),
  T("\"\\U0041\""), T("\"\\u\""), T("\"\\u1\""), T("\"\\u12\""),
  T("\"\\u123\""), T("\"\\u123g\""), T("\"\\u 123\""), T("\"\\u-123\""),
  T("\"\\u+123\""), T("\"\\u12"), T("\"\\\n\""), T("\"\\\0\""), T("\"\n\""),
  T("\"\r\""), T("\"\t\""), T("\"\0\""), T("\"\x1f\""), T("\"\x01\""),
  T("\"1234567\n9\""), T("\"12345678\n\""), T("\"\\ \""),
  /* surrogates */
  T("\"\\ud800\""), T("\"\\udbff\""), T("\"\\udc00\""), T("\"\\udfff\""),
  T("\"\\ud800\\ud800\""), T("\"\\udc00\\ud800\""), T("\"\\ud800a\""),
  T("\"\\ud800\\n\""), T("\"\\ud800\\u0041\""), T("\"\\ud800\\udbff\""),
  T("\"\\ud800\\ue000\""), T("\"\\ud83d\\ude0\""), T("\"\\ud83d\\ude0g\""),
  T("\"\\ud83d\\\""), T("\"\\ud83d \\ude00\""), T("\"\\ud83d"),
  /* UTF-8 */
  T("\"\x80\""), T("\"\xbf\""), T("\"\xc0\x80\""), T("\"\xc0\xaf\""),
  T("\"\xc1\xbf\""), T("\"\xc2\""), T("\"\xc2\x41\""), T("\"\xc2\xc0\""),
  T("\"\xe0\x80\x80\""), T("\"\xe0\x9f\xbf\""), T("\"\xe0\xa0\""),
  T("\"\xe1\x80\""), T("\"\xe1\x80\x41\""), T("\"\xe1\xc0\x80\""),
  T("\"\xed\xa0\x80\""), T("\"\xed\xbf\xbf\""), T("\"\xf0\x80\x80\x80\""),
  T("\"\xf0\x8f\xbf\xbf\""), T("\"\xf0\x90\x80\""),
  T("\"\xf1\x80\x80\x41\""), T("\"\xf1\x80\xc0\x80\""),
  T("\"\xf1\xc0\x80\x80\""), T("\"\xf4\x90\x80\x80\""),
  T("\"\xf5\x80\x80\x80\""), T("\"\xf8\x88\x80\x80\x80\""), T("\"\xfe\""),
  T("\"\xff\""), T("\"a\xe9z\""), T("\"\xe4\xb8\xad\xe6\x96\""), T("\xe9"),
  T("\"\xc3"), T("\"\xe4\xb8"), T("{\"\xff\":1}"), T("\xff\xfe[\0]\0"),
  /* arrays */
  T("["), T("[1"), T("[1,"), T("[,"), T("[,]"), T("[1,]"), T("[,1]"),
  T("[1,,2]"), T("[1 2]"), T("[1:2]"), T("[1;2]"), T("[1}"), T("[1]]"),
  T("[[]"), T("[[1]"), T("[]]"), T("[]["), T("[],"), T("[\"a\"b]"),
  T("[\"a\" \"b\"]"), T("[a]"), T("[-]"), T("[1.]"), T("[...]"), T("[*]"),
  T("[\"a"), T("[tru]"), T("[true"), T("[nul"), T("[1,\n1\n,1"), T("[\xff]"),
  T("[\f]"), T("[1]x"), T("[1] 1"), T("[\"\"],"), T("[{]"), T("[}"),
  T("[{}"), T("[1/*x*/]"), T("(1)"), T("[\"\t\"]"), T("[,,]"), T("[ , 1]"),
  /* objects */
  T("{"), T("{\"a\""), T("{\"a\":"), T("{\"a\":1"), T("{\"a\":1,"),
  T("{\"a\":1,}"), T("{,}"), T("{,\"a\":1}"), T("{\"a\"}"), T("{\"a\":}"),
  T("{:1}"), T("{a:1}"), T("{'a':1}"), T("{1:1}"), T("{null:1}"),
  T("{[]:1}"), T("{{}:1}"), T("{\"a\" 1}"), T("{\"a\",1}"), T("{\"a\"=1}"),
  T("{\"a\"::1}"), T("{\"a\":1:2}"), T("{\"a\":1 \"b\":2}"),
  T("{\"a\":1;\"b\":2}"), T("{\"a\":1]"), T("{\"a\":1}}"), T("{]"),
  T("{\"a\":[}"), T("{\"a\":{}"), T("{}{"), T("{},"), T("{\"a\":1}x"),
  T("{\"a\":1}//"), T("{\"a\":1,\"b\"}"), T("{\"a\":1,,\"b\":2}"),
  T("{\"a"), T("{\"a\\"), T("{\"\\ud800\":1}"), T("{\"a\n\":1}"), T("{ \"a\" "),
};

/* -- a second opinion: slow, recursive, nothing like the reader -- */

struct naive {
  const unsigned char *p;    /* where it is */
  const unsigned char *end;  /* beyond the text */
};

static int naive_is(struct naive *n, const char *set) {
  return n->p < n->end && *n->p && strchr(set, *n->p) != NULL;
}

static int naive_eat(struct naive *n, const char *set) {
  return naive_is(n, set) ? *n->p++ : 0;
}

static void naive_space(struct naive *n) {
  while (naive_eat(n, " \t\r\n"))
    ;
}

static int naive_digits(struct naive *n) {
  int any = 0;
  while (naive_eat(n, "0123456789"))
    any = 1;
  return any;
}

static long naive_hex4(struct naive *n) {
  char digits[5] = "";
  int i;
  for (i = 0; i < 4; i++)
    if (!(digits[i] = (char)naive_eat(n, "0123456789abcdefABCDEF")))
      return -1;
  return strtol(digits, NULL, 16);
}

static int naive_escape(struct naive *n) {
  long high, low;
  if (!naive_is(n, "u"))
    return naive_eat(n, "\"\\/bfnrt") != 0;
  n->p++;
  high = naive_hex4(n);
  if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
    return 0;
  if (high < 0xd800 || high > 0xdfff)
    return 1;
  if (!naive_eat(n, "\\") || !naive_eat(n, "u"))
    return 0;
  low = naive_hex4(n);
  return low >= 0xdc00 && low <= 0xdfff;
}

static int naive_char(struct naive *n) {
  static const unsigned long least[] = {0, 0x80, 0x800, 0x10000};
  unsigned c = *n->p++;
  int more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : 3;
  unsigned long code = more ? c & (0x3fu >> more) : c;
  int i;
  if (c < 0x20 || (c >= 0x80 && c < 0xc0) || c >= 0xf8)
    return 0;
  for (i = 0; i < more; i++) {
    if (n->p == n->end || *n->p >> 6 != 2)
      return 0;
    code = code << 6 | (*n->p++ & 0x3f);
  }
  return code >= least[more] && code <= 0x10ffff &&
         !(code >= 0xd800 && code <= 0xdfff);
}

static int naive_string(struct naive *n) {
  if (!naive_eat(n, "\""))
    return 0;
  while (n->p < n->end) {
    if (naive_eat(n, "\""))
      return 1;
    if (!(naive_eat(n, "\\") ? naive_escape(n) : naive_char(n)))
      return 0;
  }
  return 0;
}

static int naive_number(struct naive *n) {
  naive_eat(n, "-");
  if (!naive_eat(n, "0") && !naive_digits(n))
    return 0;
  if (naive_eat(n, ".") && !naive_digits(n))
    return 0;
  if (naive_eat(n, "eE")) {
    naive_eat(n, "+-");
    return naive_digits(n);
  }
  return 1;
}

static int naive_value(struct naive *n);

static int naive_container(struct naive *n, int object) {
  const char *close = object ? "}" : "]";
  n->p++;
  naive_space(n);
  if (naive_eat(n, close))
    return 1;
  do {
    naive_space(n);
    if (object) {
      if (!naive_string(n))
        return 0;
      naive_space(n);
      if (!naive_eat(n, ":"))
        return 0;
    }
    if (!naive_value(n))
      return 0;
  } while (naive_eat(n, ","));
  return naive_eat(n, close) != 0;
}

static int naive_word(struct naive *n) {
  static const char *const words[] = {"null", "true", "false"};
  size_t i;
  for (i = 0; i < COUNT(words); i++) {
    size_t len = strlen(words[i]);
    if ((size_t)(n->end - n->p) >= len && !memcmp(n->p, words[i], len)) {
      n->p += len;
      return 1;
    }
  }
  return 0;
}

static int naive_value(struct naive *n) {
  int ok;
  naive_space(n);
  if (naive_is(n, "[{"))
    ok = naive_container(n, naive_is(n, "{"));
  else if (naive_is(n, "\""))
    ok = naive_string(n);
  else if (naive_is(n, "-0123456789"))
    ok = naive_number(n);
  else
    ok = naive_word(n);
  naive_space(n);
  return ok;
}

static int naive_check(const char *text, size_t len) {
  struct naive n;
  n.p = (const unsigned char *)text;
  n.end = n.p + len;
  return naive_value(&n) && n.p == n.end;
}

/* -- helpers -- */

/* From memory that ends where the text ends, so that a sanitizer sees a byte
 * read too many. */
static int check_exactly(const char *text, size_t len, struct gn_error *err) {
  char *copy = malloc(len ? len : 1);
  int status;
  assert_non_null(copy);
  memcpy(copy, text, len);
  status = gn_json_check(len ? copy : copy + 1, len, 0, err);
  free(copy);
  return status;
}

/* -- what is JSON -- */

static void test_accepted(void **state) {
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(accepted); i++) {
    struct gn_error err;
    if (check_exactly(accepted[i].s, accepted[i].len, &err) != 0)
      fail_msg("%.*s: %s", (int)accepted[i].len, accepted[i].s, err.message);
    assert_true(naive_check(accepted[i].s, accepted[i].len));
  }
}

static void test_refused(void **state) {
  size_t i;
  (void)state;
  assert_true(COUNT(accepted) + COUNT(refused) >= 150);
  for (i = 0; i < COUNT(refused); i++) {
    struct gn_error err = {0};
    if (check_exactly(refused[i].s, refused[i].len, &err) == 0)
      fail_msg("case %zu was accepted: %.*s", i, (int)refused[i].len,
               refused[i].s);
    assert_int_equal(err.kind, GN_PROTOCOL);
    assert_string_equal(err.code, "json");
    assert_non_null(strstr(err.message, " at byte "));
    assert_false(naive_check(refused[i].s, refused[i].len));
  }
  assert_int_equal(gn_json_check("[", 1, 0, NULL), -1);
}

static void test_messages(void **state) {
  static const struct {
    const char *text, *message;
  } cases[] = {
    {"", "not JSON: there is no value at byte 1"},
    {"  ", "not JSON: there is no value at byte 3"},
    {"\xef\xbb\xbf[]", "not JSON: a byte order mark at byte 1"},
    {"<html>", "not JSON: expected a value at byte 1"},
    {"[1,2", "not JSON: the text ends too early at byte 5"},
    {"[1 2]", "not JSON: expected ',' or ']' at byte 4"},
    {"{\"a\":1 2}", "not JSON: expected ',' or '}' at byte 8"},
    {"{\"a\" 1}", "not JSON: expected ':' at byte 6"},
    {"{1:2}", "not JSON: expected a key or '}' at byte 2"},
    {"{\"a\":1,}", "not JSON: expected a key at byte 8"},
    {"[1]x", "not JSON: text after the value at byte 4"},
    {"[01]", "not JSON: a number with a leading zero at byte 3"},
    {"[1.]", "not JSON: a digit is missing at byte 4"},
    {"[1e+]", "not JSON: a digit is missing at byte 5"},
    {"\"\n\"", "not JSON: a control character in a string at byte 2"},
    {"\"\xff\"", "not JSON: not UTF-8 at byte 2"},
    {"\"\\x\"", "not JSON: unknown escape at byte 3"},
    {"\"\\u12x4\"", "not JSON: \\u needs four hexadecimal digits at byte 4"},
    {"\"\\ud800\"", "not JSON: half of a surrogate pair at byte 2"},
  };
  size_t i;
  (void)state;
  for (i = 0; i < COUNT(cases); i++) {
    struct gn_error err;
    assert_int_equal(check_exactly(cases[i].text, strlen(cases[i].text), &err),
                     -1);
    assert_string_equal(err.message, cases[i].message);
  }
}

static const char sample[] =
  "{\"kind\":\"a\\u00e9\\ud83d\\ude00\",\"list\":[1,-2.5e3,true,null,{\"x\":"
  "[]},[[]],\"\xe4\xb8\xad\\n\"],\"empty\":{},\"n\":9007199254740993 , "
  "\"error\":{\"errors\":[{\"reason\":\"quota\"},{\"reason\":\"auth\"}]}}";

static void test_prefixes(void **state) {
  size_t len;
  struct gn_error err;
  (void)state;
  assert_int_equal(check_exactly(sample, sizeof sample - 1, &err), 0);
  for (len = 0; len < sizeof sample - 1; len++)
    assert_int_equal(check_exactly(sample, len, &err), -1);
}

static uint32_t seed;

static unsigned random_below(unsigned n) {
  seed = seed * 1664525u + 1013904223u;
  return (unsigned)((uint64_t)seed * n >> 32);
}

static void test_mutations(void **state) {
  static const char bytes[] =
      "{}[]\",:\\/ue+-.019aftn \t\n\r\x01\x80\xc3\xed\xf4";
  static const char *const paths[] = {"list.4.x", "error.errors.1.reason", "n"};
  int round, good = 0;
  (void)state;
  seed = 20261119;
  for (round = 0; round < 60000; round++) {
    size_t len = sizeof sample - 1, at;
    char *text = malloc(len);
    unsigned changes = 1 + random_below(3);
    struct gn_json_slice out[3];
    struct gn_error err;
    int checked, picked;
    memcpy(text, sample, len);
    while (changes--) {
      at = random_below((unsigned)len);
      if (random_below(4) == 0) {
        memmove(text + at, text + at + 1, len - at - 1);
        len--;
      } else {
        text[at] = bytes[random_below(sizeof bytes)];  /* its NUL too */
      }
    }
    text = realloc(text, len);
    checked = gn_json_check(text, len, 0, &err);
    picked = gn_json_pick(text, len, paths, 3, out, &err);
    assert_int_equal(checked, picked);
    if ((checked == 0) != naive_check(text, len))
      fail_msg("opinions differ on %.*s", (int)len, text);
    good += checked == 0;
    free(text);
  }
  /* Both outcomes were tried. */
  assert_in_range(good, 1000, 59000);
}

static void test_depth(void **state) {
  size_t n = 1000000;
  char *text = malloc(n);
  struct gn_error err;
  (void)state;
  memset(text, '[', n);
  assert_int_equal(gn_json_check(text, n, 0, &err), -1);
  assert_string_equal(err.message, "not JSON: nested too deep at byte 513");
  memset(text + 512, ']', 512);
  assert_int_equal(gn_json_check(text, 1024, 0, &err), 0);
  assert_int_equal(gn_json_check(text, 1024, 512, &err), 0);
  assert_int_equal(gn_json_check(text, 1024, 511, &err), -1);
  memset(text, '[', 4096);
  memset(text + 2048, ']', 2048);
  assert_int_equal(gn_json_check(text, 4096, 2048, &err), 0);
  memset(text + 2048, '[', 1);
  memset(text + 2049, ']', 2049);
  assert_int_equal(gn_json_check(text, 4098, 1000000, &err), -1);
  assert_int_equal(gn_json_check("1", 1, 1, &err), 0);
  assert_int_equal(gn_json_check("[[]]", 4, 1, &err), -1);
  for (n = 0; n < 1000000; n += 5)
    memcpy(text + n, "{\"\":[", 5);
  assert_int_equal(gn_json_check(text, n, 0, &err), -1);
  free(text);
}

/* Strings of every length, with every sort of byte at every place. */
static void test_places(void **state) {
  static const struct text inside[] = {
    T("\""), T("\\n"), T("\x1f"), T("\xc3\xa9"), T("\x80"), T("\\"), T("\x7f"),
    T("\0"), T("\xf0\x9f\x98\x80"), T(" "), T("\xe4\xb8"), T("\\ud800"),
  };
  size_t len, at, i;
  (void)state;
  for (len = 0; len <= 50; len++)
    for (at = 0; at <= len; at++)
      for (i = 0; i < COUNT(inside); i++) {
        char text[80];
        size_t n = 1 + at;
        memset(text, 'a', sizeof text);
        text[0] = '"';
        memcpy(text + n, inside[i].s, inside[i].len);
        n += inside[i].len + (len - at);
        text[n++] = '"';
        if ((check_exactly(text, n, NULL) == 0) != naive_check(text, n))
          fail_msg("opinions differ on %.*s", (int)n, text);
      }
}

/* Digits are taken eight at a time: every byte at every place among them. */
static void test_digits(void **state) {
  size_t len, at;
  unsigned c;
  (void)state;
  for (len = 1; len <= 20; len++)
    for (at = 0; at < len; at++)
      for (c = 0; c < 256; c++) {
        char text[40] = "[31415926535897932384";
        struct gn_json_reader r;
        memset(text + 1 + len, ' ', 10);
        text[11 + len] = ']';
        text[1 + at] = (char)c;
        if ((check_exactly(text, 12 + len, NULL) == 0) !=
            naive_check(text, 12 + len))
          fail_msg("opinions differ on %.*s", (int)(12 + len), text);
        if (naive_check(text, 12 + len) && c >= '0' && c <= '9' && len < 19) {
          text[1 + len] = '\0';
          gn_json_reader_init(&r, text + 1, len, 0);
          assert_int_equal(gn_json_next(&r), GN_JSON_GET_NUMBER);
          assert_true(r.integer == strtoll(text + 1, NULL, 10));
        }
      }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_accepted),  cmocka_unit_test(test_refused),
    cmocka_unit_test(test_messages),  cmocka_unit_test(test_prefixes),
    cmocka_unit_test(test_mutations), cmocka_unit_test(test_depth),
    cmocka_unit_test(test_places),    cmocka_unit_test(test_digits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

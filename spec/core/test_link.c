/* Owns: the checks of src/core/link.c: which link of a response's Link headers
 * is the one of a relation.
 * Must not: use the network.
 */
#include "link.h"

#include "alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
  const char *headers;
  const char *want; /* NULL: none */
} rows[] = {
  {"", NULL},
  {"Link: <https://a/2>; rel=\"next\"\r\n", "https://a/2"},
  {"link: <https://a/2>;rel=next\r\n", "https://a/2"},
  {"Link: <https://a/2> ; rel = \"next\"\r\n", "https://a/2"},
  {"Link: <https://a/2>; REL=\"NEXT\"\r\n", "https://a/2"},
  {"Link: <https://a/1>; rel=\"prev\", <https://a/3>; rel=\"next\"\r\n",
   "https://a/3"},
  {"Link: <https://a/1>; rel=prev,<https://a/3>; rel=next\r\n",
   "https://a/3"},
  {"Link: <https://a/1>; rel=\"prev\"\r\nX: y\r\n"
   "Link: </3?a=1,2;b=\"c>; rel=\"last next\"\r\n", "/3?a=1,2;b=\"c"},
  {"Link: <1>; rel=\"prev nextish\", <2>; rel=\"a\tnext  b\"\r\n", "2"},
  {"Link: <1>; title=\"x, <9>; rel=next\"; rel=prev, <2>; rel=next\r\n",
   "2"},
  {"Link: <1>; title=\"a \\\" b\"; rel=\"next\"\r\n", "1"},
  {"Link: <1>; rel=\"prev\"; rel=\"next\"\r\n", NULL},
  {"Link: <1>; rel=\"next\"; anchor=\"#part\"\r\n", NULL},
  {"Link: <1>; rel=\"next\"; anchor=\"\", <2>; rel=next\r\n", "1"},
  {"Link: <1>; title*=UTF-8'de'n%c3%a4chste; rel=next\r\n", "1"},
  {"Link: <1>; crossorigin; rel=next\r\n", "1"},
  {"Link: <>; rel=next\r\n", ""},
  {"Link: <1>;; rel=next\r\n", "1"},
  {"Link: https://a/2; rel=next\r\n", NULL},
  {"Link: <https://a/2; rel=next\r\n", NULL},
  {"Link: <1>; rel=\"next\r\n", "1"},
  {"Link: <1>\r\n", NULL},
  {"Link: <1>; rel\r\n", NULL},
  {"Link: ,,, <1>; rel=next\r\n", "1"},
  {"Linked: <1>; rel=next\r\n", NULL},
};

static void test_find(void **state) {
  size_t i;
  (void)state;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct gn_buf headers;
    struct gn_error err;
    char *out;
    int rc;
    gn_buf_init(&headers, 4096);
    gn_buf_append_text(&headers, rows[i].headers);
    rc = gn_link_find(&headers, "next", &out, &err);
    if (rc != (rows[i].want != NULL) ||
        (out && strcmp(out, rows[i].want) != 0))
      fail_msg("%s: %d, %s", rows[i].headers, rc, out ? out : "nothing");
    gn_free(out);
    gn_buf_free(&headers);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_find)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

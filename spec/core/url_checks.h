/* Owns: what the test programs of the URL functions share.
 * Must not: be included by anything else.
 */
#ifndef SPEC_URL_CHECKS_H
#define SPEC_URL_CHECKS_H

#include "url.h"

#include "alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define TEXT(name, text) {name, text, sizeof(text) - 1}

static inline void assert_refused(const struct gn_error *err,
                                  const char *part) {
  assert_int_equal(err->kind, GN_INVALID);
  assert_string_equal(err->code, "url");
  if (!strstr(err->message, part))
    fail_msg("\"%s\" does not name \"%s\"", err->message, part);
}

/* Takes the result of a call that must have worked. */
static inline void assert_text(int status, const struct gn_error *err,
                               char *got, const char *want) {
  if (status != 0)
    fail_msg("refused: %s (wanted %s)", err->message, want);
  assert_non_null(got);
  assert_string_equal(got, want);
  gn_free(got);
}

#endif

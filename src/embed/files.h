/* Owns: the shape of garner's Lua files as the build writes them into C.
 * Must not: be needed by the module, which finds the files on package.path.
 */
#ifndef GN_EMBED_FILES_H
#define GN_EMBED_FILES_H

#include <stddef.h>

struct gn_embedded_file {
  const char *module;         /* what require takes */
  const char *chunk;          /* what tracebacks show, with "@" before it */
  const unsigned char *text;  /* its source */
  size_t size;                /* bytes of it */
};

extern const struct gn_embedded_file gn_embedded_files[];
extern const size_t gn_embedded_count;

#endif

/* Owns: a growing byte buffer that carries its limit from birth.
 * Must not: grow past the limit; a refused append leaves it as it was.
 */
#ifndef GN_BUF_H
#define GN_BUF_H

#include <stddef.h>

struct gn_buf {
  char *data;       /* NUL beyond the last byte once anything was appended */
  size_t len;       /* bytes used */
  size_t capacity;  /* bytes allocated, the final NUL's included */
  size_t max;       /* len never passes this */
};

enum gn_buf_status { GN_BUF_OK, GN_BUF_FULL, GN_BUF_MEMORY };

void gn_buf_init(struct gn_buf *b, size_t max);
enum gn_buf_status gn_buf_reserve(struct gn_buf *b, size_t extra);
enum gn_buf_status gn_buf_append(struct gn_buf *b, const void *data,
                                 size_t len);
enum gn_buf_status gn_buf_append_text(struct gn_buf *b, const char *text);
/* As far as is known it will have so many bytes: an empty one gets room for
 * just them. Nothing is lost if that fails. */
void gn_buf_expect(struct gn_buf *b, size_t len);
void gn_buf_reset(struct gn_buf *b); /* empties, keeps the memory */
void gn_buf_free(struct gn_buf *b);
char *gn_buf_steal(struct gn_buf *b); /* NULL if nothing was appended */

#endif

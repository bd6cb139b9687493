/* Owns: what the lines of a header block tell before anybody reads the block,
 * so that most blocks need not be read again: each mark says that the block
 * may hold a line of a kind, none that it surely holds none.
 * Must not: read values further than that.
 */
#ifndef GN_HEAD_H
#define GN_HEAD_H

#include <stddef.h>

#define GN_HEAD_CODING 1u   /* Content-Encoding */
#define GN_HEAD_LENGTH 2u   /* one Content-Length, a number */
#define GN_HEAD_CHUNKED 4u  /* one Transfer-Encoding, chunked */
#define GN_HEAD_FRAMING 8u  /* more of these two, or other ones */
#define GN_HEAD_QUOTA 16u   /* one of the well known headers of a rate */
#define GN_HEAD_ANY 31u     /* nobody has looked */

/* The marks of the lines so far and of one more. */
unsigned gn_head_mark(unsigned marks, const char *line, size_t len);

#endif

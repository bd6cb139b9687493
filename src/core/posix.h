/* Owns: which calls the system's headers show: POSIX.1-2008, and what Linux and
 * macOS have beyond it where a file may use that. Included before all else.
 * Must not: include anything.
 */
#ifndef GN_POSIX_H
#define GN_POSIX_H

#if defined(__linux__)
#define _POSIX_C_SOURCE 200809L
#ifndef GN_PORTABLE
#define _DEFAULT_SOURCE
#endif
#elif defined(__APPLE__)
#define _DARWIN_C_SOURCE
#endif

#endif

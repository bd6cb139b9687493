/* Owns: the version, written down here and nowhere else; the build, the
 * packages and the specs read this line.
 * Must not: hold anything but that line.
 */
#ifndef GN_VERSION_H
#define GN_VERSION_H

#define GN_VERSION "0.1.0"

#endif

/* Owns: the private folder of one Unix socket: made where only this user can
 * look, named with the process, removed with it; and the folders that killed
 * processes left behind.
 * Must not: listen, or remove what somebody may still use.
 */
#ifndef GN_FOLDER_H
#define GN_FOLDER_H

#include "error.h"

#include <sys/socket.h>
#include <sys/un.h>

#define GN_SOCKET_PATH_SIZE (sizeof((struct sockaddr_un *)0)->sun_path)

/* Makes a folder, binds the socket in it and writes its path, NUL included. */
int gn_folder_bind(int fd, char path[GN_SOCKET_PATH_SIZE],
                   struct gn_error *err);
/* Removes the socket and its folder, by the path of the socket. */
void gn_folder_remove(const char *path);

#endif

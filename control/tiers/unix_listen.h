/* A listening Unix stream socket at a path. */
#pragma once

#include <sys/types.h>

/* Binds and listens, non-blocking and close-on-exec, with the file's permissions set to mode. A
 * socket file that nobody listens on is replaced. Returns the descriptor, -EADDRINUSE when somebody
 * does, -ENAMETOOLONG, -errno. */
int unix_listen(const char *path, mode_t mode);

/* Binding a Unix socket where an older process may have left its file. */
#include "control/tiers/unix_listen.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

static bool is_deserted(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool deserted;

	if (fd < 0)
		return false;
	deserted = connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
		   errno == ECONNREFUSED;
	close(fd);
	return deserted;
}

/* The file is never open to more than mode, so the umask does it and not a chmod afterwards. */
static int bind_at(int fd, const struct sockaddr_un *address, mode_t mode)
{
	mode_t before = umask(0777 & ~mode);
	int rc = bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : -errno;

	umask(before);
	return rc;
}

int unix_listen(const char *path, mode_t mode)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = bind_at(fd, &address, mode);
	if (rc == -EADDRINUSE && is_deserted(&address) && unlink(path) == 0)
		rc = bind_at(fd, &address, mode);
	if (rc == 0 && listen(fd, BACKLOG) != 0)
		rc = -errno;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

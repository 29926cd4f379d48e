/* Hands the fork rings to the recorder. */
#include "dataplane/main/fork_server.h"

#include "dataplane/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct fork_server {
	struct loop *loop;
	struct loop_fd listener;
	struct loop_fd recorder; /* the connection, fd -1 = none */
	struct sockaddr_un address;
	int fds[TD_FORK_WORKERS_MAX];
	uint32_t fds_count;
	uint64_t generation;
};

static void recorder_close(struct fork_server *s)
{
	if (s->recorder.fd < 0)
		return;
	loop_fd_del(s->loop, &s->recorder);
	close(s->recorder.fd);
	s->recorder.fd = -1;
}

/* The recorder never says anything; whatever happens on the connection is its end. */
static void recorder_ready(struct loop_fd *watch, uint32_t events)
{
	struct fork_server *s = list_entry(watch, struct fork_server, recorder);

	(void)events;
	log_info("recorder disconnected from the fork rings");
	recorder_close(s);
}

static int hello_send(const struct fork_server *s, int fd)
{
	struct td_fork_hello hello = {.magic = TD_FORK_MAGIC,
				      .version = TD_FORK_VERSION,
				      .rings = s->fds_count,
				      .generation = s->generation};
	struct iovec part = {.iov_base = &hello, .iov_len = sizeof(hello)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(s->fds))];
	} control = {0};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = CMSG_SPACE(s->fds_count * sizeof(int))};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(s->fds_count * sizeof(int));
	memcpy(CMSG_DATA(rights), s->fds, s->fds_count * sizeof(int));
	return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void listener_ready(struct loop_fd *watch, uint32_t events)
{
	struct fork_server *s = list_entry(watch, struct fork_server, listener);
	int fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int rc;

	(void)events;
	if (fd < 0)
		return;
	recorder_close(s);
	rc = hello_send(s, fd);
	if (rc == 0) {
		s->recorder.fd = fd;
		rc = loop_fd_add(s->loop, &s->recorder, EPOLLIN | EPOLLRDHUP);
	}
	if (rc < 0) {
		log_warn("recorder did not get the fork rings: %s", strerror(-rc));
		s->recorder.fd = -1;
		close(fd);
		return;
	}
	log_info("recorder connected to %u fork ring%s", s->fds_count,
		 s->fds_count == 1 ? "" : "s");
}

static int listener_open(struct fork_server *s, gid_t gid)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	s->listener.fd = fd;
	unlink(s->address.sun_path);
	if (bind(fd, (struct sockaddr *)&s->address, sizeof(s->address)) < 0 ||
	    chmod(s->address.sun_path, 0660) < 0 ||
	    (gid != (gid_t)-1 && chown(s->address.sun_path, (uid_t)-1, gid) < 0) ||
	    listen(fd, 4) < 0)
		return -errno;
	return loop_fd_add(s->loop, &s->listener, EPOLLIN);
}

int fork_server_create(struct fork_server **server, struct loop *loop,
		       const struct fork_server_config *config)
{
	struct fork_server *s;
	int rc;

	*server = NULL;
	if (config->fds_count == 0 || config->fds_count > TD_FORK_WORKERS_MAX ||
	    strlen(config->path) >= sizeof(s->address.sun_path))
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->loop = loop;
	s->listener = (struct loop_fd){.fd = -1, .ready = listener_ready};
	s->recorder = (struct loop_fd){.fd = -1, .ready = recorder_ready};
	s->address.sun_family = AF_UNIX;
	strcpy(s->address.sun_path, config->path);
	memcpy(s->fds, config->fds, config->fds_count * sizeof(int));
	s->fds_count = config->fds_count;
	s->generation = config->generation;
	rc = listener_open(s, config->gid);
	if (rc < 0) {
		log_error("fork socket %s: %s", config->path, strerror(-rc));
		if (s->listener.fd >= 0)
			close(s->listener.fd);
		free(s);
		return rc;
	}
	*server = s;
	return 0;
}

void fork_server_destroy(struct fork_server *s)
{
	if (s == NULL)
		return;
	recorder_close(s);
	loop_fd_del(s->loop, &s->listener);
	close(s->listener.fd);
	unlink(s->address.sun_path);
	free(s);
}

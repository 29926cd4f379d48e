/* Hands the fork rings' descriptors to the recorder: SOCK_SEQPACKET, struct td_fork_hello with the
 * memfds attached, sent on connection. A new recorder takes the place of the one before. */
#pragma once

#include "dataplane/api/fork.h"
#include "dataplane/base/loop.h"

#include <sys/types.h>

struct fork_server;

struct fork_server_config {
	const char *path; /* a socket left behind there is replaced */
	gid_t gid;        /* its group (mode 0660); (gid_t)-1 = leave */
	const int *fds;   /* the rings', copied */
	uint32_t fds_count;
	uint64_t generation;
};

int fork_server_create(struct fork_server **server, struct loop *loop,
		       const struct fork_server_config *config);
/* Closes the connection and removes the socket. The descriptors stay the caller's. */
void fork_server_destroy(struct fork_server *server);

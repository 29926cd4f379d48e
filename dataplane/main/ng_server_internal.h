/* What the files ng_server*.c share. */
#pragma once

#include "dataplane/api/ng_frame.h"
#include "dataplane/base/address.h"
#include "dataplane/base/log.h"
#include "dataplane/main/ng_reply_cache.h"
#include "dataplane/main/ng_server.h"

#include <sys/socket.h>

/* A listening stream socket and the connections that came through it. */
struct ng_listener {
	struct loop_fd watch;
	struct ng_server *server;
	struct timer again; /* accepting failed for want of resources */
	struct list connections;
	uint32_t connections_count;
};

struct ng_server {
	struct loop *loop;
	ng_command_fn *command;
	void *arg;
	char *unix_path; /* NULL until the socket is ours */
	struct ng_listener unix_listener;
	struct ng_listener tcp_listener;
	struct loop_fd datagrams;
	struct ng_arena *arena;
	struct ng_reply_cache *cache;
	struct timer cache_expiry;
	struct log_limit log_limit;
	uint64_t counters[NG_SERVER_COUNTERS];
	char reply[NG_COOKIE_MAX + 1 + NG_MESSAGE_MAX];
	char datagram[65536];
};

/* Answers one message: returns the whole reply, cookie included, valid until the next call. limit
 * is the most bytes that the way back takes. */
const char *ng_server_answer(struct ng_server *server, const struct ng_request_id *request,
			     size_t limit, size_t *len);
/* The error reply for a message that cannot be followed; cookie may be empty. */
const char *ng_server_refuse(struct ng_server *server, const struct ng_request_id *request,
			     const char *reason, size_t *len);

/* ng_server_datagram.c */
int ng_datagrams_open(struct ng_server *server, const struct endpoint *local);
void ng_datagrams_close(struct ng_server *server);

/* ng_server_stream.c */
void ng_listener_init(struct ng_listener *listener, struct ng_server *server);
int ng_listener_open(struct ng_listener *listener, int fd);
void ng_listener_close(struct ng_listener *listener);

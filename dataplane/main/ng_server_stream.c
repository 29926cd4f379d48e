/*
 * ng over streams, Unix and TCP: messages back to back, answered in order.
 *
 *   OPEN ---- end of stream, broken stream ----> LAST_WORDS: what is left goes out
 *    |                                               |
 *    +-- error, peer gone --> closed <-- timeout --- LINGER: sent all, reads and forgets until the
 * peer closes
 */
#include "dataplane/main/ng_server_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES       65536
#define ACCEPTS_A_ROUND  16
#define ACCEPT_PAUSE_MS  100
#define LAST_WORDS_MS    2000
#define BUFFER_KEPT_SIZE (2 * READ_BYTES) /* larger ones are given back when empty */

enum connection_state { OPEN, LAST_WORDS, LINGER };

struct ng_connection {
	struct loop_fd watch;
	uint32_t events; /* EPOLL* of watch */
	struct list node;
	struct ng_listener *listener;
	enum connection_state state;
	bool stalled;       /* not read from until it takes its replies */
	struct timer close; /* runs from LAST_WORDS on */
	struct ng_frame frame;
	char *in;
	size_t in_len, in_size;
	char *out;
	size_t out_at, out_len, out_size;
};

static void connection_close(struct ng_connection *connection)
{
	struct ng_listener *listener = connection->listener;
	struct loop *loop = listener->server->loop;

	timer_stop(loop_timers(loop), &connection->close);
	loop_fd_del(loop, &connection->watch);
	close(connection->watch.fd);
	list_remove(&connection->node);
	listener->connections_count--;
	free(connection->in);
	free(connection->out);
	free(connection);
}

static void close_expired(struct timer *timer, uint64_t now_ms)
{
	(void)now_ms;
	connection_close(list_entry(timer, struct ng_connection, close));
}

/* Appends a reply. False without memory. */
static bool out_append(struct ng_connection *connection, const char *reply, size_t len)
{
	if (connection->out_at > 0) {
		memmove(connection->out, connection->out + connection->out_at,
			connection->out_len - connection->out_at);
		connection->out_len -= connection->out_at;
		connection->out_at = 0;
	}
	if (connection->out_len + len > connection->out_size) {
		size_t size = (connection->out_len + len) * 2;
		char *out = realloc(connection->out, size);

		if (!out)
			return false;
		connection->out = out;
		connection->out_size = size;
	}
	memcpy(connection->out + connection->out_len, reply, len);
	connection->out_len += len;
	return true;
}

/* Writes what the kernel takes. False when the peer is gone. */
static bool out_flush(struct ng_connection *connection)
{
	while (connection->out_at < connection->out_len) {
		ssize_t n = send(connection->watch.fd, connection->out + connection->out_at,
				 connection->out_len - connection->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			connection->listener->server->counters[NG_SERVER_SEND_FAILED]++;
			return false;
		}
		connection->out_at += (size_t)n;
	}
	connection->out_at = connection->out_len = 0;
	if (connection->out_size > BUFFER_KEPT_SIZE) {
		free(connection->out);
		connection->out = NULL;
		connection->out_size = 0;
	}
	return true;
}

static size_t out_pending(const struct ng_connection *connection)
{
	return connection->out_len - connection->out_at;
}

static void last_words_begin(struct ng_connection *connection)
{
	struct loop *loop = connection->listener->server->loop;

	connection->state = LAST_WORDS;
	connection->stalled = false;
	connection->in_len = 0;
	timer_start(loop_timers(loop), &connection->close, loop_now_ms(loop) + LAST_WORDS_MS);
}

/* A stream that cannot be followed any further gets an error, with its cookie if there was one. */
static bool stream_refuse(struct ng_connection *connection, const char *text, size_t n,
			  const char *reason)
{
	struct ng_server *server = connection->listener->server;
	const struct ng_frame *frame = &connection->frame;
	struct ng_request_id request = {.cookie = "0", .cookie_len = 1};
	const char *reply;
	size_t len;

	if (frame->cookie_len > 0) {
		size_t dictionary = frame->cookie_start + frame->cookie_len + 1;

		request.cookie = text + frame->cookie_start;
		request.cookie_len = frame->cookie_len;
		request.dictionary = text + dictionary;
		request.dictionary_len = n > dictionary ? n - dictionary : 0;
	} else {
		server->counters[NG_SERVER_NO_COOKIE]++;
	}
	reply = ng_server_refuse(server, &request, reason, &len);
	if (!out_append(connection, reply, len))
		return false;
	last_words_begin(connection);
	return true;
}

/* Answers the whole messages in connection->in, as long as the peer takes the replies. */
static bool messages_take(struct ng_connection *connection)
{
	struct ng_server *server = connection->listener->server;
	size_t start = 0;

	while (out_pending(connection) <= NG_SERVER_OUTPUT_MAX) {
		struct ng_frame *frame = &connection->frame;
		const char *text = connection->in + start, *reply, *reason;
		size_t left = connection->in_len - start, dictionary, len;
		int64_t used = ng_frame_scan(frame, text, left, &reason);
		struct ng_request_id request = {0};

		if (used == -EAGAIN && frame->phase == NG_FRAME_SPACE) {
			start = connection->in_len;
			memset(frame, 0, sizeof(*frame));
		}
		if (used == -EAGAIN)
			break;
		if (used < 0)
			return stream_refuse(connection, text, left, reason);
		dictionary = frame->cookie_start + frame->cookie_len + 1;
		request.cookie = text + frame->cookie_start;
		request.cookie_len = frame->cookie_len;
		request.dictionary = text + dictionary;
		request.dictionary_len = (size_t)used - dictionary;
		reply = ng_server_answer(server, &request, SIZE_MAX, &len);
		if (!out_append(connection, reply, len))
			return false;
		memset(frame, 0, sizeof(*frame));
		start += (size_t)used;
	}
	connection->stalled = out_pending(connection) > NG_SERVER_OUTPUT_MAX;
	memmove(connection->in, connection->in + start, connection->in_len - start);
	connection->in_len -= start;
	if (connection->in_len == 0 && connection->in_size > BUFFER_KEPT_SIZE) {
		free(connection->in);
		connection->in = NULL;
		connection->in_size = 0;
	}
	return true;
}

static bool in_reserve(struct ng_connection *connection)
{
	size_t size = connection->in_len + 2 * READ_BYTES;
	char *in;

	if (connection->in_size - connection->in_len >= READ_BYTES)
		return true;
	in = realloc(connection->in, size);
	if (!in)
		return false;
	connection->in = in;
	connection->in_size = size;
	return true;
}

/* One read. False when the connection is over. */
static bool connection_read(struct ng_connection *connection)
{
	ssize_t n;

	if (!in_reserve(connection))
		return false;
	n = recv(connection->watch.fd, connection->in + connection->in_len, READ_BYTES, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (connection->state != OPEN)
		return n > 0 || connection->state == LAST_WORDS;
	if (n > 0) {
		connection->in_len += (size_t)n;
		return messages_take(connection);
	}
	/* The peer has said all: replies that are on their way still reach it. */
	if (connection->frame.cookie_len > 0)
		return stream_refuse(connection, connection->in, connection->in_len,
				     "Message ends too early");
	last_words_begin(connection);
	return true;
}

/* After whatever happened: writes, moves on, and asks for the events that matter now. */
static bool connection_settle(struct ng_connection *connection)
{
	struct ng_server *server = connection->listener->server;
	uint32_t events = 0;

	if (!out_flush(connection))
		return false;
	/* Room again: messages that wait in the buffer make no event of their own. */
	while (connection->state == OPEN && connection->stalled &&
	       out_pending(connection) <= NG_SERVER_OUTPUT_MAX / 2) {
		if (!messages_take(connection) || !out_flush(connection))
			return false;
	}
	if (connection->stalled && (connection->events & EPOLLIN))
		server->counters[NG_SERVER_STALLED]++;
	if (connection->state == LAST_WORDS && out_pending(connection) == 0) {
		shutdown(connection->watch.fd, SHUT_WR);
		connection->state = LINGER;
	}
	if (out_pending(connection) > 0)
		events |= EPOLLOUT;
	if ((connection->state == OPEN && !connection->stalled) || connection->state == LINGER)
		events |= EPOLLIN;
	if (events != connection->events) {
		connection->events = events;
		loop_fd_change(server->loop, &connection->watch, events);
	}
	return true;
}

static void connection_ready(struct loop_fd *watch, uint32_t events)
{
	struct ng_connection *connection = list_entry(watch, struct ng_connection, watch);
	bool alive = true;

	if ((events & EPOLLIN) && (connection->events & EPOLLIN))
		alive = connection_read(connection);
	else if (events & (EPOLLHUP | EPOLLERR))
		alive = false;
	if (!alive || !connection_settle(connection))
		connection_close(connection);
}

static int connection_open(struct ng_listener *listener, int fd)
{
	struct ng_connection *connection = calloc(1, sizeof(*connection));
	int one = 1, rc;

	if (!connection)
		return -ENOMEM;
	/* Fails on a Unix socket, which has no delay to turn off. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connection->listener = listener;
	connection->watch.fd = fd;
	connection->watch.ready = connection_ready;
	connection->events = EPOLLIN;
	timer_init(&connection->close, close_expired);
	rc = loop_fd_add(listener->server->loop, &connection->watch, EPOLLIN);
	if (rc < 0) {
		free(connection);
		return rc;
	}
	list_append(&listener->connections, &connection->node);
	listener->connections_count++;
	return 0;
}

/* ---- listening ---- */

static void listener_ready(struct loop_fd *watch, uint32_t events)
{
	struct ng_listener *listener = list_entry(watch, struct ng_listener, watch);
	struct ng_server *server = listener->server;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
				return;
			/* Out of descriptors or memory: the socket stays readable, so wait a
			 * little. */
			loop_fd_change(server->loop, watch, 0);
			timer_start(loop_timers(server->loop), &listener->again,
				    loop_now_ms(server->loop) + ACCEPT_PAUSE_MS);
			return;
		}
		if (listener->connections_count >= NG_SERVER_CONNECTIONS_MAX) {
			server->counters[NG_SERVER_CONNECTIONS_FULL]++;
			close(fd);
		} else if (connection_open(listener, fd) < 0) {
			close(fd);
		} else {
			server->counters[NG_SERVER_CONNECTIONS]++;
		}
	}
}

static void again_expired(struct timer *timer, uint64_t now_ms)
{
	struct ng_listener *listener = list_entry(timer, struct ng_listener, again);

	(void)now_ms;
	loop_fd_change(listener->server->loop, &listener->watch, EPOLLIN);
}

void ng_listener_init(struct ng_listener *listener, struct ng_server *server)
{
	listener->server = server;
	listener->watch.fd = -1;
	listener->watch.ready = listener_ready;
	timer_init(&listener->again, again_expired);
	list_init(&listener->connections);
}

/* Takes fd over when it returns 0. */
int ng_listener_open(struct ng_listener *listener, int fd)
{
	int rc;

	if (listen(fd, NG_SERVER_CONNECTIONS_MAX) < 0)
		return -errno;
	listener->watch.fd = fd;
	rc = loop_fd_add(listener->server->loop, &listener->watch, EPOLLIN);
	if (rc < 0)
		listener->watch.fd = -1;
	return rc;
}

void ng_listener_close(struct ng_listener *listener)
{
	if (listener->watch.fd < 0)
		return;
	while (!list_is_empty(&listener->connections))
		connection_close(
			list_entry(listener->connections.next, struct ng_connection, node));
	timer_stop(loop_timers(listener->server->loop), &listener->again);
	loop_fd_del(listener->server->loop, &listener->watch);
	close(listener->watch.fd);
	listener->watch.fd = -1;
}

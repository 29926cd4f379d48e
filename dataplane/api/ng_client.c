/*
 * The ng client. Each request keeps its bytes until it is answered or its time is over; a stream
 * that comes back gets all of them again with their cookies, which the server's kept replies make
 * harmless. So a server that restarts within the time limit is not noticed.
 *
 *   send --> requests (by number, oldest first) --> out --> socket
 *                                                          |
 *   replied() <-- found by the number in the cookie <-- in <--+
 */
#include "dataplane/api/ng_client.h"

#include "dataplane/api/ng_frame.h"
#include "dataplane/base/address.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMEOUT_MS_DEFAULT 3000
#define PENDING_BYTES_MAX  ((size_t)64 << 20)
#define REPLY_ARENA_BYTES  ((size_t)16 << 20)
#define REPLY_BYTES_MAX    (NG_COOKIE_MAX + 1 + NG_MESSAGE_MAX)
#define DATAGRAM_MAX       65507
#define RESEND_MS_FIRST    250
#define RECONNECT_MS_FIRST 50
#define RECONNECT_MS_LAST  1000
#define BUCKETS            4096
#define TOKEN_LEN          8
#define READ_BYTES         65536

enum transport { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_UNIX };
enum state { STATE_AWAY, STATE_CONNECTING, STATE_CONNECTED };

struct request {
	struct list node;   /* of client->requests */
	struct list bucket; /* of client->buckets */
	struct timer timer;
	struct ng_client *client;
	uint64_t number;
	uint64_t deadline_ms;
	uint32_t resend_ms; /* UDP: until the next repetition */
	ng_reply_fn *replied;
	void *arg;
	size_t len;
	char text[];
};

struct ng_client {
	struct loop *loop;
	enum transport transport;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	uint32_t timeout_ms;
	enum state state;
	int last_error; /* of the latest attempt to connect, 0 when it worked */
	bool destroying;
	struct loop_fd watch;
	uint32_t events; /* EPOLL* of watch */
	struct timer reconnect;
	uint32_t reconnect_ms;
	/* what this client's cookies begin with */
	char token[TOKEN_LEN + 1];
	uint64_t next_number;
	struct list requests;
	struct list buckets[BUCKETS];
	uint32_t pending;
	size_t pending_bytes;
	struct ng_arena *arena;
	/* stream: not yet taken by the kernel */
	char *out;
	size_t out_at, out_len, out_size;
	/* stream: not yet a whole message; UDP: one datagram */
	struct ng_frame frame;
	char *in;
	size_t in_len, in_size;
	char build[NG_MESSAGE_MAX];
};

static void stream_connect(struct ng_client *client);
static void stream_flush(struct ng_client *client);

/* ---- requests ---- */

static void request_free(struct request *request)
{
	struct ng_client *client = request->client;

	timer_stop(loop_timers(client->loop), &request->timer);
	list_remove(&request->node);
	list_remove(&request->bucket);
	client->pending--;
	client->pending_bytes -= request->len;
	free(request);
}

static void request_finish(struct request *request, int error, const struct ng_value *reply)
{
	ng_reply_fn *replied = request->replied;
	void *arg = request->arg;

	request_free(request);
	replied(arg, error, reply);
}

static struct request *request_find(struct ng_client *client, uint64_t number)
{
	struct list *head = &client->buckets[number % BUCKETS], *node;

	list_each (node, head) {
		struct request *request = list_entry(node, struct request, bucket);

		if (request->number == number)
			return request;
	}
	return NULL;
}

static void datagram_send(struct ng_client *client, const struct request *request)
{
	/* The kernel tells of an earlier datagram that nobody took in place of sending this one.
	 * What is not sent after all is like lost on the way: it is repeated. */
	for (int i = 0; i < 2; i++) {
		if (send(client->watch.fd, request->text, request->len, MSG_NOSIGNAL) >= 0)
			return;
		client->last_error = -errno;
		client->state = STATE_AWAY;
	}
}

static void request_expired(struct timer *timer, uint64_t now_ms)
{
	struct request *request = list_entry(timer, struct request, timer);
	struct ng_client *client = request->client;
	uint64_t next_ms;

	if (now_ms >= request->deadline_ms) {
		bool refused = client->last_error != 0 && client->state != STATE_CONNECTED;

		if (client->transport == TRANSPORT_UDP)
			client->state = STATE_AWAY;
		request_finish(request, refused ? client->last_error : -ETIMEDOUT, NULL);
		return;
	}
	datagram_send(client, request);
	request->resend_ms *= 2;
	next_ms = now_ms + request->resend_ms;
	timer_start(loop_timers(client->loop), timer,
		    next_ms < request->deadline_ms ? next_ms : request->deadline_ms);
}

/* ---- replies ---- */

/* The number in a cookie of ours, "TOKEN_NUMBER". */
static bool cookie_number(const struct ng_client *client, const char *cookie, size_t len,
			  uint64_t *number)
{
	uint64_t value = 0;

	if (len <= TOKEN_LEN + 1 || len > TOKEN_LEN + 20 ||
	    memcmp(cookie, client->token, TOKEN_LEN) != 0 || cookie[TOKEN_LEN] != '_')
		return false;
	for (size_t i = TOKEN_LEN + 1; i < len; i++) {
		if (cookie[i] < '0' || cookie[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(cookie[i] - '0');
	}
	*number = value;
	return true;
}

static void reply_take(struct ng_client *client, const char *cookie, size_t cookie_len,
		       const char *dictionary, size_t n)
{
	enum ng_encoding encoding;
	struct request *request;
	struct ng_value *reply;
	const char *reason;
	uint64_t number;
	int64_t used;

	if (!cookie_number(client, cookie, cookie_len, &number))
		return;
	request = request_find(client, number);
	if (!request) /* repeated, or too late */
		return;
	ng_arena_reset(client->arena);
	used = ng_parse(client->arena, dictionary, n, &reply, &encoding, &reason);
	if (used < 0) {
		log_warn("ng reply broken: %s", reason ? reason : "Message ends too early");
		request_finish(request, used == -ENOMEM ? -ENOMEM : -EBADMSG, NULL);
		return;
	}
	request_finish(request, 0, reply);
}

/* ---- UDP ---- */

static void datagram_ready(struct loop_fd *watch, uint32_t events)
{
	struct ng_client *client = list_entry(watch, struct ng_client, watch);

	(void)events;
	for (int i = 0; i < 64; i++) {
		const char *cookie, *dictionary;
		size_t cookie_len, dictionary_len;
		ssize_t n = recv(watch->fd, client->in, client->in_size, 0);

		if (n < 0) {
			if (errno == ECONNREFUSED) {
				client->state = STATE_AWAY;
				client->last_error = -ECONNREFUSED;
				continue;
			}
			return;
		}
		if (ng_datagram_split(client->in, (size_t)n, &cookie, &cookie_len, &dictionary,
				      &dictionary_len) < 0)
			continue;
		client->state = STATE_CONNECTED;
		client->last_error = 0;
		reply_take(client, cookie, cookie_len, dictionary, dictionary_len);
	}
}

static int datagram_open(struct ng_client *client)
{
	int fd = socket(client->peer.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	client->watch.fd = fd;
	client->watch.ready = datagram_ready;
	if (connect(fd, (const struct sockaddr *)&client->peer, client->peer_len) < 0)
		return -errno;
	client->in_size = REPLY_BYTES_MAX;
	client->in = malloc(client->in_size);
	if (!client->in)
		return -ENOMEM;
	rc = loop_fd_add(client->loop, &client->watch, EPOLLIN);
	return rc;
}

/* ---- streams ---- */

static void stream_close(struct ng_client *client)
{
	if (client->watch.fd >= 0) {
		loop_fd_del(client->loop, &client->watch);
		close(client->watch.fd);
		client->watch.fd = -1;
	}
	client->state = STATE_AWAY;
	client->out_at = client->out_len = client->in_len = 0;
	memset(&client->frame, 0, sizeof(client->frame));
}

static void stream_lost(struct ng_client *client, int error)
{
	if (client->state == STATE_CONNECTED)
		log_warn("ng connection lost: %s", strerror(-error));
	client->last_error = error;
	stream_close(client);
	timer_start(loop_timers(client->loop), &client->reconnect,
		    loop_now_ms(client->loop) + client->reconnect_ms);
	client->reconnect_ms = client->reconnect_ms * 2 < RECONNECT_MS_LAST
				       ? client->reconnect_ms * 2
				       : RECONNECT_MS_LAST;
}

/* Appends to what goes out. False without memory: the connection is of no use then. */
static bool stream_append(struct ng_client *client, const struct request *request)
{
	if (client->out_at > 0) {
		memmove(client->out, client->out + client->out_at,
			client->out_len - client->out_at);
		client->out_len -= client->out_at;
		client->out_at = 0;
	}
	if (client->out_len + request->len > client->out_size) {
		size_t size = (client->out_len + request->len) * 2;
		char *out = realloc(client->out, size);

		if (!out)
			return false;
		client->out = out;
		client->out_size = size;
	}
	memcpy(client->out + client->out_len, request->text, request->len);
	client->out_len += request->len;
	return true;
}

static void stream_flush(struct ng_client *client)
{
	uint32_t events = EPOLLIN;

	while (client->out_at < client->out_len) {
		ssize_t n = send(client->watch.fd, client->out + client->out_at,
				 client->out_len - client->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			events |= EPOLLOUT;
			break;
		}
		if (n < 0) {
			stream_lost(client, -errno);
			return;
		}
		client->out_at += (size_t)n;
	}
	if (events != client->events) {
		client->events = events;
		loop_fd_change(client->loop, &client->watch, events);
	}
}

/* Everything that has no answer yet goes out, again if it was sent before. */
static void stream_connected(struct ng_client *client)
{
	struct list *node;

	client->state = STATE_CONNECTED;
	client->last_error = 0;
	client->reconnect_ms = RECONNECT_MS_FIRST;
	list_each (node, &client->requests) {
		if (!stream_append(client, list_entry(node, struct request, node))) {
			stream_lost(client, -ENOMEM);
			return;
		}
	}
	stream_flush(client);
}

/* Takes whole messages off client->in. False when the stream makes no sense. */
static bool stream_take(struct ng_client *client)
{
	size_t start = 0;

	for (;;) {
		struct ng_frame *frame = &client->frame;
		const char *text = client->in + start, *reason;
		int64_t used = ng_frame_scan(frame, text, client->in_len - start, &reason);
		struct ng_frame found = *frame;
		size_t dictionary;

		if (used == -EAGAIN)
			break;
		if (used < 0) {
			log_warn("ng reply broken: %s", reason);
			return false;
		}
		memset(frame, 0, sizeof(*frame));
		start += (size_t)used;
		dictionary = found.cookie_start + found.cookie_len + 1;
		reply_take(client, text + found.cookie_start, found.cookie_len, text + dictionary,
			   (size_t)used - dictionary);
		if (client->state != STATE_CONNECTED) /* lost by a request sent in the callback */
			return true;
	}
	memmove(client->in, client->in + start, client->in_len - start);
	client->in_len -= start;
	return true;
}

static void stream_read(struct ng_client *client)
{
	ssize_t n;

	if (client->in_size - client->in_len < READ_BYTES) {
		size_t size = client->in_len + 2 * READ_BYTES;
		char *in = realloc(client->in, size);

		if (!in) {
			stream_lost(client, -ENOMEM);
			return;
		}
		client->in = in;
		client->in_size = size;
	}
	n = recv(client->watch.fd, client->in + client->in_len, READ_BYTES, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		stream_lost(client, n < 0 ? -errno : -ECONNRESET);
		return;
	}
	client->in_len += (size_t)n;
	if (!stream_take(client))
		stream_lost(client, -EBADMSG);
}

static void stream_ready(struct loop_fd *watch, uint32_t events)
{
	struct ng_client *client = list_entry(watch, struct ng_client, watch);

	if (client->state == STATE_CONNECTING) {
		socklen_t len = sizeof(int);
		int error = 0;

		if (getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
			error = errno;
		if (error)
			stream_lost(client, -error);
		else if (events & EPOLLOUT)
			stream_connected(client);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		stream_read(client);
	if (client->state == STATE_CONNECTED && (events & EPOLLOUT))
		stream_flush(client);
}

static void stream_connect(struct ng_client *client)
{
	int one = 1, rc;

	client->watch.fd =
		socket(client->peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->watch.fd < 0) {
		stream_lost(client, -errno);
		return;
	}
	if (client->transport == TRANSPORT_TCP)
		setsockopt(client->watch.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	client->watch.ready = stream_ready;
	rc = connect(client->watch.fd, (const struct sockaddr *)&client->peer, client->peer_len);
	rc = rc < 0 ? -errno : 0;
	if (rc < 0 && rc != -EINPROGRESS) {
		stream_lost(client, rc);
		return;
	}
	client->state = STATE_CONNECTING;
	client->events = EPOLLOUT;
	rc = loop_fd_add(client->loop, &client->watch, client->events);
	if (rc < 0)
		stream_lost(client, rc);
}

static void reconnect_expired(struct timer *timer, uint64_t now_ms)
{
	(void)now_ms;
	stream_connect(list_entry(timer, struct ng_client, reconnect));
}

/* ---- the client ---- */

static int address_read(struct ng_client *client, const char *address)
{
	struct sockaddr_un *path = (struct sockaddr_un *)&client->peer;
	struct endpoint endpoint;

	if (strncmp(address, "unix:", 5) == 0) {
		size_t len = strlen(address + 5);

		if (len == 0 || len >= sizeof(path->sun_path))
			return -EINVAL;
		client->transport = TRANSPORT_UNIX;
		path->sun_family = AF_UNIX;
		memcpy(path->sun_path, address + 5, len + 1);
		client->peer_len = sizeof(*path);
		return 0;
	}
	if (strncmp(address, "udp:", 4) == 0)
		client->transport = TRANSPORT_UDP;
	else if (strncmp(address, "tcp:", 4) == 0)
		client->transport = TRANSPORT_TCP;
	else
		return -EINVAL;
	if (endpoint_parse(&endpoint, address + 4, strlen(address + 4)) < 0 || endpoint.port == 0)
		return -EINVAL;
	client->peer_len = endpoint_to_sockaddr(&endpoint, &client->peer);
	return 0;
}

int ng_client_create(struct ng_client **out, struct loop *loop, const char *address,
		     uint32_t timeout_ms)
{
	struct ng_client *client = calloc(1, sizeof(*client));
	int rc;

	*out = NULL;
	if (!client)
		return -ENOMEM;
	client->loop = loop;
	client->timeout_ms = timeout_ms ? timeout_ms : TIMEOUT_MS_DEFAULT;
	client->watch.fd = -1;
	client->reconnect_ms = RECONNECT_MS_FIRST;
	timer_init(&client->reconnect, reconnect_expired);
	list_init(&client->requests);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&client->buckets[i]);
	random_token(client->token, TOKEN_LEN);
	rc = address_read(client, address);
	if (rc == 0)
		rc = ng_arena_create(&client->arena, REPLY_ARENA_BYTES);
	if (rc == 0 && client->transport == TRANSPORT_UDP)
		rc = datagram_open(client);
	if (rc < 0) {
		ng_client_destroy(client);
		return rc;
	}
	if (client->transport != TRANSPORT_UDP)
		stream_connect(client);
	*out = client;
	return 0;
}

void ng_client_destroy(struct ng_client *client)
{
	if (!client)
		return;
	client->destroying = true;
	while (!list_is_empty(&client->requests))
		request_finish(list_entry(client->requests.next, struct request, node), -ECANCELED,
			       NULL);
	assert(client->pending == 0 && client->pending_bytes == 0);
	timer_stop(loop_timers(client->loop), &client->reconnect);
	stream_close(client);
	ng_arena_destroy(client->arena);
	free(client->out);
	free(client->in);
	free(client);
}

int ng_client_send(struct ng_client *client, const struct ng_value *dictionary,
		   ng_reply_fn *replied, void *arg)
{
	uint64_t now_ms = loop_now_ms(client->loop);
	struct request *request;
	size_t cookie_len;
	int64_t n;

	if (client->destroying)
		return -ECANCELED;
	if (!dictionary) /* its arena was full */
		return -ENOMEM;
	n = ng_build(dictionary, NG_BENCODE, client->build, sizeof(client->build));
	if (n < 0 || (client->transport == TRANSPORT_UDP && n > DATAGRAM_MAX - TOKEN_LEN - 22))
		return -EMSGSIZE;
	if (client->pending >= NG_CLIENT_PENDING_MAX ||
	    client->pending_bytes + (size_t)n > PENDING_BYTES_MAX)
		return -ENOSPC;
	request = calloc(1, sizeof(*request) + TOKEN_LEN + 24 + (size_t)n);
	if (!request)
		return -ENOMEM;
	request->client = client;
	request->replied = replied;
	request->arg = arg;
	request->number = client->next_number++;
	cookie_len =
		(size_t)sprintf(request->text, "%s_%" PRIu64 " ", client->token, request->number);
	memcpy(request->text + cookie_len, client->build, (size_t)n);
	request->len = cookie_len + (size_t)n;
	list_append(&client->requests, &request->node);
	list_append(&client->buckets[request->number % BUCKETS], &request->bucket);
	client->pending++;
	client->pending_bytes += request->len;
	request->deadline_ms = now_ms + client->timeout_ms;
	timer_init(&request->timer, request_expired);
	if (client->transport == TRANSPORT_UDP) {
		request->resend_ms = RESEND_MS_FIRST;
		datagram_send(client, request);
	} else if (client->state == STATE_CONNECTED) {
		if (stream_append(client, request))
			stream_flush(client);
		else
			stream_lost(client, -ENOMEM);
	}
	timer_start(loop_timers(client->loop), &request->timer,
		    request->resend_ms && request->resend_ms < client->timeout_ms
			    ? now_ms + request->resend_ms
			    : request->deadline_ms);
	return 0;
}

void ng_client_forget(struct ng_client *client, void *arg)
{
	struct list *node, *after;

	list_each_safe (node, after, &client->requests) {
		struct request *request = list_entry(node, struct request, node);

		if (request->arg == arg)
			request_free(request);
	}
}

bool ng_client_is_connected(const struct ng_client *client)
{
	return client->state == STATE_CONNECTED;
}

/*
 * SIP over TCP: accepted and opened connections, found by their id (a message's flow) or by the
 * remote end (reuse). Messages are cut out of the stream wherever the segments end.
 *
 *   CONNECTING -> OPEN -> CLOSING (what is queued still goes) -> dead, freed at the end of the
 * round
 *
 * A connection is closed when it has been idle for long, and soon when its peer holds back: no
 * first message, half a message, or no reading of what we send.
 */
#include "control/sip/internal.h"

#include "dataplane/base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define BUCKETS         1024
#define RX_FIRST        4096
#define RX_MAX          (2 * 65536)
#define TX_MAX          (1024 * 1024)
#define PATIENCE_MS     30000 /* for a peer that holds back */
#define ACCEPT_BURST    64
#define ACCEPT_PAUSE_MS 1000 /* without descriptors */
#define LISTEN_BACKLOG  1024

struct connection {
	struct loop_fd watch;
	struct list by_id;
	struct list by_remote;
	struct list dead_node;
	struct sip_transport *tcp;
	struct sip_flow flow; /* local port: the listening one, which peers may call */
	struct timer timer;
	uint64_t active_ms;  /* last byte in or out */
	uint64_t waiting_ms; /* since when it holds back; 0 = it does not */
	uint32_t events;     /* watched */
	bool connecting;
	bool closing;
	bool broken; /* found while sending; closed from the timer */
	bool dead;
	char *rx;
	uint32_t rx_n;
	uint32_t rx_size;
	uint32_t rx_scanned;
	char *tx;
	uint32_t tx_at;
	uint32_t tx_n;
	uint32_t tx_size;
};

struct tcp_listener {
	struct loop_fd watch;
	struct sip_transport *tcp;
	struct endpoint bound;
	struct timer pause;
};

struct sip_transport {
	struct sip_stack *stack;
	struct tcp_listener listeners[SIP_LISTENERS_MAX];
	uint32_t listeners_count;
	uint64_t next_id;
	uint32_t connections;
	struct list dead;
	struct list by_id[BUCKETS];
	struct list by_remote[BUCKETS];
};

static uint32_t remote_bucket(const struct sip_stack *stack, const struct address *a)
{
	struct siphash hash;
	uint64_t out[2];

	siphash_init(&hash, &stack->hash_key);
	siphash_add(&hash, a->ip, sizeof(a->ip));
	siphash_finish(&hash, out);
	return (uint32_t)(out[0] % BUCKETS);
}

static void connection_free(struct connection *c)
{
	list_remove(&c->dead_node);
	free(c->rx);
	free(c->tx);
	free(c);
}

/* Out of every table at once, freed when nobody on the stack can hold it. */
static void connection_kill(struct connection *c)
{
	struct sip_transport *tcp = c->tcp;

	if (c->dead)
		return;
	c->dead = true;
	loop_fd_del(tcp->stack->loop, &c->watch);
	close(c->watch.fd);
	c->watch.fd = -1;
	timer_stop(tcp->stack->timers, &c->timer);
	list_remove(&c->by_id);
	list_remove(&c->by_remote);
	list_append(&tcp->dead, &c->dead_node);
	tcp->connections--;
	tcp->stack->connections--;
	count(tcp->stack, SIP_COUNTER_connections_closed);
}

/* Kills it and tells the transactions that wait on it. */
static void connection_lose(struct connection *c, int error)
{
	if (c->dead)
		return;
	connection_kill(c);
	sip_transport_failed(c->tcp->stack, &c->flow, error);
}

static void connection_watch(struct connection *c)
{
	uint32_t events = c->closing ? 0 : EPOLLIN;

	if (c->connecting || c->tx_n > c->tx_at)
		events |= EPOLLOUT;
	if (events != c->events && !c->dead) {
		c->events = events;
		loop_fd_change(c->tcp->stack->loop, &c->watch, events);
	}
}

/* Patience runs while the peer owes something. */
static void connection_wait(struct connection *c, bool owed)
{
	uint64_t now_ms = sip_stack_now_ms(c->tcp->stack);

	c->active_ms = now_ms;
	if (!owed)
		c->waiting_ms = 0;
	else if (c->waiting_ms == 0)
		c->waiting_ms = now_ms;
}

static uint64_t connection_deadline(const struct connection *c)
{
	uint64_t idle_ms = c->active_ms + (uint64_t)c->tcp->stack->idle_timeout_s * 1000;

	if (c->broken)
		return 0;
	if (c->waiting_ms != 0 && c->waiting_ms + PATIENCE_MS < idle_ms)
		return c->waiting_ms + PATIENCE_MS;
	return idle_ms;
}

static void connection_timer_start(struct connection *c)
{
	uint64_t now_ms = sip_stack_now_ms(c->tcp->stack);
	uint64_t at_ms = connection_deadline(c);

	/* looked at often enough to notice a peer that begins to hold back */
	if (at_ms > now_ms + PATIENCE_MS)
		at_ms = now_ms + PATIENCE_MS;
	timer_start(c->tcp->stack->timers, &c->timer, at_ms);
}

static void connection_expired(struct timer *timer, uint64_t now_ms)
{
	struct connection *c = list_entry(timer, struct connection, timer);

	if (connection_deadline(c) <= now_ms)
		connection_lose(c, ETIMEDOUT);
	else
		connection_timer_start(c);
}

/* ---- sending ---- */

/* Writes what is queued; -errno when the connection is broken. */
static int tx_drain(struct connection *c)
{
	while (c->tx_at < c->tx_n) {
		ssize_t sent = send(c->watch.fd, c->tx + c->tx_at, c->tx_n - c->tx_at,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0)
			return -errno;
		c->tx_at += (uint32_t)sent;
		c->waiting_ms = 0;
	}
	if (c->tx_at == c->tx_n) {
		free(c->tx);
		c->tx = NULL;
		c->tx_at = c->tx_n = c->tx_size = 0;
	}
	connection_wait(c, c->tx_n > 0);
	return 0;
}

static int tx_queue(struct connection *c, const char *bytes, uint32_t n)
{
	if (c->tx_n - c->tx_at + n > TX_MAX)
		return -ENOBUFS;
	if (c->tx_at > 0) {
		memmove(c->tx, c->tx + c->tx_at, c->tx_n - c->tx_at);
		c->tx_n -= c->tx_at;
		c->tx_at = 0;
	}
	if (c->tx_n + n > c->tx_size) {
		uint32_t size = c->tx_n + n + 2048;
		char *larger = realloc(c->tx, size);

		if (!larger)
			return -ENOMEM;
		c->tx = larger;
		c->tx_size = size;
	}
	memcpy(c->tx + c->tx_n, bytes, n);
	c->tx_n += n;
	return 0;
}

/* Sends at once what goes, queues the rest. A broken connection is left to the timer: this may be
 * inside sip_request_send(), where no callback is allowed. */
static int connection_send(struct connection *c, const char *bytes, uint32_t n)
{
	int rc = tx_queue(c, bytes, n);

	if (rc < 0) {
		count(c->tcp->stack, SIP_COUNTER_send_full);
		return rc;
	}
	if (c->connecting)
		return 0;
	rc = tx_drain(c);
	if (rc < 0) {
		c->closing = true;
		c->broken = true;
		connection_timer_start(c);
		return rc;
	}
	connection_watch(c);
	return 0;
}

/* ---- receiving ---- */

/* The head of what cannot be framed still gets its 400 or 513; then nothing more is read. */
static void stream_broken(struct connection *c, const char *head, uint32_t n)
{
	count(c->tcp->stack, SIP_COUNTER_stream_broken);
	if (n > 0)
		sip_transport_received(c->tcp->stack, &c->flow, head, n);
	c->closing = true;
	c->rx_n = 0;
}

/* Hands over every whole message. Callbacks may kill the connection. */
static void rx_take(struct connection *c)
{
	struct sip_stack *stack = c->tcp->stack;
	uint32_t at = 0;

	while (!c->dead && !c->closing && at < c->rx_n) {
		const char *reason;
		uint32_t skip;
		uint32_t size;
		enum sip_stream_result result =
			sip_stream_next(c->rx + at, c->rx_n - at, &c->rx_scanned, &skip, &size,
					&reason);

		if (result == SIP_STREAM_MORE)
			break;
		if (result == SIP_STREAM_BROKEN) {
			stream_broken(c, c->rx + at + skip, size);
			break;
		}
		c->rx_scanned = 0;
		if (result == SIP_STREAM_KEEPALIVE) {
			count(stack, SIP_COUNTER_keepalives);
			connection_send(c, "\r\n", 2);
		} else {
			sip_transport_received(stack, &c->flow, c->rx + at + skip, size);
		}
		at += skip + size;
		c->waiting_ms = 0;
	}
	if (c->dead || c->closing)
		return;
	memmove(c->rx, c->rx + at, c->rx_n - at);
	c->rx_n -= at;
}

static int rx_grow(struct connection *c)
{
	uint32_t size = c->rx_size > 0 ? c->rx_size * 2 : RX_FIRST;
	char *larger;

	if (c->rx_n < c->rx_size)
		return 0;
	if (size > RX_MAX)
		return -EMSGSIZE;
	larger = realloc(c->rx, size);
	if (!larger)
		return -ENOMEM;
	c->rx = larger;
	c->rx_size = size;
	return 0;
}

static void rx_read(struct connection *c)
{
	ssize_t got;
	int rc = rx_grow(c);

	if (rc < 0) {
		connection_lose(c, -rc);
		return;
	}
	got = recv(c->watch.fd, c->rx + c->rx_n, c->rx_size - c->rx_n, MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
		connection_lose(c, got == 0 ? ECONNRESET : errno);
		return;
	}
	if (got < 0)
		return;
	c->rx_n += (uint32_t)got;
	rx_take(c);
	if (c->dead)
		return;
	/* a single CRLF is the answer to a ping, not the begin of a message */
	connection_wait(c, c->tx_n > 0 || c->rx_n > 2);
	if (c->rx_n == 0) {
		free(c->rx);
		c->rx = NULL;
		c->rx_size = 0;
	}
}

static void connection_ready(struct loop_fd *watch, uint32_t events)
{
	struct connection *c = list_entry(watch, struct connection, watch);
	int rc = 0;

	if (c->connecting && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		int error = 0;
		socklen_t n = sizeof(error);

		getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &n);
		if (error != 0) {
			connection_lose(c, error);
			return;
		}
		c->connecting = false;
	}
	if (events & EPOLLOUT)
		rc = tx_drain(c);
	if (rc == 0 && events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
		if (c->closing)
			rc = events & (EPOLLERR | EPOLLHUP) ? -ECONNRESET : 0;
		else
			rx_read(c);
	}
	if (!c->dead && (rc < 0 || (c->closing && c->tx_n == 0)))
		connection_lose(c, rc < 0 ? -rc : ECONNRESET);
	if (!c->dead)
		connection_watch(c);
}

/* ---- making ---- */

/* Owns fd from here on, also on failure (NULL). */
static struct connection *connection_add(struct sip_transport *tcp, int fd,
					 const struct endpoint *local,
					 const struct endpoint *remote, bool connecting)
{
	struct sip_stack *stack = tcp->stack;
	struct connection *c = calloc(1, sizeof(*c));
	int one = 1;

	if (!c) {
		count(stack, SIP_COUNTER_no_memory);
		close(fd);
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->tcp = tcp;
	c->watch = (struct loop_fd){.fd = fd, .ready = connection_ready};
	c->connecting = connecting;
	c->events = connecting ? EPOLLIN | EPOLLOUT : EPOLLIN;
	c->flow = (struct sip_flow){
		.transport = SIP_TRANSPORT_TCP,
		.local = *local,
		.remote = *remote,
		.connection = tcp->next_id++,
	};
	list_init(&c->dead_node);
	timer_init(&c->timer, connection_expired);
	if (loop_fd_add(stack->loop, &c->watch, c->events) < 0) {
		close(fd);
		free(c);
		return NULL;
	}
	list_append(&tcp->by_id[c->flow.connection % BUCKETS], &c->by_id);
	list_append(&tcp->by_remote[remote_bucket(stack, &remote->address)], &c->by_remote);
	tcp->connections++;
	stack->connections++;
	connection_wait(c, true);
	connection_timer_start(c);
	return c;
}

/* Limits: all connections, and half of them for one address. */
static bool may_accept(const struct sip_transport *tcp, const struct address *source)
{
	struct sip_stack *stack = tcp->stack;
	const struct list *head = &tcp->by_remote[remote_bucket(stack, source)];
	const struct list *node;
	uint32_t its = 0;

	if (stack->connections >= stack->connections_max) {
		count(stack, SIP_COUNTER_connections_full);
		return false;
	}
	if (stack->connections < stack->connections_max / 2)
		return true;
	list_each (node, head) {
		const struct connection *c = list_entry(node, struct connection, by_remote);

		its += address_equal(&c->flow.remote.address, source);
	}
	if (its < stack->connections_max / 2)
		return true;
	count(stack, SIP_COUNTER_connections_refused);
	return false;
}

static void listener_resume(struct timer *timer, uint64_t now_ms)
{
	struct tcp_listener *l = list_entry(timer, struct tcp_listener, pause);

	(void)now_ms;
	loop_fd_change(l->tcp->stack->loop, &l->watch, EPOLLIN);
}

static void listener_ready(struct loop_fd *watch, uint32_t events)
{
	struct tcp_listener *l = list_entry(watch, struct tcp_listener, watch);
	struct sip_transport *tcp = l->tcp;

	(void)events;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		struct sockaddr_storage ss;
		socklen_t n = sizeof(ss);
		struct endpoint remote;
		struct endpoint local;
		int fd = accept4(watch->fd, (struct sockaddr *)&ss, &n,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			count(tcp->stack, SIP_COUNTER_connections_full);
			loop_fd_change(tcp->stack->loop, watch, 0);
			timer_start(tcp->stack->timers, &l->pause,
				    sip_stack_now_ms(tcp->stack) + ACCEPT_PAUSE_MS);
			return;
		}
		if (fd < 0)
			return;
		if (endpoint_from_sockaddr(&remote, (struct sockaddr *)&ss) < 0 ||
		    !may_accept(tcp, &remote.address)) {
			close(fd);
			continue;
		}
		n = sizeof(ss);
		if (getsockname(fd, (struct sockaddr *)&ss, &n) < 0 ||
		    endpoint_from_sockaddr(&local, (struct sockaddr *)&ss) < 0) {
			close(fd);
			continue;
		}
		if (connection_add(tcp, fd, &local, &remote, false))
			count(tcp->stack, SIP_COUNTER_connections_accepted);
	}
}

static int listener_open(struct tcp_listener *l, int fd, const struct endpoint *at)
{
	struct sockaddr_storage ss;
	socklen_t n = endpoint_to_sockaddr(at, &ss);
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!address_is_v4(&at->address) &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&ss, n) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
		return -errno;
	n = sizeof(ss);
	if (getsockname(fd, (struct sockaddr *)&ss, &n) < 0)
		return -errno;
	return endpoint_from_sockaddr(&l->bound, (struct sockaddr *)&ss);
}

static int tcp_listen(struct sip_transport *tcp, const struct endpoint *at, struct endpoint *bound)
{
	struct tcp_listener *l = &tcp->listeners[tcp->listeners_count];
	int fd = socket(address_is_v4(&at->address) ? AF_INET : AF_INET6,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	l->tcp = tcp;
	l->watch = (struct loop_fd){.fd = fd, .ready = listener_ready};
	timer_init(&l->pause, listener_resume);
	rc = listener_open(l, fd, at);
	if (rc == 0)
		rc = loop_fd_add(tcp->stack->loop, &l->watch, EPOLLIN);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*bound = l->bound;
	tcp->listeners_count++;
	return 0;
}

static int tcp_create(struct sip_stack *stack, struct sip_transport **out)
{
	struct sip_transport *tcp = calloc(1, sizeof(*tcp));

	if (!tcp)
		return -ENOMEM;
	tcp->stack = stack;
	/* an id kept from the last run of the process names no connection of this one */
	tcp->next_id = clock_real_ns();
	list_init(&tcp->dead);
	for (int i = 0; i < BUCKETS; i++) {
		list_init(&tcp->by_id[i]);
		list_init(&tcp->by_remote[i]);
	}
	*out = tcp;
	return 0;
}

static void tcp_flush(struct sip_transport *tcp)
{
	while (!list_is_empty(&tcp->dead))
		connection_free(list_entry(tcp->dead.next, struct connection, dead_node));
}

static void tcp_destroy(struct sip_transport *tcp)
{
	for (int i = 0; i < BUCKETS; i++) {
		while (!list_is_empty(&tcp->by_id[i]))
			connection_kill(list_entry(tcp->by_id[i].next, struct connection, by_id));
	}
	tcp_flush(tcp);
	for (uint32_t i = 0; i < tcp->listeners_count; i++) {
		timer_stop(tcp->stack->timers, &tcp->listeners[i].pause);
		loop_fd_del(tcp->stack->loop, &tcp->listeners[i].watch);
		close(tcp->listeners[i].watch.fd);
	}
	free(tcp);
}

static struct connection *connection_find(struct sip_transport *tcp, const struct sip_flow *flow)
{
	const struct list *head = &tcp->by_id[flow->connection % BUCKETS];
	const struct list *node;

	list_each (node, head) {
		struct connection *c = list_entry(node, struct connection, by_id);

		if (c->flow.connection == flow->connection && !c->closing)
			return c;
	}
	head = &tcp->by_remote[remote_bucket(tcp->stack, &flow->remote.address)];
	list_each (node, head) {
		struct connection *c = list_entry(node, struct connection, by_remote);

		if (endpoint_equal(&c->flow.remote, &flow->remote) && !c->closing)
			return c;
	}
	return NULL;
}

/* -errno when not even the attempt is possible. */
static int connection_open(struct sip_transport *tcp, const struct sip_flow *flow,
			   struct connection **out)
{
	struct endpoint source = {.address = flow->local.address};
	struct sockaddr_storage ss;
	socklen_t n;
	int rc = 0;
	int fd;

	if (tcp->stack->connections >= tcp->stack->connections_max) {
		count(tcp->stack, SIP_COUNTER_connections_full);
		return -ENOBUFS;
	}
	n = endpoint_to_sockaddr(&flow->remote, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!address_is_any(&source.address)) {
		struct sockaddr_storage from;
		socklen_t from_n = endpoint_to_sockaddr(&source, &from);

		if (bind(fd, (struct sockaddr *)&from, from_n) < 0)
			rc = -errno;
	}
	if (rc == 0 && connect(fd, (struct sockaddr *)&ss, n) < 0 && errno != EINPROGRESS)
		rc = -errno;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*out = connection_add(tcp, fd, &flow->local, &flow->remote, true);
	if (!*out)
		return -ENOMEM;
	count(tcp->stack, SIP_COUNTER_connections_opened);
	return 0;
}

static int tcp_send(struct sip_transport *tcp, struct sip_flow *flow, const char *bytes, uint32_t n)
{
	struct connection *c = connection_find(tcp, flow);

	if (!c) {
		int rc = connection_open(tcp, flow, &c);

		if (rc < 0)
			return rc;
	}
	flow->connection = c->flow.connection;
	return connection_send(c, bytes, n);
}

const struct sip_transport_ops sip_transport_tcp = {
	.kind = SIP_TRANSPORT_TCP,
	.name = "TCP",
	.parameter = "tcp",
	.reliable = true,
	.secure = false,
	.default_port = 5060,
	.create = tcp_create,
	.destroy = tcp_destroy,
	.listen = tcp_listen,
	.send = tcp_send,
	.flush = tcp_flush,
};

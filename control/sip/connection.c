/*
 * Connections of the stream transports: buffers, backpressure, and the patience with which a peer
 * is waited for. A connection is closed when it has been idle for long, and soon when its peer
 * holds back: no handshake, no first message, half a message, or no reading of what we send.
 */
#include "control/sip/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define RX_FIRST    4096
#define PATIENCE_MS 30000 /* for a peer that holds back */

void connection_free(struct connection *c)
{
	list_remove(&c->dead_node);
	if (c->framing->close)
		c->framing->close(c);
	free(c->rx);
	free(c->tx);
	free(c);
}

void connection_kill(struct connection *c)
{
	struct sip_stack *stack = c->stack;

	if (c->dead)
		return;
	c->dead = true;
	loop_fd_del(stack->loop, &c->watch);
	if (c->bytes->close)
		c->bytes->close(c);
	close(c->watch.fd);
	c->watch.fd = -1;
	timer_stop(stack->timers, &c->timer);
	list_remove(&c->by_id);
	list_remove(&c->by_remote);
	list_append(c->dead_list, &c->dead_node);
	stack->connections--;
	count(stack, SIP_COUNTER_connections_closed);
}

/* Kills it and tells the transactions that wait on it. */
static void connection_lose(struct connection *c, int error)
{
	if (c->dead)
		return;
	connection_kill(c);
	sip_transport_failed(c->stack, &c->flow, error);
}

static void connection_watch(struct connection *c)
{
	uint32_t events = c->closing ? 0 : EPOLLIN;

	if (c->shaking)
		events = c->wants;
	else if (c->connecting || c->tx_n > c->tx_at)
		events |= EPOLLOUT;
	events |= c->wants;
	if (events != c->events && !c->dead) {
		c->events = events;
		loop_fd_change(c->stack->loop, &c->watch, events);
	}
}

/* Patience runs while the peer owes something. */
static void connection_wait(struct connection *c, bool owed)
{
	uint64_t now_ms = sip_stack_now_ms(c->stack);

	c->active_ms = now_ms;
	if (!owed)
		c->waiting_ms = 0;
	else if (c->waiting_ms == 0)
		c->waiting_ms = now_ms;
}

static uint64_t connection_deadline(const struct connection *c)
{
	uint64_t idle_ms = c->active_ms + (uint64_t)c->stack->idle_timeout_s * 1000;

	if (c->broken)
		return 0;
	if (c->waiting_ms != 0 && c->waiting_ms + PATIENCE_MS < idle_ms)
		return c->waiting_ms + PATIENCE_MS;
	return idle_ms;
}

static void connection_timer_start(struct connection *c)
{
	uint64_t now_ms = sip_stack_now_ms(c->stack);
	uint64_t at_ms = connection_deadline(c);

	/* looked at often enough to notice a peer that begins to hold back */
	if (at_ms > now_ms + PATIENCE_MS)
		at_ms = now_ms + PATIENCE_MS;
	timer_start(c->stack->timers, &c->timer, at_ms);
}

static void connection_expired(struct timer *timer, uint64_t now_ms)
{
	struct connection *c = list_entry(timer, struct connection, timer);

	if (connection_deadline(c) <= now_ms)
		connection_lose(c, ETIMEDOUT);
	else
		connection_timer_start(c);
}

void connection_finish(struct connection *c)
{
	c->closing = true;
	c->rx_n = 0;
}

/* ---- bytes: the socket itself ---- */

static ssize_t plain_read(struct connection *c, char *bytes, uint32_t n)
{
	ssize_t got = recv(c->watch.fd, bytes, n, MSG_DONTWAIT);

	if (got < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	return got;
}

static ssize_t plain_write(struct connection *c, const char *bytes, uint32_t n)
{
	ssize_t sent;

	do
		sent = send(c->watch.fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

const struct connection_bytes_ops connection_bytes_plain = {
	.read = plain_read,
	.write = plain_write,
};

/* ---- sending ---- */

/* Writes what is queued; -errno when the connection is broken. */
static int tx_drain(struct connection *c)
{
	while (c->tx_at < c->tx_n) {
		ssize_t sent = c->bytes->write(c, c->tx + c->tx_at, c->tx_n - c->tx_at);

		if (sent == -EAGAIN)
			break;
		if (sent < 0)
			return (int)sent;
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

int connection_queue(struct connection *c, const char *bytes, uint32_t n)
{
	if (n > connection_queue_room(c))
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

int connection_push(struct connection *c)
{
	int rc;

	if (c->connecting || c->shaking || c->dead)
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

int connection_send(struct connection *c, const char *message, uint32_t n)
{
	int rc = c->framing->put(c, message, n);

	if (rc < 0) {
		count(c->stack, SIP_COUNTER_send_full);
		return rc;
	}
	return connection_push(c);
}

/* ---- framing: SIP's own ---- */

/* The head of what cannot be framed still gets its 400 or 513; then nothing more is read. */
static void stream_broken(struct connection *c, const char *head, uint32_t n)
{
	count(c->stack, SIP_COUNTER_stream_broken);
	if (n > 0)
		sip_transport_received(c->stack, &c->flow, head, n);
	connection_finish(c);
}

static void stream_take(struct connection *c)
{
	struct sip_stack *stack = c->stack;
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

/* A single CRLF is the answer to a ping, not the begin of a message. */
static bool stream_is_owed(const struct connection *c)
{
	return c->rx_n > 2;
}

const struct connection_framing_ops connection_framing_sip = {
	.take = stream_take,
	.put = connection_queue,
	.is_owed = stream_is_owed,
};

/* ---- receiving ---- */

static int rx_grow(struct connection *c)
{
	uint32_t size = c->rx_size > 0 ? c->rx_size * 2 : RX_FIRST;
	char *larger;

	if (c->rx_n < c->rx_size)
		return 0;
	if (size > CONNECTION_RX_MAX)
		return -EMSGSIZE;
	larger = realloc(c->rx, size);
	if (!larger)
		return -ENOMEM;
	c->rx = larger;
	c->rx_size = size;
	return 0;
}

/* One read; -errno ends the connection. */
static int rx_read(struct connection *c)
{
	ssize_t got;
	int rc = rx_grow(c);

	if (rc < 0)
		return rc;
	got = c->bytes->read(c, c->rx + c->rx_n, c->rx_size - c->rx_n);
	if (got == -EAGAIN)
		return 0;
	if (got <= 0)
		return got == 0 ? -ECONNRESET : (int)got;
	c->rx_n += (uint32_t)got;
	c->framing->take(c);
	if (!c->dead)
		connection_wait(c, c->tx_n > 0 || c->framing->is_owed(c));
	return 0;
}

/* Until the socket has to say that there is more. */
static int rx_read_all(struct connection *c)
{
	int rc;

	do
		rc = rx_read(c);
	while (rc == 0 && !c->dead && !c->closing && c->bytes->is_pending &&
	       c->bytes->is_pending(c));
	if (!c->dead && c->rx_n == 0) {
		free(c->rx);
		c->rx = NULL;
		c->rx_size = 0;
	}
	return rc;
}

static int connection_connected(struct connection *c)
{
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(c->watch.fd, SOL_SOCKET, SO_ERROR, &error, &n);
	c->connecting = false;
	c->shaking = c->bytes->shake;
	return -error;
}

static int connection_shake(struct connection *c)
{
	int rc;

	c->wants = 0;
	rc = c->bytes->shake(c);
	if (rc <= 0)
		return rc;
	c->shaking = false;
	rc = tx_drain(c);
	/* what we open owes nothing, what was opened to us a message */
	connection_wait(c, !c->opened || c->tx_n > 0);
	return rc < 0 ? rc : rx_read_all(c);
}

static int connection_work(struct connection *c, uint32_t events)
{
	bool over = events & (EPOLLERR | EPOLLHUP);
	bool again = c->wants & events;
	int rc = 0;

	if (c->connecting && (events & EPOLLOUT || over))
		rc = connection_connected(c);
	if (rc < 0 || c->connecting)
		return rc;
	if (c->shaking)
		return connection_shake(c);
	if (events & EPOLLOUT)
		rc = tx_drain(c);
	if (rc < 0 || !(events & EPOLLIN || over || again))
		return rc;
	if (c->closing)
		return over ? -ECONNRESET : 0;
	c->wants = 0;
	return rx_read_all(c);
}

static void connection_ready(struct loop_fd *watch, uint32_t events)
{
	struct connection *c = list_entry(watch, struct connection, watch);
	int rc = connection_work(c, events);

	if (!c->dead && (rc < 0 || (c->closing && c->tx_n == 0)))
		connection_lose(c, rc < 0 ? -rc : ECONNRESET);
	if (!c->dead)
		connection_watch(c);
}

struct connection *connection_create(struct sip_stack *stack, struct list *dead_list,
				     const struct connection_kind *kind,
				     const struct sip_flow *flow, int fd, bool opened)
{
	struct connection *c = calloc(1, sizeof(*c));
	int one = 1;

	if (!c) {
		count(stack, SIP_COUNTER_no_memory);
		close(fd);
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->stack = stack;
	c->dead_list = dead_list;
	c->bytes = kind->bytes;
	c->framing = kind->framing;
	c->watch = (struct loop_fd){.fd = fd, .ready = connection_ready};
	c->flow = *flow;
	c->opened = opened;
	c->connecting = opened;
	c->shaking = !opened && kind->bytes->shake;
	c->wants = c->shaking ? EPOLLIN : 0;
	c->events = opened ? EPOLLIN | EPOLLOUT : EPOLLIN;
	list_init(&c->by_id);
	list_init(&c->by_remote);
	list_init(&c->dead_node);
	timer_init(&c->timer, connection_expired);
	if (loop_fd_add(stack->loop, &c->watch, c->events) < 0) {
		close(fd);
		free(c);
		return NULL;
	}
	stack->connections++;
	connection_wait(c, true);
	connection_timer_start(c);
	return c;
}

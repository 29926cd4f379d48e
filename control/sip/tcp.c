/*
 * The stream transports: listeners, and connections found by their id (a message's flow) or by the
 * remote end (reuse). TCP, TLS, WS and WSS differ in the layers of their connections only.
 */
#include "control/sip/connection.h"
#include "control/sip/tls.h"

#include "dataplane/base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#define BUCKETS         1024
#define ACCEPT_BURST    64
#define ACCEPT_PAUSE_MS 1000 /* without descriptors */
#define LISTEN_BACKLOG  1024

struct tcp_listener {
	struct loop_fd watch;
	struct sip_transport *tcp;
	struct endpoint bound;
	struct timer pause;
};

struct sip_transport {
	struct sip_stack *stack;
	enum sip_transport_kind kind;
	struct connection_kind layers;
	struct tcp_listener listeners[SIP_LISTENERS_MAX];
	uint32_t listeners_count;
	uint64_t next_id;
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

/* Owns fd from here on, also on failure (NULL). */
static struct connection *connection_add(struct sip_transport *tcp, int fd,
					 const struct endpoint *local,
					 const struct endpoint *remote, bool opened)
{
	struct sip_flow flow = {
		.transport = tcp->kind,
		.local = *local,
		.remote = *remote,
		.connection = tcp->next_id,
	};
	struct connection *c =
		connection_create(tcp->stack, &tcp->dead, &tcp->layers, &flow, fd, opened);

	if (!c)
		return NULL;
	tcp->next_id++;
	list_append(&tcp->by_id[flow.connection % BUCKETS], &c->by_id);
	list_append(&tcp->by_remote[remote_bucket(tcp->stack, &remote->address)], &c->by_remote);
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
		    !watch_admits(tcp->stack, &remote.address, true) ||
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

static int stream_create(struct sip_stack *stack, enum sip_transport_kind kind,
			 const struct connection_kind *layers, struct sip_transport **out)
{
	struct sip_transport *tcp = calloc(1, sizeof(*tcp));

	if (!tcp)
		return -ENOMEM;
	tcp->stack = stack;
	tcp->kind = kind;
	tcp->layers = *layers;
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
		/* a browser cannot be called (RFC 7118 5) */
		int rc = tcp->layers.framing == &connection_framing_ws
				 ? -EHOSTUNREACH
				 : connection_open(tcp, flow, &c);

		if (rc < 0)
			return rc;
	}
	flow->connection = c->flow.connection;
	return connection_send(c, bytes, n);
}

static int tcp_create(struct sip_stack *stack, struct sip_transport **out)
{
	static const struct connection_kind layers = {&connection_bytes_plain,
						      &connection_framing_sip};

	return stream_create(stack, SIP_TRANSPORT_TCP, &layers, out);
}

static int tls_create(struct sip_stack *stack, struct sip_transport **out)
{
	static const struct connection_kind layers = {&connection_bytes_tls,
						      &connection_framing_sip};

	return stack->tls ? stream_create(stack, SIP_TRANSPORT_TLS, &layers, out) : -ENOKEY;
}

static int ws_create(struct sip_stack *stack, struct sip_transport **out)
{
	static const struct connection_kind layers = {&connection_bytes_plain,
						      &connection_framing_ws};

	return stream_create(stack, SIP_TRANSPORT_WS, &layers, out);
}

static int wss_create(struct sip_stack *stack, struct sip_transport **out)
{
	static const struct connection_kind layers = {&connection_bytes_tls,
						      &connection_framing_ws};

	return stack->tls ? stream_create(stack, SIP_TRANSPORT_WSS, &layers, out) : -ENOKEY;
}

/* clang-format off */
#define STREAM(kind_, name_, parameter_, secure_, port_)                                           \
	const struct sip_transport_ops sip_transport_##parameter_ = {                              \
		.kind = kind_, .name = name_, .parameter = #parameter_, .reliable = true,          \
		.secure = secure_, .default_port = port_, .create = parameter_##_create,           \
		.destroy = tcp_destroy, .listen = tcp_listen, .send = tcp_send,                    \
		.flush = tcp_flush,                                                                \
	}
/* clang-format on */

STREAM(SIP_TRANSPORT_TCP, "TCP", tcp, false, 5060);
STREAM(SIP_TRANSPORT_TLS, "TLS", tls, true, 5061);
STREAM(SIP_TRANSPORT_WS, "WS", ws, false, 80);
STREAM(SIP_TRANSPORT_WSS, "WSS", wss, true, 443);

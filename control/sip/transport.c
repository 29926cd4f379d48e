/* Kinds of transport, and which local end a flow uses. */
#include "control/sip/transport.h"

#include "control/sip/internal.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUTE_CACHE_MS 10000

static const struct {
	const char *name;
	const char *parameter;
	uint16_t port;
	bool reliable;
} kinds[SIP_TRANSPORTS] = {
	[SIP_TRANSPORT_UDP] = {"UDP", "udp", 5060, false},
	[SIP_TRANSPORT_TCP] = {"TCP", "tcp", 5060, true},
	[SIP_TRANSPORT_TLS] = {"TLS", "tls", 5061, true},
	[SIP_TRANSPORT_WS] = {"WS", "ws", 80, true},
	[SIP_TRANSPORT_WSS] = {"WSS", "wss", 443, true},
};

int sip_transport_kind_of(struct sip_text word, enum sip_transport_kind *kind)
{
	for (int i = 0; i < SIP_TRANSPORTS; i++) {
		if (sip_text_is(word, kinds[i].name)) {
			*kind = i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *sip_transport_name(enum sip_transport_kind kind)
{
	return kinds[kind].name;
}

const char *sip_transport_parameter(enum sip_transport_kind kind)
{
	return kinds[kind].parameter;
}

bool sip_transport_is_reliable(enum sip_transport_kind kind)
{
	return kinds[kind].reliable;
}

bool sip_transport_is_websocket(enum sip_transport_kind kind)
{
	return kind == SIP_TRANSPORT_WS || kind == SIP_TRANSPORT_WSS;
}

uint16_t sip_transport_default_port(enum sip_transport_kind kind)
{
	return kinds[kind].port;
}

/* Asks the kernel's routing by connecting a socket that sends nothing. */
static int local_address_ask(const struct address *remote, struct address *local)
{
	struct endpoint to = {.address = *remote, .port = 5060};
	struct endpoint name;
	struct sockaddr_storage ss;
	socklen_t n = endpoint_to_sockaddr(&to, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		rc = -errno;
	n = sizeof(ss);
	if (rc == 0 && getsockname(fd, (struct sockaddr *)&ss, &n) < 0)
		rc = -errno;
	close(fd);
	if (rc == 0)
		rc = endpoint_from_sockaddr(&name, (struct sockaddr *)&ss);
	if (rc == 0)
		*local = name.address;
	return rc;
}

int sip_transport_local_address(struct sip_stack *stack, const struct address *remote,
				struct address *local)
{
	uint64_t now_ms = sip_stack_now_ms(stack);
	struct siphash hash;
	uint64_t word[2];
	struct route_entry *entry;
	int rc;

	siphash_init(&hash, &stack->hash_key);
	siphash_add(&hash, remote->ip, sizeof(remote->ip));
	siphash_finish(&hash, word);
	entry = &stack->routes[word[0] & (SIP_ROUTE_CACHE_SIZE - 1)];
	if (entry->until_ms > now_ms && address_equal(&entry->remote, remote)) {
		*local = entry->local;
		return 0;
	}
	rc = local_address_ask(remote, local);
	if (rc == 0)
		*entry = (struct route_entry){*remote, *local, now_ms + ROUTE_CACHE_MS};
	return rc;
}

/* Listening sockets of the remote's family. */
static uint32_t listeners_of(const struct transport_row *row, bool v4, bool *wildcard,
			     const struct endpoint *found[SIP_LISTENERS_MAX])
{
	uint32_t n = 0;

	*wildcard = false;
	for (uint32_t i = 0; i < row->listeners_count; i++) {
		const struct endpoint *at = &row->listeners[i];

		if (address_is_v4(&at->address) != v4)
			continue;
		*wildcard |= address_is_any(&at->address);
		found[n++] = at;
	}
	return n;
}

int sip_flow_resolve(struct sip_stack *stack, struct sip_flow *flow)
{
	const struct transport_row *row = &stack->rows[flow->transport];
	bool v4 = address_is_v4(&flow->remote.address);
	const struct endpoint *found[SIP_LISTENERS_MAX];
	const struct endpoint *chosen = NULL;
	struct address local = flow->local.address;
	bool wildcard;
	uint32_t n;
	int rc;

	if (!row->ops)
		return -EPROTONOSUPPORT;
	if (flow->local.port != 0 && !address_is_any(&local))
		return 0;
	n = listeners_of(row, v4, &wildcard, found);
	if (n == 0)
		return -EPROTONOSUPPORT;
	if (address_is_any(&local)) {
		if (n == 1 && !wildcard) {
			flow->local = *found[0];
			return 0;
		}
		rc = sip_transport_local_address(stack, &flow->remote.address, &local);
		if (rc < 0)
			return rc;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (address_equal(&found[i]->address, &local) ||
		    (!chosen && address_is_any(&found[i]->address)))
			chosen = found[i];
	}
	if (!chosen) {
		flow->local = *found[0];
		return 0;
	}
	flow->local = (struct endpoint){.address = local, .port = chosen->port};
	return 0;
}

int sip_flow_from_uri(const struct sip_uri *uri, struct sip_flow *flow)
{
	struct sip_text value;

	memset(flow, 0, sizeof(*flow));
	if (uri->scheme != SIP_SCHEME_SIP && uri->scheme != SIP_SCHEME_SIPS)
		return -EINVAL;
	flow->transport = uri->scheme == SIP_SCHEME_SIPS ? SIP_TRANSPORT_TLS : SIP_TRANSPORT_UDP;
	if (sip_uri_parameter(uri, "transport", &value)) {
		if (sip_transport_kind_of(value, &flow->transport) < 0)
			return -EINVAL;
		if (uri->scheme == SIP_SCHEME_SIPS && flow->transport == SIP_TRANSPORT_TCP)
			flow->transport = SIP_TRANSPORT_TLS;
		if (uri->scheme == SIP_SCHEME_SIPS && flow->transport == SIP_TRANSPORT_WS)
			flow->transport = SIP_TRANSPORT_WSS;
		if (uri->scheme == SIP_SCHEME_SIPS && flow->transport == SIP_TRANSPORT_UDP)
			return -EINVAL;
	}
	flow->remote.port =
		uri->port != 0 ? uri->port : sip_transport_default_port(flow->transport);
	if (sip_uri_parameter(uri, "maddr", &value) &&
	    address_parse(&flow->remote.address, value.at, value.n) == 0)
		return 0;
	return sip_uri_address(uri, &flow->remote.address) ? 0 : -EHOSTUNREACH;
}

void sip_transport_failed(struct sip_stack *stack, const struct sip_flow *flow, int error)
{
	struct list failed;
	struct list *node;
	struct list *after;

	(void)error;
	list_init(&failed);
	list_each_safe (node, after, &stack->stream_clients) {
		struct sip_transaction *t = list_entry(node, struct sip_transaction, stream_node);

		if (t->flow.connection != flow->connection || t->flow.transport != flow->transport)
			continue;
		list_remove(node);
		list_append(&failed, node);
	}
	while (!list_is_empty(&failed)) {
		node = failed.next;
		list_remove(node);
		client_failed(list_entry(node, struct sip_transaction, stream_node));
	}
}

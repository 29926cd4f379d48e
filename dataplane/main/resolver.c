/* Next hops for the workers. */
#include "dataplane/main/resolver.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "dataplane/main/netlink.h"
#include "dataplane/node/solicit.h"

#include <errno.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#define CONFIRM_S 30 /* a hop in use is confirmed so often */
#define ASKS_MAX  10 /* of one unresolved hop, a second apart; begins anew when asked for again */

/* What lies behind a place of the hop table. */
struct target {
	uint8_t port;
	uint8_t asks;
	uint32_t confirmed_s;
	struct address next_hop; /* gateway or the remote itself */
};

struct resolver {
	struct resolver_config config;
	struct netlink *netlink;
	struct loop_fd watch;
	struct log_limit log_limit;
	uint32_t now_s;
	struct target targets[HOP_TABLE_PLACES];
};

static const struct address none;

static void time_take(struct resolver *r)
{
	r->now_s = (uint32_t)(clock_mono_ns() / NS_PER_S);
}

/* ---- which port, which neighbour ---- */

static const struct port *port_of_address(const struct resolver *r, const struct address *local)
{
	for (uint32_t p = 0; p < r->config.ports_count; p++) {
		const struct port *port = &r->config.ports[p];

		for (uint32_t i = 0; i < port->addresses_count; i++) {
			if (address_equal(&port->addresses[i], local))
				return port;
		}
	}
	return NULL;
}

static const struct port *port_of_device(const struct resolver *r, int ifindex)
{
	for (uint32_t p = 0; p < r->config.ports_count; p++) {
		if (r->config.ports[p].shared && r->config.ports[p].ifindex == ifindex)
			return &r->config.ports[p];
	}
	return NULL;
}

static bool prefix_has(const struct port_prefix *prefix, const struct address *address)
{
	uint32_t bytes = prefix->bits / 8, bits = prefix->bits % 8;
	uint8_t mask = (uint8_t)(0xff << (8 - bits));

	if (memcmp(prefix->address.ip, address->ip, bytes) != 0)
		return false;
	return bits == 0 || ((prefix->address.ip[bytes] ^ address->ip[bytes]) & mask) == 0;
}

/* On an owned port: the remote itself when it is on the link, or else the gateway. */
static int target_owned(const struct port *port, const struct address *remote,
			struct target *target)
{
	const struct address *gateway = address_is_v4(remote) ? &port->gateway : &port->gateway6;

	target->port = port->index;
	target->next_hop = *remote;
	for (uint32_t i = 0; i < port->addresses_count; i++) {
		if (prefix_has(&port->prefixes[i], remote))
			return 0;
	}
	if (address_equal(gateway, &none))
		return -ENETUNREACH;
	target->next_hop = *gateway;
	return 0;
}

static int target_shared(struct resolver *r, const struct address *local,
			 const struct address *remote, struct target *target)
{
	const struct port *port;
	struct netlink_route route;
	int rc = netlink_route(r->netlink, local, remote, &route);

	if (rc < 0)
		return rc;
	port = port_of_device(r, route.ifindex);
	if (port == NULL)
		return -ENODEV;
	target->port = port->index;
	target->next_hop = route.next_hop;
	return 0;
}

static int target_find(struct resolver *r, const struct address *local,
		       const struct address *remote, struct target *target)
{
	const struct port *port = port_of_address(r, local);

	if (port != NULL && !port->shared)
		return port->kind == CONFIG_PORT_NULL ? (target->port = port->index, 0)
						      : target_owned(port, remote, target);
	return target_shared(r, local, remote, target);
}

/* ---- asking ---- */

static void hop_resolve(struct resolver *r, uint32_t place, const uint8_t mac[6])
{
	struct hop hop = *hop_table_at(r->config.hops, place);
	const struct port *port = &r->config.ports[r->targets[place].port];

	memcpy(hop.macs, mac, 6);
	memcpy(hop.macs + 6, port->mac, 6);
	hop.port = port->index;
	hop.resolved = true;
	hop_table_set(r->config.hops, &hop, r->now_s);
}

/* The local address from which an owned port asks: the first of the family, best on the link. */
static const struct address *source_of(const struct port *port, const struct address *target)
{
	const struct address *found = NULL;

	for (uint32_t i = 0; i < port->addresses_count; i++) {
		if (address_is_v4(&port->addresses[i]) != address_is_v4(target))
			continue;
		if (prefix_has(&port->prefixes[i], target))
			return &port->addresses[i];
		if (found == NULL)
			found = &port->addresses[i];
	}
	return found;
}

static void solicit_send(struct resolver *r, const struct port *port, const struct address *target)
{
	const struct address *source = source_of(port, target);
	struct rte_mbuf *mbuf;
	uint32_t len;

	if (source == NULL)
		return;
	mbuf = rte_pktmbuf_alloc(r->config.pool);
	if (mbuf == NULL)
		return;
	len = solicit_build(rte_pktmbuf_mtod(mbuf, uint8_t *), port->mac, source, target);
	mbuf->data_len = (uint16_t)len;
	mbuf->pkt_len = len;
	worker_send(r->config.workers, r->config.workers_count, port->index, mbuf);
}

/* Asks for the neighbour behind a place, or takes what is known already. */
static void target_ask(struct resolver *r, uint32_t place)
{
	static const uint8_t zero[6];
	struct target *target = &r->targets[place];
	const struct port *port = &r->config.ports[target->port];
	uint8_t mac[6];

	target->confirmed_s = r->now_s;
	if (port->loopback || port->kind == CONFIG_PORT_NULL) {
		hop_resolve(r, place, zero);
	} else if (!port->shared) {
		solicit_send(r, port, &target->next_hop);
	} else {
		netlink_resolve(r->netlink, port->ifindex, &target->next_hop);
		if (netlink_neighbour(r->netlink, port->ifindex, &target->next_hop, mac) == 0)
			hop_resolve(r, place, mac);
	}
}

/* The way may have changed since it was found: routes come and go. */
static void target_confirm(struct resolver *r, uint32_t place)
{
	const struct hop *hop = hop_table_at(r->config.hops, place);
	const struct address *from = &r->config.flows->addresses[hop->local];
	struct target target = {0};

	if (target_find(r, from, &hop->remote, &target) == 0) {
		r->targets[place].port = target.port;
		r->targets[place].next_hop = target.next_hop;
	}
	target_ask(r, place);
}

void resolver_want(struct resolver *r, uint8_t local, const struct address *remote)
{
	const struct address *from;
	struct hop hop = {.remote = *remote, .local = local};
	char from_text[ADDRESS_TEXT_MAX], to_text[ADDRESS_TEXT_MAX];
	struct target target = {0};
	int place, rc;

	if (local >= r->config.flows->addresses_count || address_is_any(remote))
		return;
	time_take(r);
	from = &r->config.flows->addresses[local];
	place = hop_table_find(r->config.hops, local, remote);
	if (place >= 0 && hop_table_at(r->config.hops, (uint32_t)place)->resolved)
		return;
	rc = target_find(r, from, remote, &target);
	if (rc < 0) {
		uint32_t suppressed;

		if (log_allowed(&r->log_limit, 1, &suppressed))
			log_warn("remote %s is not reachable from %s: %s (%u more not shown)",
				 address_text(remote, to_text), address_text(from, from_text),
				 strerror(-rc), suppressed);
		return;
	}
	if (place < 0)
		place = hop_table_set(r->config.hops, &hop, r->now_s);
	if (place < 0)
		return; /* counted */
	r->targets[place] = target;
	target_ask(r, (uint32_t)place);
}

/* ---- answers ---- */

static void neighbour_set(struct resolver *r, uint8_t port, const struct address *address,
			  const uint8_t mac[6])
{
	for (uint32_t place = 0; place < HOP_TABLE_PLACES; place++) {
		const struct hop *hop = hop_table_at(r->config.hops, place);

		if (hop == NULL || r->targets[place].port != port ||
		    !address_equal(&r->targets[place].next_hop, address))
			continue;
		/* One that does not answer now may answer later: the old address stays in use. */
		if (mac != NULL)
			hop_resolve(r, place, mac);
	}
}

static void neighbour_changed(void *arg, int ifindex, const struct address *address,
			      const uint8_t mac[6])
{
	struct resolver *r = arg;
	const struct port *port = port_of_device(r, ifindex);

	if (port != NULL)
		neighbour_set(r, port->index, address, mac);
}

static void netlink_ready(struct loop_fd *watch, uint32_t events)
{
	struct resolver *r = list_entry(watch, struct resolver, watch);

	(void)events;
	time_take(r);
	netlink_changes(r->netlink, neighbour_changed, r);
}

void resolver_questions(struct resolver *r)
{
	struct hop_learnt item;

	for (uint32_t i = 0; i < r->config.workers_count; i++) {
		struct hop_requests *requests = &r->config.workers[i].node.hop_requests;

		/* At most a queue full, lest one worker keep us here. */
		for (uint32_t n = 0; n < HOP_REQUESTS && hop_requests_get(requests, &item); n++) {
			if (item.known)
				neighbour_set(r, item.port, &item.address, item.mac);
			else
				resolver_want(r, item.local, &item.address);
		}
	}
}

void resolver_tick(struct resolver *r)
{
	time_take(r);
	for (uint32_t place = 0; place < HOP_TABLE_PLACES; place++) {
		const struct hop *hop = hop_table_at(r->config.hops, place);
		struct target *target = &r->targets[place];

		if (hop == NULL)
			continue;
		if (hop_table_used_s(r->config.hops, place) + HOP_IDLE_S < r->now_s) {
			hop_table_del(r->config.hops, place);
			continue;
		}
		if (hop->resolved) {
			target->asks = 0;
			if (target->confirmed_s + CONFIRM_S <= r->now_s)
				target_confirm(r, place);
		} else if (target->asks < ASKS_MAX && target->confirmed_s < r->now_s) {
			target->asks++;
			target_ask(r, place);
		}
	}
}

/* ---- life ---- */

static void flow_published(void *arg, const struct flow_conf *conf)
{
	struct resolver *r = arg;

	if (conf->remote.port != 0)
		resolver_want(r, (uint8_t)(conf->slot / r->config.flows->ports),
			      &conf->remote.address);
}

int resolver_create(struct resolver **resolver, const struct resolver_config *config)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int rc;

	*resolver = NULL;
	if (r == NULL)
		return -ENOMEM;
	r->config = *config;
	r->watch.fd = -1;
	rc = netlink_open(&r->netlink);
	if (rc == 0) {
		r->watch = (struct loop_fd){.fd = netlink_fd(r->netlink), .ready = netlink_ready};
		rc = loop_fd_add(config->loop, &r->watch, EPOLLIN);
	}
	if (rc < 0) {
		netlink_close(r->netlink);
		free(r);
		return rc;
	}
	flow_table_on_publish(config->flows, flow_published, r);
	*resolver = r;
	return 0;
}

void resolver_destroy(struct resolver *r)
{
	if (r == NULL)
		return;
	flow_table_on_publish(r->config.flows, NULL, NULL);
	loop_fd_del(r->config.loop, &r->watch);
	netlink_close(r->netlink);
	free(r);
}

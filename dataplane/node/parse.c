/*
 * Stage parse: from the frame to the UDP payload, with every length checked against what was
 * received. Takes UDP to one of the media addresses and ports, whole (no fragments), in IPv4 with
 * or without options and IPv6 without extension headers. The UDP checksum is not looked at: local
 * senders leave it unfinished.
 */
#include "dataplane/node/checksum.h"
#include "dataplane/node/internal.h"

#define ETHERTYPE_IPV4     0x0800
#define ETHERTYPE_IPV6     0x86dd
#define PROTOCOL_UDP       17
#define IPV4_FRAGMENT_BITS 0x3fff /* more fragments, offset */

/* What is between IP and UDP. */
struct udp_place {
	const uint8_t *udp;
	uint32_t len; /* of the IP payload */
	struct address destination;
};

static void address_set_v4(struct address *a, const uint8_t *v4)
{
	memset(a->ip, 0, 10);
	memset(a->ip + 10, 0xff, 2);
	memcpy(a->ip + 12, v4, 4);
}

/* The words of an IPv4 header, its checksum among them, add up to 0xffff (RFC 1071). */
static bool ipv4_sum_holds(const uint8_t *ip, uint32_t header_len)
{
	return checksum_fold(checksum_add(0, ip, header_len)) == 0xffff;
}

static enum counter parse_ipv4(struct packet *p, const uint8_t *ip, uint32_t n, bool loopback,
			       struct udp_place *place)
{
	uint32_t header_len, total_len;

	if (n < 20 || ip[0] >> 4 != 4)
		return DROP_BAD_HEADER;
	header_len = (ip[0] & 0x0fu) * 4;
	total_len = get16(ip + 2);
	if (header_len < 20 || total_len < header_len || total_len > n ||
	    !ipv4_sum_holds(ip, header_len))
		return DROP_BAD_HEADER;
	if (ip[9] != PROTOCOL_UDP)
		return DROP_NOT_UDP;
	if (get16(ip + 6) & IPV4_FRAGMENT_BITS)
		return DROP_FRAGMENT;
	/* RFC 1122 3.2.1.3: "this network", multicast and reserved are no sources; loopback never
	 * comes from outside. */
	if (ip[12] == 0 || ip[12] >= 224 || (ip[12] == 127 && !loopback))
		return DROP_BAD_SOURCE;
	address_set_v4(&p->source, ip + 12);
	address_set_v4(&place->destination, ip + 16);
	place->udp = ip + header_len;
	place->len = total_len - header_len;
	return COUNTER_NONE;
}

static enum counter parse_ipv6(struct packet *p, const uint8_t *ip, uint32_t n, bool loopback,
			       struct udp_place *place)
{
	if (n < 40 || ip[0] >> 4 != 6 || get16(ip + 4) > n - 40)
		return DROP_BAD_HEADER;
	if (ip[6] != PROTOCOL_UDP)
		return ip[6] == 44 ? DROP_FRAGMENT : DROP_NOT_UDP;
	memcpy(p->source.ip, ip + 8, 16);
	if (ip[8] == 0xff || address_is_any(&p->source) || address_is_v4(&p->source) ||
	    (address_is_loopback(&p->source) && !loopback))
		return DROP_BAD_SOURCE; /* RFC 4291 2.7, 2.5.2, 2.5.5.2, 2.5.3 */
	memcpy(place->destination.ip, ip + 24, 16);
	place->udp = ip + 40;
	place->len = get16(ip + 4);
	return COUNTER_NONE;
}

/* From UDP to the slot (RFC 768). */
static enum counter parse_udp(const struct flow_table *flows, struct packet *p,
			      const struct udp_place *place)
{
	uint32_t udp_len;
	uint32_t i;

	if (place->len < 8)
		return DROP_BAD_HEADER;
	udp_len = get16(place->udp + 4);
	if (udp_len < 8 || udp_len > place->len)
		return DROP_BAD_HEADER;
	p->source_port = get16(place->udp);
	p->local_port = get16(place->udp + 2);
	if (p->source_port == 0)
		return DROP_BAD_SOURCE;
	if (p->local_port < flows->port_min || p->local_port > flows->port_max)
		return DROP_NO_FLOW;
	for (i = 0; i < flows->addresses_count; i++) {
		if (address_equal(&flows->addresses[i], &place->destination))
			break;
	}
	if (i == flows->addresses_count)
		return DROP_NO_FLOW;
	p->slot = i * flows->ports + (p->local_port - flows->port_min);
	p->payload = (uint8_t *)place->udp + 8;
	p->payload_len = (uint16_t)(udp_len - 8);
	return COUNTER_NONE;
}

void parse_packet(const struct node *node, struct packet *p)
{
	const struct node_port *port = &node->ports[p->port];
	struct udp_place place;
	enum counter verdict;
	uint16_t type;

	p->slot = FLOW_NONE;
	p->sink = FLOW_NONE;
	p->verdict = COUNTER_NONE;
	if (p->frame_len < FRAME_ETHERNET) {
		p->verdict = DROP_BAD_HEADER;
		return;
	}
	type = get16(p->frame + 12);
	if (type == ETHERTYPE_IPV4)
		verdict = parse_ipv4(p, p->frame + FRAME_ETHERNET, p->frame_len - FRAME_ETHERNET,
				     port->loopback, &place);
	else if (type == ETHERTYPE_IPV6)
		verdict = parse_ipv6(p, p->frame + FRAME_ETHERNET, p->frame_len - FRAME_ETHERNET,
				     port->loopback, &place);
	else
		verdict = DROP_NOT_UDP;
	if (verdict == COUNTER_NONE && memcmp(p->frame, port->mac, 6) != 0)
		verdict = DROP_OTHER_HOST;
	if (verdict == COUNTER_NONE)
		verdict = parse_udp(node->flows, p, &place);
	p->verdict = (uint8_t)verdict;
}

/* Not media on a port that we have to ourselves: perhaps a question to the host. */
static void parse_host(struct node *node, struct packet *p)
{
	struct hop_learnt learnt = {0};

	if (host_answer(&node->ports[p->port], p, &learnt))
		p->verdict = COUNTER_HOST_ANSWERED;
	if (learnt.known) {
		learnt.port = p->port;
		counter_add(&node->counters, COUNTER_HOST_LEARNT, 1);
		if (!hop_requests_put(&node->hop_requests, &learnt))
			counter_add(&node->counters, COUNTER_HOP_ASK_FULL, 1);
	}
}

void parse_burst(struct node *node, struct packet *packets, uint32_t n)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];

		bytes += p->frame_len;
		parse_packet(node, p);
		if (p->verdict == COUNTER_NONE) {
			slot_prefetch(node->flows, p->slot);
			continue;
		}
		if (node->ports[p->port].owned)
			parse_host(node, p);
		counter_add(&node->counters, p->verdict, 1);
	}
	counter_add(&node->counters, COUNTER_RX_PACKETS, n);
	counter_add(&node->counters, COUNTER_RX_BYTES, bytes);
}

/*
 * The host's duties on a port that we have to ourselves: answers ARP requests (RFC 826), neighbour
 * solicitations (RFC 4861 7.2) and echo requests (RFC 792, RFC 4443 4.1) for the port's addresses,
 * in place; and reads from ARP and ND what neighbours tell about themselves.
 */
#include "dataplane/node/checksum.h"
#include "dataplane/node/internal.h"

#define ARP_LEN           28
#define ARP_REQUEST       1
#define ICMP_ECHO_REQUEST 8
#define ICMPV6_ECHO       128
#define ICMPV6_ECHO_REPLY 129
#define ND_SOLICIT        135
#define ND_ADVERTISE      136
#define ND_OPTION_SOURCE  1
#define ND_OPTION_TARGET  2
#define ND_LEN            24 /* type, code, checksum, flags, target */

static bool port_has(const struct node_port *port, const struct address *address)
{
	for (uint32_t i = 0; i < port->addresses_count; i++) {
		if (address_equal(&port->addresses[i], address))
			return true;
	}
	return false;
}

static struct address address_v4(const uint8_t *v4)
{
	struct address a = {.ip = {[10] = 0xff, [11] = 0xff}};

	memcpy(a.ip + 12, v4, 4);
	return a;
}

static void answer_ethernet(const struct node_port *port, struct packet *p)
{
	memcpy(p->frame, p->frame + 6, 6);
	memcpy(p->frame + 6, port->mac, 6);
}

static bool is_unicast_mac(const uint8_t *mac)
{
	static const uint8_t zero[6];

	return !(mac[0] & 1) && memcmp(mac, zero, 6) != 0;
}

/* ---- ARP ---- */

static bool answer_arp(const struct node_port *port, struct packet *p, struct hop_learnt *learnt)
{
	static const uint8_t ethernet_ipv4[] = {0, 1, 8, 0, 6, 4};
	uint8_t *arp = p->frame + FRAME_ETHERNET;
	struct address target;
	uint8_t sender[10];

	if (p->frame_len < FRAME_ETHERNET + ARP_LEN || memcmp(arp, ethernet_ipv4, 6) != 0)
		return false;
	target = address_v4(arp + 24);
	if (!port_has(port, &target) || !is_unicast_mac(arp + 8))
		return false;
	learnt->known = true;
	learnt->address = address_v4(arp + 14);
	memcpy(learnt->mac, arp + 8, 6);
	if (get16(arp + 6) != ARP_REQUEST)
		return false;
	memcpy(sender, arp + 8, 10);
	put16(arp + 6, 2); /* reply */
	memcpy(arp + 8, port->mac, 6);
	memcpy(arp + 14, arp + 24, 4);
	memcpy(arp + 18, sender, 10);
	answer_ethernet(port, p);
	return true;
}

/* ---- IPv4 ---- */

static bool answer_ipv4(const struct node_port *port, struct packet *p)
{
	uint8_t *ip = p->frame + FRAME_ETHERNET;
	uint32_t n = p->frame_len - FRAME_ETHERNET;
	struct address destination;
	uint8_t *icmp, swap[4];
	uint32_t header_len, total_len;
	uint64_t sum;
	uint16_t folded;

	if (n < 20 || ip[0] >> 4 != 4 || ip[9] != 1)
		return false;
	header_len = (ip[0] & 0x0fu) * 4;
	total_len = get16(ip + 2);
	if (header_len < 20 || total_len > n || total_len < header_len + 8 ||
	    get16(ip + 6) & 0x3fff)
		return false;
	destination = address_v4(ip + 16);
	icmp = ip + header_len;
	if (!port_has(port, &destination) || icmp[0] != ICMP_ECHO_REQUEST || icmp[1] != 0 ||
	    memcmp(p->frame, port->mac, 6) != 0 || ip[12] == 0 || ip[12] >= 224)
		return false;
	memcpy(swap, ip + 12, 4);
	memcpy(ip + 12, ip + 16, 4);
	memcpy(ip + 16, swap, 4);
	ip[8] = 64;
	put16(ip + 10, 0);
	folded = (uint16_t)~checksum_fold(checksum_add(0, ip, header_len));
	memcpy(ip + 10, &folded, 2);
	icmp[0] = 0; /* echo reply */
	put16(icmp + 2, 0);
	sum = checksum_add(0, icmp, total_len - header_len);
	folded = (uint16_t)~checksum_fold(sum);
	memcpy(icmp + 2, &folded, 2);
	answer_ethernet(port, p);
	p->frame_len = (uint16_t)(FRAME_ETHERNET + total_len);
	return true;
}

/* ---- IPv6 ---- */

/* Fills in the checksum of the ICMPv6 message of len bytes behind the IPv6 header (RFC 4443 2.3).
 */
static void icmpv6_sum(uint8_t *ip, uint32_t len)
{
	uint8_t *icmp = ip + FRAME_IPV6;
	const uint8_t pseudo[] = {(uint8_t)(len >> 8), (uint8_t)len, 0, 58};
	uint64_t sum = checksum_add(checksum_add(0, pseudo, sizeof(pseudo)), ip + 8, 32);
	uint16_t folded;

	put16(icmp + 2, 0);
	folded = (uint16_t)~checksum_fold(checksum_add(sum, icmp, len));
	memcpy(icmp + 2, &folded, 2);
}

/* The link-layer address option of the given type among n bytes of options, or NULL. */
static const uint8_t *nd_option(const uint8_t *options, uint32_t n, uint8_t type)
{
	while (n >= 8) {
		uint32_t len = options[1] * 8u;

		if (len == 0 || len > n)
			return NULL;
		if (options[0] == type && len == 8 && is_unicast_mac(options + 2))
			return options + 2;
		options += len;
		n -= len;
	}
	return NULL;
}

/* Turns the solicitation into an advertisement with our link-layer address. */
static bool answer_solicitation(const struct node_port *port, struct packet *p, uint8_t *ip,
				const uint8_t *source_mac)
{
	uint8_t *icmp = ip + FRAME_IPV6;
	struct address source;
	bool unspecified;

	memcpy(source.ip, ip + 8, 16);
	unspecified = address_is_any(&source);
	if (!unspecified && source_mac == NULL)
		source_mac = p->frame + 6;
	if (unspecified) {
		static const uint8_t all_nodes[] = {0xff, 2, [15] = 1};
		static const uint8_t all_nodes_mac[] = {0x33, 0x33, 0, 0, 0, 1};

		memcpy(ip + 24, all_nodes, 16); /* RFC 4861 7.2.4: duplicate detection */
		memcpy(p->frame, all_nodes_mac, 6);
	} else {
		memcpy(ip + 24, ip + 8, 16);
		memmove(p->frame, source_mac, 6);
	}
	memcpy(p->frame + 6, port->mac, 6);
	memcpy(ip + 8, icmp + 8, 16); /* the target */
	put16(ip + 4, ND_LEN + 8);
	ip[7] = 255;
	icmp[0] = ND_ADVERTISE;
	icmp[1] = 0;
	memset(icmp + 4, 0, 4);
	icmp[4] = unspecified ? 0x20 : 0x60; /* override; solicited */
	icmp[ND_LEN] = ND_OPTION_TARGET;
	icmp[ND_LEN + 1] = 1;
	memcpy(icmp + ND_LEN + 2, port->mac, 6);
	icmpv6_sum(ip, ND_LEN + 8);
	p->frame_len = FRAME_ETHERNET + FRAME_IPV6 + ND_LEN + 8;
	return true;
}

static bool answer_nd(const struct node_port *port, struct packet *p, uint8_t *ip, uint32_t len,
		      struct hop_learnt *learnt)
{
	uint8_t *icmp = ip + FRAME_IPV6;
	bool is_solicit = icmp[0] == ND_SOLICIT;
	const uint8_t *mac;
	struct address target;

	/* Hop limit 255: it has crossed no router (RFC 4861 7.1). */
	if (ip[7] != 255 || icmp[1] != 0 || len < ND_LEN)
		return false;
	memcpy(target.ip, icmp + 8, 16);
	mac = nd_option(icmp + ND_LEN, len - ND_LEN,
			is_solicit ? ND_OPTION_SOURCE : ND_OPTION_TARGET);
	if (is_solicit && !port_has(port, &target))
		return false;
	if (mac != NULL) {
		learnt->known = true;
		memcpy(learnt->mac, mac, 6);
		learnt->address = target;
		if (is_solicit)
			memcpy(learnt->address.ip, ip + 8, 16);
	}
	/* The answer needs room for an option; a solicitation without one came from ::. */
	if (!is_solicit || (len < ND_LEN + 8 && p->tail < 8))
		return false;
	return answer_solicitation(port, p, ip, mac);
}

static bool answer_ipv6(const struct node_port *port, struct packet *p, struct hop_learnt *learnt)
{
	uint8_t *ip = p->frame + FRAME_ETHERNET;
	uint32_t n = p->frame_len - FRAME_ETHERNET;
	uint8_t *icmp = ip + FRAME_IPV6;
	struct address destination;
	uint32_t len;

	if (n < FRAME_IPV6 + 8 || ip[0] >> 4 != 6 || ip[6] != 58)
		return false;
	len = get16(ip + 4);
	if (len < 8 || len > n - FRAME_IPV6)
		return false;
	if (icmp[0] == ND_SOLICIT || icmp[0] == ND_ADVERTISE)
		return answer_nd(port, p, ip, len, learnt);
	memcpy(destination.ip, ip + 24, 16);
	if (icmp[0] != ICMPV6_ECHO || icmp[1] != 0 || !port_has(port, &destination) ||
	    memcmp(p->frame, port->mac, 6) != 0 || ip[8] == 0xff)
		return false;
	memcpy(ip + 24, ip + 8, 16);
	memcpy(ip + 8, destination.ip, 16);
	ip[7] = 64;
	icmp[0] = ICMPV6_ECHO_REPLY;
	icmpv6_sum(ip, len);
	answer_ethernet(port, p);
	p->frame_len = (uint16_t)(FRAME_ETHERNET + FRAME_IPV6 + len);
	return true;
}

bool host_answer(const struct node_port *port, struct packet *p, struct hop_learnt *learnt)
{
	uint16_t type;

	if (p->frame_len < FRAME_ETHERNET)
		return false;
	type = get16(p->frame + 12);
	if (type == 0x0806)
		return answer_arp(port, p, learnt);
	if (type == 0x0800)
		return answer_ipv4(port, p);
	if (type == 0x86dd)
		return answer_ipv6(port, p, learnt);
	return false;
}

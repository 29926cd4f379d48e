/*
 * Stage rewrite: the headers of the slot through which a packet leaves. They are put together once
 * (header_build) and again only when the slow path has published something, the latch has learnt
 * something or the next hop has changed; per packet there are lengths and checksums to fill in.
 *
 * TTL 64. IPv4: no fragmentation (DF, so identification 0 is right, RFC 6864 4.1), UDP without
 * checksum (RFC 768). IPv6: full UDP checksum (RFC 8200 8.1).
 */
#include "dataplane/node/checksum.h"
#include "dataplane/node/internal.h"

#include <arpa/inet.h>

#define TTL             64
#define PROTOCOL_UDP    17
#define HOP_ASK_EVERY_S 1

/* Asks the main lcore for the next hop, at most once a second and slot. */
static void hop_ask(struct node *node, struct flow_state *state, uint8_t local,
		    const struct address *remote)
{
	struct hop_learnt question = {.address = *remote, .local = local};

	if (state->learnt.hop_asked_s + HOP_ASK_EVERY_S > node->now_s)
		return;
	state->learnt.hop_asked_s = node->now_s;
	if (hop_requests_put(&node->hop_requests, &question))
		counter_add(&node->counters, COUNTER_HOP_ASKED, 1);
	else
		counter_add(&node->counters, COUNTER_HOP_ASK_FULL, 1);
}

/* The way back that arrivals have shown, or else what the main lcore has resolved. */
static enum counter hop_choose(struct node *node, struct flow_state *state, uint8_t local,
			       const struct endpoint *remote, struct flow_header *header)
{
	const struct flow_arrival *arrival = &state->arrival;
	struct hop hop;
	int place;

	if (arrival->hop_known && endpoint_equal(&arrival->remote, remote)) {
		memcpy(header->macs, arrival->hop_mac, 6);
		memcpy(header->macs + 6, node->ports[arrival->hop_port].mac, 6);
		header->port = arrival->hop_port & 0x7f;
		header->hop = FLOW_HOP_LEARNT;
		header->hop_version = 0;
		return COUNTER_NONE;
	}
	place = hop_table_read(node->hops, local, &remote->address, &hop, &header->hop_version);
	if (place < 0 || !hop.resolved) {
		hop_ask(node, state, local, &remote->address);
		return DROP_NO_NEXT_HOP;
	}
	hop_table_touch(node->hops, node->worker, (uint32_t)place, node->now_s);
	memcpy(header->macs, hop.macs, sizeof(header->macs));
	header->port = hop.port & 0x7f;
	header->hop = (uint16_t)place;
	return COUNTER_NONE;
}

static void addresses_v4(struct flow_header *h, const struct endpoint *local,
			 const struct endpoint *remote)
{
	const uint8_t fixed[] = {0x45, h->tos, 0, 0, 0, 0, 0x40, 0, TTL, PROTOCOL_UDP, 0, 0};

	h->v4 = 1;
	memcpy(h->addresses, local->address.ip + 12, 4);
	memcpy(h->addresses + 4, remote->address.ip + 12, 4);
	h->ip_sum = (uint16_t)checksum_fold(
		checksum_add(checksum_add(0, fixed, sizeof(fixed)), h->addresses, 8));
	h->udp_sum = 0;
}

static void addresses_v6(struct flow_header *h, const struct endpoint *local,
			 const struct endpoint *remote)
{
	const uint8_t protocol[] = {0, PROTOCOL_UDP};
	uint64_t sum;

	h->v4 = 0;
	memcpy(h->addresses, local->address.ip, 16);
	memcpy(h->addresses + 16, remote->address.ip, 16);
	sum = checksum_add(0, protocol, sizeof(protocol));
	sum = checksum_add(sum, h->addresses, 32);
	sum = checksum_add(sum, (const uint8_t *)h->ports_be, 4);
	h->ip_sum = 0;
	h->udp_sum = (uint16_t)checksum_fold(sum);
}

enum counter header_build(struct node *node, uint32_t slot, uint64_t word)
{
	struct flow_state *state = &node->flows->states[slot];
	const struct flow_conf *conf = flow_word_conf(node->flows, word);
	struct flow_header *header = &state->header;
	const struct endpoint *remote;
	enum counter verdict;

	if (state->arrival.serial != flow_word_serial(word))
		flow_adopt(node->flows, slot, word);
	header->serial = 0;
	remote = state->arrival.remote.port != 0 ? &state->arrival.remote : &conf->remote;
	if (remote->port == 0 ||
	    address_is_v4(&remote->address) != address_is_v4(&conf->local.address))
		return DROP_NO_REMOTE;
	verdict = hop_choose(node, state, (uint8_t)(slot / node->flows->ports), remote, header);
	if (verdict != COUNTER_NONE)
		return verdict;
	header->tos = (uint8_t)(conf->dscp << 2);
	header->ports_be[0] = htons(conf->local.port);
	header->ports_be[1] = htons(remote->port);
	if (address_is_v4(&remote->address))
		addresses_v4(header, &conf->local, remote);
	else
		addresses_v6(header, &conf->local, remote);
	header->serial = flow_word_serial(word);
	return COUNTER_NONE;
}

static void write_v4(const struct flow_header *h, uint8_t *frame, uint32_t payload_len)
{
	uint8_t *ip = frame + FRAME_ETHERNET;
	uint8_t *udp = ip + FRAME_IPV4;
	const uint8_t fixed[] = {0x45, h->tos, 0, 0, 0, 0, 0x40, 0, TTL, PROTOCOL_UDP};
	uint32_t total_len = FRAME_IPV4 + FRAME_UDP + payload_len;
	uint16_t sum;

	memcpy(frame, h->macs, 12);
	put16(frame + 12, 0x0800);
	memcpy(ip, fixed, sizeof(fixed));
	put16(ip + 2, total_len);
	sum = (uint16_t)~checksum_fold((uint64_t)h->ip_sum + htons((uint16_t)total_len));
	memcpy(ip + 10, &sum, 2);
	memcpy(ip + 12, h->addresses, 8);
	memcpy(udp, h->ports_be, 4);
	put16(udp + 4, FRAME_UDP + payload_len);
	put16(udp + 6, 0);
}

static void write_v6(const struct flow_header *h, uint8_t *frame, uint32_t payload_len)
{
	uint8_t *ip = frame + FRAME_ETHERNET;
	uint8_t *udp = ip + FRAME_IPV6;
	uint32_t udp_len = FRAME_UDP + payload_len;
	uint64_t sum;
	uint16_t folded;

	memcpy(frame, h->macs, 12);
	put16(frame + 12, 0x86dd);
	put16(ip, 0x6000u | (uint32_t)h->tos << 4);
	put16(ip + 2, 0);
	put16(ip + 4, udp_len);
	ip[6] = PROTOCOL_UDP;
	ip[7] = TTL;
	memcpy(ip + 8, h->addresses, 32);
	memcpy(udp, h->ports_be, 4);
	put16(udp + 4, udp_len);
	/* The length counts twice: in the pseudo header and in UDP's own. */
	sum = (uint64_t)h->udp_sum + 2 * (uint64_t)htons((uint16_t)udp_len);
	sum = checksum_add(sum, udp + FRAME_UDP, payload_len);
	folded = (uint16_t)~checksum_fold(sum);
	if (folded == 0)
		folded = 0xffff; /* 0 means none (RFC 768) */
	memcpy(udp + 6, &folded, 2);
}

void header_write(const struct flow_header *header, struct packet *p)
{
	uint32_t headers_len = FRAME_ETHERNET + (header->v4 ? FRAME_IPV4 : FRAME_IPV6) + FRAME_UDP;
	uint32_t before = p->room + (uint32_t)(p->payload - p->frame);

	if (before < headers_len) {
		p->verdict = DROP_NO_HEADROOM;
		return;
	}
	p->frame = p->payload - headers_len;
	p->frame_len = (uint16_t)(headers_len + p->payload_len);
	p->room = (uint16_t)(before - headers_len);
	p->port = header->port;
	if (header->v4)
		write_v4(header, p->frame, p->payload_len);
	else
		write_v6(header, p->frame, p->payload_len);
}

void rewrite_burst(struct node *node, struct packet *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];
		struct flow_header *header;

		if (p->verdict != COUNTER_NONE)
			continue;
		header = &node->flows->states[p->sink].header;
		header_write(header, p);
		if (p->verdict != COUNTER_NONE) {
			packet_drop(node, p, p->verdict);
			continue;
		}
		/* As in stage statistics: RTCP beside RTP is not counted with it. */
		if (p->what == RTP_DEMUX_RTCP &&
		    node->flows->states[p->slot].arrival.kind == FLOW_MUX)
			continue;
		flow_count(&header->out_packets, 1);
		flow_count(&header->out_bytes, p->payload_len);
	}
}

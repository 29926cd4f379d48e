/* Frames by hand, and a packet path without devices. */
#include "tests/unit/node/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const uint8_t mac_ours[6] = {2, 0, 0, 0, 0, 1};
const uint8_t mac_phone[6] = {2, 0, 0, 0, 0, 2};
const uint8_t mac_router[6] = {2, 0, 0, 0, 0, 3};

struct endpoint endpoint_of(const char *text)
{
	struct endpoint e;
	int rc = endpoint_parse(&e, text, strlen(text));

	assert(rc == 0);
	(void)rc;
	return e;
}

static void store16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

uint32_t sum_of(uint32_t start, const uint8_t *bytes, size_t n)
{
	uint64_t sum = start;

	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum;
}

void frame_raw(struct frame *f, const uint8_t *bytes, size_t n)
{
	assert(n <= FRAME_MAX - FRAME_ROOM);
	memset(f, 0, sizeof(*f));
	memcpy(f->buffer + FRAME_ROOM, bytes, n);
	f->packet.frame = f->buffer + FRAME_ROOM;
	f->packet.frame_len = (uint16_t)n;
	f->packet.room = FRAME_ROOM;
	f->packet.tail = (uint16_t)(FRAME_MAX - FRAME_ROOM - n);
}

static size_t ipv4_header(uint8_t *ip, const struct endpoint *from, const struct endpoint *to,
			  size_t udp_len)
{
	memcpy(ip, (const uint8_t[]){0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 63, 17}, 10);
	store16(ip + 2, (uint32_t)(20 + udp_len));
	memcpy(ip + 12, from->address.ip + 12, 4);
	memcpy(ip + 16, to->address.ip + 12, 4);
	store16(ip + 10, 0xffff ^ sum_of(0, ip, 20));
	return 20;
}

static size_t ipv6_header(uint8_t *ip, const struct endpoint *from, const struct endpoint *to,
			  size_t udp_len)
{
	memcpy(ip, (const uint8_t[]){0x60, 0, 0, 0, 0, 0, 17, 63}, 8);
	store16(ip + 4, (uint32_t)udp_len);
	memcpy(ip + 8, from->address.ip, 16);
	memcpy(ip + 24, to->address.ip, 16);
	return 40;
}

void frame_udp(struct frame *f, const char *from_text, const char *to_text, const void *payload,
	       size_t payload_len)
{
	struct endpoint from = endpoint_of(from_text), to = endpoint_of(to_text);
	bool v4 = address_is_v4(&from.address);
	uint8_t bytes[FRAME_MAX - FRAME_ROOM] = {0};
	uint8_t *ip = bytes + 14, *udp;

	memcpy(bytes, mac_ours, 6);
	memcpy(bytes + 6, mac_phone, 6);
	store16(bytes + 12, v4 ? 0x0800 : 0x86dd);
	udp = ip + (v4 ? ipv4_header : ipv6_header)(ip, &from, &to, 8 + payload_len);
	store16(udp, from.port);
	store16(udp + 2, to.port);
	store16(udp + 4, (uint32_t)(8 + payload_len));
	store16(udp + 6, 0xbeef); /* unfinished, as local senders leave it */
	memcpy(udp + 8, payload, payload_len);
	frame_raw(f, bytes, (size_t)(udp - bytes) + 8 + payload_len);
}

void frame_rtp(struct frame *f, const char *from, const char *to, uint16_t seq, uint32_t ts,
	       uint32_t ssrc, size_t payload_len)
{
	struct rtp_packet rtp = {.seq = seq, .ts = ts, .ssrc = ssrc, .pt = 8};
	uint8_t payload[1500];

	rtp_build(payload, &rtp);
	memset(payload + RTP_HEADER_BYTES, 0x55, payload_len);
	frame_udp(f, from, to, payload, RTP_HEADER_BYTES + payload_len);
}

/* ---- the rig ---- */

void rig_open(struct rig *rig)
{
	struct flow_table_config config = {.addresses = {endpoint_of("10.0.0.1:1").address,
							 endpoint_of("[fd00::1]:1").address},
					   .addresses_count = RIG_ADDRESSES,
					   .port_min = 1000,
					   .port_max = 1099,
					   .workers = 1,
					   .conf_max = 32};
	struct node_port *port;
	int rc;

	memset(rig, 0, sizeof(*rig));
	rc = flow_table_create(&rig->flows, &config);
	assert(rc == 0);
	rc = hop_table_create(&rig->hops, 1);
	assert(rc == 0);
	(void)rc;
	rig->node = aligned_alloc(64, sizeof(*rig->node));
	memset(rig->node, 0, sizeof(*rig->node));
	rig->node->flows = rig->flows;
	rig->node->hops = rig->hops;
	port = &rig->node->ports[0];
	port->used = true;
	memcpy(port->mac, mac_ours, 6);
	port->addresses_count = RIG_ADDRESSES;
	memcpy(port->addresses, config.addresses, sizeof(port->addresses[0]) * RIG_ADDRESSES);
	rig->ring_fd = -1;
	rig->now_ns = UINT64_C(1700000000000000000);
	flow_online(rig->flows, 0);
}

void rig_fork(struct rig *rig)
{
	int rc = td_fork_ring_create(&rig->ring, &rig->ring_fd, 65536, 0, 1);

	assert(rc == 0);
	(void)rc;
	td_fork_writer_init(&rig->node->fork, rig->ring);
	td_fork_reader_init(&rig->reader, rig->ring);
	rig->node->fork_attached = true;
}

void rig_close(struct rig *rig)
{
	td_fork_ring_unmap(rig->ring);
	if (rig->ring_fd >= 0)
		close(rig->ring_fd);
	free(rig->node);
	hop_table_destroy(rig->hops);
	flow_table_destroy(rig->flows);
}

uint32_t rig_slot(const struct rig *rig, const char *local)
{
	struct endpoint e = endpoint_of(local);

	return flow_table_slot(rig->flows, &e);
}

struct flow_conf rig_conf(const struct rig *rig, const char *local, const char *remote)
{
	struct flow_conf conf = {.slot = rig_slot(rig, local),
				 .sink = FLOW_NONE,
				 .rtcp_sink = FLOW_NONE,
				 .kind = FLOW_MUX,
				 .flags = FLOW_LATCH | FLOW_STRICT_SOURCE,
				 .local = endpoint_of(local),
				 .dscp = 46};

	if (remote != NULL)
		conf.remote = endpoint_of(remote);
	return conf;
}

void rig_pair(struct rig *rig, struct flow_conf *a, struct flow_conf *b)
{
	int rc;

	a->sink = a->rtcp_sink = b->slot;
	b->sink = b->rtcp_sink = a->slot;
	rc = flow_table_publish(rig->flows, a);
	assert(rc == 0);
	rc = flow_table_publish(rig->flows, b);
	assert(rc == 0);
	(void)rc;
}

enum counter rig_run(struct rig *rig, struct frame *frame)
{
	rig->now_ns += 20000000;
	node_begin(rig->node, rig->now_ns, rig->now_ns / 2);
	node_relay(rig->node, &frame->packet, 1);
	node_end(rig->node);
	flow_quiescent(rig->flows, 0);
	return frame->packet.verdict;
}

uint64_t rig_counter(const struct rig *rig, enum counter counter)
{
	return atomic_load(&rig->node->counters.values[counter]);
}

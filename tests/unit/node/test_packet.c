/* The stages from parse to rewrite, on frames by hand. */
#include "tests/unit/node/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define OURS    "10.0.0.1:1000"
#define OURS_B  "10.0.0.1:1002"
#define OURS6   "[fd00::1]:1004"
#define PHONE   "192.0.2.1:4000"
#define PHONE_B "192.0.2.2:5000"
#define PHONE6  "[2001:db8::2]:6000"

static int setup(void **state)
{
	static struct rig rig;

	rig_open(&rig);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

/* ---- parse ---- */

static enum counter parse(struct rig *rig, struct frame *f)
{
	parse_packet(rig->node, &f->packet);
	return f->packet.verdict;
}

static void udp_to_us_is_taken_apart(void **state)
{
	static const struct {
		const char *from, *to;
		uint32_t slot;
	} cases[] = {{PHONE, OURS, 0}, {PHONE, "10.0.0.1:1099", 99}, {PHONE6, OURS6, 104}};
	struct rig *rig = *state;
	struct frame f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct endpoint from = endpoint_of(cases[i].from);

		frame_udp(&f, cases[i].from, cases[i].to, "payload", 7);
		assert_int_equal(parse(rig, &f), COUNTER_NONE);
		assert_int_equal(f.packet.slot, cases[i].slot);
		assert_int_equal(f.packet.source_port, from.port);
		assert_true(address_equal(&f.packet.source, &from.address));
		assert_int_equal(f.packet.payload_len, 7);
		assert_memory_equal(f.packet.payload, "payload", 7);
	}
}

/* Sets bytes of a good frame and, if asked for, repairs the IPv4 header checksum. */
struct damage {
	const char *what;
	bool v6;
	uint16_t at;
	uint8_t byte;
	bool repair;
	enum counter verdict;
};

static void damaged_headers_are_refused(void **state)
{
	static const struct damage cases[] = {
		{"ethertype", false, 13, 0x06, false, DROP_NOT_UDP},
		{"VLAN", false, 12, 0x81, false, DROP_NOT_UDP},
		{"for another host", false, 5, 9, false, DROP_OTHER_HOST},
		{"IPv4 version", false, 14, 0x55, true, DROP_BAD_HEADER},
		{"IPv4 header too short", false, 14, 0x44, true, DROP_BAD_HEADER},
		{"IPv4 header beyond the frame", false, 14, 0x4f, false, DROP_BAD_HEADER},
		{"IPv4 length beyond the frame", false, 16, 9, true, DROP_BAD_HEADER},
		{"IPv4 length within its header", false, 17, 19, true, DROP_BAD_HEADER},
		{"IPv4 checksum", false, 24, 0xee, false, DROP_BAD_HEADER},
		{"TCP", false, 23, 6, true, DROP_NOT_UDP},
		{"IPv4 first fragment", false, 20, 0x20, true, DROP_FRAGMENT},
		{"IPv4 later fragment", false, 21, 1, true, DROP_FRAGMENT},
		{"source 0.x", false, 26, 0, true, DROP_BAD_SOURCE},
		{"source loopback", false, 26, 127, true, DROP_BAD_SOURCE},
		{"source multicast", false, 26, 224, true, DROP_BAD_SOURCE},
		{"another destination", false, 33, 2, true, DROP_NO_FLOW},
		{"port below the range", false, 37, 0xe7, false, DROP_NO_FLOW},
		{"port above the range", false, 36, 9, false, DROP_NO_FLOW},
		{"UDP length beyond IP", false, 39, 200, false, DROP_BAD_HEADER},
		{"UDP length below its header", false, 39, 7, false, DROP_BAD_HEADER},
		{"IPv6 version", true, 14, 0x50, false, DROP_BAD_HEADER},
		{"IPv6 length beyond the frame", true, 19, 200, false, DROP_BAD_HEADER},
		{"IPv6 extension header", true, 20, 0, false, DROP_NOT_UDP},
		{"IPv6 fragment", true, 20, 44, false, DROP_FRAGMENT},
		{"IPv6 source multicast", true, 22, 0xff, false, DROP_BAD_SOURCE},
		{"IPv6 another destination", true, 53, 9, false, DROP_NO_FLOW},
	};
	struct rig *rig = *state;
	struct frame f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct damage *d = &cases[i];

		frame_udp(&f, d->v6 ? PHONE6 : PHONE, d->v6 ? OURS6 : OURS, "payload", 7);
		f.packet.frame[d->at] = d->byte;
		if (d->repair) {
			uint8_t *ip = f.packet.frame + 14;
			uint32_t len = (ip[0] & 0x0fu) * 4, sum;

			memset(ip + 10, 0, 2);
			sum = 0xffff ^ sum_of(0, ip, len);
			ip[10] = (uint8_t)(sum >> 8);
			ip[11] = (uint8_t)sum;
		}
		if (parse(rig, &f) != d->verdict)
			fail_msg("%s: %s", d->what, counter_name(f.packet.verdict));
	}
}

static void source_port_zero_and_special_ipv6_sources_are_refused(void **state)
{
	static const char *const from[] = {"192.0.2.1:0", "[::]:5", "[::1]:5",
					   "[::ffff:1.2.3.4]:5"};
	struct rig *rig = *state;
	struct frame f;

	frame_udp(&f, from[1], OURS6, "x", 1);
	assert_int_equal(parse(rig, &f), DROP_BAD_SOURCE);
	frame_udp(&f, from[2], OURS6, "x", 1);
	assert_int_equal(parse(rig, &f), DROP_BAD_SOURCE);
	rig->node->ports[0].loopback = true;
	frame_udp(&f, from[2], OURS6, "x", 1);
	assert_int_equal(parse(rig, &f), COUNTER_NONE);
	frame_udp(&f, "127.0.0.1:9", OURS, "x", 1);
	assert_int_equal(parse(rig, &f), COUNTER_NONE);
	frame_udp(&f, PHONE, OURS, "x", 1);
	memset(f.packet.frame + 34, 0, 2);
	assert_int_equal(parse(rig, &f), DROP_BAD_SOURCE);
	/* A mapped IPv4 address has no place in an IPv6 header. */
	frame_udp(&f, PHONE6, OURS6, "x", 1);
	memcpy(f.packet.frame + 22, endpoint_of(PHONE).address.ip, 16);
	assert_int_equal(parse(rig, &f), DROP_BAD_SOURCE);
}

static void ipv4_options_are_stepped_over(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	uint8_t bytes[14 + 24 + 8 + 2];
	uint32_t sum;

	frame_udp(&f, PHONE, OURS, "ab", 2);
	memcpy(bytes, f.packet.frame, 34);
	memcpy(bytes + 34, (const uint8_t[]){1, 1, 1, 0}, 4);
	memcpy(bytes + 38, f.packet.frame + 34, 10);
	bytes[14] = 0x46;
	bytes[17] = 24 + 10;
	memset(bytes + 24, 0, 2);
	sum = 0xffff ^ sum_of(0, bytes + 14, 24);
	bytes[24] = (uint8_t)(sum >> 8);
	bytes[25] = (uint8_t)sum;
	frame_raw(&f, bytes, sizeof(bytes));
	assert_int_equal(parse(rig, &f), COUNTER_NONE);
	assert_int_equal(f.packet.payload_len, 2);
	assert_memory_equal(f.packet.payload, "ab", 2);
}

static void ethernet_padding_is_no_payload(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	frame_udp(&f, PHONE, OURS, "ab", 2);
	f.packet.frame_len = 60;
	assert_int_equal(parse(rig, &f), COUNTER_NONE);
	assert_int_equal(f.packet.payload_len, 2);
}

static void every_prefix_of_a_frame_is_refused(void **state)
{
	static const char *const ends[][2] = {{PHONE, OURS}, {PHONE6, OURS6}};
	struct rig *rig = *state;
	struct frame f, cut;

	for (size_t i = 0; i < 2; i++) {
		frame_udp(&f, ends[i][0], ends[i][1], "payload", 7);
		for (uint16_t n = 0; n < f.packet.frame_len; n++) {
			frame_raw(&cut, f.packet.frame, n);
			assert_int_not_equal(parse(rig, &cut), COUNTER_NONE);
		}
	}
}

/* ---- relay ---- */

/* Both phones have sent something: they are latched and their hops are known. */
static void pair_open(struct rig *rig, const char *local_b, const char *phone_b)
{
	struct flow_conf a = rig_conf(rig, OURS, PHONE), b = rig_conf(rig, local_b, phone_b);
	struct frame f;

	rig_pair(rig, &a, &b);
	frame_rtp(&f, phone_b, local_b, 1, 160, 0xbb, 160);
	rig_run(rig, &f);
	frame_rtp(&f, PHONE, OURS, 1, 160, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
}

static void rtp_leaves_with_new_ipv4_headers(void **state)
{
	struct rig *rig = *state;
	const uint8_t *frame, *ip, *udp;
	struct frame f;

	pair_open(rig, OURS_B, PHONE_B);
	frame_rtp(&f, PHONE, OURS, 2, 320, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	frame = f.packet.frame;
	ip = frame + 14;
	udp = ip + 20;
	assert_int_equal(f.packet.frame_len, 14 + 20 + 8 + 12 + 160);
	assert_memory_equal(frame, mac_phone, 6);
	assert_memory_equal(frame + 6, mac_ours, 6);
	assert_int_equal(frame[12] << 8 | frame[13], 0x0800);
	assert_int_equal(sum_of(0, ip, 20), 0xffff);
	assert_int_equal(ip[0], 0x45);
	assert_int_equal(ip[1], 46 << 2);
	assert_int_equal(ip[2] << 8 | ip[3], 20 + 8 + 172);
	assert_int_equal(ip[6] << 8 | ip[7], 0x4000);
	assert_int_equal(ip[8], 64);
	assert_memory_equal(ip + 12, endpoint_of(OURS_B).address.ip + 12, 4);
	assert_memory_equal(ip + 16, endpoint_of(PHONE_B).address.ip + 12, 4);
	assert_int_equal(udp[0] << 8 | udp[1], 1002);
	assert_int_equal(udp[2] << 8 | udp[3], 5000);
	assert_int_equal(udp[4] << 8 | udp[5], 8 + 172);
	assert_int_equal(udp[6] << 8 | udp[7], 0);
	assert_int_equal(udp[8 + 3], 2); /* RTP sequence number */
	assert_int_equal(flow_table_stats(rig->flows, rig_slot(rig, OURS)).packets, 2);
	assert_int_equal(flow_table_stats(rig->flows, rig_slot(rig, OURS_B)).out_packets, 2);
	assert_int_equal(flow_table_stats(rig->flows, rig_slot(rig, OURS_B)).out_bytes, 344);
}

static void rtp_passes_between_ipv4_and_ipv6(void **state)
{
	static const size_t payloads[] = {0, 1, 2, 3, 160, 161, 1300};
	struct rig *rig = *state;
	struct frame f;

	pair_open(rig, OURS6, PHONE6);
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		uint32_t udp_len = (uint32_t)(8 + 12 + payloads[i]), sum;
		const uint8_t *ip;

		frame_rtp(&f, PHONE, OURS, (uint16_t)(2 + i), 320, 0xaa, payloads[i]);
		assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
		ip = f.packet.frame + 14;
		assert_int_equal(f.packet.frame_len, 14 + 40 + udp_len);
		assert_int_equal(f.packet.frame[12] << 8 | f.packet.frame[13], 0x86dd);
		assert_int_equal(ip[0], 0x60 | 46 >> 2);
		assert_int_equal(ip[1], 0xff & 46 << 6);
		assert_int_equal(ip[4] << 8 | ip[5], udp_len);
		assert_int_equal(ip[6], 17);
		assert_int_equal(ip[7], 64);
		assert_memory_equal(ip + 8, endpoint_of(OURS6).address.ip, 16);
		assert_memory_equal(ip + 24, endpoint_of(PHONE6).address.ip, 16);
		/* Pseudo header (RFC 8200 8.1): addresses, length, next header. */
		sum = sum_of(udp_len + 17, ip + 8, 32);
		assert_int_equal(sum_of(sum, ip + 40, udp_len), 0xffff);
		frame_rtp(&f, PHONE6, OURS6, (uint16_t)(2 + i), 320, 0xbb, payloads[i]);
		assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
		assert_int_equal(f.packet.frame_len, 14 + 20 + udp_len);
		assert_int_equal(sum_of(0, f.packet.frame + 14, 20), 0xffff);
	}
}

static void frame_without_room_is_dropped(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	pair_open(rig, OURS6, PHONE6);
	frame_rtp(&f, PHONE, OURS, 2, 320, 0xaa, 160);
	f.packet.room = 19;
	assert_int_equal(rig_run(rig, &f), DROP_NO_HEADROOM);
	frame_rtp(&f, PHONE, OURS, 3, 320, 0xaa, 160);
	f.packet.room = 20;
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	assert_int_equal(f.packet.room, 0);
}

static void echo_goes_back_where_it_came_from(void **state)
{
	struct rig *rig = *state;
	struct flow_conf a = rig_conf(rig, OURS, NULL);
	struct frame f;

	a.sink = a.slot;
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	frame_rtp(&f, PHONE, OURS, 1, 160, 0xaa, 160);
	memcpy(f.packet.frame + 6, mac_router, 6);
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	assert_memory_equal(f.packet.frame, mac_router, 6);
	assert_memory_equal(f.packet.frame + 30, endpoint_of(PHONE).address.ip + 12, 4);
	assert_memory_equal(f.packet.frame + 26, endpoint_of(OURS).address.ip + 12, 4);
}

static void packets_without_a_way_on_are_dropped_and_counted(void **state)
{
	struct rig *rig = *state;
	struct flow_conf a = rig_conf(rig, OURS, PHONE), b = rig_conf(rig, OURS_B, NULL);
	struct flow_stats stats;
	struct frame f;

	frame_rtp(&f, PHONE, OURS, 1, 160, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), DROP_NO_FLOW);
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	frame_rtp(&f, PHONE, OURS, 2, 160, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), DROP_NO_SINK);
	a.sink = b.slot; /* nothing is published there */
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	frame_rtp(&f, PHONE, OURS, 3, 160, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), DROP_NO_SINK);
	rig_pair(rig, &a, &b);
	frame_rtp(&f, PHONE, OURS, 4, 160, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), DROP_NO_REMOTE);
	b.remote = endpoint_of(PHONE6); /* not of the local address's family */
	rig_pair(rig, &a, &b);
	frame_rtp(&f, PHONE, OURS, 5, 160, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), DROP_NO_REMOTE);
	a.flags |= FLOW_BLOCKED;
	rig_pair(rig, &a, &b);
	frame_rtp(&f, PHONE, OURS, 6, 160, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), DROP_BLOCKED);
	stats = flow_table_stats(rig->flows, a.slot);
	assert_int_equal(stats.packets, 5);
	assert_int_equal(stats.dropped, 5);
	assert_int_equal(rig_counter(rig, DROP_NO_SINK), 2);
	assert_int_equal(rig_counter(rig, DROP_NO_FLOW), 1);
}

static void next_hop_is_asked_for_once_and_used_when_known(void **state)
{
	struct rig *rig = *state;
	struct flow_conf a = rig_conf(rig, OURS, PHONE), b = rig_conf(rig, OURS_B, PHONE_B);
	struct hop hop = {.remote = b.remote.address, .port = 5, .resolved = false};
	struct hop_learnt question;
	struct frame f;

	rig_pair(rig, &a, &b);
	for (uint16_t i = 1; i < 4; i++) {
		frame_rtp(&f, PHONE, OURS, i, 160, 0xaa, 160);
		assert_int_equal(rig_run(rig, &f), DROP_NO_NEXT_HOP);
	}
	assert_true(hop_requests_get(&rig->node->hop_requests, &question));
	assert_false(question.known);
	assert_int_equal(question.local, 0);
	assert_true(address_equal(&question.address, &b.remote.address));
	assert_false(hop_requests_get(&rig->node->hop_requests, &question));
	hop_table_set(rig->hops, &hop, 1);
	frame_rtp(&f, PHONE, OURS, 4, 160, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), DROP_NO_NEXT_HOP);
	hop.resolved = true;
	memcpy(hop.macs, mac_router, 6);
	memcpy(hop.macs + 6, mac_ours, 6);
	hop_table_set(rig->hops, &hop, 1);
	frame_rtp(&f, PHONE, OURS, 5, 160, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	assert_int_equal(f.packet.port, 5);
	assert_memory_equal(f.packet.frame, mac_router, 6);
	/* The neighbour gets another address: the next packet goes there. */
	hop.macs[5] = 0x77;
	hop_table_set(rig->hops, &hop, 1);
	frame_rtp(&f, PHONE, OURS, 6, 160, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	assert_int_equal(f.packet.frame[5], 0x77);
	assert_true(hop_table_used_s(rig->hops,
				     (uint32_t)hop_table_find(rig->hops, 0, &hop.remote)) > 1);
	/* What comes from there wins over what was resolved. */
	frame_rtp(&f, PHONE_B, OURS_B, 1, 160, 0xbb, 160);
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	frame_rtp(&f, PHONE, OURS, 7, 160, 0xaa, 160);
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	assert_memory_equal(f.packet.frame, mac_phone, 6);
	assert_int_equal(f.packet.port, 0);
}

/* ---- demux ---- */

static void each_kind_of_flow_takes_its_own(void **state)
{
	static const uint8_t rtp[12] = {0x80, 8}, rtcp[8] = {0x80, 200}, stun[20] = {0, 1};
	static const uint8_t dtls[13] = {22, 254}, zrtp[12] = {0x10}, junk[1] = {0xff};
	static const struct {
		uint8_t kind;
		const uint8_t *bytes;
		size_t n;
		enum counter verdict;
	} cases[] = {
		{FLOW_MUX, rtp, 12, COUNTER_NONE},    {FLOW_MUX, rtcp, 8, COUNTER_NONE},
		{FLOW_RTP, rtp, 12, COUNTER_NONE},    {FLOW_RTP, rtcp, 8, DROP_NOT_MEDIA},
		{FLOW_RTCP, rtp, 12, DROP_NOT_MEDIA}, {FLOW_RTCP, rtcp, 8, COUNTER_NONE},
		{FLOW_MUX, stun, 20, DROP_STUN},      {FLOW_MUX, dtls, 13, DROP_DTLS},
		{FLOW_MUX, zrtp, 12, DROP_NOT_MEDIA}, {FLOW_MUX, junk, 1, DROP_NOT_MEDIA},
		{FLOW_MUX, junk, 0, DROP_NOT_MEDIA},  {FLOW_RAW, junk, 1, COUNTER_NONE},
		{FLOW_RAW, junk, 0, COUNTER_NONE},    {FLOW_RAW, stun, 20, COUNTER_NONE},
		{FLOW_MUX, rtp, 11, DROP_BAD_RTP},    {FLOW_MUX, rtcp, 7, DROP_BAD_RTCP},
	};
	struct rig *rig = *state;
	struct frame f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow_conf a = rig_conf(rig, OURS, PHONE);

		a.kind = cases[i].kind;
		a.sink = a.rtcp_sink = a.slot;
		assert_int_equal(flow_table_publish(rig->flows, &a), 0);
		frame_udp(&f, PHONE, OURS, cases[i].bytes, cases[i].n);
		if (rig_run(rig, &f) != cases[i].verdict)
			fail_msg("case %zu: %s", i, counter_name(f.packet.verdict));
	}
}

static void rtcp_has_a_sink_of_its_own(void **state)
{
	static const uint8_t rtcp[8] = {0x80, 200, 0, 1};
	struct rig *rig = *state;
	struct flow_conf a = rig_conf(rig, OURS, PHONE), b = rig_conf(rig, OURS_B, PHONE_B);
	struct frame f;

	rig_pair(rig, &a, &b);
	a.rtcp_sink = a.slot;
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	frame_udp(&f, PHONE, OURS, rtcp, sizeof(rtcp));
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	assert_int_equal(f.packet.sink, a.slot);
	/* Beside RTP it does not blur RTP's numbers, but shows that somebody is there. */
	assert_int_equal(flow_table_stats(rig->flows, a.slot).packets, 0);
	assert_int_equal(flow_table_stats(rig->flows, a.slot).last_ns, rig->now_ns);
}

/* ---- latch ---- */

static bool remote_is(const struct rig *rig, const char *local, const char *remote)
{
	struct endpoint is, should = endpoint_of(remote);

	return flow_table_remote(rig->flows, rig_slot(rig, local), &is) &&
	       endpoint_equal(&is, &should);
}

static enum counter arrive(struct rig *rig, const char *from, uint16_t seq)
{
	struct frame f;

	frame_rtp(&f, from, OURS, seq, seq * 160u, 0xaa, 160);
	return rig_run(rig, &f);
}

static void latch_settles_on_five_packets_in_a_row(void **state)
{
	static const char other[] = "203.0.113.9:777";
	struct rig *rig = *state;
	struct flow_conf a = rig_conf(rig, OURS, "10.1.1.1:4000"); /* behind NAT: not what comes */

	a.sink = a.slot;
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	assert_int_equal(arrive(rig, PHONE, 1), COUNTER_NONE);
	assert_true(remote_is(rig, OURS, PHONE));
	assert_int_equal(arrive(rig, other, 2), COUNTER_NONE);
	assert_true(remote_is(rig, OURS, other));
	for (uint16_t i = 3; i < 8; i++)
		assert_int_equal(arrive(rig, PHONE, i), COUNTER_NONE);
	assert_int_equal(arrive(rig, other, 8), DROP_STRICT_SOURCE);
	assert_true(remote_is(rig, OURS, PHONE));
	assert_int_equal(flow_table_stats(rig->flows, a.slot).dropped, 1);
	assert_int_equal(arrive(rig, PHONE, 9), COUNTER_NONE);
	/* A new epoch (re-INVITE) may settle elsewhere. */
	a.latch_epoch++;
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	assert_int_equal(arrive(rig, other, 10), COUNTER_NONE);
	assert_true(remote_is(rig, OURS, other));
}

static void source_that_sdp_named_settles_at_once(void **state)
{
	struct rig *rig = *state;
	struct flow_conf a = rig_conf(rig, OURS, PHONE);

	a.sink = a.slot;
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	assert_int_equal(arrive(rig, PHONE, 1), COUNTER_NONE);
	assert_int_equal(arrive(rig, PHONE_B, 2), DROP_STRICT_SOURCE);
	/* The port counts too. */
	assert_int_equal(arrive(rig, "192.0.2.1:4001", 3), DROP_STRICT_SOURCE);
}

static void without_strict_source_the_flow_moves_to_the_new_source(void **state)
{
	struct rig *rig = *state;
	struct flow_conf a = rig_conf(rig, OURS, PHONE);

	a.sink = a.slot;
	a.flags = FLOW_LATCH;
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	assert_int_equal(arrive(rig, PHONE, 1), COUNTER_NONE);
	assert_int_equal(arrive(rig, PHONE_B, 2), COUNTER_NONE);
	assert_true(remote_is(rig, OURS, PHONE_B));
	assert_int_equal(arrive(rig, PHONE, 3), COUNTER_NONE);
	assert_true(remote_is(rig, OURS, PHONE));
}

static void without_latch_and_strict_source_others_are_relayed_but_not_answered(void **state)
{
	struct rig *rig = *state;
	struct flow_conf a = rig_conf(rig, OURS, PHONE);

	a.sink = a.slot;
	a.flags = 0;
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	assert_int_equal(arrive(rig, PHONE, 1), COUNTER_NONE);
	assert_int_equal(arrive(rig, PHONE_B, 2), COUNTER_NONE);
	assert_true(remote_is(rig, OURS, PHONE));
}

static void without_latch_the_remote_of_sdp_stays(void **state)
{
	struct rig *rig = *state;
	struct flow_conf a = rig_conf(rig, OURS, PHONE);

	a.sink = a.slot;
	a.flags = FLOW_STRICT_SOURCE;
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	assert_int_equal(arrive(rig, PHONE_B, 1), DROP_STRICT_SOURCE);
	assert_int_equal(arrive(rig, PHONE, 2), COUNTER_NONE);
	a.remote = endpoint_of(PHONE_B);
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	assert_int_equal(arrive(rig, PHONE, 3), DROP_STRICT_SOURCE);
	assert_int_equal(arrive(rig, PHONE_B, 4), COUNTER_NONE);
}

static void slot_used_again_has_learnt_nothing(void **state)
{
	struct rig *rig = *state;
	struct flow_conf a = rig_conf(rig, OURS, NULL);

	a.sink = a.slot;
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	for (uint16_t i = 0; i < 8; i++)
		arrive(rig, PHONE, i);
	flow_table_retire(rig->flows, a.slot);
	assert_int_equal(arrive(rig, PHONE, 9), DROP_NO_FLOW);
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	assert_int_equal(arrive(rig, PHONE_B, 1), COUNTER_NONE);
	assert_true(remote_is(rig, OURS, PHONE_B));
	assert_int_equal(flow_table_stats(rig->flows, a.slot).packets, 1);
	assert_int_equal(flow_table_stats(rig->flows, a.slot).lost, 0);
}

/* ---- statistics ---- */

static void loss_duplicates_and_jitter_are_counted(void **state)
{
	static const uint16_t seqs[] = {65533, 65534, 65535, 1, 1, 2, 0, 6};
	struct rig *rig = *state;
	struct flow_conf a = rig_conf(rig, OURS, PHONE);
	struct flow_stats stats;
	struct frame f;

	a.sink = a.slot;
	assert_int_equal(flow_table_publish(rig->flows, &a), 0);
	for (size_t i = 0; i < sizeof(seqs) / sizeof(seqs[0]); i++) {
		frame_rtp(&f, PHONE, OURS, seqs[i], (uint32_t)(i * 160), 0xaa, 160);
		assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	}
	stats = flow_table_stats(rig->flows, a.slot);
	assert_int_equal(stats.packets, 8);
	assert_int_equal(stats.bytes, 8 * 172);
	assert_int_equal(stats.lost, 3);
	assert_int_equal(stats.duplicates, 1);
	assert_in_range(stats.jitter_ts, 0, 1); /* 20 ms apart, as the timestamps say */
	assert_int_equal(stats.ssrc, 0xaa);
	assert_int_equal(stats.pt, 8);
	assert_int_equal(stats.last_ns, rig->now_ns);
	assert_int_equal(stats.first_ns, rig->now_ns - 7 * UINT64_C(20000000));
	/* Another source: its numbers begin anew, the losses stay. */
	frame_rtp(&f, PHONE, OURS, 30000, 99, 0xab, 160);
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	frame_rtp(&f, PHONE, OURS, 30002, 99 + 320, 0xab, 160);
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	stats = flow_table_stats(rig->flows, a.slot);
	assert_int_equal(stats.lost, 4);
	assert_int_equal(stats.ssrc_changes, 1);
	assert_int_equal(stats.ssrc, 0xab);
}

static void every_counter_has_a_name_of_its_own(void **state)
{
	(void)state;
	assert_null(counter_name(COUNTER_NONE));
	assert_null(counter_name(COUNTER_COUNT));
	for (int i = COUNTER_NONE + 1; i < COUNTER_COUNT; i++) {
		assert_non_null(counter_name((enum counter)i));
		assert_int_equal(i >= DROP_FIRST,
				 strncmp(counter_name((enum counter)i), "drop.", 5) == 0);
		for (int j = COUNTER_NONE + 1; j < i; j++)
			assert_string_not_equal(counter_name((enum counter)i),
						counter_name((enum counter)j));
	}
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(udp_to_us_is_taken_apart),
		RIG_TEST(damaged_headers_are_refused),
		RIG_TEST(source_port_zero_and_special_ipv6_sources_are_refused),
		RIG_TEST(ipv4_options_are_stepped_over),
		RIG_TEST(ethernet_padding_is_no_payload),
		RIG_TEST(every_prefix_of_a_frame_is_refused),
		RIG_TEST(rtp_leaves_with_new_ipv4_headers),
		RIG_TEST(rtp_passes_between_ipv4_and_ipv6),
		RIG_TEST(frame_without_room_is_dropped),
		RIG_TEST(echo_goes_back_where_it_came_from),
		RIG_TEST(packets_without_a_way_on_are_dropped_and_counted),
		RIG_TEST(next_hop_is_asked_for_once_and_used_when_known),
		RIG_TEST(each_kind_of_flow_takes_its_own),
		RIG_TEST(rtcp_has_a_sink_of_its_own),
		RIG_TEST(latch_settles_on_five_packets_in_a_row),
		RIG_TEST(source_that_sdp_named_settles_at_once),
		RIG_TEST(without_strict_source_the_flow_moves_to_the_new_source),
		RIG_TEST(without_latch_and_strict_source_others_are_relayed_but_not_answered),
		RIG_TEST(without_latch_the_remote_of_sdp_stays),
		RIG_TEST(slot_used_again_has_learnt_nothing),
		RIG_TEST(loss_duplicates_and_jitter_are_counted),
		RIG_TEST(every_counter_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}

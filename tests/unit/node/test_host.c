/* ARP, ND and ping on ports that we have to ourselves; our own questions. */
#include "dataplane/node/solicit.h"
#include "tests/unit/node/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
	static struct rig rig;

	rig_open(&rig);
	rig.node->ports[0].owned = true;
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

static enum counter run(struct rig *rig, struct frame *f, const uint8_t *bytes, size_t n)
{
	frame_raw(f, bytes, n);
	return rig_run(rig, f);
}

static bool learnt(struct rig *rig, const char *address, const uint8_t mac[6])
{
	struct hop_learnt item;
	struct endpoint e = endpoint_of(address);

	return hop_requests_get(&rig->node->hop_requests, &item) && item.known &&
	       address_equal(&item.address, &e.address) && memcmp(item.mac, mac, 6) == 0;
}

/* Who has 10.0.0.1? Tell 10.0.0.9 at mac_phone. */
static const uint8_t arp_request[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  0, 0, 0, 0,
					2,    8,    6,    0,    1,    8,    0,  6, 4, 0, 1,
					2,    0,    0,    0,    0,    2,    10, 0, 0, 9, 0,
					0,    0,    0,    0,    0,    10,   0,  0, 1};

static void arp_request_is_answered_and_its_sender_learnt(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	const uint8_t *arp;

	assert_int_equal(run(rig, &f, arp_request, sizeof(arp_request)), COUNTER_HOST_ANSWERED);
	arp = f.packet.frame + 14;
	assert_memory_equal(f.packet.frame, mac_phone, 6);
	assert_memory_equal(f.packet.frame + 6, mac_ours, 6);
	assert_int_equal(arp[7], 2);
	assert_memory_equal(arp + 8, mac_ours, 6);
	assert_memory_equal(arp + 14, arp_request + 38, 4);
	assert_memory_equal(arp + 18, mac_phone, 6);
	assert_memory_equal(arp + 24, arp_request + 28, 4);
	assert_true(learnt(rig, "10.0.0.9:1", mac_phone));
}

static void arp_reply_is_learnt_and_not_answered(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	uint8_t reply[42];

	memcpy(reply, arp_request, sizeof(reply));
	reply[21] = 2;
	assert_int_equal(run(rig, &f, reply, sizeof(reply)), DROP_NOT_UDP);
	assert_true(learnt(rig, "10.0.0.9:1", mac_phone));
}

static void arp_for_others_and_broken_arp_are_ignored(void **state)
{
	static const struct {
		uint8_t at, byte;
	} cases[] = {{41, 2}, {15, 6}, {17, 1}, {18, 7}, {19, 5}, {22, 3}};
	struct rig *rig = *state;
	struct frame f;
	uint8_t bytes[42];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(bytes, arp_request, sizeof(bytes));
		bytes[cases[i].at] = cases[i].byte;
		assert_int_equal(run(rig, &f, bytes, sizeof(bytes)), DROP_NOT_UDP);
	}
	for (size_t n = 0; n < sizeof(arp_request); n++)
		assert_int_not_equal(run(rig, &f, arp_request, n), COUNTER_HOST_ANSWERED);
	assert_int_equal(rig_counter(rig, COUNTER_HOST_LEARNT), 0);
}

static void shared_port_answers_nothing(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	rig->node->ports[0].owned = false;
	assert_int_equal(run(rig, &f, arp_request, sizeof(arp_request)), DROP_NOT_UDP);
}

/* Ping from PHONE to 10.0.0.1 made from a UDP frame's headers. */
static size_t ping4(uint8_t *bytes)
{
	struct frame f;
	uint32_t sum;

	frame_udp(&f, "192.0.2.1:1", "10.0.0.1:1000", "abcde", 5);
	memcpy(bytes, f.packet.frame, f.packet.frame_len);
	bytes[23] = 1;
	memset(bytes + 24, 0, 2);
	sum = 0xffff ^ sum_of(0, bytes + 14, 20);
	bytes[24] = (uint8_t)(sum >> 8);
	bytes[25] = (uint8_t)sum;
	memcpy(bytes + 34, (const uint8_t[]){8, 0, 0, 0, 1, 2, 3, 4}, 8);
	sum = 0xffff ^ sum_of(0, bytes + 34, 13);
	bytes[36] = (uint8_t)(sum >> 8);
	bytes[37] = (uint8_t)sum;
	return f.packet.frame_len;
}

static void ping_is_answered(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	uint8_t bytes[128];
	size_t n = ping4(bytes);
	const uint8_t *ip;

	assert_int_equal(run(rig, &f, bytes, n), COUNTER_HOST_ANSWERED);
	ip = f.packet.frame + 14;
	assert_memory_equal(f.packet.frame, mac_phone, 6);
	assert_int_equal(sum_of(0, ip, 20), 0xffff);
	assert_int_equal(sum_of(0, ip + 20, 13), 0xffff);
	assert_memory_equal(ip + 12, bytes + 30, 4);
	assert_memory_equal(ip + 16, bytes + 26, 4);
	assert_int_equal(ip[20], 0);
	assert_memory_equal(ip + 24, "\1\2\3\4abcde", 9);
	bytes[33] = 2; /* for another host */
	assert_int_not_equal(run(rig, &f, bytes, n), COUNTER_HOST_ANSWERED);
	n = ping4(bytes);
	bytes[20] = 0x20; /* a fragment */
	assert_int_not_equal(run(rig, &f, bytes, n), COUNTER_HOST_ANSWERED);
	n = ping4(bytes);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_not_equal(run(rig, &f, bytes, cut), COUNTER_HOST_ANSWERED);
}

/* An ICMPv6 message to fd00::1 in place of UDP, its first 8 bytes given. */
static size_t icmp6(uint8_t *bytes, const uint8_t head[8], const uint8_t *body, size_t body_len)
{
	struct frame f;

	frame_udp(&f, "[fd00::9]:1", "[fd00::1]:1004", body, body_len);
	memcpy(bytes, f.packet.frame, f.packet.frame_len);
	bytes[20] = 58;
	bytes[21] = 255;
	memcpy(bytes + 54, head, 8);
	return f.packet.frame_len;
}

static bool icmp6_sum_holds(const uint8_t *ip)
{
	uint32_t len = (uint32_t)ip[4] << 8 | ip[5];

	return sum_of(sum_of(len + 58, ip + 8, 32), ip + 40, len) == 0xffff;
}

static void ping6_is_answered(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	uint8_t bytes[128];
	size_t n = icmp6(bytes, (const uint8_t[]){128, 0, 0, 0, 1, 2, 3, 4},
			 (const uint8_t *)"abcde", 5);
	const uint8_t *ip;

	assert_int_equal(run(rig, &f, bytes, n), COUNTER_HOST_ANSWERED);
	ip = f.packet.frame + 14;
	assert_int_equal(ip[40], 129);
	assert_true(icmp6_sum_holds(ip));
	assert_memory_equal(ip + 8, endpoint_of("[fd00::1]:1").address.ip, 16);
	assert_memory_equal(ip + 24, endpoint_of("[fd00::9]:1").address.ip, 16);
	assert_memory_equal(ip + 44, "\1\2\3\4abcde", 9);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_not_equal(run(rig, &f, bytes, cut), COUNTER_HOST_ANSWERED);
}

static void solicitation_is_answered_with_our_address(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	uint8_t bytes[128], body[24] = {0};
	const uint8_t *ip;
	size_t n;

	memcpy(body, endpoint_of("[fd00::1]:1").address.ip, 16);
	body[16] = 1;
	body[17] = 1;
	memcpy(body + 18, mac_router, 6);
	n = icmp6(bytes, (const uint8_t[8]){135}, body, sizeof(body));
	assert_int_equal(run(rig, &f, bytes, n), COUNTER_HOST_ANSWERED);
	ip = f.packet.frame + 14;
	assert_memory_equal(f.packet.frame, mac_router, 6);
	assert_int_equal(ip[40], 136);
	assert_int_equal(ip[44], 0x60);
	assert_int_equal(ip[7], 255);
	assert_true(icmp6_sum_holds(ip));
	assert_memory_equal(ip + 48, body, 16);
	assert_memory_equal(ip + 64, "\2\1", 2);
	assert_memory_equal(ip + 66, mac_ours, 6);
	assert_true(learnt(rig, "[fd00::9]:1", mac_router));
	/* One that has come through a router is forged (RFC 4861 7.1.1). */
	bytes[21] = 254;
	assert_int_equal(run(rig, &f, bytes, n), DROP_NOT_UDP);
	/* For another. */
	bytes[21] = 255;
	bytes[77] = 9;
	assert_int_equal(run(rig, &f, bytes, n), DROP_NOT_UDP);
}

static void broken_nd_options_are_survived(void **state)
{
	struct rig *rig = *state;
	struct frame f;
	uint8_t bytes[128], body[24] = {0};

	memcpy(body, endpoint_of("[fd00::1]:1").address.ip, 16);
	for (int type = 0; type < 4; type++) {
		for (int len = 0; len < 4; len++) {
			body[16] = (uint8_t)type;
			body[17] = (uint8_t)len;
			size_t n = icmp6(bytes, (const uint8_t[8]){135}, body, sizeof(body));
			for (size_t cut = 0; cut <= n; cut++)
				run(rig, &f, bytes, cut);
		}
	}
}

static void our_own_questions_are_answered_by_our_own_answers(void **state)
{
	static const char *const pairs[][2] = {{"10.0.0.9:1", "10.0.0.1:1"},
					       {"[fd00::9]:1", "[fd00::1]:1"}};
	struct rig *rig = *state;
	struct frame f;
	uint8_t bytes[SOLICIT_BYTES_MAX];

	for (size_t i = 0; i < 2; i++) {
		struct endpoint from = endpoint_of(pairs[i][0]), to = endpoint_of(pairs[i][1]);
		uint32_t n = solicit_build(bytes, mac_phone, &from.address, &to.address);

		if (i == 1)
			assert_true(icmp6_sum_holds(bytes + 14));
		assert_int_equal(run(rig, &f, bytes, n), COUNTER_HOST_ANSWERED);
		assert_true(learnt(rig, pairs[i][0], mac_phone));
		assert_memory_equal(f.packet.frame, mac_phone, 6);
	}
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(arp_request_is_answered_and_its_sender_learnt),
		RIG_TEST(arp_reply_is_learnt_and_not_answered),
		RIG_TEST(arp_for_others_and_broken_arp_are_ignored),
		RIG_TEST(shared_port_answers_nothing),
		RIG_TEST(ping_is_answered),
		RIG_TEST(ping6_is_answered),
		RIG_TEST(solicitation_is_answered_with_our_address),
		RIG_TEST(broken_nd_options_are_survived),
		RIG_TEST(our_own_questions_are_answered_by_our_own_answers),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}

/* The walk over RTCP compounds and the readers of its packets. */
#include "dataplane/media/rtcp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* SR with one report, SDES with two chunks, BYE, PLI with four bytes of padding. */
static const uint8_t compound[] = {
	0x81, 200,  0,    12,   0,    0,    0x11, 0x11, 0xe0, 0,    0,    1,    0x80, 0,    0,
	0,    0,    0,    0x03, 0x20, 0,    0,    0,    5,    0,    0,    3,    0x20, 0,    0,
	0x22, 0x22, 0x40, 0xff, 0xff, 0xfe, 0,    1,    0,    9,    0,    0,    0,    20,   1,
	2,    3,    4,    0,    0,    0x80, 0,    0x82, 202,  0,    5,    0,    0,    0x11, 0x11,
	1,    2,    'a',  '@',  0,    0,    0,    0,    0,    0,    0x22, 0x22, 2,    0,    0,
	0,    0x81, 203,  0,    1,    0,    0,    0x11, 0x11, 0xa1, 206,  0,    3,    0,    0,
	0x11, 0x11, 0,    0,    0x22, 0x22, 0,    0,    0,    4,
};

static void a_compound_is_walked_to_its_end(void **state)
{
	static const uint8_t types[] = {RTCP_SR, RTCP_SDES, RTCP_BYE, RTCP_PSFB};
	struct rtcp_packet packet;
	struct rtcp_walk walk;

	(void)state;
	rtcp_walk_init(&walk, compound, sizeof(compound));
	for (size_t i = 0; i < sizeof(types); i++) {
		assert_int_equal(rtcp_walk_next(&walk, &packet), 1);
		assert_int_equal(packet.type, types[i]);
		assert_int_equal(packet.ssrc, 0x1111);
	}
	assert_int_equal(packet.body_len, 8); /* without padding */
	assert_int_equal(rtcp_walk_next(&walk, &packet), 0);
	assert_true(rtcp_is_valid(compound, sizeof(compound), false));
}

static void packet_at(unsigned int index, struct rtcp_packet *packet)
{
	struct rtcp_walk walk;

	rtcp_walk_init(&walk, compound, sizeof(compound));
	for (unsigned int i = 0; i <= index; i++)
		assert_int_equal(rtcp_walk_next(&walk, packet), 1);
}

static void reports_are_read(void **state)
{
	struct rtcp_packet packet;
	struct rtcp_sender sender;
	struct rtcp_report report;

	(void)state;
	packet_at(0, &packet);
	assert_int_equal(rtcp_sender_parse(&packet, &sender), 0);
	assert_true(sender.ntp == UINT64_C(0xe000000180000000));
	assert_int_equal(sender.ts, 800);
	assert_int_equal(sender.packets, 5);
	assert_int_equal(sender.bytes, 800);
	assert_int_equal(rtcp_reports_count(&packet), 1);
	rtcp_report_parse(&packet, 0, &report);
	assert_int_equal(report.ssrc, 0x2222);
	assert_int_equal(report.fraction_lost, 64);
	assert_int_equal(report.lost, -2);
	assert_int_equal(report.highest_seq, 65545);
	assert_int_equal(report.jitter_ts, 20);
	assert_int_equal(report.last_sr, 0x01020304);
	assert_int_equal(report.since_sr_q16, 0x8000);
}

static void names_and_farewells_are_read(void **state)
{
	struct rtcp_packet packet;
	const char *text;
	uint32_t ssrc;
	size_t len;

	(void)state;
	packet_at(1, &packet);
	assert_int_equal(rtcp_cname(&packet, 0x1111, &text, &len), 0);
	assert_int_equal(len, 2);
	assert_memory_equal(text, "a@", 2);
	assert_int_equal(rtcp_cname(&packet, 0x2222, &text, &len), -ENOENT);
	packet_at(2, &packet);
	assert_int_equal(rtcp_bye_count(&packet), 1);
	assert_int_equal(rtcp_bye_ssrc(&packet, 0), 0x1111);
	packet_at(3, &packet);
	assert_int_equal(rtcp_feedback_media(&packet, &ssrc), 0);
	assert_int_equal(ssrc, 0x2222);
	packet_at(0, &packet);
	assert_int_equal(rtcp_feedback_media(&packet, &ssrc), -EBADMSG);
	assert_int_equal(rtcp_bye_count(&packet), 0);
}

static void every_prefix_is_walked_within_its_bounds(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(compound); n++) {
		uint8_t *copy = malloc(n ? n : 1);
		struct rtcp_packet packet;
		struct rtcp_walk walk;
		const char *text;
		size_t len, used = 0;
		int rc;

		memcpy(copy, compound, n);
		rtcp_walk_init(&walk, copy, n);
		while ((rc = rtcp_walk_next(&walk, &packet)) == 1) {
			used += packet.body_len + 4;
			for (uint32_t i = 0; i < rtcp_reports_count(&packet); i++) {
				struct rtcp_report report;

				rtcp_report_parse(&packet, i, &report);
			}
			rtcp_cname(&packet, 1, &text, &len);
		}
		assert_true(used <= n);
		/* Only cuts between packets leave something whole. */
		assert_int_equal(rc == 0 && n > 0, n == 52 || n == 76 || n == 84);
		free(copy);
	}
}

static void broken_compounds_are_refused(void **state)
{
	uint8_t bytes[sizeof(compound)];

	(void)state;
	memcpy(bytes, compound, sizeof(bytes));
	bytes[0] = 0x41;
	assert_false(rtcp_is_valid(bytes, sizeof(bytes), false)); /* version */
	memcpy(bytes, compound, sizeof(bytes));
	bytes[0] |= 0x20;
	assert_false(rtcp_is_valid(bytes, sizeof(bytes), false)); /* padding in the first */
	memcpy(bytes, compound, sizeof(bytes));
	bytes[sizeof(bytes) - 1] = 3;
	assert_false(rtcp_is_valid(bytes, sizeof(bytes), false)); /* padding not in words */
	bytes[sizeof(bytes) - 1] = 16;
	assert_false(rtcp_is_valid(bytes, sizeof(bytes), false)); /* padding over the header */
	assert_false(rtcp_is_valid(compound + 52, 24, false));    /* SDES first */
	assert_true(rtcp_is_valid(compound + 52, 24, true));
	assert_false(rtcp_is_valid(compound, 0, true));
}

static void counts_larger_than_the_body_are_cut(void **state)
{
	uint8_t bytes[] = {0x9f, 201, 0, 1, 0, 0, 0, 1};
	uint8_t bye[] = {0x9f, 203, 0, 1, 0, 0, 0, 1};
	struct rtcp_packet packet;
	struct rtcp_walk walk;

	(void)state;
	rtcp_walk_init(&walk, bytes, sizeof(bytes));
	assert_int_equal(rtcp_walk_next(&walk, &packet), 1);
	assert_int_equal(packet.count, 31);
	assert_int_equal(rtcp_reports_count(&packet), 0);
	rtcp_walk_init(&walk, bye, sizeof(bye));
	assert_int_equal(rtcp_walk_next(&walk, &packet), 1);
	assert_int_equal(rtcp_bye_count(&packet), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_compound_is_walked_to_its_end),
		cmocka_unit_test(reports_are_read),
		cmocka_unit_test(names_and_farewells_are_read),
		cmocka_unit_test(every_prefix_is_walked_within_its_bounds),
		cmocka_unit_test(broken_compounds_are_refused),
		cmocka_unit_test(counts_larger_than_the_body_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The RTP header, RFC 7983 demultiplexing, sequence tracking and jitter. */
#include "dataplane/media/rtp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Everything at once: padding, extension of two words, two CSRC, marker, payload "abc". */
static const uint8_t full[] = {
	0xb2, 0xe0, 0x12, 0x34, 0x01, 0x02, 0x03, 0x04, 0xde, 0xad, 0xbe, 0xef, /* header */
	0,    0,    0,    1,    0,    0,    0,    2,                            /* CSRC */
	0xbe, 0xde, 0,    2,    1,    2,    3,    4,    5,    6,    7,    8,    /* extension */
	'a',  'b',  'c',  0,    0,    0,    0,    5, /* payload, padding */
};

static void a_full_header_is_taken_apart(void **state)
{
	struct rtp_packet p;

	(void)state;
	assert_int_equal(rtp_parse(&p, full, sizeof(full)), 0);
	assert_int_equal(p.marker, 1);
	assert_int_equal(p.pt, 96);
	assert_int_equal(p.seq, 0x1234);
	assert_int_equal(p.ts, 0x01020304);
	assert_int_equal(p.ssrc, 0xdeadbeef);
	assert_int_equal(p.csrc_count, 2);
	assert_int_equal(p.extension_profile, 0xbede);
	assert_int_equal(p.extension_len, 8);
	assert_int_equal(full[p.extension_offset], 1);
	assert_int_equal(p.padding_len, 5);
	assert_int_equal(p.payload_len, 3);
	assert_memory_equal(full + p.payload_offset, "abc", 3);
}

static void every_prefix_is_refused_or_ends_within_itself(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(full); n++) {
		uint8_t *copy = malloc(n ? n : 1);
		struct rtp_packet p;

		memcpy(copy, full, n);
		if (rtp_parse(&p, copy, n) == 0)
			assert_int_equal(p.payload_offset + p.payload_len + p.padding_len, n);
		free(copy);
	}
}

static void lengths_beyond_the_packet_are_refused(void **state)
{
	uint8_t bytes[sizeof(full)];
	struct rtp_packet p;

	(void)state;
	memcpy(bytes, full, sizeof(full));
	bytes[sizeof(full) - 1] = 9; /* padding longer than what is left */
	assert_int_equal(rtp_parse(&p, bytes, sizeof(bytes)), -EBADMSG);
	bytes[sizeof(full) - 1] = 0;
	assert_int_equal(rtp_parse(&p, bytes, sizeof(bytes)), -EBADMSG);
	bytes[sizeof(full) - 1] = 8; /* nothing but padding */
	assert_int_equal(rtp_parse(&p, bytes, sizeof(bytes)), 0);
	assert_int_equal(p.payload_len, 0);
	bytes[22] = 0xff; /* extension words */
	assert_int_equal(rtp_parse(&p, bytes, sizeof(bytes)), -EBADMSG);
	memcpy(bytes, full, sizeof(full));
	bytes[0] = 0x72; /* version 1 */
	assert_int_equal(rtp_parse(&p, bytes, sizeof(bytes)), -EBADMSG);
	memcpy(bytes, full, sizeof(full));
	bytes[0] |= 0x0f;
	assert_int_equal(rtp_parse(&p, bytes, sizeof(bytes)), -EBADMSG);
}

static void a_built_header_parses_back(void **state)
{
	struct rtp_packet in = {.marker = 1, .pt = 8, .seq = 65535, .ts = 0xffffffff, .ssrc = 7};
	struct rtp_packet out;
	uint8_t bytes[RTP_HEADER_BYTES];

	(void)state;
	rtp_build(bytes, &in);
	assert_int_equal(rtp_parse(&out, bytes, sizeof(bytes)), 0);
	assert_int_equal(out.marker, 1);
	assert_int_equal(out.pt, 8);
	assert_int_equal(out.seq, 65535);
	assert_int_equal(out.ts, 0xffffffff);
	assert_int_equal(out.ssrc, 7);
	assert_int_equal(out.payload_len, 0);
}

static void packets_are_told_apart_by_their_first_bytes(void **state)
{
	static const struct {
		uint8_t first, second;
		enum rtp_demux what;
	} rows[] = {
		{0, 1, RTP_DEMUX_STUN},    {3, 0, RTP_DEMUX_STUN},      {4, 0, RTP_DEMUX_OTHER},
		{16, 0, RTP_DEMUX_ZRTP},   {19, 0, RTP_DEMUX_ZRTP},     {20, 254, RTP_DEMUX_DTLS},
		{63, 254, RTP_DEMUX_DTLS}, {64, 0, RTP_DEMUX_TURN},     {79, 0, RTP_DEMUX_TURN},
		{80, 0, RTP_DEMUX_OTHER},  {127, 0, RTP_DEMUX_OTHER},   {128, 0, RTP_DEMUX_RTP},
		{128, 191, RTP_DEMUX_RTP}, {128, 192, RTP_DEMUX_RTCP},  {191, 223, RTP_DEMUX_RTCP},
		{128, 224, RTP_DEMUX_RTP}, {192, 200, RTP_DEMUX_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t bytes[2] = {rows[i].first, rows[i].second};

		assert_int_equal(rtp_demux(bytes, 2), rows[i].what);
		assert_int_equal(rtp_demux(bytes, 1), RTP_DEMUX_OTHER);
	}
}

static void a_gap_is_lost_and_a_late_packet_is_found_again(void **state)
{
	struct rtp_sequence s;

	(void)state;
	rtp_sequence_init(&s, 65534);
	assert_int_equal(rtp_sequence_update(&s, 65535), RTP_SEQUENCE_NEXT);
	assert_int_equal(rtp_sequence_update(&s, 2), RTP_SEQUENCE_NEXT); /* 0 and 1 are missing */
	assert_int_equal(rtp_sequence_lost(&s), 2);
	assert_int_equal(rtp_sequence_update(&s, 0), RTP_SEQUENCE_LATE);
	assert_int_equal(rtp_sequence_update(&s, 0), RTP_SEQUENCE_DUPLICATE);
	assert_int_equal(rtp_sequence_update(&s, 2), RTP_SEQUENCE_DUPLICATE);
	assert_int_equal(rtp_sequence_lost(&s), 1);
	assert_int_equal(s.duplicates, 2);
	assert_int_equal(rtp_sequence_expected(&s), 5);
	assert_int_equal(s.cycles, 65536);
}

static void a_packet_from_before_the_first_widens_the_stretch(void **state)
{
	struct rtp_sequence s;

	(void)state;
	rtp_sequence_init(&s, 1);
	assert_int_equal(rtp_sequence_update(&s, 65535), RTP_SEQUENCE_LATE);
	assert_int_equal(rtp_sequence_expected(&s), 3); /* 65535, 0, 1 */
	assert_int_equal(rtp_sequence_lost(&s), 1);
	assert_int_equal(rtp_sequence_update(&s, 0), RTP_SEQUENCE_LATE);
	assert_int_equal(rtp_sequence_lost(&s), 0);
}

static void a_jump_is_believed_when_the_next_packet_follows_it(void **state)
{
	struct rtp_sequence s;

	(void)state;
	rtp_sequence_init(&s, 100);
	assert_int_equal(rtp_sequence_update(&s, 101), RTP_SEQUENCE_NEXT);
	assert_int_equal(rtp_sequence_update(&s, 40000), RTP_SEQUENCE_JUMP);
	assert_int_equal(rtp_sequence_update(&s, 102), RTP_SEQUENCE_NEXT);
	assert_int_equal(s.received, 3);
	assert_int_equal(rtp_sequence_update(&s, 50000), RTP_SEQUENCE_JUMP);
	assert_int_equal(rtp_sequence_update(&s, 50001), RTP_SEQUENCE_RESTART);
	assert_int_equal(rtp_sequence_update(&s, 50002), RTP_SEQUENCE_NEXT);
	assert_int_equal(s.restarts, 1);
	assert_int_equal(s.received, 6);
	assert_int_equal(rtp_sequence_lost(&s), 0);
}

/* Random order, loss and duplication within the window: the counts must be those of a plain bitmap.
 */
static void counts_are_those_of_a_plain_model(void **state)
{
	enum { N = 200000 };
	uint8_t *seen = calloc(N, 1);
	uint64_t unique = 1, duplicates = 0;
	uint32_t newest = 0;
	struct rtp_sequence s;

	(void)state;
	srand(3);
	seen[0] = 1;
	rtp_sequence_init(&s, 60000);
	while (newest + 20 < N) {
		uint32_t n = newest + (uint32_t)(rand() % 20);

		if (rand() % 4 == 0 && newest > 40)
			n = newest - (uint32_t)(rand() % 40);
		rtp_sequence_update(&s, (uint16_t)(60000 + n));
		unique += !seen[n];
		duplicates += seen[n];
		seen[n] = 1;
		if (n > newest)
			newest = n;
	}
	assert_int_equal(s.received, unique);
	assert_int_equal(s.duplicates, duplicates);
	assert_int_equal(rtp_sequence_expected(&s), newest + 1);
	assert_int_equal(rtp_sequence_lost(&s), newest + 1 - unique);
	free(seen);
}

static void jitter_follows_the_formula_of_rfc_3550(void **state)
{
	uint64_t factor = rtp_clock_factor(8000);
	struct rtp_jitter j = {0};
	double model = 0, before = 0;

	(void)state;
	srand(5);
	for (uint32_t i = 0; i < 2000; i++) {
		uint64_t arrival_ns = UINT64_C(1700000000000000000) + i * UINT64_C(20000000) +
				      (uint64_t)(rand() % 8000000);
		uint32_t arrival = rtp_clock_ts(arrival_ns, factor);
		double transit = (double)(int32_t)(arrival - i * 160);

		rtp_jitter_update(&j, i * 160, arrival);
		if (i > 0) {
			double d = transit - before;

			model += ((d < 0 ? -d : d) - model) / 16;
		}
		before = transit;
	}
	/* 8 ms of uniform jitter: differences average to a third of 64 ticks */
	assert_true(rtp_jitter_ts(&j) + 1 >= (uint32_t)model &&
		    rtp_jitter_ts(&j) <= (uint32_t)model + 1);
	assert_true(model > 12 && model < 32);
}

static void the_clock_conversion_counts_ticks(void **state)
{
	static const uint32_t rates[] = {1, 8000, 16000, 44100, 48000, 90000};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		uint64_t factor = rtp_clock_factor(rates[i]);
		uint32_t a = rtp_clock_ts(UINT64_C(1700000000000000000), factor);
		uint32_t b = rtp_clock_ts(UINT64_C(1700000001000000000), factor);

		assert_in_range(b - a, rates[i] - 1, rates[i] + 1);
	}
}

static void a_new_timestamp_base_is_no_jitter(void **state)
{
	struct rtp_jitter j = {0};

	(void)state;
	rtp_jitter_update(&j, 0, 0);
	rtp_jitter_update(&j, 160, 160);
	rtp_jitter_update(&j, 0x80000000, 320);
	assert_int_equal(rtp_jitter_ts(&j), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_header_is_taken_apart),
		cmocka_unit_test(every_prefix_is_refused_or_ends_within_itself),
		cmocka_unit_test(lengths_beyond_the_packet_are_refused),
		cmocka_unit_test(a_built_header_parses_back),
		cmocka_unit_test(packets_are_told_apart_by_their_first_bytes),
		cmocka_unit_test(a_gap_is_lost_and_a_late_packet_is_found_again),
		cmocka_unit_test(a_packet_from_before_the_first_widens_the_stretch),
		cmocka_unit_test(a_jump_is_believed_when_the_next_packet_follows_it),
		cmocka_unit_test(counts_are_those_of_a_plain_model),
		cmocka_unit_test(jitter_follows_the_formula_of_rfc_3550),
		cmocka_unit_test(the_clock_conversion_counts_ticks),
		cmocka_unit_test(a_new_timestamp_base_is_no_jitter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

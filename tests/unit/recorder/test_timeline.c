/* Placing packets: loss, reordering, duplicates, jumps, changed sources, drifting clocks. */
#include "recorder/recording/timeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define T0      UINT64_C(1767225600000000000)
#define MS      INT64_C(1000000)
#define PACKETS 4000

/* A sender: 20 ms packets of 8000 Hz. */
struct sender {
	uint32_t ssrc;
	uint16_t seq;
	uint32_t ts;
	uint64_t time_ns; /* when the next packet is spoken */
	uint64_t delay_ns;
};

struct line {
	struct timeline_packet packets[PACKETS];
	size_t count;
	struct timeline_summary summary;
};

static struct sender sender_at(uint64_t time_ns)
{
	return (struct sender){
		.ssrc = 0x11223344, .seq = 65000, .ts = 0xfffff000, .time_ns = time_ns};
}

/* position is the time it was spoken, so that tests can compare. */
static struct timeline_packet *packet_send(struct line *line, struct sender *sender)
{
	struct timeline_packet *packet = &line->packets[line->count++];

	assert_true(line->count <= PACKETS);
	*packet = (struct timeline_packet){
		.position = sender->time_ns,
		.arrival_ns = sender->time_ns + sender->delay_ns,
		.ssrc = sender->ssrc,
		.ts = sender->ts,
		.clock_hz = 8000,
		.seq = sender->seq,
		.audible = true,
	};
	sender->seq++;
	sender->ts += 160;
	sender->time_ns += 20 * MS;
	return packet;
}

static void packets_send(struct line *line, struct sender *sender, int count)
{
	while (count-- > 0)
		packet_send(line, sender);
}

static void line_build(struct line *line)
{
	assert_int_equal(timeline_build(line->packets, line->count, T0, &line->summary), 0);
}

/* Largest distance between where a packet is and where it was spoken. */
static int64_t line_error(const struct line *line)
{
	int64_t worst = 0;

	for (size_t k = 0; k < line->count; k++) {
		const struct timeline_packet *packet = &line->packets[k];
		int64_t error;

		if (packet->duplicate || !packet->audible)
			continue;
		error = llabs(packet->start_ns - (int64_t)(packet->position - T0));
		worst = error > worst ? error : worst;
	}
	return worst;
}

static struct line *line_new(void **state)
{
	struct line *line = *state;

	memset(line, 0, sizeof(*line));
	return line;
}

static void even_packets_stand_where_they_were_spoken(void **state)
{
	struct line *line = line_new(state);
	struct sender sender = sender_at(T0 + 300 * MS);

	packets_send(line, &sender, 1500); /* over the wrap of sequence and timestamp */
	line_build(line);
	assert_int_equal(line_error(line), 0);
	assert_int_equal(line->summary.sources, 1);
	assert_int_equal(line->summary.lost, 0);
	assert_int_equal(line->summary.jumps, 0);
	assert_int_equal(line->packets[0].start_ns, 300 * MS);
}

static void jitter_does_not_move_the_sound(void **state)
{
	struct line *line = line_new(state);
	struct sender sender = sender_at(T0);
	uint32_t seed = 7;

	for (int k = 0; k < 3000; k++) {
		seed = seed * 1664525 + 1013904223;
		sender.delay_ns = (seed >> 24) % 120 * MS;
		if (k % 50 == 0)
			sender.delay_ns = 0;
		packet_send(line, &sender);
	}
	line_build(line);
	assert_int_equal(line_error(line), 0);
}

static void lost_packets_leave_their_place_empty_and_are_counted(void **state)
{
	struct line *line = line_new(state);
	struct sender sender = sender_at(T0);

	for (int k = 0; k < 500; k++) {
		packet_send(line, &sender);
		if (k % 10 == 3 || (k >= 200 && k < 260))
			line->count--;
	}
	line_build(line);
	assert_int_equal(line_error(line), 0);
	assert_int_equal(line->summary.lost, 50 + 60 - 6);
}

static void reordered_packets_are_put_in_order_and_duplicates_taken_out(void **state)
{
	struct line *line = line_new(state);
	struct sender sender = sender_at(T0);
	int duplicates = 0;

	packets_send(line, &sender, 300);
	for (size_t k = 10; k + 3 < 300; k += 7) {
		struct timeline_packet swap = line->packets[k];

		line->packets[k] = line->packets[k + 2];
		line->packets[k + 2] = swap;
	}
	for (size_t k = 20; k < 280; k += 13) {
		line->packets[line->count] = line->packets[k];
		line->packets[line->count].arrival_ns += 30 * MS;
		/* in the order of arrival, near the original */
		for (size_t at = line->count; at > k + 2; at--) {
			struct timeline_packet swap = line->packets[at];

			line->packets[at] = line->packets[at - 1];
			line->packets[at - 1] = swap;
		}
		line->count++;
		duplicates++;
	}
	line_build(line);
	assert_int_equal(line_error(line), 0);
	assert_int_equal(line->summary.lost, 0);
	assert_int_equal(line->summary.duplicates, duplicates);
	for (size_t k = 1; k < line->count; k++)
		assert_true(line->packets[k].extended >= line->packets[k - 1].extended);
}

static void a_new_source_begins_where_it_arrives(void **state)
{
	struct line *line = line_new(state);
	struct sender sender = sender_at(T0);

	packets_send(line, &sender, 100);
	sender.ssrc = 0x55667788;
	sender.seq = 7;
	sender.ts = 123456789;
	sender.time_ns += 400 * MS;
	packets_send(line, &sender, 100);
	line_build(line);
	assert_int_equal(line_error(line), 0);
	assert_int_equal(line->summary.sources, 2);
	assert_int_equal(line->summary.lost, 0);
}

static void sources_that_alternate_keep_their_own_time(void **state)
{
	struct line *line = line_new(state);
	struct sender first = sender_at(T0), second = sender_at(T0 + 5 * MS);

	second.ssrc = 1;
	second.ts = 99;
	for (int k = 0; k < 200; k++) {
		packet_send(line, &first);
		packet_send(line, &second);
	}
	line_build(line);
	assert_int_equal(line_error(line), 0);
	assert_int_equal(line->summary.sources, 2);
}

static void timestamps_and_sequences_that_jump_are_anchored_anew(void **state)
{
	static const uint32_t jumps_ts[] = {80000, 1600000, 0x80000000u, (uint32_t)-80000,
					    (uint32_t)-1600000};

	for (size_t k = 0; k < sizeof(jumps_ts) / sizeof(jumps_ts[0]); k++) {
		struct line *line = line_new(state);
		struct sender sender = sender_at(T0);

		packets_send(line, &sender, 100);
		sender.ts += jumps_ts[k];
		sender.seq += 20000;
		packets_send(line, &sender, 100);
		line_build(line);
		assert_int_equal(line_error(line), 0);
		assert_int_equal(line->summary.jumps, 1);
		assert_int_equal(line->summary.lost, 0);
	}
}

static void a_hold_leaves_a_gap_whether_the_clock_ran_or_stood(void **state)
{
	for (int clock_runs = 0; clock_runs < 2; clock_runs++) {
		struct line *line = line_new(state);
		struct sender sender = sender_at(T0);

		packets_send(line, &sender, 250);
		sender.time_ns += 7000 * MS;
		sender.ts += clock_runs ? 7 * 8000 : 0;
		packets_send(line, &sender, 250);
		line_build(line);
		assert_int_equal(line_error(line), 0);
		assert_int_equal(line->summary.jumps, clock_runs ? 0 : 1);
	}
}

static void a_burst_after_a_stall_is_played_in_its_time(void **state)
{
	struct line *line = line_new(state);
	struct sender sender = sender_at(T0);

	packets_send(line, &sender, 100);
	/* the network holds 60 packets back and then delivers them at once */
	for (int k = 0; k < 60; k++) {
		sender.delay_ns = (uint64_t)((60 - k) * 20 * MS);
		packet_send(line, &sender);
	}
	sender.delay_ns = 0;
	packets_send(line, &sender, 200);
	line_build(line);
	assert_int_equal(line_error(line), 0);
	assert_int_equal(line->summary.jumps, 0);
}

static void a_drifting_clock_is_followed(void **state)
{
	struct line *line = line_new(state);
	struct sender sender = sender_at(T0);

	/* 1000 ppm too slow: after 80 s it would be 80 ms behind */
	for (int k = 0; k < PACKETS; k++) {
		packet_send(line, &sender);
		sender.time_ns += 20000;
	}
	line_build(line);
	assert_true(line_error(line) <= 40 * MS);
	assert_true(line->summary.jumps > 0);
}

static void a_late_first_packet_does_not_delay_the_rest(void **state)
{
	struct line *line = line_new(state);
	struct sender sender = sender_at(T0 + 100 * MS);

	for (int k = 0; k < 20; k++) {
		sender.delay_ns = (uint64_t)((20 - k) * 10 * MS);
		packet_send(line, &sender);
	}
	sender.delay_ns = 0;
	packets_send(line, &sender, 100);
	line_build(line);
	assert_int_equal(line_error(line), 0);
}

static void telephone_events_do_not_take_part_in_the_timing(void **state)
{
	struct line *line = line_new(state);
	struct sender sender = sender_at(T0);

	packets_send(line, &sender, 100);
	for (int k = 0; k < 25; k++) { /* RFC 4733 2.5.1.2: all with the timestamp of the first */
		struct timeline_packet *packet = packet_send(line, &sender);

		packet->audible = false;
		packet->ts -= (uint32_t)k * 160;
	}
	packets_send(line, &sender, 100);
	line_build(line);
	assert_int_equal(line_error(line), 0);
	assert_int_equal(line->summary.lost, 0);
	assert_int_equal(line->summary.jumps, 0);
}

static void more_sources_than_there_is_room_for_are_surplus(void **state)
{
	struct line *line = line_new(state);
	struct sender sender = sender_at(T0);

	for (uint32_t k = 0; k < TIMELINE_SOURCES_MAX + 10; k++) {
		sender.ssrc = k;
		packets_send(line, &sender, 2);
	}
	line_build(line);
	assert_int_equal(line->summary.sources, TIMELINE_SOURCES_MAX);
	assert_int_equal(line->summary.surplus, 20);
	for (size_t k = line->count - 20; k < line->count; k++)
		assert_true(line->packets[k].ssrc >= TIMELINE_SOURCES_MAX);
}

static void no_packets_and_wild_packets_are_survived(void **state)
{
	struct line *line = line_new(state);
	uint32_t seed = 3;

	line_build(line);
	for (line->count = 0; line->count < PACKETS; line->count++) {
		struct timeline_packet *packet = &line->packets[line->count];
		uint64_t wild[4];

		for (int k = 0; k < 4; k++) {
			seed = seed * 1664525 + 1013904223;
			wild[k] = (uint64_t)seed << 32 | seed;
		}
		*packet = (struct timeline_packet){
			.arrival_ns = wild[0],
			.ssrc = (uint32_t)(wild[1] >> 61),
			.ts = (uint32_t)wild[2],
			.clock_hz = wild[3] % 2 ? 8000 : 48000,
			.seq = (uint16_t)(wild[3] >> 40),
			.audible = wild[1] % 3 != 0,
		};
	}
	line_build(line);
}

static int line_setup(void **state)
{
	*state = malloc(sizeof(struct line));
	return *state ? 0 : -1;
}

static int line_teardown(void **state)
{
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(even_packets_stand_where_they_were_spoken),
		cmocka_unit_test(jitter_does_not_move_the_sound),
		cmocka_unit_test(lost_packets_leave_their_place_empty_and_are_counted),
		cmocka_unit_test(reordered_packets_are_put_in_order_and_duplicates_taken_out),
		cmocka_unit_test(a_new_source_begins_where_it_arrives),
		cmocka_unit_test(sources_that_alternate_keep_their_own_time),
		cmocka_unit_test(timestamps_and_sequences_that_jump_are_anchored_anew),
		cmocka_unit_test(a_hold_leaves_a_gap_whether_the_clock_ran_or_stood),
		cmocka_unit_test(a_burst_after_a_stall_is_played_in_its_time),
		cmocka_unit_test(a_drifting_clock_is_followed),
		cmocka_unit_test(a_late_first_packet_does_not_delay_the_rest),
		cmocka_unit_test(telephone_events_do_not_take_part_in_the_timing),
		cmocka_unit_test(more_sources_than_there_is_room_for_are_surplus),
		cmocka_unit_test(no_packets_and_wild_packets_are_survived),
	};

	return cmocka_run_group_tests(tests, line_setup, line_teardown);
}

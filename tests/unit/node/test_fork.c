/* Copies for the recorder: content, order, and what happens when the ring is full. */
#include "tests/unit/node/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define OURS  "10.0.0.1:1000"
#define PHONE "192.0.2.1:4000"

static int setup(void **state)
{
	static struct rig rig;

	rig_open(&rig);
	rig_fork(&rig);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

static void post(struct rig *rig, uint16_t type, uint64_t recording)
{
	static struct fork_command command;

	command = (struct fork_command){.type = type,
					.recording = recording,
					.stream = 1,
					.leg = 2,
					.time_ns = 42,
					.payload = "{\"x\":1}",
					.payload_len = 7};
	if (type == TD_FORK_END) {
		command.slots_count = 1;
		command.slots[0] =
			(struct fork_slot){.slot = rig_slot(rig, OURS), .stream = 1, .leg = 2};
	}
	assert_int_equal(flow_table_fork(rig->flows, 0, &command), 0);
}

static void publish(struct rig *rig, bool fork, uint64_t recording)
{
	struct flow_conf conf = rig_conf(rig, OURS, PHONE);

	conf.sink = conf.rtcp_sink = conf.slot;
	if (fork)
		conf.flags |= FLOW_FORK;
	conf.recording = recording;
	conf.fork_stream = 1;
	conf.fork_leg = 2;
	assert_int_equal(flow_table_publish(rig->flows, &conf), 0);
}

static void arrive(struct rig *rig, uint16_t seq, size_t payload_len)
{
	struct frame f;

	frame_rtp(&f, PHONE, OURS, seq, seq * 160u, 0xaa, payload_len);
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
}

/* A round without packets. */
static void idle(struct rig *rig)
{
	node_begin(rig->node, rig->now_ns, rig->now_ns);
	node_end(rig->node);
	flow_quiescent(rig->flows, 0);
}

static const struct td_fork_record *next(struct rig *rig)
{
	const struct td_fork_record *record;
	int error;

	record = td_fork_next(&rig->reader, &error);
	assert_int_equal(error, 0);
	return record;
}

static void expect(struct rig *rig, uint16_t type, uint64_t recording)
{
	const struct td_fork_record *record = next(rig);

	assert_non_null(record);
	assert_int_equal(record->type, type);
	assert_int_equal(record->recording, recording);
	td_fork_release(&rig->reader, rig->reader.next);
}

static void packet_is_copied_without_header_and_padding(void **state)
{
	static const uint8_t bytes[] = {
		0xb1, 0x88, 0, 9, 0,    0,    0, 7, 0, 0, 0, 5, /* P X CC=1 M */
		1,    2,    3, 4, 0xbe, 0xde, 0, 1, 9, 9, 9, 9, 'a', 'b', 'c', 0, 2};
	struct rig *rig = *state;
	const struct td_fork_record *record;
	struct frame f;

	post(rig, TD_FORK_START, 7);
	publish(rig, true, 7);
	frame_udp(&f, PHONE, OURS, bytes, sizeof(bytes));
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	expect(rig, TD_FORK_START, 7);
	record = next(rig);
	assert_int_equal(record->type, TD_FORK_PACKET);
	assert_int_equal(record->leg, 2);
	assert_int_equal(record->stream, 1);
	assert_int_equal(record->ssrc, 5);
	assert_int_equal(record->ts, 7);
	assert_int_equal(record->seq, 9);
	assert_int_equal(record->pt, 8);
	assert_int_equal(record->marker, 1);
	assert_int_equal(record->packet, 1);
	assert_int_equal(record->overrun, 0);
	assert_int_equal(record->arrival_ns, rig->now_ns);
	assert_int_equal(record->payload_len, 3);
	assert_memory_equal(td_fork_payload(record), "abc", 3);
	assert_null(next(rig));
}

static void rtcp_is_copied_whole_and_not_numbered(void **state)
{
	static const uint8_t rtcp[12] = {0x80, 201, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8};
	struct rig *rig = *state;
	const struct td_fork_record *record;
	struct frame f;

	publish(rig, true, 7);
	frame_udp(&f, PHONE, OURS, rtcp, sizeof(rtcp));
	assert_int_equal(rig_run(rig, &f), COUNTER_NONE);
	record = next(rig);
	assert_int_equal(record->type, TD_FORK_RTCP);
	assert_int_equal(record->packet, 0);
	assert_int_equal(record->payload_len, sizeof(rtcp));
	assert_memory_equal(td_fork_payload(record), rtcp, sizeof(rtcp));
	arrive(rig, 1, 10);
	assert_int_equal(next(rig)->packet, 1);
}

static void recording_is_framed_by_start_and_end_with_totals(void **state)
{
	struct rig *rig = *state;
	const struct td_fork_record *record;
	struct td_fork_totals totals;

	post(rig, TD_FORK_START, 7);
	post(rig, TD_FORK_STREAM, 7);
	publish(rig, true, 7);
	for (uint16_t i = 0; i < 3; i++)
		arrive(rig, i, 100);
	publish(rig, false, 0);
	post(rig, TD_FORK_END, 7);
	arrive(rig, 3, 100);
	expect(rig, TD_FORK_START, 7);
	expect(rig, TD_FORK_STREAM, 7);
	for (int i = 0; i < 3; i++)
		expect(rig, TD_FORK_PACKET, 7);
	record = next(rig);
	assert_int_equal(record->type, TD_FORK_STREAM_END);
	assert_int_equal(record->stream, 1);
	assert_int_equal(record->leg, 2);
	memcpy(&totals, td_fork_payload(record), sizeof(totals));
	assert_int_equal(totals.packets, 3);
	assert_int_equal(totals.overrun, 0);
	assert_int_equal(totals.bytes, 300);
	record = next(rig);
	assert_int_equal(record->type, TD_FORK_END);
	assert_int_equal(record->arrival_ns, 42);
	assert_memory_equal(td_fork_payload(record), "{\"x\":1}", 7);
	assert_null(next(rig));
}

static void next_recording_of_a_slot_counts_anew(void **state)
{
	struct rig *rig = *state;

	publish(rig, true, 7);
	arrive(rig, 1, 10);
	publish(rig, true, 8);
	arrive(rig, 2, 10);
	assert_int_equal(next(rig)->recording, 7);
	assert_int_equal(next(rig)->packet, 1);
}

static void end_of_a_recording_that_saw_no_packet_has_zero_totals(void **state)
{
	struct rig *rig = *state;
	struct td_fork_totals totals;

	post(rig, TD_FORK_END, 9);
	idle(rig);
	memcpy(&totals, td_fork_payload(next(rig)), sizeof(totals));
	assert_int_equal(totals.packets, 0);
	expect(rig, TD_FORK_END, 9);
}

/* Between the taking of the ENDs' position and the reading of the confs: as when the main lcore
 * posts in the middle of a worker's burst. */
static void end_posted_within_a_burst_waits_for_the_next(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	publish(rig, true, 7);
	frame_rtp(&f, PHONE, OURS, 1, 160, 0xaa, 10);
	node_begin(rig->node, rig->now_ns, rig->now_ns);
	parse_burst(rig->node, &f.packet, 1);
	lookup_burst(rig->node, &f.packet, 1);
	publish(rig, false, 0);
	post(rig, TD_FORK_END, 7);
	demux_burst(rig->node, &f.packet, 1);
	latch_burst(rig->node, &f.packet, 1);
	statistics_burst(rig->node, &f.packet, 1);
	fork_burst(rig->node, &f.packet, 1);
	node_end(rig->node);
	expect(rig, TD_FORK_PACKET, 7);
	assert_null(next(rig));
	idle(rig);
	expect(rig, TD_FORK_STREAM_END, 7);
	expect(rig, TD_FORK_END, 7);
}

static void start_posted_within_a_burst_stands_before_its_packets(void **state)
{
	struct rig *rig = *state;
	struct frame f;

	frame_rtp(&f, PHONE, OURS, 1, 160, 0xaa, 10);
	node_begin(rig->node, rig->now_ns, rig->now_ns);
	post(rig, TD_FORK_START, 7);
	publish(rig, true, 7);
	node_relay(rig->node, &f.packet, 1);
	node_end(rig->node);
	expect(rig, TD_FORK_START, 7);
	expect(rig, TD_FORK_PACKET, 7);
}

/* Packets until one is overrun. */
static uint16_t fill(struct rig *rig, uint16_t seq)
{
	uint64_t before = rig_counter(rig, COUNTER_FORK_OVERRUN);

	while (rig_counter(rig, COUNTER_FORK_OVERRUN) == before)
		arrive(rig, seq++, 1000);
	return seq;
}

static void full_ring_drops_packets_and_counts_them(void **state)
{
	struct rig *rig = *state;
	const struct td_fork_record *record;
	uint64_t written = 0, packet = 0;
	uint16_t seq;

	post(rig, TD_FORK_START, 7);
	publish(rig, true, 7);
	seq = fill(rig, 1);
	arrive(rig, seq++, 1000);
	while ((record = next(rig)) != NULL) {
		written += record->type == TD_FORK_PACKET;
		packet = record->packet;
	}
	assert_int_equal(written, seq - 1 - 2);
	assert_int_equal(packet, written);
	assert_int_equal(rig->ring->overruns, 2);
	assert_int_equal(flow_table_stats(rig->flows, rig_slot(rig, OURS)).fork_overrun, 2);
	assert_int_equal(flow_table_stats(rig->flows, rig_slot(rig, OURS)).forked, written);
	td_fork_release(&rig->reader, rig->reader.next);
	arrive(rig, seq, 1000);
	record = next(rig);
	assert_int_equal(record->packet, written + 3);
	assert_int_equal(record->overrun, 2);
}

static void control_records_wait_for_room_and_keep_their_place(void **state)
{
	struct rig *rig = *state;
	const struct td_fork_record *record = NULL;
	struct td_fork_totals totals;
	uint64_t last = 0;
	uint16_t seq;

	publish(rig, true, 7);
	seq = fill(rig, 1);
	while (rig_counter(rig, COUNTER_FORK_WAITS) == 0) {
		/* The smaller ones still fit for a while. */
		post(rig, TD_FORK_STREAM, 7);
		idle(rig);
	}
	/* A waiting control record keeps packets out, even small ones. */
	arrive(rig, seq++, 1);
	publish(rig, false, 0);
	post(rig, TD_FORK_END, 7);
	post(rig, TD_FORK_START, 8);
	publish(rig, true, 8);
	arrive(rig, seq++, 1);
	while ((record = next(rig)) != NULL)
		assert_int_equal(record->recording, 7);
	td_fork_release(&rig->reader, rig->reader.next);
	idle(rig);
	arrive(rig, seq, 1);
	expect(rig, TD_FORK_STREAM, 7);
	/* The new recording's START may overtake the other one's END. */
	expect(rig, TD_FORK_START, 8);
	record = next(rig);
	assert_int_equal(record->type, TD_FORK_STREAM_END);
	memcpy(&totals, td_fork_payload(record), sizeof(totals));
	last = totals.packets + totals.overrun;
	(void)last;
	expect(rig, TD_FORK_END, 7);
	record = next(rig);
	assert_int_equal(record->type, TD_FORK_PACKET);
	assert_int_equal(record->recording, 8);
	assert_int_equal(record->packet, 2); /* the first one was overrun */
	assert_int_equal(record->overrun, 1);
}

static void without_a_ring_packets_pass(void **state)
{
	struct rig *rig = *state;

	rig->node->fork_attached = false;
	post(rig, TD_FORK_START, 7);
	publish(rig, true, 7);
	arrive(rig, 1, 100);
	assert_null(next(rig));
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(packet_is_copied_without_header_and_padding),
		RIG_TEST(rtcp_is_copied_whole_and_not_numbered),
		RIG_TEST(recording_is_framed_by_start_and_end_with_totals),
		RIG_TEST(next_recording_of_a_slot_counts_anew),
		RIG_TEST(end_of_a_recording_that_saw_no_packet_has_zero_totals),
		RIG_TEST(end_posted_within_a_burst_waits_for_the_next),
		RIG_TEST(start_posted_within_a_burst_stands_before_its_packets),
		RIG_TEST(full_ring_drops_packets_and_counts_them),
		RIG_TEST(control_records_wait_for_room_and_keep_their_place),
		RIG_TEST(without_a_ring_packets_pass),
	};

	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}

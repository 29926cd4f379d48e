/* Fork ring to spool: what is given back and when, a disk that stands still, what was read before.
 */
#include "recorder/intake/intake.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define GENERATION 77

struct intake_fixture {
	char directory[64];
	struct loop *loop;
	struct segment_log *spool;
	struct recording_table *table;
	struct intake *intake;
	struct td_fork_ring *ring;
	struct td_fork_writer writer;
	int ring_fd;
	bool disk_stands;
	uint64_t now_ms;
	uint32_t changes;
	uint64_t put;
};

static int32_t disk_result(void *arg, enum segment_log_step step, int32_t result)
{
	const struct intake_fixture *f = arg;

	return f->disk_stands && step == SEGMENT_LOG_STEP_WRITE ? -EIO : result;
}

static void changed(void *arg)
{
	struct intake_fixture *f = arg;

	f->changes++;
}

static void intake_begin(struct intake_fixture *f)
{
	struct intake_events events = {.arg = f, .generations_changed = changed};
	struct segment_log_options options = {.directory = f->directory,
					      .segment_bytes = 4 * 1024 * 1024,
					      .buffer_bytes = 256 * 1024,
					      .buffers = 2,
					      .result = disk_result,
					      .result_arg = f};

	assert_int_equal(segment_log_open(&f->spool, &options), 0);
	assert_int_equal(recording_table_create(&f->table), 0);
	assert_int_equal(intake_create(&f->intake, f->loop, f->spool, f->table, "/nowhere/fork",
				       &events),
			 0);
}

static void intake_end(struct intake_fixture *f)
{
	intake_destroy(f->intake);
	recording_table_destroy(f->table);
	segment_log_close(f->spool);
}

static int attach(struct intake_fixture *f, uint64_t generation)
{
	int fd = dup(f->ring_fd);

	return intake_attach(f->intake, generation, &fd, 1);
}

static int fixture_setup(void **state)
{
	struct intake_fixture *f = calloc(1, sizeof(*f));

	log_init("test", LOG_LEVEL_ERROR - 1);
	strcpy(f->directory, "/tmp/tandem-intake-XXXXXX");
	if (!mkdtemp(f->directory) || loop_create(&f->loop) ||
	    td_fork_ring_create(&f->ring, &f->ring_fd, 1 << 20, 3, GENERATION))
		return -1;
	td_fork_writer_init(&f->writer, f->ring);
	f->now_ms = 1000;
	intake_begin(f);
	*state = f;
	return attach(f, GENERATION);
}

static int fixture_teardown(void **state)
{
	struct intake_fixture *f = *state;
	DIR *directory = opendir(f->directory);
	struct dirent *entry;

	intake_end(f);
	td_fork_ring_unmap(f->ring);
	close(f->ring_fd);
	loop_destroy(f->loop);
	while ((entry = readdir(directory)))
		unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(f->directory);
	free(f);
	return 0;
}

/* False when the ring is full. The payload tells the record's number. */
static bool packet_put(struct intake_fixture *f)
{
	struct td_fork_record *record = td_fork_reserve(&f->writer, 160);

	if (!record)
		return false;
	record->type = TD_FORK_PACKET;
	record->packet = f->put++;
	memset(record + 1, (int)record->packet, 160);
	td_fork_flush(&f->writer);
	return true;
}

static uint64_t tail(const struct intake_fixture *f)
{
	return atomic_load(&f->ring->tail);
}

static uint64_t head(const struct intake_fixture *f)
{
	return atomic_load(&f->ring->head);
}

static uint32_t poll_once(struct intake_fixture *f)
{
	return intake_poll(f->intake, f->now_ms, clock_real_ns());
}

/* Packets 0 to put - 1 stand in the spool once each, in order. */
static void spool_check(struct intake_fixture *f)
{
	struct segment_log_reader *reader;
	struct segment_log_entry entry;
	uint64_t expected = 0;

	assert_int_equal(segment_log_flush(f->spool, 10000), 0);
	assert_int_equal(segment_log_reader_open(&reader, f->spool, NULL, 0), 0);
	while (segment_log_reader_next(reader, &entry) == 1) {
		struct td_fork_record record;
		struct spool_fork from;
		const uint8_t *payload;

		assert_int_equal(spool_fork_parse(entry.payload, entry.payload_len, &from, &record,
						  &payload),
				 0);
		assert_int_equal(from.generation, GENERATION);
		assert_int_equal(from.worker, 3);
		assert_int_equal(record.packet, expected);
		assert_int_equal(payload[159], (uint8_t)expected);
		expected++;
	}
	segment_log_reader_close(reader);
	assert_int_equal(expected, f->put);
}

static void ring_space_comes_back_when_the_kernel_has_the_records(void **state)
{
	struct intake_fixture *f = *state;

	for (int k = 0; k < 100; k++)
		assert_true(packet_put(f));
	assert_int_equal(poll_once(f), 100);
	assert_int_equal(tail(f), 0);
	assert_int_equal(poll_once(f), 0);
	assert_int_equal(tail(f), 0);
	assert_false(intake_is_drained(f->intake));
	assert_int_equal(segment_log_submit(f->spool, f->now_ms, 1000000), 0);
	assert_int_equal(poll_once(f), 0);
	assert_int_equal(tail(f), head(f));
	assert_true(intake_is_drained(f->intake));
	spool_check(f);
}

/* By small steps: with INTAKE_GONE_MS gone by, the dataplane would be. */
static void drain(struct intake_fixture *f)
{
	while (!intake_is_drained(f->intake)) {
		f->now_ms++;
		segment_log_submit(f->spool, f->now_ms, 10000);
		poll_once(f);
	}
}

static void a_disk_that_stands_still_holds_back_and_loses_nothing(void **state)
{
	struct intake_fixture *f = *state;
	struct intake_counters counters;

	f->disk_stands = true;
	while (packet_put(f)) {
		poll_once(f);
		segment_log_submit(f->spool, f->now_ms, 0);
	}
	intake_counters(f->intake, &counters);
	assert_true(counters.held_back > 0);
	assert_int_equal(tail(f), 0);
	f->disk_stands = false;
	drain(f);
	assert_int_equal(tail(f), head(f));
	assert_true(packet_put(f));
	/* The log may still be busy with what went before. */
	while (poll_once(f) == 0)
		segment_log_submit(f->spool, ++f->now_ms, 10000);
	spool_check(f);
}

static void what_was_read_before_a_restart_is_not_read_again(void **state)
{
	struct intake_fixture *f = *state;
	struct intake_counters counters;
	struct spool_fork from = {.generation = GENERATION, .worker = 3};

	for (int k = 0; k < 50; k++)
		packet_put(f);
	poll_once(f);
	from.ring_end = head(f);
	assert_int_equal(segment_log_submit(f->spool, f->now_ms, 1000000), 0);
	for (int k = 0; k < 20; k++)
		packet_put(f);
	/* killed: the kernel has 50 records, the ring's tail still stands at 0 */
	intake_end(f);
	intake_begin(f);
	intake_resume(f->intake, &from);
	assert_int_equal(tail(f), 0);
	assert_int_equal(attach(f, GENERATION), 0);
	poll_once(f);
	intake_counters(f->intake, &counters);
	assert_int_equal(counters.again, 50);
	assert_int_equal(counters.records, 20);
	spool_check(f);
}

static void the_same_dataplane_may_be_met_again(void **state)
{
	struct intake_fixture *f = *state;

	packet_put(f);
	poll_once(f);
	assert_int_equal(attach(f, GENERATION), 0);
	packet_put(f);
	poll_once(f);
	assert_int_equal(f->changes, 1);
	spool_check(f);
}

static void rings_that_do_not_fit_are_refused(void **state)
{
	struct intake_fixture *f = *state;
	struct intake_counters counters;
	int fd = open("/dev/null", O_RDONLY);

	assert_true(intake_attach(f->intake, 5, &fd, 1) < 0);
	assert_true(attach(f, GENERATION + 1) < 0); /* not what the ring says */
	assert_true(intake_attach(f->intake, 6, NULL, 0) < 0);
	intake_counters(f->intake, &counters);
	assert_int_equal(counters.refused, 3);
	assert_true(intake_holds(f->intake, GENERATION));
	assert_false(intake_holds(f->intake, GENERATION + 1));
}

static void a_dataplane_that_gives_no_sign_is_gone(void **state)
{
	struct intake_fixture *f = *state;

	packet_put(f);
	atomic_store(&f->ring->heartbeat_ns, clock_real_ns());
	f->now_ms = INTAKE_GONE_MS * 2;
	poll_once(f);
	assert_true(intake_holds(f->intake, GENERATION)); /* its heart still beats */
	atomic_store(&f->ring->heartbeat_ns, 1);
	poll_once(f);
	assert_true(intake_holds(f->intake, GENERATION)); /* not before it is drained */
	assert_int_equal(segment_log_submit(f->spool, f->now_ms, 1000000), 0);
	poll_once(f);
	assert_false(intake_holds(f->intake, GENERATION));
	spool_check(f);
}

int main(void)
{
#define INTAKE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		INTAKE_TEST(ring_space_comes_back_when_the_kernel_has_the_records),
		INTAKE_TEST(a_disk_that_stands_still_holds_back_and_loses_nothing),
		INTAKE_TEST(what_was_read_before_a_restart_is_not_read_again),
		INTAKE_TEST(the_same_dataplane_may_be_met_again),
		INTAKE_TEST(rings_that_do_not_fit_are_refused),
		INTAKE_TEST(a_dataplane_that_gives_no_sign_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

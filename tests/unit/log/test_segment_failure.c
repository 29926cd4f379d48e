/* The segment log when the disk fails: the n-th request of each kind, for any n, in any way. */
#include "recorder/log/segment_log.h"
#include "dataplane/base/clock.h"
#include "tests/unit/log/log_fixture.h"

#include <errno.h>
#include <poll.h>

#define RECORDS 900 /* three segments */

/* Fails requests `from` to `from + times - 1` of one kind with `result`. */
struct failure {
	enum segment_log_step step;
	uint32_t from;
	uint32_t times;
	int32_t result; /* negative errno; positive: at most so many bytes written */
	uint32_t seen;
	uint32_t failed;
};

static int32_t failure_result(void *arg, enum segment_log_step step, int32_t result)
{
	struct failure *failure = arg;

	if (step != failure->step)
		return result;
	failure->seen++;
	if (failure->seen < failure->from || failure->seen >= failure->from + failure->times)
		return result;
	failure->failed++;
	if (failure->result > 0)
		return result > failure->result ? failure->result : result;
	return failure->result;
}

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

/* Appends RECORDS in rounds with a wait for the disk, then reads all back. */
static void run_with(struct log_fixture *fixture, struct failure *failure)
{
	struct segment_log_stats stats;
	struct segment_log *log;

	fixture->options.result = failure_result;
	fixture->options.result_arg = failure;
	fixture->options.commit_ms = 1;
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	for (uint64_t number = 1; number <= RECORDS; number++) {
		while (sample_append(log, number, NULL) == -EAGAIN)
			segment_log_submit(log, now_ms(), 10000);
		if (number % 100 == 0)
			segment_log_submit(log, now_ms(), 10000);
	}
	for (int tries = 0; segment_log_flush(log, 1000) < 0 && tries < 100; tries++)
		;
	assert_int_equal(segment_log_durable(log), segment_log_appended(log));
	segment_log_stats(log, &stats);
	assert_int_equal(stats.last_error, 0);
	segment_log_close(log);
	assert_int_equal(samples_check_all(fixture), RECORDS);
}

static void any_failing_request_is_tried_again(void **state)
{
	static const struct {
		enum segment_log_step step;
		int32_t result;
		uint32_t times;
	} kinds[] = {
		{SEGMENT_LOG_STEP_WRITE, -EIO, 1},     {SEGMENT_LOG_STEP_WRITE, -ENOSPC, 2},
		{SEGMENT_LOG_STEP_WRITE, -EINTR, 3},   {SEGMENT_LOG_STEP_WRITE, 1, 5},
		{SEGMENT_LOG_STEP_WRITE, 4097, 3},     {SEGMENT_LOG_STEP_SYNC, -EIO, 1},
		{SEGMENT_LOG_STEP_SYNC, -EINTR, 3},    {SEGMENT_LOG_STEP_CREATE, -ENOSPC, 1},
		{SEGMENT_LOG_STEP_CREATE, -EMFILE, 2},
	};

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (uint32_t from = 1; from <= 8; from++) {
			struct failure failure = {
				.step = kinds[k].step,
				.from = from,
				.times = kinds[k].times,
				.result = kinds[k].result,
			};

			run_with(*state, &failure);
			if (failure.seen >= from)
				assert_true(failure.failed > 0);
			fixture_teardown(state);
			assert_int_equal(fixture_setup(state), 0);
		}
	}
}

static void a_dead_disk_fills_the_buffers_and_then_refuses(void **state)
{
	struct log_fixture *fixture = *state;
	struct failure failure = {
		.step = SEGMENT_LOG_STEP_WRITE, .from = 1, .times = 1000000, .result = -EIO};
	struct segment_log_stats stats;
	struct segment_log *log;
	uint64_t number = 1;

	fixture->options.result = failure_result;
	fixture->options.result_arg = &failure;
	fixture->options.segment_bytes = 16 * 1024 * 1024;
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	while (sample_append(log, number, NULL) == 0) {
		number++;
		assert_true(number < 100000);
	}
	segment_log_stats(log, &stats);
	assert_int_equal(stats.refused_full, 1);
	assert_int_equal(stats.buffers_in_use, fixture->options.buffers);
	assert_true(stats.bytes <= fixture->options.buffers * fixture->options.buffer_bytes);
	assert_int_equal(segment_log_submit(log, 1000, 50000), -EIO);
	assert_int_equal(segment_log_flush(log, 10), -EIO);
	/* it comes back: nothing was lost */
	failure.times = 0;
	for (int tries = 0; segment_log_flush(log, 1000) < 0 && tries < 20; tries++)
		;
	segment_log_close(log);
	assert_int_equal(samples_check_all(fixture), number - 1);
}

static void a_failed_write_is_tried_after_a_pause_and_not_before(void **state)
{
	struct log_fixture *fixture = *state;
	struct failure failure = {
		.step = SEGMENT_LOG_STEP_WRITE, .from = 1, .times = 1, .result = -EIO};
	struct segment_log_stats stats;
	struct segment_log *log;

	fixture->options.result = failure_result;
	fixture->options.result_arg = &failure;
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	samples_append(log, 1, 3);
	assert_int_equal(segment_log_submit(log, 1000, 1000000), -EIO);
	assert_int_equal(segment_log_submit(log, 1099, 0), -EIO);
	segment_log_stats(log, &stats);
	assert_int_equal(stats.write_errors, 1);
	assert_true(segment_log_deadline_ms(log) <= 1100);
	segment_log_submit(log, 1100, 0);
	while (segment_log_written(log) < segment_log_appended(log)) {
		struct pollfd ready = {.fd = segment_log_event_fd(log), .events = POLLIN};

		assert_int_equal(poll(&ready, 1, 10000), 1);
		segment_log_tick(log, 1100);
	}
	segment_log_close(log);
	assert_int_equal(samples_check_all(fixture), 3);
}

static void durable_stays_when_the_sync_fails(void **state)
{
	struct log_fixture *fixture = *state;
	struct failure failure = {
		.step = SEGMENT_LOG_STEP_SYNC, .from = 1, .times = 1000000, .result = -EIO};
	struct segment_log_stats stats;
	struct segment_log *log;
	uint64_t begin;

	fixture->options.result = failure_result;
	fixture->options.result_arg = &failure;
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	begin = segment_log_durable(log);
	samples_append(log, 1, 10);
	assert_int_equal(segment_log_flush(log, 300), -EIO);
	assert_int_equal(segment_log_written(log), segment_log_appended(log));
	assert_int_equal(segment_log_durable(log), begin);
	segment_log_stats(log, &stats);
	assert_true(stats.sync_errors >= 2);
	assert_int_equal(stats.syncs, 0);
	failure.times = 0;
	assert_int_equal(segment_log_flush(log, 5000), 0);
	assert_int_equal(segment_log_durable(log), segment_log_appended(log));
	segment_log_close(log);
	assert_int_equal(samples_check_all(fixture), 10);
}

static void a_segment_that_cannot_be_deleted_is_tried_again(void **state)
{
	struct log_fixture *fixture = *state;
	struct failure failure = {
		.step = SEGMENT_LOG_STEP_UNLINK, .from = 1, .times = 1, .result = -EIO};
	struct segment_log_stats stats;
	struct segment_log *log;

	fixture->options.result = failure_result;
	fixture->options.result_arg = &failure;
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	samples_append(log, 1, RECORDS);
	assert_int_equal(segment_log_flush(log, 10000), 0);
	segment_log_trim(log, segment_log_appended(log));
	for (uint64_t now = 1; segment_log_segment(segment_log_oldest(log)) <
			       segment_log_segment(segment_log_appended(log));
	     now += 50) {
		struct pollfd ready = {.fd = segment_log_event_fd(log), .events = POLLIN};

		poll(&ready, 1, 50);
		segment_log_tick(log, now);
		assert_true(now < 100000);
	}
	segment_log_stats(log, &stats);
	assert_int_equal(stats.unlink_errors, 1);
	segment_log_close(log);
}

int main(void)
{
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		LOG_TEST(any_failing_request_is_tried_again),
		LOG_TEST(a_dead_disk_fills_the_buffers_and_then_refuses),
		LOG_TEST(a_failed_write_is_tried_after_a_pause_and_not_before),
		LOG_TEST(durable_stays_when_the_sync_fails),
		LOG_TEST(a_segment_that_cannot_be_deleted_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

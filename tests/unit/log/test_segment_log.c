/* The segment log in good times: append, positions, rotation, readers, cursors, trimming, a kill.
 */
#include "recorder/log/segment_log.h"
#include "dataplane/base/clock.h"
#include "tests/unit/log/log_fixture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

static void records_come_back_as_they_were_appended(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log *log;

	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	samples_append(log, 1, 100);
	assert_int_equal(segment_log_sequence(log), 100);
	assert_int_equal(segment_log_flush(log, 10000), 0);
	assert_int_equal(segment_log_durable(log), segment_log_appended(log));
	assert_int_equal(samples_check_all(fixture), 100);
	segment_log_close(log);
	assert_int_equal(samples_check_all(fixture), 100);
}

static void segments_follow_each_other_and_reopening_goes_on(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_stats stats;
	struct segment_log *log;

	for (uint64_t round = 0; round < 5; round++) {
		assert_int_equal(segment_log_open(&log, &fixture->options), 0);
		assert_int_equal(segment_log_sequence(log), round * 500);
		samples_append(log, round * 500 + 1, round * 500 + 500);
		assert_int_equal(segment_log_flush(log, 10000), 0);
		segment_log_stats(log, &stats);
		assert_int_equal(stats.torn_tails, 0);
		segment_log_close(log);
		assert_int_equal(samples_check_all(fixture), round * 500 + 500);
	}
	assert_true(stats.segments >= 6);
}

static void a_second_writer_is_refused(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log *log, *second;

	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	assert_int_equal(segment_log_open(&second, &fixture->options), -EBUSY);
	assert_null(second);
	segment_log_close(log);
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	segment_log_close(log);
}

static void options_out_of_range_are_refused(void **state)
{
	struct log_fixture *fixture = *state;
	const struct segment_log_options wrong[] = {
		{.directory = NULL},
		{.directory = fixture->directory, .segment_bytes = SEGMENT_LOG_SEGMENT_MIN - 8},
		{.directory = fixture->directory, .segment_bytes = SEGMENT_LOG_SEGMENT_MAX + 8},
		{.directory = fixture->directory, .segment_bytes = SEGMENT_LOG_SEGMENT_MIN + 1},
		{.directory = fixture->directory, .buffer_bytes = 4096},
		{.directory = fixture->directory, .buffers = 1},
		{.directory = fixture->directory, .bytes_max = 64 * 1024 * 1024},
	};
	struct segment_log *log;

	for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++)
		assert_int_equal(segment_log_open(&log, &wrong[k]), -EINVAL);
}

static void records_up_to_the_largest_payload_are_taken(void **state)
{
	struct log_fixture *fixture = *state;
	uint8_t *bytes = malloc(SEGMENT_LOG_PAYLOAD_MAX + 1);
	struct iovec halves[2] = {{bytes, SEGMENT_LOG_PAYLOAD_MAX / 2},
				  {bytes, SEGMENT_LOG_PAYLOAD_MAX / 2}};
	struct segment_log_reader *reader;
	struct segment_log_entry entry;
	struct segment_log *log;

	memset(bytes, 0x5a, SEGMENT_LOG_PAYLOAD_MAX + 1);
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	assert_int_equal(segment_log_append(log, 1, 0, bytes, SEGMENT_LOG_PAYLOAD_MAX + 1, NULL),
			 -EMSGSIZE);
	assert_int_equal(segment_log_append(log, SEGMENT_LOG_TYPE_END, 0, bytes, 1, NULL),
			 -EMSGSIZE);
	assert_int_equal(segment_log_append(log, 1, 0, bytes, SEGMENT_LOG_PAYLOAD_MAX, NULL), 0);
	assert_int_equal(segment_log_appendv(log, 2, 0, halves, 2, NULL), 0);
	assert_int_equal(segment_log_append(log, 3, 0, NULL, 0, NULL), 0);
	assert_int_equal(segment_log_flush(log, 10000), 0);
	assert_int_equal(segment_log_reader_open(&reader, log, NULL, 0), 0);
	for (uint16_t type = 1; type <= 3; type++) {
		assert_int_equal(segment_log_reader_next(reader, &entry), 1);
		assert_int_equal(entry.type, type);
		assert_int_equal(entry.payload_len, type < 3 ? SEGMENT_LOG_PAYLOAD_MAX : 0);
		if (type < 3)
			assert_memory_equal(entry.payload, bytes, SEGMENT_LOG_PAYLOAD_MAX);
	}
	assert_int_equal(segment_log_reader_next(reader, &entry), 0);
	segment_log_reader_close(reader);
	segment_log_close(log);
	free(bytes);
}

static void submit_hands_to_the_kernel_and_commit_follows(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_stats stats;
	struct segment_log *log;
	uint64_t deadline;

	fixture->options.commit_ms = 20;
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	samples_append(log, 1, 1);
	assert_true(segment_log_written(log) < segment_log_appended(log));
	assert_int_equal(segment_log_submit(log, 1000, 1000000), 0);
	assert_int_equal(segment_log_written(log), segment_log_appended(log));
	assert_true(segment_log_durable(log) < segment_log_written(log));
	deadline = segment_log_deadline_ms(log);
	assert_int_equal(deadline, 1020);
	segment_log_tick(log, 1019);
	assert_true(segment_log_durable(log) < segment_log_written(log));
	segment_log_tick(log, 1020);
	while (segment_log_durable(log) < segment_log_written(log)) {
		struct pollfd ready = {.fd = segment_log_event_fd(log), .events = POLLIN};

		assert_int_equal(poll(&ready, 1, 10000), 1);
		segment_log_tick(log, 1021);
	}
	segment_log_stats(log, &stats);
	assert_int_equal(stats.syncs, 1);
	assert_int_equal(stats.writes, 1);
	assert_int_equal(segment_log_deadline_ms(log), SEGMENT_LOG_NEVER);
	segment_log_close(log);
}

static void a_commit_writes_and_syncs_many_records_at_once(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_stats stats;
	struct segment_log *log;

	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	samples_append(log, 1, 150);
	segment_log_tick(log, 1000);
	segment_log_stats(log, &stats);
	assert_int_equal(stats.writes, 0);
	segment_log_tick(log, 1050);
	while (segment_log_durable(log) < segment_log_appended(log)) {
		struct pollfd ready = {.fd = segment_log_event_fd(log), .events = POLLIN};

		assert_int_equal(poll(&ready, 1, 10000), 1);
		segment_log_tick(log, 1050);
	}
	segment_log_stats(log, &stats);
	assert_int_equal(stats.writes, 1);
	assert_int_equal(stats.syncs, 1);
	segment_log_close(log);
}

struct follower {
	struct segment_log *log;
	uint64_t until;
	uint64_t last;
};

static void *follower_run(void *arg)
{
	struct follower *follower = arg;
	struct segment_log_reader *reader;

	if (segment_log_reader_open(&reader, follower->log, NULL, 0) < 0)
		return NULL;
	while (follower->last < follower->until) {
		follower->last = samples_check(reader, follower->last + 1);
		segment_log_wait(follower->log, segment_log_reader_position(reader), 1000);
	}
	segment_log_reader_close(reader);
	return NULL;
}

static void a_reader_in_another_thread_follows_the_writer(void **state)
{
	struct log_fixture *fixture = *state;
	struct follower follower = {.until = 3000};
	pthread_t thread;

	assert_int_equal(segment_log_open(&follower.log, &fixture->options), 0);
	assert_int_equal(pthread_create(&thread, NULL, follower_run, &follower), 0);
	for (uint64_t number = 1; number <= follower.until; number++) {
		while (sample_append(follower.log, number, NULL) == -EAGAIN)
			segment_log_submit(follower.log, now_ms(), 1000);
		if (number % 7 == 0)
			segment_log_submit(follower.log, now_ms(), 0);
	}
	assert_int_equal(segment_log_flush(follower.log, 10000), 0);
	pthread_join(thread, NULL);
	assert_int_equal(follower.last, follower.until);
	segment_log_close(follower.log);
}

static void a_reader_can_start_and_seek_anywhere(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_reader *reader;
	struct segment_log_entry entry;
	struct segment_log *log;
	uint64_t positions[1001];

	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	for (uint64_t number = 1; number <= 1000; number++) {
		assert_int_not_equal(sample_append(log, number, &positions[number]), -EMSGSIZE);
		assert_int_equal(segment_log_flush(log, 10000), 0);
	}
	assert_int_equal(segment_log_reader_open(&reader, log, NULL, positions[400]), 0);
	assert_int_equal(segment_log_reader_next(reader, &entry), 1);
	sample_check(&entry, 400);
	for (uint64_t number = 1000; number > 37; number -= 37) {
		segment_log_reader_seek(reader, positions[number]);
		assert_int_equal(segment_log_reader_next(reader, &entry), 1);
		assert_int_equal(entry.position, positions[number]);
		sample_check(&entry, number);
	}
	segment_log_reader_close(reader);
	segment_log_close(log);
}

static void cursors_survive_and_hold_segments_back(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_cursor *records, *events;
	struct segment_log_reader *reader;
	struct segment_log_entry entry;
	struct segment_log_stats stats;
	struct segment_log *log;
	uint64_t middle, oldest;

	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	assert_int_equal(segment_log_cursor_open(&records, log, "records"), 0);
	assert_int_equal(segment_log_cursor_open(&events, log, "records"), -EBUSY);
	assert_int_equal(segment_log_cursor_open(&events, log, "../x"), -EINVAL);
	assert_int_equal(segment_log_cursor_open(&events, log, ""), -EINVAL);
	assert_int_equal(segment_log_cursor_open(&events, log, "events"), 0);
	assert_int_equal(segment_log_cursor_position(records), 0);
	samples_append(log, 1, 1000);
	middle = segment_log_appended(log);
	samples_append(log, 1001, 2000);
	assert_int_equal(segment_log_flush(log, 10000), 0);
	segment_log_trim(log, SEGMENT_LOG_NEVER);
	segment_log_tick(log, 1);
	assert_int_equal(segment_log_flush(log, 10000), 0);
	assert_int_equal(segment_log_segment(segment_log_oldest(log)), 1);
	assert_int_equal(segment_log_cursor_set(records, segment_log_appended(log)), 0);
	assert_int_equal(segment_log_cursor_set(events, middle), 0);
	segment_log_cursor_close(records);
	segment_log_cursor_close(events);
	segment_log_close(log);

	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	assert_int_equal(segment_log_cursor_open(&records, log, "records"), 0);
	assert_int_equal(segment_log_cursor_position(records), segment_log_appended(log));
	segment_log_trim(log, SEGMENT_LOG_NEVER); /* events is not open, and counts all the same */
	while (segment_log_segment(segment_log_oldest(log)) < segment_log_segment(middle)) {
		struct pollfd ready = {.fd = segment_log_event_fd(log), .events = POLLIN};

		assert_int_equal(poll(&ready, 1, 10000), 1);
		segment_log_tick(log, 1);
	}
	oldest = segment_log_oldest(log);
	segment_log_tick(log, 1);
	assert_int_equal(segment_log_oldest(log), oldest);
	assert_int_equal(segment_log_reader_open(&reader, log, NULL, 0), 0);
	assert_int_equal(segment_log_reader_next(reader, &entry), 1);
	assert_int_equal(segment_log_segment(entry.position), segment_log_segment(middle));
	assert_int_equal(samples_check(reader, entry.sequence + 1), 2000);
	segment_log_reader_close(reader);
	assert_int_equal(segment_log_cursor_delete(log, "records"), -EBUSY);
	assert_int_equal(segment_log_cursor_delete(log, "events"), 0);
	assert_int_equal(segment_log_cursor_delete(log, "events"), -ENOENT);
	segment_log_tick(log, 2);
	while (segment_log_segment(segment_log_oldest(log)) <
	       segment_log_segment(segment_log_appended(log))) {
		struct pollfd ready = {.fd = segment_log_event_fd(log), .events = POLLIN};

		assert_int_equal(poll(&ready, 1, 10000), 1);
		segment_log_tick(log, 1);
	}
	segment_log_stats(log, &stats);
	assert_true(stats.segments <= 2);
	segment_log_cursor_close(records);
	segment_log_close(log);
}

static void cursors_are_limited_in_number(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_cursor *cursors[SEGMENT_LOG_CURSORS_MAX + 1];
	struct segment_log *log;
	char name[16];

	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	for (int k = 0; k < SEGMENT_LOG_CURSORS_MAX; k++) {
		snprintf(name, sizeof(name), "cursor%d", k);
		assert_int_equal(segment_log_cursor_open(&cursors[k], log, name), 0);
	}
	assert_int_equal(segment_log_cursor_open(&cursors[SEGMENT_LOG_CURSORS_MAX], log, "more"),
			 -ENOSPC);
	for (int k = 0; k < SEGMENT_LOG_CURSORS_MAX; k++)
		segment_log_cursor_close(cursors[k]);
	segment_log_close(log);
}

static void a_torn_cursor_slot_leaves_the_one_before(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_cursor *cursor;
	struct segment_log *log;
	char path[128];
	uint64_t positions[2];
	int fd;

	snprintf(path, sizeof(path), "%s/a.cursor", fixture->directory);
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	assert_int_equal(segment_log_cursor_open(&cursor, log, "a"), 0);
	for (int k = 0; k < 2; k++) {
		samples_append(log, (uint64_t)k + 1, (uint64_t)k + 1);
		positions[k] = segment_log_appended(log);
		assert_int_equal(segment_log_cursor_set(cursor, positions[k]), 0);
	}
	assert_int_equal(segment_log_flush(log, 10000), 0);
	segment_log_cursor_close(cursor);
	segment_log_close(log);
	/* generations: 1 by open, 2 and 3 by set: the last one is in the second slot */
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "torn", 4, 4096 + 16), 4);
	close(fd);
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	assert_int_equal(segment_log_cursor_open(&cursor, log, "a"), 0);
	assert_int_equal(segment_log_cursor_position(cursor), positions[0]);
	segment_log_cursor_close(cursor);
	segment_log_close(log);
}

static void disk_use_is_bounded_and_trimming_makes_room(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_stats stats;
	struct segment_log *log;
	uint64_t number = 1;
	int outcome;

	fixture->options.bytes_max = 3 * SEGMENT_LOG_SEGMENT_MIN;
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	while ((outcome = sample_append(log, number, NULL)) != -ENOSPC) {
		if (outcome == -EAGAIN)
			assert_int_equal(segment_log_flush(log, 10000), 0);
		else
			number++;
		assert_true(number < 10000);
	}
	assert_int_equal(segment_log_flush(log, 10000), 0);
	segment_log_stats(log, &stats);
	assert_int_equal(stats.segments, 3);
	assert_int_equal(stats.disk_bytes, 3 * SEGMENT_LOG_SEGMENT_MIN);
	assert_true(stats.refused_limit > 0);
	segment_log_trim(log, segment_log_position(2, 0));
	while (segment_log_segment(segment_log_oldest(log)) < 2) {
		struct pollfd ready = {.fd = segment_log_event_fd(log), .events = POLLIN};

		assert_int_equal(poll(&ready, 1, 10000), 1);
		segment_log_tick(log, 1);
	}
	assert_int_equal(sample_append(log, number, NULL), 0);
	assert_int_equal(segment_log_flush(log, 10000), 0);
	segment_log_close(log);
}

/* What submit with a wait answered 0 for is there after kill -9. */
static void a_killed_process_loses_nothing_that_was_submitted(void **state)
{
	struct log_fixture *fixture = *state;
	int done[2], status;
	uint64_t number = 0, told = 0;
	pid_t child;

	assert_int_equal(pipe(done), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct segment_log *log;

		if (segment_log_open(&log, &fixture->options) < 0)
			_exit(1);
		for (;;) {
			if (sample_append(log, number + 1, NULL) < 0) {
				segment_log_submit(log, now_ms(), 100000);
				continue;
			}
			number++;
			if (number % 5 == 0 && segment_log_submit(log, now_ms(), 1000000) == 0 &&
			    write(done[1], &number, sizeof(number)) < 0)
				_exit(1);
		}
	}
	close(done[1]);
	while (told < 2000)
		assert_int_equal(read(done[0], &told, sizeof(told)), sizeof(told));
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	while (read(done[0], &number, sizeof(number)) == sizeof(number))
		told = number;
	close(done[0]);
	assert_true(samples_check_all(fixture) >= told);
	{
		struct segment_log *log;

		assert_int_equal(segment_log_open(&log, &fixture->options), 0);
		number = segment_log_sequence(log);
		assert_true(number >= told);
		samples_append(log, number + 1, number + 10);
		assert_int_equal(segment_log_flush(log, 10000), 0);
		segment_log_close(log);
		assert_int_equal(samples_check_all(fixture), number + 10);
	}
}

int main(void)
{
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		LOG_TEST(records_come_back_as_they_were_appended),
		LOG_TEST(segments_follow_each_other_and_reopening_goes_on),
		LOG_TEST(a_second_writer_is_refused),
		LOG_TEST(options_out_of_range_are_refused),
		LOG_TEST(records_up_to_the_largest_payload_are_taken),
		LOG_TEST(submit_hands_to_the_kernel_and_commit_follows),
		LOG_TEST(a_commit_writes_and_syncs_many_records_at_once),
		LOG_TEST(a_reader_in_another_thread_follows_the_writer),
		LOG_TEST(a_reader_can_start_and_seek_anywhere),
		LOG_TEST(cursors_survive_and_hold_segments_back),
		LOG_TEST(cursors_are_limited_in_number),
		LOG_TEST(a_torn_cursor_slot_leaves_the_one_before),
		LOG_TEST(disk_use_is_bounded_and_trimming_makes_room),
		LOG_TEST(a_killed_process_loses_nothing_that_was_submitted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

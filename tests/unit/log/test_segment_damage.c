/* The segment log after a crash: tails torn at every byte, flipped bits, segments half made. */
#include "recorder/log/segment_log.h"
#include "tests/unit/log/log_fixture.h"

#include <errno.h>
#include <sys/stat.h>

static void path_of(const struct log_fixture *fixture, uint32_t segment, char out[128])
{
	snprintf(out, 128, "%s/%08x.segment", fixture->directory, segment);
}

static void bytes_put(const char *path, off_t offset, const void *bytes, size_t n)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, offset), n);
	close(fd);
}

static void bytes_flip(const char *path, off_t offset)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

/* Three records; *from and *end are the file offsets of the last one. */
static void three_records(const struct log_fixture *fixture, uint32_t *from, uint32_t *end)
{
	struct segment_log *log;
	uint64_t position;

	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	samples_append(log, 1, 2);
	assert_int_equal(sample_append(log, 3, &position), 0);
	assert_int_equal(segment_log_flush(log, 10000), 0);
	*from = segment_log_offset(position);
	*end = segment_log_offset(segment_log_appended(log));
	segment_log_close(log);
}

static void directory_empty(const struct log_fixture *fixture)
{
	char path[128];

	path_of(fixture, 1, path);
	unlink(path);
}

static void a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on(void **state)
{
	struct log_fixture *fixture = *state;
	static uint8_t zeros[2048];
	struct segment_log_stats stats;
	struct segment_log *log;
	uint32_t from, end;
	char path[128];

	path_of(fixture, 1, path);
	three_records(fixture, &from, &end);
	for (uint32_t cut = from; cut < end; cut += cut < from + 40 || cut > end - 40 ? 1 : 13) {
		uint32_t ends[2] = {1, 0};

		directory_empty(fixture);
		three_records(fixture, &ends[0], &ends[1]);
		/* a torn write: zeros from here on, or the file ends here */
		if (cut % 2)
			bytes_put(path, cut, zeros, end - cut);
		else
			assert_int_equal(truncate(path, cut), 0);
		assert_int_equal(segment_log_open(&log, &fixture->options), 0);
		segment_log_stats(log, &stats);
		if (segment_log_sequence(log) != 3) { /* padding at its end may be cut unharmed */
			assert_int_equal(segment_log_sequence(log), 2);
			assert_int_equal(segment_log_offset(segment_log_appended(log)), from);
			if (cut > from)
				assert_int_equal(stats.torn_tails, stats.torn_bytes > 0);
		}
		samples_append(log, segment_log_sequence(log) + 1, 5);
		assert_int_equal(segment_log_flush(log, 10000), 0);
		segment_log_close(log);
		assert_int_equal(samples_check_all(fixture), 5);
	}
}

static void a_flipped_bit_anywhere_in_the_last_record_cuts_it_off(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_stats stats;
	struct segment_log *log;
	uint32_t from, end;
	char path[128];

	path_of(fixture, 1, path);
	three_records(fixture, &from, &end);
	for (uint32_t at = from; at < from + 24 + sample_len(3); at += at < from + 40 ? 1 : 17) {
		directory_empty(fixture);
		three_records(fixture, &from, &end);
		bytes_flip(path, at);
		assert_int_equal(segment_log_open(&log, &fixture->options), 0);
		segment_log_stats(log, &stats);
		assert_int_equal(segment_log_sequence(log), 2);
		assert_int_equal(stats.torn_tails, 1);
		assert_true(stats.torn_bytes > 0 && stats.torn_bytes <= end - from);
		segment_log_close(log);
	}
}

static void nothing_of_the_torn_tail_comes_back_behind_new_records(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log *log;
	uint32_t from, end;
	char path[128];

	path_of(fixture, 1, path);
	three_records(fixture, &from, &end);
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	samples_append(log, 4, 100);
	assert_int_equal(segment_log_flush(log, 10000), 0);
	segment_log_close(log);
	bytes_flip(path, from + 30); /* 4 to 100 are whole, behind a hole */
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	assert_int_equal(segment_log_sequence(log), 2);
	samples_append(log, 3, 3);
	assert_int_equal(segment_log_flush(log, 10000), 0);
	segment_log_close(log);
	assert_int_equal(samples_check_all(fixture), 3);
}

static void readers_step_over_damage_and_count_it(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_reader *reader;
	struct segment_log_entry entry;
	struct segment_log *log;
	uint64_t positions[1001], expected = 1, damaged = 0;
	char path[128];
	int outcome;

	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	for (uint64_t number = 1; number <= 1000; number++) {
		assert_int_equal(sample_append(log, number, &positions[number]), 0);
		assert_int_equal(segment_log_flush(log, 10000), 0);
	}
	for (uint64_t number = 50; number <= 150; number += 50) {
		path_of(fixture, segment_log_segment(positions[number]), path);
		bytes_flip(path, segment_log_offset(positions[number]) + 9);
	}
	assert_int_equal(segment_log_reader_open(&reader, log, NULL, 0), 0);
	while ((outcome = segment_log_reader_next(reader, &entry)) != 0) {
		if (outcome == -EBADMSG) {
			damaged++;
			expected++;
			continue;
		}
		assert_int_equal(outcome, 1);
		sample_check(&entry, expected++);
	}
	assert_int_equal(expected, 1001);
	assert_int_equal(damaged, 3);
	assert_int_equal(segment_log_reader_damaged(reader), 3);
	segment_log_reader_close(reader);
	segment_log_close(log);
}

static void a_lost_end_of_a_segment_does_not_stop_readers(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_reader *reader;
	struct segment_log_entry entry;
	struct segment_log *log;
	uint64_t last = 0;
	char path[128];
	int damaged = 0;
	int outcome;

	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	samples_append(log, 1, 1000);
	assert_int_equal(segment_log_flush(log, 10000), 0);
	segment_log_close(log);
	path_of(fixture, 1, path);
	assert_int_equal(truncate(path, 100000), 0);
	/* from another process, and from this one */
	for (int own = 0; own < 2; own++) {
		last = 0;
		damaged = 0;
		log = NULL;
		if (own)
			assert_int_equal(segment_log_open(&log, &fixture->options), 0);
		assert_int_equal(segment_log_reader_open(&reader, log, fixture->directory, 0), 0);
		while ((outcome = segment_log_reader_next(reader, &entry)) != 0) {
			if (outcome == 1)
				last = entry.sequence;
			else
				damaged++;
		}
		assert_int_equal(last, 1000);
		assert_int_equal(damaged, 1);
		segment_log_reader_close(reader);
		segment_log_close(log);
	}
}

static void a_segment_that_was_being_prepared_is_taken_away(void **state)
{
	static const uint8_t zeros[SEGMENT_LOG_FILE_HEADER];
	struct log_fixture *fixture = *state;
	struct segment_log *log;
	uint32_t from, end;
	char path[128];

	for (uint32_t made = 0; made <= SEGMENT_LOG_FILE_HEADER; made += 8) {
		int fd;

		directory_empty(fixture);
		three_records(fixture, &from, &end);
		path_of(fixture, 2, path);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		assert_int_equal(write(fd, zeros, made), made);
		close(fd);
		assert_int_equal(segment_log_open(&log, &fixture->options), 0);
		assert_int_equal(segment_log_sequence(log), 3);
		assert_int_equal(segment_log_segment(segment_log_appended(log)), 1);
		samples_append(log, 4, 6);
		assert_int_equal(segment_log_flush(log, 10000), 0);
		segment_log_close(log);
		assert_int_equal(samples_check_all(fixture), 6);
	}
}

static void a_file_that_is_no_segment_is_put_aside(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_stats stats;
	struct segment_log *log;
	uint32_t from, end;
	char path[160];
	int fd;

	three_records(fixture, &from, &end);
	path_of(fixture, 2, path);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "holiday.jpg", 11), 11);
	close(fd);
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	segment_log_stats(log, &stats);
	assert_int_equal(stats.segments_lost, 1);
	assert_int_equal(segment_log_sequence(log), 3);
	segment_log_close(log);
	strcat(path, ".damaged");
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(samples_check_all(fixture), 3);
}

static void a_cursor_behind_what_was_cut_moves_back_to_the_end(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_cursor *cursor;
	struct segment_log *log;
	uint32_t from, end;
	char path[128];

	path_of(fixture, 1, path);
	three_records(fixture, &from, &end);
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	assert_int_equal(segment_log_cursor_open(&cursor, log, "x"), 0);
	assert_int_equal(segment_log_cursor_set(cursor, segment_log_appended(log)), 0);
	segment_log_cursor_close(cursor);
	segment_log_close(log);
	bytes_flip(path, from + 30);
	assert_int_equal(segment_log_open(&log, &fixture->options), 0);
	assert_int_equal(segment_log_cursor_open(&cursor, log, "x"), 0);
	assert_int_equal(segment_log_cursor_position(cursor), segment_log_position(1, from));
	segment_log_cursor_close(cursor);
	segment_log_close(log);
}

static void every_prefix_of_a_record_is_no_record(void **state)
{
	struct log_fixture *fixture = *state;
	struct segment_log_entry entry;
	uint32_t from, end;
	uint8_t bytes[2048];
	char path[128];
	int fd;

	three_records(fixture, &from, &end);
	path_of(fixture, 1, path);
	fd = open(path, O_RDONLY);
	assert_int_equal(pread(fd, bytes, end - from, from), end - from);
	close(fd);
	for (uint32_t n = 0; n < end - from; n++) {
		uint8_t *copy = malloc(n ? n : 1);

		memcpy(copy, bytes, n);
		assert_int_equal(segment_log_record_parse(&entry, 1, copy, n),
				 n < 4 ? 0 : -EBADMSG);
		free(copy);
	}
	assert_int_equal(segment_log_record_parse(&entry, 1, bytes, end - from), 1);
	assert_int_equal(entry.next, end - from);
	/* of another segment it is none */
	assert_int_equal(segment_log_record_parse(&entry, 2, bytes, end - from), -EBADMSG);
}

int main(void)
{
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		LOG_TEST(a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on),
		LOG_TEST(a_flipped_bit_anywhere_in_the_last_record_cuts_it_off),
		LOG_TEST(nothing_of_the_torn_tail_comes_back_behind_new_records),
		LOG_TEST(readers_step_over_damage_and_count_it),
		LOG_TEST(a_lost_end_of_a_segment_does_not_stop_readers),
		LOG_TEST(a_segment_that_was_being_prepared_is_taken_away),
		LOG_TEST(a_file_that_is_no_segment_is_put_aside),
		LOG_TEST(a_cursor_behind_what_was_cut_moves_back_to_the_end),
		LOG_TEST(every_prefix_of_a_record_is_no_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A directory of its own for each test, and records whose content tells their number. */
#pragma once

#include "recorder/log/segment_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct log_fixture {
	char directory[64];
	struct segment_log_options options;
};

static inline int fixture_setup(void **state)
{
	struct log_fixture *fixture = calloc(1, sizeof(*fixture));

	strcpy(fixture->directory, "/tmp/tandem-log-XXXXXX");
	if (!mkdtemp(fixture->directory))
		return -1;
	fixture->options = (struct segment_log_options){
		.directory = fixture->directory,
		.segment_bytes = SEGMENT_LOG_SEGMENT_MIN,
		.buffer_bytes = 256 * 1024,
		.buffers = 4,
	};
	*state = fixture;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct log_fixture *fixture = *state;
	DIR *directory = opendir(fixture->directory);
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(fixture->directory);
	free(fixture);
	return 0;
}

static inline uint32_t sample_len(uint64_t number)
{
	return (uint32_t)(number * 7919 % 1400);
}

static inline void sample_fill(uint8_t *bytes, uint64_t number)
{
	for (uint32_t k = 0; k < sample_len(number); k++)
		bytes[k] = (uint8_t)(number * 31 + k);
}

static inline int sample_append(struct segment_log *log, uint64_t number, uint64_t *position)
{
	uint8_t bytes[1400];

	sample_fill(bytes, number);
	return segment_log_append(log, (uint16_t)(number % 100 + 1), (uint16_t)number, bytes,
				  sample_len(number), position);
}

static inline void sample_check(const struct segment_log_entry *entry, uint64_t number)
{
	uint8_t bytes[1400];

	sample_fill(bytes, number);
	assert_int_equal(entry->sequence, number);
	assert_int_equal(entry->type, number % 100 + 1);
	assert_int_equal(entry->version, (uint16_t)number);
	assert_int_equal(entry->payload_len, sample_len(number));
	assert_memory_equal(entry->payload, bytes, sample_len(number));
}

/* Reads everything there is; records are first, first + 1, ...; returns the last one's number. */
static inline uint64_t samples_check(struct segment_log_reader *reader, uint64_t first)
{
	struct segment_log_entry entry;

	while (segment_log_reader_next(reader, &entry) == 1)
		sample_check(&entry, first++);
	return first - 1;
}

static inline uint64_t samples_check_all(const struct log_fixture *fixture)
{
	struct segment_log_reader *reader;
	uint64_t last;

	assert_int_equal(segment_log_reader_open(&reader, NULL, fixture->directory, 0), 0);
	last = samples_check(reader, 1);
	assert_int_equal(segment_log_reader_damaged(reader), 0);
	segment_log_reader_close(reader);
	return last;
}

static inline void samples_append(struct segment_log *log, uint64_t first, uint64_t last)
{
	for (uint64_t number = first; number <= last; number++) {
		while (sample_append(log, number, NULL) == -EAGAIN)
			assert_int_equal(segment_log_flush(log, 10000), 0);
	}
}

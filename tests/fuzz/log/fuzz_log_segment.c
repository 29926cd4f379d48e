/*
 * A segment file with any content: parsed as a record, read by a reader of another process, and
 * opened by a writer, which must come to the same records and be able to go on. The input is what
 * stands behind the file's header; bit 0 of the first byte chooses between a file that ends there
 * and one that goes on in zeros, bit 1 has the checksums of all records with a plausible length
 * put right first.
 */
#include "recorder/log/segment_file.h"
#include "recorder/log/segment_log.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

static char directory[64];

static void directory_remove(void)
{
	static const char *const names[] = {"00000001.segment", "00000002.segment", "lock"};
	char path[128];

	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[k]);
		unlink(path);
	}
	rmdir(directory);
}

static void check(bool right)
{
	if (!right)
		abort();
}

static void segment_write(const uint8_t *bytes, size_t n, bool zeros_follow)
{
	struct segment_file_header header;
	char path[128];
	int fd;

	segment_file_header_build(&header, 1, 1);
	snprintf(path, sizeof(path), "%s/00000002.segment", directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/00000001.segment", directory);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	check(fd >= 0 && write(fd, &header, sizeof(header)) == sizeof(header));
	check(write(fd, bytes, n) == (ssize_t)n);
	check(!zeros_follow || ftruncate(fd, SEGMENT_LOG_SEGMENT_MIN) == 0);
	close(fd);
}

static void checksums_repair(uint8_t *bytes, size_t n)
{
	size_t at = 0;

	while (n - at >= sizeof(struct segment_log_record)) {
		struct segment_log_record head;

		memcpy(&head, bytes + at, sizeof(head));
		if (head.payload_len > n || segment_record_length(head.payload_len) > n - at)
			return;
		segment_record_seal((struct segment_log_record *)(void *)(bytes + at), 1, head.type,
				    head.version, head.payload_len, head.sequence);
		at += segment_record_length(head.payload_len);
	}
}

/* Records before the first damage; all of them are looked at byte by byte. */
static uint64_t records_count(uint64_t *last_sequence)
{
	struct segment_log_reader *reader;
	struct segment_log_entry entry;
	uint64_t count = 0;
	int outcome, turns = 0;

	*last_sequence = 0;
	check(segment_log_reader_open(&reader, NULL, directory, 0) == 0);
	while ((outcome = segment_log_reader_next(reader, &entry)) == 1 && turns++ < 100000) {
		volatile uint8_t sum = 0;

		for (uint32_t k = 0; k < entry.payload_len; k++)
			sum = (uint8_t)(sum + entry.payload[k]);
		check(entry.next > entry.position && entry.next % SEGMENT_LOG_ALIGN == 0);
		count++;
		*last_sequence = entry.sequence;
	}
	segment_log_reader_close(reader);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	struct segment_log_options options = {.directory = directory,
					      .segment_bytes = SEGMENT_LOG_SEGMENT_MIN,
					      .buffer_bytes = 256 * 1024,
					      .buffers = 2};
	uint64_t found, after, sequence;
	struct segment_log_entry entry;
	struct segment_log *log;
	uint8_t *bytes;

	if (directory[0] == '\0') {
		/* in memory where that is possible: a target syncs many times a second */
		strcpy(directory, access("/dev/shm", W_OK) == 0 ? "/dev/shm/tandem-fuzz-XXXXXX"
								: "/tmp/tandem-fuzz-XXXXXX");
		check(mkdtemp(directory) != NULL);
		atexit(directory_remove);
	}
	if (n < 1 || n > SEGMENT_LOG_SEGMENT_MIN / 2)
		return 0;
	segment_log_record_parse(&entry, 1, input + 1, n - 1);
	bytes = aligned_alloc(64, (n + 63) & ~(size_t)63);
	check(bytes != NULL);
	memcpy(bytes, input + 1, n - 1);
	if (input[0] & 2)
		checksums_repair(bytes, n - 1);
	segment_write(bytes, n - 1, input[0] & 1);
	free(bytes);
	found = records_count(&sequence);
	check(segment_log_open(&log, &options) == 0);
	check(segment_log_append(log, 1, 0, "more", 4, NULL) == 0);
	check(segment_log_flush(log, 10000) == 0);
	segment_log_close(log);
	after = records_count(&sequence);
	check(after == found + 1);
	return 0;
}

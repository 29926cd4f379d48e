/*
 * Finding the end of the log when it is opened. Of the newest segment everything behind the last
 * whole record is cut off; a newest segment without records is the one that was being prepared, and
 * the one before it goes on unless it was closed by its end record.
 */
#include "dataplane/base/clock.h"
#include "recorder/log/segment_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct segment_scan {
	int fd;
	bool header_valid;
	bool ended;
	uint64_t end; /* offset behind the last whole record */
	uint64_t file_bytes;
	uint64_t records;
	uint64_t sequence; /* of the last record, end record included */
};

static int segment_scan(struct segment_scan *scan, int directory_fd, uint32_t number)
{
	struct segment_file_header header;
	char name[SEGMENT_FILE_NAME_MAX];
	struct segment_window window;
	struct stat status;
	int outcome;

	*scan = (struct segment_scan){.end = SEGMENT_LOG_FILE_HEADER};
	segment_file_name(name, number);
	scan->fd = openat(directory_fd, name, O_RDWR | O_CLOEXEC);
	if (scan->fd < 0 || fstat(scan->fd, &status) < 0)
		return -errno;
	scan->file_bytes = (uint64_t)status.st_size;
	scan->header_valid = pread(scan->fd, &header, sizeof(header), 0) == sizeof(header) &&
			     segment_file_header_is_valid(&header, number);
	if (!scan->header_valid)
		return 0;
	outcome = segment_window_init(&window);
	if (outcome)
		return outcome;
	while (!scan->ended) {
		struct segment_log_entry entry;

		outcome = segment_window_record(&window, scan->fd, number, scan->end,
						scan->file_bytes, &entry);
		if (outcome != 1)
			break;
		scan->end = entry.next;
		scan->sequence = entry.sequence;
		scan->ended = entry.type == SEGMENT_LOG_TYPE_END;
		scan->records++;
	}
	segment_window_fini(&window);
	return outcome == -EBADMSG || outcome >= 0 ? 0 : outcome;
}

/* Bytes from scan->end on up to the last one that is not zero. */
static int torn_bytes_count(const struct segment_scan *scan, uint64_t *torn)
{
	uint8_t bytes[16 * 1024];
	uint64_t offset = scan->end;

	*torn = 0;
	while (offset < scan->file_bytes) {
		ssize_t got = pread(scan->fd, bytes, sizeof(bytes), (off_t)offset);

		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		for (ssize_t k = got; k-- > 0;) {
			if (bytes[k] != 0) {
				*torn = offset + (uint64_t)k + 1 - scan->end;
				break;
			}
		}
		offset += (uint64_t)got;
	}
	return 0;
}

/* Cuts off what is torn and makes the rest of the segment zeros on disk again. */
static int tail_cut(struct segment_log *log, const struct segment_scan *scan)
{
	uint64_t torn;
	int error = torn_bytes_count(scan, &torn);

	if (error)
		return error;
	if (torn > 0) {
		segment_count(&log->count.torn_bytes, torn);
		segment_count(&log->count.torn_tails, 1);
		if (ftruncate(scan->fd, (off_t)scan->end) < 0)
			return -errno;
	}
	if ((torn > 0 || scan->file_bytes < log->segment_bytes) &&
	    fallocate(scan->fd, 0, 0, log->segment_bytes) < 0 &&
	    ftruncate(scan->fd, log->segment_bytes) < 0)
		return -errno;
	return fsync(scan->fd) < 0 ? -errno : 0;
}

static int segment_make(struct segment_log *log, uint32_t number, int *fd)
{
	struct segment_file_header header;
	char name[SEGMENT_FILE_NAME_MAX];

	segment_file_name(name, number);
	segment_file_header_build(&header, number, clock_real_ns());
	*fd = openat(log->directory_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (*fd < 0)
		return -errno;
	if (fallocate(*fd, 0, 0, log->segment_bytes) < 0) {
		/* EOPNOTSUPP: a file system without it; a sparse file does */
		if ((errno != EOPNOTSUPP && errno != ENOSYS) ||
		    ftruncate(*fd, log->segment_bytes) < 0)
			return -errno;
	}
	if (pwrite(*fd, &header, sizeof(header), 0) != sizeof(header))
		return -EIO;
	if (fsync(*fd) < 0 || fsync(log->directory_fd) < 0)
		return -errno;
	return 0;
}

/* A file with a segment's name and something else inside is put aside, not deleted. */
static int segment_put_aside(struct segment_log *log, uint32_t number)
{
	char name[SEGMENT_FILE_NAME_MAX], aside[SEGMENT_FILE_NAME_MAX + 8];

	segment_file_name(name, number);
	strcpy(stpcpy(aside, name), ".damaged");
	if (renameat(log->directory_fd, name, log->directory_fd, aside) < 0)
		return -errno;
	segment_count(&log->count.segments_lost, 1);
	return 0;
}

static int segment_drop(struct segment_log *log, const struct segment_scan *scan, uint32_t number)
{
	char name[SEGMENT_FILE_NAME_MAX];
	uint64_t torn;
	int error;

	if (!scan->header_valid) {
		struct segment_scan whole = *scan;

		whole.end = 0;
		error = torn_bytes_count(&whole, &torn);
		if (error)
			return error;
		if (torn > 0)
			return segment_put_aside(log, number);
	}
	segment_file_name(name, number);
	return unlinkat(log->directory_fd, name, 0) < 0 ? -errno : 0;
}

static void current_set(struct segment_log *log, uint32_t number, int fd, uint64_t end,
			uint64_t sequence)
{
	uint64_t position = segment_log_position(number, (uint32_t)end);

	log->current = number;
	log->current_fd = fd;
	atomic_store(&log->appended, position);
	atomic_store(&log->written, position);
	atomic_store(&log->durable, position);
	atomic_store(&log->sequence, sequence);
	atomic_store(&log->newest, number);
}

/* The segment that goes on is `number`, scanned; or, when that was closed, a new one behind it. */
static int segment_continue(struct segment_log *log, struct segment_scan *scan, uint32_t number)
{
	int error, fd;

	if (!scan->ended) {
		error = tail_cut(log, scan);
		if (error)
			return error;
		current_set(log, number, scan->fd, scan->end, scan->sequence);
		scan->fd = -1;
		return 0;
	}
	error = segment_make(log, number + 1, &fd);
	if (error) {
		if (fd >= 0)
			close(fd);
		return error;
	}
	current_set(log, number + 1, fd, SEGMENT_LOG_FILE_HEADER, scan->sequence);
	return 0;
}

int segment_open_current(struct segment_log *log)
{
	struct segment_scan newest = {.fd = -1}, before = {.fd = -1};
	uint32_t first, last;
	int error = segment_directory_scan(log->directory_fd, &first, &last);
	int fd = -1;

	if (error)
		return error;
	if (last == 0) {
		error = segment_make(log, 1, &fd);
		atomic_store(&log->oldest, 1);
		current_set(log, 1, fd, SEGMENT_LOG_FILE_HEADER, 0);
		return error;
	}
	atomic_store(&log->oldest, first);
	error = segment_scan(&newest, log->directory_fd, last);
	if (!error && newest.records > 0) {
		error = segment_continue(log, &newest, last);
	} else if (!error && first < last) {
		/* the newest was being prepared (or is damaged): the one before decides */
		error = segment_scan(&before, log->directory_fd, last - 1);
		if (error == -ENOENT || (!error && !before.header_valid))
			error = segment_continue(log, &newest, last);
		else if (!error)
			error = segment_drop(log, &newest, last);
		if (!error && log->current_fd < 0)
			error = segment_continue(log, &before, last - 1);
	} else if (!error && newest.header_valid) {
		error = segment_continue(log, &newest, last);
	} else if (!error) {
		error = segment_drop(log, &newest, last);
		newest.ended = true; /* goes on behind it, so that no position is used twice */
		if (!error)
			error = segment_continue(log, &newest, last);
		atomic_store(&log->oldest, last + 1);
	}
	if (newest.fd >= 0)
		close(newest.fd);
	if (before.fd >= 0)
		close(before.fd);
	return error;
}

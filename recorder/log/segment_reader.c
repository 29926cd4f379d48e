/* Readers: follow the log record by record, from any thread or process, with a descriptor of their
 * own. */
#include "recorder/log/segment_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct segment_log_reader {
	const struct segment_log *log; /* NULL in another process */
	int directory_fd;
	int fd; /* -1 when no segment is open */
	uint32_t segment;
	uint64_t offset;
	uint64_t damaged;
	struct segment_window window;
};

int segment_log_reader_open(struct segment_log_reader **out, const struct segment_log *log,
			    const char *directory, uint64_t position)
{
	struct segment_log_reader *reader = calloc(1, sizeof(*reader));
	int error;

	*out = NULL;
	if (!reader)
		return -ENOMEM;
	reader->log = log;
	reader->fd = -1;
	reader->directory_fd = log ? fcntl(log->directory_fd, F_DUPFD_CLOEXEC, 0)
				   : open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	error = reader->directory_fd < 0 ? -errno : segment_window_init(&reader->window);
	if (error) {
		segment_log_reader_close(reader);
		return error;
	}
	segment_log_reader_seek(reader, position);
	*out = reader;
	return 0;
}

void segment_log_reader_close(struct segment_log_reader *reader)
{
	if (!reader)
		return;
	if (reader->fd >= 0)
		close(reader->fd);
	if (reader->directory_fd >= 0)
		close(reader->directory_fd);
	segment_window_fini(&reader->window);
	free(reader);
}

void segment_log_reader_seek(struct segment_log_reader *reader, uint64_t position)
{
	uint32_t segment = segment_log_segment(position);
	uint64_t offset = segment_log_offset(position);

	if (segment != reader->segment && reader->fd >= 0) {
		close(reader->fd);
		reader->fd = -1;
	}
	if (reader->fd < 0)
		segment_window_drop(&reader->window);
	reader->segment = segment;
	reader->offset = offset < SEGMENT_LOG_FILE_HEADER ? SEGMENT_LOG_FILE_HEADER : offset;
}

uint64_t segment_log_reader_position(const struct segment_log_reader *reader)
{
	return segment_log_position(reader->segment, (uint32_t)reader->offset);
}

uint64_t segment_log_reader_damaged(const struct segment_log_reader *reader)
{
	return reader->damaged;
}

static void reader_next_segment(struct segment_log_reader *reader)
{
	segment_log_reader_seek(reader, segment_log_position(reader->segment + 1, 0));
}

/* 1 = open; 0 = there is none (yet); -errno. Moves to the oldest when its own was trimmed. */
static int reader_segment_open(struct segment_log_reader *reader)
{
	char name[SEGMENT_FILE_NAME_MAX];
	uint32_t oldest = 1, newest = 0; /* not looked yet */
	int error;

	if (reader->fd >= 0)
		return 1;
	for (int tries = 0; tries < 6; tries++) {
		segment_file_name(name, reader->segment);
		reader->fd = openat(reader->directory_fd, name, O_RDONLY | O_CLOEXEC);
		if (reader->fd >= 0)
			return 1;
		if (errno != ENOENT)
			return -errno;
		/* below the oldest: trimmed; missing also after others were seen: a hole */
		if (reader->segment >= oldest && reader->segment <= newest) {
			reader->segment++;
		} else {
			error = segment_directory_scan(reader->directory_fd, &oldest, &newest);
			if (error)
				return error;
			if (newest == 0 || reader->segment > newest)
				return 0;
			/* it may have been made since the open: segments come in order */
			if (reader->segment >= oldest)
				continue;
			reader->segment = oldest;
		}
		reader->offset = SEGMENT_LOG_FILE_HEADER;
		segment_window_drop(&reader->window);
	}
	return 0;
}

/* How far the open segment may be read. */
static uint64_t reader_limit(const struct segment_log_reader *reader)
{
	uint64_t written;

	if (!reader->log)
		return UINT64_MAX;
	written = segment_log_written(reader->log);
	if (segment_log_segment(written) == reader->segment)
		return segment_log_offset(written);
	return segment_log_segment(written) > reader->segment ? UINT64_MAX : 0;
}

/* True when no more records will come into the open segment. */
static bool reader_segment_is_over(struct segment_log_reader *reader)
{
	struct segment_log_record record;
	char name[SEGMENT_FILE_NAME_MAX];
	bool over;
	int fd;

	if (reader->log)
		return segment_log_segment(segment_log_written(reader->log)) > reader->segment;
	segment_file_name(name, reader->segment + 1);
	fd = openat(reader->directory_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	over = pread(fd, &record, sizeof(record), SEGMENT_LOG_FILE_HEADER) == sizeof(record) &&
	       record.length != 0;
	close(fd);
	return over;
}

/* A record at the tail of which only a part can be read so far. */
static bool reader_waits_for_rest(struct segment_log_reader *reader, uint64_t limit)
{
	struct segment_log_record record;

	if (limit == UINT64_MAX)
		return !reader->log;
	if (limit - reader->offset < sizeof(record))
		return true;
	if (pread(reader->fd, &record, sizeof(record), (off_t)reader->offset) != sizeof(record))
		return false;
	return record.payload_len <= SEGMENT_LOG_PAYLOAD_MAX &&
	       record.length == segment_record_length(record.payload_len) &&
	       reader->offset + record.length > limit;
}

/* Looks for the next valid record behind a damaged place; goes to the next segment without one. */
static int reader_skip_damage(struct segment_log_reader *reader, uint64_t limit)
{
	struct segment_log_entry entry;
	int outcome = segment_window_find(&reader->window, reader->fd, reader->segment,
					  reader->offset + SEGMENT_LOG_ALIGN, limit, &entry);

	if (outcome < 0)
		return outcome;
	reader->damaged++;
	if (outcome == 1)
		reader->offset = entry.position;
	else
		reader_next_segment(reader);
	return -EBADMSG;
}

int segment_log_reader_next(struct segment_log_reader *reader, struct segment_log_entry *entry)
{
	for (;;) {
		uint64_t limit;
		bool over;
		int outcome = reader_segment_open(reader);

		if (outcome <= 0)
			return outcome;
		over = reader_segment_is_over(reader);
		limit = reader_limit(reader);
		if (reader->offset >= limit)
			return 0;
		outcome = segment_window_record(&reader->window, reader->fd, reader->segment,
						reader->offset, limit, entry);
		if (outcome == 1) {
			reader->offset = entry->next;
			if (entry->type == SEGMENT_LOG_TYPE_END) {
				reader_next_segment(reader);
				continue;
			}
			entry->position =
				segment_log_position(reader->segment, (uint32_t)entry->position);
			entry->next = segment_log_position(reader->segment, (uint32_t)entry->next);
			return 1;
		}
		if (outcome < 0 && outcome != -EBADMSG)
			return outcome;
		if (!over && (outcome == 0 || reader_waits_for_rest(reader, limit)))
			return 0;
		return reader_skip_damage(reader, limit);
	}
}

/*
 * Cursors: a follower's durable position in a small file. Two slots on two disk blocks are written
 * in turn, each with a CRC, so that a torn write leaves the other one.
 */
#include "recorder/log/crc32c.h"
#include "recorder/log/segment_writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CURSOR_MAGIC      UINT64_C(0x31525543474f4c54) /* "TLOGCUR1" */
#define CURSOR_SLOT_APART 4096
#define CURSOR_FILE_NAME  (SEGMENT_LOG_NAME_MAX + 8)
static const char cursor_suffix[] = ".cursor";

struct cursor_slot {
	uint64_t magic;
	uint64_t generation; /* the higher one counts */
	uint64_t position;
	uint32_t reserved;
	uint32_t crc32c;
};

static bool cursor_name_is_valid(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < SEGMENT_LOG_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		       n;
}

static void cursor_file_name(char out[CURSOR_FILE_NAME], const char *name)
{
	snprintf(out, CURSOR_FILE_NAME, "%s%s", name, cursor_suffix);
}

static uint32_t slot_crc(const struct cursor_slot *slot)
{
	return crc32c(0, slot, offsetof(struct cursor_slot, crc32c));
}

static void cursor_read(struct segment_log_cursor *cursor, int fd)
{
	uint64_t end = segment_log_appended(cursor->log);
	uint64_t position = 0;

	cursor->generation = 0;
	for (int k = 0; k < 2; k++) {
		struct cursor_slot slot;

		if (pread(fd, &slot, sizeof(slot), k * CURSOR_SLOT_APART) != sizeof(slot) ||
		    slot.magic != CURSOR_MAGIC || slot.crc32c != slot_crc(&slot) ||
		    slot.generation < cursor->generation)
			continue;
		cursor->generation = slot.generation;
		position = slot.position;
	}
	/* what it had read was cut off after a power cut: new records come in its place */
	if (position > end)
		position = end;
	atomic_store_explicit(&cursor->position, position, memory_order_release);
}

static struct segment_log_cursor *cursor_find(struct segment_log *log, const char *name)
{
	for (uint32_t k = 0; k < SEGMENT_LOG_CURSORS_MAX; k++) {
		if (log->cursors[k].known && strcmp(log->cursors[k].name, name) == 0)
			return &log->cursors[k];
	}
	return NULL;
}

static struct segment_log_cursor *cursor_slot_take(struct segment_log *log, const char *name)
{
	for (uint32_t k = 0; k < SEGMENT_LOG_CURSORS_MAX; k++) {
		struct segment_log_cursor *cursor = &log->cursors[k];

		if (cursor->known)
			continue;
		cursor->log = log;
		cursor->fd = -1;
		cursor->known = true;
		snprintf(cursor->name, sizeof(cursor->name), "%s", name);
		return cursor;
	}
	return NULL;
}

static void cursor_forget(struct segment_log_cursor *cursor)
{
	cursor->known = false;
	atomic_store_explicit(&cursor->position, SEGMENT_LOG_NEVER, memory_order_release);
}

static int cursor_load(struct segment_log *log, const char *file_name)
{
	char name[SEGMENT_LOG_NAME_MAX];
	size_t n = strlen(file_name);
	struct segment_log_cursor *cursor;
	int fd;

	if (n < sizeof(cursor_suffix) || n - (sizeof(cursor_suffix) - 1) >= sizeof(name) ||
	    strcmp(file_name + n - (sizeof(cursor_suffix) - 1), cursor_suffix) != 0)
		return 0;
	n -= sizeof(cursor_suffix) - 1;
	memcpy(name, file_name, n);
	name[n] = '\0';
	if (!cursor_name_is_valid(name))
		return 0;
	fd = openat(log->directory_fd, file_name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	cursor = cursor_slot_take(log, name);
	if (!cursor) {
		close(fd);
		return -ENOSPC;
	}
	cursor_read(cursor, fd);
	close(fd);
	return 0;
}

int segment_cursors_load(struct segment_log *log)
{
	int fd = openat(log->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *directory;
	int error = 0;

	if (fd < 0)
		return -errno;
	directory = fdopendir(fd);
	if (!directory) {
		close(fd);
		return -ENOMEM;
	}
	for (uint32_t k = 0; k < SEGMENT_LOG_CURSORS_MAX; k++) {
		log->cursors[k].fd = -1;
		cursor_forget(&log->cursors[k]);
	}
	while (!error && (entry = readdir(directory)))
		error = cursor_load(log, entry->d_name);
	closedir(directory);
	return error;
}

void segment_cursors_close(struct segment_log *log)
{
	for (uint32_t k = 0; k < SEGMENT_LOG_CURSORS_MAX; k++) {
		if (log->cursors[k].known && log->cursors[k].fd >= 0)
			close(log->cursors[k].fd);
	}
}

uint64_t segment_cursors_least(const struct segment_log *log)
{
	uint64_t least = SEGMENT_LOG_NEVER;

	for (uint32_t k = 0; k < SEGMENT_LOG_CURSORS_MAX; k++) {
		uint64_t position =
			atomic_load_explicit(&log->cursors[k].position, memory_order_acquire);

		if (position < least)
			least = position;
	}
	return least;
}

static int cursor_write(struct segment_log_cursor *cursor, uint64_t position)
{
	struct cursor_slot slot = {
		.magic = CURSOR_MAGIC,
		.generation = cursor->generation + 1,
		.position = position,
	};
	ssize_t put;

	slot.crc32c = slot_crc(&slot);
	put = pwrite(cursor->fd, &slot, sizeof(slot),
		     (off_t)(slot.generation % 2 * CURSOR_SLOT_APART));
	if (put < 0)
		return -errno;
	if (put != sizeof(slot))
		return -EIO;
	if (fdatasync(cursor->fd) < 0)
		return -errno;
	cursor->generation = slot.generation;
	return 0;
}

static int cursor_file_open(struct segment_log *log, struct segment_log_cursor *cursor)
{
	char file_name[CURSOR_FILE_NAME];
	int error;

	cursor_file_name(file_name, cursor->name);
	cursor->fd = openat(log->directory_fd, file_name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (cursor->fd < 0)
		return -errno;
	cursor_read(cursor, cursor->fd);
	error = cursor_write(cursor, segment_log_cursor_position(cursor));
	if (!error && fsync(log->directory_fd) < 0)
		error = -errno;
	if (error) {
		close(cursor->fd);
		cursor->fd = -1;
	}
	return error;
}

int segment_log_cursor_open(struct segment_log_cursor **out, struct segment_log *log,
			    const char *name)
{
	struct segment_log_cursor *cursor;
	int error;

	*out = NULL;
	if (!cursor_name_is_valid(name))
		return -EINVAL;
	pthread_mutex_lock(&log->cursors_mutex);
	cursor = cursor_find(log, name);
	if (cursor && cursor->fd >= 0) {
		error = -EBUSY;
	} else if (cursor) {
		error = cursor_file_open(log, cursor);
	} else {
		cursor = cursor_slot_take(log, name);
		error = cursor ? cursor_file_open(log, cursor) : -ENOSPC;
		if (error && cursor)
			cursor_forget(cursor);
	}
	pthread_mutex_unlock(&log->cursors_mutex);
	if (!error)
		*out = cursor;
	return error;
}

uint64_t segment_log_cursor_position(const struct segment_log_cursor *cursor)
{
	return atomic_load_explicit(&cursor->position, memory_order_acquire);
}

int segment_log_cursor_set(struct segment_log_cursor *cursor, uint64_t position)
{
	int error = cursor_write(cursor, position);

	if (!error)
		atomic_store_explicit(&cursor->position, position, memory_order_release);
	return error;
}

void segment_log_cursor_close(struct segment_log_cursor *cursor)
{
	if (!cursor)
		return;
	pthread_mutex_lock(&cursor->log->cursors_mutex);
	close(cursor->fd);
	cursor->fd = -1; /* stays known: it goes on holding its segments */
	pthread_mutex_unlock(&cursor->log->cursors_mutex);
}

int segment_log_cursor_delete(struct segment_log *log, const char *name)
{
	char file_name[CURSOR_FILE_NAME];
	struct segment_log_cursor *cursor;
	int error = 0;

	if (!cursor_name_is_valid(name))
		return -ENOENT;
	pthread_mutex_lock(&log->cursors_mutex);
	cursor = cursor_find(log, name);
	cursor_file_name(file_name, name);
	if (!cursor)
		error = -ENOENT;
	else if (cursor->fd >= 0)
		error = -EBUSY;
	else if (unlinkat(log->directory_fd, file_name, 0) < 0)
		error = -errno;
	else
		cursor_forget(cursor);
	pthread_mutex_unlock(&log->cursors_mutex);
	return error;
}

/*
 * The writer's inside: buffers, the requests under way, the files. Not for users of the log.
 *
 *   append -> |filling| -> queue -> write (one at a time, in order) -> written -> sync -> durable
 *
 * A buffer covers one stretch of one segment. The filling one is the last of the queue; it may be
 * written in part (a commit, a round's end) while it goes on filling behind that part.
 */
#pragma once

#include "recorder/log/segment_file.h"
#include "recorder/log/segment_log.h"

#include <liburing.h>

#include <pthread.h>
#include <stdatomic.h>

#define SEGMENT_LOG_STEPS      4
#define SEGMENT_RETRY_MS       100 /* after a failed request */
#define SEGMENT_RING_ENTRIES   16  /* write, sync, create, unlink: one of each under way */
#define SEGMENT_REGISTERED_MAX 8   /* buffers pinned with the kernel, if memlock allows */

struct segment_buffer {
	uint8_t *bytes;
	uint32_t used;
	uint32_t written; /* the kernel has these */
	uint32_t segment;
	uint32_t offset; /* in the file, of bytes[0] */
	uint32_t index;
	struct segment_buffer *next; /* of the free stack, or of the queue */
};

/* The steps that make the next segment, one request each. */
enum segment_create_step {
	SEGMENT_CREATE_IDLE,
	SEGMENT_CREATE_OPEN,
	SEGMENT_CREATE_ALLOCATE,
	SEGMENT_CREATE_HEADER,
	SEGMENT_CREATE_SYNC,
	SEGMENT_CREATE_SYNC_DIRECTORY,
	SEGMENT_CREATE_READY,
};

struct segment_log_cursor {
	struct segment_log *log;
	char name[SEGMENT_LOG_NAME_MAX];
	int fd; /* -1 when not open */
	bool known;
	uint64_t generation;       /* of the slot written last */
	_Atomic uint64_t position; /* release; pairs with the writer's acquire in unlink_start */
};

struct segment_log {
	/* the writer's thread alone */
	struct io_uring ring;
	int event_fd;
	int directory_fd;
	int lock_fd;
	uint32_t segment_bytes;
	uint32_t buffer_bytes;
	uint32_t commit_ms;
	uint32_t segments_max; /* 0 = no limit */
	int32_t (*result)(void *result_arg, enum segment_log_step step, int32_t result);
	void *result_arg;

	struct segment_buffer *buffers;
	uint32_t buffers_count;
	uint32_t buffers_registered;
	uint8_t *buffers_memory;
	struct segment_buffer *free_top;
	struct segment_buffer *queue_first;
	struct segment_buffer *filling; /* the queue's last; never NULL */

	uint64_t want;         /* write up to here without waiting for a full buffer */
	uint64_t sync_want;    /* sync up to here */
	uint64_t commit_at_ms; /* 0 = not armed */
	uint64_t retry_at_ms;  /* no write or sync before */
	uint64_t create_at_ms; /* no creation before */
	uint64_t unlink_at_ms; /* no deletion before */
	uint64_t now_ms;       /* of the tick under way */
	uint32_t requests;     /* under way */
	uint32_t queued;       /* prepared, not yet submitted */

	struct {
		bool busy;
		struct segment_buffer *buffer;
		uint32_t len;
	} write;
	struct {
		bool busy;
		uint64_t target; /* durable when it is done */
	} sync;

	uint32_t current; /* segment that writes go to */
	int current_fd;
	uint32_t old; /* the one before, full, not yet synced; 0 = none */
	int old_fd;
	uint64_t old_end; /* position after its last byte used */

	enum segment_create_step create_step;
	uint32_t create_number;
	int create_fd;
	char create_name[SEGMENT_FILE_NAME_MAX];
	struct segment_file_header create_header;

	bool unlink_busy;
	char unlink_name[SEGMENT_FILE_NAME_MAX];

	/* written by the writer's thread, read by any; release, pair with the readers' acquire */
	_Alignas(64) _Atomic uint64_t appended;
	_Atomic uint64_t written;
	_Atomic uint64_t durable;
	_Atomic uint64_t sequence;
	_Atomic uint32_t oldest;
	_Atomic uint32_t newest;   /* on disk */
	_Atomic uint32_t wakeups;  /* futex: counts changes of `written` */
	_Atomic uint32_t sleepers; /* in segment_log_wait */
	_Atomic uint64_t trim;     /* any thread */

	struct {
		_Atomic uint64_t records, bytes, writes, short_writes, write_errors, syncs,
			sync_errors, create_errors, unlink_errors, refused_full, refused_limit,
			torn_bytes, torn_tails, segments_lost, buffers_in_use;
	} count;
	_Atomic int32_t step_error[SEGMENT_LOG_STEPS]; /* negative errno; 0 after a success */

	pthread_mutex_t cursors_mutex; /* the array's entries; not their positions */
	struct segment_log_cursor cursors[SEGMENT_LOG_CURSORS_MAX];
};

/* segment_writer.c */
void segment_writer_round(struct segment_log *log, uint64_t now_ms);
/* Waits at most wait_us for a completion; does not take it. */
void segment_writer_wait(struct segment_log *log, uint64_t wait_us);
void segment_buffer_free_push(struct segment_log *log, struct segment_buffer *buffer);
struct segment_buffer *segment_buffer_free_pop(struct segment_log *log);

/* segment_open.c: finds or makes the current segment, cuts a torn tail off. */
int segment_open_current(struct segment_log *log);

/* segment_cursor.c */
int segment_cursors_load(struct segment_log *log);
void segment_cursors_close(struct segment_log *log);
/* Smallest position of all cursors; SEGMENT_LOG_NEVER when there are none. */
uint64_t segment_cursors_least(const struct segment_log *log);

static inline uint64_t segment_buffer_written(const struct segment_buffer *buffer)
{
	return segment_log_position(buffer->segment, buffer->offset + buffer->written);
}

static inline void segment_count(_Atomic uint64_t *counter, uint64_t n)
{
	/* one writer: no read-modify-write needed */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

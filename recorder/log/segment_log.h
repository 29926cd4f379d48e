/*
 * The segment log: how anything becomes durable. Append-only files of a fixed largest size, framed
 * records with CRC32C, one writer thread that never waits for the disk, any number of readers that
 * follow the tail.
 *
 *   DIRECTORY/00000001.segment  |header|record|record|...|end|
 *   DIRECTORY/00000002.segment  |header|record|record|... zeros (preallocated) ...|
 *   DIRECTORY/NAME.cursor       where the follower NAME continues after a restart
 *
 *   durable <= written <= appended                              the writer's three positions
 *      |          |          `- copied into memory by segment_log_append
 *      |          `- the kernel has it: survives the death of the process (kill -9)
 *      `- fdatasync returned: survives a power cut
 *
 * What is promised: a record whose position lies below segment_log_written() is not lost when the
 * process is killed; below segment_log_durable() not when the machine stops. After either, an open
 * finds a prefix of what was appended: nothing is missing in the middle. (One exception: when the
 * power fails just as a segment was begun, the end of the one before may be torn although the new
 * one has records. They are kept; readers meet a damaged place and count it.) segment_log_submit,
 * called at the end of each round of the writer's loop, hands the round's records to the kernel;
 * its wait_us bounds how long it may wait for the kernel's "written" (normally tens of
 * microseconds, it is a copy into the page cache). fdatasync follows commit_ms later, in the
 * background.
 *
 * Disk trouble (full, EIO, slow) never aborts and never blocks append: records stay in the buffers,
 * writes are tried again, and when all buffers are full append says -EAGAIN.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define SEGMENT_LOG_ALIGN       8
#define SEGMENT_LOG_FILE_HEADER 64 /* bytes before the first record of a segment */
#define SEGMENT_LOG_PAYLOAD_MAX (128 * 1024)
#define SEGMENT_LOG_TYPE_END    0xffff /* closes a segment; not for callers, readers never see it */
#define SEGMENT_LOG_CURSORS_MAX 16
#define SEGMENT_LOG_NAME_MAX    32 /* a cursor's name: [A-Za-z0-9_-], at most 31 */
#define SEGMENT_LOG_NEVER       UINT64_MAX
#define SEGMENT_LOG_SEGMENT_MIN (256 * 1024)
#define SEGMENT_LOG_SEGMENT_MAX (1024u * 1024 * 1024)

/* How a record stands in the file, little endian as on the hosts that we run on. */
struct segment_log_record {
	uint32_t
		length; /* header, payload and padding to SEGMENT_LOG_ALIGN; 0 = nothing here yet */
	uint32_t crc32c;  /* of everything from `type` to the end of the payload, seeded with the
			     segment's number */
	uint16_t type;    /* the caller's, not SEGMENT_LOG_TYPE_END */
	uint16_t version; /* the caller's: version of the payload's layout, or flags */
	uint32_t payload_len;
	uint64_t sequence; /* from 1, without a gap over the whole life of the log */
};
_Static_assert(sizeof(struct segment_log_record) == 24, "as on disk");

/*
 * A position names a byte of the log: segment number (from 1) in the upper, offset in the lower
 * half, so positions compare as numbers. 0 = before everything ("from the oldest record there is").
 */
static inline uint64_t segment_log_position(uint32_t segment, uint32_t offset)
{
	return (uint64_t)segment << 32 | offset;
}

static inline uint32_t segment_log_segment(uint64_t position)
{
	return (uint32_t)(position >> 32);
}

static inline uint32_t segment_log_offset(uint64_t position)
{
	return (uint32_t)position;
}

/* ---- the writer: one thread ---- */

struct segment_log;

enum segment_log_step { /* what the kernel was asked for; for tests that make it fail */
			SEGMENT_LOG_STEP_WRITE,
			SEGMENT_LOG_STEP_SYNC,
			SEGMENT_LOG_STEP_CREATE, /* the next segment's file, any part of it */
			SEGMENT_LOG_STEP_UNLINK,
};

struct segment_log_options {
	const char *directory; /* made (0750) when its parent exists; one log, one writer (flock) */
	uint32_t segment_bytes; /* 0 = 64 MiB; SEGMENT_LOG_SEGMENT_MIN to _MAX */
	uint32_t buffer_bytes;  /* 0 = 512 KiB; at least 256 KiB */
	uint32_t buffers;       /* 0 = 8; at least 2. Memory is touched only when it is needed */
	uint32_t commit_ms;     /* 0 = 50: longest time from append to the start of fdatasync */
	uint64_t bytes_max;     /* of all segments on disk; 0 = no limit */
	/* Tests: sees the result of each step and may replace it (a negative errno, or fewer bytes
	 * written). NULL = results as they are. */
	int32_t (*result)(void *result_arg, enum segment_log_step step, int32_t result);
	void *result_arg;
};

struct segment_log_stats {
	uint64_t records;        /* appended since open */
	uint64_t bytes;          /* appended since open, headers included */
	uint64_t writes;         /* completed write requests */
	uint64_t short_writes;   /* the rest was written by another request */
	uint64_t write_errors;   /* tried again */
	uint64_t syncs;          /* completed fdatasyncs */
	uint64_t sync_errors;    /* the range was written again, then synced again */
	uint64_t create_errors;  /* making the next segment; tried again */
	uint64_t unlink_errors;  /* deleting an old one; tried again */
	uint64_t refused_full;   /* appends that met -EAGAIN: all buffers waiting for the disk */
	uint64_t refused_limit;  /* appends that met -ENOSPC: bytes_max */
	uint64_t torn_bytes;     /* found behind the last whole record when opened, and cut off */
	uint64_t torn_tails;     /* 1 when there were any */
	uint64_t segments_lost;  /* files put aside as no segments when opened */
	uint64_t segments;       /* on disk */
	uint64_t disk_bytes;     /* of segments on disk, preallocated space included */
	uint64_t buffers_in_use; /* right now */
	uint64_t buffers_registered; /* with the kernel; the others go unregistered (memlock limit)
				      */
	int32_t last_error; /* negative errno of a kind of step whose last one failed; 0 = none */
};

/*
 * Opens or creates the log and finds its end: the last two segments are read through, a torn tail
 * is cut off and counted. A newest file with a segment's name and something else inside is renamed
 * to NAME.damaged and counted (segments_lost). Blocking (start-up). -EBUSY: another writer;
 * -EINVAL: options; -EPERM, -ENOSYS: the kernel has no io_uring for us; -errno.
 */
int segment_log_open(struct segment_log **log, const struct segment_log_options *options);

/*
 * Appends one record made of `count` pieces; copies them. *position (may be NULL) gets where it
 * starts. -EAGAIN: every buffer waits for the disk, try again after a tick; -ENOSPC: bytes_max is
 * reached and nothing was trimmed; -EMSGSIZE: more than SEGMENT_LOG_PAYLOAD_MAX. On an error
 * nothing was appended and no sequence number was used. Never waits.
 */
int segment_log_appendv(struct segment_log *log, uint16_t type, uint16_t version,
			const struct iovec *pieces, uint32_t count, uint64_t *position);
int segment_log_append(struct segment_log *log, uint16_t type, uint16_t version,
		       const void *payload, uint32_t payload_len, uint64_t *position);

/*
 * Takes completions, starts writes of full buffers, starts a commit (write and fdatasync) when
 * commit_ms are over. Call it when segment_log_event_fd() is readable and when
 * segment_log_deadline_ms() has come; more often does no harm. now_ms is CLOCK_MONOTONIC. Never
 * waits.
 */
void segment_log_tick(struct segment_log *log, uint64_t now_ms);

/*
 * Hands everything appended up to now to the kernel; call it at the end of a loop round. wait_us:
 * 0 = only start the writing (it is over when segment_log_written() says so); else wait until it is
 * written, at most that long. Returns 0 when all is written, 1 when it is still under way, or the
 * last write's negative errno (it will be tried again). Includes a tick.
 */
int segment_log_submit(struct segment_log *log, uint64_t now_ms, uint32_t wait_us);

/* Readable (level triggered, reset by tick) when a tick has something to do. The log's to close. */
int segment_log_event_fd(const struct segment_log *log);
/* CLOCK_MONOTONIC ms by which tick wants to be called; SEGMENT_LOG_NEVER = no need. Valid after a
 * tick or submit of the same round. */
uint64_t segment_log_deadline_ms(const struct segment_log *log);

/* Blocks until everything is durable; for shutdown and tests. -ETIMEDOUT, or the last error. */
int segment_log_flush(struct segment_log *log, uint32_t timeout_ms);

/* Waits for requests under way, frees everything. Does not flush: what was not written is lost.
 * Cursors and readers made with this log must be closed before. NULL is fine. */
void segment_log_close(struct segment_log *log);

/* ---- from any thread ---- */

/* The position after the last record that is in memory, with the kernel, safe on disk. */
uint64_t segment_log_appended(const struct segment_log *log);
uint64_t segment_log_written(const struct segment_log *log);
uint64_t segment_log_durable(const struct segment_log *log);
/* Of the oldest segment on disk. */
uint64_t segment_log_oldest(const struct segment_log *log);
/* Sequence number of the last record appended (0 = none ever). */
uint64_t segment_log_sequence(const struct segment_log *log);

void segment_log_stats(const struct segment_log *log, struct segment_log_stats *stats);

/* Sleeps until segment_log_written() is above `position` (what a follower has read), at most
 * timeout_ms. True when it is. */
bool segment_log_wait(const struct segment_log *log, uint64_t position, uint32_t timeout_ms);
/* Wakes all that sleep in segment_log_wait (they return false); for shutdown. */
void segment_log_wake(struct segment_log *log);

/*
 * Allows deletion of whole segments below `position`, and below every cursor of the log, opened in
 * this run or not. SEGMENT_LOG_NEVER = as far as the cursors allow. The writer deletes them in the
 * background, one after the other; the segment being written stays. A log without any trim call
 * keeps everything.
 */
void segment_log_trim(struct segment_log *log, uint64_t position);

/* ---- cursors: durable positions by name ---- */

struct segment_log_cursor;

/* Opens or creates (at position 0) the cursor `name`; blocking. -EINVAL: name; -ENOSPC: more than
 * SEGMENT_LOG_CURSORS_MAX; -EBUSY: open already; -errno. From any thread; each cursor belongs to
 * one thread afterwards. */
int segment_log_cursor_open(struct segment_log_cursor **cursor, struct segment_log *log,
			    const char *name);
uint64_t segment_log_cursor_position(const struct segment_log_cursor *cursor);
/* Everything below `position` is done with; durable when it returns 0 (one write and fdatasync:
 * blocking, so not in the writer's thread unless it can wait). -EIO, -errno: the old one stays. */
int segment_log_cursor_set(struct segment_log_cursor *cursor, uint64_t position);
void segment_log_cursor_close(struct segment_log_cursor *cursor);
/* Forgets a cursor that is not open, so that it no longer holds segments back. -ENOENT, -EBUSY,
 * -errno. */
int segment_log_cursor_delete(struct segment_log *log, const char *name);

/* ---- readers: each belongs to one thread, any number of them, also of other processes ---- */

struct segment_log_reader;

struct segment_log_entry {
	uint64_t position; /* of this record */
	uint64_t next;     /* after it: what a cursor is set to when the record is done with */
	uint64_t sequence;
	uint16_t type;
	uint16_t version;
	uint32_t payload_len;
	const uint8_t *payload; /* aligned to 8; the reader's, until its next call */
};

/*
 * Reads from `position` on (0 = the oldest record there is; a position whose segment was trimmed
 * moves to the oldest). log: NULL in another process; else the reader stays below what is written.
 * directory: used when log is NULL.
 */
int segment_log_reader_open(struct segment_log_reader **reader, const struct segment_log *log,
			    const char *directory, uint64_t position);
/*
 * The next record. 1 = *entry is filled; 0 = nothing more now (segment_log_wait, then ask again);
 * -EBADMSG: a damaged place was met and counted, the next call goes on with the first valid record
 * behind it, or with the next segment; -errno: reading failed, ask again.
 */
int segment_log_reader_next(struct segment_log_reader *reader, struct segment_log_entry *entry);
/* Continues at `position`, of a record or after one. */
void segment_log_reader_seek(struct segment_log_reader *reader, uint64_t position);
uint64_t segment_log_reader_position(const struct segment_log_reader *reader);
/* Damaged places skipped since open. */
uint64_t segment_log_reader_damaged(const struct segment_log_reader *reader);
void segment_log_reader_close(struct segment_log_reader *reader);

/*
 * Parses one record at the start of `bytes` of segment `segment`: 1 = *entry is filled (position
 * and next are offsets from `bytes`), 0 = nothing here (length 0 or fewer than 4 bytes), -EBADMSG =
 * not a whole, valid record. Reads no further than n. What readers and the opening scan are built
 * on.
 */
int segment_log_record_parse(struct segment_log_entry *entry, uint32_t segment,
			     const uint8_t *bytes, size_t n);

/*
 * The writer's requests to the kernel: one write, one sync, one step of making the next segment and
 * one deletion are under way at most; every completion decides what comes next.
 */
#include "recorder/log/segment_writer.h"
#include "dataplane/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void segment_buffer_free_push(struct segment_log *log, struct segment_buffer *buffer)
{
	buffer->next = log->free_top;
	log->free_top = buffer;
	atomic_store_explicit(
		&log->count.buffers_in_use,
		atomic_load_explicit(&log->count.buffers_in_use, memory_order_relaxed) - 1,
		memory_order_relaxed);
}

struct segment_buffer *segment_buffer_free_pop(struct segment_log *log)
{
	struct segment_buffer *buffer = log->free_top;

	if (!buffer)
		return NULL;
	log->free_top = buffer->next;
	buffer->next = NULL;
	segment_count(&log->count.buffers_in_use, 1);
	return buffer;
}

/* At most one request of each kind is under way, so there is always room in the ring; a missing
 * sqe is tried again in the next round. */
static void request_end(struct segment_log *log, struct io_uring_sqe *sqe,
			enum segment_log_step step)
{
	io_uring_sqe_set_data64(sqe, step);
	log->requests++;
	log->queued++;
}

static void error_note(struct segment_log *log, enum segment_log_step step,
		       _Atomic uint64_t *counter, int32_t error)
{
	segment_count(counter, 1);
	atomic_store_explicit(&log->step_error[step], error, memory_order_relaxed);
}

static void success_note(struct segment_log *log, enum segment_log_step step)
{
	atomic_store_explicit(&log->step_error[step], 0, memory_order_relaxed);
}

static bool error_is_passing(int32_t error)
{
	return error == -EINTR || error == -EAGAIN;
}

/* ---- sync ---- */

static void sync_prepare(struct segment_log *log, int fd, uint64_t target)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&log->ring);

	if (!sqe)
		return;
	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	request_end(log, sqe, SEGMENT_LOG_STEP_SYNC);
	log->sync.busy = true;
	log->sync.target = target;
}

static void sync_start(struct segment_log *log)
{
	uint64_t written = atomic_load_explicit(&log->written, memory_order_relaxed);
	uint64_t durable = atomic_load_explicit(&log->durable, memory_order_relaxed);

	if (log->sync.busy || log->now_ms < log->retry_at_ms)
		return;
	if (log->old)
		sync_prepare(log, log->old_fd, log->old_end);
	else if (log->sync_want > durable && written > durable &&
		 (written >= log->sync_want || !log->write.busy))
		sync_prepare(log, log->current_fd, written);
}

/*
 * After a failed fdatasync the kernel takes the pages for clean and a second one would lie. What
 * was not durable is still in the page cache: write it again, so that it is dirty again.
 */
static void range_write_again(int fd, uint64_t from, uint64_t to)
{
	static const uint32_t step = 64 * 1024;
	uint8_t *bytes = malloc(step);
	uint64_t offset = segment_log_segment(from) == segment_log_segment(to)
				  ? segment_log_offset(from)
				  : SEGMENT_LOG_FILE_HEADER;

	while (bytes && offset < segment_log_offset(to)) {
		uint64_t n = segment_log_offset(to) - offset;
		ssize_t got;

		if (n > step)
			n = step;
		got = pread(fd, bytes, n, (off_t)offset);
		if (got <= 0 || pwrite(fd, bytes, (size_t)got, (off_t)offset) != got)
			break;
		offset += (uint64_t)got;
	}
	free(bytes);
}

static void sync_done(struct segment_log *log, int32_t result)
{
	log->sync.busy = false;
	if (result == -ECANCELED) /* its linked write was short or failed; still wanted */
		return;
	if (result < 0) {
		uint64_t durable = atomic_load_explicit(&log->durable, memory_order_relaxed);

		error_note(log, SEGMENT_LOG_STEP_SYNC, &log->count.sync_errors, result);
		if (!error_is_passing(result)) {
			range_write_again(log->old ? log->old_fd : log->current_fd, durable,
					  log->sync.target);
			log->retry_at_ms = log->now_ms + SEGMENT_RETRY_MS;
		}
		return;
	}
	segment_count(&log->count.syncs, 1);
	success_note(log, SEGMENT_LOG_STEP_SYNC);
	if (log->old && log->sync.target == log->old_end) {
		close(log->old_fd);
		log->old = 0;
		log->old_fd = -1;
	}
	if (log->sync.target > atomic_load_explicit(&log->durable, memory_order_relaxed))
		atomic_store_explicit(&log->durable, log->sync.target, memory_order_release);
}

/* ---- write ---- */

/* Moves to the next segment when the queue's first buffer belongs there and its file is ready. */
static bool segment_is_open(struct segment_log *log, const struct segment_buffer *buffer)
{
	if (buffer->segment == log->current)
		return true;
	if (log->create_step != SEGMENT_CREATE_READY || log->create_number != buffer->segment ||
	    log->old)
		return false;
	/* a sync under way may be of the current file: its descriptor lives on as old_fd */
	log->old = log->current;
	log->old_fd = log->current_fd;
	log->old_end = atomic_load_explicit(&log->written, memory_order_relaxed);
	log->current = log->create_number;
	log->current_fd = log->create_fd;
	log->create_fd = -1;
	log->create_step = SEGMENT_CREATE_IDLE;
	return true;
}

static void write_start(struct segment_log *log)
{
	struct segment_buffer *buffer = log->queue_first;
	struct io_uring_sqe *sqe;
	bool commit;

	if (log->write.busy || buffer->written == buffer->used || log->now_ms < log->retry_at_ms)
		return;
	if (buffer == log->filling && segment_buffer_written(buffer) >= log->want)
		return;
	if (!segment_is_open(log, buffer))
		return;
	sqe = io_uring_get_sqe(&log->ring);
	if (!sqe)
		return;
	log->write.buffer = buffer;
	log->write.len = buffer->used - buffer->written;
	if (buffer->index < log->buffers_registered)
		io_uring_prep_write_fixed(sqe, log->current_fd, buffer->bytes + buffer->written,
					  log->write.len, buffer->offset + buffer->written,
					  (int)buffer->index);
	else
		io_uring_prep_write(sqe, log->current_fd, buffer->bytes + buffer->written,
				    log->write.len, buffer->offset + buffer->written);
	request_end(log, sqe, SEGMENT_LOG_STEP_WRITE);
	log->write.busy = true;
	/* group commit: the last write before the sync takes it along */
	commit = buffer == log->filling && !log->sync.busy && !log->old &&
		 log->sync_want > segment_buffer_written(buffer);
	if (commit) {
		sqe->flags |= IOSQE_IO_LINK;
		sync_prepare(log, log->current_fd, segment_buffer_written(buffer) + log->write.len);
	}
}

static void written_publish(struct segment_log *log, uint64_t position)
{
	atomic_store_explicit(&log->written, position, memory_order_release);
	atomic_fetch_add_explicit(&log->wakeups, 1, memory_order_seq_cst);
	/* pairs with the fetch_add in segment_log_wait: either we see the sleeper or it sees
	 * `written` */
	if (atomic_load_explicit(&log->sleepers, memory_order_seq_cst) > 0)
		syscall(SYS_futex, &log->wakeups, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void write_done(struct segment_log *log, int32_t result)
{
	struct segment_buffer *buffer = log->write.buffer;

	log->write.busy = false;
	if (result <= 0) {
		if (result == 0)
			result = -EIO;
		if (result == -ECANCELED)
			return;
		error_note(log, SEGMENT_LOG_STEP_WRITE, &log->count.write_errors, result);
		log->retry_at_ms = log->now_ms + (error_is_passing(result) ? 1 : SEGMENT_RETRY_MS);
		result = 0;
	} else {
		segment_count(&log->count.writes, 1);
		success_note(log, SEGMENT_LOG_STEP_WRITE);
	}
	if ((uint32_t)result > log->write.len)
		result = (int32_t)log->write.len;
	if (result > 0 && (uint32_t)result < log->write.len)
		segment_count(&log->count.short_writes, 1);
	buffer->written += (uint32_t)result;
	/* a linked sync may have been done all the same: of less */
	if (log->sync.busy && log->sync.target > segment_buffer_written(buffer))
		log->sync.target = segment_buffer_written(buffer);
	if (result == 0)
		return;
	written_publish(log, segment_buffer_written(buffer));
	if (buffer->written < buffer->used)
		return;
	if (buffer == log->filling) {
		buffer->offset += buffer->used;
		buffer->used = 0;
		buffer->written = 0;
		return;
	}
	log->queue_first = buffer->next;
	segment_buffer_free_push(log, buffer);
}

/* ---- the next segment ---- */

static void create_start(struct segment_log *log)
{
	uint32_t number = log->current + 1;
	uint32_t oldest = atomic_load_explicit(&log->oldest, memory_order_relaxed);
	uint64_t appended = atomic_load_explicit(&log->appended, memory_order_relaxed);
	struct io_uring_sqe *sqe;

	if (log->create_step != SEGMENT_CREATE_IDLE || log->now_ms < log->create_at_ms)
		return;
	if (segment_log_segment(appended) == log->current &&
	    segment_log_offset(appended) < log->segment_bytes / 2)
		return;
	if (log->segments_max && number - oldest + 1 > log->segments_max)
		return;
	sqe = io_uring_get_sqe(&log->ring);
	if (!sqe)
		return;
	log->create_number = number;
	segment_file_name(log->create_name, number);
	segment_file_header_build(&log->create_header, number, clock_real_ns());
	io_uring_prep_openat(sqe, log->directory_fd, log->create_name,
			     O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	request_end(log, sqe, SEGMENT_LOG_STEP_CREATE);
	log->create_step = SEGMENT_CREATE_OPEN;
}

static void create_step_start(struct segment_log *log, enum segment_create_step step)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&log->ring);

	if (!sqe)
		return;
	switch (step) {
	case SEGMENT_CREATE_ALLOCATE:
		io_uring_prep_fallocate(sqe, log->create_fd, 0, 0, log->segment_bytes);
		break;
	case SEGMENT_CREATE_HEADER:
		io_uring_prep_write(sqe, log->create_fd, &log->create_header,
				    sizeof(log->create_header), 0);
		break;
	case SEGMENT_CREATE_SYNC:
		io_uring_prep_fsync(sqe, log->create_fd, 0);
		break;
	default:
		io_uring_prep_fsync(sqe, log->directory_fd, 0);
		break;
	}
	request_end(log, sqe, SEGMENT_LOG_STEP_CREATE);
	log->create_step = step;
}

static void create_done(struct segment_log *log, int32_t result)
{
	enum segment_create_step step = log->create_step;

	if (step == SEGMENT_CREATE_ALLOCATE && (result == -EOPNOTSUPP || result == -ENOSYS) &&
	    ftruncate(log->create_fd, log->segment_bytes) == 0)
		result = 0; /* no preallocation on this file system: a sparse file */
	if (step == SEGMENT_CREATE_OPEN && result >= 0)
		log->create_fd = result;
	if (step == SEGMENT_CREATE_HEADER && result >= 0 &&
	    (size_t)result < sizeof(log->create_header))
		result = -EIO;
	if (result < 0) {
		error_note(log, SEGMENT_LOG_STEP_CREATE, &log->count.create_errors, result);
		if (log->create_fd >= 0)
			close(log->create_fd);
		log->create_fd = -1;
		log->create_step = SEGMENT_CREATE_IDLE;
		log->create_at_ms = log->now_ms + SEGMENT_RETRY_MS;
		return;
	}
	if (step == SEGMENT_CREATE_SYNC_DIRECTORY) {
		log->create_step = SEGMENT_CREATE_READY;
		success_note(log, SEGMENT_LOG_STEP_CREATE);
		atomic_store_explicit(&log->newest, log->create_number, memory_order_release);
		return;
	}
	create_step_start(log, step + 1);
}

/* ---- deletion ---- */

static void unlink_start(struct segment_log *log)
{
	uint64_t trim = atomic_load_explicit(&log->trim, memory_order_acquire);
	uint64_t least = segment_cursors_least(log);
	uint64_t durable = atomic_load_explicit(&log->durable, memory_order_relaxed);
	uint32_t oldest = atomic_load_explicit(&log->oldest, memory_order_relaxed);
	struct io_uring_sqe *sqe;

	if (trim > least)
		trim = least;
	/* one record of the segment written now must be safe: the sequence goes on from there */
	if (log->unlink_busy || log->now_ms < log->unlink_at_ms ||
	    oldest >= segment_log_segment(trim) || oldest >= segment_log_segment(durable) ||
	    segment_log_offset(durable) <= SEGMENT_LOG_FILE_HEADER)
		return;
	sqe = io_uring_get_sqe(&log->ring);
	if (!sqe)
		return;
	segment_file_name(log->unlink_name, oldest);
	io_uring_prep_unlinkat(sqe, log->directory_fd, log->unlink_name, 0);
	request_end(log, sqe, SEGMENT_LOG_STEP_UNLINK);
	log->unlink_busy = true;
}

static void unlink_done(struct segment_log *log, int32_t result)
{
	log->unlink_busy = false;
	if (result < 0 && result != -ENOENT) {
		error_note(log, SEGMENT_LOG_STEP_UNLINK, &log->count.unlink_errors, result);
		log->unlink_at_ms = log->now_ms + SEGMENT_RETRY_MS;
		return;
	}
	success_note(log, SEGMENT_LOG_STEP_UNLINK);
	atomic_store_explicit(&log->oldest,
			      atomic_load_explicit(&log->oldest, memory_order_relaxed) + 1,
			      memory_order_release);
}

/* ---- the round ---- */

/* A file that a test makes fail to open was opened all the same. */
static int32_t result_replace(struct segment_log *log, enum segment_log_step step, int32_t result)
{
	int32_t replaced = log->result(log->result_arg, step, result);

	if (step == SEGMENT_LOG_STEP_CREATE && log->create_step == SEGMENT_CREATE_OPEN &&
	    result >= 0 && replaced < 0)
		close(result);
	return replaced;
}

static void completions_take(struct segment_log *log)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&log->ring, &cqe) == 0) {
		enum segment_log_step step = (enum segment_log_step)io_uring_cqe_get_data64(cqe);
		int32_t result = cqe->res;

		io_uring_cqe_seen(&log->ring, cqe);
		log->requests--;
		if (log->result)
			result = result_replace(log, step, result);
		switch (step) {
		case SEGMENT_LOG_STEP_WRITE:
			write_done(log, result);
			break;
		case SEGMENT_LOG_STEP_SYNC:
			sync_done(log, result);
			break;
		case SEGMENT_LOG_STEP_CREATE:
			create_done(log, result);
			break;
		case SEGMENT_LOG_STEP_UNLINK:
			unlink_done(log, result);
			break;
		}
	}
}

static void commit_arm(struct segment_log *log)
{
	uint64_t appended = atomic_load_explicit(&log->appended, memory_order_relaxed);
	uint64_t durable = atomic_load_explicit(&log->durable, memory_order_relaxed);

	if (log->commit_at_ms && log->now_ms >= log->commit_at_ms) {
		log->commit_at_ms = 0;
		log->sync_want = appended;
		if (log->want < appended)
			log->want = appended;
	} else if (!log->commit_at_ms && appended > durable && appended > log->sync_want) {
		log->commit_at_ms = log->now_ms + log->commit_ms;
	}
}

void segment_writer_round(struct segment_log *log, uint64_t now_ms)
{
	uint64_t events;
	ssize_t got = read(log->event_fd, &events, sizeof(events));

	(void)got; /* EAGAIN: nothing was signalled */
	log->now_ms = now_ms;
	completions_take(log);
	commit_arm(log);
	write_start(log);
	sync_start(log);
	create_start(log);
	unlink_start(log);
	if (log->queued > 0) {
		int submitted = io_uring_submit(&log->ring);

		if (submitted > 0)
			log->queued -= (uint32_t)submitted < log->queued ? (uint32_t)submitted
									 : log->queued;
	}
}

void segment_writer_wait(struct segment_log *log, uint64_t wait_us)
{
	struct __kernel_timespec timeout = {
		.tv_sec = (long long)(wait_us / 1000000),
		.tv_nsec = (long long)(wait_us % 1000000 * 1000),
	};
	struct io_uring_cqe *cqe;

	io_uring_wait_cqe_timeout(&log->ring, &cqe, &timeout);
}

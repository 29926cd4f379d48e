/* The segment log as its writer's thread sees it: open, append, tick, flush, close. */
#include "recorder/log/segment_log.h"
#include "dataplane/base/clock.h"
#include "recorder/log/segment_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RECORD_OVERHEAD ((uint32_t)sizeof(struct segment_log_record))

static int options_take(struct segment_log *log, const struct segment_log_options *options)
{
	log->segment_bytes = options->segment_bytes ? options->segment_bytes : 64u * 1024 * 1024;
	log->buffer_bytes = options->buffer_bytes ? options->buffer_bytes : 512u * 1024;
	log->buffers_count = options->buffers ? options->buffers : 8;
	log->commit_ms = options->commit_ms ? options->commit_ms : 50;
	log->result = options->result;
	log->result_arg = options->result_arg;
	if (!options->directory || log->segment_bytes < SEGMENT_LOG_SEGMENT_MIN ||
	    log->segment_bytes > SEGMENT_LOG_SEGMENT_MAX || log->segment_bytes % 8 ||
	    log->buffer_bytes < 256 * 1024 || log->buffer_bytes > 64 * 1024 * 1024 ||
	    log->buffer_bytes % 8 || log->buffers_count < 2 || log->buffers_count > 65536)
		return -EINVAL;
	if (options->bytes_max) {
		uint64_t most = options->bytes_max / log->segment_bytes;

		if (most < 2)
			return -EINVAL;
		log->segments_max = most > UINT32_MAX ? UINT32_MAX : (uint32_t)most;
	}
	return 0;
}

static int directory_open(struct segment_log *log, const char *path)
{
	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return -errno;
	log->directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log->directory_fd < 0)
		return -errno;
	log->lock_fd = openat(log->directory_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (log->lock_fd < 0)
		return -errno;
	if (flock(log->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

static int buffers_open(struct segment_log *log)
{
	uint64_t total = (uint64_t)log->buffers_count * log->buffer_bytes;
	struct iovec registered[SEGMENT_REGISTERED_MAX];
	uint32_t count = log->buffers_count < SEGMENT_REGISTERED_MAX ? log->buffers_count
								     : SEGMENT_REGISTERED_MAX;

	log->buffers = calloc(log->buffers_count, sizeof(*log->buffers));
	if (!log->buffers)
		return -ENOMEM;
	log->buffers_memory = mmap(NULL, total, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (log->buffers_memory == MAP_FAILED) {
		log->buffers_memory = NULL;
		return -errno;
	}
	for (uint32_t k = log->buffers_count; k-- > 0;) {
		struct segment_buffer *buffer = &log->buffers[k];

		buffer->index = k;
		buffer->bytes = log->buffers_memory + (size_t)k * log->buffer_bytes;
		buffer->next = log->free_top;
		log->free_top = buffer;
	}
	for (uint32_t k = 0; k < count; k++)
		registered[k] = (struct iovec){log->buffers[k].bytes, log->buffer_bytes};
	/* pinned memory counts against RLIMIT_MEMLOCK: take what is allowed */
	for (; count > 0; count /= 2) {
		if (io_uring_register_buffers(&log->ring, registered, count) == 0)
			break;
	}
	log->buffers_registered = count;
	return 0;
}

static int requests_open(struct segment_log *log)
{
	int error = io_uring_queue_init(SEGMENT_RING_ENTRIES, &log->ring, 0);

	if (error) {
		log->ring.ring_fd = -1;
		return error;
	}
	log->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (log->event_fd < 0)
		return -errno;
	return io_uring_register_eventfd(&log->ring, log->event_fd);
}

static int segment_log_start(struct segment_log *log, const struct segment_log_options *options)
{
	int error = options_take(log, options);

	if (!error)
		error = directory_open(log, options->directory);
	if (!error)
		error = requests_open(log);
	if (!error)
		error = buffers_open(log);
	if (!error)
		error = segment_open_current(log);
	if (!error)
		error = segment_cursors_load(log);
	if (error)
		return error;
	log->filling = segment_buffer_free_pop(log);
	log->queue_first = log->filling;
	log->filling->segment = segment_log_segment(log->appended);
	log->filling->offset = segment_log_offset(log->appended);
	return 0;
}

int segment_log_open(struct segment_log **out, const struct segment_log_options *options)
{
	struct segment_log *log = aligned_alloc(64, (sizeof(*log) + 63) & ~(size_t)63);
	int error;

	*out = NULL;
	if (!log)
		return -ENOMEM;
	memset(log, 0, sizeof(*log));
	log->ring.ring_fd = -1;
	log->event_fd = -1;
	log->directory_fd = -1;
	log->lock_fd = -1;
	log->current_fd = -1;
	log->old_fd = -1;
	log->create_fd = -1;
	pthread_mutex_init(&log->cursors_mutex, NULL);
	error = segment_log_start(log, options);
	if (error) {
		segment_log_close(log);
		return error;
	}
	*out = log;
	return 0;
}

void segment_log_close(struct segment_log *log)
{
	if (!log)
		return;
	while (log->requests > 0) {
		struct io_uring_cqe *cqe;

		io_uring_submit(&log->ring);
		if (io_uring_wait_cqe(&log->ring, &cqe) < 0)
			continue;
		if (io_uring_cqe_get_data64(cqe) == SEGMENT_LOG_STEP_CREATE &&
		    log->create_step == SEGMENT_CREATE_OPEN && cqe->res >= 0)
			log->create_fd = cqe->res;
		io_uring_cqe_seen(&log->ring, cqe);
		log->requests--;
	}
	if (log->ring.ring_fd >= 0)
		io_uring_queue_exit(&log->ring);
	segment_cursors_close(log);
	for (int *fd = (int[]){log->event_fd, log->current_fd, log->old_fd, log->create_fd,
			       log->lock_fd, log->directory_fd, -2};
	     *fd != -2; fd++) {
		if (*fd >= 0)
			close(*fd);
	}
	if (log->buffers_memory)
		munmap(log->buffers_memory, (size_t)log->buffers_count * log->buffer_bytes);
	free(log->buffers);
	pthread_mutex_destroy(&log->cursors_mutex);
	free(log);
}

/* ---- append ---- */

static void record_put(struct segment_log *log, uint16_t type, uint16_t version,
		       const struct iovec *pieces, uint32_t count, uint32_t payload_len,
		       uint64_t sequence)
{
	struct segment_buffer *buffer = log->filling;
	struct segment_log_record *record = (void *)(buffer->bytes + buffer->used);
	uint8_t *at = (uint8_t *)(record + 1);

	for (uint32_t k = 0; k < count; k++) {
		if (pieces[k].iov_len == 0)
			continue;
		memcpy(at, pieces[k].iov_base, pieces[k].iov_len);
		at += pieces[k].iov_len;
	}
	segment_record_seal(record, buffer->segment, type, version, payload_len, sequence);
	buffer->used += record->length;
}

/* Room for `length` bytes and an end record in the filling buffer, after taking a new one or going
 * to the next segment if need be. */
static int room_make(struct segment_log *log, uint32_t length)
{
	struct segment_buffer *filling = log->filling;
	struct segment_buffer *fresh;
	uint32_t end = filling->offset + filling->used;
	bool segment_full = end + length + RECORD_OVERHEAD > log->segment_bytes;

	if (!segment_full && filling->used + length + RECORD_OVERHEAD <= log->buffer_bytes)
		return 0;
	if (segment_full && log->segments_max &&
	    filling->segment - atomic_load_explicit(&log->oldest, memory_order_relaxed) + 2 >
		    log->segments_max) {
		segment_count(&log->count.refused_limit, 1);
		return -ENOSPC;
	}
	fresh = segment_buffer_free_pop(log);
	if (!fresh) {
		segment_count(&log->count.refused_full, 1);
		return -EAGAIN;
	}
	if (segment_full)
		record_put(log, SEGMENT_LOG_TYPE_END, 0, NULL, 0, 0,
			   atomic_load_explicit(&log->sequence, memory_order_relaxed));
	fresh->used = 0;
	fresh->written = 0;
	fresh->segment = filling->segment + (segment_full ? 1 : 0);
	fresh->offset = segment_full ? SEGMENT_LOG_FILE_HEADER : filling->offset + filling->used;
	filling->next = fresh;
	log->filling = fresh;
	return 0;
}

int segment_log_appendv(struct segment_log *log, uint16_t type, uint16_t version,
			const struct iovec *pieces, uint32_t count, uint64_t *position)
{
	uint64_t sequence = atomic_load_explicit(&log->sequence, memory_order_relaxed) + 1;
	uint64_t payload_len = 0;
	struct segment_buffer *buffer;
	uint32_t length;
	int error;

	for (uint32_t k = 0; k < count; k++) {
		if (pieces[k].iov_len > SEGMENT_LOG_PAYLOAD_MAX)
			return -EMSGSIZE;
		payload_len += pieces[k].iov_len;
	}
	if (payload_len > SEGMENT_LOG_PAYLOAD_MAX || type == SEGMENT_LOG_TYPE_END)
		return -EMSGSIZE;
	length = segment_record_length((uint32_t)payload_len);
	error = room_make(log, length);
	if (error)
		return error;
	buffer = log->filling;
	if (position)
		*position = segment_log_position(buffer->segment, buffer->offset + buffer->used);
	record_put(log, type, version, pieces, count, (uint32_t)payload_len, sequence);
	segment_count(&log->count.records, 1);
	segment_count(&log->count.bytes, length);
	atomic_store_explicit(&log->sequence, sequence, memory_order_relaxed);
	atomic_store_explicit(&log->appended,
			      segment_log_position(buffer->segment, buffer->offset + buffer->used),
			      memory_order_release);
	return 0;
}

int segment_log_append(struct segment_log *log, uint16_t type, uint16_t version,
		       const void *payload, uint32_t payload_len, uint64_t *position)
{
	struct iovec piece = {(void *)(uintptr_t)payload, payload_len};

	return segment_log_appendv(log, type, version, &piece, 1, position);
}

/* ---- the round ---- */

static int32_t log_error_of(const struct segment_log *log, enum segment_log_step step)
{
	return atomic_load_explicit(&log->step_error[step], memory_order_relaxed);
}

/* Of the first kind of request whose last one failed. */
static int32_t log_error_last(const struct segment_log *log)
{
	int32_t error = 0;

	for (int step = 0; step < SEGMENT_LOG_STEPS && !error; step++)
		error = log_error_of(log, (enum segment_log_step)step);
	return error;
}

void segment_log_tick(struct segment_log *log, uint64_t now_ms)
{
	segment_writer_round(log, now_ms);
}

int segment_log_submit(struct segment_log *log, uint64_t now_ms, uint32_t wait_us)
{
	uint64_t appended = segment_log_appended(log);
	uint64_t until_ns = 0;

	log->want = appended;
	segment_writer_round(log, now_ms);
	if (wait_us > 0)
		until_ns = clock_mono_ns() + (uint64_t)wait_us * 1000;
	while (segment_log_written(log) < appended) {
		int32_t last = log_error_of(log, SEGMENT_LOG_STEP_WRITE);
		uint64_t now_ns = until_ns ? clock_mono_ns() : 0;

		if (last < 0)
			return last;
		if (now_ns >= until_ns)
			return 1;
		segment_writer_wait(log, (until_ns - now_ns) / 1000 + 1);
		segment_writer_round(log, now_ms);
	}
	return 0;
}

int segment_log_flush(struct segment_log *log, uint32_t timeout_ms)
{
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
	uint64_t until_ms = now_ms + timeout_ms;
	uint64_t appended = segment_log_appended(log);

	while (segment_log_durable(log) < appended) {
		log->want = appended;
		log->sync_want = appended;
		segment_writer_round(log, now_ms);
		if (segment_log_durable(log) >= appended)
			break;
		if (now_ms >= until_ms) {
			int32_t last = log_error_last(log);

			return last < 0 ? last : -ETIMEDOUT;
		}
		segment_writer_wait(log, 5000);
		now_ms = clock_mono_ns() / NS_PER_MS;
	}
	return 0;
}

int segment_log_event_fd(const struct segment_log *log)
{
	return log->event_fd;
}

uint64_t segment_log_deadline_ms(const struct segment_log *log)
{
	uint64_t deadline = log->commit_at_ms ? log->commit_at_ms : SEGMENT_LOG_NEVER;

	/* back-off times that have not come yet; what is due already is under way */
	const uint64_t back_off_ms[] = {log->retry_at_ms, log->create_at_ms, log->unlink_at_ms};

	for (size_t k = 0; k < sizeof(back_off_ms) / sizeof(back_off_ms[0]); k++) {
		if (back_off_ms[k] > log->now_ms && back_off_ms[k] < deadline)
			deadline = back_off_ms[k];
	}
	return deadline;
}

/* ---- from any thread ---- */

uint64_t segment_log_appended(const struct segment_log *log)
{
	return atomic_load_explicit(&log->appended, memory_order_acquire);
}

uint64_t segment_log_written(const struct segment_log *log)
{
	return atomic_load_explicit(&log->written, memory_order_acquire);
}

uint64_t segment_log_durable(const struct segment_log *log)
{
	return atomic_load_explicit(&log->durable, memory_order_acquire);
}

uint64_t segment_log_oldest(const struct segment_log *log)
{
	return segment_log_position(atomic_load_explicit(&log->oldest, memory_order_acquire),
				    SEGMENT_LOG_FILE_HEADER);
}

uint64_t segment_log_sequence(const struct segment_log *log)
{
	return atomic_load_explicit(&log->sequence, memory_order_relaxed);
}

void segment_log_stats(const struct segment_log *log, struct segment_log_stats *stats)
{
	uint32_t oldest = atomic_load_explicit(&log->oldest, memory_order_relaxed);
	uint32_t newest = atomic_load_explicit(&log->newest, memory_order_relaxed);

#define TAKE(name) .name = atomic_load_explicit(&log->count.name, memory_order_relaxed)
	*stats = (struct segment_log_stats){
		TAKE(records),       TAKE(bytes),         TAKE(writes),         TAKE(short_writes),
		TAKE(write_errors),  TAKE(syncs),         TAKE(sync_errors),    TAKE(create_errors),
		TAKE(unlink_errors), TAKE(refused_full),  TAKE(refused_limit),  TAKE(torn_bytes),
		TAKE(torn_tails),    TAKE(segments_lost), TAKE(buffers_in_use),
	};
#undef TAKE
	stats->last_error = log_error_last(log);
	stats->segments = newest - oldest + 1;
	stats->disk_bytes = stats->segments * log->segment_bytes;
	stats->buffers_registered = log->buffers_registered;
}

bool segment_log_wait(const struct segment_log *shared, uint64_t position, uint32_t timeout_ms)
{
	struct segment_log *log = (struct segment_log *)(uintptr_t)shared;
	struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
	uint32_t wakeups = atomic_load_explicit(&log->wakeups, memory_order_seq_cst);

	if (segment_log_written(log) > position)
		return true;
	atomic_fetch_add_explicit(&log->sleepers, 1, memory_order_seq_cst);
	/* pairs with written_publish: a change after `wakeups` was read makes the futex return */
	if (segment_log_written(log) <= position)
		syscall(SYS_futex, &log->wakeups, FUTEX_WAIT_PRIVATE, wakeups, &timeout, NULL, 0);
	atomic_fetch_sub_explicit(&log->sleepers, 1, memory_order_seq_cst);
	return segment_log_written(log) > position;
}

void segment_log_wake(struct segment_log *log)
{
	atomic_fetch_add_explicit(&log->wakeups, 1, memory_order_seq_cst);
	syscall(SYS_futex, &log->wakeups, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void segment_log_trim(struct segment_log *log, uint64_t position)
{
	static const uint64_t one = 1;
	ssize_t put;

	atomic_store_explicit(&log->trim, position, memory_order_release);
	put = write(log->event_fd, &one, sizeof(one));
	(void)put; /* full means that it is readable already */
}

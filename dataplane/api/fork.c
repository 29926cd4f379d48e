/*
 * The fork ring's memory and both of its ends. Neither side trusts the other with more than its own
 * position: the writer never reads back what it wrote, the reader checks each record before it
 * looks at it, and the memfd is sealed so that nobody can shrink it under the other's feet.
 */
#include "dataplane/api/fork.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING_BYTES_MIN (UINT64_C(64) << 10)
#define RING_BYTES_MAX (UINT64_C(1) << 36)
#define PAD_MIN        8 /* length, type and leg: all that a pad has where no header fits */

static bool ring_bytes_valid(uint64_t bytes)
{
	return bytes >= RING_BYTES_MIN && bytes <= RING_BYTES_MAX && (bytes & (bytes - 1)) == 0;
}

static uint8_t *ring_area(struct td_fork_ring *ring)
{
	return (uint8_t *)ring + TD_FORK_RING_HEADER;
}

int td_fork_ring_create(struct td_fork_ring **out, int *fd_out, uint64_t bytes, uint32_t worker,
			uint64_t generation)
{
	struct td_fork_ring *ring;
	int fd, error;

	*out = NULL;
	*fd_out = -1;
	if (!ring_bytes_valid(bytes) || worker >= TD_FORK_WORKERS_MAX)
		return -EINVAL;
	fd = memfd_create("tandem-fork", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)(TD_FORK_RING_HEADER + bytes)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto failed;
	/* Populated now: the packet path never waits for a page. */
	ring = mmap(NULL, TD_FORK_RING_HEADER + bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, fd, 0);
	if (ring == MAP_FAILED)
		goto failed;
	ring->version = TD_FORK_VERSION;
	ring->worker = worker;
	ring->generation = generation;
	ring->bytes = bytes;
	ring->magic = TD_FORK_MAGIC;
	*out = ring;
	*fd_out = fd;
	return 0;

failed:
	error = -errno;
	close(fd);
	return error;
}

int td_fork_ring_attach(struct td_fork_ring **out, int fd)
{
	struct td_fork_ring *ring;
	struct stat st;
	size_t size;

	*out = NULL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= TD_FORK_RING_HEADER ||
	    !ring_bytes_valid((uint64_t)st.st_size - TD_FORK_RING_HEADER))
		return -EPROTO;
	size = (size_t)st.st_size;
	ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		return -errno;
	if (ring->magic != TD_FORK_MAGIC || ring->version != TD_FORK_VERSION ||
	    ring->worker >= TD_FORK_WORKERS_MAX || ring->bytes != size - TD_FORK_RING_HEADER) {
		munmap(ring, size);
		return -EPROTO;
	}
	*out = ring;
	return 0;
}

void td_fork_ring_unmap(struct td_fork_ring *ring)
{
	if (ring)
		munmap(ring, TD_FORK_RING_HEADER + ring->bytes);
}

void td_fork_writer_init(struct td_fork_writer *writer, struct td_fork_ring *ring)
{
	writer->ring = ring;
	writer->area = ring_area(ring);
	writer->mask = ring->bytes - 1;
	writer->head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	writer->tail_cached = atomic_load_explicit(&ring->tail, memory_order_acquire);
}

/* Bytes that may be written, 0 also when the consumer's tail makes no sense. */
static uint64_t writer_free(const struct td_fork_writer *writer)
{
	uint64_t used = writer->head - writer->tail_cached;

	return used <= writer->mask + 1 ? writer->mask + 1 - used : 0;
}

static bool writer_has_room(struct td_fork_writer *writer, uint64_t n)
{
	if (writer_free(writer) >= n)
		return true;
	/* Acquire pairs with the release in td_fork_release: the consumer is done with it. */
	writer->tail_cached = atomic_load_explicit(&writer->ring->tail, memory_order_acquire);
	return writer_free(writer) >= n;
}

struct td_fork_record *td_fork_reserve(struct td_fork_writer *writer, uint32_t payload_len)
{
	struct td_fork_record *record;
	uint64_t offset, to_end;
	uint32_t length;

	assert(payload_len <= TD_FORK_PAYLOAD_MAX);
	length = td_fork_record_length(payload_len);
	if (length > writer->mask + 1)
		return NULL;
	offset = writer->head & writer->mask;
	to_end = writer->mask + 1 - offset;
	if (to_end < length) {
		/* The pad goes out even when the record does not fit behind it yet: so a record of
		 * more than half the ring finds its place in the end. */
		if (!writer_has_room(writer, to_end))
			return NULL;
		record = (struct td_fork_record *)(void *)(writer->area + offset);
		record->length = (uint32_t)to_end;
		record->type = TD_FORK_PAD;
		record->leg = 0;
		writer->head += to_end;
		offset = 0;
	}
	if (!writer_has_room(writer, length))
		return NULL;
	record = (struct td_fork_record *)(void *)(writer->area + offset);
	memset(record, 0, sizeof(*record));
	record->length = length;
	record->payload_len = payload_len;
	writer->head += length;
	atomic_store_explicit(&writer->ring->records,
			      atomic_load_explicit(&writer->ring->records, memory_order_relaxed) +
				      1,
			      memory_order_relaxed);
	return record;
}

void td_fork_flush(struct td_fork_writer *writer)
{
	/* Release pairs with the acquire in td_fork_next: records before their position. */
	atomic_store_explicit(&writer->ring->head, writer->head, memory_order_release);
}

void td_fork_reader_init(struct td_fork_reader *reader, struct td_fork_ring *ring)
{
	reader->ring = ring;
	reader->area = ring_area(ring);
	reader->mask = ring->bytes - 1;
	reader->next = atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

/* Whether a record that is no pad may be handed out: n bytes are published at it. */
static bool record_valid(const struct td_fork_record *record, uint32_t length)
{
	return record->type >= TD_FORK_START && record->type <= TD_FORK_END &&
	       length >= sizeof(*record) && record->payload_len <= TD_FORK_PAYLOAD_MAX &&
	       td_fork_record_length(record->payload_len) == length;
}

const struct td_fork_record *td_fork_next(struct td_fork_reader *reader, int *error)
{
	const struct td_fork_record *record;
	uint64_t available, to_end, at;
	uint32_t length;

	*error = 0;
	for (;;) {
		/* Acquire pairs with the release in td_fork_flush. */
		available = atomic_load_explicit(&reader->ring->head, memory_order_acquire) -
			    reader->next;
		if (available == 0)
			return NULL;
		at = reader->next & reader->mask;
		to_end = reader->mask + 1 - at;
		if (available > reader->mask + 1 || at % TD_FORK_ALIGN != 0 || available < PAD_MIN)
			break;
		record = (const struct td_fork_record *)(const void *)(reader->area + at);
		length = *(const volatile uint32_t *)&record->length;
		if (length < PAD_MIN || length % TD_FORK_ALIGN != 0 || length > available ||
		    length > to_end)
			break;
		if (record->type != TD_FORK_PAD) {
			if (!record_valid(record, length))
				break;
			reader->next += length;
			return record;
		}
		if (length != to_end)
			break;
		reader->next += length;
		/* With nothing unreleased before it, the pad goes back at once. */
		if (atomic_load_explicit(&reader->ring->tail, memory_order_relaxed) ==
		    reader->next - length)
			td_fork_release(reader, reader->next);
	}
	*error = -EPROTO;
	return NULL;
}

void td_fork_release(struct td_fork_reader *reader, uint64_t position)
{
	uint64_t tail = atomic_load_explicit(&reader->ring->tail, memory_order_relaxed);

	/* A position that the skipping of a pad has passed already moves nothing. */
	if ((int64_t)(position - tail) <= 0)
		return;
	/* Release pairs with the acquire in writer_has_room. */
	atomic_store_explicit(&reader->ring->tail, position, memory_order_release);
}

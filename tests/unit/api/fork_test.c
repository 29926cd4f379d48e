/* The fork ring: order, wrapping, fullness, release, and a reader that faces senseless content. */
#include "dataplane/api/fork.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define RING_BYTES 65536

static struct td_fork_ring *ring_open(struct td_fork_writer *writer, struct td_fork_reader *reader)
{
	struct td_fork_ring *ring;
	int fd;

	assert_int_equal(td_fork_ring_create(&ring, &fd, RING_BYTES, 0, 77), 0);
	close(fd);
	td_fork_writer_init(writer, ring);
	td_fork_reader_init(reader, ring);
	return ring;
}

/* Writes one PACKET record whose payload bytes are its number; false when the ring is full. */
static int packet_put(struct td_fork_writer *writer, uint64_t number, uint32_t len)
{
	struct td_fork_record *record = td_fork_reserve(writer, len);

	if (!record)
		return 0;
	record->type = TD_FORK_PACKET;
	record->packet = number;
	memset(record + 1, (int)(number & 0xff), len);
	td_fork_flush(writer);
	return 1;
}

static void packet_check(struct td_fork_reader *reader, uint64_t number, uint32_t len)
{
	const struct td_fork_record *record;
	int error;

	record = td_fork_next(reader, &error);
	assert_int_equal(error, 0);
	assert_non_null(record);
	assert_int_equal(record->type, TD_FORK_PACKET);
	assert_int_equal(record->packet, number);
	assert_int_equal(record->payload_len, len);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(td_fork_payload(record)[i], number & 0xff);
}

static void rings_of_wrong_size_are_refused(void **state)
{
	static const uint64_t sizes[] = {0, 1, 4096, 32768, 65535, 65537, 3 * 65536, UINT64_MAX};
	struct td_fork_ring *ring;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(td_fork_ring_create(&ring, &fd, sizes[i], 0, 1), -EINVAL);
		assert_null(ring);
		assert_int_equal(fd, -1);
	}
	assert_int_equal(td_fork_ring_create(&ring, &fd, 65536, TD_FORK_WORKERS_MAX, 1), -EINVAL);
}

static void attached_ring_shares_its_records(void **state)
{
	struct td_fork_ring *ring, *other;
	struct td_fork_writer writer;
	struct td_fork_reader reader;
	int fd;

	(void)state;
	assert_int_equal(td_fork_ring_create(&ring, &fd, RING_BYTES, 3, 99), 0);
	assert_int_equal(td_fork_ring_attach(&other, fd), 0);
	/* sealed: nobody takes the memory away from under the other side */
	assert_int_equal(ftruncate(fd, 4096), -1);
	close(fd);
	assert_int_equal(other->worker, 3);
	assert_int_equal(other->generation, 99);
	td_fork_writer_init(&writer, ring);
	td_fork_reader_init(&reader, other);
	assert_true(packet_put(&writer, 1, 160));
	packet_check(&reader, 1, 160);
	td_fork_release(&reader, reader.next);
	assert_int_equal(ring->tail, ring->head);
	assert_int_equal(ring->records, 1);
	td_fork_ring_unmap(other);
	td_fork_ring_unmap(ring);
	td_fork_ring_unmap(NULL);
}

static void foreign_descriptors_are_refused(void **state)
{
	static const size_t sizes[] = {0, 100, 4096, 4096 + 65535, 4096 + 65536};
	struct td_fork_ring *ring, *victim;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fd = memfd_create("foreign", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fd, (off_t)sizes[i]), 0);
		assert_int_equal(td_fork_ring_attach(&ring, fd), -EPROTO);
		assert_null(ring);
		close(fd);
	}
	assert_int_equal(td_fork_ring_attach(&ring, -1), -EBADF);
	for (int field = 0; field < 4; field++) {
		assert_int_equal(td_fork_ring_create(&victim, &fd, RING_BYTES, 0, 1), 0);
		if (field == 0)
			victim->magic++;
		else if (field == 1)
			victim->version++;
		else if (field == 2)
			victim->bytes *= 2;
		else
			victim->worker = TD_FORK_WORKERS_MAX;
		assert_int_equal(td_fork_ring_attach(&ring, fd), -EPROTO);
		victim->bytes = RING_BYTES;
		td_fork_ring_unmap(victim);
		close(fd);
	}
}

static void records_come_out_in_order_over_many_wraps(void **state)
{
	struct td_fork_writer writer;
	struct td_fork_reader reader;
	struct td_fork_ring *ring = ring_open(&writer, &reader);
	uint64_t written = 0, seen = 0;
	int error;

	(void)state;
	while (seen < 20000) {
		while (packet_put(&writer, written, (uint32_t)(written * 37 % 1400)))
			written++;
		assert_true(written > seen);
		for (; seen < written; seen++) {
			packet_check(&reader, seen, (uint32_t)(seen * 37 % 1400));
			td_fork_release(&reader, reader.next);
		}
		assert_null(td_fork_next(&reader, &error));
		assert_int_equal(error, 0);
	}
	assert_int_equal(ring->records, written);
	assert_true(ring->head > 100 * RING_BYTES);
	td_fork_ring_unmap(ring);
}

static void nothing_is_seen_before_the_flush(void **state)
{
	struct td_fork_writer writer;
	struct td_fork_reader reader;
	struct td_fork_ring *ring = ring_open(&writer, &reader);
	int error;

	(void)state;
	td_fork_reserve(&writer, 10)->type = TD_FORK_RTCP;
	assert_null(td_fork_next(&reader, &error));
	td_fork_flush(&writer);
	assert_non_null(td_fork_next(&reader, &error));
	td_fork_ring_unmap(ring);
}

static void full_ring_takes_no_more_until_a_release(void **state)
{
	struct td_fork_writer writer;
	struct td_fork_reader reader;
	struct td_fork_ring *ring = ring_open(&writer, &reader);
	uint64_t written = 0, middle;
	int error;

	(void)state;
	/* 64 bytes of header and 64 of payload: the ring is filled to the last byte */
	while (packet_put(&writer, written, 64))
		written++;
	assert_int_equal(written, RING_BYTES / 128);
	assert_int_equal(ring->head - ring->tail, RING_BYTES);
	packet_check(&reader, 0, 64);
	middle = reader.next;
	packet_check(&reader, 1, 64);
	/* read but not released is still taken */
	assert_false(packet_put(&writer, written, 64));
	td_fork_release(&reader, middle);
	assert_true(packet_put(&writer, written, 64));
	assert_false(packet_put(&writer, written, 64));
	/* released twice or backwards: nothing moves */
	td_fork_release(&reader, 0);
	assert_int_equal(ring->tail, middle);
	/* a reader that starts anew begins at what was not released */
	td_fork_reader_init(&reader, ring);
	for (uint64_t number = 1; number <= written; number++)
		packet_check(&reader, number, 64);
	assert_null(td_fork_next(&reader, &error));
	td_fork_ring_unmap(ring);
}

static void longest_record_finds_its_place_at_any_position(void **state)
{
	struct td_fork_writer writer;
	struct td_fork_reader reader;
	struct td_fork_ring *ring = ring_open(&writer, &reader);
	const uint32_t longest = RING_BYTES - (uint32_t)sizeof(struct td_fork_record);
	uint64_t number = 0;
	int error;

	(void)state;
	assert_null(td_fork_reserve(&writer, TD_FORK_PAYLOAD_MAX)); /* longer than this ring */
	for (uint32_t step = 8; step < 4096; step += 520) {
		int tries = 0;

		assert_true(packet_put(&writer, number, step));
		packet_check(&reader, number++, step);
		td_fork_release(&reader, reader.next);
		while (!packet_put(&writer, number, longest)) {
			td_fork_flush(&writer);
			assert_null(td_fork_next(&reader, &error));
			assert_int_equal(error, 0);
			assert_true(tries++ < 2);
		}
		packet_check(&reader, number++, longest);
		td_fork_release(&reader, reader.next);
	}
	td_fork_ring_unmap(ring);
}

static void writer_survives_a_senseless_tail(void **state)
{
	struct td_fork_writer writer;
	struct td_fork_reader reader;
	struct td_fork_ring *ring = ring_open(&writer, &reader);

	(void)state;
	ring->tail = 12345678;
	td_fork_writer_init(&writer, ring);
	assert_false(packet_put(&writer, 0, 64));
	ring->tail = UINT64_MAX - 3 * RING_BYTES;
	assert_false(packet_put(&writer, 0, 64));
	ring->tail = 0;
	assert_true(packet_put(&writer, 0, 64));
	td_fork_ring_unmap(ring);
}

static void reader_reports_senseless_content(void **state)
{
	static const struct {
		uint32_t length;
		uint16_t type;
		uint32_t payload_len;
		uint64_t head;
	} table[] = {
		{0, TD_FORK_PACKET, 0, 64},                /* no length */
		{60, TD_FORK_PACKET, 0, 64},               /* not aligned */
		{56, TD_FORK_PACKET, 0, 64},               /* shorter than a header */
		{128, TD_FORK_PACKET, 64, 64},             /* longer than what is published */
		{64, TD_FORK_PACKET, 1, 64},               /* payload outside */
		{128, TD_FORK_PACKET, 8, 128},             /* payload shorter than its record */
		{64, TD_FORK_PACKET, UINT32_MAX, 64},      /* overflow */
		{64, TD_FORK_PACKET, UINT32_MAX - 63, 64}, /* overflow */
		{64, TD_FORK_END + 1, 0, 64},              /* unknown type */
		{64, TD_FORK_PAD, 0, 64},                  /* pad that does not end the ring */
		{64, TD_FORK_PACKET, 0, RING_BYTES + 64},  /* more than there is */
		{64, TD_FORK_PACKET, 0, UINT64_MAX},       /* head behind */
		{64, TD_FORK_PACKET, 0, 4},                /* less than a length */
		{RING_BYTES + 8, TD_FORK_PACKET, 0, RING_BYTES}, /* beyond the end */
	};
	struct td_fork_writer writer;
	struct td_fork_reader reader;
	struct td_fork_ring *ring = ring_open(&writer, &reader);
	struct td_fork_record *record = (void *)((char *)ring + TD_FORK_RING_HEADER);
	int error;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		record->length = table[i].length;
		record->type = table[i].type;
		record->payload_len = table[i].payload_len;
		ring->head = table[i].head;
		error = 0;
		assert_null(td_fork_next(&reader, &error));
		assert_int_equal(error, -EPROTO);
		assert_int_equal(reader.next, 0);
	}
	record->length = 64;
	record->type = TD_FORK_END;
	record->payload_len = 0;
	ring->head = 64;
	assert_ptr_equal(td_fork_next(&reader, &error), record);
	assert_int_equal(error, 0);
	td_fork_ring_unmap(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rings_of_wrong_size_are_refused),
		cmocka_unit_test(attached_ring_shares_its_records),
		cmocka_unit_test(foreign_descriptors_are_refused),
		cmocka_unit_test(records_come_out_in_order_over_many_wraps),
		cmocka_unit_test(nothing_is_seen_before_the_flush),
		cmocka_unit_test(full_ring_takes_no_more_until_a_release),
		cmocka_unit_test(longest_record_finds_its_place_at_any_position),
		cmocka_unit_test(writer_survives_a_senseless_tail),
		cmocka_unit_test(reader_reports_senseless_content),
	};

	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}

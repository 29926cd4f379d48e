/*
 * The reader over a ring whose content a stranger wrote: 8 bytes of head, 8 of tail, then bytes of
 * the area from the tail on. Whatever it hands out must lie within the area.
 */
#include "dataplane/api/fork.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RING_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	struct td_fork_ring *ring;
	struct td_fork_reader reader;
	const struct td_fork_record *record;
	unsigned int records = 0, sum = 0;
	uint64_t head, tail;
	uint8_t *area;
	int error;

	if (n < 16)
		return 0;
	ring = aligned_alloc(4096, TD_FORK_RING_HEADER + RING_BYTES);
	if (!ring)
		abort();
	memset(ring, 0, TD_FORK_RING_HEADER + RING_BYTES);
	area = (uint8_t *)ring + TD_FORK_RING_HEADER;
	memcpy(&head, input, 8);
	memcpy(&tail, input + 8, 8);
	ring->bytes = RING_BYTES;
	ring->head = head;
	ring->tail = tail;
	for (size_t i = 16; i < n && i - 16 < RING_BYTES; i++)
		area[(tail + i - 16) & (RING_BYTES - 1)] = input[i];
	td_fork_reader_init(&reader, ring);
	while ((record = td_fork_next(&reader, &error)) != NULL) {
		const uint8_t *payload = td_fork_payload(record);

		if (error != 0 || (const uint8_t *)record < area ||
		    payload + record->payload_len > area + RING_BYTES)
			abort();
		for (uint32_t i = 0; i < record->payload_len; i++)
			sum += payload[i];
		if (++records > RING_BYTES / sizeof(*record))
			abort();
		if (records % 3 == 0)
			td_fork_release(&reader, reader.next);
	}
	/* used, so that the reads stay */
	ring->records = sum;
	free(ring);
	return 0;
}

/* Spool positions of one recording, packed. */
#include "recorder/recording/position_index.h"

#include <errno.h>
#include <stdlib.h>

#define POSITION_BYTES_MAX 10 /* 64 bits in sevens */

int position_index_add(struct position_index *index, uint64_t position)
{
	uint64_t rest = (position - index->last) / 8;

	if (index->used + POSITION_BYTES_MAX > index->size) {
		uint32_t size = index->size ? index->size * 2 : 256;
		uint8_t *bytes;

		if (size > POSITION_INDEX_MAX)
			return -ENOSPC;
		bytes = realloc(index->bytes, size);
		if (!bytes)
			return -ENOMEM;
		index->bytes = bytes;
		index->size = size;
	}
	for (; rest >= 0x80; rest >>= 7)
		index->bytes[index->used++] = (uint8_t)(rest | 0x80);
	index->bytes[index->used++] = (uint8_t)rest;
	index->last = position;
	index->count++;
	return 0;
}

void position_index_fini(struct position_index *index)
{
	free(index->bytes);
	*index = (struct position_index){0};
}

uint64_t position_index_next(const struct position_index *index, struct position_walk *walk)
{
	uint64_t rest = 0;
	int shift = 0;

	if (walk->at >= index->used)
		return 0;
	for (;;) {
		uint8_t byte = index->bytes[walk->at++];

		rest |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
		if (!(byte & 0x80))
			break;
	}
	walk->position += rest * 8;
	return walk->position;
}

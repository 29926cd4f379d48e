/* The spool positions of one recording's records, in the order they were written: differences in
 * bytes of 7 bits (two or three bytes a packet). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define POSITION_INDEX_MAX (64u * 1024 * 1024) /* bytes: more than 50 hours of a call */

struct position_index {
	uint8_t *bytes;
	uint32_t used;
	uint32_t size;
	uint64_t last;
	uint64_t count;
};

/* Zeroed memory is an empty index. Positions rise and are multiples of 8. -ENOMEM; -ENOSPC:
 * POSITION_INDEX_MAX. */
int position_index_add(struct position_index *index, uint64_t position);
void position_index_fini(struct position_index *index);

struct position_walk {
	uint32_t at;
	uint64_t position;
};

/* From a zeroed walk: the next position, or 0 at the end. */
uint64_t position_index_next(const struct position_index *index, struct position_walk *walk);

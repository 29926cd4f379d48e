/*
 * The bump allocator under one ng message. It keeps its first block over a reset, so that a server
 * which handles messages one after the other does not allocate for the usual ones.
 */
#include "dataplane/api/ng.h"

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (16 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t size;
	alignas(16) char bytes[];
};

struct ng_arena {
	struct arena_block *blocks; /* newest first; the oldest one is kept by reset */
	size_t used;                /* of the newest block */
	size_t allocated;           /* by all blocks */
	size_t limit;
	bool full;
};

int ng_arena_create(struct ng_arena **arena, size_t limit_bytes)
{
	*arena = calloc(1, sizeof(**arena));
	if (!*arena)
		return -ENOMEM;
	(*arena)->limit = limit_bytes;
	return 0;
}

void ng_arena_reset(struct ng_arena *arena)
{
	while (arena->blocks && arena->blocks->next) {
		struct arena_block *newest = arena->blocks;

		arena->blocks = newest->next;
		arena->allocated -= newest->size;
		free(newest);
	}
	arena->used = 0;
	arena->full = false;
}

void ng_arena_destroy(struct ng_arena *arena)
{
	if (!arena)
		return;
	ng_arena_reset(arena);
	free(arena->blocks);
	free(arena);
}

bool ng_arena_is_full(const struct ng_arena *arena)
{
	return arena->full;
}

static bool block_add(struct ng_arena *arena, size_t n)
{
	size_t left = arena->limit - arena->allocated;
	size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES;
	struct arena_block *block;

	if (size > left)
		size = left;
	if (n > size)
		return false;
	block = malloc(sizeof(*block) + size);
	if (!block)
		return false;
	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	arena->allocated += size;
	arena->used = 0;
	return true;
}

void *ng_arena_alloc(struct ng_arena *arena, size_t n)
{
	char *start;

	if (n > arena->limit)
		goto full;
	n = (n + 15) & ~(size_t)15;
	if (!arena->blocks || n > arena->blocks->size - arena->used) {
		if (!block_add(arena, n))
			goto full;
	}
	start = arena->blocks->bytes + arena->used;
	arena->used += n;
	return memset(start, 0, n);

full:
	arena->full = true;
	return NULL;
}

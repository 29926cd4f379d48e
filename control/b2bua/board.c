/* The board: seqlocked slots that the SIP thread writes and everyone reads. */
#include "control/b2bua/board.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One table: `slots` slots of `words` 64-bit words after a version word. Even = stable. A slot is
 * in use when the first word of its content is not 0 (both views begin with a text that is never
 * empty). */
struct table {
	_Atomic uint64_t *slot;
	uint32_t *free; /* stack of free slot numbers; writer only */
	uint32_t free_count;
	uint32_t slots;
	uint32_t words;
	_Atomic uint32_t used_max; /* slots beyond were never used; relaxed, grows only */
};

struct board {
	struct table calls;
	struct table registrations;
	struct board_counters counters;
};

_Static_assert(sizeof(struct call_view) % 8 == 0, "whole words");
_Static_assert(sizeof(struct registration_view) % 8 == 0, "whole words");

#define VIEW_WORDS_MAX                                                                             \
	((sizeof(struct registration_view) > sizeof(struct call_view)                              \
		  ? sizeof(struct registration_view)                                               \
		  : sizeof(struct call_view)) /                                                    \
	 8)

static int table_init(struct table *table, uint32_t slots, size_t view_bytes)
{
	table->slots = slots;
	table->words = (uint32_t)(view_bytes / 8);
	table->slot = calloc((size_t)slots * (table->words + 1), sizeof(*table->slot));
	table->free = calloc(slots ? slots : 1, sizeof(*table->free));
	if (!table->slot || !table->free)
		return -ENOMEM;
	for (uint32_t i = 0; i < slots; i++)
		table->free[i] = slots - 1 - i;
	table->free_count = slots;
	return 0;
}

static void table_fini(struct table *table)
{
	free((void *)table->slot);
	free(table->free);
}

int board_create(struct board **board, uint32_t calls, uint32_t registrations)
{
	struct board *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	err = table_init(&b->calls, calls, sizeof(struct call_view));
	if (!err)
		err = table_init(&b->registrations, registrations,
				 sizeof(struct registration_view));
	if (err) {
		board_destroy(b);
		return err;
	}
	*board = b;
	return 0;
}

void board_destroy(struct board *board)
{
	if (!board)
		return;
	table_fini(&board->calls);
	table_fini(&board->registrations);
	free(board);
}

struct board_counters *board_counters(struct board *board)
{
	return &board->counters;
}

/* Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?" (2012), figure 6: the
 * words are atomics, ordered by a release fence here and an acquire fence in slot_read. */
static void slot_write(struct table *table, uint32_t at, const uint64_t *words)
{
	_Atomic uint64_t *slot = table->slot + (size_t)at * (table->words + 1);
	uint64_t version = atomic_load_explicit(slot, memory_order_relaxed);

	atomic_store_explicit(slot, version + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release); /* pairs with the acquire fence in slot_read */
	for (uint32_t i = 0; i < table->words; i++)
		atomic_store_explicit(slot + 1 + i, words ? words[i] : 0, memory_order_relaxed);
	/* pairs with the first load in slot_read */
	atomic_store_explicit(slot, version + 2, memory_order_release);
}

/* False when the slot is free. */
static bool slot_read(struct table *table, uint32_t at, uint64_t *words)
{
	_Atomic uint64_t *slot = table->slot + (size_t)at * (table->words + 1);
	uint64_t before, after;

	do {
		before = atomic_load_explicit(slot, memory_order_acquire);
		for (uint32_t i = 0; i < table->words; i++)
			words[i] = atomic_load_explicit(slot + 1 + i, memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		after = atomic_load_explicit(slot, memory_order_relaxed);
	} while (before != after || (before & 1));
	return words[0] != 0;
}

static bool table_next(struct table *table, uint32_t *at, void *view, size_t n)
{
	uint32_t used = atomic_load_explicit(&table->used_max, memory_order_relaxed);
	uint64_t words[VIEW_WORDS_MAX];

	while (*at < used) {
		if (slot_read(table, (*at)++, words)) {
			memcpy(view, words, n);
			return true;
		}
	}
	return false;
}

static void table_show(struct board *board, struct table *table, uint32_t *slot, const void *view,
		       size_t n)
{
	uint64_t words[VIEW_WORDS_MAX];

	if (*slot == BOARD_NO_SLOT) {
		if (table->free_count == 0) {
			atomic_fetch_add_explicit(&board->counters.board_full, 1,
						  memory_order_relaxed);
			return;
		}
		*slot = table->free[--table->free_count];
		if (*slot >= atomic_load_explicit(&table->used_max, memory_order_relaxed))
			atomic_store_explicit(&table->used_max, *slot + 1, memory_order_relaxed);
	}
	memcpy(words, view, n);
	slot_write(table, *slot, words);
}

static void table_hide(struct table *table, uint32_t *slot)
{
	if (*slot == BOARD_NO_SLOT)
		return;
	assert(*slot < table->slots && table->free_count < table->slots);
	slot_write(table, *slot, NULL);
	table->free[table->free_count++] = *slot;
	*slot = BOARD_NO_SLOT;
}

bool board_next_call(struct board *board, uint32_t *at, struct call_view *view)
{
	return table_next(&board->calls, at, view, sizeof(*view));
}

bool board_next_registration(struct board *board, uint32_t *at, struct registration_view *view)
{
	return table_next(&board->registrations, at, view, sizeof(*view));
}

bool board_find_call(struct board *board, const char *id, struct call_view *view)
{
	uint32_t at = 0;

	while (board_next_call(board, &at, view))
		if (strcmp(view->id, id) == 0)
			return true;
	return false;
}

void board_show_call(struct board *board, uint32_t *slot, const struct call_view *view)
{
	assert(view->id[0]);
	table_show(board, &board->calls, slot, view, sizeof(*view));
}

void board_show_registration(struct board *board, uint32_t *slot,
			     const struct registration_view *view)
{
	assert(view->aor[0]);
	table_show(board, &board->registrations, slot, view, sizeof(*view));
}

void board_hide_call(struct board *board, uint32_t *slot)
{
	table_hide(&board->calls, slot);
}

void board_hide_registration(struct board *board, uint32_t *slot)
{
	table_hide(&board->registrations, slot);
}

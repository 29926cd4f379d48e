/* The board: one writer, lock-free readers. */
#include "control/b2bua/board.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct call_view view_of(const char *id, uint64_t mark)
{
	struct call_view view;

	memset(&view, 0, sizeof(view));
	snprintf(view.id, sizeof(view.id), "%s", id);
	view.started_ns = view.ringing_ns = view.answered_ns = mark;
	return view;
}

static void slots_fill_and_are_used_again(void **state)
{
	struct board *board;
	struct call_view view, shown;
	uint32_t slot[4] = {BOARD_NO_SLOT, BOARD_NO_SLOT, BOARD_NO_SLOT, BOARD_NO_SLOT};
	uint32_t at = 0, seen = 0;
	char id[8];

	(void)state;
	assert_int_equal(board_create(&board, 3, 1), 0);
	for (int i = 0; i < 4; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		view = view_of(id, (uint64_t)i);
		board_show_call(board, &slot[i], &view);
	}
	assert_int_equal(slot[3], BOARD_NO_SLOT);
	assert_int_equal(board_counters(board)->board_full, 1);
	while (board_next_call(board, &at, &shown))
		seen++;
	assert_int_equal(seen, 3);
	board_hide_call(board, &slot[1]);
	assert_int_equal(slot[1], BOARD_NO_SLOT);
	assert_false(board_find_call(board, "c1", &shown));
	board_hide_call(board, &slot[1]);
	board_show_call(board, &slot[3], &view);
	assert_true(board_find_call(board, "c3", &shown));
	assert_int_equal(shown.answered_ns, 3);
	board_destroy(board);
}

struct readers {
	struct board *board;
	_Atomic bool stop;
	_Atomic uint64_t read;
	_Atomic uint64_t torn;
};

static void *reader(void *arg)
{
	struct readers *readers = arg;
	struct call_view view;

	while (!readers->stop) {
		uint32_t at = 0;

		while (board_next_call(readers->board, &at, &view)) {
			readers->read++;
			if (view.started_ns != view.ringing_ns ||
			    view.started_ns != view.answered_ns)
				readers->torn++;
		}
	}
	return NULL;
}

static void readers_never_see_half_a_view(void **state)
{
	struct readers readers = {0};
	uint32_t slot = BOARD_NO_SLOT;
	pthread_t thread;

	(void)state;
	assert_int_equal(board_create(&readers.board, 1, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, reader, &readers), 0);
	for (uint64_t i = 1; i < 200000 || (readers.read < 1000 && i < 50000000); i++) {
		struct call_view view = view_of("c", i);

		board_show_call(readers.board, &slot, &view);
		if (i % 16 == 0)
			board_hide_call(readers.board, &slot);
	}
	readers.stop = true;
	pthread_join(thread, NULL);
	assert_true(readers.read > 0);
	assert_int_equal(readers.torn, 0);
	board_destroy(readers.board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_fill_and_are_used_again),
		cmocka_unit_test(readers_never_see_half_a_view),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

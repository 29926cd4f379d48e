/* Live recordings: limits, ids, orphans; packed positions. */
#include "recorder/recording/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct recording *feed(struct recording_table *table, uint64_t number, uint16_t type,
			      const char *text)
{
	static uint64_t position = 64;
	struct spool_fork from = {.generation = 5};
	struct td_fork_record record = {.type = type,
					.recording = number,
					.payload_len = (uint32_t)strlen(text),
					.arrival_ns = 1000};

	return recording_table_feed(table, position += 8, 7, &from, &record, (const uint8_t *)text);
}

static int table_setup(void **state)
{
	struct recording_table *table;
	int error = recording_table_create(&table);

	*state = table;
	return error;
}

static int table_teardown(void **state)
{
	recording_table_destroy(*state);
	return 0;
}

static void a_full_table_refuses_and_counts(void **state)
{
	struct recording_table *table = *state;
	const struct recording_table_counters *counters = recording_table_counters(table);
	char text[64];

	for (uint64_t number = 0; number < RECORDINGS_MAX; number++) {
		snprintf(text, sizeof(text), "{\"recording_id\":\"r%u\"}", (unsigned int)number);
		feed(table, number, TD_FORK_START, text);
	}
	assert_int_equal(counters->live, RECORDINGS_MAX);
	assert_int_equal(counters->refused_full, 0);
	feed(table, RECORDINGS_MAX, TD_FORK_START, "{}");
	assert_int_equal(counters->refused_full, 1);
	assert_int_equal(counters->live, RECORDINGS_MAX);
	assert_null(recording_table_find(table, 5, RECORDINGS_MAX));
	recording_table_remove(table, recording_table_find(table, 5, 17));
	feed(table, RECORDINGS_MAX, TD_FORK_START, "{}");
	assert_non_null(recording_table_find(table, 5, RECORDINGS_MAX));
}

static void ids_that_are_no_names_are_replaced(void **state)
{
	static const char *const ids[] = {
		"",
		".",
		"..",
		".hidden",
		"-rf",
		"a/b",
		"../../x",
		"a b",
		"\\u00e4",
		"\\u0000",
		"x2345678901234567890123456789012345678901234567890123456789012345",
	};
	struct recording_table *table = *state;
	char text[256];

	for (uint32_t k = 0; k < sizeof(ids) / sizeof(ids[0]); k++) {
		const struct recording *recording;

		snprintf(text, sizeof(text), "{\"recording_id\":\"%s\"}", ids[k]);
		feed(table, k, TD_FORK_START, text);
		recording = recording_table_find(table, 5, k);
		assert_true(recording_id_is_valid(recording->id));
		assert_int_equal(strncmp(recording->id, "unnamed-5-", 10), 0);
	}
	feed(table, 100, TD_FORK_START, "{\"recording_id\":\"0190-A.b_c\"}");
	assert_string_equal(recording_table_find(table, 5, 100)->id, "0190-A.b_c");
	/* two files of one name would be one file */
	feed(table, 101, TD_FORK_START, "{\"recording_id\":\"0190-A.b_c\"}");
	assert_string_not_equal(recording_table_find(table, 5, 101)->id, "0190-A.b_c");
	assert_int_equal(recording_table_counters(table)->start_broken,
			 sizeof(ids) / sizeof(ids[0]) + 1);
}

static void records_without_a_start_and_behind_the_end_are_orphans(void **state)
{
	struct recording_table *table = *state;
	const struct recording_table_counters *counters = recording_table_counters(table);
	struct recording *ended;

	assert_null(feed(table, 1, TD_FORK_PACKET, "x"));
	assert_null(feed(table, 1, TD_FORK_END, "{}"));
	assert_int_equal(counters->orphans, 2);
	assert_null(feed(table, 1, TD_FORK_START, "{\"recording_id\":\"r\"}"));
	assert_null(feed(table, 1, TD_FORK_START, "{\"recording_id\":\"r\"}"));
	assert_int_equal(counters->start_again, 1);
	assert_null(feed(table, 1, TD_FORK_PACKET, "x"));
	ended = feed(table, 1, TD_FORK_END, "{\"reason\":\"st\\u0001op\"}");
	assert_non_null(ended);
	assert_int_equal(ended->state, RECORDING_ENDED);
	assert_string_equal(ended->reason, "st?op");
	assert_null(feed(table, 1, TD_FORK_PACKET, "x"));
	assert_int_equal(counters->orphans, 3);
	assert_int_equal(counters->live, 0);
	assert_int_equal(counters->ended, 1);
	assert_int_equal(ended->index.count, 4);
}

static void a_start_far_from_its_record_is_not_believed(void **state)
{
	struct recording_table *table = *state;
	char text[96];

	snprintf(text, sizeof(text), "{\"recording_id\":\"r\",\"started_ns\":%llu}",
		 1000ull + 3600ull * 1000000000ull);
	feed(table, 1, TD_FORK_START, text);
	assert_int_equal(recording_table_find(table, 5, 1)->started_ns, 1000);
}

static void positions_come_back_in_order(void **state)
{
	struct position_index index = {0};
	struct position_walk walk = {0};
	uint64_t positions[2000], seed = 9, position = 0;
	(void)state;

	for (int k = 0; k < 2000; k++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		position += 8 + (seed >> 40) % (k % 100 == 0 ? UINT64_C(1) << 40 : 4000) / 8 * 8;
		positions[k] = position;
		assert_int_equal(position_index_add(&index, position), 0);
	}
	for (int k = 0; k < 2000; k++)
		assert_int_equal(position_index_next(&index, &walk), positions[k]);
	assert_int_equal(position_index_next(&index, &walk), 0);
	assert_int_equal(index.count, 2000);
	assert_true(index.used < 2000 * 3);
	position_index_fini(&index);
}

int main(void)
{
#define TABLE_TEST(name) cmocka_unit_test_setup_teardown(name, table_setup, table_teardown)
	const struct CMUnitTest tests[] = {
		TABLE_TEST(a_full_table_refuses_and_counts),
		TABLE_TEST(ids_that_are_no_names_are_replaced),
		TABLE_TEST(records_without_a_start_and_behind_the_end_are_orphans),
		TABLE_TEST(a_start_far_from_its_record_is_not_believed),
		cmocka_unit_test(positions_come_back_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

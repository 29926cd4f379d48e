/*
 * The records tier, with SQLite and with a PostgreSQL of the test's own (left out where none is
 * installed): rows, queries, exactly once whatever fails when, stores that are away or frozen.
 */
#include "control/tiers/records_tier.h"

#include "dataplane/base/clock.h"
#include "tests/unit/tiers/fixture.h"
#include "tests/unit/tiers/postgres.h"

#include <libpq-fe.h>
#include <sqlite3.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RECEIVED_NS UINT64_C(1767322800000000000)

struct store {
	char directory[SCRATCH_MAX];
	char target[256];
	struct postgres *postgres; /* NULL = SQLite */
};

static struct postgres *server; /* one for all tests: starting it takes a second */

/* Past the code that is tested. */
static void store_execute(const struct store *store, const char *sql)
{
	if (store->postgres) {
		PGconn *connection = PQconnectdb(store->target);

		PQclear(PQexec(connection, sql));
		PQfinish(connection);
	} else {
		sqlite3 *db;

		sqlite3_open(store->target + strlen("sqlite:"), &db);
		assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(db);
	}
}

/* An empty store of one kind or the other. */
static int store_setup(void **state, bool postgres)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return -1;
	*state = store;
	scratch_make(store->directory);
	snprintf(store->target, sizeof(store->target), "sqlite:%s/records.db", store->directory);
	if (!postgres)
		return 0;
	store->postgres = server;
	snprintf(store->target, sizeof(store->target), "%s", postgres_target(server));
	store_execute(store, "DROP TABLE IF EXISTS cdr, recordings, tandem_migrations");
	return 0;
}

static int sqlite_setup(void **state)
{
	return store_setup(state, false);
}

static int postgres_setup(void **state)
{
	return store_setup(state, true);
}

static int store_teardown(void **state)
{
	struct store *store = *state;

	scratch_remove(store->directory);
	free(store);
	return 0;
}

static struct records *store_open(const struct store *store, bool read_only)
{
	struct records_options options = {.target = store->target, .read_only = read_only};
	char error[RECORDS_ERROR_MAX];
	struct records *records = NULL;
	int rc = records_open(&records, &options, error);

	if (rc < 0)
		print_error("%s: %s\n", store->target, error);
	assert_int_equal(rc, 0);
	return records;
}

static json_t *find(const struct store *store, const struct records_filter *filter)
{
	struct records *records = store_open(store, true);
	struct records_query query;
	json_t *rows = json_array();

	records_query_build(&query, filter);
	if (records->ops->find(records, &query, rows) < 0)
		fail_msg("%s", records->error);
	records_close(records);
	return rows;
}

static size_t count_rows(const struct store *store, enum records_table table)
{
	struct records_filter filter = {.table = table, .limit = RECORDS_LIMIT_MAX};
	json_t *rows = find(store, &filter);
	size_t count = json_array_size(rows);

	json_decref(rows);
	return count;
}

/* ---- rows and queries ---- */

static void a_row_comes_back_as_it_was_written(void **state)
{
	struct store *store = *state;
	struct records *records = store_open(store, false);
	struct cdr cdr =
		sample_cdr("01890a5d-ac96-774b-bcce-b302099a8057", "1001'; DROP TABLE cdr");
	struct records_row row = {RECORDS_CDR, &cdr};
	struct records_filter filter = {.table = RECORDS_CDR, .id = cdr.id};
	json_t *rows, *one;

	assert_int_equal(records->ops->write(records, &row, 1), 0);
	assert_int_equal(records->ops->ping(records), 0);
	records_close(records);
	rows = find(store, &filter);
	assert_int_equal(json_array_size(rows), 1);
	one = json_array_get(rows, 0);
	assert_string_equal(json_string_value(json_object_get(one, "caller")),
			    "1001'; DROP TABLE cdr");
	assert_string_equal(json_string_value(json_object_get(one, "caller_name")), "Zoë Müller");
	assert_string_equal(json_string_value(json_object_get(one, "started")),
			    "2026-01-02T03:00:00.000Z");
	assert_string_equal(json_string_value(json_object_get(one, "ended_by")), "callee");
	assert_int_equal(json_integer_value(json_object_get(one, "talk_ms")), 60500);
	assert_int_equal(json_integer_value(json_object_get(one, "duration_ms")), 65500);
	assert_int_equal(json_integer_value(json_object_get(one, "sip_status")), 200);
	assert_int_equal(json_integer_value(json_object_get(one, "caller_packets")), 3025);
	assert_int_equal(json_integer_value(json_object_get(one, "callee_bytes")), 519440);
	assert_null(json_object_get(one, "started_ns"));
	json_decref(rows);
}

static void queries_restrict_and_sort(void **state)
{
	struct store *store = *state;
	struct records *records = store_open(store, false);
	static const struct {
		struct records_filter filter;
		size_t count;
		const char *first;
	} cases[] = {
		{{.table = RECORDS_CDR}, 3, "c3"},
		{{.table = RECORDS_CDR, .limit = 2}, 2, "c3"},
		{{.table = RECORDS_CDR, .id = "c2"}, 1, "c2"},
		{{.table = RECORDS_CDR, .id = "c9"}, 0, NULL},
		{{.table = RECORDS_CDR, .number = "1002"}, 3, "c3"},
		{{.table = RECORDS_CDR, .number = "20"}, 1, "c2"},
		{{.table = RECORDS_CDR, .from_ns = RECEIVED_NS + NS_PER_S}, 2, "c3"},
		{{.table = RECORDS_CDR, .to_ns = RECEIVED_NS + 2 * NS_PER_S}, 2, "c2"},
		{{.table = RECORDS_CDR,
		  .from_ns = RECEIVED_NS + NS_PER_S,
		  .number = "1002",
		  .to_ns = RECEIVED_NS + 2 * NS_PER_S},
		 1,
		 "c2"},
		{{.table = RECORDS_RECORDING}, 1, "r1"},
		{{.table = RECORDS_RECORDING, .number = "20"}, 1, "r1"},
		{{.table = RECORDS_RECORDING, .number = "10"}, 0, NULL},
		{{.table = RECORDS_RECORDING, .call_id = "c2"}, 1, "r1"},
	};
	char *json = sample_receipt("r1", "c2");
	struct records_row rows[4];
	struct receipt *receipt;
	const char *reason;
	struct cdr cdrs[3];

	for (int i = 0; i < 3; i++) {
		cdrs[i] = sample_cdr((const char *[]){"c1", "c2", "c3"}[i],
				     (const char *[]){"10", "20", "30"}[i]);
		cdrs[i].started_ns = RECEIVED_NS + (uint64_t)i * NS_PER_S;
		rows[i] = (struct records_row){RECORDS_CDR, &cdrs[i]};
	}
	assert_int_equal(receipt_parse(&receipt, json, strlen(json), &reason), 0);
	rows[3] = (struct records_row){RECORDS_RECORDING, receipt_recording(receipt)};
	assert_int_equal(records->ops->write(records, rows, 4), 0);
	records_close(records);
	receipt_free(receipt);
	free(json);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *found = find(store, &cases[i].filter);

		if (json_array_size(found) != cases[i].count)
			print_error("case %zu: %zu rows\n", i, json_array_size(found));
		assert_int_equal(json_array_size(found), cases[i].count);
		if (cases[i].first)
			assert_string_equal(
				json_string_value(json_object_get(json_array_get(found, 0), "id")),
				cases[i].first);
		json_decref(found);
	}
}

static void the_same_id_is_one_row(void **state)
{
	struct store *store = *state;
	struct records *records = store_open(store, false);
	struct cdr cdr = sample_cdr("c1", "1001"), again = sample_cdr("c1", "another");
	struct records_row rows[] = {{RECORDS_CDR, &cdr}, {RECORDS_CDR, &again}};

	assert_int_equal(records->ops->write(records, rows, 2), 0);
	assert_int_equal(records->ops->write(records, rows + 1, 1), 0);
	records_close(records);
	assert_int_equal(count_rows(store, RECORDS_CDR), 1);
}

static void migrations_run_once_and_a_newer_schema_is_left_alone(void **state)
{
	struct store *store = *state;
	struct records_options options = {.target = store->target};
	char error[RECORDS_ERROR_MAX];
	struct records *records;

	records_close(store_open(store, false));
	records_close(store_open(store, false));
	store_execute(store, store->postgres ? "INSERT INTO tandem_migrations VALUES (99, 0)"
					     : "PRAGMA user_version = 99");
	assert_int_equal(records_open(&records, &options, error), -EPROTO);
	assert_non_null(strstr(error, "newer"));
}

static void a_reader_cannot_write(void **state)
{
	struct store *store = *state;
	struct cdr cdr = sample_cdr("c1", "1001");
	struct records_row row = {RECORDS_CDR, &cdr};
	struct records *reader;

	records_close(store_open(store, false));
	reader = store_open(store, true);
	if (store->postgres) /* SQLite's reader has no statement to write with */
		assert_true(reader->ops->write(reader, &row, 1) < 0);
	records_close(reader);
	assert_int_equal(count_rows(store, RECORDS_CDR), 0);
}

/* ---- the tier ---- */

struct tier_wait {
	struct records_tier *tier;
	uint64_t applied; /* wanted; 0 = look for an error */
};

static bool tier_reached(void *arg)
{
	struct tier_wait *wait = arg;
	struct records_tier_status status;

	records_tier_status(wait->tier, clock_real_ns(), &status);
	if (wait->applied == 0)
		return status.follower.error != 0;
	return status.follower.applied >= wait->applied && status.follower.lag_records == 0;
}

static void journal_calls(struct bench *bench, int from, int to)
{
	for (int i = from; i < to; i++) {
		char id[32];
		struct cdr cdr;
		char *receipt;

		snprintf(id, sizeof(id), "call-%06d", i);
		cdr = sample_cdr(id, "1001");
		journal_call(bench->journal, JOURNAL_CALL_STARTED, &cdr);
		assert_int_equal(journal_cdr(bench->journal, &cdr), 0);
		receipt = sample_receipt(id, id);
		assert_int_equal(journal_receipt(bench->journal, id, receipt, NULL), 0);
		free(receipt);
	}
}

static void open_tier(struct bench *bench, const struct store *store, struct records_tier **tier)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/journal", store->directory);
	bench_open(bench, path);
	assert_int_equal(records_tier_open(tier, bench->journal, store->target), 0);
}

static void journaled_calls_become_rows_once(void **state)
{
	struct store *store = *state;
	struct records_tier_status status;
	struct records_tier *tier;
	struct bench bench;
	char path[160];

	open_tier(&bench, store, &tier);
	journal_calls(&bench, 0, 300);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 600}));
	records_tier_status(tier, clock_real_ns(), &status);
	assert_int_equal(status.follower.applied, 600);
	assert_int_equal(status.follower.lag_ms, 0);
	assert_int_equal(status.refused, 0);
	assert_string_equal(status.error, "");
	records_tier_close(tier);
	bench_close(&bench);
	assert_int_equal(count_rows(store, RECORDS_CDR), 300);
	assert_int_equal(count_rows(store, RECORDS_RECORDING), 300);

	/* a crash between the store's commit and the cursor: everything is read again */
	snprintf(path, sizeof(path), "%s/journal/records.cursor", store->directory);
	assert_int_equal(unlink(path), 0);
	open_tier(&bench, store, &tier);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 600}));
	records_tier_close(tier);
	bench_close(&bench);
	assert_int_equal(count_rows(store, RECORDS_CDR), 300);
	assert_int_equal(count_rows(store, RECORDS_RECORDING), 300);

	/* and without one, nothing is */
	open_tier(&bench, store, &tier);
	journal_calls(&bench, 300, 301);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 2}));
	records_tier_status(tier, clock_real_ns(), &status);
	assert_int_equal(status.follower.applied, 2);
	records_tier_close(tier);
	bench_close(&bench);
	assert_int_equal(count_rows(store, RECORDS_CDR), 301);
}

static void what_is_appended_last_is_written_at_close(void **state)
{
	struct store *store = *state;
	struct records_tier *tier;
	struct bench bench;

	open_tier(&bench, store, &tier);
	journal_calls(&bench, 0, 5);
	records_tier_close(tier);
	bench_close(&bench);
	assert_int_equal(count_rows(store, RECORDS_CDR), 5);
}

static void a_row_that_the_store_refuses_holds_nobody_up(void **state)
{
	struct store *store = *state;
	struct records_tier_status status;
	struct records_tier *tier;
	struct bench bench;

	records_close(store_open(store, false));
	store_execute(store, store->postgres
				     ? "ALTER TABLE cdr ADD CHECK (id <> 'call-000001')"
				     : "CREATE TRIGGER t BEFORE INSERT ON cdr WHEN new.id ="
				       " 'call-000001' BEGIN SELECT RAISE(ABORT, 'no'); END");
	open_tier(&bench, store, &tier);
	journal_calls(&bench, 0, 3);
	assert_int_equal(journal_receipt(bench.journal, "bad", "{\"v\":1}", NULL), 0);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 7}));
	records_tier_status(tier, clock_real_ns(), &status);
	assert_int_equal(status.refused, 2);
	assert_int_equal(status.follower.error, 0);
	records_tier_close(tier);
	bench_close(&bench);
	assert_int_equal(count_rows(store, RECORDS_CDR), 2);
	assert_int_equal(count_rows(store, RECORDS_RECORDING), 3);
}

static void sqlite_that_cannot_be_opened_is_waited_for(void **state)
{
	struct store *store = *state;
	struct records_tier_status status;
	struct records_tier *tier;
	struct bench bench;
	char folder[128];

	snprintf(folder, sizeof(folder), "%s/later", store->directory);
	snprintf(store->target, sizeof(store->target), "sqlite:%s/records.db", folder);
	open_tier(&bench, store, &tier);
	journal_calls(&bench, 0, 10);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 0}));
	records_tier_status(tier, clock_real_ns(), &status);
	assert_true(status.follower.error < 0);
	assert_non_null(strstr(status.error, "sqlite"));
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 20}));
	records_tier_status(tier, clock_real_ns(), &status);
	assert_int_equal(status.follower.error, 0);
	assert_string_equal(status.error, "");
	records_tier_close(tier);
	bench_close(&bench);
	assert_int_equal(count_rows(store, RECORDS_CDR), 10);
}

static void a_locked_sqlite_is_waited_for(void **state)
{
	struct store *store = *state;
	struct records_tier *tier;
	struct bench bench;
	sqlite3 *db;

	records_close(store_open(store, false));
	sqlite3_open(store->target + 7, &db);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	open_tier(&bench, store, &tier);
	journal_calls(&bench, 0, 10);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 0}));
	sqlite3_close(db);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 20}));
	records_tier_close(tier);
	bench_close(&bench);
	assert_int_equal(count_rows(store, RECORDS_CDR), 10);
}

static void a_stopped_postgresql_is_waited_for(void **state)
{
	struct store *store = *state;
	struct records_tier_status status;
	struct records_tier *tier;
	struct bench bench;

	open_tier(&bench, store, &tier);
	journal_calls(&bench, 0, 5);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 10}));
	postgres_halt(store->postgres);
	journal_calls(&bench, 5, 10);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 0}));
	records_tier_status(tier, clock_real_ns() + NS_PER_S, &status);
	assert_in_range(status.follower.lag_records, 5, 15);
	assert_in_range(status.follower.lag_ms, 1000, 10000);
	assert_true(postgres_resume(store->postgres));
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 20}));
	records_tier_close(tier);
	bench_close(&bench);
	assert_int_equal(count_rows(store, RECORDS_CDR), 10);
}

static void a_frozen_postgresql_does_not_hold_up_the_end(void **state)
{
	struct store *store = *state;
	struct records_tier *tier;
	struct bench bench;
	uint64_t began_ns;

	open_tier(&bench, store, &tier);
	journal_calls(&bench, 0, 5);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 10}));
	postgres_freeze(store->postgres, true);
	journal_calls(&bench, 5, 10);
	loop_once(bench.loop, 100);
	began_ns = clock_mono_ns();
	records_tier_close(tier);
	bench_close(&bench);
	assert_true(clock_mono_ns() - began_ns < 6 * NS_PER_S);
	postgres_freeze(store->postgres, false);
	open_tier(&bench, store, &tier);
	assert_true(bench_until(&bench, tier_reached, &(struct tier_wait){tier, 10}));
	records_tier_close(tier);
	bench_close(&bench);
	assert_int_equal(count_rows(store, RECORDS_CDR), 10);
}

static void a_target_that_is_none_is_refused(void **state)
{
	struct store *store = *state;
	struct records_tier *tier = NULL;
	struct bench bench;

	assert_null(records_ops_for("mysql://x"));
	assert_null(records_ops_for("sqlite:"));
	assert_ptr_equal(records_ops_for("postgres://x"), &records_postgresql);
	bench_open(&bench, store->directory);
	assert_int_equal(records_tier_open(&tier, bench.journal, "mysql://x"), -EINVAL);
	assert_null(tier);
	bench_close(&bench);
}

static void the_file_is_not_for_everybody(void **state)
{
	struct store *store = *state;
	struct stat stat_of;

	records_close(store_open(store, false));
	assert_int_equal(stat(store->target + 7, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 07, 0);
}

#define SQLITE(test) cmocka_unit_test_setup_teardown(test, sqlite_setup, store_teardown)
#define POSTGRES(test)                                                                             \
	{                                                                                          \
		"postgresql: " #test, test, postgres_setup, store_teardown, NULL                   \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest sqlite_tests[] = {
		SQLITE(a_row_comes_back_as_it_was_written),
		SQLITE(queries_restrict_and_sort),
		SQLITE(the_same_id_is_one_row),
		SQLITE(migrations_run_once_and_a_newer_schema_is_left_alone),
		SQLITE(a_reader_cannot_write),
		SQLITE(journaled_calls_become_rows_once),
		SQLITE(what_is_appended_last_is_written_at_close),
		SQLITE(a_row_that_the_store_refuses_holds_nobody_up),
		SQLITE(sqlite_that_cannot_be_opened_is_waited_for),
		SQLITE(a_locked_sqlite_is_waited_for),
		SQLITE(a_target_that_is_none_is_refused),
		SQLITE(the_file_is_not_for_everybody),
	};
	const struct CMUnitTest postgres_tests[] = {
		POSTGRES(a_row_comes_back_as_it_was_written),
		POSTGRES(queries_restrict_and_sort),
		POSTGRES(the_same_id_is_one_row),
		POSTGRES(migrations_run_once_and_a_newer_schema_is_left_alone),
		POSTGRES(a_reader_cannot_write),
		POSTGRES(journaled_calls_become_rows_once),
		POSTGRES(what_is_appended_last_is_written_at_close),
		POSTGRES(a_row_that_the_store_refuses_holds_nobody_up),
		POSTGRES(a_stopped_postgresql_is_waited_for),
		POSTGRES(a_frozen_postgresql_does_not_hold_up_the_end),
	};

	int failed;

	if (argc < 2 || strcmp(argv[1], "postgresql") != 0)
		return cmocka_run_group_tests(sqlite_tests, NULL, NULL);
	if (!postgres_is_installed()) {
		puts("skipped: no PostgreSQL server is installed");
		return 77;
	}
	server = postgres_start();
	if (!server) {
		puts("the PostgreSQL server does not start");
		return 1;
	}
	failed = cmocka_run_group_tests(postgres_tests, NULL, NULL);
	postgres_destroy(server);
	return failed;
}

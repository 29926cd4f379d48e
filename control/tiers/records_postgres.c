/*
 * Records in PostgreSQL. Every wait is ours (non-blocking libpq and poll), so that a server that
 * hangs costs at most the time limit, and a stop is seen at once. A batch travels as one JSON text
 * per table.
 */
#include "control/tiers/records.h"

#include "dataplane/base/clock.h"

#include <libpq-fe.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_DEFAULT_MS 10000
#define POLL_SLICE_MS      100          /* between two looks at the interruption */
#define MIGRATION_LOCK     "7236854201" /* of this program among advisory locks */
#define OID_INT8           20
#define OID_INT2           21
#define OID_INT4           23

struct postgres_records {
	struct records base;
	PGconn *connection;
	uint64_t deadline_ms;
};

static struct postgres_records *from_base(struct records *records)
{
	return (struct postgres_records *)records;
}

static void start_clock(struct postgres_records *records)
{
	uint32_t limit_ms = records->base.options.timeout_ms;

	records->deadline_ms =
		clock_mono_ns() / NS_PER_MS + (limit_ms ? limit_ms : TIMEOUT_DEFAULT_MS);
}

/* One line of text without its end; libpq's texts have several. */
static int fail(struct postgres_records *records, const char *text, int rc)
{
	char *end;

	snprintf(records->base.error, sizeof(records->base.error), "postgresql: %s", text);
	end = strpbrk(records->base.error, "\r\n");
	if (end)
		*end = '\0';
	return rc;
}

/* Waits for the connection's socket. 0, -ETIMEDOUT, -EINTR when told to stop. */
static int wait_for(struct postgres_records *records, short events)
{
	const struct records_options *options = &records->base.options;
	struct pollfd watch = {.fd = PQsocket(records->connection), .events = events};

	for (;;) {
		uint64_t now = clock_mono_ns() / NS_PER_MS;

		if (options->is_interrupted && options->is_interrupted(options->interrupted_arg))
			return fail(records, "stopped", -EINTR);
		if (now >= records->deadline_ms)
			return fail(records, "no answer in time", -ETIMEDOUT);
		if (poll(&watch, 1, POLL_SLICE_MS) > 0)
			return 0;
	}
}

/* ---- statements ---- */

static int send_all(struct postgres_records *records)
{
	for (;;) {
		int left = PQflush(records->connection);
		int rc;

		if (left == 0)
			return 0;
		if (left < 0)
			return fail(records, PQerrorMessage(records->connection), -ECONNRESET);
		rc = wait_for(records, POLLIN | POLLOUT);
		if (rc < 0)
			return rc;
		if (!PQconsumeInput(records->connection))
			return fail(records, PQerrorMessage(records->connection), -ECONNRESET);
	}
}

/* Class 22 and 23 of the SQLSTATE speak of the row, class 54 of its size; the rest of the server.
 */
static int judge(struct postgres_records *records, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		return 0;
	default:
		fail(records, PQresultErrorMessage(result), -EIO);
	}
	if (state && (memcmp(state, "22", 2) == 0 || memcmp(state, "23", 2) == 0 ||
		      memcmp(state, "54", 2) == 0))
		return -EBADMSG;
	return -EIO;
}

/* All results of what was sent; the last one is handed over when wanted. */
static int take_results(struct postgres_records *records, PGresult **wanted)
{
	int rc = 0;

	for (;;) {
		PGresult *result;

		while (PQisBusy(records->connection)) {
			int waited = wait_for(records, POLLIN);

			if (waited < 0)
				return waited;
			if (!PQconsumeInput(records->connection))
				return fail(records, PQerrorMessage(records->connection),
					    -ECONNRESET);
		}
		result = PQgetResult(records->connection);
		if (!result)
			return rc;
		if (rc == 0)
			rc = judge(records, result);
		if (rc == 0 && wanted) {
			PQclear(*wanted);
			*wanted = result;
		} else {
			PQclear(result);
		}
	}
}

/* sql with parameters is one statement; without any it may be several. */
static int run(struct postgres_records *records, const char *sql, const char *const *parameters,
	       uint32_t count, PGresult **wanted)
{
	int sent, rc;

	if (PQstatus(records->connection) != CONNECTION_OK)
		return fail(records, "connection lost", -ECONNRESET);
	if (count > 0)
		sent = PQsendQueryParams(records->connection, sql, (int)count, NULL, parameters,
					 NULL, NULL, 0);
	else
		sent = PQsendQuery(records->connection, sql);
	if (!sent)
		return fail(records, PQerrorMessage(records->connection), -ECONNRESET);
	rc = send_all(records);
	return rc < 0 ? rc : take_results(records, wanted);
}

static int execute(struct postgres_records *records, const char *sql)
{
	return run(records, sql, NULL, 0, NULL);
}

/* ---- open ---- */

static int connect_server(struct postgres_records *records)
{
	PostgresPollingStatusType want = PGRES_POLLING_WRITING;

	records->connection = PQconnectStart(records->base.options.target);
	if (!records->connection)
		return -ENOMEM;
	if (PQstatus(records->connection) == CONNECTION_BAD)
		return fail(records, PQerrorMessage(records->connection), -ECONNREFUSED);
	while (want != PGRES_POLLING_OK) {
		int rc = wait_for(records, want == PGRES_POLLING_READING ? POLLIN : POLLOUT);

		if (rc < 0)
			return rc;
		want = PQconnectPoll(records->connection);
		if (want == PGRES_POLLING_FAILED)
			return fail(records, PQerrorMessage(records->connection), -ECONNREFUSED);
	}
	if (PQsetnonblocking(records->connection, 1) != 0)
		return fail(records, PQerrorMessage(records->connection), -ECONNRESET);
	return 0;
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

static int read_version(struct postgres_records *records, uint32_t *version)
{
	PGresult *result = NULL;
	int rc = run(records, "SELECT coalesce(max(version), 0) FROM tandem_migrations", NULL, 0,
		     &result);

	if (rc == 0 && result && PQntuples(result) == 1)
		*version = (uint32_t)strtoul(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return rc;
}

static int apply_migration(struct postgres_records *records, uint32_t version)
{
	char statement[160];
	int rc = execute(records, records_migrations[version]);

	snprintf(statement, sizeof(statement),
		 "INSERT INTO tandem_migrations (version, applied_ns) VALUES (%u, %llu)",
		 version + 1, (unsigned long long)clock_real_ns());
	return rc < 0 ? rc : execute(records, statement);
}

/* All in one transaction, one program at a time. */
static int migrate(struct postgres_records *records)
{
	uint32_t version = 0;
	int rc = execute(records, "BEGIN; SELECT pg_advisory_xact_lock(" MIGRATION_LOCK ");"
				  "CREATE TABLE IF NOT EXISTS tandem_migrations ("
				  " version BIGINT PRIMARY KEY, applied_ns BIGINT NOT NULL)");

	if (rc == 0)
		rc = read_version(records, &version);
	if (rc == 0 && version > records_migrations_count)
		rc = fail(records, "schema version is newer than this program", -EPROTO);
	for (; rc == 0 && version < records_migrations_count; version++)
		rc = apply_migration(records, version);
	return rc < 0 ? rc : execute(records, "COMMIT");
}

static void postgres_close(struct records *base)
{
	struct postgres_records *records = from_base(base);

	PQfinish(records->connection);
	free(records);
}

static int postgres_open(struct records **out, const struct records_options *options, char *error)
{
	struct postgres_records *records = calloc(1, sizeof(*records));
	int rc;

	if (!records)
		return -ENOMEM;
	records->base.ops = &records_postgresql;
	records->base.options = *options;
	start_clock(records);
	rc = connect_server(records);
	if (rc == 0) {
		PQsetNoticeReceiver(records->connection, ignore_notice, NULL);
		rc = execute(records, options->read_only ? "SET default_transaction_read_only = on"
							 : "SET statement_timeout = '30s';"
							   "SET synchronous_commit = on");
	}
	if (rc == 0 && !options->read_only)
		rc = migrate(records);
	if (rc < 0) {
		snprintf(error, RECORDS_ERROR_MAX, "%s", records->base.error);
		postgres_close(&records->base);
		return rc;
	}
	*out = &records->base;
	return 0;
}

/* ---- write ---- */

/* The rows of one table as a JSON array, to be freed; NULL without memory, "" without rows. */
static char *rows_json(enum records_table table, const struct records_row *rows, uint32_t count)
{
	const struct records_table_layout *layout = records_table_layout(table);
	json_t *array = json_array();
	char *text;

	for (uint32_t r = 0; array && r < count; r++) {
		json_t *object;

		if (rows[r].table != table)
			continue;
		object = json_object();
		for (uint32_t i = 0; i < layout->columns_count; i++) {
			int64_t number;
			const char *value =
				records_value(&layout->columns[i], rows[r].row, &number);

			json_object_set_new(object, layout->columns[i].name,
					    value ? json_string(value) : json_integer(number));
		}
		json_array_append_new(array, object);
	}
	text = json_array_size(array) > 0 ? json_dumps(array, JSON_COMPACT) : strdup("");
	json_decref(array);
	return text;
}

static int write_table(struct postgres_records *records, enum records_table table,
		       const struct records_row *rows, uint32_t count)
{
	const char *name = records_table_layout(table)->name;
	char *json = rows_json(table, rows, count);
	char columns[RECORDS_COLUMNS_MAX];
	char sql[2 * RECORDS_COLUMNS_MAX + 256];
	int rc = 0;

	if (!json)
		return -ENOMEM;
	records_columns_text(table, columns);
	snprintf(sql, sizeof(sql),
		 "INSERT INTO %s (%s) SELECT %s FROM json_populate_recordset(NULL::%s, $1::json)"
		 " ON CONFLICT (id) DO NOTHING",
		 name, columns, columns, name);
	if (json[0] != '\0')
		rc = run(records, sql, (const char *const *)&json, 1, NULL);
	free(json);
	return rc;
}

static int postgres_write(struct records *base, const struct records_row *rows, uint32_t count)
{
	struct postgres_records *records = from_base(base);
	int rc;

	start_clock(records);
	rc = execute(records, "BEGIN");
	for (int table = 0; rc == 0 && table < RECORDS_TABLES; table++)
		rc = write_table(records, (enum records_table)table, rows, count);
	if (rc == 0)
		return execute(records, "COMMIT");
	if (rc == -EBADMSG || rc == -EIO) {
		char error[RECORDS_ERROR_MAX];

		memcpy(error, base->error, sizeof(error));
		execute(records, "ROLLBACK");
		memcpy(base->error, error, sizeof(error));
	}
	return rc;
}

/* ---- find ---- */

static int add_row(const PGresult *result, int r, json_t *rows)
{
	json_t *row = json_object();

	for (int i = 0; row && i < PQnfields(result); i++) {
		Oid type = PQftype(result, i);
		bool is_number = type == OID_INT8 || type == OID_INT4 || type == OID_INT2;
		const char *value = PQgetvalue(result, r, i);

		if (records_put_json(row, PQfname(result, i), is_number ? NULL : value,
				     is_number ? strtoll(value, NULL, 10) : 0) < 0) {
			json_decref(row);
			return -ENOMEM;
		}
	}
	return row && json_array_append_new(rows, row) == 0 ? 0 : -ENOMEM;
}

static int postgres_find(struct records *base, const struct records_query *query, json_t *rows)
{
	struct postgres_records *records = from_base(base);
	PGresult *result = NULL;
	int rc;

	start_clock(records);
	rc = run(records, query->sql, query->parameters, query->parameters_count, &result);
	for (int r = 0; rc == 0 && result && r < PQntuples(result); r++)
		rc = add_row(result, r, rows);
	PQclear(result);
	return rc;
}

static int postgres_ping(struct records *base)
{
	start_clock(from_base(base));
	return execute(from_base(base), "SELECT 1");
}

const struct records_ops records_postgresql = {
	.kind = "postgresql",
	.open = postgres_open,
	.close = postgres_close,
	.write = postgres_write,
	.find = postgres_find,
	.ping = postgres_ping,
};

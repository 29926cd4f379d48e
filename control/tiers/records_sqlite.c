/*
 * Records in SQLite: one file in WAL mode, written by the follower's connection, read by read-only
 * ones beside it. A commit is on disk when it returns (synchronous=FULL), because the journal's
 * cursor moves on the strength of it.
 */
#include "control/tiers/records.h"

#include "dataplane/base/clock.h"

#include <sqlite3.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 2000
#define PREFIX          "sqlite:"
#define OPS_PER_CHECK   10000 /* virtual machine steps between two looks at the interruption */

struct sqlite_records {
	struct records base;
	sqlite3 *db;
	sqlite3_stmt *inserts[RECORDS_TABLES];
	uint64_t deadline_ms;
};

static struct sqlite_records *from_base(struct records *records)
{
	return (struct sqlite_records *)records;
}

static int fail(struct sqlite_records *records, int code)
{
	snprintf(records->base.error, sizeof(records->base.error), "sqlite: %s",
		 records->db ? sqlite3_errmsg(records->db) : sqlite3_errstr(code));
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
		return -EBADMSG;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_INTERRUPT:
		return -EINTR;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_AUTH:
		return -EACCES;
	default:
		return -EIO;
	}
}

static int execute(struct sqlite_records *records, const char *sql)
{
	int code = sqlite3_exec(records->db, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : fail(records, code);
}

/* Leaves the first error's text in place. */
static void roll_back(struct sqlite_records *records)
{
	sqlite3_exec(records->db, "ROLLBACK", NULL, NULL, NULL);
}

/* A long answer is cut short by its time limit or by a stop. */
static int check_progress(void *arg)
{
	struct sqlite_records *records = arg;
	const struct records_options *options = &records->base.options;

	if (options->is_interrupted && options->is_interrupted(options->interrupted_arg))
		return 1;
	return clock_mono_ns() / NS_PER_MS > records->deadline_ms;
}

static void start_clock(struct sqlite_records *records)
{
	uint32_t limit_ms = records->base.options.timeout_ms;

	records->deadline_ms = clock_mono_ns() / NS_PER_MS + (limit_ms ? limit_ms : 10000);
}

/* ---- open ---- */

static int read_version(struct sqlite_records *records, uint32_t *version)
{
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(records->db, "PRAGMA user_version", -1, &statement, NULL);

	if (code != SQLITE_OK)
		return fail(records, code);
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*version = (uint32_t)sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return code == SQLITE_ROW ? 0 : fail(records, code);
}

/* Each migration is one transaction together with the version that it makes. */
static int migrate(struct sqlite_records *records)
{
	uint32_t version = 0;
	int rc = read_version(records, &version);

	if (rc == 0 && version > records_migrations_count) {
		snprintf(records->base.error, sizeof(records->base.error),
			 "sqlite: schema version %u is newer than this program", version);
		return -EPROTO;
	}
	for (; rc == 0 && version < records_migrations_count; version++) {
		char statement[64];

		snprintf(statement, sizeof(statement), "PRAGMA user_version = %u; COMMIT",
			 version + 1);
		rc = execute(records, "BEGIN IMMEDIATE");
		if (rc == 0)
			rc = execute(records, records_migrations[version]);
		if (rc == 0)
			rc = execute(records, statement);
		if (rc < 0)
			roll_back(records);
	}
	return rc;
}

static int prepare_insert(struct sqlite_records *records, enum records_table table)
{
	const struct records_table_layout *layout = records_table_layout(table);
	char columns[RECORDS_COLUMNS_MAX];
	char sql[2048];
	size_t n;
	int code;

	records_columns_text(table, columns);
	n = (size_t)snprintf(sql, sizeof(sql), "INSERT INTO %s (%s) VALUES (", layout->name,
			     columns);
	for (uint32_t i = 0; i < layout->columns_count; i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, "%s", i ? ",?" : "?");
	snprintf(sql + n, sizeof(sql) - n, ") ON CONFLICT (id) DO NOTHING");
	code = sqlite3_prepare_v3(records->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
				  &records->inserts[table], NULL);
	return code == SQLITE_OK ? 0 : fail(records, code);
}

static int open_writer(struct sqlite_records *records)
{
	int rc = execute(records, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");

	if (rc == 0)
		rc = migrate(records);
	for (int table = 0; rc == 0 && table < RECORDS_TABLES; table++)
		rc = prepare_insert(records, (enum records_table)table);
	return rc;
}

static void sqlite_close(struct records *base)
{
	struct sqlite_records *records = from_base(base);

	for (int table = 0; table < RECORDS_TABLES; table++)
		sqlite3_finalize(records->inserts[table]);
	sqlite3_close(records->db);
	free(records);
}

static int sqlite_open(struct records **out, const struct records_options *options, char *error)
{
	const char *path = options->target + strlen(PREFIX);
	struct sqlite_records *records = calloc(1, sizeof(*records));
	int flags = SQLITE_OPEN_NOMUTEX;
	int code, fd, rc = 0;

	if (!records)
		return -ENOMEM;
	records->base.ops = &records_sqlite;
	records->base.options = *options;
	if (!options->read_only) {
		/* who called whom is not for everybody: SQLite keeps the mode that it finds */
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
		if (fd >= 0)
			close(fd);
	}
	flags |= options->read_only ? SQLITE_OPEN_READONLY
				    : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	code = sqlite3_open_v2(path, &records->db, flags, NULL);
	if (code != SQLITE_OK) {
		rc = fail(records, code);
	} else {
		sqlite3_busy_timeout(records->db, BUSY_TIMEOUT_MS);
		sqlite3_progress_handler(records->db, OPS_PER_CHECK, check_progress, records);
		start_clock(records);
		if (!options->read_only)
			rc = open_writer(records);
	}
	if (rc < 0) {
		snprintf(error, RECORDS_ERROR_MAX, "%s", records->base.error);
		sqlite_close(&records->base);
		return rc;
	}
	*out = &records->base;
	return 0;
}

/* ---- write ---- */

static int insert(struct sqlite_records *records, const struct records_row *row)
{
	const struct records_table_layout *layout = records_table_layout(row->table);
	sqlite3_stmt *statement = records->inserts[row->table];
	int code = SQLITE_OK;

	for (uint32_t i = 0; code == SQLITE_OK && i < layout->columns_count; i++) {
		int64_t number;
		const char *text = records_value(&layout->columns[i], row->row, &number);

		if (text)
			code = sqlite3_bind_text(statement, (int)i + 1, text, -1, SQLITE_STATIC);
		else
			code = sqlite3_bind_int64(statement, (int)i + 1, number);
	}
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code != SQLITE_DONE)
		code = fail(records, code);
	else
		code = 0;
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return code;
}

static int sqlite_write(struct records *base, const struct records_row *rows, uint32_t count)
{
	struct sqlite_records *records = from_base(base);
	int rc;

	start_clock(records);
	rc = execute(records, "BEGIN IMMEDIATE");
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = insert(records, &rows[i]);
	if (rc == 0)
		rc = execute(records, "COMMIT");
	if (rc < 0)
		roll_back(records);
	return rc;
}

/* ---- find ---- */

static int add_row(sqlite3_stmt *statement, json_t *rows)
{
	json_t *row = json_object();

	for (int i = 0; row && i < sqlite3_column_count(statement); i++) {
		const char *text = NULL;

		if (sqlite3_column_type(statement, i) == SQLITE_TEXT)
			text = (const char *)sqlite3_column_text(statement, i);
		if (records_put_json(row, sqlite3_column_name(statement, i), text,
				     text ? 0 : sqlite3_column_int64(statement, i)) < 0) {
			json_decref(row);
			return -ENOMEM;
		}
	}
	return row && json_array_append_new(rows, row) == 0 ? 0 : -ENOMEM;
}

static int sqlite_find(struct records *base, const struct records_query *query, json_t *rows)
{
	struct sqlite_records *records = from_base(base);
	sqlite3_stmt *statement;
	int code, rc = 0;

	start_clock(records);
	code = sqlite3_prepare_v2(records->db, query->sql, -1, &statement, NULL);
	if (code != SQLITE_OK)
		return fail(records, code);
	for (uint32_t i = 0; i < query->parameters_count; i++)
		sqlite3_bind_text(statement, (int)i + 1, query->parameters[i], -1, SQLITE_STATIC);
	while (rc == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW)
		rc = add_row(statement, rows);
	if (rc == 0 && code != SQLITE_DONE)
		rc = fail(records, code);
	sqlite3_finalize(statement);
	return rc;
}

static int sqlite_ping(struct records *base)
{
	uint32_t version;

	start_clock(from_base(base));
	return read_version(from_base(base), &version);
}

const struct records_ops records_sqlite = {
	.kind = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.write = sqlite_write,
	.find = sqlite_find,
	.ping = sqlite_ping,
};

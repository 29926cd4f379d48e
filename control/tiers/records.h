/*
 * The records tier's store: SQLite or PostgreSQL behind five operations. A connection belongs to
 * one thread at a time; nothing here is for the SIP thread.
 */
#pragma once

#include "control/tiers/journal_record.h"
#include "control/tiers/receipt.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

#define RECORDS_LIMIT_MAX 1000 /* rows of one answer */

/* ---- tables as both stores know them ---- */

enum records_table { RECORDS_CDR, RECORDS_RECORDING, RECORDS_TABLES };

enum column_kind {
	COLUMN_TEXT,     /* const char * */
	COLUMN_U64,      /* uint64_t; beyond INT64_MAX is stored as INT64_MAX */
	COLUMN_U32,      /* uint32_t */
	COLUMN_ENDED_BY, /* enum ended_by, stored as its text */
};

struct records_column {
	const char *name;
	enum column_kind kind;
	size_t offset; /* in struct cdr or struct recording */
};

struct records_table_layout {
	const char *name;
	const struct records_column *columns;
	uint32_t columns_count;
};
const struct records_table_layout *records_table_layout(enum records_table table);

/* "id, caller, ..." into out, which RECORDS_COLUMNS_MAX bytes are enough for. */
#define RECORDS_COLUMNS_MAX 1024
void records_columns_text(enum records_table table, char out[RECORDS_COLUMNS_MAX]);

/* The value of a column: a text, or NULL and *number. */
const char *records_value(const struct records_column *column, const void *row, int64_t *number);

/* Numbered migrations: statements [0] brings version 0 to 1 and so on. The same text for both
 * stores. */
extern const char *const records_migrations[];
extern const uint32_t records_migrations_count;

/* ---- what is asked for ---- */

/* Newest first. Fields that are NULL or 0 do not restrict. */
struct records_filter {
	enum records_table table;
	const char *id;
	const char *number;  /* cdr: caller, callee or destination; recordings: of their CDR */
	const char *call_id; /* recordings */
	uint64_t from_ns;    /* started at or after */
	uint64_t to_ns;      /* started before */
	uint32_t limit;      /* 0 = 100 */
};

#define RECORDS_PARAMETERS_MAX 8
struct records_query {
	char sql[2048]; /* parameters are $1, $2, ... in the order of their first use */
	const char *parameters[RECORDS_PARAMETERS_MAX];
	uint32_t parameters_count;
	char numbers[2][24]; /* texts of from_ns and to_ns */
};
/* The filter's texts must outlive the query. */
void records_query_build(struct records_query *query, const struct records_filter *filter);

/* ---- the store ---- */

struct records;

struct records_row {
	enum records_table table;
	const void *row; /* struct cdr or struct recording */
};

struct records_options {
	const char *target;  /* "sqlite:PATH", "postgresql://…" or "postgres://…" */
	bool read_only;      /* for queries; makes and migrates nothing */
	uint32_t timeout_ms; /* longest wait for one answer; 0 = 10000 */
	/* Asked while waiting; true gives up with -EINTR. May be NULL. */
	bool (*is_interrupted)(void *interrupted_arg);
	void *interrupted_arg;
};

struct records_ops {
	const char *kind; /* "sqlite", "postgresql" */
	/* 0 or -errno with a sentence in error (RECORDS_ERROR_MAX). */
	int (*open)(struct records **records, const struct records_options *options, char *error);
	void (*close)(struct records *records);
	/* Writes the rows in one transaction; rows whose id is there already are left as they are.
	 * 0; -EBADMSG: the store refuses what a row says, nothing was written; -errno: away, full,
	 * slow, ...: nothing was written, or all of it. */
	int (*write)(struct records *records, const struct records_row *rows, uint32_t count);
	/* Appends an object per row to the array: keys are the columns' names, those of columns
	 * named *_ns lose the "_ns" and become RFC 3339 texts, null for 0. 0 or -errno. */
	int (*find)(struct records *records, const struct records_query *query, json_t *rows);
	/* 0 when the store answers. */
	int (*ping)(struct records *records);
};

#define RECORDS_ERROR_MAX 256

/* What every kind of store begins with. */
struct records {
	const struct records_ops *ops;
	struct records_options options;
	char error[RECORDS_ERROR_MAX]; /* of the last call that failed; without passwords */
};

extern const struct records_ops records_sqlite;
extern const struct records_ops records_postgresql;

/* The operations for a target; NULL when it names neither. */
const struct records_ops *records_ops_for(const char *target);
/* Opens by target; the options' texts must outlive it. On failure error has a sentence. */
int records_open(struct records **records, const struct records_options *options,
		 char error[RECORDS_ERROR_MAX]);
void records_close(struct records *records); /* NULL is fine */

/* For the stores: adds column `name` with a text value or, when text is NULL, a number. 0 or
 * -ENOMEM. */
int records_put_json(json_t *row, const char *name, const char *text, int64_t number);

/* What both stores share: choosing one, values of columns, the text of queries, rows as JSON. */
#include "control/tiers/records.h"

#include "dataplane/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LIMIT_DEFAULT 100

const struct records_ops *records_ops_for(const char *target)
{
	if (strncmp(target, "sqlite:", 7) == 0 && target[7] != '\0')
		return &records_sqlite;
	if (strncmp(target, "postgresql://", 13) == 0 || strncmp(target, "postgres://", 11) == 0)
		return &records_postgresql;
	return NULL;
}

int records_open(struct records **records, const struct records_options *options,
		 char error[RECORDS_ERROR_MAX])
{
	const struct records_ops *ops = records_ops_for(options->target);

	error[0] = '\0';
	if (!ops) {
		snprintf(error, RECORDS_ERROR_MAX,
			 "records target is neither sqlite:PATH nor postgresql://...");
		return -EINVAL;
	}
	return ops->open(records, options, error);
}

void records_close(struct records *records)
{
	if (records)
		records->ops->close(records);
}

void records_columns_text(enum records_table table, char out[RECORDS_COLUMNS_MAX])
{
	const struct records_table_layout *layout = records_table_layout(table);
	size_t used = 0;

	for (uint32_t i = 0; i < layout->columns_count; i++) {
		used += (size_t)snprintf(out + used, RECORDS_COLUMNS_MAX - used, "%s%s",
					 i ? ", " : "", layout->columns[i].name);
		assert(used < RECORDS_COLUMNS_MAX);
	}
}

const char *records_value(const struct records_column *column, const void *row, int64_t *number)
{
	const char *member = (const char *)row + column->offset;
	enum ended_by ended_by;
	const char *text;
	uint64_t u64;
	uint32_t u32;

	*number = 0;
	switch (column->kind) {
	case COLUMN_TEXT:
		memcpy(&text, member, sizeof(text));
		return text ? text : "";
	case COLUMN_ENDED_BY:
		memcpy(&ended_by, member, sizeof(ended_by));
		return ended_by_text(ended_by);
	case COLUMN_U64:
		memcpy(&u64, member, sizeof(u64));
		*number = u64 > INT64_MAX ? INT64_MAX : (int64_t)u64;
		return NULL;
	case COLUMN_U32:
		memcpy(&u32, member, sizeof(u32));
		*number = u32;
		return NULL;
	}
	return "";
}

/* ---- queries ---- */

static void __attribute__((format(printf, 2, 3)))
add_sql(struct records_query *query, const char *format, ...)
{
	size_t used = strlen(query->sql);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(query->sql + used, sizeof(query->sql) - used, format, arguments);
	va_end(arguments);
}

static uint32_t add_parameter(struct records_query *query, const char *text)
{
	query->parameters[query->parameters_count] = text;
	return ++query->parameters_count;
}

void records_query_build(struct records_query *query, const struct records_filter *filter)
{
	const struct records_table_layout *layout = records_table_layout(filter->table);
	uint32_t limit = filter->limit ? filter->limit : LIMIT_DEFAULT;
	char columns[RECORDS_COLUMNS_MAX];
	uint32_t n;

	memset(query, 0, sizeof(*query));
	records_columns_text(filter->table, columns);
	add_sql(query, "SELECT %s", columns);
	if (filter->table == RECORDS_CDR)
		add_sql(query, ", (ended_ns - started_ns) / 1000000 AS duration_ms,"
			       " CASE WHEN answered_ns > 0 THEN (ended_ns - answered_ns) / 1000000"
			       " ELSE 0 END AS talk_ms");
	add_sql(query, " FROM %s WHERE 1 = 1", layout->name);
	if (filter->id)
		add_sql(query, " AND id = $%u", add_parameter(query, filter->id));
	if (filter->from_ns) {
		snprintf(query->numbers[0], sizeof(query->numbers[0]), "%llu",
			 (unsigned long long)filter->from_ns);
		add_sql(query, " AND started_ns >= $%u", add_parameter(query, query->numbers[0]));
	}
	if (filter->to_ns) {
		snprintf(query->numbers[1], sizeof(query->numbers[1]), "%llu",
			 (unsigned long long)filter->to_ns);
		add_sql(query, " AND started_ns < $%u", add_parameter(query, query->numbers[1]));
	}
	if (filter->number) {
		n = add_parameter(query, filter->number);
		if (filter->table == RECORDS_CDR)
			add_sql(query, " AND (caller = $%u OR callee = $%u OR destination = $%u)",
				n, n, n);
		else
			add_sql(query,
				" AND call_id IN (SELECT id FROM cdr WHERE caller = $%u OR callee ="
				" $%u OR destination = $%u)",
				n, n, n);
	}
	if (filter->call_id && filter->table == RECORDS_RECORDING)
		add_sql(query, " AND call_id = $%u", add_parameter(query, filter->call_id));
	add_sql(query, " ORDER BY started_ns DESC, id DESC LIMIT %u",
		limit > RECORDS_LIMIT_MAX ? RECORDS_LIMIT_MAX : limit);
}

/* ---- rows ---- */

int records_put_json(json_t *row, const char *name, const char *text, int64_t number)
{
	size_t n = strlen(name);
	char key[64], time[CLOCK_TEXT_MAX];
	json_t *value;

	if (text) {
		value = json_string(text);
	} else if (n > 3 && n < sizeof(key) && strcmp(name + n - 3, "_ns") == 0) {
		memcpy(key, name, n - 3);
		key[n - 3] = '\0';
		name = key;
		value = number > 0 ? json_string(clock_text((uint64_t)number, time)) : json_null();
	} else {
		value = json_integer(number);
	}
	return json_object_set_new(row, name, value) == 0 ? 0 : -ENOMEM;
}

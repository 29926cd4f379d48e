/*
 * Endpoints about what is over: CDRs and recordings, from the records tier through a read-only
 * connection. A tier that is away is a 503, for this request only.
 */
#include "control/admin/server.h"

#include "control/admin/time_text.h"
#include "control/tiers/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PARAMETER_MAX 128

/* ---- the records tier ---- */

static int lock_records(struct admin *admin)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += RECORDS_WAIT_MS / 1000;
	return -pthread_mutex_timedlock(&admin->records_lock, &until);
}

static int find_once(struct admin *admin, const struct records_query *query, json_t *rows,
		     char error[RECORDS_ERROR_MAX])
{
	struct records_options options = {
		.target = admin->options.records_target,
		.read_only = true,
		.timeout_ms = RECORDS_WAIT_MS,
	};
	int rc;

	if (!admin->records) {
		rc = records_open(&admin->records, &options, error);
		if (rc < 0)
			return rc;
	}
	rc = admin->records->ops->find(admin->records, query, rows);
	if (rc < 0) {
		memcpy(error, admin->records->error, RECORDS_ERROR_MAX);
		records_close(admin->records);
		admin->records = NULL;
	}
	return rc;
}

/* The rows that the filter finds, or NULL with the request failed. */
static json_t *find_rows(struct request *request, const struct records_filter *filter)
{
	struct admin *admin = request->admin;
	char error[RECORDS_ERROR_MAX] = "";
	struct records_query query;
	json_t *rows = json_array();
	bool fresh;
	int rc;

	records_query_build(&query, filter);
	rc = lock_records(admin);
	if (rc < 0) {
		json_decref(rows);
		request->retry_after_s = 5;
		request_fail(request, 503, "the records tier is busy");
		return NULL;
	}
	fresh = admin->records == NULL;
	rc = find_once(admin, &query, rows, error);
	if (rc < 0 && rc != -ETIMEDOUT && !fresh) {
		/* the connection may have died since it was last used */
		json_array_clear(rows);
		rc = find_once(admin, &query, rows, error);
	}
	pthread_mutex_unlock(&admin->records_lock);
	if (rc < 0) {
		json_decref(rows);
		request->retry_after_s = 5;
		request_fail(request, 503, "the records tier does not answer: %s", error);
		return NULL;
	}
	return rows;
}

/* ---- parameters ---- */

/* The parameter's value, NULL when it is absent or empty; false, and the request has failed, when
 * it is no text for a database. */
static bool get_parameter(struct request *request, const char *name, const char **value)
{
	const char *text =
		MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
	size_t n = text ? strlen(text) : 0;

	*value = n > 0 ? text : NULL;
	if (n <= PARAMETER_MAX && utf8_is_clean(text, n))
		return true;
	request_fail(request, 400, "%s is longer than %d bytes or no UTF-8", name, PARAMETER_MAX);
	return false;
}

static bool get_time(struct request *request, const char *name, uint64_t *ns)
{
	const char *value;

	if (!get_parameter(request, name, &value))
		return false;
	if (!value || time_text_parse(value, clock_real_ns(), ns) == 0)
		return true;
	request_fail(request, 400,
		     "%s is no time: 2026-01-02T03:04:05Z, 2026-01-02, seconds since 1970 or -2h",
		     name);
	return false;
}

static bool get_limit(struct request *request, uint32_t *limit)
{
	const char *value;
	char *end;
	unsigned long number;

	if (!get_parameter(request, "limit", &value))
		return false;
	if (!value)
		return true;
	number = strtoul(value, &end, 10);
	if (value[0] >= '0' && value[0] <= '9' && *end == '\0' && number >= 1 &&
	    number <= RECORDS_LIMIT_MAX) {
		*limit = (uint32_t)number;
		return true;
	}
	request_fail(request, 400, "limit is no number from 1 to %d", RECORDS_LIMIT_MAX);
	return false;
}

static void answer_list(struct request *request, enum records_table table, const char *name)
{
	struct records_filter filter = {.table = table};
	json_t *rows;

	if (!get_limit(request, &filter.limit) || !get_time(request, "from", &filter.from_ns) ||
	    !get_time(request, "to", &filter.to_ns) ||
	    !get_parameter(request, "number", &filter.number) ||
	    !get_parameter(request, "call", &filter.call_id))
		return;
	rows = find_rows(request, &filter);
	if (!rows)
		return;
	for (size_t i = 0; table == RECORDS_RECORDING && i < json_array_size(rows); i++)
		json_object_del(json_array_get(rows, i), "receipt"); /* long; see the single one */
	request->body = json_pack("{s:o}", name, rows);
}

/* The one row with the request's id, or NULL with the request failed. */
static json_t *find_row(struct request *request, enum records_table table, const char *what)
{
	struct records_filter filter = {.table = table, .id = request->id, .limit = 1};
	json_t *rows, *row;

	if (!utf8_is_clean(request->id, strlen(request->id))) {
		request_fail(request, 400, "the id is no UTF-8");
		return NULL;
	}
	rows = find_rows(request, &filter);
	if (!rows)
		return NULL;
	row = json_incref(json_array_get(rows, 0));
	json_decref(rows);
	if (!row)
		request_fail(request, 404, "there is no %s with this id", what);
	return row;
}

/* ---- endpoints ---- */

void get_cdrs(struct request *request)
{
	answer_list(request, RECORDS_CDR, "cdrs");
}

void get_cdr(struct request *request)
{
	request->body = find_row(request, RECORDS_CDR, "CDR");
}

void get_recordings(struct request *request)
{
	answer_list(request, RECORDS_RECORDING, "recordings");
}

/* With its receipt as the recorder sent it. */
void get_recording(struct request *request)
{
	json_t *row = find_row(request, RECORDS_RECORDING, "recording");
	const char *text = json_string_value(json_object_get(row, "receipt"));

	if (text)
		json_object_set_new(row, "receipt", json_loads(text, 0, NULL));
	request->body = row;
}

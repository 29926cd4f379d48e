/*
 * GET /v1/status: what control knows of itself and of its tiers, and a list of sentences about what
 * is wrong, which is empty when all is well.
 */
#include "control/admin/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LAG_LIMIT_MS 60000 /* a tier further behind than this is a problem */

/* What only the SIP thread may read. */
struct call_thread {
	const struct admin_options *options;
	json_t *counters;
	bool connected;
};

static void add_counter(void *arg, const char *name, uint64_t value)
{
	json_object_set_new(arg, name, json_integer((json_int_t)value));
}

static void read_call_thread(void *arg)
{
	struct call_thread *thread = arg;
	const struct admin_options *options = thread->options;

	if (options->each_counter)
		options->each_counter(options->arg, add_counter, thread->counters);
	if (options->is_dataplane_connected)
		thread->connected = options->is_dataplane_connected(options->arg);
}

static void __attribute__((format(printf, 2, 3)))
add_problem(json_t *problems, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	json_array_append_new(problems, json_string(text));
}

static json_t *calls_json(struct board *board)
{
	const struct board_counters *counters = board_counters(board);
#define GET(name) ((json_int_t)atomic_load_explicit(&counters->name, memory_order_relaxed))

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "live", GET(calls_live), "peak",
			 GET(calls_peak), "total", GET(calls), "answered", GET(calls_answered),
			 "failed", GET(calls_failed), "refused", GET(calls_refused),
			 "recording_failed", GET(recording_failed));
}

static json_t *registrations_json(struct board *board)
{
	const struct board_counters *counters = board_counters(board);

	return json_pack("{s:I, s:I, s:I}", "live", GET(registrations), "registers", GET(registers),
			 "auth_failed", GET(auth_failed));
#undef GET
}

static json_t *follower_json(const struct follower_status *status)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "position",
			 (json_int_t)status->position, "lag_records",
			 (json_int_t)status->lag_records, "lag_ms", (json_int_t)status->lag_ms,
			 "applied", (json_int_t)status->applied, "skipped",
			 (json_int_t)status->skipped, "failures", (json_int_t)status->failures,
			 "connected", status->error == 0);
}

static json_t *journal_json(const struct admin_options *options, json_t *problems)
{
	struct journal_status status;

	if (!options->journal)
		return json_null();
	journal_status(options->journal, &status);
	if (status.error < 0)
		add_problem(problems, "journal: %s", strerror(-status.error));
	if (status.refused > 0)
		add_problem(problems, "journal: %llu records could not be taken since start",
			    (unsigned long long)status.refused);
	if (status.state.error < 0)
		add_problem(problems, "checkpoint of live state: %s",
			    strerror(-status.state.error));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o}", "appended",
			 (json_int_t)status.appended, "refused", (json_int_t)status.refused, "end",
			 (json_int_t)status.end, "durable", (json_int_t)status.durable, "oldest",
			 (json_int_t)status.oldest, "disk_bytes", (json_int_t)status.disk_bytes,
			 "error", status.error ? strerror(-status.error) : "", "state",
			 follower_json(&status.state));
}

static json_t *records_json(const struct admin_options *options, json_t *problems)
{
	struct records_tier_status status;
	json_t *object;

	if (!options->records)
		return json_null();
	records_tier_status(options->records, clock_real_ns(), &status);
	if (status.follower.error < 0)
		add_problem(problems, "records tier is away: %s",
			    status.error[0] ? status.error : strerror(-status.follower.error));
	if (status.follower.lag_ms > LAG_LIMIT_MS)
		add_problem(problems, "records tier is %llu s behind",
			    (unsigned long long)status.follower.lag_ms / 1000);
	if (status.refused > 0)
		add_problem(problems, "records tier refused %llu records since start",
			    (unsigned long long)status.refused);
	object = follower_json(&status.follower);
	json_object_set_new(object, "kind", json_string(status.kind));
	json_object_set_new(object, "refused", json_integer((json_int_t)status.refused));
	json_object_set_new(object, "error", json_string(status.error));
	return object;
}

static json_t *receipts_json(const struct admin_options *options)
{
	struct receipts_status status;

	if (!options->receipts)
		return json_null();
	receipts_status(options->receipts, &status);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "received", (json_int_t)status.received,
			 "acked", (json_int_t)status.acked, "bad", (json_int_t)status.bad,
			 "refused", (json_int_t)status.refused, "connections",
			 (json_int_t)status.connections, "turned_away",
			 (json_int_t)status.turned_away);
}

void get_status(struct request *request)
{
	const struct admin_options *options = &request->admin->options;
	struct call_thread thread = {.options = options, .counters = json_object()};
	json_t *problems = json_array();
	char started[CLOCK_TEXT_MAX];
	uint64_t uptime_s = (clock_real_ns() - request->admin->started_ns) / NS_PER_S;
	int rc = loop_ask(options->loop, read_call_thread, &thread, ASK_WAIT_MS);

	if (rc < 0)
		add_problem(problems, "call thread does not answer: %s", strerror(-rc));
	else if (options->is_dataplane_connected && !thread.connected)
		add_problem(problems, "dataplane is not connected");
	request->body = json_pack("{s:s, s:s, s:I, s:o, s:o, s:{s:b}, s:o, s:o, s:o, s:o}",
				  "version", options->version, "started",
				  clock_text(request->admin->started_ns, started), "uptime_s",
				  (json_int_t)uptime_s, "calls", calls_json(options->board),
				  "registrations", registrations_json(options->board), "dataplane",
				  "connected", (int)thread.connected, "journal",
				  journal_json(options, problems), "records",
				  records_json(options, problems), "receipts",
				  receipts_json(options), "counters", thread.counters);
	if (!request->body) {
		json_decref(problems);
		request_fail(request, 500, "out of memory");
		return;
	}
	json_object_set_new(request->body, "problems", problems);
}

/* The endpoint about what was said in a call. */
#include "control/admin/server.h"

#include "control/tiers/utf8.h"

#include <stdio.h>
#include <string.h>

struct trace_question {
	const struct admin_options *options;
	const char *key;
	struct trace_view *views;
	int count;
};

static void run_trace(void *arg)
{
	struct trace_question *question = arg;

	question->count =
		question->options->trace(question->options->arg, question->key, &question->views);
}

/* "INVITE", "180 Ringing", "offer", "ok". */
static void summary_of(const struct trace_view *view, char *out, size_t size)
{
	const char *at = view->text;
	size_t n = strcspn(at, "\r\n");

	if (view->kind == TRACE_NG_REQUEST || view->kind == TRACE_NG_REPLY) {
		const char *key = view->kind == TRACE_NG_REQUEST ? "command: " : "result: ";
		const char *value = strstr(at, key);

		if (value) {
			at = value + strlen(key);
			n = strcspn(at, "\r\n");
		}
	} else if (n > 8 && strncmp(at, "SIP/2.0 ", 8) == 0) {
		at += 8;
		n -= 8;
	} else {
		n = strcspn(at, " \r\n");
	}
	snprintf(out, size, "%.*s", n < size ? (int)n : (int)size - 1, at);
	utf8_repair(out, strlen(out));
}

static json_t *view_json(struct trace_view *view, uint64_t first_ns)
{
	static const char *const parties[] = {"caller", "callee", "dataplane"};
	bool in = view->kind == TRACE_RECEIVED || view->kind == TRACE_NG_REPLY;
	const char *party = parties[view->party];
	char time[CLOCK_TEXT_MAX], summary[64], local[ENDPOINT_TEXT_MAX], remote[ENDPOINT_TEXT_MAX];
	json_t *object;

	summary_of(view, summary, sizeof(summary));
	utf8_repair(view->text, view->text_n);
	object = json_pack("{s:s, s:f, s:s, s:s, s:s, s:i, s:o}", "time",
			   clock_text(view->time_ns, time), "after_ms",
			   (double)(int64_t)(view->time_ns - first_ns) / 1e6, "from",
			   in ? party : "tandem", "to", in ? "tandem" : party, "summary", summary,
			   "bytes", (int)view->whole_n, "text",
			   json_stringn(view->text, view->text_n));
	if (!object || view->party == TRACE_DATAPLANE)
		return object;
	json_object_set_new(object, "transport",
			    json_string(exchange_transport_name((uint8_t)view->transport)));
	json_object_set_new(object, "local", json_string(endpoint_text(&view->local, local)));
	json_object_set_new(object, "remote", json_string(endpoint_text(&view->remote, remote)));
	return object;
}

void get_trace(struct request *request)
{
	struct trace_question question = {.options = &request->admin->options};
	json_t *messages;
	int rc;

	question.key =
		MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, "call");
	if (!question.key || !question.key[0]) {
		request_fail(request, 400, "call is missing: a call's id or a SIP Call-ID");
		return;
	}
	if (!question.options->trace) {
		request_fail(request, 501, "no messages are kept here");
		return;
	}
	rc = loop_ask(question.options->loop, run_trace, &question, ASK_WAIT_MS);
	if (rc < 0) {
		request_fail(request, 503, "the call thread had no time: %s", strerror(-rc));
		return;
	}
	if (question.count <= 0) {
		trace_views_free(question.views, 0);
		request_fail(request, question.count < 0 ? 500 : 404,
			     question.count < 0 ? "out of memory"
						: "nothing is kept of such a call (any more)");
		return;
	}
	messages = json_array();
	for (int i = 0; i < question.count; i++)
		json_array_append_new(messages,
				      view_json(&question.views[i], question.views[0].time_ns));
	trace_views_free(question.views, question.count);
	request->body = json_pack("{s:o}", "messages", messages);
	if (!request->body)
		request_fail(request, 500, "out of memory");
}

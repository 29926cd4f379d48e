/* Endpoints about what is live: calls and registrations from the board, hang-up, reload. */
#include "control/admin/server.h"

#include "control/tiers/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HANGUP_WAIT_MS 2000

static json_t *time_json(uint64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	return ns ? json_string(clock_text(ns, text)) : json_null();
}

/* Texts come from the network; JSON wants UTF-8. */
static json_t *text_json(const char *text)
{
	char clean[BOARD_CONTACT_MAX];
	size_t n = strlen(text);

	if (n > sizeof(clean))
		n = sizeof(clean);
	memcpy(clean, text, n);
	utf8_repair(clean, n);
	return json_stringn(clean, n);
}

static json_t *call_json(const struct call_view *view, uint64_t now_ns)
{
	uint64_t since_ns = view->answered_ns ? view->answered_ns : view->started_ns;

	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:b, s:o, s:o, s:o, s:I, s:s}", "id",
			 view->id, "caller", text_json(view->caller), "caller_name",
			 text_json(view->caller_name), "callee", text_json(view->callee),
			 "destination", text_json(view->destination), "source",
			 text_json(view->source), "state",
			 journal_call_state_text((enum journal_call_state)view->state), "held",
			 (int)view->held, "started", time_json(view->started_ns), "ringing",
			 time_json(view->ringing_ns), "answered", time_json(view->answered_ns),
			 "duration_ms",
			 (json_int_t)(now_ns > since_ns ? (now_ns - since_ns) / NS_PER_MS : 0),
			 "recording_id", view->recording_id);
}

static json_t *registration_json(const struct registration_view *view, uint64_t now_ns)
{
	uint64_t left_ns = view->expires_ns > now_ns ? view->expires_ns - now_ns : 0;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "aor", text_json(view->aor),
			 "contact", text_json(view->contact), "source", text_json(view->source),
			 "transport", text_json(view->transport), "user_agent",
			 text_json(view->user_agent), "registered", time_json(view->registered_ns),
			 "expires", time_json(view->expires_ns), "expires_s",
			 (json_int_t)(left_ns / NS_PER_S));
}

static void answer_list(struct request *request, const char *name, json_t *list)
{
	request->body = json_pack("{s:o}", name, list);
	if (!request->body)
		request_fail(request, 500, "out of memory");
}

void get_calls(struct request *request)
{
	uint64_t now_ns = clock_real_ns();
	json_t *calls = json_array();
	struct call_view view;
	uint32_t at = 0;

	while (board_next_call(request->admin->options.board, &at, &view))
		json_array_append_new(calls, call_json(&view, now_ns));
	answer_list(request, "calls", calls);
}

void get_registrations(struct request *request)
{
	uint64_t now_ns = clock_real_ns();
	json_t *registrations = json_array();
	struct registration_view view;
	uint32_t at = 0;

	while (board_next_registration(request->admin->options.board, &at, &view))
		json_array_append_new(registrations, registration_json(&view, now_ns));
	answer_list(request, "registrations", registrations);
}

void delete_call(struct request *request)
{
	const struct admin_options *options = &request->admin->options;
	int rc = -ENOSYS;

	if (options->hangup)
		rc = options->hangup(options->arg, request->id, HANGUP_WAIT_MS);
	if (rc == 0)
		request->status = 204;
	else if (rc == -ENOENT)
		request_fail(request, 404, "there is no call with this id");
	else if (rc == -ENOSYS)
		request_fail(request, 501, "calls cannot be hung up here");
	else
		request_fail(request, 503, "the call is not ended yet: %s", strerror(-rc));
}

struct reload {
	const struct admin_options *options;
	int rc;
	char error[ADMIN_ERROR_MAX];
};

static void run_reload(void *arg)
{
	struct reload *reload = arg;

	reload->rc = reload->options->reload(reload->options->arg, reload->error);
}

void post_reload(struct request *request)
{
	struct reload reload = {.options = &request->admin->options};
	int rc;

	if (!reload.options->reload) {
		request_fail(request, 501, "the configuration cannot be read again here");
		return;
	}
	rc = loop_ask(reload.options->loop, run_reload, &reload, ASK_WAIT_MS);
	if (rc < 0)
		request_fail(request, 503, "the call thread had no time: %s", strerror(-rc));
	else if (reload.rc < 0)
		request_fail(request, 422, "%s", reload.error);
	else
		request->status = 204;
}

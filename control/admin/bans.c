/* Endpoints about banned sources: listed, added, lifted, in the SIP thread's own time. */
#include "control/admin/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BANS_SHOWN_MAX 1000

struct ban_question {
	const struct admin_options *options;
	struct address source;
	uint64_t for_s;
	int rc;
	json_t *list;
};

static void add_view(void *arg, const struct bans_view *view)
{
	json_t *list = arg;
	char text[ADDRESS_TEXT_MAX + 4];

	if (json_array_size(list) >= BANS_SHOWN_MAX)
		return;
	address_text(&view->source, text);
	if (!address_is_v4(&view->source))
		strcat(text, "/64");
	json_array_append_new(
		list, json_pack("{s:s, s:s, s:i, s:o, s:I}", "source", text, "reason",
				bans_reason_text(view->reason), "times", (int)view->times, "left_s",
				view->left_ms == UINT64_MAX
					? json_null()
					: json_integer((json_int_t)((view->left_ms + 999) / 1000)),
				"dropped", (json_int_t)view->dropped));
}

static void run_list(void *arg)
{
	struct ban_question *question = arg;

	question->options->each_ban(question->options->arg, add_view, question->list);
}

static void run_add(void *arg)
{
	struct ban_question *question = arg;

	question->rc =
		question->options->ban(question->options->arg, &question->source, question->for_s);
}

static void run_lift(void *arg)
{
	struct ban_question *question = arg;

	question->rc = question->options->ban_lift(question->options->arg, &question->source);
}

/* False: the answer is set. */
static bool ask(struct request *request, struct ban_question *question, void (*run)(void *arg))
{
	int rc;

	question->options = &request->admin->options;
	if (!question->options->each_ban) {
		request_fail(request, 501, "there are no bans here");
		return false;
	}
	rc = loop_ask(question->options->loop, run, question, ASK_WAIT_MS);
	if (rc < 0)
		request_fail(request, 503, "the call thread had no time: %s", strerror(-rc));
	return rc == 0;
}

static bool read_source(struct request *request, struct address *source)
{
	if (address_parse(source, request->id, strlen(request->id)) == 0)
		return true;
	request_fail(request, 400, "this is no IPv4 or IPv6 address");
	return false;
}

static const char *argument(struct request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

void get_bans(struct request *request)
{
	struct ban_question question = {.list = json_array()};

	if (ask(request, &question, run_list))
		request->body = json_pack("{s:O}", "bans", question.list);
	json_decref(question.list);
}

void put_ban(struct request *request)
{
	struct ban_question question = {0};
	const char *text = argument(request, "for_s");
	char *end = NULL;

	if (!read_source(request, &question.source))
		return;
	if (text) {
		question.for_s = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
		if (question.for_s == 0 || *end || question.for_s > UINT32_MAX) {
			request_fail(request, 400, "for_s is a number of seconds");
			return;
		}
	}
	if (!ask(request, &question, run_add))
		return;
	if (question.rc == -EPERM)
		request_fail(request, 422, "%s is never banned (loopback, a trunk, or allowed)",
			     request->id);
	else if (question.rc < 0)
		request_fail(request, 500, "%s", strerror(-question.rc));
	else
		request->status = 204;
}

void delete_ban(struct request *request)
{
	struct ban_question question = {0};

	if (!read_source(request, &question.source) || !ask(request, &question, run_lift))
		return;
	if (question.rc < 0)
		request_fail(request, 404, "%s is not banned", request->id);
	else
		request->status = 204;
}

/* GET /v1/trunks: are they up and registered, and what do they carry. */
#include "control/admin/server.h"

#include "control/tiers/utf8.h"

#include <string.h>

struct listing {
	const struct admin_options *options;
	json_t *trunks;
};

/* A refusal's reason phrase is the peer's. */
static json_t *problem_text(const char *text)
{
	char clean[128];
	size_t n = strnlen(text, sizeof(clean));

	memcpy(clean, text, n);
	utf8_repair(clean, n);
	return json_stringn(clean, n);
}

static void add_trunk(void *arg, const struct trunk_view *view)
{
	struct listing *listing = arg;

	json_array_append_new(
		listing->trunks,
		json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
			  view->name, "host", view->host, "state", view->state, "registration",
			  view->registration, "problem", problem_text(view->problem), "place",
			  view->place, "calls", (json_int_t)view->calls, "calls_max",
			  (json_int_t)view->calls_max, "calls_in", (json_int_t)view->calls_in,
			  "calls_out", (json_int_t)view->calls_out, "calls_refused",
			  (json_int_t)view->calls_refused, "expires_s",
			  (json_int_t)view->expires_s));
}

static void list_trunks(void *arg)
{
	struct listing *listing = arg;

	listing->options->each_trunk(listing->options->arg, add_trunk, listing);
}

void get_trunks(struct request *request)
{
	struct listing listing = {.options = &request->admin->options, .trunks = json_array()};
	int rc = 0;

	if (listing.options->each_trunk)
		rc = loop_ask(listing.options->loop, list_trunks, &listing, ASK_WAIT_MS);
	if (rc < 0) {
		json_decref(listing.trunks);
		request_fail(request, 503, "the call thread had no time: %s", strerror(-rc));
		return;
	}
	request->body = json_pack("{s:o}", "trunks", listing.trunks);
	if (!request->body)
		request_fail(request, 500, "out of memory");
}

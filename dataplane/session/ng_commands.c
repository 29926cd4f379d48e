/* The ng commands' dispatch table and their handlers. */
#include "dataplane/session/ng_commands.h"

#include "dataplane/base/clock.h"
#include "dataplane/session/ng_flags.h"
#include "dataplane/session/offer_answer.h"
#include "dataplane/session/query.h"
#include "dataplane/session/recording.h"

#include <errno.h>
#include <stdio.h>

#define LIST_LIMIT         32
#define DELETE_DELAY_MAX_S 86400

/* One request under way. */
struct command {
	struct ng_commands *commands;
	struct session_table *table;
	const struct ng_value *request;
	struct ng_arena *arena;
	struct ng_value *reply;
	struct ng_flags flags;
	struct session_time now;
};

static void reply_ok(struct command *c)
{
	ng_put_string(c->arena, c->reply, "result", "ok");
}

static void reply_error(struct command *c, const char *reason)
{
	c->commands->errors++;
	ng_put_string(c->arena, c->reply, "result", "error");
	ng_put_string(c->arena, c->reply, "error-reason", reason);
}

/* Limits: an error, or `load limit` for a proxy that knows to go elsewhere then. */
static void reply_refused(struct command *c, const struct offer_answer_result *result)
{
	if (!result->limit || !c->flags.load_limit) {
		reply_error(c, result->reason);
		return;
	}
	c->commands->errors++;
	ng_put_string(c->arena, c->reply, "result", "load limit");
	ng_put_string(c->arena, c->reply, "message", result->reason);
}

/* ---- what a command needs ---- */

enum needs {
	NEEDS_CALL_ID = 1 << 0,
	NEEDS_FROM_TAG = 1 << 1,
	NEEDS_TO_TAG = 1 << 2,
	NEEDS_SDP = 1 << 3,
};

static const char *missing_key(const struct ng_flags *flags, unsigned int needs)
{
	if (needs & NEEDS_CALL_ID && flags->call_id.len == 0)
		return "No call-id in message";
	if (needs & NEEDS_FROM_TAG && flags->from_tag.len == 0)
		return "No from-tag in message";
	if (needs & NEEDS_TO_TAG && flags->to_tag.len == 0)
		return "No to-tag in message";
	if (needs & NEEDS_SDP && flags->sdp.len == 0)
		return "No SDP body in message";
	return NULL;
}

static bool is_plain(struct sdp_span span)
{
	return span.len == 0 || memchr(span.text, '\0', span.len) == NULL;
}

static const char *unsound_key(const struct ng_flags *flags)
{
	if (flags->call_id.len > SESSION_CALL_ID_MAX)
		return "call-id is longer than 255 bytes";
	if (flags->from_tag.len > SESSION_TAG_MAX)
		return "from-tag is longer than 255 bytes";
	if (flags->to_tag.len > SESSION_TAG_MAX)
		return "to-tag is longer than 255 bytes";
	if (flags->via_branch.len > SESSION_TAG_MAX)
		return "via-branch is longer than 255 bytes";
	if (flags->metadata.len > SESSION_METADATA_MAX)
		return "metadata is longer than 2048 bytes";
	if (!is_plain(flags->call_id) || !is_plain(flags->from_tag) || !is_plain(flags->to_tag) ||
	    !is_plain(flags->via_branch) || !is_plain(flags->metadata) || !is_plain(flags->label))
		return "A text holds a NUL byte";
	return NULL;
}

/* ---- handlers ---- */

static void handle_ping(struct command *c)
{
	ng_put_string(c->arena, c->reply, "result", "pong");
}

/* NULL when it runs (or none was asked for), else why not. */
static const char *start_recording(struct command *c, struct session *session)
{
	switch (recording_start(c->table, session, c->flags.recording_id, &c->now)) {
	case 0:
		break;
	case -EINVAL:
		return "recording-id is not 1 to 64 characters of A-Z a-z 0-9 . _ -";
	default:
		return "Recording limit reached";
	}
	session_publish(c->table, session);
	return NULL;
}

/* `metadata` and `record call` of an offer or answer that has been carried out. */
static void after_exchange(struct command *c, struct session *session)
{
	const char *warning = NULL;

	if (c->flags.metadata.len > 0 &&
	    recording_set_metadata(c->table, session, c->flags.metadata) != 0)
		warning = "Recording limit reached";
	if (c->flags.record_call)
		warning = start_recording(c, session);
	else if (c->flags.stop_recording)
		recording_stop(c->table, session, "stop", &c->now);
	if (warning)
		ng_put_string(c->arena, c->reply, "warning", warning);
}

static void exchange(struct command *c, bool offer)
{
	struct offer_answer_result result = {.session = NULL};
	int rc = offer ? offer_answer_offer(c->table, &c->flags, &c->now, &result)
		       : offer_answer_answer(c->table, &c->flags, &c->now, &result);

	if (rc != 0) {
		reply_refused(c, &result);
		return;
	}
	ng_put_text(c->arena, c->reply, "sdp", result.sdp.text, result.sdp.len);
	reply_ok(c);
	after_exchange(c, result.session);
}

static void handle_offer(struct command *c)
{
	exchange(c, true);
}

static void handle_answer(struct command *c)
{
	exchange(c, false);
}

static void delete_not_found(struct command *c)
{
	static const char reason[] = "Call-ID not found or tags didn't match";

	if (c->flags.fatal) {
		reply_error(c, reason);
		return;
	}
	ng_put_string(c->arena, c->reply, "warning", reason);
	reply_ok(c);
}

/* The one branch that the tags and the Via branch single out among several, or NULL = the whole
 * session. */
static struct leg *branch_to_delete(const struct session *session, const struct leg *from,
				    const struct leg *to, struct sdp_span via_branch)
{
	struct leg *branch = NULL;
	uint32_t others = 0;

	if (!from || (!to && via_branch.len == 0))
		return NULL;
	for (uint32_t l = 0; l < session->legs_count; l++) {
		struct leg *leg = session->legs[l];

		if (leg == from || leg->peer != from)
			continue;
		if (to ? leg == to : sdp_span_equal(via_branch, leg->via_branch))
			branch = leg;
		else
			others++;
	}
	return others > 0 ? branch : NULL;
}

static void handle_delete(struct command *c)
{
	const struct ng_flags *flags = &c->flags;
	struct session *session = session_find(c->table, flags->call_id);
	struct leg *from = NULL, *to = NULL, *branch;

	if (session) {
		from = session_leg(session, flags->from_tag);
		to = session_leg(session, flags->to_tag);
	}
	if (!session || (flags->from_tag.len > 0 && !from) || (flags->to_tag.len > 0 && !to)) {
		delete_not_found(c);
		return;
	}
	query_session(c->table, session, c->arena, c->reply);
	reply_ok(c);
	branch = branch_to_delete(session, from, to, flags->via_branch);
	if (branch)
		leg_delete(c->table, branch, &c->now);
	else if (flags->delete_delay_s > 0 && flags->delete_delay_s <= DELETE_DELAY_MAX_S)
		session->delete_mono_ns =
			c->now.mono_ns + (uint64_t)flags->delete_delay_s * NS_PER_S;
	else
		session_delete(c->table, session, SESSION_DELETED, &c->now);
}

static void handle_query(struct command *c)
{
	struct session *session = session_find(c->table, c->flags.call_id);

	if (!session) {
		reply_error(c, "Unknown call-id");
		return;
	}
	query_session(c->table, session, c->arena, c->reply);
	reply_ok(c);
}

static void handle_list(struct command *c)
{
	int64_t limit = ng_get_integer(c->request, "limit", LIST_LIMIT);

	if (limit <= 0) {
		reply_error(c, "limit is not a positive number");
		return;
	}
	query_list(c->table, limit, c->arena, c->reply);
	reply_ok(c);
}

static void handle_start_recording(struct command *c)
{
	struct session *session = session_find(c->table, c->flags.call_id);
	const char *reason;

	if (!session) {
		reply_error(c, "Unknown call-id");
		return;
	}
	if (c->flags.metadata.len > 0 &&
	    recording_set_metadata(c->table, session, c->flags.metadata) != 0) {
		reply_error(c, "Recording limit reached");
		return;
	}
	reason = start_recording(c, session);
	if (reason) {
		reply_error(c, reason);
		return;
	}
	reply_ok(c);
	ng_put_string(c->arena, c->reply, "recording-id", session->recording->id);
}

static void handle_stop_recording(struct command *c)
{
	struct session *session = session_find(c->table, c->flags.call_id);

	if (!session) {
		reply_error(c, "Unknown call-id");
		return;
	}
	recording_stop(c->table, session, "stop", &c->now);
	reply_ok(c);
}

static void handle_statistics(struct command *c);

static const struct {
	const char *name;
	const char *total; /* key of its count in `statistics` */
	unsigned int needs;
	void (*run)(struct command *c);
} table[] = {
	{"ping", "totalpingcount", 0, handle_ping},
	{"offer", "totaloffercount", NEEDS_CALL_ID | NEEDS_FROM_TAG | NEEDS_SDP, handle_offer},
	{"answer", "totalanswercount", NEEDS_CALL_ID | NEEDS_FROM_TAG | NEEDS_TO_TAG | NEEDS_SDP,
	 handle_answer},
	{"delete", "totaldeletecount", NEEDS_CALL_ID, handle_delete},
	{"query", "totalquerycount", NEEDS_CALL_ID, handle_query},
	{"list", "totallistcount", 0, handle_list},
	{"statistics", "totalstatscount", 0, handle_statistics},
	{"start recording", "totalstartreccount", NEEDS_CALL_ID, handle_start_recording},
	{"stop recording", "totalstopreccount", NEEDS_CALL_ID, handle_stop_recording},
};

#define COMMANDS (sizeof(table) / sizeof(table[0]))
_Static_assert(COMMANDS <= NG_COMMANDS_MAX, "each has its count");

static void handle_statistics(struct command *c)
{
	struct ng_value *statistics = query_statistics(c->table, &c->now, c->arena, c->reply);
	struct ng_value *control = ng_put_dict(c->arena, statistics, "controlstatistics");

	for (size_t i = 0; i < COMMANDS; i++)
		ng_put_integer(c->arena, control, table[i].total, (int64_t)c->commands->counts[i]);
	ng_put_integer(c->arena, control, "errorcount", (int64_t)c->commands->errors);
	reply_ok(c);
}

/* ---- dispatch ---- */

void session_time_read(struct session_time *now)
{
	now->mono_ns = clock_mono_ns();
	now->real_ns = clock_real_ns();
}

void ng_commands_init(struct ng_commands *commands, struct session_table *sessions)
{
	*commands = (struct ng_commands){.table = sessions, .clock = session_time_read};
}

static void run_command(struct command *c, size_t index)
{
	const char *reason = NULL;

	c->commands->counts[index]++;
	if (ng_flags_parse(&c->flags, c->request, &reason) == 0)
		reason = missing_key(&c->flags, table[index].needs);
	if (!reason)
		reason = unsound_key(&c->flags);
	if (reason)
		reply_error(c, reason);
	else
		table[index].run(c);
}

void ng_command_handle(void *arg, const struct ng_value *request, struct ng_arena *arena,
		       struct ng_value *reply)
{
	struct ng_commands *commands = arg;
	struct command c = {.commands = commands,
			    .table = commands->table,
			    .request = request,
			    .arena = arena,
			    .reply = reply};
	const struct ng_value *name = ng_get(request, "command");

	(commands->clock ? commands->clock : session_time_read)(&c.now);
	if (!name) {
		reply_error(&c, "Dictionary contains no key \"command\"");
		return;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (ng_text_equal(name, table[i].name)) {
			run_command(&c, i);
			return;
		}
	}
	reply_error(&c, "Unrecognized command");
}

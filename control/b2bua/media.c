/*
 * Media of a call: the ng requests to the dataplane. The session there is named by the call's id,
 * the parties by the tags "caller" and "callee" (or "echo"), which need not be guessed by anyone
 * and survive a restart without being stored.
 */
#include "control/b2bua/call.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ABANDON_RETRY_MS 1000
#define ABANDON_TRIES    120

enum media_kind { MEDIA_SDP, MEDIA_ROLLBACK, MEDIA_RECORD, MEDIA_DELETE, MEDIA_AUDIT };

/* A request under way. */
struct media_request {
	struct list node; /* in call->media */
	struct call *call;
	struct leg *leg; /* whose SDP it is */
	enum media_kind kind;
	bool offer;
	media_fn *done;
};

static const char *leg_tag(const struct call *call, const struct leg *leg)
{
	if (leg && leg->is_caller)
		return "caller";
	return call->echo ? "echo" : "callee";
}

/* A request dictionary with command and call-id. */
static struct ng_value *request_begin(struct b2bua *b2bua, const char *command, const char *id)
{
	struct ng_value *request;

	ng_arena_reset(b2bua->arena);
	request = ng_dict(b2bua->arena);
	if (!request || !ng_put_string(b2bua->arena, request, "command", command) ||
	    !ng_put_string(b2bua->arena, request, "call-id", id))
		return NULL;
	return request;
}

static void media_replied(void *arg, int error, const struct ng_value *reply);

static int request_send(struct call *call, struct leg *leg, enum media_kind kind,
			const struct ng_value *request, bool offer, media_fn *done)
{
	struct b2bua *b2bua = call->b2bua;
	struct media_request *under_way = calloc(1, sizeof(*under_way));
	int err;

	if (!under_way)
		return -ENOMEM;
	under_way->call = call;
	under_way->leg = leg;
	under_way->kind = kind;
	under_way->offer = offer;
	under_way->done = done;
	err = b2bua->options.media.send(b2bua->options.media.arg, request, media_replied,
					under_way);
	if (err) {
		free(under_way);
		count(&b2bua->counters->ng_failed);
		return err;
	}
	list_append(&call->media, &under_way->node);
	trace_ng(b2bua->trace, TRACE_NG_REQUEST, call->id, request, 0, clock_real_ns());
	return 0;
}

static void request_forget(struct media_request *under_way)
{
	struct b2bua_media *media = &under_way->call->b2bua->options.media;

	media->forget(media->arg, under_way);
	list_remove(&under_way->node);
	free(under_way);
}

void media_forget(struct call *call)
{
	while (!list_is_empty(&call->media))
		request_forget(list_entry(call->media.next, struct media_request, node));
}

/* Requests whose end would touch this leg. */
void media_forget_leg(struct leg *leg)
{
	struct list *node, *after;

	list_each_safe (node, after, &leg->call->media) {
		struct media_request *under_way = list_entry(node, struct media_request, node);

		if (under_way->leg == leg)
			request_forget(under_way);
	}
}

/* ---- offer and answer ---- */

static bool put_address(struct ng_arena *arena, struct ng_value *request, const struct leg *from,
			const struct leg *to)
{
	const struct address *source = &from->flow.remote.address;
	char text[ADDRESS_TEXT_MAX];
	struct ng_value *list = ng_put_list(arena, request, "received-from");

	if (!list || !ng_put_string(arena, list, NULL, address_is_v4(source) ? "IP4" : "IP6") ||
	    !ng_put_string(arena, list, NULL, address_text(source, text)))
		return false;
	/* Behind a NAT the SDP shows an address that means nothing here. */
	if (from->nat && from->dialog) {
		list = ng_put_list(arena, request, "flags");
		if (!list || !ng_put_string(arena, list, NULL, "SIP-source-address"))
			return false;
	}
	if (!to || address_is_any(&to->flow.local.address))
		return true;
	return ng_put_string(arena, request, "media-address",
			     address_text(&to->flow.local.address, text)) &&
	       ng_put_string(arena, request, "address-family",
			     address_is_v4(&to->flow.local.address) ? "IP4" : "IP6");
}

static int sdp_request(struct call *call, struct leg *from, struct leg *to, struct sip_text sdp,
		       bool offer, enum media_kind kind, media_fn *done)
{
	struct b2bua *b2bua = call->b2bua;
	struct ng_arena *arena = b2bua->arena;
	struct ng_value *request = request_begin(b2bua, offer ? "offer" : "answer", call->id);
	const struct leg *offerer = offer ? from : to;
	const struct leg *answerer = offer ? to : from;
	struct ng_value *list;
	bool ok = request != NULL;
	bool again = call->phase >= CALL_UP;

	/* The echo has no leg of its own: both ends are the caller. */
	ok = ok && ng_put_string(arena, request, "from-tag", leg_tag(call, offerer));
	if (ok && (!offer || again))
		ok = ng_put_string(arena, request, "to-tag",
				   call->echo ? "echo" : leg_tag(call, answerer));
	ok = ok && ng_put_text(arena, request, "sdp", sdp.at, sdp.n);
	ok = ok && (list = ng_put_list(arena, request, "replace")) &&
	     ng_put_string(arena, list, NULL, "origin") &&
	     ng_put_string(arena, list, NULL, "session-connection");
	ok = ok && ng_put_string(arena, request, "ICE", "remove");
	if (ok && call->echo)
		ok = ng_put_string(arena, request, "media-echo", "both");
	ok = ok && put_address(arena, request, from, call->echo ? &call->caller : to);
	if (!ok)
		return -ENOMEM;
	if (!call->anchored)
		call->tag = leg_tag(call, offerer);
	call->anchored = true;
	return request_send(call, from, kind, request, offer, done);
}

int media_offer(struct call *call, struct leg *from, struct leg *to, struct sip_text sdp,
		media_fn *done)
{
	return sdp_request(call, from, to, sdp, true, MEDIA_SDP, done);
}

int media_answer(struct call *call, struct leg *from, struct leg *to, struct sip_text sdp,
		 media_fn *done)
{
	return sdp_request(call, from, to, sdp, false, MEDIA_SDP, done);
}

void media_rollback(struct call *call, struct leg *offerer, struct leg *answerer)
{
	struct sip_text was_offered = {.at = offerer->sdp, .n = offerer->sdp_n};
	struct sip_text was_answered = {.at = answerer->sdp, .n = answerer->sdp_n};

	if (!offerer->sdp || !answerer->sdp)
		return;
	if (sdp_request(call, offerer, answerer, was_offered, true, MEDIA_ROLLBACK, NULL) == 0)
		sdp_request(call, answerer, offerer, was_answered, false, MEDIA_ROLLBACK, NULL);
}

static bool text_has(const char *text, size_t n, const char *words)
{
	return text && memmem(text, n, words, strlen(words)) != NULL;
}

/* What an ng failure means in SIP. */
static void result_failed(struct b2bua *b2bua, int error, const struct ng_value *reply,
			  struct media_result *result)
{
	size_t n = 0;
	const char *why = reply ? ng_get_text(reply, "error-reason", &n) : NULL;
	uint32_t suppressed;

	count(&b2bua->counters->ng_failed);
	if (log_allowed(&b2bua->media_log, 5, &suppressed))
		log_warn("dataplane refused: %.*s (%u more lines held back)",
			 why ? (int)n : (int)strlen(strerror(-error)), why ? why : strerror(-error),
			 suppressed);
	if (error) {
		result->status = 503;
		result->reason = "Media Unavailable";
	} else if (text_has(why, n, "limit") || text_has(why, n, "out of ports")) {
		result->status = 503;
		result->reason = "Media Limit Reached";
	} else if (text_has(why, n, "nknown call")) {
		result->status = 500;
		result->reason = "Media Session Lost";
	} else {
		result->status = 488;
		result->reason = NULL;
	}
}

static void sdp_replied(struct media_request *under_way, int error, const struct ng_value *reply)
{
	struct media_result result = {.status = 0};
	struct call *call = under_way->call;
	size_t n = 0;
	const char *sdp = NULL;

	if (!error && ng_text_equal(ng_get(reply, "result"), "ok"))
		sdp = ng_get_text(reply, "sdp", &n);
	if (sdp && n > 0 && n <= B2BUA_SDP_MAX)
		result.sdp = (struct sip_text){.at = sdp, .n = (uint32_t)n};
	else
		result_failed(call->b2bua, error, reply, &result);
	under_way->done(call, under_way->leg, &result);
}

/* ---- recording ---- */

static char *record_metadata(const struct call *call)
{
	json_t *json =
		json_pack("{s:s,s:s,s:s,s:s,s:I}", "caller", call->caller_user, "caller_name",
			  call->caller_name, "callee", call->dialled, "destination",
			  call->destination, "answered_ns", (json_int_t)call->answered_ns);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return text;
}

void media_record(struct call *call)
{
	struct b2bua *b2bua = call->b2bua;
	char *metadata = record_metadata(call);
	struct ng_value *request = request_begin(b2bua, "start recording", call->id);

	uuid7_make(call->answered_ns, call->recording_id);
	if (!request || !ng_put_string(b2bua->arena, request, "recording-id", call->recording_id) ||
	    (metadata && !ng_put_string(b2bua->arena, request, "metadata", metadata)) ||
	    request_send(call, &call->caller, MEDIA_RECORD, request, false, NULL)) {
		call->recording_id[0] = '\0';
		count(&b2bua->counters->recording_failed);
	}
	free(metadata);
}

/* A recording that does not start never hurts the call. */
static void record_replied(struct call *call, int error, const struct ng_value *reply)
{
	size_t n = 0;
	const char *why;

	if (!error && ng_text_equal(ng_get(reply, "result"), "ok"))
		return;
	why = reply ? ng_get_text(reply, "error-reason", &n) : NULL;
	count(&call->b2bua->counters->recording_failed);
	log_warn("call %s not recorded: %.*s", call->id,
		 why ? (int)n : (int)strlen(strerror(-error)), why ? why : strerror(-error));
	call->recording_id[0] = '\0';
	if (call->phase == CALL_UP)
		call_moved(call);
}

/* ---- end, and what was counted ---- */

/* Packets lost are told per SSRC, apart from the streams. */
static uint64_t lost_of(const struct ng_value *reply, const struct ng_value *stream)
{
	const struct ng_value *sources = ng_get(reply, "SSRC");
	const struct ng_value *source;
	char ssrc[24];

	if (!sources || sources->type != NG_DICT)
		return 0;
	snprintf(ssrc, sizeof(ssrc), "%lld", (long long)ng_get_integer(stream, "SSRC", 0));
	source = ng_get(sources, ssrc);
	if (!source || source->type != NG_DICT)
		return 0;
	return (uint64_t)ng_get_integer(source, "packets lost", 0);
}

/* Sums the RTP streams of one tag: what that party sent us. */
static void totals_read(const struct ng_value *reply, const char *tag, struct cdr_media *media)
{
	const struct ng_value *tags = ng_get(reply, "tags");
	const struct ng_value *party = tags && tags->type == NG_DICT ? ng_get(tags, tag) : NULL;
	const struct ng_value *medias =
		party && party->type == NG_DICT ? ng_get(party, "medias") : NULL;

	if (!medias || medias->type != NG_LIST)
		return;
	for (const struct ng_value *m = medias->first; m; m = m->next) {
		const struct ng_value *streams = m->type == NG_DICT ? ng_get(m, "streams") : NULL;
		const struct ng_value *s =
			streams && streams->type == NG_LIST ? streams->first : NULL;

		for (; s; s = s->next) {
			const struct ng_value *stats =
				s->type == NG_DICT ? ng_get(s, "stats") : NULL;

			if (!stats || stats->type != NG_DICT || !ng_has_flag(s, "flags", "RTP"))
				continue;
			media->packets += (uint64_t)ng_get_integer(stats, "packets", 0);
			media->bytes += (uint64_t)ng_get_integer(stats, "bytes", 0);
			media->lost += lost_of(reply, s);
		}
	}
}

static void delete_replied(struct call *call, int error, const struct ng_value *reply)
{
	if (!error && reply->type == NG_DICT) {
		totals_read(reply, "caller", &call->from_caller);
		totals_read(reply, call->echo ? "echo" : "callee", &call->from_callee);
	} else {
		count(&call->b2bua->counters->ng_failed);
		b2bua_abandon_media(call->b2bua, call->id);
	}
	call_account(call);
	call_settle(call);
}

/* With a tag of the session the reply has the statistics of all; with a tag that it does not know
 * nothing is deleted; with NULL everything is, and rtpengine tells no statistics. */
static struct ng_value *delete_request(struct b2bua *b2bua, const char *id, const char *tag)
{
	struct ng_value *request = request_begin(b2bua, "delete", id);

	if (request && ((tag && !ng_put_string(b2bua->arena, request, "from-tag", tag)) ||
			!ng_put_integer(b2bua->arena, request, "delete-delay", 0)))
		return NULL;
	return request;
}

void media_delete(struct call *call)
{
	struct ng_value *request;

	if (call->anchored) {
		call->anchored = false;
		request = delete_request(call->b2bua, call->id, call->tag);
		if (request &&
		    !request_send(call, &call->caller, MEDIA_DELETE, request, false, NULL))
			return;
		b2bua_abandon_media(call->b2bua, call->id);
	}
	call_account(call);
}

/* ---- audit: does the dataplane still know the call? It forgets calls without packets. ---- */

void media_audit(struct call *call)
{
	struct ng_value *request = request_begin(call->b2bua, "query", call->id);

	if (request)
		request_send(call, &call->caller, MEDIA_AUDIT, request, false, NULL);
}

static void audit_replied(struct call *call, int error, const struct ng_value *reply)
{
	size_t n = 0;
	const char *why;

	if (error || !ng_text_equal(ng_get(reply, "result"), "error"))
		return;
	why = ng_get_text(reply, "error-reason", &n);
	if (!text_has(why, n, "nknown call"))
		return;
	call->anchored = false;
	call_end(call, ENDED_BY_SYSTEM, 500, "media timeout");
}

static void media_replied(void *arg, int error, const struct ng_value *reply)
{
	struct media_request *under_way = arg;
	struct call *call = under_way->call;

	list_remove(&under_way->node);
	trace_ng(call->b2bua->trace, TRACE_NG_REPLY, call->id, reply, error, clock_real_ns());
	switch (under_way->kind) {
	case MEDIA_SDP:
		sdp_replied(under_way, error, reply);
		break;
	case MEDIA_RECORD:
		record_replied(call, error, reply);
		break;
	case MEDIA_DELETE:
		delete_replied(call, error, reply);
		break;
	case MEDIA_AUDIT:
		if (call->phase == CALL_UP)
			audit_replied(call, error, reply);
		break;
	case MEDIA_ROLLBACK:
		break;
	}
	free(under_way);
}

/* ---- sessions of an earlier life ---- */

static void abandoned_free(struct abandoned *abandoned)
{
	struct b2bua_media *media = &abandoned->b2bua->options.media;

	media->forget(media->arg, abandoned);
	timer_stop(abandoned->b2bua->timers, &abandoned->timer);
	list_remove(&abandoned->node);
	free(abandoned);
}

static void abandoned_replied(void *arg, int error, const struct ng_value *reply)
{
	struct abandoned *abandoned = arg;
	struct b2bua *b2bua = abandoned->b2bua;

	(void)reply;
	if (!error || ++abandoned->tries >= ABANDON_TRIES)
		abandoned_free(abandoned);
	else
		timer_start(b2bua->timers, &abandoned->timer,
			    b2bua_now_ms(b2bua) + ABANDON_RETRY_MS);
}

static void abandoned_try(struct timer *timer, uint64_t now_ms)
{
	struct abandoned *abandoned = list_entry(timer, struct abandoned, timer);
	struct b2bua *b2bua = abandoned->b2bua;
	struct ng_value *request = delete_request(b2bua, abandoned->id, NULL);

	if (request && !b2bua->options.media.send(b2bua->options.media.arg, request,
						  abandoned_replied, abandoned))
		return;
	if (++abandoned->tries >= ABANDON_TRIES)
		abandoned_free(abandoned);
	else
		timer_start(b2bua->timers, timer, now_ms + ABANDON_RETRY_MS);
}

void b2bua_abandon_media(struct b2bua *b2bua, const char *call_id)
{
	struct abandoned *abandoned = calloc(1, sizeof(*abandoned));

	if (!abandoned)
		return;
	abandoned->b2bua = b2bua;
	snprintf(abandoned->id, sizeof(abandoned->id), "%s", call_id);
	timer_init(&abandoned->timer, abandoned_try);
	list_append(&b2bua->abandoned, &abandoned->node);
	timer_start(b2bua->timers, &abandoned->timer, b2bua_now_ms(b2bua));
}

void media_abandon_all(struct b2bua *b2bua)
{
	while (!list_is_empty(&b2bua->abandoned))
		abandoned_free(list_entry(b2bua->abandoned.next, struct abandoned, node));
}

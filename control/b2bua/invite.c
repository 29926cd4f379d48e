/* An INVITE that makes a call: checked, authenticated, routed, anchored, sent on. */
#include "control/b2bua/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_ID_RANDOM 24

bool body_is_sdp(struct sip_transaction *transaction, const struct sip_message *request)
{
	struct sip_text type = sip_message_content_type(request);
	struct sip_text encoding = sip_message_header(request, SIP_HEADER_CONTENT_ENCODING);

	if (request->body.n == 0)
		return true;
	if (!sip_text_is(type, "application/sdp")) {
		reply(transaction, 415, NULL, "Accept: application/sdp\r\n");
		return false;
	}
	if (encoding.n && !sip_text_is(encoding, "identity")) {
		reply(transaction, 415, NULL, "Accept-Encoding: identity\r\n");
		return false;
	}
	if (request->body.n > B2BUA_SDP_MAX) {
		reply(transaction, 413, NULL, NULL);
		return false;
	}
	return true;
}

/* ---- out to the callee ---- */

static int put_identity(struct sip_builder *b, const char *name, const char *user,
			const struct endpoint *local)
{
	char escaped[3 * EXCHANGE_EXTENSION_MAX];

	if (sip_escape_user(sip_text_of(user), escaped, sizeof(escaped)) < 0)
		return -ENOSPC;
	if (name && name[0]) {
		sip_put_quoted(b, sip_text_of(name));
		sip_put_string(b, " ");
	}
	sip_put_string(b, "<sip:");
	sip_put_string(b, escaped);
	sip_put_string(b, "@");
	sip_put_host(b, &local->address, local->port);
	sip_put_string(b, ">");
	return sip_builder_result(b);
}

static struct sip_text built(const struct sip_builder *b)
{
	return (struct sip_text){.at = b->bytes, .n = b->n};
}

int invite_send(struct leg *leg, struct sip_text sdp)
{
	struct call *call = leg->call;
	char buffer[B2BUA_BUFFER + B2BUA_SDP_MAX];
	char from[512], to[512], tag[SIP_TAG_SIZE], call_id[CALL_ID_RANDOM + 1];
	struct sip_builder from_builder, to_builder;
	struct sip_request request;
	struct sip_request_start start = {.method = SIP_METHOD_INVITE, .cseq = 1};
	int err;

	if (leg->outbound)
		return outbound_send(leg, sdp);
	sip_builder_init(&from_builder, from, sizeof(from));
	sip_builder_init(&to_builder, to, sizeof(to));
	err = 0;
	if (identity_is_private(call))
		sip_put_string(&from_builder, IDENTITY_ANONYMOUS);
	else
		err = put_identity(&from_builder, call->caller_name, call->caller_user,
				   &leg->flow.local);
	if (!err)
		err = put_identity(&to_builder, NULL, call->destination, &leg->flow.local);
	if (err)
		return err;
	random_token(tag, SIP_TAG_SIZE - 1);
	random_token(call_id, CALL_ID_RANDOM);
	err = text_keep(&leg->call_id, NULL, call_id, CALL_ID_RANDOM);
	if (err)
		return err;
	trace_link(call->b2bua->trace, call->id, TRACE_CALLEE, sip_text_of(call_id));
	start.uri = sip_text_of(leg->target);
	start.from = built(&from_builder);
	start.from_tag = sip_text_of(tag);
	start.to = built(&to_builder);
	start.call_id = sip_text_of(call_id);
	start.max_forwards = call->max_forwards > 1 ? call->max_forwards - 1 : 1;
	start.flow = leg->flow;
	err = sip_request_begin(&request, call->b2bua->stack, &start, buffer, sizeof(buffer));
	if (err)
		return err;
	sip_put_contact(&request.builder, &request.flow, sip_text_of(call->caller_user), NULL);
	sip_put_string(&request.builder, "Allow: " B2BUA_ALLOW "\r\n");
	err = sip_request_send(&request, "application/sdp", sdp, invite_answered, leg,
			       &leg->invite);
	free(leg->target);
	leg->target = NULL;
	return err;
}

void call_timer_expired(struct timer *timer, uint64_t now_ms)
{
	struct call *call = list_entry(timer, struct call, timer);

	if (call->phase == CALL_UP) {
		media_audit(call);
		timer_start(call->b2bua->timers, timer, now_ms + B2BUA_AUDIT_MS);
		return;
	}
	call_end(call, ENDED_BY_SYSTEM, 480, "no answer");
}

/* The INVITEs go out with this SDP, or, when the caller made no offer, without any. */
static void call_callees(struct call *call, struct sip_text sdp)
{
	struct b2bua *b2bua = call->b2bua;
	struct list *node, *after;

	call->phase = CALL_RINGING;
	timer_start(b2bua->timers, &call->timer,
		    b2bua_now_ms(b2bua) + (uint64_t)b2bua->options.ring_timeout_s * 1000);
	list_each_safe (node, after, &call->branches) {
		struct leg *leg = list_entry(node, struct leg, node);

		if (invite_send(leg, sdp)) {
			leg->invite = NULL;
			leg_free(leg);
		}
	}
	if (list_is_empty(&call->branches))
		branches_exhausted(call);
}

/* The dataplane gave the SDP for the callees. */
static void offered(struct call *call, struct leg *caller, const struct media_result *result)
{
	(void)caller;
	if (result->sdp.at)
		call_callees(call, result->sdp);
	else
		call_end(call, ENDED_BY_SYSTEM, result->status, "media refused");
}

/* ---- in from the caller ---- */

/* Where this contact is to be reached: by the way it registered when only that works, by its URI
 * otherwise, over the connection it registered with as long as that lives. */
static int target_flow(struct b2bua *b2bua, const struct exchange_target *target,
		       struct sip_flow *flow)
{
	const struct exchange_path *path = &target->path;
	struct sip_uri uri;
	int err = sip_uri_parse(&uri, sip_text_of(target->uri));

	if (err)
		return err;
	*flow = (struct sip_flow){0};
	if (path->nat || sip_flow_from_uri(&uri, flow)) {
		flow->transport = (enum sip_transport_kind)path->transport;
		flow->remote = path->source;
	}
	if ((uint8_t)flow->transport == path->transport) {
		flow->connection = path->connection;
		flow->local = path->local;
	}
	if (sip_stack_is_local(b2bua->stack, &flow->remote.address, flow->remote.port))
		return -ELOOP;
	return sip_flow_resolve(b2bua->stack, flow);
}

static void add_branches(struct call *call, const struct exchange_route *route)
{
	for (uint32_t i = 0; i < route->targets_count; i++) {
		struct leg *leg = leg_add(call);

		if (!leg)
			return;
		leg->nat = route->targets[i].path.nat;
		if (target_flow(call->b2bua, &route->targets[i], &leg->flow) ||
		    text_keep(&leg->target, NULL, route->targets[i].uri,
			      strlen(route->targets[i].uri)))
			leg_free(leg);
	}
}

/* All branches get one SDP, so it shows an address that all can reach: the host's own rather than
 * loopback's, when there are both. */
static struct leg *branch_for_address(struct call *call)
{
	struct leg *found = NULL;
	struct list *node;

	list_each (node, &call->branches) {
		struct leg *leg = list_entry(node, struct leg, node);

		if (!found || (address_is_loopback(&found->flow.local.address) &&
			       !address_is_loopback(&leg->flow.local.address)))
			found = leg;
	}
	return found;
}

static void call_ring_targets(struct call *call, const struct exchange_route *route,
			      struct sip_text sdp)
{
	struct leg *first;

	if (route->verdict == EXCHANGE_TRUNK)
		outbound_begin(call, route);
	else
		add_branches(call, route);
	first = branch_for_address(call);
	if (!first)
		call_end(call, ENDED_BY_SYSTEM, 480, "callee unreachable");
	else if (call->late)
		call_callees(call, sdp);
	else if (media_offer(call, &call->caller, first, sdp, offered))
		call_end(call, ENDED_BY_SYSTEM, 503, "media unavailable");
}

static void call_route(struct call *call, struct sip_text sdp)
{
	struct exchange *exchange = call->b2bua->options.exchange;
	struct exchange_route route = {.verdict = EXCHANGE_UNKNOWN};

	if (call->trunk)
		exchange->route_trunk(exchange, call->trunk, call->dialled, strlen(call->dialled),
				      &route);
	else
		exchange->route(exchange, call->dialled, strlen(call->dialled), &route);
	snprintf(call->destination, sizeof(call->destination), "%s", route.callee);
	switch (route.verdict) {
	case EXCHANGE_UNKNOWN:
		call_end(call, ENDED_BY_SYSTEM, 404, "unknown number");
		break;
	case EXCHANGE_UNREGISTERED:
		call_end(call, ENDED_BY_SYSTEM, 480, "not registered");
		break;
	case EXCHANGE_ECHO:
		call->echo = true;
		call_moved(call);
		if (call->late)
			call_end(call, ENDED_BY_SYSTEM, 488, "echo needs an offer");
		else
			echo_start(call);
		break;
	case EXCHANGE_TRUNK_BUSY:
		call->reason = route.reason;
		call_end(call, ENDED_BY_SYSTEM, 503, route.reason);
		break;
	case EXCHANGE_TRUNK:
	case EXCHANGE_TARGETS:
		call_moved(call);
		call_ring_targets(call, &route, sdp);
		break;
	}
}

/* Behind a NAT the Via's own idea of the address differs from what we see. */
static bool sender_is_behind_nat(const struct sip_message *request)
{
	struct address said;

	if (address_parse(&said, request->via.host.at, request->via.host.n))
		return false;
	return !address_equal(&said, &request->flow.remote.address);
}

static void call_begin(struct b2bua *b2bua, struct sip_transaction *transaction,
		       const struct sip_message *request, const struct exchange_user *user,
		       const struct exchange_trunk *trunk, const char *dialled,
		       uint32_t max_forwards)
{
	struct call *call = call_create(b2bua, request);
	struct leg *caller = call ? &call->caller : NULL;
	int err;

	if (!call) {
		if (trunk)
			b2bua->options.exchange->trunk_give(b2bua->options.exchange, trunk);
		reply(transaction, 500, NULL, NULL);
		return;
	}
	call->trunk = trunk;
	call_source(call, &request->flow);
	identity_take(call, request);
	call->late = request->body.n == 0;
	err = call->late ? 0
			 : text_keep(&caller->sdp_next, &caller->sdp_next_n, request->body.at,
				     request->body.n);
	if (!err)
		err = sip_dialog_create_uas(b2bua->stack, transaction, request,
					    sip_text_of(dialled), &caller->dialog);
	if (err) {
		call_destroy(call);
		if (err == -EINVAL)
			reply(transaction, 400, "Contact Missing Or Broken", NULL);
		else
			reply_busy(transaction, NULL);
		return;
	}
	caller->dialog->owner = caller;
	caller->invite = transaction;
	caller->nat = sender_is_behind_nat(request);
	sip_transaction_set_owner(transaction, caller);
	call->max_forwards = max_forwards;
	snprintf(call->caller_user, sizeof(call->caller_user), "%s", user->extension);
	snprintf(call->caller_name, sizeof(call->caller_name), "%s", user->name);
	snprintf(call->dialled, sizeof(call->dialled), "%s", dialled);
	call->counted = true;
	overload_take(&b2bua->overload, b2bua_now_ms(b2bua));
	b2bua->live++;
	count(&b2bua->counters->calls);
	atomic_store_explicit(&b2bua->counters->calls_live, b2bua->live, memory_order_relaxed);
	if (b2bua->live > atomic_load_explicit(&b2bua->counters->calls_peak, memory_order_relaxed))
		atomic_store_explicit(&b2bua->counters->calls_peak, b2bua->live,
				      memory_order_relaxed);
	sip_reply(transaction, 100, NULL);
	call_route(call, request->body);
}

/* A caller from outside, who is nobody's user. */
struct stranger {
	struct exchange_user user;
	char number[EXCHANGE_EXTENSION_MAX];
	char name[BOARD_NAME_MAX];
};

static const struct exchange_trunk *trunk_of(struct b2bua *b2bua, const struct sip_message *request)
{
	struct exchange *exchange = b2bua->options.exchange;
	char user[EXCHANGE_EXTENSION_MAX];
	int n = sip_uri_user(&request->uri, user, sizeof(user));

	if (!exchange->find_trunk)
		return NULL;
	return exchange->find_trunk(exchange, &request->flow.remote, user, n > 0 ? (size_t)n : 0);
}

static const struct exchange_user *user_of_trunk(const struct sip_message *request,
						 const struct exchange_trunk *trunk,
						 struct stranger *stranger)
{
	identity_of(request, trunk->trusted, stranger->number, stranger->name);
	stranger->user =
		(struct exchange_user){.extension = stranger->number, .name = stranger->name};
	return &stranger->user;
}

/* Whom the caller wants. A trunk that we registered with calls our Contact; whom it means is in To
 * then. */
static int dialled_of(const struct sip_message *request, const struct exchange_trunk *trunk,
		      char dialled[EXCHANGE_EXTENSION_MAX])
{
	int n = sip_uri_user(&request->uri, dialled, EXCHANGE_EXTENSION_MAX);

	if (trunk && n > 0 && strcmp(dialled, trunk->contact) == 0)
		n = sip_uri_user(&request->to.uri, dialled, EXCHANGE_EXTENSION_MAX);
	return n;
}

void invite_received(struct b2bua *b2bua, struct sip_transaction *transaction,
		     const struct sip_message *request)
{
	int64_t max_forwards = sip_message_number(request, SIP_HEADER_MAX_FORWARDS, 70);
	const struct exchange_trunk *trunk;
	const struct exchange_user *user;
	struct stranger stranger;
	char dialled[EXCHANGE_EXTENSION_MAX];
	const char *busy;

	if (max_forwards <= 0) {
		reply(transaction, max_forwards == 0 ? 483 : 400, NULL, NULL);
		return;
	}
	if (call_is_merged(b2bua, request)) {
		reply(transaction, 482, NULL, NULL);
		return;
	}
	trunk = trunk_of(b2bua, request);
	user = trunk ? user_of_trunk(request, trunk, &stranger)
		     : digest_check(b2bua, transaction, request, request->from.uri.user);
	if (!user || !body_is_sdp(transaction, request))
		return;
	if (dialled_of(request, trunk, dialled) <= 0) {
		reply(transaction, 484, NULL, NULL);
		return;
	}
	if (b2bua->stopping || b2bua->live >= b2bua->options.calls ||
	    !b2bua->options.media.is_connected(b2bua->options.media.arg)) {
		count(&b2bua->counters->calls_refused);
		reply_busy(transaction, NULL);
		return;
	}
	if (trunk && !b2bua->options.exchange->trunk_take(b2bua->options.exchange, trunk, &busy)) {
		count(&b2bua->counters->calls_refused);
		reply_busy(transaction, busy);
		return;
	}
	call_begin(b2bua, transaction, request, user, trunk, dialled,
		   max_forwards > 70 ? 70 : (uint32_t)max_forwards);
}

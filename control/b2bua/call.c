/* A call's life: made at INVITE, ended once, freed when both parties and the dataplane are done. */
#include "control/b2bua/call.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t hash_of(struct sip_text t)
{
	uint32_t hash = 2166136261u; /* FNV-1a; a stranger cannot get here without credentials */

	for (uint32_t i = 0; i < t.n; i++)
		hash = (hash ^ (uint8_t)t.at[i]) * 16777619u;
	return hash;
}

int text_keep(char **field, uint32_t *n, const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	free(*field);
	*field = copy;
	if (n)
		*n = (uint32_t)len;
	return 0;
}

void call_source(struct call *call, const struct sip_flow *flow)
{
	char at[ENDPOINT_TEXT_MAX];

	snprintf(call->source, sizeof(call->source), "%s%s%s:%s",
		 call->trunk ? call->trunk->name : "", call->trunk ? "/" : "",
		 sip_transport_parameter(flow->transport), endpoint_text(&flow->remote, at));
}

struct call *call_create(struct b2bua *b2bua, const struct sip_message *request)
{
	struct call *call = calloc(1, sizeof(*call));
	struct call **bucket;

	if (!call ||
	    text_keep(&call->caller_call_id, NULL, request->call_id.at, request->call_id.n)) {
		free(call);
		return NULL;
	}
	call->b2bua = b2bua;
	call->started_ns = clock_real_ns();
	uuid7_make(call->started_ns, call->id);
	trace_link(b2bua->trace, call->id, TRACE_CALLER, request->call_id);
	call->board_slot = BOARD_NO_SLOT;
	timer_init(&call->timer, call_timer_expired);
	call->caller.call = call;
	call->caller.is_caller = true;
	call->caller.flow = request->flow;
	list_init(&call->caller.node);
	list_init(&call->branches);
	list_init(&call->media);
	list_init(&call->relays);
	call_source(call, &request->flow);
	call->hash = hash_of(request->call_id);
	bucket = &b2bua->by_call_id[call->hash & b2bua->by_call_id_mask];
	call->hash_next = *bucket;
	*bucket = call;
	list_append(&b2bua->calls, &call->node);
	return call;
}

static void call_unlink(struct call *call)
{
	struct b2bua *b2bua = call->b2bua;
	struct call **at = &b2bua->by_call_id[call->hash & b2bua->by_call_id_mask];

	while (*at != call)
		at = &(*at)->hash_next;
	*at = call->hash_next;
	list_remove(&call->node);
}

bool call_is_merged(struct b2bua *b2bua, const struct sip_message *request)
{
	uint32_t hash = hash_of(request->call_id);
	struct call *call = b2bua->by_call_id[hash & b2bua->by_call_id_mask];

	for (; call; call = call->hash_next) {
		const struct sip_dialog *dialog = call->caller.dialog;

		if (call->hash == hash && call->caller.invite && dialog &&
		    dialog->remote_cseq == request->cseq.number &&
		    sip_text_equal(dialog->texts[SIP_DIALOG_CALL_ID], request->call_id) &&
		    sip_text_equal(dialog->texts[SIP_DIALOG_REMOTE_TAG], request->from.tag))
			return true;
	}
	return false;
}

struct call *call_find_id(struct b2bua *b2bua, const char *id)
{
	struct list *node;

	list_each (node, &b2bua->calls) {
		struct call *call = list_entry(node, struct call, node);

		if (strcmp(call->id, id) == 0)
			return call;
	}
	return NULL;
}

/* ---- legs ---- */

struct leg *leg_add(struct call *call)
{
	struct leg *leg = calloc(1, sizeof(*leg));

	if (!leg)
		return NULL;
	leg->call = call;
	list_append(&call->branches, &leg->node);
	return leg;
}

void leg_drop_dialog(struct leg *leg)
{
	struct sip_dialog *dialog = leg->dialog;

	leg->dialog = NULL;
	leg->bye_wanted = false;
	if (dialog) {
		dialog->owner = NULL;
		sip_dialog_destroy(dialog);
	}
}

static void leg_fini(struct leg *leg)
{
	media_forget_leg(leg);
	if (leg->bye)
		sip_client_forget(leg->bye);
	if (leg->outgoing)
		sip_client_forget(leg->outgoing);
	if (leg->invite && !leg->is_caller)
		sip_client_forget(leg->invite);
	leg->bye = leg->outgoing = leg->invite = NULL;
	leg_drop_dialog(leg);
	outbound_drop(leg);
	free(leg->target);
	free(leg->call_id);
	free(leg->sdp);
	free(leg->sdp_next);
}

void leg_free(struct leg *leg)
{
	struct call *call = leg->call;

	if (call->callee == leg)
		call->callee = NULL;
	if (call->early == leg)
		call->early = NULL;
	list_remove(&leg->node);
	leg_fini(leg);
	free(leg);
}

struct leg *leg_other(const struct leg *leg)
{
	return leg->is_caller ? leg->call->callee : &leg->call->caller;
}

void leg_agree(struct leg *leg)
{
	if (!leg->sdp_next)
		return;
	free(leg->sdp);
	leg->sdp = leg->sdp_next;
	leg->sdp_n = leg->sdp_next_n;
	leg->sdp_next = NULL;
	leg->held = leg->held_next;
}

static bool leg_is_done(const struct leg *leg)
{
	return !leg->bye && !leg->bye_wanted && !leg->invite;
}

/* ---- the end ---- */

static void end_caller(struct call *call, uint32_t status)
{
	struct leg *caller = &call->caller;
	struct sip_transaction *invite = caller->invite;

	if (!invite) {
		bye_send(caller);
		return;
	}
	caller->invite = NULL;
	call->final_status = (uint16_t)status;
	if (status == 503)
		reply_busy(invite, call->reason);
	else
		reply(invite, status, NULL, NULL);
	leg_drop_dialog(caller);
}

static void end_branches(struct call *call)
{
	struct list *node, *after;

	list_each_safe (node, after, &call->branches) {
		struct leg *leg = list_entry(node, struct leg, node);

		if (leg->dialog) {
			bye_send(leg);
			continue;
		}
		leg_free(leg);
	}
}

/* A call that is over counts no more, however long the answers to its BYEs take. */
static void release_trunks(struct call *call)
{
	struct exchange *exchange = call->b2bua->options.exchange;
	struct list *node;

	if (call->trunk)
		exchange->trunk_give(exchange, call->trunk);
	call->trunk = NULL;
	list_each (node, &call->branches)
		outbound_drop(list_entry(node, struct leg, node));
}

void call_end(struct call *call, enum ended_by by, uint32_t status, const char *cause)
{
	struct b2bua *b2bua = call->b2bua;
	struct list *node;

	if (call->phase == CALL_ENDING)
		return;
	call->phase = CALL_ENDING;
	call->ended_by = by;
	call->cause = cause;
	call->ended_ns = clock_real_ns();
	timer_stop(b2bua->timers, &call->timer);
	media_forget(call);
	relay_drop_all(call);
	reinvite_drop(&call->caller);
	list_each (node, &call->branches)
		reinvite_drop(list_entry(node, struct leg, node));
	end_caller(call, status);
	end_branches(call);
	release_trunks(call);
	board_hide_call(b2bua->options.board, &call->board_slot);
	if (call->counted) {
		call->counted = false;
		b2bua->live--;
		atomic_store_explicit(&b2bua->counters->calls_live, b2bua->live,
				      memory_order_relaxed);
	}
	if (!call->answered_ns)
		count(&b2bua->counters->calls_failed);
	log_debug("call %s ended: %s", call->id, cause);
	media_delete(call);
	call_settle(call);
}

void call_settle(struct call *call)
{
	struct list *node;

	if (call->phase != CALL_ENDING || !call->accounted || !list_is_empty(&call->media) ||
	    !leg_is_done(&call->caller))
		return;
	list_each (node, &call->branches)
		if (!leg_is_done(list_entry(node, struct leg, node)))
			return;
	call_destroy(call);
}

void call_destroy(struct call *call)
{
	timer_stop(call->b2bua->timers, &call->timer);
	media_forget(call);
	relay_drop_all(call);
	while (!list_is_empty(&call->branches))
		leg_free(list_entry(call->branches.next, struct leg, node));
	leg_fini(&call->caller);
	board_hide_call(call->b2bua->options.board, &call->board_slot);
	call_unlink(call);
	if (call->trunk)
		call->b2bua->options.exchange->trunk_give(call->b2bua->options.exchange,
							  call->trunk);
	free(call->identity);
	free(call->caller_call_id);
	free(call->callee_call_id);
	free(call);
}

/* What the callees answer to our INVITE, and what the caller gets to hear of it. */
#include "control/b2bua/call.h"

#include <errno.h>
#include <string.h>

/* ---- to the caller ---- */

static int respond(struct call *call, uint32_t status, struct sip_text sdp)
{
	char buffer[B2BUA_BUFFER + B2BUA_SDP_MAX];
	struct sip_response response;

	sip_response_begin(&response, call->caller.invite, status, NULL, buffer, sizeof(buffer));
	sip_dialog_put_contact(&response.builder, call->caller.dialog);
	sip_put_string(&response.builder, "Allow: " B2BUA_ALLOW "\r\n");
	return sip_response_send(&response, "application/sdp", sdp);
}

void call_ring(struct call *call, uint32_t status, struct sip_text sdp)
{
	if (call->phase != CALL_RINGING || (sdp.n == 0 && status == call->provisional))
		return;
	call->provisional = (uint16_t)status;
	respond(call, status, sdp);
	if (!call->ringing_ns) {
		call->ringing_ns = clock_real_ns();
		call_moved(call);
	}
}

void call_answer(struct call *call, struct sip_text sdp)
{
	struct b2bua *b2bua = call->b2bua;

	if (respond(call, 200, sdp)) {
		call_end(call, ENDED_BY_SYSTEM, 500, "answer too long");
		return;
	}
	call->caller.invite = NULL;
	call->final_status = 200;
	call->phase = CALL_UP;
	call->answered_ns = clock_real_ns();
	if (!call->late)
		leg_agree(&call->caller);
	if (call->callee && !call->late)
		leg_agree(call->callee);
	count(&b2bua->counters->calls_answered);
	if (b2bua->options.record)
		media_record(call);
	call_moved(call);
	timer_start(b2bua->timers, &call->timer, b2bua_now_ms(b2bua) + B2BUA_AUDIT_MS);
}

/* ---- provisional ---- */

static void early_anchored(struct call *call, struct leg *leg, const struct media_result *result)
{
	(void)leg;
	call_ring(call, call->early_status, result->sdp);
}

struct sip_text sdp_of(const struct sip_message *message)
{
	if (message->body.n && message->body.n <= B2BUA_SDP_MAX &&
	    sip_text_is(sip_message_content_type(message), "application/sdp"))
		return message->body;
	return (struct sip_text){0};
}

/* Early media of one branch only: what several send at once cannot be heard together. */
static void branch_rings(struct leg *leg, uint32_t status, const struct sip_message *response)
{
	struct call *call = leg->call;
	struct sip_text sdp = sdp_of(response);

	if (status == 100 || status == 199 || call->phase != CALL_RINGING)
		return;
	if (sdp.n && !call->late && (!call->early || call->early == leg)) {
		call->early = leg;
		call->early_status = (uint16_t)status;
		if (!media_answer(call, leg, &call->caller, sdp, early_anchored))
			return;
	}
	call_ring(call, status, (struct sip_text){0});
}

/* ---- 2xx ---- */

static void anchored(struct call *call, struct leg *callee, const struct media_result *result)
{
	(void)callee;
	if (result->sdp.at)
		call_answer(call, result->sdp);
	else
		call_end(call, ENDED_BY_SYSTEM, result->status, "media refused");
}

/* The first to answer wins; the others are cancelled. */
static void branch_wins(struct leg *leg)
{
	struct call *call = leg->call;
	struct list *node, *after;

	call->callee = leg;
	call->phase = CALL_ANSWERING;
	timer_stop(call->b2bua->timers, &call->timer);
	call->callee_call_id = leg->call_id;
	leg->call_id = NULL;
	list_each_safe (node, after, &call->branches) {
		struct leg *other = list_entry(node, struct leg, node);

		if (other != leg)
			leg_free(other);
	}
}

static void branch_answers(struct leg *leg, struct sip_transaction *transaction,
			   const struct sip_message *response)
{
	struct call *call = leg->call;
	struct sip_text sdp = sdp_of(response);

	if (sip_dialog_create_uac(call->b2bua->stack, response, sip_transaction_flow(transaction),
				  sip_text_of(leg->outbound ? outbound_contact(leg)
							    : call->caller_user),
				  &leg->dialog)) {
		leg->dialog = NULL;
		call_end(call, ENDED_BY_SYSTEM, 502, "callee's answer is unusable");
		return;
	}
	leg->dialog->owner = leg;
	if (leg->nat)
		sip_dialog_set_flow(leg->dialog, sip_transaction_flow(transaction));
	branch_wins(leg);
	if (call->late) {
		late_answered(leg, response);
		return;
	}
	sip_dialog_ack(leg->dialog, response->cseq.number, NULL, (struct sip_text){0});
	if (!sdp.n) {
		call_end(call, ENDED_BY_SYSTEM, 488, "callee's answer has no SDP");
		return;
	}
	if (text_keep(&leg->sdp_next, &leg->sdp_next_n, sdp.at, sdp.n) ||
	    media_answer(call, leg, &call->caller, sdp, anchored))
		call_end(call, ENDED_BY_SYSTEM, 503, "media unavailable");
}

/* ---- failure ---- */

struct failure {
	uint16_t status; /* of the callee; 0 ends the table */
	uint16_t to_caller;
	const char *cause;
};

/* What concerns only our side of the call is told to the caller in other words (RFC 3261 16.7). */
static const struct failure failures[] = {
	{401, 500, "callee wants credentials"},
	{404, 404, "callee unknown at its phone"},
	{407, 500, "callee wants credentials"},
	{408, 480, "callee unreachable"},
	{415, 488, "callee cannot take the media"},
	{420, 500, "callee wants an extension"},
	{421, 500, "callee wants an extension"},
	{480, 480, "callee unavailable"},
	{481, 500, "callee lost the call"},
	{486, 486, "busy here"},
	{487, 480, "callee unavailable"},
	{488, 488, "callee cannot take the media"},
	{491, 480, "callee unavailable"},
	{503, 480, "callee unreachable"},
	{600, 600, "busy everywhere"},
	{603, 603, "declined"},
	{604, 604, "callee does not exist"},
	{606, 606, "callee cannot take the media"},
	{0, 0, NULL},
};

static uint32_t to_caller(uint32_t status, const char **cause)
{
	for (const struct failure *f = failures; f->status; f++) {
		if (f->status == status) {
			*cause = f->cause;
			return f->to_caller;
		}
	}
	*cause = "callee refused";
	if (status < 400)
		return 480; /* redirections are not followed */
	return status > 699 ? 500 : status;
}

/* RFC 3261 16.7 step 6: 6xx first, then the lowest class; busy tells more than the rest of 4xx. */
static bool is_better(uint32_t status, uint32_t best)
{
	if (best == 0)
		return true;
	if (best >= 600 || status >= 600)
		return status >= 600 && best < 600;
	if (status / 100 != best / 100)
		return status / 100 < best / 100;
	return status == 486 && best != 486;
}

void branches_exhausted(struct call *call)
{
	const char *cause;
	uint32_t status = to_caller(call->best_status ? call->best_status : 408, &cause);

	call_end(call, call->best_status ? ENDED_BY_CALLEE : ENDED_BY_SYSTEM, status, cause);
}

static void branch_fails(struct leg *leg, uint32_t status)
{
	struct call *call = leg->call;

	if (is_better(status, call->best_status))
		call->best_status = (uint16_t)status;
	leg_free(leg);
	/* 6xx speaks for all (RFC 3261 16.7 step 5). */
	if (status >= 600 || list_is_empty(&call->branches))
		branches_exhausted(call);
}

void invite_answered(void *owner, struct sip_transaction *transaction, uint32_t status,
		     const struct sip_message *response)
{
	struct leg *leg = owner;

	if (status < 200) {
		branch_rings(leg, status, response);
		return;
	}
	leg->invite = NULL;
	if (leg->outbound && status >= 300 && outbound_again(leg, status, response))
		return;
	if (status < 300)
		branch_answers(leg, transaction, response);
	else
		branch_fails(leg, status);
}

/*
 * Late offers (RFC 3261 13.2.1): an INVITE without SDP asks the other side for the offer, and the
 * ACK brings the answer. The same for a call's beginning and for a re-INVITE.
 *
 *   X --INVITE--> Y --200 offer--> ng offer --200 offer--> X --ACK answer--> ng answer --ACK--> Y
 */
#include "control/b2bua/call.h"

/* An offer that gets no answer cannot be taken back: the session ends (13.2.2.4). */
static void give_up(struct call *call, const struct media_result *result, const char *cause)
{
	reinvite_refuse(&call->caller, result ? result->status : 488, NULL);
	if (call->callee)
		reinvite_refuse(call->callee, result ? result->status : 488, NULL);
	call_end(call, ENDED_BY_SYSTEM, result ? result->status : 488, cause);
}

static void initial_offered(struct call *call, struct leg *callee,
			    const struct media_result *result)
{
	(void)callee;
	if (!result->sdp.at) {
		give_up(call, result, "media refused");
		return;
	}
	call->caller.late = true;
	call_answer(call, result->sdp);
}

void late_answered(struct leg *callee, const struct sip_message *response)
{
	struct call *call = callee->call;
	struct sip_text sdp = sdp_of(response);

	callee->ack_cseq = response->cseq.number;
	if (!sdp.n)
		give_up(call, NULL, "callee made no offer");
	else if (text_keep(&callee->sdp_next, &callee->sdp_next_n, sdp.at, sdp.n) ||
		 media_offer(call, callee, &call->caller, sdp, initial_offered))
		give_up(call, NULL, "media unavailable");
}

/* ---- re-INVITE ---- */

void late_reinvite(struct leg *leg)
{
	struct leg *other = leg_other(leg);
	char buffer[B2BUA_BUFFER];
	struct sip_request request;

	if (sip_dialog_request_begin(&request, other->dialog, SIP_METHOD_INVITE, NULL, buffer,
				     sizeof(buffer)))
		goto failed;
	sip_put_string(&request.builder, "Allow: " B2BUA_ALLOW "\r\n");
	if (sip_request_send(&request, NULL, (struct sip_text){0}, reinvite_answered, other,
			     &other->outgoing))
		goto failed;
	leg->late = true;
	return;
failed:
	other->outgoing = NULL;
	reinvite_refuse(leg, 500, NULL);
}

static void again_offered(struct call *call, struct leg *offerer, const struct media_result *result)
{
	struct leg *answerer = leg_other(offerer);

	if (!result->sdp.at || !answerer->reinvite)
		give_up(call, result->sdp.at ? NULL : result, "media refused");
	else
		reinvite_accept(answerer, result->sdp);
}

void late_accepted(struct leg *offerer, const struct sip_message *response)
{
	struct call *call = offerer->call;
	struct leg *answerer = leg_other(offerer);
	struct sip_text sdp = sdp_of(response);

	sip_dialog_update(offerer->dialog, response);
	offerer->held_next = sdp_is_hold(sdp);
	offerer->ack_cseq = response->cseq.number;
	if (!sdp.n || !answerer->reinvite ||
	    text_keep(&offerer->sdp_next, &offerer->sdp_next_n, sdp.at, sdp.n) ||
	    media_offer(call, offerer, answerer, sdp, again_offered))
		give_up(call, NULL, "no offer to a re-INVITE without one");
}

/* ---- the answer, in both cases ---- */

static void answered(struct call *call, struct leg *answerer, const struct media_result *result)
{
	struct leg *offerer = leg_other(answerer);

	if (!result->sdp.at) {
		give_up(call, result, "media refused");
		return;
	}
	sip_dialog_ack(offerer->dialog, offerer->ack_cseq, "application/sdp", result->sdp);
	offerer->ack_cseq = 0;
	leg_agree(offerer);
	leg_agree(answerer);
	call_show(call);
}

void late_acknowledged(struct leg *leg, const struct sip_message *ack)
{
	struct call *call = leg->call;
	struct leg *offerer = leg_other(leg);
	struct sip_text sdp = sdp_of(ack);

	leg->late = false;
	leg->held_next = sdp_is_hold(sdp);
	if (!sdp.n || !offerer || !offerer->ack_cseq ||
	    text_keep(&leg->sdp_next, &leg->sdp_next_n, sdp.at, sdp.n) ||
	    media_answer(call, leg, offerer, sdp, answered))
		give_up(call, NULL, "no answer in the ACK");
}

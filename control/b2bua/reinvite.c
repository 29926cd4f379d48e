/*
 * re-INVITE: one party changes the session (hold, resume, codecs, address); the other is asked.
 *
 *   X --INVITE--> ng offer --INVITE--> Y --200--> ng answer --200--> X
 *
 * A refusal leaves the call, and the dataplane, as they were (RFC 3261 14.1, 14.2).
 */
#include "control/b2bua/call.h"

#include <string.h>

static bool has_line(struct sip_text sdp, const char *line)
{
	return sdp.n > 0 && memmem(sdp.at, sdp.n, line, strlen(line)) != NULL;
}

/* RFC 3264 8.4, and the older way of RFC 2543. */
bool sdp_is_hold(struct sip_text sdp)
{
	return has_line(sdp, "\na=sendonly") || has_line(sdp, "\na=inactive") ||
	       has_line(sdp, "\nc=IN IP4 0.0.0.0");
}

void reinvite_refuse(struct leg *leg, uint32_t status, const char *reason)
{
	struct sip_transaction *transaction = leg->reinvite;

	leg->reinvite = NULL;
	if (!transaction)
		return;
	if (status == 503)
		reply_busy(transaction, reason);
	else
		reply(transaction, status, reason, NULL);
}

void reinvite_accept(struct leg *leg, struct sip_text sdp)
{
	char buffer[B2BUA_BUFFER + B2BUA_SDP_MAX];
	struct sip_transaction *transaction = leg->reinvite;
	struct sip_response response;

	leg->reinvite = NULL;
	if (!transaction)
		return; /* cancelled meanwhile, too late for the other side */
	sip_response_begin(&response, transaction, 200, NULL, buffer, sizeof(buffer));
	sip_dialog_put_contact(&response.builder, leg->dialog);
	sip_put_string(&response.builder, "Allow: " B2BUA_ALLOW "\r\n");
	if (sip_response_send(&response, "application/sdp", sdp))
		reply(transaction, 500, NULL, NULL);
}

void reinvite_drop(struct leg *leg)
{
	struct leg *other = leg_other(leg);

	reinvite_refuse(leg, 487, NULL);
	if (leg->call->phase != CALL_ENDING) {
		if (other && other->outgoing)
			sip_client_cancel(other->outgoing);
		return;
	}
	if (leg->outgoing) {
		sip_client_forget(leg->outgoing);
		leg->outgoing = NULL;
	}
}

/* The dataplane took the answer: the re-INVITE succeeded. */
static void reanswered(struct call *call, struct leg *answerer, const struct media_result *result)
{
	struct leg *offerer = leg_other(answerer);

	if (!result->sdp.at) {
		media_rollback(call, offerer, answerer);
		reinvite_refuse(offerer, result->status, result->reason);
		return;
	}
	leg_agree(offerer);
	leg_agree(answerer);
	call_show(call);
	reinvite_accept(offerer, result->sdp);
}

static void accepted(struct leg *answerer, const struct sip_message *response)
{
	struct call *call = answerer->call;
	struct leg *offerer = leg_other(answerer);
	struct sip_text sdp = sdp_of(response);

	sip_dialog_update(answerer->dialog, response);
	sip_dialog_ack(answerer->dialog, response->cseq.number, NULL, (struct sip_text){0});
	if (sdp.n && !text_keep(&answerer->sdp_next, &answerer->sdp_next_n, sdp.at, sdp.n)) {
		answerer->held_next = answerer->held && sdp_is_hold(sdp);
		if (!media_answer(call, answerer, offerer, sdp, reanswered))
			return;
	}
	media_rollback(call, offerer, answerer);
	reinvite_refuse(offerer, 488, NULL);
}

void reinvite_answered(void *owner, struct sip_transaction *transaction, uint32_t status,
		       const struct sip_message *response)
{
	struct leg *answerer = owner;
	struct leg *offerer = leg_other(answerer);
	struct call *call = answerer->call;

	(void)transaction;
	if (status < 200)
		return;
	answerer->outgoing = NULL;
	if (status < 300 && offerer->late) {
		late_accepted(answerer, response);
		return;
	}
	if (status < 300) {
		accepted(answerer, response);
		return;
	}
	if (offerer->late)
		offerer->late = false; /* the dataplane was not asked */
	else
		media_rollback(call, offerer, answerer);
	/* RFC 3261 12.2.1.2: no answer, or no such dialog there: the call is over. */
	if (status == 481 || status == 408) {
		reinvite_refuse(offerer, status, NULL);
		leg_drop_dialog(answerer);
		call_end(call, ENDED_BY_SYSTEM, status, "dialog lost");
		return;
	}
	reinvite_refuse(offerer, status == 401 || status == 407 ? 488 : status, NULL);
}

static void reoffered(struct call *call, struct leg *offerer, const struct media_result *result)
{
	struct leg *answerer = leg_other(offerer);
	char buffer[B2BUA_BUFFER + B2BUA_SDP_MAX];
	struct sip_request request;

	if (!result->sdp.at) {
		reinvite_refuse(offerer, result->status, result->reason);
		return;
	}
	if (!offerer->reinvite) { /* cancelled meanwhile */
		media_rollback(call, offerer, answerer);
		return;
	}
	if (sip_dialog_request_begin(&request, answerer->dialog, SIP_METHOD_INVITE, NULL, buffer,
				     sizeof(buffer)))
		goto failed;
	sip_put_string(&request.builder, "Allow: " B2BUA_ALLOW "\r\n");
	if (sip_request_send(&request, "application/sdp", result->sdp, reinvite_answered, answerer,
			     &answerer->outgoing) == 0)
		return;
failed:
	answerer->outgoing = NULL;
	media_rollback(call, offerer, answerer);
	reinvite_refuse(offerer, 500, NULL);
}

void reinvite_received(struct leg *leg, struct sip_transaction *transaction,
		       const struct sip_message *request)
{
	struct call *call = leg->call;
	struct leg *other = leg_other(leg);

	if (call->phase == CALL_ENDING) {
		reply(transaction, 481, NULL, NULL);
		return;
	}
	/* RFC 3261 14.2: a second one while the first is open, and glare. */
	if (leg->reinvite || call->phase != CALL_UP) {
		reply(transaction, 500, "Another Change Is Under Way", "Retry-After: 3\r\n");
		return;
	}
	if (leg->outgoing || leg->late || leg->ack_cseq ||
	    (other && (other->reinvite || other->outgoing || other->late || other->ack_cseq))) {
		reply(transaction, 491, NULL, NULL);
		return;
	}
	if (!body_is_sdp(transaction, request))
		return;
	if (request->body.n == 0 && call->echo) {
		reply(transaction, 488, NULL, NULL);
		return;
	}
	if (text_keep(&leg->sdp_next, &leg->sdp_next_n, request->body.at, request->body.n)) {
		reply(transaction, 500, NULL, NULL);
		return;
	}
	leg->held_next = sdp_is_hold(request->body);
	sip_dialog_update(leg->dialog, request);
	leg->reinvite = transaction;
	sip_transaction_set_owner(transaction, leg);
	sip_reply(transaction, 100, NULL);
	if (request->body.n == 0)
		late_reinvite(leg);
	else if (call->echo)
		echo_restart(call);
	else if (media_offer(call, leg, other, request->body, reoffered))
		reinvite_refuse(leg, 503, NULL);
}

/* The echo has answered the caller's re-INVITE. */
void reinvite_echoed(struct call *call, const struct media_result *result)
{
	struct leg *caller = &call->caller;

	if (!result->sdp.at) {
		reinvite_refuse(caller, result->status, result->reason);
		return;
	}
	leg_agree(caller);
	call_show(call);
	reinvite_accept(caller, result->sdp);
}

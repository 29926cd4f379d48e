/* BYE, from either side and to either side, and the caller's CANCEL (RFC 3261 9.2, 15). */
#include "control/b2bua/call.h"

static void bye_answered(void *owner, struct sip_transaction *transaction, uint32_t status,
			 const struct sip_message *response)
{
	struct leg *leg = owner;
	struct call *call = leg->call;

	(void)transaction;
	(void)response;
	if (status < 200)
		return;
	leg->bye = NULL;
	leg_drop_dialog(leg);
	call_settle(call);
}

void bye_send(struct leg *leg)
{
	char buffer[B2BUA_BUFFER];
	struct sip_request request;

	if (!leg->dialog || leg->bye)
		return;
	if (sip_dialog_is_accepting(leg->dialog)) {
		leg->bye_wanted = true;
		return;
	}
	leg->bye_wanted = false;
	if (leg->ack_cseq)
		sip_dialog_ack(leg->dialog, leg->ack_cseq, NULL, (struct sip_text){0});
	leg->ack_cseq = 0;
	if (sip_dialog_request_begin(&request, leg->dialog, SIP_METHOD_BYE, NULL, buffer,
				     sizeof(buffer)) ||
	    sip_request_send(&request, NULL, (struct sip_text){0}, bye_answered, leg, &leg->bye)) {
		leg->bye = NULL;
		leg_drop_dialog(leg);
	}
}

void bye_due(struct leg *leg)
{
	struct call *call = leg->call;

	if (!leg->bye_wanted)
		return;
	bye_send(leg);
	call_settle(call);
}

/* When both hang up at once, our BYE to this party is under way already: its dialog stays until
 * that is answered. */
void bye_received(struct leg *leg, struct sip_transaction *transaction)
{
	struct call *call = leg->call;
	bool early = leg->is_caller && leg->invite;

	reply(transaction, 200, NULL, NULL);
	if (early) {
		caller_cancelled(call);
		return;
	}
	reinvite_drop(leg);
	if (!leg->bye)
		leg_drop_dialog(leg);
	if (call->phase != CALL_ENDING)
		call_end(call, leg->is_caller ? ENDED_BY_CALLER : ENDED_BY_CALLEE, 487,
			 "normal clearing");
	else
		call_settle(call);
}

void caller_cancelled(struct call *call)
{
	call_end(call, ENDED_BY_CALLER, 487, "caller cancelled");
}

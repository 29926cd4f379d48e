/* Requests inside a call that mean something only to the parties: passed from leg to leg. */
#include "control/b2bua/call.h"

#include <stdlib.h>

struct relay {
	struct list node; /* in call->relays */
	struct call *call;
	struct sip_transaction *from;
	struct sip_transaction *to;
};

static void relay_free(struct relay *relay)
{
	list_remove(&relay->node);
	relay->call->relays_count--;
	free(relay);
}

static void relay_answered(void *owner, struct sip_transaction *transaction, uint32_t status,
			   const struct sip_message *response)
{
	struct relay *relay = owner;

	(void)transaction;
	(void)response;
	if (status < 200)
		return;
	/* Credentials and dialogs of the far side are no business of this one. */
	if (status == 401 || status == 407 || status == 481)
		status = 500;
	reply(relay->from, status, NULL, NULL);
	relay_free(relay);
}

static bool relay_send(struct relay *relay, struct leg *to, const struct sip_message *request)
{
	char buffer[B2BUA_BUFFER + B2BUA_SDP_MAX];
	char type[128];
	struct sip_request out;

	sip_text_copy(sip_message_header(request, SIP_HEADER_CONTENT_TYPE), type, sizeof(type));
	if (request->body.n > B2BUA_SDP_MAX ||
	    sip_dialog_request_begin(&out, to->dialog, request->method, NULL, buffer,
				     sizeof(buffer)))
		return false;
	return !sip_request_send(&out, type, request->body, relay_answered, relay, &relay->to);
}

void relay_received(struct leg *leg, struct sip_transaction *transaction,
		    const struct sip_message *request)
{
	struct call *call = leg->call;
	struct leg *other = leg_other(leg);
	struct relay *relay;

	if (call->echo) {
		reply(transaction, 200, NULL, NULL);
		return;
	}
	if (call->phase != CALL_UP || !other || !other->dialog) {
		reply(transaction, 481, NULL, NULL);
		return;
	}
	relay = call->relays_count < B2BUA_RELAYS_MAX ? calloc(1, sizeof(*relay)) : NULL;
	if (!relay) {
		reply_busy(transaction, NULL);
		return;
	}
	relay->call = call;
	relay->from = transaction;
	list_append(&call->relays, &relay->node);
	call->relays_count++;
	if (!relay_send(relay, other, request)) {
		reply(transaction, 500, NULL, NULL);
		relay_free(relay);
	}
}

void relay_drop_all(struct call *call)
{
	while (!list_is_empty(&call->relays)) {
		struct relay *relay = list_entry(call->relays.next, struct relay, node);

		sip_client_forget(relay->to);
		reply(relay->from, 487, NULL, NULL);
		relay_free(relay);
	}
}

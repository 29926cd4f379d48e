/* What a dialog sends: requests, the ACK of a 2xx, and its own 2xx until that is acknowledged. */
#include "control/sip/internal.h"

#include <errno.h>
#include <stdlib.h>

static char *bytes_copy(const char *bytes, uint32_t n)
{
	char *copy = malloc(n);

	if (copy)
		memcpy(copy, bytes, n);
	return copy;
}

static void put_tagged(struct sip_builder *b, const char *name, struct sip_text address,
		       struct sip_text tag)
{
	sip_put_string(b, name);
	sip_put_bytes(b, ": ", 2);
	sip_put_text(b, address);
	if (tag.n > 0) {
		sip_put_string(b, ";tag=");
		sip_put_text(b, tag);
	}
	sip_put_bytes(b, "\r\n", 2);
}

/* Request-URI and Route (12.2.1.1). A first route without lr is a strict router: it becomes the
 * Request-URI and the target goes to the end. */
static void put_target(struct sip_request *request, const struct sip_dialog *dialog,
		       const char *method)
{
	struct sip_builder *b = &request->builder;
	struct sip_text rest = dialog->texts[SIP_DIALOG_ROUTE_SET];
	struct sip_text target = dialog->texts[SIP_DIALOG_REMOTE_TARGET];
	struct sip_text first;
	struct sip_address route;
	bool strict = sip_value_split(&rest, &first) && sip_address_parse(&route, first) == 0 &&
		      !sip_uri_parameter(&route.uri, "lr", NULL);

	sip_put_string(b, method);
	request->method_text = (struct sip_text){b->bytes, b->n};
	sip_put_bytes(b, " ", 1);
	sip_put_text(b, strict ? route.uri.text : target);
	sip_put_string(b, " SIP/2.0\r\n");
	request->branch = client_put_via(b, dialog->stack, &request->flow);
	if (strict) {
		sip_put_string(b, "Route: ");
		rest = sip_text_trim(rest);
		sip_put_text(b, rest);
		sip_put_string(b, rest.n > 0 ? ", <" : "<");
		sip_put_text(b, target);
		sip_put_string(b, ">\r\n");
	} else if (dialog->texts[SIP_DIALOG_ROUTE_SET].n > 0) {
		sip_put_header(b, "Route", dialog->texts[SIP_DIALOG_ROUTE_SET]);
	}
}

static bool carries_contact(enum sip_method method)
{
	return method == SIP_METHOD_INVITE || method == SIP_METHOD_UPDATE ||
	       method == SIP_METHOD_SUBSCRIBE || method == SIP_METHOD_NOTIFY ||
	       method == SIP_METHOD_REFER;
}

static int request_begin(struct sip_request *request, struct sip_dialog *dialog,
			 enum sip_method method, const char *method_text, uint32_t cseq,
			 char *buffer, uint32_t size)
{
	struct sip_builder *b = &request->builder;
	const struct sip_text *texts = dialog->texts;
	int rc;

	memset(request, 0, sizeof(*request));
	request->stack = dialog->stack;
	request->dialog = dialog;
	request->method = method;
	request->flow = dialog->flow;
	rc = sip_flow_resolve(dialog->stack, &request->flow);
	if (rc < 0)
		return rc;
	dialog->flow.local = request->flow.local;
	sip_builder_init(b, buffer, size);
	put_target(request, dialog, method_text);
	sip_put_string(b, "Max-Forwards: 70\r\n");
	put_tagged(b, "From", texts[SIP_DIALOG_LOCAL_URI], texts[SIP_DIALOG_LOCAL_TAG]);
	put_tagged(b, "To", texts[SIP_DIALOG_REMOTE_URI], texts[SIP_DIALOG_REMOTE_TAG]);
	sip_put_header(b, "Call-ID", texts[SIP_DIALOG_CALL_ID]);
	sip_put_header_format(b, "CSeq", "%u %s", cseq, method_text);
	if (carries_contact(method))
		sip_dialog_put_contact(b, dialog);
	put_product(b, dialog->stack, "User-Agent");
	return 0;
}

int sip_dialog_request_begin(struct sip_request *request, struct sip_dialog *dialog,
			     enum sip_method method, const char *method_text, char *buffer,
			     uint32_t size)
{
	int rc = request_begin(request, dialog, method,
			       method_text ? method_text : sip_method_name(method),
			       dialog->local_cseq + 1, buffer, size);

	assert(method != SIP_METHOD_ACK && method != SIP_METHOD_CANCEL);
	if (rc == 0)
		dialog->local_cseq++;
	return rc;
}

void sip_dialog_put_contact(struct sip_builder *b, const struct sip_dialog *dialog)
{
	struct sip_flow flow = dialog->flow;

	if (sip_flow_resolve(dialog->stack, &flow) < 0)
		flow = dialog->flow;
	b->sips = dialog->secure;
	sip_put_contact(b, &flow, dialog->texts[SIP_DIALOG_LOCAL_CONTACT], NULL);
}

int sip_dialog_ack(struct sip_dialog *dialog, uint32_t cseq, const char *content_type,
		   struct sip_text body)
{
	struct sip_stack *stack = dialog->stack;
	struct sip_request ack;
	char *copy;
	int rc = request_begin(&ack, dialog, SIP_METHOD_ACK, "ACK", cseq, stack->scratch,
			       sizeof(stack->scratch));

	if (rc < 0)
		return rc;
	sip_put_body(&ack.builder, content_type, body);
	rc = sip_builder_result(&ack.builder);
	if (rc < 0)
		return rc;
	copy = bytes_copy(ack.builder.bytes, ack.builder.n);
	if (!copy) {
		count(stack, SIP_COUNTER_no_memory);
		return -ENOMEM;
	}
	free(dialog->ack_bytes);
	dialog->ack_bytes = copy;
	dialog->ack_n = ack.builder.n;
	dialog->ack_cseq = cseq;
	dialog->ack_flow = ack.flow;
	return stack_send(stack, &dialog->ack_flow, copy, dialog->ack_n);
}

void dialog_repeat_ack(struct sip_dialog *dialog, uint32_t cseq)
{
	if (!dialog->ack_bytes || dialog->ack_cseq != cseq)
		return;
	count(dialog->stack, SIP_COUNTER_requests_retransmitted);
	stack_send(dialog->stack, &dialog->ack_flow, dialog->ack_bytes, dialog->ack_n);
}

void dialog_decline(struct sip_stack *stack, const struct sip_message *response,
		    const struct sip_flow *flow)
{
	struct sip_dialog *dialog;
	struct sip_request bye;

	if (sip_dialog_create_uac(stack, response, flow, (struct sip_text){NULL, 0}, &dialog) < 0)
		return;
	dialog->declined = true;
	timer_start(stack->timers, &dialog->accept_timer, sip_stack_now_ms(stack) + 64 * SIP_T1_MS);
	sip_dialog_ack(dialog, response->cseq.number, NULL, (struct sip_text){NULL, 0});
	if (sip_dialog_request_begin(&bye, dialog, SIP_METHOD_BYE, NULL, stack->scratch,
				     sizeof(stack->scratch)) == 0)
		sip_request_send(&bye, NULL, (struct sip_text){NULL, 0}, NULL, NULL, NULL);
}

/* ---- our 2xx ---- */

void dialog_accept_stop(struct sip_dialog *dialog)
{
	timer_stop(dialog->stack->timers, &dialog->accept_timer);
	free(dialog->accept_bytes);
	dialog->accept_bytes = NULL;
	dialog->accept_n = 0;
}

int dialog_accept(struct sip_dialog *dialog, const struct sip_transaction *t, const char *bytes,
		  uint32_t n, uint32_t cseq)
{
	struct sip_stack *stack = dialog->stack;
	uint64_t now_ms = sip_stack_now_ms(stack);
	char *copy = bytes_copy(bytes, n);

	if (!copy) {
		count(stack, SIP_COUNTER_no_memory);
		return -ENOMEM;
	}
	dialog_accept_stop(dialog);
	dialog->accept_bytes = copy;
	dialog->accept_n = n;
	dialog->accept_cseq = cseq;
	dialog->accept_flow = t->flow;
	dialog->accept_interval_ms = SIP_T1_MS;
	dialog->accept_give_up_ms = now_ms + 64 * SIP_T1_MS;
	dialog->state = SIP_DIALOG_CONFIRMED;
	timer_start(stack->timers, &dialog->accept_timer, now_ms + SIP_T1_MS);
	return 0;
}

void dialog_accept_expired(struct timer *timer, uint64_t now_ms)
{
	struct sip_dialog *dialog = list_entry(timer, struct sip_dialog, accept_timer);
	struct sip_stack *stack = dialog->stack;
	uint64_t at_ms;

	if (dialog->declined) {
		sip_dialog_destroy(dialog);
		return;
	}
	if (now_ms >= dialog->accept_give_up_ms) {
		count(stack, SIP_COUNTER_unacknowledged);
		dialog_accept_stop(dialog);
		stack->user->unacknowledged(stack->user_argument, dialog);
		return;
	}
	stack_send(stack, &dialog->accept_flow, dialog->accept_bytes, dialog->accept_n);
	count(stack, SIP_COUNTER_responses_retransmitted);
	dialog->accept_interval_ms = dialog->accept_interval_ms * 2 < SIP_T2_MS
					     ? dialog->accept_interval_ms * 2
					     : SIP_T2_MS;
	at_ms = now_ms + dialog->accept_interval_ms;
	if (at_ms > dialog->accept_give_up_ms)
		at_ms = dialog->accept_give_up_ms;
	timer_start(stack->timers, &dialog->accept_timer, at_ms);
}

bool sip_dialog_is_accepting(const struct sip_dialog *dialog)
{
	return dialog->accept_bytes != NULL;
}

void dialog_acknowledged(struct sip_dialog *dialog, const struct sip_message *ack)
{
	struct sip_stack *stack = dialog->stack;

	if (!dialog->accept_bytes || dialog->accept_cseq != ack->cseq.number) {
		count(stack, SIP_COUNTER_retransmissions_received);
		return;
	}
	dialog_follow(dialog, ack);
	dialog_accept_stop(dialog);
	stack->user->acknowledged(stack->user_argument, dialog, ack);
}

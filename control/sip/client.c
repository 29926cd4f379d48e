/* Client transactions: RFC 3261 17.1, RFC 6026 7.2, CANCEL of 9.1. */
#include "control/sip/internal.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t now(const struct sip_transaction *t)
{
	return sip_stack_now_ms(t->stack);
}

static bool is_reliable(const struct sip_transaction *t)
{
	return sip_transport_is_reliable(t->flow.transport);
}

struct sip_text client_put_via(struct sip_builder *b, struct sip_stack *stack,
			       const struct sip_flow *flow)
{
	char branch[SIP_TOKEN_CHARACTERS + 1];
	struct sip_text its;

	stack_token(stack, branch, SIP_TOKEN_CHARACTERS);
	sip_put_string(b, "Via: SIP/2.0/");
	sip_put_string(b, sip_transport_name(flow->transport));
	sip_put_bytes(b, " ", 1);
	sip_put_host(b, &flow->local.address, flow->local.port);
	sip_put_string(b, ";rport;branch=");
	its.at = b->bytes + b->n;
	sip_put_string(b, "z9hG4bK");
	sip_put_string(b, branch);
	its.n = (uint32_t)(b->bytes + b->n - its.at);
	sip_put_bytes(b, "\r\n", 2);
	return its;
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

int sip_request_begin(struct sip_request *request, struct sip_stack *stack,
		      const struct sip_request_start *start, char *buffer, uint32_t size)
{
	struct sip_builder *b = &request->builder;
	const char *method =
		start->method_text ? start->method_text : sip_method_name(start->method);
	int rc;

	memset(request, 0, sizeof(*request));
	request->stack = stack;
	request->method = start->method;
	request->flow = start->flow;
	rc = sip_flow_resolve(stack, &request->flow);
	if (rc < 0)
		return rc;
	sip_builder_init(b, buffer, size);
	b->sips = start->uri.n > 5 && strncasecmp(start->uri.at, "sips:", 5) == 0;
	sip_put_string(b, method);
	request->method_text = (struct sip_text){b->bytes, b->n};
	sip_put_bytes(b, " ", 1);
	sip_put_text(b, start->uri);
	sip_put_string(b, " SIP/2.0\r\n");
	request->branch = client_put_via(b, stack, &request->flow);
	if (start->route.n > 0)
		sip_put_header(b, "Route", start->route);
	sip_put_string(b, "Max-Forwards: ");
	sip_put_number(b, start->max_forwards > 0 ? start->max_forwards : 70);
	sip_put_bytes(b, "\r\n", 2);
	put_tagged(b, "From", start->from, start->from_tag);
	put_tagged(b, "To", start->to, (struct sip_text){NULL, 0});
	sip_put_header(b, "Call-ID", start->call_id);
	sip_put_string(b, "CSeq: ");
	sip_put_number(b, start->cseq);
	sip_put_bytes(b, " ", 1);
	sip_put_string(b, method);
	sip_put_bytes(b, "\r\n", 2);
	put_product(b, stack, "User-Agent");
	return 0;
}

/* Puts the built request under way. */
static int client_start(struct sip_stack *stack, const struct sip_request *request,
			struct sip_transaction **out)
{
	const struct sip_builder *b = &request->builder;
	struct transaction_key key;
	struct sip_transaction *t;
	int rc;

	transaction_client_key(stack, request->branch, request->method_text, &key);
	t = transaction_add(stack, &key);
	if (!t)
		return -ENOBUFS;
	t->kind = TRANSACTION_CLIENT;
	t->method = (uint8_t)request->method;
	t->state = request->method == SIP_METHOD_INVITE ? TRANSACTION_CALLING : TRANSACTION_TRYING;
	t->flow = request->flow;
	rc = transaction_keep(t, b->bytes, b->n);
	if (rc == 0)
		rc = stack_send(stack, &t->flow, b->bytes, b->n);
	if (rc < 0) {
		transaction_free(t);
		return rc;
	}
	t->interval_ms = SIP_T1_MS;
	t->retransmit_ms = is_reliable(t) ? 0 : now(t) + SIP_T1_MS;
	t->deadline_ms = now(t) + 64 * SIP_T1_MS;
	if (is_reliable(t))
		list_append(&stack->stream_clients, &t->stream_node);
	transaction_schedule(t);
	*out = t;
	return 0;
}

int sip_request_send(struct sip_request *request, const char *content_type, struct sip_text body,
		     sip_response_function *response, void *owner, struct sip_transaction **out)
{
	struct sip_transaction *t;
	int rc;

	sip_put_body(&request->builder, content_type, body);
	rc = sip_builder_result(&request->builder);
	if (rc == 0)
		rc = client_start(request->stack, request, &t);
	if (rc < 0)
		return rc;
	t->response = response;
	t->owner = owner;
	if (out)
		*out = t;
	return 0;
}

/* Request line, top Via, Route, From, Call-ID and the number of CSeq from the request; To from
 * `to`: what ACK (17.1.1.3) and CANCEL (9.1) are made of. Returns the branch. */
static struct sip_text put_derived(struct sip_builder *b, const struct sip_stack *stack,
				   const struct sip_message *request, const struct sip_message *to,
				   const char *method)
{
	struct sip_text via = sip_message_header(request, SIP_HEADER_VIA);

	sip_put_string(b, method);
	sip_put_bytes(b, " ", 1);
	sip_put_text(b, request->uri_text);
	sip_put_string(b, " SIP/2.0\r\n");
	sip_put_header(b, "Via", via);
	sip_put_header_copy(b, request, SIP_HEADER_ROUTE);
	sip_put_string(b, "Max-Forwards: 70\r\n");
	sip_put_header_copy(b, request, SIP_HEADER_FROM);
	sip_put_header_copy(b, to, SIP_HEADER_TO);
	sip_put_header_copy(b, request, SIP_HEADER_CALL_ID);
	sip_put_header_format(b, "CSeq", "%u %s", request->cseq.number, method);
	put_product(b, stack, "User-Agent");
	sip_put_body(b, NULL, (struct sip_text){NULL, 0});
	return request->via.branch;
}

/* The request that the transaction keeps; it is ours, so it parses. */
static void request_of(const struct sip_transaction *t, struct sip_message *request)
{
	const char *reason;
	uint32_t status = sip_message_parse(request, t->bytes, t->bytes_n, &reason);

	(void)status; /* 416 for a foreign scheme that the user sends to */
}

static void cancel_send(struct sip_transaction *t)
{
	struct sip_stack *stack = t->stack;
	struct sip_message invite;
	struct sip_request cancel = {.stack = stack,
				     .method = SIP_METHOD_CANCEL,
				     .method_text = sip_text_of("CANCEL"),
				     .flow = t->flow};
	struct sip_transaction *its;

	t->cancel_sent = true;
	t->deadline_ms = now(t) + 64 * SIP_T1_MS;
	t->retransmit_ms = 0;
	transaction_schedule(t);
	request_of(t, &invite);
	sip_builder_init(&cancel.builder, stack->scratch, sizeof(stack->scratch));
	cancel.branch = put_derived(&cancel.builder, stack, &invite, &invite, "CANCEL");
	if (sip_builder_result(&cancel.builder) == 0)
		client_start(stack, &cancel, &its);
}

void sip_client_cancel(struct sip_transaction *t)
{
	assert(t->kind == TRANSACTION_CLIENT && t->method == SIP_METHOD_INVITE);
	if (transaction_is_finished(t) || t->cancel_sent)
		return;
	if (t->state == TRANSACTION_PROCEEDING)
		cancel_send(t);
	else
		t->cancel_wanted = true;
}

void sip_client_forget(struct sip_transaction *t)
{
	assert(t->kind == TRANSACTION_CLIENT);
	t->response = NULL;
	t->owner = NULL;
	if (t->method == SIP_METHOD_INVITE)
		sip_client_cancel(t);
}

static void deliver(sip_response_function *function, void *owner, struct sip_transaction *t,
		    uint32_t status, const struct sip_message *response)
{
	if (function)
		function(owner, t, status, response);
}

/* A final status made here. */
static void client_end(struct sip_transaction *t, uint32_t status)
{
	sip_response_function *function = t->response;
	void *owner = t->owner;

	transaction_finish(t, TRANSACTION_COMPLETED);
	deliver(function, owner, t, status, NULL);
	transaction_free(t);
}

void client_failed(struct sip_transaction *t)
{
	count(t->stack, SIP_COUNTER_transport_failures);
	client_end(t, 503);
}

static void provisional(struct sip_transaction *t, const struct sip_message *response)
{
	if (transaction_is_finished(t))
		return;
	if (t->method == SIP_METHOD_INVITE) {
		if (t->state == TRANSACTION_CALLING)
			t->deadline_ms = 0;
		t->retransmit_ms = 0;
	} else if (t->retransmit_ms != 0) {
		t->interval_ms = SIP_T2_MS;
	}
	t->state = TRANSACTION_PROCEEDING;
	t->status = response->status;
	transaction_schedule(t);
	if (t->cancel_wanted && !t->cancel_sent)
		cancel_send(t);
	deliver(t->response, t->owner, t, response->status, response);
}

/* Keeps the ACK for retransmitted final responses. */
static void ack_refusal(struct sip_transaction *t, const struct sip_message *response)
{
	struct sip_stack *stack = t->stack;
	struct sip_builder b;
	struct sip_message invite;

	if (!t->bytes)
		return;
	request_of(t, &invite);
	sip_builder_init(&b, stack->scratch, sizeof(stack->scratch));
	put_derived(&b, stack, &invite, response, "ACK");
	if (sip_builder_result(&b) < 0 || transaction_keep(t, b.bytes, b.n) < 0)
		return;
	stack_send(stack, &t->flow, t->bytes, t->bytes_n);
}

static struct sip_dialog *dialog_of(struct sip_stack *stack, const struct sip_message *response)
{
	return sip_dialog_find(stack, response->call_id, response->from.tag, response->to.tag);
}

/* 64 bits of the branch's To tag: never 0 in practice, and a clash only means a repeated ACK less.
 */
static uint64_t branch_hash(const struct sip_transaction *t, const struct sip_message *response)
{
	struct siphash hash;
	uint64_t out[2];

	siphash_init(&hash, &t->stack->hash_key);
	siphash_add_part(&hash, response->to.tag.at ? response->to.tag.at : "", response->to.tag.n);
	siphash_finish(&hash, out);
	return out[0];
}

/* The first 2xx goes to the user; a user that makes no dialog of it does not want it. */
static void invite_won(struct sip_transaction *t, const struct sip_message *response)
{
	struct sip_stack *stack = t->stack;
	sip_response_function *function = t->response;
	void *owner = t->owner;
	bool known = dialog_of(stack, response) != NULL;
	uint64_t made = stack->dialogs_made;
	struct sip_flow flow = t->flow;

	t->status = response->status;
	t->winner = branch_hash(t, response);
	transaction_finish(t, TRANSACTION_ACCEPTED);
	transaction_shrink(t);
	t->retransmit_ms = 0;
	t->deadline_ms = now(t) + 64 * SIP_T1_MS; /* timer M */
	transaction_schedule(t);
	deliver(function, owner, t, response->status, response);
	if (!known && stack->dialogs_made == made)
		dialog_decline(stack, response, &flow);
}

/* A 2xx behind the first: again the same one, or another branch's (13.2.2.4). */
static void invite_won_again(struct sip_transaction *t, const struct sip_message *response)
{
	struct sip_dialog *dialog = dialog_of(t->stack, response);

	count(t->stack, SIP_COUNTER_retransmissions_received);
	if (dialog) {
		dialog_repeat_ack(dialog, response->cseq.number);
	} else if (t->winner != branch_hash(t, response)) {
		count(t->stack, SIP_COUNTER_forked_2xx_declined);
		dialog_decline(t->stack, response, &t->flow);
	}
}

/* 3xx to 6xx of INVITE, and every final response of other methods. */
static void completed(struct sip_transaction *t, const struct sip_message *response)
{
	sip_response_function *function = t->response;
	void *owner = t->owner;
	bool invite = t->method == SIP_METHOD_INVITE;

	t->status = response->status;
	transaction_finish(t, TRANSACTION_COMPLETED);
	if (invite)
		ack_refusal(t, response);
	else
		transaction_shrink(t);
	t->retransmit_ms = 0;
	t->deadline_ms = now(t) + (invite ? 64 * SIP_T1_MS : SIP_T4_MS); /* timers D and K */
	transaction_schedule(t);
	deliver(function, owner, t, response->status, response);
	if (is_reliable(t))
		transaction_free(t);
}

static void final(struct sip_transaction *t, const struct sip_message *response)
{
	bool invite = t->method == SIP_METHOD_INVITE;

	if (t->state == TRANSACTION_ACCEPTED) {
		if (response->status < 300)
			invite_won_again(t, response);
	} else if (transaction_is_finished(t)) {
		count(t->stack, SIP_COUNTER_retransmissions_received);
		if (invite && response->status >= 300 && t->bytes)
			stack_send(t->stack, &t->flow, t->bytes, t->bytes_n);
	} else if (invite && response->status < 300) {
		invite_won(t, response);
	} else {
		completed(t, response);
	}
}

void client_response(struct sip_stack *stack, const struct sip_message *response)
{
	struct transaction_key key;
	struct sip_transaction *t;

	transaction_client_key(stack, response->via.branch, response->cseq.method_text, &key);
	t = transaction_find(stack, &key);
	if (!t)
		count(stack, SIP_COUNTER_responses_unmatched);
	else if (response->status < 200)
		provisional(t, response);
	else
		final(t, response);
}

void client_expired(struct sip_transaction *t, uint64_t now_ms)
{
	if (t->deadline_ms != 0 && t->deadline_ms <= now_ms) {
		if (transaction_is_finished(t)) {
			transaction_free(t);
			return;
		}
		count(t->stack, SIP_COUNTER_timeouts);
		client_end(t, 408);
		return;
	}
	/* timers A and E; a failure to send is left to timers B and F */
	stack_send(t->stack, &t->flow, t->bytes, t->bytes_n);
	count(t->stack, SIP_COUNTER_requests_retransmitted);
	t->interval_ms *= 2;
	if (t->method != SIP_METHOD_INVITE &&
	    (t->interval_ms > SIP_T2_MS || t->state == TRANSACTION_PROCEEDING))
		t->interval_ms = SIP_T2_MS;
	t->retransmit_ms = now_ms + t->interval_ms;
	transaction_schedule(t);
}

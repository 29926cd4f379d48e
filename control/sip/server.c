/* Server transactions: RFC 3261 17.2, RFC 6026 7.1. */
#include "control/sip/internal.h"

#include <errno.h>
#include <stdlib.h>

#define TRYING_AFTER_MS 200 /* RFC 3261 17.2.1 */
#define RETRY_AFTER_S   5

/* Methods that may carry a To tag without a dialog of ours. */
static bool needs_dialog(enum sip_method method)
{
	return method != SIP_METHOD_REGISTER && method != SIP_METHOD_OPTIONS &&
	       method != SIP_METHOD_MESSAGE && method != SIP_METHOD_PUBLISH;
}

static uint64_t now(const struct sip_transaction *t)
{
	return sip_stack_now_ms(t->stack);
}

static bool is_reliable(const struct sip_transaction *t)
{
	return sip_transport_is_reliable(t->flow.transport);
}

/* Record-Route lines first, To last and open, so that a response takes what it needs. */
static int skeleton_keep(struct sip_transaction *t, const struct sip_message *request)
{
	struct sip_builder b;

	sip_builder_init(&b, t->stack->scratch, sizeof(t->stack->scratch));
	sip_put_header_copy(&b, request, SIP_HEADER_RECORD_ROUTE);
	t->record_route_n = (uint16_t)b.n;
	sip_put_vias(&b, request);
	sip_put_header(&b, "From", sip_message_header(request, SIP_HEADER_FROM));
	sip_put_header(&b, "Call-ID", request->call_id);
	sip_put_header(&b, "CSeq", sip_message_header(request, SIP_HEADER_CSEQ));
	sip_put_string(&b, "To: ");
	sip_put_text(&b, sip_message_header(request, SIP_HEADER_TO));
	if (sip_builder_result(&b) < 0)
		return -ENOSPC;
	t->skeleton = malloc(b.n);
	if (!t->skeleton)
		return -ENOMEM;
	memcpy(t->skeleton, b.bytes, b.n);
	t->skeleton_n = b.n;
	return 0;
}

static struct sip_transaction *server_create(struct sip_stack *stack,
					     const struct sip_message *request,
					     const struct transaction_key *key)
{
	struct sip_transaction *t = transaction_add(stack, key);
	int rc;

	if (!t) {
		stack_reply_stateless(stack, request, 503, "Server Full", RETRY_AFTER_S);
		return NULL;
	}
	t->kind = TRANSACTION_SERVER;
	t->method = (uint8_t)request->method;
	t->cseq = request->cseq.number;
	t->state =
		request->method == SIP_METHOD_INVITE ? TRANSACTION_PROCEEDING : TRANSACTION_TRYING;
	t->flow = stack_response_flow(request);
	t->own_tag = request->to.tag.n == 0;
	stack_token(stack, t->tag, sizeof(t->tag) - 1);
	rc = skeleton_keep(t, request);
	if (rc < 0) {
		transaction_free(t);
		stack_reply_stateless(stack, request, rc == -ENOSPC ? 513 : 503, NULL, 0);
		return NULL;
	}
	if (request->method == SIP_METHOD_INVITE) {
		t->retransmit_ms = now(t) + TRYING_AFTER_MS;
		transaction_schedule(t);
	}
	return t;
}

/* The response to the same request again; without bytes it had only what the request gives. */
static void server_repeat(struct sip_transaction *t, const struct sip_message *request)
{
	struct sip_stack *stack = t->stack;
	struct sip_builder b;

	count(stack, SIP_COUNTER_retransmissions_received);
	if (t->state == TRANSACTION_CONFIRMED || t->state == TRANSACTION_ACCEPTED)
		return;
	if (t->rebuilt) {
		sip_builder_init(&b, stack->scratch, sizeof(stack->scratch));
		sip_put_response_begin(&b, request, t->status, NULL, t->tag);
		put_product(&b, stack, "Server");
		sip_put_body(&b, NULL, (struct sip_text){NULL, 0});
		if (sip_builder_result(&b) == 0)
			stack_send(stack, &t->flow, b.bytes, b.n);
	} else if (t->bytes) {
		stack_send(stack, &t->flow, t->bytes, t->bytes_n);
	} else {
		return;
	}
	count(stack, SIP_COUNTER_responses_retransmitted);
}

static void server_ack(struct sip_stack *stack, const struct sip_message *ack)
{
	struct transaction_key key;
	struct sip_transaction *t;
	struct sip_dialog *dialog;

	transaction_server_key(stack, ack, sip_text_of("INVITE"), &key);
	t = transaction_find(stack, &key);
	if (t && t->state == TRANSACTION_COMPLETED) {
		transaction_finish(t, TRANSACTION_CONFIRMED);
		transaction_shrink(t);
		if (is_reliable(t)) {
			transaction_free(t);
			return;
		}
		t->retransmit_ms = 0;
		t->deadline_ms = now(t) + SIP_T4_MS;
		transaction_schedule(t);
		return;
	}
	if (t && t->state != TRANSACTION_ACCEPTED)
		return;
	dialog = sip_dialog_find(stack, ack->call_id, ack->to.tag, ack->from.tag);
	if (dialog)
		dialog_acknowledged(dialog, ack);
	else
		count(stack, SIP_COUNTER_acks_unmatched);
}

static void server_cancel(struct sip_stack *stack, const struct sip_message *cancel,
			  const struct transaction_key *key)
{
	struct transaction_key invite_key;
	struct sip_transaction *invite;
	struct sip_transaction *t = server_create(stack, cancel, key);

	if (!t)
		return;
	transaction_server_key(stack, cancel, sip_text_of("INVITE"), &invite_key);
	invite = transaction_find(stack, &invite_key);
	if (!invite) {
		count(stack, SIP_COUNTER_cancels_unmatched);
		sip_reply(t, 481, NULL);
		return;
	}
	memcpy(t->tag, invite->tag, sizeof(t->tag)); /* 9.2: the same To tag */
	sip_reply(t, 200, NULL);
	if (!transaction_is_finished(invite) && !invite->cancelled) {
		invite->cancelled = true;
		stack->user->cancelled(stack->user_argument, invite, cancel);
	}
}

/* A new request in or out of a dialog. */
static void server_begin(struct sip_stack *stack, const struct sip_message *request,
			 const struct transaction_key *key)
{
	struct sip_dialog *dialog = NULL;
	struct sip_transaction *t = server_create(stack, request, key);

	if (!t)
		return;
	if (request->to.tag.n > 0) {
		dialog = sip_dialog_find(stack, request->call_id, request->to.tag,
					 request->from.tag);
		if (!dialog && needs_dialog(request->method)) {
			count(stack, SIP_COUNTER_dialogs_unmatched);
			sip_reply(t, 481, NULL);
			return;
		}
	}
	if (dialog && !dialog_accepts_cseq(dialog, request)) {
		count(stack, SIP_COUNTER_cseq_out_of_order);
		sip_reply(t, 500, "CSeq Out Of Order");
		return;
	}
	if (dialog && dialog->declined) {
		sip_reply(t, request->method == SIP_METHOD_BYE ? 200 : 481, NULL);
		return;
	}
	if (dialog) {
		dialog_follow(dialog, request);
		transaction_tie(t, dialog);
	}
	stack->user->request(stack->user_argument, t, dialog, request);
}

/* No transaction: a call that is refused for want of time must not cost any. */
static void shed(struct sip_stack *stack, const struct sip_message *invite, uint32_t busy_s)
{
	count(stack, SIP_COUNTER_calls_shed);
	stack_reply_stateless(stack, invite, 503, NULL, busy_s);
}

void server_request(struct sip_stack *stack, const struct sip_message *request)
{
	struct transaction_key key;
	struct sip_transaction *t;
	uint32_t busy_s;

	if (request->method == SIP_METHOD_ACK) {
		server_ack(stack, request);
		return;
	}
	transaction_server_key(stack, request, request->method_text, &key);
	t = transaction_find(stack, &key);
	if (t)
		server_repeat(t, request);
	else if (request->method == SIP_METHOD_CANCEL)
		server_cancel(stack, request, &key);
	else if (request->method == SIP_METHOD_INVITE && request->to.tag.n == 0 &&
		 stack->watch.busy_s &&
		 (busy_s = stack->watch.busy_s(stack->watch.arg, request)) > 0)
		shed(stack, request, busy_s);
	else
		server_begin(stack, request, &key);
}

void server_expired(struct sip_transaction *t, uint64_t now_ms)
{
	if (t->state == TRANSACTION_PROCEEDING) {
		t->retransmit_ms = 0;
		if (t->status == 0)
			sip_reply(t, 100, NULL);
		return;
	}
	if (t->deadline_ms <= now_ms) {
		if (t->method == SIP_METHOD_INVITE && t->state == TRANSACTION_COMPLETED)
			count(t->stack, SIP_COUNTER_unacknowledged);
		transaction_free(t);
		return;
	}
	/* timer G: a final response that waits for its ACK */
	stack_send(t->stack, &t->flow, t->bytes, t->bytes_n);
	count(t->stack, SIP_COUNTER_responses_retransmitted);
	t->interval_ms = t->interval_ms * 2 < SIP_T2_MS ? t->interval_ms * 2 : SIP_T2_MS;
	t->retransmit_ms = now_ms + t->interval_ms;
	transaction_schedule(t);
}

void put_product(struct sip_builder *b, const struct sip_stack *stack, const char *header)
{
	if (stack->server)
		sip_put_header(b, header, sip_text_of(stack->server));
}

void sip_response_begin(struct sip_response *response, struct sip_transaction *t, uint32_t status,
			const char *reason, char *buffer, uint32_t size)
{
	struct sip_builder *b = &response->builder;
	uint32_t skip = status > 100 && status < 300 ? 0 : t->record_route_n;

	assert(t->kind == TRANSACTION_SERVER);
	response->transaction = t;
	response->status = status;
	sip_builder_init(b, buffer, size);
	if (!t->skeleton) { /* finished: send refuses */
		b->overflow = true;
		return;
	}
	sip_put_status_line(b, status, reason);
	sip_put_bytes(b, t->skeleton + skip, t->skeleton_n - skip);
	if (status > 100 && t->own_tag) {
		sip_put_string(b, ";tag=");
		sip_put_string(b, t->tag);
	}
	sip_put_bytes(b, "\r\n", 2);
	put_product(b, t->stack, "Server");
}

/* A final response other than 2xx to INVITE: retransmitted until the ACK (timers G and H). */
static void invite_refuse(struct sip_transaction *t, const struct sip_builder *b)
{
	transaction_finish(t, TRANSACTION_COMPLETED);
	transaction_shrink(t);
	transaction_keep(t, b->bytes, b->n);
	t->interval_ms = SIP_T1_MS;
	t->retransmit_ms = is_reliable(t) || !t->bytes ? 0 : now(t) + SIP_T1_MS;
	t->deadline_ms = now(t) + 64 * SIP_T1_MS;
	transaction_schedule(t);
	stack_send(t->stack, &t->flow, b->bytes, b->n);
}

/* 2xx to INVITE: the dialog retransmits it, the transaction swallows further INVITEs (timer L). */
static int invite_accept(struct sip_transaction *t, const struct sip_builder *b)
{
	struct sip_flow flow = t->flow;
	int rc;

	if (!t->dialog)
		return -EINVAL;
	rc = dialog_accept(t->dialog, t, b->bytes, b->n, t->cseq);
	if (rc < 0)
		return rc;
	transaction_finish(t, TRANSACTION_ACCEPTED);
	transaction_shrink(t);
	t->retransmit_ms = 0;
	t->deadline_ms = now(t) + 64 * SIP_T1_MS;
	transaction_schedule(t);
	stack_send(t->stack, &flow, b->bytes, b->n);
	return 0;
}

/* Timer J: the response is there for retransmitted requests. */
static void other_finish(struct sip_transaction *t, const struct sip_builder *b, bool plain)
{
	if (t->dialog && t->status < 300)
		t->dialog->state = SIP_DIALOG_CONFIRMED;
	stack_send(t->stack, &t->flow, b->bytes, b->n);
	transaction_finish(t, TRANSACTION_COMPLETED);
	transaction_shrink(t);
	if (is_reliable(t)) {
		transaction_free(t);
		return;
	}
	t->rebuilt = plain;
	if (!plain)
		transaction_keep(t, b->bytes, b->n);
	t->deadline_ms = now(t) + 64 * SIP_T1_MS;
	transaction_schedule(t);
}

static int response_send(struct sip_response *response, bool plain)
{
	struct sip_transaction *t = response->transaction;
	struct sip_builder *b = &response->builder;

	if (transaction_is_finished(t))
		return -EALREADY;
	if (sip_builder_result(b) < 0)
		return -ENOSPC;
	if (response->status < 200) {
		t->status = (uint16_t)response->status;
		t->state = TRANSACTION_PROCEEDING;
		t->retransmit_ms = 0;
		transaction_schedule(t);
		transaction_keep(t, b->bytes, b->n);
		stack_send(t->stack, &t->flow, b->bytes, b->n);
		return 0;
	}
	if (t->method == SIP_METHOD_INVITE && response->status < 300) {
		int rc = invite_accept(t, b);

		if (rc == 0)
			t->status = (uint16_t)response->status;
		return rc;
	}
	t->status = (uint16_t)response->status;
	if (t->method == SIP_METHOD_INVITE)
		invite_refuse(t, b);
	else
		other_finish(t, b, plain);
	return 0;
}

int sip_response_send(struct sip_response *response, const char *content_type, struct sip_text body)
{
	sip_put_body(&response->builder, content_type, body);
	return response_send(response, false);
}

int sip_reply(struct sip_transaction *t, uint32_t status, const char *reason)
{
	struct sip_response response;

	sip_response_begin(&response, t, status, reason, t->stack->scratch,
			   sizeof(t->stack->scratch));
	sip_put_body(&response.builder, NULL, (struct sip_text){NULL, 0});
	return response_send(&response, reason == NULL);
}

struct sip_text sip_server_tag(const struct sip_transaction *t)
{
	return t->own_tag ? sip_text_of(t->tag) : (struct sip_text){NULL, 0};
}

enum sip_method sip_transaction_method(const struct sip_transaction *t)
{
	return t->method;
}

const struct sip_flow *sip_transaction_flow(const struct sip_transaction *t)
{
	return &t->flow;
}

void sip_transaction_set_owner(struct sip_transaction *t, void *owner)
{
	t->owner = owner;
}

void *sip_transaction_owner(const struct sip_transaction *t)
{
	return t->owner;
}

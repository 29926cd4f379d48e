/* The stack without sockets. */
#include "tests/unit/sip/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct sip_transport {
	struct fake *fake;
};

/* The ops table carries no argument: one test runs at a time. */
static struct fake *current;

static int fake_create(struct sip_stack *stack, struct sip_transport **transport)
{
	(void)stack;
	*transport = calloc(1, sizeof(**transport));
	assert_non_null(*transport);
	(*transport)->fake = current;
	return 0;
}

static void fake_destroy(struct sip_transport *transport)
{
	free(transport);
}

static int fake_listen(struct sip_transport *transport, const struct endpoint *at,
		       struct endpoint *bound)
{
	(void)transport;
	*bound = *at;
	return 0;
}

static int fake_transmit(struct sip_transport *transport, struct sip_flow *flow, const char *bytes,
			 uint32_t n)
{
	struct fake *fake = transport->fake;
	struct fake_sent *sent;
	const char *reason;

	if (fake->send_error != 0)
		return fake->send_error;
	assert_true(fake->sent_count < FAKE_SENT_MAX);
	if (sip_transport_is_reliable(flow->transport) && flow->connection == 0)
		flow->connection = 77;
	sent = calloc(1, sizeof(*sent));
	sent->bytes = malloc(n + 1);
	memcpy(sent->bytes, bytes, n);
	sent->bytes[n] = '\0';
	sent->n = n;
	sent->flow = *flow;
	sent->at_ms = fake->wheel.now_ms;
	/* everything that is sent is a valid message, answers to broken ones apart */
	sip_message_parse(&sent->message, sent->bytes, n, &reason);
	fake->sent[fake->sent_count++] = sent;
	return 0;
}

static void fake_flush(struct sip_transport *transport)
{
	(void)transport;
}

static const struct sip_transport_ops fake_udp = {
	.kind = SIP_TRANSPORT_UDP,
	.name = "UDP",
	.parameter = "udp",
	.default_port = 5060,
	.create = fake_create,
	.destroy = fake_destroy,
	.listen = fake_listen,
	.send = fake_transmit,
	.flush = fake_flush,
};

static const struct sip_transport_ops fake_tcp = {
	.kind = SIP_TRANSPORT_TCP,
	.name = "TCP",
	.parameter = "tcp",
	.reliable = true,
	.default_port = 5060,
	.create = fake_create,
	.destroy = fake_destroy,
	.listen = fake_listen,
	.send = fake_transmit,
	.flush = fake_flush,
};

static struct fake_event *event_add(struct fake *fake, enum fake_event_kind kind)
{
	struct fake_event *event;

	assert_true(fake->events_count < FAKE_EVENT_MAX);
	event = &fake->events[fake->events_count++];
	*event = (struct fake_event){.kind = kind};
	return event;
}

static void on_request(void *user, struct sip_transaction *transaction, struct sip_dialog *dialog,
		       const struct sip_message *request)
{
	struct fake *fake = user;
	struct fake_event *event = event_add(fake, FAKE_REQUEST);

	event->method = request->method;
	event->transaction = transaction;
	event->dialog = dialog;
	free(fake->request);
	fake->request = sip_message_clone(request);
	if (fake->make_dialog && !dialog && request->method == SIP_METHOD_INVITE) {
		assert_int_equal(sip_dialog_create_uas(fake->stack, transaction, request,
						       sip_text_of("uas"), &fake->dialog),
				 0);
		event->dialog = fake->dialog;
	}
}

static void on_cancelled(void *user, struct sip_transaction *transaction,
			 const struct sip_message *cancel)
{
	struct fake_event *event = event_add(user, FAKE_CANCELLED);

	event->method = cancel->method;
	event->transaction = transaction;
}

static void on_acknowledged(void *user, struct sip_dialog *dialog, const struct sip_message *ack)
{
	struct fake_event *event = event_add(user, FAKE_ACKNOWLEDGED);

	event->method = ack->method;
	event->dialog = dialog;
}

static void on_unacknowledged(void *user, struct sip_dialog *dialog)
{
	event_add(user, FAKE_UNACKNOWLEDGED)->dialog = dialog;
}

static const struct sip_stack_user fake_user = {on_request, on_cancelled, on_acknowledged,
						on_unacknowledged};

static void on_response(void *owner, struct sip_transaction *transaction, uint32_t status,
			const struct sip_message *response)
{
	struct fake *fake = owner;
	struct fake_event *event = event_add(fake, FAKE_RESPONSE);
	struct sip_text none = {NULL, 0};

	event->status = status;
	event->transaction = transaction;
	event->made_here = response == NULL;
	if (!response)
		return;
	event->method = response->method;
	free(fake->response);
	fake->response = sip_message_clone(response);
	if (!fake->confirm || response->method != SIP_METHOD_INVITE || status < 200 ||
	    status >= 300)
		return;
	fake->dialog = sip_dialog_find(fake->stack, response->call_id, response->from.tag,
				       response->to.tag);
	if (fake->dialog)
		assert_int_equal(sip_dialog_update(fake->dialog, response), 0);
	else
		assert_int_equal(sip_dialog_create_uac(fake->stack, response,
						       sip_transaction_flow(transaction),
						       sip_text_of("uac"), &fake->dialog),
				 0);
	assert_int_equal(sip_dialog_ack(fake->dialog, response->cseq.number, NULL, none), 0);
}

void fake_start(struct fake *fake, uint32_t transactions, uint32_t dialogs)
{
	struct sip_stack_config config = {
		.timers = &fake->wheel,
		.user = &fake_user,
		.user_argument = fake,
		.transactions = transactions,
		.dialogs = dialogs,
	};
	char error[SIP_STACK_ERROR_MAX];

	memset(fake, 0, sizeof(*fake));
	current = fake;
	timer_wheel_init(&fake->wheel, 1000000);
	assert_int_equal(sip_stack_create(&fake->stack, &config, error), 0);
	assert_int_equal(sip_stack_add_transport(fake->stack, &fake_udp, "192.0.2.1:5060", NULL),
			 0);
	assert_int_equal(sip_stack_add_transport(fake->stack, &fake_tcp, "192.0.2.1:5060", NULL),
			 0);
}

void fake_forget(struct fake *fake)
{
	for (uint32_t i = 0; i < fake->sent_count; i++) {
		free(fake->sent[i]->bytes);
		free(fake->sent[i]);
	}
	fake->sent_count = 0;
	fake->events_count = 0;
}

void fake_stop(struct fake *fake)
{
	sip_stack_destroy(fake->stack);
	assert_int_equal(fake->wheel.running, 0);
	fake_forget(fake);
	free(fake->request);
	free(fake->response);
}

void fake_advance(struct fake *fake, uint64_t ms)
{
	timer_wheel_advance(&fake->wheel, fake->wheel.now_ms + ms);
}

void fake_receive_from(struct fake *fake, enum sip_transport_kind transport, const char *remote,
		       const char *text)
{
	struct sip_flow flow = {.transport = transport, .connection = transport ? 77 : 0};
	char *bytes = malloc(2 * strlen(text) + 1);
	uint32_t n = 0;

	assert_int_equal(endpoint_parse(&flow.remote, remote, strlen(remote)), 0);
	assert_int_equal(endpoint_parse(&flow.local, "192.0.2.1:5060", 14), 0);
	for (const char *p = text; *p; p++) {
		if (*p == '\n' && (p == text || p[-1] != '\r'))
			bytes[n++] = '\r';
		bytes[n++] = *p;
	}
	sip_transport_received(fake->stack, &flow, bytes, n);
	free(bytes);
}

void fake_receive(struct fake *fake, enum sip_transport_kind transport, const char *text)
{
	fake_receive_from(fake, transport, "192.0.2.2:5060", text);
}

struct fake_sent *fake_sent(struct fake *fake, int index)
{
	uint32_t at = index < 0 ? fake->sent_count + (uint32_t)index : (uint32_t)index;

	assert_true(at < fake->sent_count);
	return fake->sent[at];
}

struct fake_event *fake_event(struct fake *fake, int index)
{
	uint32_t at = index < 0 ? fake->events_count + (uint32_t)index : (uint32_t)index;

	assert_true(at < fake->events_count);
	return &fake->events[at];
}

const char *fake_request(const char *method, const char *branch, const char *to_tag, uint32_t cseq,
			 const char *extra)
{
	static char text[4096];

	snprintf(text, sizeof(text),
		 "%s sip:1002@192.0.2.1 SIP/2.0\n"
		 "Via: SIP/2.0/UDP 192.0.2.2:5060;branch=%s\n"
		 "Max-Forwards: 70\n"
		 "From: \"A\" <sip:1001@192.0.2.1>;tag=fromtag\n"
		 "To: <sip:1002@192.0.2.1>%s%s\n"
		 "Call-ID: call-1@192.0.2.2\n"
		 "CSeq: %u %s\n"
		 "Contact: <sip:1001@192.0.2.2:5060>\n"
		 "%sContent-Length: 0\n\n",
		 method, branch, to_tag ? ";tag=" : "", to_tag ? to_tag : "", cseq, method,
		 extra ? extra : "");
	return text;
}

void fake_answer(struct fake *fake, const struct fake_sent *sent, uint32_t status,
		 const char *to_tag)
{
	char bytes[4096];
	struct sip_builder b;
	struct sip_message request = sent->message;

	request.flow.remote = (struct endpoint){0}; /* the far end adds no received here */
	sip_builder_init(&b, bytes, sizeof(bytes) - 1);
	sip_put_response_begin(&b, &request, status, NULL, to_tag);
	sip_put_string(&b, "Contact: <sip:1002@192.0.2.2:5070>\r\n");
	sip_put_body(&b, NULL, (struct sip_text){NULL, 0});
	bytes[b.n] = '\0';
	fake_receive(fake, sent->flow.transport, bytes);
}

int fake_send(struct fake *fake, enum sip_transport_kind transport, enum sip_method method,
	      struct sip_transaction **transaction)
{
	struct sip_request_start start = {
		.method = method,
		.uri = sip_text_of("sip:1002@192.0.2.2:5060"),
		.from = sip_text_of("\"A\" <sip:1001@192.0.2.1>"),
		.from_tag = sip_text_of("ourtag"),
		.to = sip_text_of("<sip:1002@192.0.2.2>"),
		.call_id = sip_text_of("call-2@192.0.2.1"),
		.cseq = 1,
		.flow.transport = transport,
	};
	struct sip_request request;
	struct sip_text none = {NULL, 0};
	char buffer[4096];
	int rc;

	assert_int_equal(endpoint_parse(&start.flow.remote, "192.0.2.2:5060", 14), 0);
	rc = sip_request_begin(&request, fake->stack, &start, buffer, sizeof(buffer));
	if (rc < 0)
		return rc;
	sip_put_contact(&request.builder, &request.flow, sip_text_of("1001"), NULL);
	return sip_request_send(&request, NULL, none, on_response, fake, transaction);
}

int fake_dialog_send(struct fake *fake, struct sip_dialog *dialog, enum sip_method method,
		     struct sip_transaction **transaction)
{
	struct sip_request request;
	struct sip_text none = {NULL, 0};
	char buffer[4096];
	int rc = sip_dialog_request_begin(&request, dialog, method, NULL, buffer, sizeof(buffer));

	if (rc < 0)
		return rc;
	return sip_request_send(&request, NULL, none, on_response, fake, transaction);
}

void fake_reply(struct fake *fake, struct sip_transaction *transaction, uint32_t status,
		struct sip_dialog *dialog)
{
	struct sip_response response;
	struct sip_text none = {NULL, 0};
	char buffer[4096];

	(void)fake;
	sip_response_begin(&response, transaction, status, NULL, buffer, sizeof(buffer));
	if (dialog)
		sip_dialog_put_contact(&response.builder, dialog);
	assert_int_equal(sip_response_send(&response, NULL, none), 0);
}

const char *fake_header(const struct sip_message *m, enum sip_header_id id)
{
	static char text[1024];

	sip_text_copy(sip_message_header(m, id), text, sizeof(text));
	return text;
}

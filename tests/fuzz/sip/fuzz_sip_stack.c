/*
 * Datagrams into a whole stack without sockets, separated by a 0xff byte that is followed by how
 * many steps of 100 ms pass: transactions and dialogs in any order, with a user that answers at
 * random (by the same byte).
 */
#include "control/sip/stack.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sip_transport {
	int unused;
};

struct user {
	struct sip_stack *stack;
	struct sip_dialog *dialogs[64];
	uint32_t dialogs_count;
	uint8_t choice;
};

static int fuzz_create(struct sip_stack *stack, struct sip_transport **transport)
{
	(void)stack;
	*transport = calloc(1, sizeof(**transport));
	return *transport ? 0 : -1;
}

static void fuzz_destroy(struct sip_transport *transport)
{
	free(transport);
}

static int fuzz_listen(struct sip_transport *transport, const struct endpoint *at,
		       struct endpoint *bound)
{
	(void)transport;
	*bound = *at;
	return 0;
}

static int fuzz_send(struct sip_transport *transport, struct sip_flow *flow, const char *bytes,
		     uint32_t n)
{
	static struct sip_message m;
	const char *reason;

	(void)transport;
	(void)flow;
	sip_message_parse(&m, bytes, n, &reason);
	return 0;
}

static void fuzz_flush(struct sip_transport *transport)
{
	(void)transport;
}

static const struct sip_transport_ops ops = {
	.kind = SIP_TRANSPORT_UDP,
	.name = "UDP",
	.parameter = "udp",
	.default_port = 5060,
	.create = fuzz_create,
	.destroy = fuzz_destroy,
	.listen = fuzz_listen,
	.send = fuzz_send,
	.flush = fuzz_flush,
};

static void forget_dialog(struct user *user, struct sip_dialog *dialog)
{
	for (uint32_t i = 0; i < user->dialogs_count; i++) {
		if (user->dialogs[i] == dialog)
			user->dialogs[i] = user->dialogs[--user->dialogs_count];
	}
	sip_dialog_destroy(dialog);
}

static void on_request(void *argument, struct sip_transaction *t, struct sip_dialog *dialog,
		       const struct sip_message *request)
{
	struct user *user = argument;
	struct sip_response response;
	struct sip_request ours;
	struct sip_text none = {NULL, 0};
	char buffer[SIP_MESSAGE_SIZE_MAX];

	if (request->method == SIP_METHOD_INVITE && user->choice & 1) {
		if (!dialog && user->dialogs_count < 64 &&
		    sip_dialog_create_uas(user->stack, t, request, sip_text_of("u"), &dialog) == 0)
			user->dialogs[user->dialogs_count++] = dialog;
		if (dialog && user->choice & 2) {
			sip_response_begin(&response, t, 200, NULL, buffer, sizeof(buffer));
			sip_dialog_put_contact(&response.builder, dialog);
			if (sip_response_send(&response, NULL, none) == 0)
				return;
		}
	}
	if (dialog && user->choice & 4 &&
	    sip_dialog_request_begin(&ours, dialog, SIP_METHOD_INVITE, NULL, buffer,
				     sizeof(buffer)) == 0)
		sip_request_send(&ours, NULL, none, NULL, NULL, NULL);
	if (dialog && user->choice & 8)
		sip_dialog_update(dialog, request);
	sip_reply(t, user->choice & 16 ? 180 : 486, NULL);
	if (user->choice & 16)
		sip_reply(t, 500, "Reason");
	if (dialog && request->method == SIP_METHOD_BYE)
		forget_dialog(user, dialog);
}

static void on_cancelled(void *argument, struct sip_transaction *t,
			 const struct sip_message *cancel)
{
	(void)argument;
	(void)cancel;
	sip_reply(t, 487, NULL);
}

static void on_acknowledged(void *argument, struct sip_dialog *dialog,
			    const struct sip_message *ack)
{
	(void)argument;
	(void)dialog;
	(void)ack;
}

static void on_unacknowledged(void *argument, struct sip_dialog *dialog)
{
	forget_dialog(argument, dialog);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sip_stack_user callbacks = {on_request, on_cancelled, on_acknowledged,
							on_unacknowledged};
	static struct timer_wheel wheel;
	struct user user = {0};
	struct sip_stack_config config = {
		.timers = &wheel,
		.user = &callbacks,
		.user_argument = &user,
		.transactions = 32,
		.dialogs = 8,
	};
	struct sip_flow flow = {.transport = SIP_TRANSPORT_UDP};
	char error[SIP_STACK_ERROR_MAX];
	const uint8_t *end = data + size;

	timer_wheel_init(&wheel, 1000);
	if (sip_stack_create(&user.stack, &config, error) < 0 ||
	    sip_stack_add_transport(user.stack, &ops, "192.0.2.1:5060", NULL) < 0 ||
	    endpoint_parse(&flow.local, "192.0.2.1:5060", 14) < 0 ||
	    endpoint_parse(&flow.remote, "192.0.2.2:5060", 14) < 0)
		abort();
	while (data < end) {
		const uint8_t *stop = memchr(data, 0xff, (size_t)(end - data));

		user.choice = stop && stop + 1 < end ? stop[1] : 3;
		sip_transport_received(user.stack, &flow, (const char *)data,
				       (uint32_t)((stop ? stop : end) - data));
		timer_wheel_advance(&wheel, wheel.now_ms + user.choice * 100u);
		data = stop && stop + 2 <= end ? stop + 2 : end;
	}
	timer_wheel_advance(&wheel, wheel.now_ms + 70000);
	sip_stack_destroy(user.stack);
	if (wheel.running != 0)
		abort();
	return 0;
}

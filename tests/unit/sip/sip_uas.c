/*
 * A UAS that answers every call at once, for trying the stack against other programs:
 *
 *   sip_uas udp:127.0.0.1:5060 tcp:127.0.0.1:5060
 *
 * SIGTERM and SIGINT end it; the counters go to standard output.
 */
#include "control/sip/stack.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct loop *loop;

static void answer_invite(struct sip_stack *stack, struct sip_transaction *transaction,
			  struct sip_dialog *dialog, const struct sip_message *request)
{
	static const char sdp[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n"
				  "t=0 0\r\nm=audio 16384 RTP/AVP 0\r\n";
	char buffer[4096];
	struct sip_response response;

	if (!dialog &&
	    sip_dialog_create_uas(stack, transaction, request, sip_text_of("uas"), &dialog) < 0) {
		sip_reply(transaction, 500, NULL);
		return;
	}
	if (dialog->state == SIP_DIALOG_EARLY)
		sip_reply(transaction, 180, NULL);
	sip_response_begin(&response, transaction, 200, NULL, buffer, sizeof(buffer));
	sip_dialog_put_contact(&response.builder, dialog);
	sip_response_send(&response, "application/sdp", sip_text_of(sdp));
}

static void request_received(void *user, struct sip_transaction *transaction,
			     struct sip_dialog *dialog, const struct sip_message *request)
{
	struct sip_stack *stack = *(struct sip_stack **)user;

	switch (request->method) {
	case SIP_METHOD_INVITE:
		answer_invite(stack, transaction, dialog, request);
		return;
	case SIP_METHOD_BYE:
		sip_reply(transaction, 200, NULL);
		sip_dialog_destroy(dialog);
		return;
	case SIP_METHOD_OPTIONS:
		sip_reply(transaction, 200, NULL);
		return;
	default:
		sip_reply(transaction, 501, NULL);
		return;
	}
}

static void cancelled(void *user, struct sip_transaction *transaction,
		      const struct sip_message *cancel)
{
	(void)user;
	(void)cancel;
	sip_reply(transaction, 487, NULL);
}

static void acknowledged(void *user, struct sip_dialog *dialog, const struct sip_message *ack)
{
	(void)user;
	(void)dialog;
	(void)ack;
}

static void unacknowledged(void *user, struct sip_dialog *dialog)
{
	(void)user;
	sip_dialog_destroy(dialog);
}

static void stop(int signal_number)
{
	(void)signal_number;
	loop_stop(loop);
}

int main(int argc, char **argv)
{
	static const struct sip_stack_user user = {request_received, cancelled, acknowledged,
						   unacknowledged};
	struct sip_stack *stack = NULL;
	struct sip_stack_config config = {
		.listen = (const char *const *)argv + 1,
		.listen_count = (uint32_t)argc - 1,
		.server = "sip_uas",
		.user = &user,
		.user_argument = &stack,
		.transactions = 1000000,
		.dialogs = 100000,
	};
	struct sip_stack_levels levels;
	char error[SIP_STACK_ERROR_MAX];

	if (loop_create(&loop) < 0)
		return 1;
	config.loop = loop;
	if (sip_stack_create(&stack, &config, error) < 0) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	loop_run(loop);
	for (int i = 0; i < SIP_COUNTER_COUNT; i++) {
		if (sip_stack_counter(stack, i) > 0)
			printf("%s %llu\n", sip_counter_name(i),
			       (unsigned long long)sip_stack_counter(stack, i));
	}
	sip_stack_levels(stack, &levels);
	printf("transactions %u live %u dialogs %u connections %u\n", levels.transactions,
	       levels.transactions_live, levels.dialogs, levels.connections);
	sip_stack_destroy(stack);
	loop_destroy(loop);
	return 0;
}

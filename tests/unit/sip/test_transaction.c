/* The four transaction state machines of RFC 3261 17 with RFC 6026's Accepted, arrow by arrow. */
#include "control/sip/internal.h"
#include "tests/unit/sip/fake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct fake fake;

static int setup(void **state)
{
	*state = &fake;
	fake_start(&fake, 0, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_stop(&fake);
	return 0;
}

static uint64_t counted(enum sip_counter counter)
{
	return sip_stack_counter(fake.stack, counter);
}

static uint32_t transactions(void)
{
	struct sip_stack_levels levels;

	sip_stack_levels(fake.stack, &levels);
	return levels.transactions;
}

/* Checks that what was sent went at these times after start. */
static void assert_sent_at(uint64_t start_ms, const uint32_t *at_ms, uint32_t n)
{
	assert_int_equal(fake.sent_count, n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(fake.sent[i]->at_ms - start_ms, at_ms[i]);
}

/* ---- client INVITE (17.1.1) ---- */

static void invite_is_retransmitted_until_timer_b(void **state)
{
	static const uint32_t at[] = {0, 500, 1500, 3500, 7500, 15500, 31500};
	uint64_t start = fake.wheel.now_ms;

	(void)state;
	assert_int_equal(fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, NULL), 0);
	fake_advance(&fake, 31999);
	assert_int_equal(fake.events_count, 0);
	fake_advance(&fake, 1);
	assert_int_equal(fake.events_count, 1);
	assert_int_equal(fake_event(&fake, 0)->status, 408);
	assert_true(fake_event(&fake, 0)->made_here);
	fake_advance(&fake, 100000);
	assert_sent_at(start, at, 7);
	assert_int_equal(transactions(), 0);
}

static void invite_over_tcp_is_sent_once(void **state)
{
	(void)state;
	assert_int_equal(fake_send(&fake, SIP_TRANSPORT_TCP, SIP_METHOD_INVITE, NULL), 0);
	fake_advance(&fake, 32000);
	assert_int_equal(fake.sent_count, 1);
	assert_int_equal(fake_event(&fake, -1)->status, 408);
	assert_int_equal(transactions(), 0);
}

static void provisional_stops_retransmission_and_timeout(void **state)
{
	(void)state;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, NULL);
	fake_answer(&fake, fake_sent(&fake, 0), 180, "t1");
	fake_answer(&fake, fake_sent(&fake, 0), 183, "t1");
	fake_advance(&fake, 600000);
	assert_int_equal(fake.sent_count, 1);
	assert_int_equal(fake.events_count, 2);
	assert_int_equal(fake_event(&fake, 0)->status, 180);
	assert_int_equal(fake_event(&fake, 1)->status, 183);
}

static void refusal_gets_ack_and_again_for_each_repetition(void **state)
{
	const struct sip_message *ack;

	(void)state;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, NULL);
	fake_answer(&fake, fake_sent(&fake, 0), 486, "t1");
	assert_int_equal(fake.events_count, 1);
	assert_int_equal(fake_event(&fake, 0)->status, 486);
	assert_int_equal(fake.sent_count, 2);
	ack = &fake_sent(&fake, 1)->message;
	assert_int_equal(ack->method, SIP_METHOD_ACK);
	assert_true(sip_text_equal(ack->via.branch, fake_sent(&fake, 0)->message.via.branch));
	assert_true(sip_text_is(ack->to.tag, "t1"));
	assert_int_equal(ack->cseq.number, 1);
	assert_int_equal(ack->cseq.method, SIP_METHOD_ACK);
	assert_true(sip_text_equal(ack->uri_text, fake_sent(&fake, 0)->message.uri_text));
	fake_answer(&fake, fake_sent(&fake, 0), 486, "t1");
	assert_int_equal(fake.sent_count, 3);
	assert_string_equal(fake_sent(&fake, 1)->bytes, fake_sent(&fake, 2)->bytes);
	assert_int_equal(fake.events_count, 1);
	/* timer D */
	fake_advance(&fake, 31999);
	assert_int_equal(transactions(), 1);
	fake_advance(&fake, 1);
	assert_int_equal(transactions(), 0);
	fake_answer(&fake, fake_sent(&fake, 0), 486, "t1");
	assert_int_equal(counted(SIP_COUNTER_responses_unmatched), 1);
}

static void refusal_over_tcp_ends_the_transaction_at_once(void **state)
{
	(void)state;
	fake_send(&fake, SIP_TRANSPORT_TCP, SIP_METHOD_INVITE, NULL);
	fake_answer(&fake, fake_sent(&fake, 0), 603, "t1");
	assert_int_equal(fake_sent(&fake, 1)->message.method, SIP_METHOD_ACK);
	assert_int_equal(transactions(), 0);
}

static void accepted_repeats_the_ack_for_each_2xx(void **state)
{
	(void)state;
	fake.confirm = true;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, NULL);
	fake_answer(&fake, fake_sent(&fake, 0), 200, "t1");
	assert_int_equal(fake.sent_count, 2);
	assert_int_equal(fake_sent(&fake, 1)->message.method, SIP_METHOD_ACK);
	fake_answer(&fake, fake_sent(&fake, 0), 200, "t1");
	fake_answer(&fake, fake_sent(&fake, 0), 200, "t1");
	assert_int_equal(fake.sent_count, 4);
	assert_string_equal(fake_sent(&fake, 1)->bytes, fake_sent(&fake, 3)->bytes);
	assert_int_equal(fake.events_count, 1);
	/* timer M */
	fake_advance(&fake, 32000);
	assert_int_equal(transactions(), 0);
	sip_dialog_destroy(fake.dialog);
}

static void other_branch_that_wins_late_gets_ack_and_bye(void **state)
{
	(void)state;
	fake.confirm = true;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, NULL);
	fake_answer(&fake, fake_sent(&fake, 0), 200, "t1");
	fake_answer(&fake, fake_sent(&fake, 0), 200, "t2");
	assert_int_equal(fake.events_count, 1);
	assert_int_equal(fake.sent_count, 4);
	assert_int_equal(fake_sent(&fake, 2)->message.method, SIP_METHOD_ACK);
	assert_int_equal(fake_sent(&fake, 3)->message.method, SIP_METHOD_BYE);
	assert_true(sip_text_is(fake_sent(&fake, 3)->message.to.tag, "t2"));
	assert_int_equal(counted(SIP_COUNTER_forked_2xx_declined), 1);
	/* again: only the ACK */
	fake_answer(&fake, fake_sent(&fake, 0), 200, "t2");
	assert_int_equal(fake.sent_count, 5);
	assert_int_equal(fake_sent(&fake, 4)->message.method, SIP_METHOD_ACK);
	sip_dialog_destroy(fake.dialog);
	fake_advance(&fake, 32000);
	fake_advance(&fake, 32000);
	assert_int_equal(transactions(), 0);
}

static void accepted_call_that_nobody_takes_is_hung_up(void **state)
{
	struct sip_stack_levels levels;

	(void)state;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, NULL);
	fake_answer(&fake, fake_sent(&fake, 0), 200, "t1");
	assert_int_equal(fake.sent_count, 3);
	assert_int_equal(fake_sent(&fake, 1)->message.method, SIP_METHOD_ACK);
	assert_int_equal(fake_sent(&fake, 2)->message.method, SIP_METHOD_BYE);
	fake_answer(&fake, fake_sent(&fake, 2), 200, "t1");
	fake_advance(&fake, 33000);
	sip_stack_levels(fake.stack, &levels);
	assert_int_equal(levels.transactions, 0);
	assert_int_equal(levels.dialogs, 0);
}

static void cancel_waits_for_a_provisional_response(void **state)
{
	struct sip_transaction *invite;
	const struct sip_message *cancel;

	(void)state;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, &invite);
	sip_client_cancel(invite);
	assert_int_equal(fake.sent_count, 1);
	fake_answer(&fake, fake_sent(&fake, 0), 180, "t1");
	assert_int_equal(fake.sent_count, 2);
	cancel = &fake_sent(&fake, 1)->message;
	assert_int_equal(cancel->method, SIP_METHOD_CANCEL);
	assert_true(sip_text_equal(cancel->via.branch, fake_sent(&fake, 0)->message.via.branch));
	assert_int_equal(cancel->to.tag.n, 0);
	sip_client_cancel(invite);
	assert_int_equal(fake.sent_count, 2);
	fake_answer(&fake, fake_sent(&fake, 1), 200, "t1");
	fake_answer(&fake, fake_sent(&fake, 0), 487, "t1");
	assert_int_equal(fake_event(&fake, -1)->status, 487);
	assert_int_equal(fake_sent(&fake, -1)->message.method, SIP_METHOD_ACK);
	fake_advance(&fake, 64000);
	assert_int_equal(transactions(), 0);
}

static void cancel_without_final_response_times_out(void **state)
{
	struct sip_transaction *invite;

	(void)state;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, &invite);
	fake_answer(&fake, fake_sent(&fake, 0), 180, "t1");
	sip_client_cancel(invite);
	fake_answer(&fake, fake_sent(&fake, 1), 200, "t1");
	fake_advance(&fake, 31999);
	assert_int_equal(fake.events_count, 1);
	fake_advance(&fake, 1);
	assert_int_equal(fake_event(&fake, -1)->status, 408);
}

static void answer_that_crosses_cancel_is_delivered(void **state)
{
	struct sip_transaction *invite;

	(void)state;
	fake.confirm = true;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, &invite);
	fake_answer(&fake, fake_sent(&fake, 0), 180, "t1");
	sip_client_cancel(invite);
	fake_answer(&fake, fake_sent(&fake, 0), 200, "t1");
	assert_int_equal(fake_event(&fake, -1)->status, 200);
	sip_dialog_destroy(fake.dialog);
}

static void forgotten_invite_is_cancelled_and_a_late_answer_hung_up(void **state)
{
	struct sip_transaction *invite;

	(void)state;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, &invite);
	sip_client_forget(invite);
	fake_answer(&fake, fake_sent(&fake, 0), 180, "t1");
	assert_int_equal(fake_sent(&fake, -1)->message.method, SIP_METHOD_CANCEL);
	fake_answer(&fake, fake_sent(&fake, 0), 200, "t1");
	assert_int_equal(fake_sent(&fake, -1)->message.method, SIP_METHOD_BYE);
	assert_int_equal(fake.events_count, 0);
}

/* ---- client non-INVITE (17.1.2) ---- */

static void other_request_is_retransmitted_until_timer_f(void **state)
{
	static const uint32_t at[] = {0,     500,   1500,  3500,  7500, 11500,
				      15500, 19500, 23500, 27500, 31500};
	uint64_t start = fake.wheel.now_ms;

	(void)state;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_OPTIONS, NULL);
	fake_advance(&fake, 32000);
	assert_sent_at(start, at, 11);
	assert_int_equal(fake.events_count, 1);
	assert_int_equal(fake_event(&fake, 0)->status, 408);
	assert_int_equal(transactions(), 0);
}

static void other_request_slows_down_after_a_provisional(void **state)
{
	static const uint32_t at[] = {0, 500, 4500, 8500, 12500, 16500, 20500, 24500, 28500};
	uint64_t start = fake.wheel.now_ms;

	(void)state;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_OPTIONS, NULL);
	fake_answer(&fake, fake_sent(&fake, 0), 100, NULL);
	fake_advance(&fake, 32000);
	assert_sent_at(start, at, 9);
	assert_int_equal(fake_event(&fake, -1)->status, 408);
}

static void other_request_completes_once(void **state)
{
	(void)state;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_OPTIONS, NULL);
	fake_answer(&fake, fake_sent(&fake, 0), 200, "t1");
	fake_answer(&fake, fake_sent(&fake, 0), 200, "t1");
	assert_int_equal(fake.events_count, 1);
	assert_int_equal(fake.sent_count, 1);
	/* timer K */
	fake_advance(&fake, 4999);
	assert_int_equal(transactions(), 1);
	fake_advance(&fake, 1);
	assert_int_equal(transactions(), 0);
}

static void lost_connection_fails_what_waits_on_it(void **state)
{
	struct sip_flow flow;

	(void)state;
	fake_send(&fake, SIP_TRANSPORT_TCP, SIP_METHOD_INVITE, NULL);
	fake_send(&fake, SIP_TRANSPORT_TCP, SIP_METHOD_OPTIONS, NULL);
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_OPTIONS, NULL);
	flow = fake_sent(&fake, 0)->flow;
	sip_transport_failed(fake.stack, &flow, ECONNREFUSED);
	assert_int_equal(fake.events_count, 2);
	assert_int_equal(fake_event(&fake, 0)->status, 503);
	assert_int_equal(fake_event(&fake, 1)->status, 503);
	assert_true(fake_event(&fake, 1)->made_here);
	assert_int_equal(transactions(), 1);
}

static void request_that_cannot_be_sent_leaves_nothing(void **state)
{
	(void)state;
	fake.send_error = -EHOSTUNREACH;
	assert_int_equal(fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, NULL),
			 -EHOSTUNREACH);
	fake_advance(&fake, 64000);
	assert_int_equal(fake.events_count, 0);
	assert_int_equal(transactions(), 0);
}

/* ---- server INVITE (17.2.1) ---- */

static void trying_is_sent_after_200_ms_of_silence(void **state)
{
	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP,
		     fake_request("INVITE", "z9hG4bK1", NULL, 1, "Record-Route: <sip:p;lr>\n"));
	fake_advance(&fake, 199);
	assert_int_equal(fake.sent_count, 0);
	fake_advance(&fake, 1);
	assert_int_equal(fake.sent_count, 1);
	assert_int_equal(fake_sent(&fake, 0)->message.status, 100);
	assert_int_equal(fake_sent(&fake, 0)->message.to.tag.n, 0);
	fake_advance(&fake, 60000);
	assert_int_equal(fake.sent_count, 1);
}

static void retransmitted_invite_gets_the_last_provisional(void **state)
{
	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	assert_int_equal(fake.sent_count, 0);
	sip_reply(fake_event(&fake, 0)->transaction, 180, NULL);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	assert_int_equal(fake.events_count, 1);
	assert_int_equal(fake.sent_count, 2);
	assert_string_equal(fake_sent(&fake, 0)->bytes, fake_sent(&fake, 1)->bytes);
	assert_int_equal(counted(SIP_COUNTER_retransmissions_received), 2);
}

static void refusal_is_retransmitted_until_ack(void **state)
{
	static const uint32_t at[] = {0, 500, 1500, 3500, 7500};
	uint64_t start = fake.wheel.now_ms;

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	sip_reply(fake_event(&fake, 0)->transaction, 486, NULL);
	fake_advance(&fake, 8000);
	assert_sent_at(start, at, 5);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("ACK", "z9hG4bK1", "x", 1, NULL));
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("ACK", "z9hG4bK1", "x", 1, NULL));
	/* Confirmed swallows ACKs and INVITEs until timer I */
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	fake_advance(&fake, 4999);
	assert_int_equal(fake.sent_count, 5);
	assert_int_equal(fake.events_count, 1);
	assert_int_equal(transactions(), 1);
	fake_advance(&fake, 1);
	assert_int_equal(transactions(), 0);
}

static void refusal_without_ack_ends_with_timer_h(void **state)
{
	static const uint32_t at[] = {0,     500,   1500,  3500,  7500, 11500,
				      15500, 19500, 23500, 27500, 31500};
	uint64_t start = fake.wheel.now_ms;

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	sip_reply(fake_event(&fake, 0)->transaction, 404, NULL);
	fake_advance(&fake, 40000);
	assert_sent_at(start, at, 11);
	assert_int_equal(counted(SIP_COUNTER_unacknowledged), 1);
	assert_int_equal(transactions(), 0);
}

static void refusal_over_tcp_is_sent_once(void **state)
{
	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_TCP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	sip_reply(fake_event(&fake, 0)->transaction, 404, NULL);
	fake_advance(&fake, 31000);
	assert_int_equal(fake.sent_count, 1);
	fake_receive(&fake, SIP_TRANSPORT_TCP, fake_request("ACK", "z9hG4bK1", "x", 1, NULL));
	assert_int_equal(transactions(), 0);
}

static void answer_is_retransmitted_until_its_ack(void **state)
{
	static const uint32_t at[] = {0, 500, 1500, 3500, 7500, 11500};
	uint64_t start = fake.wheel.now_ms;
	char tag[SIP_TAG_SIZE];

	(void)state;
	fake.make_dialog = true;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	fake_reply(&fake, fake_event(&fake, 0)->transaction, 200, fake.dialog);
	assert_int_equal(fake.dialog->state, SIP_DIALOG_CONFIRMED);
	assert_true(sip_dialog_is_accepting(fake.dialog));
	/* Accepted swallows the INVITE (RFC 6026 7.1) */
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	fake_advance(&fake, 12000);
	assert_sent_at(start, at, 6);
	sip_text_copy(fake_sent(&fake, 0)->message.to.tag, tag, sizeof(tag));
	/* an ACK for another CSeq does not count */
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("ACK", "z9hG4bK3", tag, 2, NULL));
	assert_true(sip_dialog_is_accepting(fake.dialog));
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("ACK", "z9hG4bK2", tag, 1, NULL));
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("ACK", "z9hG4bK2", tag, 1, NULL));
	assert_int_equal(fake_event(&fake, -1)->kind, FAKE_ACKNOWLEDGED);
	assert_int_equal(fake.events_count, 2);
	fake_advance(&fake, 100000);
	assert_int_equal(fake.sent_count, 6);
	assert_int_equal(transactions(), 0);
	sip_dialog_destroy(fake.dialog);
}

static void answer_without_ack_is_reported(void **state)
{
	(void)state;
	fake.make_dialog = true;
	fake_receive(&fake, SIP_TRANSPORT_TCP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	fake_reply(&fake, fake_event(&fake, 0)->transaction, 200, fake.dialog);
	fake_advance(&fake, 31999);
	assert_int_equal(fake.events_count, 1);
	fake_advance(&fake, 1);
	assert_int_equal(fake_event(&fake, -1)->kind, FAKE_UNACKNOWLEDGED);
	assert_ptr_equal(fake_event(&fake, -1)->dialog, fake.dialog);
	assert_false(sip_dialog_is_accepting(fake.dialog));
	sip_dialog_destroy(fake.dialog);
}

static void answer_needs_a_dialog(void **state)
{
	struct sip_response response;
	char buffer[2048];

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	sip_response_begin(&response, fake_event(&fake, 0)->transaction, 200, NULL, buffer,
			   sizeof(buffer));
	assert_int_equal(sip_response_send(&response, NULL, (struct sip_text){NULL, 0}), -EINVAL);
	assert_int_equal(fake.sent_count, 0);
	assert_int_equal(sip_reply(fake_event(&fake, 0)->transaction, 480, NULL), 0);
}

static void response_that_does_not_fit_is_not_sent(void **state)
{
	struct sip_response response;
	char buffer[2048];

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("OPTIONS", "z9hG4bK1", NULL, 1, NULL));
	sip_response_begin(&response, fake_event(&fake, 0)->transaction, 200, NULL, buffer, 200);
	assert_int_equal(sip_response_send(&response, NULL, (struct sip_text){NULL, 0}), -ENOSPC);
	assert_int_equal(fake.sent_count, 0);
	assert_int_equal(sip_reply(fake_event(&fake, 0)->transaction, 500, NULL), 0);
}

static void second_final_response_is_refused(void **state)
{
	struct sip_transaction *t;

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("OPTIONS", "z9hG4bK1", NULL, 1, NULL));
	t = fake_event(&fake, 0)->transaction;
	assert_int_equal(sip_reply(t, 200, NULL), 0);
	assert_int_equal(sip_reply(t, 500, NULL), -EALREADY);
	assert_int_equal(fake.sent_count, 1);
}

static void cancel_is_answered_and_told(void **state)
{
	struct sip_transaction *invite;

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	invite = fake_event(&fake, 0)->transaction;
	sip_reply(invite, 180, NULL);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("CANCEL", "z9hG4bK1", NULL, 1, NULL));
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("CANCEL", "z9hG4bK1", NULL, 1, NULL));
	assert_int_equal(fake.events_count, 2);
	assert_int_equal(fake_event(&fake, 1)->kind, FAKE_CANCELLED);
	assert_ptr_equal(fake_event(&fake, 1)->transaction, invite);
	assert_int_equal(fake_sent(&fake, 1)->message.status, 200);
	assert_int_equal(fake_sent(&fake, 1)->message.cseq.method, SIP_METHOD_CANCEL);
	assert_true(sip_text_equal(fake_sent(&fake, 0)->message.to.tag,
				   fake_sent(&fake, 1)->message.to.tag));
	sip_reply(invite, 487, NULL);
	assert_int_equal(fake_sent(&fake, -1)->message.status, 487);
}

static void cancel_without_invite_gets_481(void **state)
{
	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("CANCEL", "z9hG4bK1", NULL, 1, NULL));
	assert_int_equal(fake_sent(&fake, 0)->message.status, 481);
	assert_int_equal(fake.events_count, 0);
	assert_int_equal(counted(SIP_COUNTER_cancels_unmatched), 1);
}

static void cancel_after_the_answer_changes_nothing(void **state)
{
	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	sip_reply(fake_event(&fake, 0)->transaction, 486, NULL);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("CANCEL", "z9hG4bK1", NULL, 1, NULL));
	assert_int_equal(fake_sent(&fake, -1)->message.status, 200);
	assert_int_equal(fake.events_count, 1);
}

/* ---- server non-INVITE (17.2.2) ---- */

static void retransmitted_request_gets_the_same_response(void **state)
{
	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("OPTIONS", "z9hG4bK1", NULL, 1, NULL));
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("OPTIONS", "z9hG4bK1", NULL, 1, NULL));
	assert_int_equal(fake.sent_count, 0);
	sip_reply(fake_event(&fake, 0)->transaction, 200, NULL);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("OPTIONS", "z9hG4bK1", NULL, 1, NULL));
	assert_int_equal(fake.events_count, 1);
	assert_int_equal(fake.sent_count, 2);
	/* the second was built anew from the request; the same headers, in another order */
	assert_int_equal(fake_sent(&fake, 0)->n, fake_sent(&fake, 1)->n);
	assert_true(sip_text_equal(fake_sent(&fake, 0)->message.to.tag,
				   fake_sent(&fake, 1)->message.to.tag));
	/* timer J */
	fake_advance(&fake, 31999);
	assert_int_equal(transactions(), 1);
	fake_advance(&fake, 1);
	assert_int_equal(transactions(), 0);
}

static void response_with_headers_of_its_own_is_kept(void **state)
{
	struct sip_response response;
	char buffer[2048];

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("REGISTER", "z9hG4bK1", NULL, 1, NULL));
	sip_response_begin(&response, fake_event(&fake, 0)->transaction, 200, NULL, buffer,
			   sizeof(buffer));
	sip_put_string(&response.builder, "Contact: <sip:1001@192.0.2.2>;expires=60\r\n");
	assert_int_equal(sip_response_send(&response, NULL, (struct sip_text){NULL, 0}), 0);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("REGISTER", "z9hG4bK1", NULL, 1, NULL));
	assert_string_equal(fake_sent(&fake, 0)->bytes, fake_sent(&fake, 1)->bytes);
}

static void other_transactions_end_at_once_over_tcp(void **state)
{
	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_TCP, fake_request("OPTIONS", "z9hG4bK1", NULL, 1, NULL));
	sip_reply(fake_event(&fake, 0)->transaction, 200, NULL);
	assert_int_equal(transactions(), 0);
}

/* ---- matching (17.2.3, 17.1.3) ---- */

static void method_and_sent_by_belong_to_the_match(void **state)
{
	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("OPTIONS", "z9hG4bK1", NULL, 1, NULL));
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("MESSAGE", "z9hG4bK1", NULL, 1, NULL));
	fake_receive(&fake, SIP_TRANSPORT_UDP,
		     "OPTIONS sip:1002@192.0.2.1 SIP/2.0\n"
		     "Via: SIP/2.0/UDP 192.0.2.3:5060;branch=z9hG4bK1\n"
		     "From: <sip:1001@192.0.2.1>;tag=fromtag\nTo: <sip:1002@192.0.2.1>\n"
		     "Call-ID: call-1@192.0.2.2\nCSeq: 1 OPTIONS\n\n");
	assert_int_equal(fake.events_count, 3);
}

static void requests_of_rfc_2543_are_matched_without_branch(void **state)
{
	static const char invite[] =
		"INVITE sip:1002@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2\n"
		"From: <sip:1001@192.0.2.1>\nTo: <sip:1002@192.0.2.1>\n"
		"Call-ID: old\nCSeq: 7 INVITE\n\n";
	static const char ack[] = "ACK sip:1002@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2\n"
				  "From: <sip:1001@192.0.2.1>\nTo: <sip:1002@192.0.2.1>;tag=x\n"
				  "Call-ID: old\nCSeq: 7 ACK\n\n";
	static const char again[] =
		"INVITE sip:1002@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2\n"
		"From: <sip:1001@192.0.2.1>\nTo: <sip:1002@192.0.2.1>\n"
		"Call-ID: old\nCSeq: 8 INVITE\n\n";

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, invite);
	fake_receive(&fake, SIP_TRANSPORT_UDP, invite);
	assert_int_equal(fake.events_count, 1);
	sip_reply(fake_event(&fake, 0)->transaction, 486, NULL);
	fake_receive(&fake, SIP_TRANSPORT_UDP, ack);
	fake_advance(&fake, 4000);
	assert_int_equal(fake.sent_count, 1);
	fake_receive(&fake, SIP_TRANSPORT_UDP, again);
	assert_int_equal(fake.events_count, 2);
}

static void branch_that_is_only_the_cookie_is_no_match(void **state)
{
	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("OPTIONS", "z9hG4bK", NULL, 1, NULL));
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("OPTIONS", "z9hG4bK", NULL, 2, NULL));
	assert_int_equal(fake.events_count, 2);
}

static void foreign_response_is_counted_and_dropped(void **state)
{
	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP,
		     "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKfoo\n"
		     "From: <sip:a@b>;tag=1\nTo: <sip:a@b>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\n\n");
	assert_int_equal(counted(SIP_COUNTER_responses_unmatched), 1);
	assert_int_equal(fake.sent_count, 0);
}

static void full_table_refuses_with_503_and_recovers(void **state)
{
	char branch[32];

	(void)state;
	fake_stop(&fake);
	fake_start(&fake, 100, 0);
	for (int i = 0; i < 100; i++) {
		snprintf(branch, sizeof(branch), "z9hG4bKn%d", i);
		fake_receive(&fake, SIP_TRANSPORT_UDP,
			     fake_request("OPTIONS", branch, NULL, 1, NULL));
		sip_reply(fake_event(&fake, i)->transaction, 200, NULL);
	}
	assert_int_equal(transactions(), 100);
	fake_receive(&fake, SIP_TRANSPORT_UDP,
		     fake_request("OPTIONS", "z9hG4bKover", NULL, 1, NULL));
	assert_int_equal(fake.events_count, 100);
	assert_int_equal(fake_sent(&fake, -1)->message.status, 503);
	assert_true(sip_message_number(&fake_sent(&fake, -1)->message, SIP_HEADER_RETRY_AFTER, 0) >
		    0);
	assert_int_equal(counted(SIP_COUNTER_transactions_full), 1);
	assert_int_equal(fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_OPTIONS, NULL), -ENOBUFS);
	/* an ACK is never answered */
	fake_forget(&fake);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("ACK", "z9hG4bKover", "x", 1, NULL));
	assert_int_equal(fake.sent_count, 0);
	fake_advance(&fake, 32000);
	assert_int_equal(transactions(), 0);
	fake_receive(&fake, SIP_TRANSPORT_UDP,
		     fake_request("OPTIONS", "z9hG4bKagain", NULL, 1, NULL));
	assert_int_equal(fake.events_count, 1);
}

static void tombstone_is_small(void **state)
{
	(void)state;
	assert_true(sizeof(struct sip_transaction) <= SIP_TOMBSTONE_SIZE_MAX);
	fake.make_dialog = true;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	fake_reply(&fake, fake_event(&fake, 0)->transaction, 200, fake.dialog);
	assert_null(fake_event(&fake, 0)->transaction->bytes);
	assert_null(fake_event(&fake, 0)->transaction->skeleton);
	sip_dialog_destroy(fake.dialog);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(invite_is_retransmitted_until_timer_b),
		T(invite_over_tcp_is_sent_once),
		T(provisional_stops_retransmission_and_timeout),
		T(refusal_gets_ack_and_again_for_each_repetition),
		T(refusal_over_tcp_ends_the_transaction_at_once),
		T(accepted_repeats_the_ack_for_each_2xx),
		T(other_branch_that_wins_late_gets_ack_and_bye),
		T(accepted_call_that_nobody_takes_is_hung_up),
		T(cancel_waits_for_a_provisional_response),
		T(cancel_without_final_response_times_out),
		T(answer_that_crosses_cancel_is_delivered),
		T(forgotten_invite_is_cancelled_and_a_late_answer_hung_up),
		T(other_request_is_retransmitted_until_timer_f),
		T(other_request_slows_down_after_a_provisional),
		T(other_request_completes_once),
		T(lost_connection_fails_what_waits_on_it),
		T(request_that_cannot_be_sent_leaves_nothing),
		T(trying_is_sent_after_200_ms_of_silence),
		T(retransmitted_invite_gets_the_last_provisional),
		T(refusal_is_retransmitted_until_ack),
		T(refusal_without_ack_ends_with_timer_h),
		T(refusal_over_tcp_is_sent_once),
		T(answer_is_retransmitted_until_its_ack),
		T(answer_without_ack_is_reported),
		T(answer_needs_a_dialog),
		T(response_that_does_not_fit_is_not_sent),
		T(second_final_response_is_refused),
		T(cancel_is_answered_and_told),
		T(cancel_without_invite_gets_481),
		T(cancel_after_the_answer_changes_nothing),
		T(retransmitted_request_gets_the_same_response),
		T(response_with_headers_of_its_own_is_kept),
		T(other_transactions_end_at_once_over_tcp),
		T(method_and_sent_by_belong_to_the_match),
		T(requests_of_rfc_2543_are_matched_without_branch),
		T(branch_that_is_only_the_cookie_is_no_match),
		T(foreign_response_is_counted_and_dropped),
		T(full_table_refuses_with_503_and_recovers),
		T(tombstone_is_small),
	};

	return cmocka_run_group_tests_name("sip transactions", tests, NULL, NULL);
}

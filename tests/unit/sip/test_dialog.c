/* Dialogs: creation at both ends, matching, CSeq, routing, where requests go, saving. */
#include "control/sip/internal.h"
#include "tests/unit/sip/fake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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

static void assert_text(struct sip_text t, const char *expected)
{
	if (!sip_text_equal(t, sip_text_of(expected)))
		fail_msg("found \"" SIP_TEXT_FORMAT "\", expected \"%s\"", SIP_TEXT_ARG(t),
			 expected);
}

static void assert_goes_to(const struct sip_flow *flow, const char *expected)
{
	char text[ENDPOINT_TEXT_MAX];

	assert_string_equal(endpoint_text(&flow->remote, text), expected);
}

/* A dialog as UAS, answered and acknowledged. Its local tag goes to tag. */
static struct sip_dialog *uas_dialog(const char *extra, char tag[SIP_TAG_SIZE])
{
	fake.make_dialog = true;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 10, extra));
	fake_reply(&fake, fake_event(&fake, -1)->transaction, 200, fake.dialog);
	sip_text_copy(fake_sent(&fake, -1)->message.to.tag, tag, SIP_TAG_SIZE);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("ACK", "z9hG4bK2", tag, 10, NULL));
	assert_int_equal(fake_event(&fake, -1)->kind, FAKE_ACKNOWLEDGED);
	return fake.dialog;
}

/* An answer to our INVITE, with extra headers, from 192.0.2.2 or elsewhere. */
static struct sip_dialog *uac_dialog(const char *remote, const char *headers)
{
	struct sip_text branch;
	char text[2048];

	fake.confirm = true;
	assert_int_equal(fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, NULL), 0);
	branch = fake_sent(&fake, -1)->message.via.branch;
	snprintf(text, sizeof(text),
		 "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=" SIP_TEXT_FORMAT "\n"
		 "From: \"A\" <sip:1001@192.0.2.1>;tag=ourtag\nTo: <sip:1002@192.0.2.2>;tag=far\n"
		 "Call-ID: call-2@192.0.2.1\nCSeq: 1 INVITE\n%s\n",
		 SIP_TEXT_ARG(branch), headers);
	fake_receive_from(&fake, SIP_TRANSPORT_UDP, remote, text);
	return fake.dialog;
}

static void uas_takes_its_state_from_the_invite(void **state)
{
	char tag[SIP_TAG_SIZE];
	struct sip_dialog *d = uas_dialog("Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\n"
					  "Record-Route: <sip:192.0.2.77;lr>\n",
					  tag);

	(void)state;
	assert_text(d->texts[SIP_DIALOG_CALL_ID], "call-1@192.0.2.2");
	assert_text(d->texts[SIP_DIALOG_LOCAL_TAG], tag);
	assert_text(d->texts[SIP_DIALOG_REMOTE_TAG], "fromtag");
	assert_text(d->texts[SIP_DIALOG_LOCAL_URI], "<sip:1002@192.0.2.1>");
	assert_text(d->texts[SIP_DIALOG_REMOTE_URI], "\"A\" <sip:1001@192.0.2.1>");
	assert_text(d->texts[SIP_DIALOG_REMOTE_TARGET], "sip:1001@192.0.2.2:5060");
	assert_text(d->texts[SIP_DIALOG_ROUTE_SET],
		    "<sip:p2.example;lr>, <sip:p1.example;lr>, <sip:192.0.2.77;lr>");
	assert_int_equal(d->remote_cseq, 10);
	assert_int_equal(d->state, SIP_DIALOG_CONFIRMED);
	assert_false(d->initiator);
	assert_ptr_equal(sip_dialog_find(fake.stack, sip_text_of("call-1@192.0.2.2"),
					 sip_text_of(tag), sip_text_of("fromtag")),
			 d);
	assert_null(sip_dialog_find(fake.stack, sip_text_of("call-1@192.0.2.2"),
				    sip_text_of("fromtag"), sip_text_of(tag)));
	sip_dialog_destroy(d);
}

static void record_route_is_in_the_answers_that_form_the_dialog(void **state)
{
	(void)state;
	fake.make_dialog = true;
	fake_receive(&fake, SIP_TRANSPORT_UDP,
		     fake_request("INVITE", "z9hG4bK1", NULL, 1, "Record-Route: <sip:p;lr>\n"));
	sip_reply(fake_event(&fake, 0)->transaction, 100, NULL);
	sip_reply(fake_event(&fake, 0)->transaction, 180, NULL);
	sip_reply(fake_event(&fake, 0)->transaction, 486, NULL);
	assert_null(sip_message_header(&fake_sent(&fake, 0)->message, SIP_HEADER_RECORD_ROUTE).at);
	assert_string_equal(fake_header(&fake_sent(&fake, 1)->message, SIP_HEADER_RECORD_ROUTE),
			    "<sip:p;lr>");
	assert_null(sip_message_header(&fake_sent(&fake, 2)->message, SIP_HEADER_RECORD_ROUTE).at);
	sip_dialog_destroy(fake.dialog);
}

static void uas_request_carries_the_dialog(void **state)
{
	char tag[SIP_TAG_SIZE];
	struct sip_dialog *d = uas_dialog(NULL, tag);
	const struct sip_message *bye;

	(void)state;
	assert_int_equal(fake_dialog_send(&fake, d, SIP_METHOD_BYE, NULL), 0);
	bye = &fake_sent(&fake, -1)->message;
	assert_text(bye->uri_text, "sip:1001@192.0.2.2:5060");
	assert_text(bye->from.tag, tag);
	assert_text(bye->to.tag, "fromtag");
	assert_text(bye->from.uri.text, "sip:1002@192.0.2.1");
	assert_text(bye->call_id, "call-1@192.0.2.2");
	assert_int_equal(bye->cseq.number, 1);
	assert_null(sip_message_header(bye, SIP_HEADER_CONTACT).at);
	assert_int_equal(fake_dialog_send(&fake, d, SIP_METHOD_INVITE, NULL), 0);
	assert_int_equal(fake_sent(&fake, -1)->message.cseq.number, 2);
	assert_string_equal(fake_header(&fake_sent(&fake, -1)->message, SIP_HEADER_CONTACT),
			    "<sip:uas@192.0.2.1:5060>");
	assert_goes_to(&fake_sent(&fake, -1)->flow, "192.0.2.2:5060");
	sip_dialog_destroy(d);
}

static void uac_reverses_the_record_route(void **state)
{
	struct sip_dialog *d =
		uac_dialog("192.0.2.2:5060", "Record-Route: <sip:192.0.2.71;lr>, <sip:p2;lr>\n"
					     "Record-Route: <sip:192.0.2.73:5080;lr>\n"
					     "Contact: <sip:1002@192.0.2.99>\n");
	const struct sip_message *ack = &fake_sent(&fake, -1)->message;

	(void)state;
	assert_int_equal(ack->method, SIP_METHOD_ACK);
	assert_text(ack->uri_text, "sip:1002@192.0.2.99");
	assert_string_equal(fake_header(ack, SIP_HEADER_ROUTE),
			    "<sip:192.0.2.73:5080;lr>, <sip:p2;lr>, <sip:192.0.2.71;lr>");
	assert_goes_to(&fake_sent(&fake, -1)->flow, "192.0.2.73:5080");
	assert_int_equal(ack->cseq.number, 1);
	assert_true(d->initiator);
	sip_dialog_destroy(d);
}

static void strict_router_becomes_the_request_uri(void **state)
{
	struct sip_dialog *d =
		uac_dialog("192.0.2.2:5060", "Record-Route: <sip:p1;lr>, <sip:192.0.2.73;x=y>\n"
					     "Contact: <sip:1002@192.0.2.99>\n");
	const struct sip_message *ack = &fake_sent(&fake, -1)->message;

	(void)state;
	assert_text(ack->uri_text, "sip:192.0.2.73;x=y");
	assert_string_equal(fake_header(ack, SIP_HEADER_ROUTE),
			    "<sip:p1;lr>, <sip:1002@192.0.2.99>");
	assert_goes_to(&fake_sent(&fake, -1)->flow, "192.0.2.73:5060");
	sip_dialog_destroy(d);
}

/* Where the ACK goes for what the answer's Contact says and where the answer came from. */
static void requests_go_where_the_peer_can_be_reached(void **state)
{
	static const struct {
		const char *contact;
		const char *from;
		const char *to;
	} cases[] = {
		{"Contact: <sip:a@192.0.2.99:5099>\n", "192.0.2.2:5060", "192.0.2.99:5099"},
		{"Contact: <sip:a@192.0.2.99>\n", "192.0.2.2:5060", "192.0.2.99:5060"},
		{"Contact: <sip:a@10.0.0.5:5099>\n", "192.0.2.2:6060", "192.0.2.2:6060"},
		{"Contact: <sip:a@phone.local:5099>\n", "192.0.2.2:6060", "192.0.2.2:6060"},
		{"Contact: <sip:a@10.0.0.5:5099>\n", "10.0.0.6:5060", "10.0.0.5:5099"},
		{"Contact: <sip:a@x;maddr=192.0.2.50>\n", "192.0.2.2:6060", "192.0.2.50:5060"},
		{"", "192.0.2.2:6060", "192.0.2.2:5060"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_dialog *d = uac_dialog(cases[i].from, cases[i].contact);

		assert_int_equal(fake_sent(&fake, -1)->message.method, SIP_METHOD_ACK);
		assert_goes_to(&fake_sent(&fake, -1)->flow, cases[i].to);
		sip_dialog_destroy(d);
	}
}

static void caller_behind_nat_is_answered_where_it_is(void **state)
{
	(void)state;
	fake.make_dialog = true;
	fake_receive_from(&fake, SIP_TRANSPORT_UDP, "192.0.2.200:40000",
			  fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	/* the Via says 192.0.2.2, which is not where it came from */
	fake_reply(&fake, fake_event(&fake, 0)->transaction, 200, fake.dialog);
	assert_goes_to(&fake_sent(&fake, -1)->flow, "192.0.2.200:40000");
	assert_text(fake_sent(&fake, -1)->message.via.received, "192.0.2.200");
	fake_dialog_send(&fake, fake.dialog, SIP_METHOD_BYE, NULL);
	assert_goes_to(&fake_sent(&fake, -1)->flow, "192.0.2.200:40000");
	sip_dialog_destroy(fake.dialog);
}

static void responses_go_where_via_says(void **state)
{
	static const struct {
		const char *via;
		const char *to;
	} cases[] = {
		{"SIP/2.0/UDP 192.0.2.200:5070", "192.0.2.200:5070"},
		{"SIP/2.0/UDP 192.0.2.200", "192.0.2.200:5060"},
		{"SIP/2.0/UDP 192.0.2.200:5070;rport", "192.0.2.200:40000"},
		{"SIP/2.0/UDP 10.0.0.1:5070", "192.0.2.200:40000"},
		{"SIP/2.0/UDP host.example:5070", "192.0.2.200:5070"},
		{"SIP/2.0/UDP host.example;maddr=192.0.2.201", "192.0.2.201:5060"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[1024];

		snprintf(text, sizeof(text),
			 "OPTIONS sip:x@192.0.2.1 SIP/2.0\nVia: %s;branch=z9hG4bKr%zu\n"
			 "From: <sip:a@b>;tag=1\nTo: <sip:a@b>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n",
			 cases[i].via, i);
		fake_receive_from(&fake, SIP_TRANSPORT_UDP, "192.0.2.200:40000", text);
		sip_reply(fake_event(&fake, -1)->transaction, 200, NULL);
		assert_goes_to(&fake_sent(&fake, -1)->flow, cases[i].to);
	}
}

static void early_dialog_is_confirmed_by_its_answer(void **state)
{
	struct sip_dialog *early;
	struct sip_flow flow;

	(void)state;
	fake_send(&fake, SIP_TRANSPORT_UDP, SIP_METHOD_INVITE, NULL);
	flow = fake_sent(&fake, 0)->flow;
	fake_answer(&fake, fake_sent(&fake, 0), 180, "far");
	assert_int_equal(sip_dialog_create_uac(fake.stack, fake.response, &flow, sip_text_of("uac"),
					       &early),
			 0);
	assert_int_equal(early->state, SIP_DIALOG_EARLY);
	fake.confirm = true;
	fake_answer(&fake, fake_sent(&fake, 0), 200, "far");
	assert_ptr_equal(fake.dialog, early);
	assert_int_equal(early->state, SIP_DIALOG_CONFIRMED);
	assert_int_equal(fake_sent(&fake, -1)->message.method, SIP_METHOD_ACK);
	sip_dialog_destroy(early);
}

static void requests_find_their_dialog(void **state)
{
	char tag[SIP_TAG_SIZE];
	struct sip_dialog *d = uas_dialog(NULL, tag);

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INFO", "z9hG4bK3", tag, 11, NULL));
	assert_ptr_equal(fake_event(&fake, -1)->dialog, d);
	sip_reply(fake_event(&fake, -1)->transaction, 200, NULL);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("BYE", "z9hG4bK4", tag, 12, NULL));
	assert_ptr_equal(fake_event(&fake, -1)->dialog, d);
	sip_reply(fake_event(&fake, -1)->transaction, 200, NULL);
	sip_dialog_destroy(d);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("BYE", "z9hG4bK5", tag, 13, NULL));
	assert_int_equal(fake_sent(&fake, -1)->message.status, 481);
	assert_int_equal(sip_stack_counter(fake.stack, SIP_COUNTER_dialogs_unmatched), 1);
}

static void requests_outside_of_dialogs_may_have_a_to_tag(void **state)
{
	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("REGISTER", "z9hG4bK1", "x", 1, NULL));
	assert_int_equal(fake.events_count, 1);
	assert_null(fake_event(&fake, 0)->dialog);
	sip_reply(fake_event(&fake, 0)->transaction, 200, NULL);
	assert_text(fake_sent(&fake, -1)->message.to.tag, "x");
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK2", "x", 1, NULL));
	assert_int_equal(fake_sent(&fake, -1)->message.status, 481);
	assert_int_equal(fake.events_count, 1);
}

static void lower_cseq_gets_500(void **state)
{
	char tag[SIP_TAG_SIZE];
	struct sip_dialog *d = uas_dialog(NULL, tag);

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INFO", "z9hG4bK3", tag, 9, NULL));
	assert_int_equal(fake_sent(&fake, -1)->message.status, 500);
	assert_int_equal(sip_stack_counter(fake.stack, SIP_COUNTER_cseq_out_of_order), 1);
	assert_int_equal(d->remote_cseq, 10);
	sip_dialog_destroy(d);
}

static void reinvite_is_answered_in_its_dialog(void **state)
{
	char tag[SIP_TAG_SIZE];
	struct sip_dialog *d = uas_dialog(NULL, tag);

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK3", tag, 11, NULL));
	assert_ptr_equal(fake_event(&fake, -1)->dialog, d);
	fake_reply(&fake, fake_event(&fake, -1)->transaction, 200, d);
	assert_true(sip_dialog_is_accepting(d));
	assert_text(fake_sent(&fake, -1)->message.to.tag, tag);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("ACK", "z9hG4bK4", tag, 11, NULL));
	assert_false(sip_dialog_is_accepting(d));
	sip_dialog_destroy(d);
}

static void target_refresh_moves_the_target(void **state)
{
	char tag[SIP_TAG_SIZE];
	struct sip_dialog *d = uas_dialog(NULL, tag);

	(void)state;
	fake_receive(
		&fake, SIP_TRANSPORT_UDP,
		"INVITE sip:1002@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKz\n"
		"From: <sip:a@b>;tag=fromtag\nTo: <sip:a@b>\nCall-ID: other\nCSeq: 11 INVITE\n"
		"Contact: <sip:new@192.0.2.55:5090>\n\n");
	assert_int_equal(sip_dialog_update(d, fake.request), 0);
	fake_dialog_send(&fake, d, SIP_METHOD_BYE, NULL);
	assert_text(fake_sent(&fake, -1)->message.uri_text, "sip:new@192.0.2.55:5090");
	assert_goes_to(&fake_sent(&fake, -1)->flow, "192.0.2.55:5090");
	sip_dialog_destroy(d);
	sip_dialog_destroy(fake.dialog);
}

static void flow_can_be_set_against_the_contact(void **state)
{
	char tag[SIP_TAG_SIZE];
	struct sip_dialog *d = uas_dialog(NULL, tag);
	struct sip_flow flow = d->flow;

	(void)state;
	assert_int_equal(endpoint_parse(&flow.remote, "192.0.2.123:999", 15), 0);
	sip_dialog_set_flow(d, &flow);
	fake_dialog_send(&fake, d, SIP_METHOD_BYE, NULL);
	assert_goes_to(&fake_sent(&fake, -1)->flow, "192.0.2.123:999");
	assert_text(fake_sent(&fake, -1)->message.uri_text, "sip:1001@192.0.2.2:5060");
	sip_dialog_destroy(d);
}

static void broken_contact_makes_no_dialog(void **state)
{
	struct sip_dialog *d;

	(void)state;
	fake_receive(
		&fake, SIP_TRANSPORT_UDP,
		"INVITE sip:1002@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKz\n"
		"From: <sip:a@b>;tag=fromtag\nTo: <sip:a@b>\nCall-ID: other\nCSeq: 11 INVITE\n"
		"Contact: *\n\n");
	assert_int_equal(sip_dialog_create_uas(fake.stack, fake_event(&fake, 0)->transaction,
					       fake.request, sip_text_of("u"), &d),
			 -EINVAL);
	sip_reply(fake_event(&fake, 0)->transaction, 400, "Bad Contact");
}

static void dialog_may_go_before_its_transaction(void **state)
{
	struct sip_transaction *t;

	(void)state;
	fake.make_dialog = true;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	t = fake_event(&fake, 0)->transaction;
	sip_dialog_destroy(fake.dialog);
	assert_int_equal(sip_reply(t, 487, NULL), 0);
	assert_int_equal(fake_sent(&fake, -1)->message.status, 487);
}

static void full_dialog_table_is_an_outcome(void **state)
{
	struct sip_dialog *d;

	(void)state;
	fake_stop(&fake);
	fake_start(&fake, 0, 1);
	fake.make_dialog = true;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK1", NULL, 1, NULL));
	fake.make_dialog = false;
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INVITE", "z9hG4bK2", NULL, 1, NULL));
	assert_int_equal(sip_dialog_create_uas(fake.stack, fake_event(&fake, 1)->transaction,
					       fake.request, sip_text_of("u"), &d),
			 -ENOBUFS);
	assert_int_equal(sip_stack_counter(fake.stack, SIP_COUNTER_dialogs_full), 1);
	sip_dialog_destroy(fake.dialog);
	assert_int_equal(sip_dialog_create_uas(fake.stack, fake_event(&fake, 1)->transaction,
					       fake.request, sip_text_of("u"), &d),
			 0);
	sip_dialog_destroy(d);
}

static void saved_dialog_is_restored_and_serves(void **state)
{
	char tag[SIP_TAG_SIZE];
	struct sip_dialog *d = uas_dialog("Record-Route: <sip:192.0.2.77;lr>\n", tag);
	uint8_t bytes[1024];
	int n;
	struct sip_dialog *restored;

	(void)state;
	n = sip_dialog_save(d, bytes, sizeof(bytes));
	assert_true(n > 0);
	for (int size = 0; size < n; size++)
		assert_int_equal(sip_dialog_save(d, bytes, (size_t)size), -ENOSPC);
	assert_int_equal(sip_dialog_save(d, bytes, sizeof(bytes)), n);
	sip_dialog_destroy(d);
	for (int cut = 0; cut < n; cut++) {
		uint8_t *exact = malloc(cut > 0 ? (size_t)cut : 1);

		memcpy(exact, bytes, (size_t)cut);
		assert_int_equal(sip_dialog_restore(fake.stack, exact, (size_t)cut, &restored),
				 -EINVAL);
		free(exact);
	}
	assert_int_equal(sip_dialog_restore(fake.stack, bytes, (size_t)n, &restored), 0);
	fake_receive(&fake, SIP_TRANSPORT_UDP, fake_request("INFO", "z9hG4bK9", tag, 11, NULL));
	assert_ptr_equal(fake_event(&fake, -1)->dialog, restored);
	fake_dialog_send(&fake, restored, SIP_METHOD_BYE, NULL);
	assert_string_equal(fake_header(&fake_sent(&fake, -1)->message, SIP_HEADER_ROUTE),
			    "<sip:192.0.2.77;lr>");
	assert_goes_to(&fake_sent(&fake, -1)->flow, "192.0.2.77:5060");
	sip_dialog_destroy(restored);
}

static void broken_requests_are_answered_statelessly(void **state)
{
	struct sip_stack_levels levels;

	(void)state;
	fake_receive(&fake, SIP_TRANSPORT_UDP,
		     "INVITE sip:x@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKz\n"
		     "From: <sip:a@b>;tag=1\nTo: <sip:a@b>\nCall-ID: x\n\n");
	assert_int_equal(fake_sent(&fake, -1)->message.status, 400);
	assert_text(fake_sent(&fake, -1)->message.reason, "Missing CSeq");
	fake_receive(&fake, SIP_TRANSPORT_UDP,
		     "ACK sip:x@192.0.2.1 SIP/2.0\n"
		     "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKz\n\n");
	fake_receive(&fake, SIP_TRANSPORT_UDP, "SIP/2.0 999 x\n\n");
	fake_receive(&fake, SIP_TRANSPORT_UDP, "nonsense\n\n");
	fake_receive(&fake, SIP_TRANSPORT_UDP, "\n\n");
	assert_int_equal(fake.sent_count, 1);
	assert_int_equal(fake.events_count, 0);
	assert_int_equal(sip_stack_counter(fake.stack, SIP_COUNTER_parse_errors), 4);
	assert_int_equal(sip_stack_counter(fake.stack, SIP_COUNTER_parse_error_unanswerable), 3);
	assert_int_equal(sip_stack_counter(fake.stack, SIP_COUNTER_parse_error_mandatory), 2);
	assert_int_equal(sip_stack_counter(fake.stack, SIP_COUNTER_keepalives), 1);
	sip_stack_levels(fake.stack, &levels);
	assert_int_equal(levels.transactions, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(uas_takes_its_state_from_the_invite),
		T(record_route_is_in_the_answers_that_form_the_dialog),
		T(uas_request_carries_the_dialog),
		T(uac_reverses_the_record_route),
		T(strict_router_becomes_the_request_uri),
		T(requests_go_where_the_peer_can_be_reached),
		T(caller_behind_nat_is_answered_where_it_is),
		T(responses_go_where_via_says),
		T(early_dialog_is_confirmed_by_its_answer),
		T(requests_find_their_dialog),
		T(requests_outside_of_dialogs_may_have_a_to_tag),
		T(lower_cseq_gets_500),
		T(reinvite_is_answered_in_its_dialog),
		T(target_refresh_moves_the_target),
		T(flow_can_be_set_against_the_contact),
		T(broken_contact_makes_no_dialog),
		T(dialog_may_go_before_its_transaction),
		T(full_dialog_table_is_an_outcome),
		T(saved_dialog_is_restored_and_serves),
		T(broken_requests_are_answered_statelessly),
	};

	return cmocka_run_group_tests_name("sip dialogs", tests, NULL, NULL);
}

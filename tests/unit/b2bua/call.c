/* The call's state machine, message by message. */
#include "tests/unit/b2bua/fixture.h"

#include <errno.h>

static int open_world(void **state)
{
	(void)state;
	fixture_open(4, false);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	fixture_close();
	return 0;
}

static void expect_cdr(uint32_t status, enum ended_by by, const char *cause)
{
	assert_int_equal(f.cdrs, 1);
	assert_int_equal(f.cdr.sip_status, status);
	assert_int_equal(f.cdr.ended_by, by);
	assert_string_equal(f.cdr.cause, cause);
	assert_true(f.cdr.ended_ns >= f.cdr.started_ns && f.cdr.started_ns > 0);
	assert_int_equal(strlen(f.cdr.id), 36);
}

static void call_is_anchored_answered_and_accounted(void **state)
{
	struct up up;
	const char *bye;
	struct call_view view;
	uint32_t at = 0;

	(void)state;
	call_up(&up);
	assert_true(board_next_call(f.board, &at, &view));
	assert_int_equal(view.state, JOURNAL_CALL_ANSWERED);
	assert_string_equal(view.caller, "1001");
	assert_string_equal(view.callee, "1002");
	caller_says(&up, "BYE", 3, "", "");
	expect(6001, "SIP/2.0 200");
	bye = expect(6002, "BYE");
	answer(6002, bye, "200 OK", "", "");
	assert_int_equal(f.cdrs, 0);
	media_statistics();
	expect_cdr(200, ENDED_BY_CALLER, "normal clearing");
	assert_string_equal(f.cdr.caller, "1001");
	assert_string_equal(f.cdr.callee, "1002");
	assert_string_equal(f.cdr.destination, "1002");
	assert_string_equal(f.cdr.caller_call_id, "call-a");
	assert_string_equal(f.cdr.callee_call_id, up.callee_call_id);
	assert_true(f.cdr.answered_ns >= f.cdr.ringing_ns && f.cdr.ringing_ns > 0);
	assert_int_equal(f.cdr.from_caller.packets, 100);
	assert_int_equal(f.cdr.from_caller.bytes, 17200);
	assert_int_equal(f.cdr.from_callee.packets, 50);
	assert_int_equal(f.cdr.from_callee.lost, 4);
	assert_int_equal(f.states, 3);
}

static void legs_show_nothing_of_each_other(void **state)
{
	const char *out;

	(void)state;
	invite("call-a", "1002", SDP_A);
	assert_true(has(asked("offer")->text, "8:from-tag6:caller"));
	assert_true(has(asked("offer")->text, "13:media-address9:127.0.0.1"));
	assert_true(has(asked("offer")->text, "m=audio 4000"));
	media_sdp("offer", SDP_TO_B);
	out = expect(6002, "INVITE sip:1002@127.0.0.1:6002 SIP/2.0");
	assert_false(has(out, "call-a"));
	assert_false(has(out, "6001"));
	assert_false(has(out, "Authorization"));
	assert_true(has(out, "From: \"Ann \\\"A\\\"\" <sip:1001@127.0.0.1:5060>;tag="));
	assert_string_equal(header(out, "Max-Forwards"), "69");
	assert_string_equal(header(out, "Contact"), "<sip:1001@127.0.0.1:5060>");
	assert_string_equal(body_of(out), SDP_TO_B);
	answer(6002, out, "486 Busy Here", "b", "");
	expect(6002, "ACK");
	expect(6001, "SIP/2.0 486");
	media_statistics();
	expect_cdr(486, ENDED_BY_CALLEE, "busy here");
}

static void callee_hangs_up(void **state)
{
	struct up up;

	(void)state;
	call_up(&up);
	callee_says(&up, "BYE", 1, "", "");
	expect(6002, "SIP/2.0 200");
	answer(6001, expect(6001, "BYE"), "200 OK", "", "");
	media_statistics();
	expect_cdr(200, ENDED_BY_CALLEE, "normal clearing");
}

static void both_hang_up_at_once(void **state)
{
	struct up up;
	const char *bye;

	(void)state;
	call_up(&up);
	caller_says(&up, "BYE", 3, "", "");
	callee_says(&up, "BYE", 1, "", "");
	expect(6001, "SIP/2.0 200");
	bye = expect(6002, "BYE");
	expect(6002, "SIP/2.0 200");
	answer(6002, bye, "481 Gone", "", "");
	media_statistics();
	expect_cdr(200, ENDED_BY_CALLER, "normal clearing");
}

static void unanswered_bye_does_not_hold_the_cdr(void **state)
{
	struct up up;

	(void)state;
	call_up(&up);
	caller_says(&up, "BYE", 3, "", "");
	media_statistics();
	expect_cdr(200, ENDED_BY_CALLER, "normal clearing");
	/* fixture_close sees that the call goes when the BYE times out */
}

static void unknown_number_and_no_phone(void **state)
{
	(void)state;
	f.route = (struct exchange_route){.verdict = EXCHANGE_UNKNOWN};
	invite("call-a", "4711", SDP_A);
	expect(6001, "SIP/2.0 404");
	expect_cdr(404, ENDED_BY_SYSTEM, "unknown number");
	assert_string_equal(f.cdr.callee, "4711");
	f.cdrs = 0;
	f.route = (struct exchange_route){.verdict = EXCHANGE_UNREGISTERED};
	invite("call-b", "1002", SDP_A);
	expect(6001, "SIP/2.0 480");
	expect_cdr(480, ENDED_BY_SYSTEM, "not registered");
}

static void caller_cancels_while_ringing(void **state)
{
	const char *out, *invite_text, *cancel;
	char headers[1024];

	(void)state;
	invite("call-a", "1002", SDP_A);
	invite_text = NULL;
	media_sdp("offer", SDP_TO_B);
	out = expect(6002, "INVITE");
	answer(6002, out, "180 Ringing", "b", "");
	invite_text = expect(6001, "SIP/2.0 180");
	snprintf(headers, sizeof(headers),
		 "Via: %s\r\nFrom: %s\r\nTo: <sip:1002@127.0.0.1>\r\nCall-ID: call-a\r\n"
		 "CSeq: 2 CANCEL\r\n",
		 header(invite_text, "Via"), header(invite_text, "From"));
	from(6001, "CANCEL sip:1002@127.0.0.1 SIP/2.0", headers, "");
	expect(6001, "SIP/2.0 200");
	expect(6001, "SIP/2.0 487");
	cancel = expect(6002, "CANCEL");
	answer(6002, cancel, "200 OK", "b", "");
	answer(6002, out, "487 Terminated", "b", "");
	media_statistics();
	expect_cdr(487, ENDED_BY_CALLER, "caller cancelled");
}

static void cancel_may_come_before_the_dataplane_has_answered(void **state)
{
	char headers[1024];

	(void)state;
	invite("call-a", "1002", SDP_A);
	snprintf(headers, sizeof(headers),
		 "Via: %s\r\nFrom: <sip:1001@127.0.0.1>;tag=a\r\nTo: <sip:1002@127.0.0.1>\r\n"
		 "Call-ID: call-a\r\nCSeq: 2 CANCEL\r\n",
		 last_via());
	from(6001, "CANCEL sip:1002@127.0.0.1 SIP/2.0", headers, "");
	expect(6001, "SIP/2.0 200");
	expect(6001, "SIP/2.0 487");
	expect_not_asked("offer"); /* forgotten */
	media_statistics();
	expect_none(6002, "INVITE");
	expect_cdr(487, ENDED_BY_CALLER, "caller cancelled");
}

static void cancelled_reinvite_leaves_the_call_up(void **state)
{
	struct up up;
	const char *re;
	char via[128], more[256];

	(void)state;
	call_up(&up);
	caller_says(&up, "INVITE", 3, "Content-Type: application/sdp\r\n", SDP_A "a=sendonly\r\n");
	snprintf(via, sizeof(via), "%s", last_via());
	media_sdp("offer", SDP_TO_B);
	re = expect(6002, "INVITE");
	answer(6002, re, "180 Ringing", "", "");
	snprintf(more, sizeof(more), "Via: %s\r\n", via);
	caller_says(&up, "CANCEL", 3, more, "");
	expect(6001, "SIP/2.0 200");
	expect(6001, "SIP/2.0 487");
	expect(6002, "CANCEL");
	answer(6002, re, "487 Terminated", "", "");
	media_sdp("offer", SDP_TO_B);
	media_sdp("answer", SDP_TO_A);
	assert_int_equal(f.b2bua->live, 1);
	caller_says(&up, "BYE", 4, "", "");
	media_statistics();
	expect_cdr(200, ENDED_BY_CALLER, "normal clearing");
}

static bool stopped;

static void note_stopped(void *arg)
{
	(void)arg;
	stopped = true;
}

static void stop_ends_every_call_and_tells_when(void **state)
{
	struct up up;

	(void)state;
	stopped = false;
	call_up(&up);
	b2bua_stop(f.b2bua, 2000, note_stopped, NULL);
	expect(6001, "BYE");
	invite("call-b", "1002", SDP_A);
	expect(6001, "SIP/2.0 503");
	fixture_advance(1000);
	assert_false(stopped);
	media_statistics();
	expect_cdr(200, ENDED_BY_SYSTEM, "shutdown");
	fixture_advance(1500);
	assert_true(stopped); /* though nobody answered the BYEs */
}

static void session_of_an_earlier_life_is_deleted_in_the_end(void **state)
{
	(void)state;
	f.media_error = -ENOSPC;
	b2bua_abandon_media(f.b2bua, "0190f3e0-0000-7000-8000-000000000001");
	fixture_advance(5000);
	assert_int_equal(f.asked_count, 0);
	f.media_error = 0;
	fixture_advance(1500);
	assert_true(has(asked("delete")->text, "0190f3e0-0000-7000-8000-000000000001"));
	media_ok("delete");
	fixture_advance(5000);
	expect_not_asked("delete");
}

static void nobody_answers(void **state)
{
	const char *out;

	(void)state;
	invite("call-a", "1002", SDP_A);
	media_sdp("offer", SDP_TO_B);
	out = expect(6002, "INVITE");
	answer(6002, out, "180 Ringing", "b", "");
	expect(6001, "SIP/2.0 180");
	fixture_advance(59000);
	expect_none(6001, "SIP/2.0 4");
	fixture_advance(2000);
	expect(6001, "SIP/2.0 480");
	expect(6002, "CANCEL");
	answer(6002, out, "487 Terminated", "b", "");
	media_statistics();
	expect_cdr(480, ENDED_BY_SYSTEM, "no answer");
}

static void answer_that_crosses_the_cancel_is_hung_up(void **state)
{
	const char *out;

	(void)state;
	invite("call-a", "1002", SDP_A);
	media_sdp("offer", SDP_TO_B);
	out = expect(6002, "INVITE");
	answer(6002, out, "180 Ringing", "b", "");
	fixture_advance(61000);
	media_statistics();
	expect(6002, "CANCEL");
	answer(6002, out, "200 OK", "b", SDP_B);
	expect(6002, "ACK");
	expect(6002, "BYE");
	expect_cdr(480, ENDED_BY_SYSTEM, "no answer");
}

static void first_phone_to_answer_wins(void **state)
{
	const char *first, *second;

	(void)state;
	f.route.targets_count = 2;
	invite("call-a", "1002", SDP_A);
	media_sdp("offer", SDP_TO_B);
	expect_not_asked("offer");
	first = expect(6002, "INVITE");
	second = expect(6003, "INVITE");
	assert_string_not_equal(header(first, "Call-ID"), header(second, "Call-ID"));
	answer(6002, first, "180 Ringing", "b", "");
	answer(6003, second, "180 Ringing", "c", "");
	expect(6001, "SIP/2.0 180");
	expect_none(6001, "SIP/2.0 180");
	answer(6003, second, "200 OK", "c", SDP_B);
	expect(6003, "ACK");
	expect(6002, "CANCEL");
	answer(6002, first, "487 Terminated", "b", "");
	media_sdp("answer", SDP_TO_A);
	expect(6001, "SIP/2.0 200");
	b2bua_stop(f.b2bua, 100, NULL, NULL);
	media_statistics();
}

static void worst_news_waits_for_the_last_phone(void **state)
{
	const char *first, *second;

	(void)state;
	f.route.targets_count = 2;
	invite("call-a", "1002", SDP_A);
	media_sdp("offer", SDP_TO_B);
	first = expect(6002, "INVITE");
	second = expect(6003, "INVITE");
	answer(6002, first, "486 Busy Here", "b", "");
	expect_none(6001, "SIP/2.0 4");
	answer(6003, second, "404 Not Found", "c", "");
	expect(6001, "SIP/2.0 486");
	media_statistics();
	expect_cdr(486, ENDED_BY_CALLEE, "busy here");
}

static void decline_speaks_for_all_phones(void **state)
{
	const char *first, *second;

	(void)state;
	f.route.targets_count = 2;
	invite("call-a", "1002", SDP_A);
	media_sdp("offer", SDP_TO_B);
	first = expect(6002, "INVITE");
	second = expect(6003, "INVITE");
	answer(6003, second, "180 Ringing", "c", "");
	answer(6002, first, "603 Decline", "b", "");
	expect(6001, "SIP/2.0 180");
	expect(6001, "SIP/2.0 603");
	expect(6003, "CANCEL");
	answer(6003, second, "487 Terminated", "c", "");
	media_statistics();
	expect_cdr(603, ENDED_BY_CALLEE, "declined");
}

static void early_media_reaches_the_caller(void **state)
{
	const char *out, *progress;

	(void)state;
	invite("call-a", "1002", SDP_A);
	media_sdp("offer", SDP_TO_B);
	out = expect(6002, "INVITE");
	answer(6002, out, "183 Session Progress", "b", SDP_B);
	media_sdp("answer", SDP_TO_A);
	progress = expect(6001, "SIP/2.0 183");
	assert_string_equal(body_of(progress), SDP_TO_A);
	/* The 200 overtakes the dataplane's word on a second 183. */
	answer(6002, out, "183 Session Progress", "b", SDP_B);
	answer(6002, out, "200 OK", "b", SDP_B);
	media_sdp("answer", SDP_TO_A);
	expect_none(6001, "SIP/2.0 183");
	media_sdp("answer", SDP_TO_A);
	expect(6001, "SIP/2.0 200");
	b2bua_stop(f.b2bua, 100, NULL, NULL);
	media_statistics();
}

static void dataplane_refusals_become_sip_answers(void **state)
{
	static const struct {
		const char *reason;
		const char *status;
	} cases[] = {{"Ran out of ports", "SIP/2.0 488"},
		     {"ran out of ports", "SIP/2.0 503"},
		     {"Parallel session limit reached", "SIP/2.0 503"},
		     {"SDP has no m= line", "SIP/2.0 488"}};
	char call_id[16];
	(void)state;
	for (size_t i = 1; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(call_id, sizeof(call_id), "call-%zu", i);
		invite(call_id, "1002", SDP_A);
		media_error("offer", cases[i].reason);
		expect(6001, cases[i].status);
		media_statistics();
		assert_int_equal(f.cdrs, i);
	}
	expect_none(6002, "INVITE");
}

static void answer_refused_by_the_dataplane_ends_both_sides(void **state)
{
	const char *out;

	(void)state;
	invite("call-a", "1002", SDP_A);
	media_sdp("offer", SDP_TO_B);
	out = expect(6002, "INVITE");
	answer(6002, out, "200 OK", "b", SDP_B);
	expect(6002, "ACK");
	media_error("answer", "no such codec");
	expect(6001, "SIP/2.0 488");
	answer(6002, expect(6002, "BYE"), "200 OK", "", "");
	media_statistics();
	expect_cdr(488, ENDED_BY_SYSTEM, "media refused");
}

static void calls_beyond_the_limit_get_503_and_no_cdr(void **state)
{
	const char *refused;
	char call_id[16];
	(void)state;
	for (int i = 0; i < 4; i++) {
		snprintf(call_id, sizeof(call_id), "call-%d", i);
		invite(call_id, "1002", SDP_A);
	}
	invite("call-more", "1002", SDP_A);
	refused = expect(6001, "SIP/2.0 503");
	assert_string_equal(header(refused, "Retry-After"), "5");
	assert_int_equal(f.cdrs, 0);
	for (int i = 0; i < 4; i++)
		media_sdp("offer", SDP_TO_B);
	b2bua_stop(f.b2bua, 100, NULL, NULL);
	for (int i = 0; i < 4; i++)
		media_statistics();
	assert_int_equal(f.cdrs, 4);
	assert_int_equal(f.cdr.ended_by, ENDED_BY_SYSTEM);
	assert_string_equal(f.cdr.cause, "shutdown");
}

static void no_dataplane_means_503_and_calls_go_on(void **state)
{
	struct up up;

	(void)state;
	call_up(&up);
	f.media_connected = false;
	invite("call-b", "1002", SDP_A);
	expect(6001, "SIP/2.0 503");
	f.media_error = -ENOSPC;
	caller_says(&up, "BYE", 3, "", "");
	expect(6001, "SIP/2.0 200");
	answer(6002, expect(6002, "BYE"), "200 OK", "", "");
	expect_cdr(200, ENDED_BY_CALLER, "normal clearing");
	f.media_error = 0;
	/* The session is still to be deleted: that is tried again. */
	fixture_advance(1500);
	media_statistics();
	assert_int_equal(f.cdrs, 1);
}

static void hold_and_resume_pass_through(void **state)
{
	struct up up;
	const char *re, *ok;
	struct call_view view;
	uint32_t at = 0;

	(void)state;
	call_up(&up);
	caller_says(&up, "INVITE", 3, "Content-Type: application/sdp\r\n", SDP_A "a=sendonly\r\n");
	assert_true(has(asked("offer")->text, "6:to-tag6:callee"));
	media_sdp("offer", SDP_TO_B "a=sendonly\r\n");
	re = expect(6002, "INVITE");
	assert_true(has(body_of(re), "a=sendonly"));
	answer(6002, re, "200 OK", "", SDP_B "a=recvonly\r\n");
	expect(6002, "ACK");
	media_sdp("answer", SDP_TO_A "a=recvonly\r\n");
	ok = expect(6001, "SIP/2.0 200");
	assert_true(has(body_of(ok), "a=recvonly"));
	caller_says(&up, "ACK", 3, "", "");
	assert_true(board_next_call(f.board, &at, &view));
	assert_int_equal(view.held, 1);
	caller_says(&up, "INVITE", 4, "Content-Type: application/sdp\r\n", SDP_A);
	media_sdp("offer", SDP_TO_B);
	answer(6002, expect(6002, "INVITE"), "200 OK", "", SDP_B);
	expect(6002, "ACK");
	media_sdp("answer", SDP_TO_A);
	expect(6001, "SIP/2.0 200");
	caller_says(&up, "ACK", 4, "", "");
	at = 0;
	assert_true(board_next_call(f.board, &at, &view));
	assert_int_equal(view.held, 0);
	caller_says(&up, "BYE", 5, "", "");
	media_statistics();
	assert_int_equal(f.cdrs, 1);
}

static void refused_reinvite_leaves_the_call_as_it_was(void **state)
{
	struct up up;

	(void)state;
	call_up(&up);
	callee_says(&up, "INVITE", 1, "Content-Type: application/sdp\r\n", SDP_B "a=inactive\r\n");
	assert_true(has(asked("offer")->text, "8:from-tag6:callee"));
	media_sdp("offer", SDP_TO_A);
	answer(6001, expect(6001, "INVITE"), "488 Not Acceptable Here", "", "");
	expect(6001, "ACK");
	expect(6002, "SIP/2.0 488");
	/* The dataplane hears the old offer and answer again. */
	assert_true(has(asked("offer")->text, "m=audio 5000"));
	assert_false(has(asked("offer")->text, "a=inactive"));
	media_sdp("offer", SDP_TO_A);
	assert_true(has(asked("answer")->text, "m=audio 4000"));
	media_sdp("answer", SDP_TO_B);
	callee_says(&up, "BYE", 2, "", "");
	expect(6002, "SIP/2.0 200");
	media_statistics();
	assert_int_equal(f.cdrs, 1);
}

static void glare_gets_491_and_a_second_offer_500(void **state)
{
	struct up up;

	(void)state;
	call_up(&up);
	caller_says(&up, "INVITE", 3, "Content-Type: application/sdp\r\n", SDP_A);
	callee_says(&up, "INVITE", 1, "Content-Type: application/sdp\r\n", SDP_B);
	expect(6002, "SIP/2.0 491");
	caller_says(&up, "INVITE", 4, "Content-Type: application/sdp\r\n", SDP_A);
	expect(6001, "SIP/2.0 500");
	caller_says(&up, "BYE", 5, "", "");
	expect(6001, "SIP/2.0 200");
	expect(6001, "SIP/2.0 487"); /* of the open re-INVITE */
	media_statistics();
	assert_int_equal(f.cdrs, 1);
}

static void lost_dialog_ends_the_call(void **state)
{
	struct up up;

	(void)state;
	call_up(&up);
	caller_says(&up, "INVITE", 3, "Content-Type: application/sdp\r\n", SDP_A);
	media_sdp("offer", SDP_TO_B);
	answer(6002, expect(6002, "INVITE"), "481 Gone", "", "");
	expect(6002, "ACK");
	expect(6001, "SIP/2.0 481");
	answer(6001, expect(6001, "BYE"), "200 OK", "", "");
	media_statistics();
	assert_int_equal(f.cdr.ended_by, ENDED_BY_SYSTEM);
	assert_string_equal(f.cdr.cause, "dialog lost");
}

static void info_is_passed_and_answered(void **state)
{
	struct up up;
	const char *info;

	(void)state;
	call_up(&up);
	caller_says(&up, "INFO", 3, "Content-Type: application/dtmf-relay\r\n", "Signal=5\r\n");
	info = expect(6002, "INFO");
	assert_string_equal(body_of(info), "Signal=5\r\n");
	assert_string_equal(header(info, "Content-Type"), "application/dtmf-relay");
	answer(6002, info, "415 Unsupported Media Type", "", "");
	expect(6001, "SIP/2.0 415");
	caller_says(&up, "OPTIONS", 4, "", "");
	expect(6001, "SIP/2.0 200");
	caller_says(&up, "UPDATE", 5, "", "");
	assert_true(has(header(expect(6001, "SIP/2.0 405"), "Allow"), "INVITE"));
	/* One on the way when the call ends gets an answer too. */
	caller_says(&up, "INFO", 6, "", "");
	expect(6002, "INFO");
	callee_says(&up, "BYE", 1, "", "");
	expect(6001, "SIP/2.0 487");
	media_statistics();
	assert_int_equal(f.cdrs, 1);
}

static void missing_ack_ends_the_call(void **state)
{
	const char *out;

	(void)state;
	invite("call-a", "1002", SDP_A);
	media_sdp("offer", SDP_TO_B);
	out = expect(6002, "INVITE");
	answer(6002, out, "200 OK", "b", SDP_B);
	media_sdp("answer", SDP_TO_A);
	expect(6001, "SIP/2.0 200");
	fixture_advance(29000);
	assert_int_equal(f.b2bua->live, 1);
	fixture_advance(5000);
	media_statistics();
	expect_cdr(200, ENDED_BY_SYSTEM, "no ACK");
}

static void bye_to_the_caller_waits_for_its_ack(void **state)
{
	const char *out, *ok;
	struct up up = {0};

	(void)state;
	invite("call-a", "1002", SDP_A);
	media_sdp("offer", SDP_TO_B);
	out = expect(6002, "INVITE");
	answer(6002, out, "200 OK", "b", SDP_B);
	media_sdp("answer", SDP_TO_A);
	ok = expect(6001, "SIP/2.0 200");
	snprintf(up.caller_to, sizeof(up.caller_to), "%s", header(ok, "To"));
	snprintf(up.callee_from, sizeof(up.callee_from), "%s", header(out, "From"));
	snprintf(up.callee_to, sizeof(up.callee_to), "%s;tag=b", header(out, "To"));
	snprintf(up.callee_call_id, sizeof(up.callee_call_id), "%s", header(out, "Call-ID"));
	callee_says(&up, "BYE", 1, "", "");
	media_statistics();
	expect_cdr(200, ENDED_BY_CALLEE, "normal clearing");
	expect_none(6001, "BYE"); /* RFC 3261 15 */
	caller_says(&up, "ACK", 2, "", "");
	answer(6001, expect(6001, "BYE"), "200 OK", "", "");
}

static void media_that_is_gone_ends_the_call(void **state)
{
	struct up up;

	(void)state;
	call_up(&up);
	fixture_advance(31000);
	media_ok("query");
	fixture_advance(30000);
	media_error("query", "Unknown call-ID");
	answer(6001, expect(6001, "BYE"), "200 OK", "", "");
	answer(6002, expect(6002, "BYE"), "200 OK", "", "");
	expect_cdr(200, ENDED_BY_SYSTEM, "media timeout");
	expect_not_asked("delete");
}

static void echo_is_answered_here(void **state)
{
	const char *ok;

	(void)state;
	invite("call-a", "600", SDP_A "a=rtpmap:0 PCMU/8000\r\nm=video 4002 RTP/AVP 31\r\n");
	assert_true(has(asked("offer")->text, "10:media-echo4:both"));
	media_sdp("offer", SDP_TO_B);
	assert_true(has(asked("answer")->text, "6:to-tag4:echo"));
	assert_true(has(asked("answer")->text, "m=audio 9 RTP/AVP 0"));
	assert_true(has(asked("answer")->text, "m=video 0 RTP/AVP 31"));
	media_sdp("answer", SDP_TO_A);
	ok = expect(6001, "SIP/2.0 200");
	assert_string_equal(body_of(ok), SDP_TO_A);
	assert_int_equal(f.states, 2);
	b2bua_stop(f.b2bua, 100, NULL, NULL);
	media_statistics();
	assert_string_equal(f.cdr.callee, "600");
	assert_true(f.cdr.answered_ns > 0);
	expect_none(6002, "INVITE");
}

static void offer_may_come_from_the_callee(void **state)
{
	const char *out, *ok, *ack;
	struct up up = {0};

	(void)state;
	invite("call-a", "1002", "");
	expect_not_asked("offer");
	out = expect(6002, "INVITE");
	assert_string_equal(body_of(out), "");
	answer(6002, out, "180 Ringing", "b", "");
	expect(6001, "SIP/2.0 180");
	answer(6002, out, "200 OK", "b", SDP_B);
	expect_none(6002, "ACK");
	assert_true(has(asked("offer")->text, "8:from-tag6:callee"));
	media_sdp("offer", SDP_TO_A);
	ok = expect(6001, "SIP/2.0 200");
	assert_string_equal(body_of(ok), SDP_TO_A);
	snprintf(up.caller_to, sizeof(up.caller_to), "%s", header(ok, "To"));
	caller_says(&up, "ACK", 2, "Content-Type: application/sdp\r\n", SDP_A);
	assert_true(has(asked("answer")->text, "6:to-tag6:caller"));
	assert_true(has(asked("answer")->text, "m=audio 4000"));
	media_sdp("answer", SDP_TO_B);
	ack = expect(6002, "ACK");
	assert_string_equal(body_of(ack), SDP_TO_B);
	caller_says(&up, "BYE", 3, "", "");
	answer(6002, expect(6002, "BYE"), "200 OK", "", "");
	media_statistics();
	expect_cdr(200, ENDED_BY_CALLER, "normal clearing");
}

static void ack_without_the_answer_ends_the_call(void **state)
{
	const char *out, *ok;
	struct up up = {0};

	(void)state;
	invite("call-a", "1002", "");
	out = expect(6002, "INVITE");
	answer(6002, out, "200 OK", "b", SDP_B);
	media_sdp("offer", SDP_TO_A);
	ok = expect(6001, "SIP/2.0 200");
	snprintf(up.caller_to, sizeof(up.caller_to), "%s", header(ok, "To"));
	caller_says(&up, "ACK", 2, "", "");
	/* The callee's 2xx is acknowledged all the same, and then ended. */
	expect(6002, "ACK");
	expect(6002, "BYE");
	expect(6001, "BYE");
	/* The dataplane has never heard of the tag "caller". */
	assert_true(has(asked("delete")->text, "8:from-tag6:callee"));
	media_statistics();
	expect_cdr(200, ENDED_BY_SYSTEM, "no answer in the ACK");
}

static void reinvite_may_ask_for_the_offer(void **state)
{
	struct up up;
	const char *re;

	(void)state;
	call_up(&up);
	callee_says(&up, "INVITE", 1, "", "");
	re = expect(6001, "INVITE");
	assert_string_equal(body_of(re), "");
	answer(6001, re, "200 OK", "", SDP_A);
	expect_none(6001, "ACK");
	assert_true(has(asked("offer")->text, "8:from-tag6:caller"));
	assert_true(has(asked("offer")->text, "6:to-tag6:callee"));
	media_sdp("offer", SDP_TO_B);
	expect(6002, "SIP/2.0 200");
	/* A change while this one is open is glare. */
	caller_says(&up, "INVITE", 3, "Content-Type: application/sdp\r\n", SDP_A);
	expect(6001, "SIP/2.0 491");
	callee_says(&up, "ACK", 1, "Content-Type: application/sdp\r\n", SDP_B "a=sendonly\r\n");
	media_sdp("answer", SDP_TO_A);
	assert_string_equal(body_of(expect(6001, "ACK")), SDP_TO_A);
	/* And one that is refused leaves the call up. */
	callee_says(&up, "INVITE", 2, "", "");
	answer(6001, expect(6001, "INVITE"), "486 Busy Here", "", "");
	expect(6001, "ACK");
	expect(6002, "SIP/2.0 486");
	caller_says(&up, "BYE", 4, "", "");
	media_statistics();
	expect_cdr(200, ENDED_BY_CALLER, "normal clearing");
}

static void copied_invite_is_a_loop(void **state)
{
	char headers[1024];

	(void)state;
	invite("call-a", "1002", SDP_A);
	/* The same call by another way: other branch, same From tag, Call-ID and CSeq. */
	snprintf(headers, sizeof(headers),
		 "From: <sip:1001@127.0.0.1>;tag=a\r\nTo: <sip:1002@127.0.0.1>\r\n"
		 "Call-ID: call-a\r\nCSeq: 2 INVITE\r\nContact: <sip:1001@127.0.0.1:6001>\r\n");
	from(6001, "INVITE sip:1002@127.0.0.1 SIP/2.0", headers, "");
	expect(6001, "SIP/2.0 482");
	media_sdp("offer", SDP_TO_B);
	b2bua_stop(f.b2bua, 100, NULL, NULL);
	media_statistics();
}

int main(void)
{
#define in_world(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
	const struct CMUnitTest tests[] = {
		in_world(call_is_anchored_answered_and_accounted),
		in_world(legs_show_nothing_of_each_other),
		in_world(callee_hangs_up),
		in_world(both_hang_up_at_once),
		in_world(unanswered_bye_does_not_hold_the_cdr),
		in_world(unknown_number_and_no_phone),
		in_world(caller_cancels_while_ringing),
		in_world(cancel_may_come_before_the_dataplane_has_answered),
		in_world(cancelled_reinvite_leaves_the_call_up),
		in_world(stop_ends_every_call_and_tells_when),
		in_world(session_of_an_earlier_life_is_deleted_in_the_end),
		in_world(nobody_answers),
		in_world(answer_that_crosses_the_cancel_is_hung_up),
		in_world(first_phone_to_answer_wins),
		in_world(worst_news_waits_for_the_last_phone),
		in_world(decline_speaks_for_all_phones),
		in_world(early_media_reaches_the_caller),
		in_world(dataplane_refusals_become_sip_answers),
		in_world(answer_refused_by_the_dataplane_ends_both_sides),
		in_world(calls_beyond_the_limit_get_503_and_no_cdr),
		in_world(no_dataplane_means_503_and_calls_go_on),
		in_world(hold_and_resume_pass_through),
		in_world(refused_reinvite_leaves_the_call_as_it_was),
		in_world(glare_gets_491_and_a_second_offer_500),
		in_world(lost_dialog_ends_the_call),
		in_world(info_is_passed_and_answered),
		in_world(missing_ack_ends_the_call),
		in_world(bye_to_the_caller_waits_for_its_ack),
		in_world(media_that_is_gone_ends_the_call),
		in_world(echo_is_answered_here),
		in_world(offer_may_come_from_the_callee),
		in_world(ack_without_the_answer_ends_the_call),
		in_world(reinvite_may_ask_for_the_offer),
		in_world(copied_invite_is_a_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every table and pool filled and overfilled; failed allocations; many calls one after the other.
 */
#include "tests/unit/session/fixture.h"

#define SDP_A "v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio 4000 RTP/AVP 0\r\n"
#define SDP_B "v=0\r\nc=IN IP4 198.51.100.2\r\nm=audio 5000 RTP/AVP 0\r\n"

static void offer(struct fixture *f, int number, const char *supports)
{
	char call_id[16];

	snprintf(call_id, sizeof(call_id), "c%d", number);
	ask(f, "offer", "call-id", call_id, "from-tag", "a", "sdp", SDP_A, "supports", supports,
	    NULL);
}

static void the_session_after_the_last_is_refused(void **state)
{
	const struct fixture_sizes sizes = {.sessions = 3};
	struct fixture f;

	(void)state;
	fixture_open(&f, &sizes);
	for (int i = 0; i < 3; i++) {
		offer(&f, i, NULL);
		assert_ok(&f);
	}
	offer(&f, 3, NULL);
	assert_refused(&f, "Parallel session limit reached");
	offer(&f, 3, "load limit");
	assert_string_equal(reply_text(&f, "result"), "load limit");
	assert_string_equal(reply_text(&f, "message"), "Parallel session limit reached");
	assert_int_equal(f.table->counters.refused_limit, 2);
	offer(&f, 1, NULL); /* a call that is there goes on */
	assert_ok(&f);
	ask(&f, "delete", "call-id", "c1", NULL);
	offer(&f, 3, NULL);
	assert_ok(&f);
	fixture_close(&f);
}

static void calls_beyond_the_ports_are_refused(void **state)
{
	const struct fixture_sizes sizes = {.port_max = FIXTURE_PORT_MIN + 7, .port_reuse_ms = 100};
	struct fixture f;

	(void)state;
	fixture_open(&f, &sizes);
	offer(&f, 0, NULL);
	assert_ok(&f);
	offer(&f, 1, NULL);
	assert_ok(&f);
	offer(&f, 2, NULL);
	assert_refused(&f, "Ran out of ports");
	offer(&f, 2, "load limit");
	assert_string_equal(reply_text(&f, "result"), "load limit");
	assert_int_equal(f.table->sessions_count, 2);
	assert_int_equal(f.table->counters.refused_ports, 2);
	ask(&f, "delete", "call-id", "c0", NULL);
	offer(&f, 2, NULL); /* the ports rest */
	assert_refused(&f, "Ran out of ports");
	f.now.mono_ns += 100 * UINT64_C(1000000);
	offer(&f, 2, NULL);
	assert_ok(&f);
	fixture_close(&f);
}

static void a_call_that_outgrows_the_ports_keeps_what_it_has(void **state)
{
	const struct fixture_sizes sizes = {.port_max = FIXTURE_PORT_MIN + 7};
	struct fixture f;

	(void)state;
	fixture_open(&f, &sizes);
	offer(&f, 0, NULL);
	ask(&f, "answer", "call-id", "c0", "from-tag", "a", "to-tag", "b", "sdp", SDP_B, NULL);
	assert_ok(&f);
	ask(&f, "offer", "call-id", "c0", "from-tag", "a", "to-tag", "b", "sdp",
	    SDP_A "m=audio 4002 RTP/AVP 0\r\nm=audio 4004 RTP/AVP 0\r\n", NULL);
	assert_refused(&f, "Ran out of ports");
	assert_flows(&f, "c0",
		     "A0 rtp B0 B0+ 198.51.100.1:4000 ls\nA0+ rtcp - B0+ 198.51.100.1:4001 ls\n"
		     "B0 rtp A0 A0+ 198.51.100.2:5000 ls\nB0+ rtcp - A0+ 198.51.100.2:5001 ls\n");
	ask(&f, "offer", "call-id", "c0", "from-tag", "a", "to-tag", "b", "sdp", SDP_A, NULL);
	assert_ok(&f);
	assert_int_equal(port_pool_used(f.table->ports, 0), 2);
	fixture_close(&f);
}

static void legs_and_streams_have_limits_of_their_own(void **state)
{
	const struct fixture_sizes few_legs = {.legs = 3}, few_streams = {.streams = 5};
	struct fixture f;

	(void)state;
	fixture_open(&f, &few_legs);
	offer(&f, 0, NULL);
	assert_ok(&f);
	offer(&f, 1, NULL);
	assert_refused(&f, "Parallel session limit reached");
	assert_int_equal(f.table->sessions_count, 1);
	fixture_close(&f);
	fixture_open(&f, &few_streams);
	offer(&f, 0, NULL);
	offer(&f, 1, NULL);
	assert_ok(&f);
	offer(&f, 2, NULL);
	assert_refused(&f, "Parallel session limit reached");
	fixture_close(&f);
}

static void a_full_flow_table_refuses_the_call(void **state)
{
	const struct fixture_sizes sizes = {.conf_max = 6};
	struct fixture f;

	(void)state;
	fixture_open(&f, &sizes);
	offer(&f, 0, NULL);
	assert_ok(&f);
	offer(&f, 1, NULL);
	assert_refused(&f, "Parallel session limit reached");
	assert_int_equal(flow_table_in_use(f.flows), 4);
	assert_true(f.table->counters.refused_flows > 0);
	ask(&f, "delete", "call-id", "c0", NULL);
	session_table_tick(f.table, &f.now);
	offer(&f, 1, NULL);
	assert_ok(&f);
	fixture_close(&f);
}

static void sessions_are_spread_over_the_workers(void **state)
{
	const struct fixture_sizes sizes = {.workers = 3};
	struct fixture f;

	(void)state;
	fixture_open(&f, &sizes);
	for (int i = 0; i < 6; i++) {
		char call_id[16];

		offer(&f, i, NULL);
		snprintf(call_id, sizeof(call_id), "c%d", i);
		assert_int_equal(the_session(&f, call_id)->worker, i % 3);
	}
	fixture_close(&f);
}

static void ten_thousand_calls_leave_nothing_behind(void **state)
{
	const struct fixture_sizes sizes = {.sessions = 50};
	struct fixture f;

	(void)state;
	fixture_open(&f, &sizes);
	srand(11);
	for (int i = 0; i < 10000; i++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "c%d", rand() % 60);
		switch (rand() % 5) {
		case 0:
		case 1:
			ask(&f, "offer", "call-id", call_id, "from-tag", rand() % 2 ? "a" : "b",
			    "to-tag", rand() % 2 ? "b" : NULL, "sdp",
			    rand() % 2 ? SDP_A : SDP_A "m=audio 4002 RTP/AVP 0\r\n", NULL);
			break;
		case 2:
			ask(&f, "answer", "call-id", call_id, "from-tag", "a", "to-tag", "b", "sdp",
			    SDP_B, NULL);
			break;
		case 3:
			ask(&f, rand() % 2 ? "start recording" : "stop recording", "call-id",
			    call_id, NULL);
			break;
		default:
			ask(&f, "delete", "call-id", call_id, NULL);
		}
		if (i % 7 == 0) {
			struct fork_seen seen;

			f.now.mono_ns += UINT64_C(1000000000);
			session_table_tick(f.table, &f.now);
			while (fork_next(&f, 0, &seen))
				free(seen.payload);
		}
	}
	assert_true(f.table->counters.created > 500);
	fixture_close(&f);
}

static void configurations_without_sense_are_refused(void **state)
{
	struct session_table_config good, bad;
	struct session_table *table;
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	good = f.table->config;
	bad = good;
	bad.sessions = 0;
	assert_int_equal(session_table_create(&table, &bad, f.flows, &f.now), -EINVAL);
	bad = good;
	bad.interfaces_count = 0;
	assert_int_equal(session_table_create(&table, &bad, f.flows, &f.now), -EINVAL);
	bad = good;
	bad.interfaces[1].addresses_count = 0;
	assert_int_equal(session_table_create(&table, &bad, f.flows, &f.now), -EINVAL);
	bad = good;
	bad.interfaces[0].addresses[0].index = bad.addresses_count;
	assert_int_equal(session_table_create(&table, &bad, f.flows, &f.now), -EINVAL);
	bad = good;
	bad.port_min = bad.port_max;
	assert_int_equal(session_table_create(&table, &bad, f.flows, &f.now), -EINVAL);
	assert_null(table);
	session_table_destroy(NULL, &f.now);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_session_after_the_last_is_refused),
		cmocka_unit_test(calls_beyond_the_ports_are_refused),
		cmocka_unit_test(a_call_that_outgrows_the_ports_keeps_what_it_has),
		cmocka_unit_test(legs_and_streams_have_limits_of_their_own),
		cmocka_unit_test(a_full_flow_table_refuses_the_call),
		cmocka_unit_test(sessions_are_spread_over_the_workers),
		cmocka_unit_test(ten_thousand_calls_leave_nothing_behind),
		cmocka_unit_test(configurations_without_sense_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The commands other than offer and answer: what they need, what they say. */
#include "tests/unit/session/fixture.h"

#define SDP_A "v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio 4000 RTP/AVP 0\r\n"
#define SDP_B "v=0\r\nc=IN IP4 198.51.100.2\r\nm=audio 5000 RTP/AVP 0\r\n"

static void call(struct fixture *f, const char *call_id)
{
	ask(f, "offer", "call-id", call_id, "from-tag", "a", "label", "caller", "sdp", SDP_A, NULL);
	assert_ok(f);
	ask(f, "answer", "call-id", call_id, "from-tag", "a", "to-tag", "b", "sdp", SDP_B, NULL);
	assert_ok(f);
}

static const struct ng_value *at(const struct ng_value *value, const char *key)
{
	const struct ng_value *found = ng_get(value, key);

	if (!found)
		fail_msg("no %s", key);
	return found;
}

static void ping_is_answered(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	ask(&f, "ping", NULL);
	assert_string_equal(reply_text(&f, "result"), "pong");
	assert_int_equal(f.reply->count, 1);
	fixture_close(&f);
}

static void every_missing_or_unsound_key_is_named(void **state)
{
	static char longer[300];
	static const struct {
		const char *command, *key, *value, *key2, *value2, *key3, *value3, *reason;
	} rows[] = {
		{NULL, "x", "y", "x", 0, "x", 0, "Dictionary contains no key \"command\""},
		{"dance", "x", "y", "x", 0, "x", 0, "Unrecognized command"},
		{"Ping", "x", "y", "x", 0, "x", 0, "Unrecognized command"},
		{"offer", "x", "y", "x", 0, "x", 0, "No call-id in message"},
		{"offer", "call-id", "c", "x", 0, "x", 0, "No from-tag in message"},
		{"offer", "call-id", "c", "from-tag", "a", "x", 0, "No SDP body in message"},
		{"offer", "call-id", "c", "from-tag", "a", "sdp", "", "No SDP body in message"},
		{"answer", "call-id", "c", "from-tag", "a", "sdp", SDP_A, "No to-tag in message"},
		{"delete", "x", "y", "x", 0, "x", 0, "No call-id in message"},
		{"query", "x", "y", "x", 0, "x", 0, "No call-id in message"},
		{"query", "call-id", "c", "x", 0, "x", 0, "Unknown call-id"},
		{"start recording", "call-id", "c", "x", 0, "x", 0, "Unknown call-id"},
		{"stop recording", "call-id", "c", "x", 0, "x", 0, "Unknown call-id"},
		{"start recording", "x", "y", "x", 0, "x", 0, "No call-id in message"},
		{"list", "limit", "0", "x", 0, "x", 0, "limit is not a positive number"},
		{"list", "limit", "-1", "x", 0, "x", 0, "limit is not a positive number"},
		{"query", "call-id", longer, "x", 0, "x", 0, "call-id is longer than 255 bytes"},
		{"offer", "call-id", "c", "from-tag", longer, "sdp", SDP_A,
		 "from-tag is longer than 255 bytes"},
	};
	struct fixture f;

	(void)state;
	memset(longer, 'x', 256);
	fixture_open(&f, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask(&f, rows[i].command, rows[i].key, rows[i].value, rows[i].key2, rows[i].value2,
		    rows[i].key3, rows[i].value3, NULL);
		assert_refused(&f, rows[i].reason);
	}
	assert_int_equal(f.commands.errors, sizeof(rows) / sizeof(rows[0]));
	longer[255] = '\0'; /* just fits */
	call(&f, longer);
	fixture_close(&f);
}

static void a_nul_byte_in_a_tag_is_refused(void **state)
{
	struct ng_value *request;
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	request = ng_dict(f.arena);
	f.reply = ng_dict(f.arena);
	ng_put_string(f.arena, request, "command", "offer");
	ng_put_text(f.arena, request, "call-id", "c\0d", 3);
	ng_put_string(f.arena, request, "from-tag", "a");
	ng_put_string(f.arena, request, "sdp", SDP_A);
	ng_command_handle(&f.commands, request, f.arena, f.reply);
	assert_refused(&f, "A text holds a NUL byte");
	fixture_close(&f);
}

static void delete_gives_the_statistics_and_everything_back(void **state)
{
	const struct ng_value *totals;
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	call(&f, "c");
	packets_arrive(&f, the_session(&f, "c")->legs[0]->streams[0]->slot, 50);
	ask(&f, "delete", "call-id", "c", "from-tag", "a", NULL);
	assert_ok(&f);
	totals = at(at(f.reply, "totals"), "RTP");
	assert_int_equal(ng_get_integer(totals, "packets", -1), 50);
	assert_int_equal(ng_get_integer(totals, "bytes", -1), 50 * 172);
	assert_int_equal(f.table->sessions_count, 0);
	assert_int_equal(flow_table_in_use(f.flows), 0);
	assert_int_equal(f.table->counters.packets, 50);
	assert_int_equal(f.table->counters.one_way, 1);
	fixture_close(&f);
}

static void delete_of_what_is_not_there_warns_or_fails(void **state)
{
	static const char reason[] = "Call-ID not found or tags didn't match";
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	ask(&f, "delete", "call-id", "c", "from-tag", "a", NULL);
	assert_ok(&f);
	assert_string_equal(reply_text(&f, "warning"), reason);
	ask(&f, "delete", "call-id", "c", "from-tag", "a", "flags", "fatal", NULL);
	assert_refused(&f, reason);
	call(&f, "c");
	ask(&f, "delete", "call-id", "c", "from-tag", "x", NULL);
	assert_string_equal(reply_text(&f, "warning"), reason);
	ask(&f, "delete", "call-id", "c", "from-tag", "a", "to-tag", "x", NULL);
	assert_string_equal(reply_text(&f, "warning"), reason);
	assert_int_equal(f.table->sessions_count, 1);
	ask(&f, "delete", "call-id", "c", "from-tag", "b", "to-tag", "a", NULL);
	assert_string_equal(reply_text(&f, "warning"), "");
	assert_int_equal(f.table->sessions_count, 0);
	fixture_close(&f);
}

static void a_delayed_delete_can_be_taken_back_by_an_offer(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	call(&f, "c");
	call(&f, "d");
	ask(&f, "delete", "call-id", "c", "from-tag", "a", "delete delay", "5", NULL);
	ask(&f, "delete", "call-id", "d", "from-tag", "a", "delete-delay", "5", NULL);
	assert_int_equal(f.table->sessions_count, 2);
	call(&f, "d");
	f.now.mono_ns += UINT64_C(4999999999);
	session_table_tick(f.table, &f.now);
	assert_int_equal(f.table->sessions_count, 2);
	f.now.mono_ns += 1;
	session_table_tick(f.table, &f.now);
	assert_null(the_session(&f, "c"));
	assert_non_null(the_session(&f, "d"));
	assert_int_equal(f.table->counters.deleted, 1);
	assert_int_equal(f.table->counters.timed_out, 0);
	fixture_close(&f);
}

static void query_describes_the_call(void **state)
{
	const struct ng_value *tag, *media, *port;
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	call(&f, "c");
	packets_arrive(&f, the_session(&f, "c")->legs[0]->streams[0]->slot, 10);
	ask(&f, "query", "call-id", "c", NULL);
	assert_ok(&f);
	assert_int_equal(ng_get_integer(f.reply, "created", 0), 1700000000);
	assert_int_equal(ng_get_integer(f.reply, "last signal", 0), 1700000000);
	tag = at(at(f.reply, "tags"), "a");
	assert_true(ng_text_equal(at(tag, "tag"), "a"));
	assert_true(ng_text_equal(at(tag, "label"), "caller"));
	assert_true(ng_text_equal(at(tag, "in dialogue with"), "b"));
	media = at(tag, "medias")->first;
	assert_int_equal(ng_get_integer(media, "index", 0), 1);
	assert_true(ng_text_equal(at(media, "type"), "audio"));
	assert_true(ng_text_equal(at(media, "protocol"), "RTP/AVP"));
	assert_true(ng_text_equal(at(media, "codec"), "PCMU/8000"));
	assert_int_equal(at(media, "streams")->count, 2);
	port = at(media, "streams")->first;
	assert_int_equal(ng_get_integer(port, "local port", 0),
			 the_session(&f, "c")->legs[0]->streams[0]->port);
	assert_true(ng_text_equal(at(at(port, "endpoint"), "address"), "198.51.100.1"));
	assert_int_equal(ng_get_integer(at(port, "endpoint"), "port", 0), 4000);
	assert_int_equal(ng_get_integer(at(port, "stats"), "packets", 0), 10);
	assert_int_equal(ng_get_integer(port, "last packet", 0), 1700000000);
	assert_int_equal(ng_get_integer(at(at(f.reply, "SSRC"), "4660"), "packets", 0), 10);
	assert_int_equal(at(f.reply, "tags")->count, 2);
	fixture_close(&f);
}

static void query_shows_a_leg_without_a_tag(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "sdp", SDP_A, NULL);
	ask(&f, "query", "call-id", "c", NULL);
	assert_ok(&f);
	assert_true(ng_text_equal(at(at(at(f.reply, "tags"), "<untagged 1>"), "tag"), ""));
	fixture_close(&f);
}

static void list_is_limited(void **state)
{
	char call_id[16];
	struct fixture f;
	const struct fixture_sizes sizes = {.sessions = 40};

	(void)state;
	fixture_open(&f, &sizes);
	ask(&f, "list", NULL);
	assert_int_equal(at(f.reply, "calls")->count, 0);
	for (int i = 0; i < 40; i++) {
		snprintf(call_id, sizeof(call_id), "c%d", i);
		ask(&f, "offer", "call-id", call_id, "from-tag", "a", "sdp", SDP_A, NULL);
		assert_ok(&f);
	}
	ask(&f, "list", NULL);
	assert_int_equal(at(f.reply, "calls")->count, 32);
	assert_true(ng_text_equal(at(f.reply, "calls")->first, "c0"));
	ask(&f, "list", "limit", "3", NULL);
	assert_int_equal(at(f.reply, "calls")->count, 3);
	ask(&f, "list", "limit", "1000", NULL);
	assert_int_equal(at(f.reply, "calls")->count, 40);
	fixture_close(&f);
}

static void two_drops(void *arg, session_count_fn *count, void *to)
{
	count(to, "drop_strict_source", *(uint64_t *)arg);
	count(to, "drop_no_flow", 3);
}

static void statistics_count(void **state)
{
	const struct ng_value *statistics;
	uint64_t drops = 17;
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	f.table->config.drops = two_drops;
	f.table->config.drops_arg = &drops;
	call(&f, "c");
	call(&f, "d");
	packets_arrive(&f, the_session(&f, "c")->legs[0]->streams[0]->slot, 10);
	packets_arrive(&f, the_session(&f, "d")->legs[0]->streams[0]->slot, 5);
	ask(&f, "delete", "call-id", "c", NULL);
	f.now.real_ns += UINT64_C(9000000000);
	ask(&f, "statistics", NULL);
	assert_ok(&f);
	statistics = at(f.reply, "statistics");
	assert_int_equal(ng_get_integer(at(statistics, "currentstatistics"), "sessionstotal", 0),
			 1);
	assert_int_equal(ng_get_integer(at(statistics, "totalstatistics"), "managedsessions", 0),
			 1);
	assert_int_equal(ng_get_integer(at(statistics, "totalstatistics"), "relayedpackets", 0),
			 15);
	assert_true(ng_text_equal(at(at(statistics, "totalstatistics"), "uptime"), "9"));
	assert_int_equal(ng_get_integer(at(statistics, "drops"), "drop_strict_source", 0), 17);
	assert_int_equal(ng_get_integer(at(statistics, "controlstatistics"), "totaloffercount", 0),
			 2);
	assert_int_equal(at(statistics, "interfaces")->count, 5);
	fixture_close(&f);
}

static void sessions_without_media_end(void **state)
{
	const uint64_t second = UINT64_C(1000000000);
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	call(&f, "talking");
	call(&f, "silent");
	call(&f, "held");
	ask(&f, "offer", "call-id", "held", "from-tag", "a", "to-tag", "b", "sdp",
	    SDP_A "a=sendonly\r\n", NULL);
	ask(&f, "offer", "call-id", "ringing", "from-tag", "a", "sdp", SDP_A, NULL);
	for (int i = 0; i < 700; i++) {
		f.now.mono_ns += second;
		f.now.real_ns -= second; /* the wall clock may go anywhere */
		packets_arrive(&f, the_session(&f, "talking")->legs[0]->streams[0]->slot, 1);
		session_table_tick(f.table, &f.now);
		assert_non_null(the_session(&f, "talking"));
		assert_int_equal(the_session(&f, "silent") != NULL, i < 59);
		assert_int_equal(the_session(&f, "held") != NULL, i < 599);
		assert_int_equal(the_session(&f, "ringing") != NULL, i < 599);
	}
	assert_int_equal(f.table->counters.timed_out, 2);
	assert_int_equal(f.table->counters.timed_out_offered, 1);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ping_is_answered),
		cmocka_unit_test(every_missing_or_unsound_key_is_named),
		cmocka_unit_test(a_nul_byte_in_a_tag_is_refused),
		cmocka_unit_test(delete_gives_the_statistics_and_everything_back),
		cmocka_unit_test(delete_of_what_is_not_there_warns_or_fails),
		cmocka_unit_test(a_delayed_delete_can_be_taken_back_by_an_offer),
		cmocka_unit_test(query_describes_the_call),
		cmocka_unit_test(query_shows_a_leg_without_a_tag),
		cmocka_unit_test(list_is_limited),
		cmocka_unit_test(statistics_count),
		cmocka_unit_test(sessions_without_media_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

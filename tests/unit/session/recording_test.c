/* Recordings: which records are posted, in which order, with what flows. */
#include "tests/unit/session/fixture.h"

#include "dataplane/session/json.h"

#define SDP_A                                                                                      \
	"v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio 4000 RTP/AVP 0 101\r\n"                           \
	"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
#define SDP_B    "v=0\r\nc=IN IP4 198.51.100.2\r\nm=audio 5000 RTP/AVP 0\r\na=ptime:30\r\n"
#define CODECS_B "{\"pt\":0,\"name\":\"PCMU\",\"rate\":8000,\"channels\":1,\"fmtp\":\"\"}"
#define CODECS_A                                                                                   \
	CODECS_B ",{\"pt\":101,\"name\":\"telephone-event\",\"rate\":8000,\"channels\":1,"         \
		 "\"fmtp\":\"0-15\"}"

static void call(struct fixture *f)
{
	ask(f, "offer", "call-id", "c", "from-tag", "a", "label", "caller", "sdp", SDP_A, NULL);
	assert_ok(f);
	ask(f, "answer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp", SDP_B, NULL);
	assert_ok(f);
}

static void assert_fork(struct fixture *f, uint16_t type, uint16_t leg, uint32_t stream,
			uint64_t recording, const char *payload)
{
	struct fork_seen seen;

	assert_true(fork_next(f, 0, &seen));
	assert_int_equal(seen.type, type);
	assert_int_equal(seen.leg, leg);
	assert_int_equal(seen.stream, stream);
	assert_int_equal(seen.recording, recording);
	if (payload)
		assert_string_equal(seen.payload, payload);
	free(seen.payload);
}

static void assert_no_fork(struct fixture *f)
{
	struct fork_seen seen;

	if (fork_next(f, 0, &seen))
		fail_msg("%u %s", seen.type, seen.payload);
}

static void a_recording_begins_with_its_description(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	call(&f);
	ask(&f, "start recording", "call-id", "c", "recording-id", "r-1", "metadata",
	    "from: \"1001\"\n", NULL);
	assert_ok(&f);
	assert_string_equal(reply_text(&f, "recording-id"), "r-1");
	assert_fork(&f, TD_FORK_START, 0, 0, 1,
		    "{\"recording_id\":\"r-1\",\"call_id\":\"c\",\"metadata\":\"from: "
		    "\\\"1001\\\"\\u000a\",\"started_ns\":1700000000000000000}");
	/* What the caller sends is what the callee has stated, and what it stated itself behind. */
	assert_fork(&f, TD_FORK_STREAM, 0, 0, 1,
		    "{\"leg\":0,\"media\":0,\"tag\":\"a\",\"label\":\"caller\",\"type\":\"audio\","
		    "\"codecs\":[" CODECS_A "],\"ptime_ms\":30}");
	assert_fork(&f, TD_FORK_STREAM, 1, 1, 1,
		    "{\"leg\":1,\"media\":0,\"tag\":\"b\",\"label\":\"\",\"type\":\"audio\","
		    "\"codecs\":[" CODECS_A "],\"ptime_ms\":30}");
	assert_no_fork(&f);
	assert_flows(&f, "c",
		     "A0 rtp B0 B0+ 198.51.100.1:4000 lsf\nA0+ rtcp - B0+ 198.51.100.1:4001 lsf\n"
		     "B0 rtp A0 A0+ 198.51.100.2:5000 lsf\nB0+ rtcp - A0+ 198.51.100.2:5001 lsf\n");
	assert_int_equal(flow_table_conf(f.flows, the_session(&f, "c")->legs[1]->streams[0]->slot)
				 ->fork_stream,
			 1);
	/* Again: the same one goes on. */
	ask(&f, "start recording", "call-id", "c", "recording-id", "r-2", NULL);
	assert_ok(&f);
	assert_string_equal(reply_text(&f, "recording-id"), "r-1");
	assert_no_fork(&f);
	ask(&f, "query", "call-id", "c", NULL);
	assert_string_equal(reply_text(&f, "recording-id"), "r-1");
	fixture_close(&f);
}

static void skip_begin(struct fixture *f, uint32_t streams)
{
	struct fork_seen seen;

	for (uint32_t i = 0; i < streams + 1; i++) {
		assert_true(fork_next(f, 0, &seen));
		free(seen.payload);
	}
}

static void each_way_to_end_is_told(void **state)
{
	static const char *const reasons[] = {"stop", "delete", "timeout", "shutdown"};
	char payload[48];

	(void)state;
	for (int way = 0; way < 4; way++) {
		struct fork_seen seen;
		struct fixture f;

		fixture_open(&f, NULL);
		call(&f);
		ask(&f, "start recording", "call-id", "c", NULL);
		assert_int_equal(strlen(reply_text(&f, "recording-id")), 36);
		skip_begin(&f, 2);
		if (way == 0)
			ask(&f, "stop recording", "call-id", "c", NULL);
		if (way == 1)
			ask(&f, "delete", "call-id", "c", NULL);
		if (way == 2) {
			f.now.mono_ns += UINT64_C(61000000000);
			session_table_tick(f.table, &f.now);
		}
		if (way == 3)
			session_delete(f.table, the_session(&f, "c"), SESSION_SHUT_DOWN, &f.now);
		assert_true(fork_next(&f, 0, &seen));
		assert_int_equal(seen.type, TD_FORK_END);
		assert_int_equal(seen.slots_count, 2);
		snprintf(payload, sizeof(payload), "{\"reason\":\"%s\"}", reasons[way]);
		assert_string_equal(seen.payload, payload);
		free(seen.payload);
		if (way == 0) {
			assert_flows(&f, "c",
				     "A0 rtp B0 B0+ 198.51.100.1:4000 ls\n"
				     "A0+ rtcp - B0+ 198.51.100.1:4001 ls\n"
				     "B0 rtp A0 A0+ 198.51.100.2:5000 ls\n"
				     "B0+ rtcp - A0+ 198.51.100.2:5001 ls\n");
			ask(&f, "stop recording", "call-id", "c", NULL);
			assert_ok(&f);
		}
		assert_no_fork(&f);
		fixture_close(&f);
	}
}

static void a_new_description_is_posted_again(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	call(&f);
	ask(&f, "start recording", "call-id", "c", NULL);
	skip_begin(&f, 2);
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp", SDP_A, NULL);
	assert_no_fork(&f); /* nothing new */
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp",
	    "v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio 4000 RTP/AVP 8\r\nm=audio 4002 RTP/AVP 0\r\n",
	    NULL);
	assert_fork(&f, TD_FORK_STREAM, 0, 0, 1, NULL); /* another codec: the same number */
	assert_fork(&f, TD_FORK_STREAM, 0, 2, 1, NULL); /* another stream: a new one */
	assert_fork(&f, TD_FORK_STREAM, 1, 1, 1, NULL);
	assert_fork(&f, TD_FORK_STREAM, 1, 3, 1, NULL);
	assert_no_fork(&f);
	ask(&f, "stop recording", "call-id", "c", NULL);
	assert_fork(&f, TD_FORK_END, 0, 0, 1, "{\"reason\":\"stop\"}");
	ask(&f, "start recording", "call-id", "c", NULL);
	assert_fork(&f, TD_FORK_START, 0, 0, 2, NULL);
	fixture_close(&f);
}

static void ports_of_a_recorded_stream_are_held_until_its_end(void **state)
{
	struct fork_seen seen;
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	call(&f);
	ask(&f, "start recording", "call-id", "c", NULL);
	skip_begin(&f, 2);
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp",
	    "v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio 0 RTP/AVP 0\r\n", NULL);
	assert_ok(&f);
	assert_int_equal(flow_table_in_use(f.flows), 0);
	assert_int_equal(port_pool_used(f.table->ports, 0), 2);
	ask(&f, "stop recording", "call-id", "c", NULL);
	assert_true(fork_next(&f, 0, &seen));
	assert_int_equal(seen.slots_count, 2);
	free(seen.payload);
	assert_int_equal(port_pool_used(f.table->ports, 0), 0);
	fixture_close(&f);
}

static void recording_from_the_offer_on(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "sdp", SDP_A, "record call", "yes",
	    "metadata", "m", "recording-id", "r", NULL);
	assert_ok(&f);
	assert_fork(&f, TD_FORK_START, 0, 0, 1, NULL);
	assert_fork(&f, TD_FORK_STREAM, 0, 0, 1, NULL);
	/* The callee's early media can be understood by what was offered to it. */
	assert_fork(&f, TD_FORK_STREAM, 1, 1, 1,
		    "{\"leg\":1,\"media\":0,\"tag\":\"\",\"label\":\"\",\"type\":\"audio\","
		    "\"codecs\":[" CODECS_A "],\"ptime_ms\":20}");
	ask(&f, "answer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp", SDP_B, NULL);
	assert_fork(&f, TD_FORK_STREAM, 0, 0, 1, NULL);
	assert_fork(&f, TD_FORK_STREAM, 1, 1, 1, NULL);
	ask(&f, "answer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp", SDP_B,
	    "record-call", "off", NULL);
	assert_fork(&f, TD_FORK_END, 0, 0, 1, NULL);
	ask(&f, "answer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp", SDP_B, "flags",
	    "record-call", NULL);
	assert_fork(&f, TD_FORK_START, 0, 0, 2, NULL);
	fixture_close(&f);
}

static void what_cannot_be_recorded_is_refused(void **state)
{
	static char longer[SESSION_METADATA_MAX + 2];
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	call(&f);
	memset(longer, 'x', SESSION_METADATA_MAX + 1);
	ask(&f, "start recording", "call-id", "c", "metadata", longer, NULL);
	assert_refused(&f, "metadata is longer than 2048 bytes");
	ask(&f, "start recording", "call-id", "c", "recording-id", "../etc", NULL);
	assert_refused(&f, "recording-id is not 1 to 64 characters of A-Z a-z 0-9 . _ -");
	longer[65] = '\0';
	ask(&f, "start recording", "call-id", "c", "recording-id", longer, NULL);
	assert_refused(&f, "recording-id is not 1 to 64 characters of A-Z a-z 0-9 . _ -");
	assert_no_fork(&f);
	memset(longer, 'x', SESSION_METADATA_MAX);
	longer[SESSION_METADATA_MAX] = '\0';
	ask(&f, "start recording", "call-id", "c", "metadata", longer, NULL);
	assert_ok(&f);
	fixture_close(&f);
}

/* Fills a command queue of the worker up to its last byte. */
static void fill_queue(struct fixture *f, uint16_t type)
{
	static char payload[60000];
	struct fork_command command = {.type = type, .payload = payload, .payload_len = 60000};

	for (; command.payload_len > 0; command.payload_len /= 2) {
		while (flow_table_fork(f->flows, 0, &command) == 0)
			continue;
	}
	while (flow_table_fork(f->flows, 0, &command) == 0)
		continue;
}

static void drain_queue(struct fixture *f)
{
	struct fork_seen seen;

	while (fork_next(f, 0, &seen))
		free(seen.payload);
}

static void a_full_queue_refuses_a_start_and_delays_an_end(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NULL);
	call(&f);
	fill_queue(&f, TD_FORK_START);
	ask(&f, "start recording", "call-id", "c", NULL);
	assert_refused(&f, "Recording limit reached");
	drain_queue(&f);
	ask(&f, "start recording", "call-id", "c", NULL);
	assert_ok(&f);
	drain_queue(&f);
	fill_queue(&f, TD_FORK_END);
	ask(&f, "delete", "call-id", "c", NULL);
	assert_ok(&f);
	assert_false(list_is_empty(&f.table->ending_recordings));
	session_table_tick(f.table, &f.now);
	assert_false(list_is_empty(&f.table->ending_recordings));
	drain_queue(&f);
	session_table_tick(f.table, &f.now);
	assert_true(list_is_empty(&f.table->ending_recordings));
	assert_fork(&f, TD_FORK_END, 0, 0, 2, "{\"reason\":\"delete\"}");
	fixture_close(&f);
}

static void a_description_without_room_is_posted_later(void **state)
{
	struct fixture f;
	struct stream *stream;

	(void)state;
	fixture_open(&f, NULL);
	call(&f);
	ask(&f, "start recording", "call-id", "c", NULL);
	drain_queue(&f);
	stream = the_session(&f, "c")->legs[0]->streams[0];
	fill_queue(&f, TD_FORK_START);
	ask(&f, "offer", "call-id", "c", "from-tag", "a", "to-tag", "b", "sdp",
	    "v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio 4000 RTP/AVP 8\r\n", NULL);
	assert_ok(&f);
	/* Not forked while the recorder cannot know what it is. */
	assert_int_equal(flow_table_conf(f.flows, stream->slot)->flags & FLOW_FORK, 0);
	drain_queue(&f);
	session_table_tick(f.table, &f.now);
	assert_fork(&f, TD_FORK_STREAM, 0, 0, 1, NULL);
	assert_int_equal(flow_table_conf(f.flows, stream->slot)->flags & FLOW_FORK, FLOW_FORK);
	fixture_close(&f);
}

static void texts_of_any_bytes_become_sound_json(void **state)
{
	static const struct {
		const char *text, *json;
	} rows[] = {
		{"plain", "\"plain\""},
		{"q\"b\\", "\"q\\\"b\\\\\""},
		{"\x01\n\x7f", "\"\\u0001\\u000a\\u007f\""},
		{"\xc3\xa9", "\"\xc3\xa9\""},
		{"\xe2\x82\xac \xf0\x9f\x98\x80", "\"\xe2\x82\xac \xf0\x9f\x98\x80\""},
		{"\xff"
		 "a",
		 "\"\\ufffda\""},
		{"\xc3", "\"\\ufffd\""},                       /* cut off */
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
		{"\xc0\xaf", "\"\\ufffd\\ufffd\""},            /* too long a form */
		{"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
	};
	char text[64];
	struct json json;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_begin(&json, text, sizeof(text));
		json_text(&json, NULL, rows[i].text, strlen(rows[i].text));
		assert_int_equal(json.n, strlen(rows[i].json));
		assert_memory_equal(text, rows[i].json, json.n);
		for (size_t max = 0; max < json.n; max++) {
			struct json small;

			json_begin(&small, text, max);
			json_text(&small, NULL, rows[i].text, strlen(rows[i].text));
			assert_true(small.full);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_recording_begins_with_its_description),
		cmocka_unit_test(each_way_to_end_is_told),
		cmocka_unit_test(a_new_description_is_posted_again),
		cmocka_unit_test(ports_of_a_recorded_stream_are_held_until_its_end),
		cmocka_unit_test(recording_from_the_offer_on),
		cmocka_unit_test(what_cannot_be_recorded_is_refused),
		cmocka_unit_test(a_full_queue_refuses_a_start_and_delays_an_end),
		cmocka_unit_test(a_description_without_room_is_posted_later),
		cmocka_unit_test(texts_of_any_bytes_become_sound_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Receipts: what is one, and the listener against well-behaved and other recorders. */
#include "control/tiers/receipts.h"

#include "control/tiers/receipt.h"
#include "dataplane/base/clock.h"
#include "recorder/log/segment_log.h"
#include "tests/unit/tiers/fixture.h"

#include <jansson.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- parsing ---- */

static void a_receipt_is_read_in_full(void **state)
{
	char *json = sample_receipt("rec-1", "call-1");
	const struct recording *recording;
	struct receipt *receipt;
	const char *reason;

	(void)state;
	assert_int_equal(receipt_parse(&receipt, json, strlen(json), &reason), 0);
	recording = receipt_recording(receipt);
	assert_string_equal(recording->id, "rec-1");
	assert_string_equal(recording->call_id, "call-1");
	assert_string_equal(recording->metadata, "caller 1001");
	assert_string_equal(recording->object, "2026/01/02/rec-1.wav");
	assert_string_equal(recording->format, "wav");
	assert_string_equal(recording->reason, "ended");
	assert_string_equal(recording->receipt, json);
	assert_int_equal(recording->bytes, 1936044);
	assert_int_equal(recording->channels, 2);
	assert_int_equal(recording->duration_ms, 60500);
	assert_true(recording->started_ns == UINT64_C(1767322805000000000));
	assert_int_equal(recording->packets_received, 6045);
	assert_int_equal(recording->packets_written, 6044);
	assert_int_equal(recording->packets_lost, 1);
	assert_int_equal(recording->packets_duplicate, 1);
	receipt_free(receipt);
	for (size_t prefix = 0; prefix < strlen(json); prefix++)
		assert_int_equal(receipt_parse(&receipt, json, prefix, &reason), -EBADMSG);
	free(json);
}

/* The sample with one member changed (value NULL: removed). */
static int parse_changed(const char *object, const char *key, const char *value)
{
	char *sample = sample_receipt("rec-1", "call-1");
	json_t *root = json_loads(sample, 0, NULL);
	json_t *in = object ? json_object_get(root, object) : root;
	struct receipt *receipt = NULL;
	const char *reason;
	char *text;
	int rc;

	if (value)
		json_object_set_new(in, key, json_loads(value, JSON_DECODE_ANY, NULL));
	else
		json_object_del(in, key);
	text = json_dumps(root, 0);
	rc = receipt_parse(&receipt, text, strlen(text), &reason);
	if (rc == 0)
		receipt_free(receipt);
	free(text);
	json_decref(root);
	free(sample);
	return rc;
}

static void what_is_no_receipt_is_refused(void **state)
{
	static const struct {
		const char *object, *key, *value;
		int rc;
	} cases[] = {
		{NULL, "call_id", NULL, 0},
		{NULL, "streams", NULL, 0},
		{NULL, "metadata", "null", 0},
		{NULL, "more", "[1]", 0},
		{"packets", "duplicate", NULL, 0},
		{NULL, "v", NULL, -EBADMSG},
		{NULL, "v", "\"1\"", -EBADMSG},
		{NULL, "v", "0", -EBADMSG},
		{NULL, "v", "2", -EPROTO},
		{NULL, "recording_id", NULL, -EBADMSG},
		{NULL, "recording_id", "\"\"", -EBADMSG},
		{NULL, "recording_id", "\"a/b\"", -EBADMSG},
		{NULL, "recording_id", "\"a\\nb\"", -EBADMSG},
		{NULL, "recording_id",
		 "\"0123456789012345678901234567890123456789012345678901234567890123x\"", -EBADMSG},
		{NULL, "recording_id", "7", -EBADMSG},
		{NULL, "object", NULL, -EBADMSG},
		{NULL, "sha256", "\"abc\"", -EBADMSG},
		{NULL, "bytes", "-1", -EBADMSG},
		{NULL, "bytes", "1.5", -EBADMSG},
		{NULL, "bytes", "\"7\"", -EBADMSG},
		{NULL, "packets", "[]", -EBADMSG},
		{"packets", "lost", NULL, -EBADMSG},
	};
	static const char *const texts[] = {
		"", "[]", "7", "{}", "{\"v\":1,\"v\":1}", "\xff", "{\"v\":1}{\"v\":1}"};
	struct receipt *receipt;
	const char *reason;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = parse_changed(cases[i].object, cases[i].key, cases[i].value);

		if (rc != cases[i].rc)
			print_error("%s %s: %d\n", cases[i].key, cases[i].value, rc);
		assert_int_equal(rc, cases[i].rc);
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(receipt_parse(&receipt, texts[i], strlen(texts[i]), &reason),
				 -EBADMSG);
}

static void deep_nesting_is_refused(void **state)
{
	char text[4000];
	struct receipt *receipt;
	const char *reason;

	(void)state;
	memset(text, '[', sizeof(text));
	assert_int_equal(receipt_parse(&receipt, text, sizeof(text), &reason), -EBADMSG);
	assert_string_equal(reason, "nested too deeply");
}

/* ---- the listener ---- */

struct listener {
	struct bench bench;
	struct receipts *receipts;
	char directory[SCRATCH_MAX];
	char path[128];
};

static int listener_setup(void **state)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	char journal[128];

	*state = listener;
	scratch_make(listener->directory);
	snprintf(journal, sizeof(journal), "%s/journal", listener->directory);
	snprintf(listener->path, sizeof(listener->path), "%s/receipt.sock", listener->directory);
	bench_open(&listener->bench, journal);
	return receipts_open(&listener->receipts, listener->bench.loop, listener->bench.journal,
			     listener->path);
}

static int listener_teardown(void **state)
{
	struct listener *listener = *state;

	receipts_close(listener->receipts);
	bench_close(&listener->bench);
	scratch_remove(listener->directory);
	free(listener);
	return 0;
}

/* A recorder's end of the socket and what came through it. */
struct recorder {
	int fd;
	char in[65536];
	size_t used;
	const char *wanted;
	bool closed;
};

static void recorder_open(struct recorder *recorder, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(recorder, 0, sizeof(*recorder));
	strcpy(address.sun_path, path);
	recorder->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(recorder->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void recorder_write(struct recorder *recorder, const char *text, size_t n)
{
	assert_int_equal(send(recorder->fd, text, n, MSG_NOSIGNAL), n);
}

/* Turning the listener's loop while it is not read. */
static void recorder_write_all(struct listener *listener, struct recorder *recorder,
			       const char *text, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t sent = send(recorder->fd, text + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0)
			at += (size_t)sent;
		else
			loop_once(listener->bench.loop, 1);
	}
}

static void recorder_read(struct recorder *recorder)
{
	ssize_t n = recv(recorder->fd, recorder->in + recorder->used,
			 sizeof(recorder->in) - 1 - recorder->used, MSG_DONTWAIT);

	if (n > 0)
		recorder->used += (size_t)n;
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		recorder->closed = true;
	recorder->in[recorder->used] = '\0';
}

static bool has_wanted(void *arg)
{
	struct recorder *recorder = arg;

	recorder_read(recorder);
	return recorder->wanted ? strstr(recorder->in, recorder->wanted) != NULL : recorder->closed;
}

static bool expect(struct listener *listener, struct recorder *recorder, const char *wanted)
{
	recorder->wanted = wanted;
	return bench_until(&listener->bench, has_wanted, recorder);
}

static void a_receipt_is_acknowledged_when_it_is_durable(void **state)
{
	struct listener *listener = *state;
	char *line = sample_receipt("rec-1", "call-1");
	struct receipts_status status;
	struct journal_status journal;
	struct recorder recorder;

	recorder_open(&recorder, listener->path);
	for (size_t i = 0; line[i]; i++) { /* split everywhere */
		recorder_write(&recorder, line + i, 1);
		loop_once(listener->bench.loop, 0);
	}
	receipts_status(listener->receipts, &status);
	assert_int_equal(status.received, 0);
	recorder_write(&recorder, "\n", 1);
	assert_true(expect(listener, &recorder, "{\"ack\":\"rec-1\"}\n"));
	journal_status(listener->bench.journal, &journal);
	assert_int_equal(journal.appended, 1);
	assert_true(journal.durable == journal.end);
	receipts_status(listener->receipts, &status);
	assert_int_equal(status.received, 1);
	assert_int_equal(status.acked, 1);
	close(recorder.fd);
	free(line);
}

static void many_receipts_at_once_are_all_acknowledged(void **state)
{
	struct listener *listener = *state;
	struct receipts_status status;
	struct recorder recorder;
	int total = 5 * RECEIPTS_PENDING_MAX;

	recorder_open(&recorder, listener->path);
	for (int i = 0; i < total; i++) {
		char id[32], *line;

		snprintf(id, sizeof(id), "rec-%03d", i);
		line = sample_receipt(id, "call");
		recorder_write_all(listener, &recorder, line, strlen(line));
		recorder_write_all(listener, &recorder, "\n", 1);
		free(line);
	}
	assert_true(expect(listener, &recorder, "{\"ack\":\"rec-159\"}\n"));
	receipts_status(listener->receipts, &status);
	assert_int_equal(status.acked, total);
	close(recorder.fd);
}

static void a_bad_line_is_answered_and_the_next_one_works(void **state)
{
	static const char bad[] = "GET / HTTP/1.1\r\n\n{\"v\":1}\n\0\0\0\n\xff\xfe\n[[[[[[[[[[[[\n";
	struct listener *listener = *state;
	char *line = sample_receipt("rec-1", "call-1");
	struct receipts_status status;
	struct recorder recorder;

	recorder_open(&recorder, listener->path);
	recorder_write(&recorder, bad, sizeof(bad) - 1);
	recorder_write(&recorder, line, strlen(line));
	recorder_write(&recorder, "\r\n", 2);
	assert_true(expect(listener, &recorder, "{\"ack\":\"rec-1\"}\n"));
	assert_non_null(strstr(recorder.in, "{\"error\":\""));
	receipts_status(listener->receipts, &status);
	assert_int_equal(status.bad, 6);
	close(recorder.fd);
	free(line);
}

static void a_line_that_is_too_long_ends_its_connection(void **state)
{
	struct listener *listener = *state;
	static char block[8192];
	struct receipts_status status;
	struct recorder recorder;
	ssize_t sent = 0;

	memset(block, ' ', sizeof(block));
	recorder_open(&recorder, listener->path);
	for (int i = 0; i < 64 && sent >= 0; i++) {
		sent = send(recorder.fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);
		loop_once(listener->bench.loop, 0);
		if (sent < 0 && errno == EAGAIN)
			sent = 0;
	}
	assert_true(expect(listener, &recorder, NULL));
	receipts_status(listener->receipts, &status);
	assert_int_equal(status.bad, 1);
	assert_int_equal(status.connections, 0);
	close(recorder.fd);
}

static void the_longest_line_is_taken(void **state)
{
	struct listener *listener = *state;
	char *sample = sample_receipt("rec-1", "call-1");
	size_t n = strlen(sample);
	struct recorder recorder;
	char *line = malloc(JOURNAL_RECEIPT_MAX + 1);

	memset(line, ' ', JOURNAL_RECEIPT_MAX);
	memcpy(line, sample, n);
	line[JOURNAL_RECEIPT_MAX] = '\n';
	recorder_open(&recorder, listener->path);
	recorder_write_all(listener, &recorder, line, JOURNAL_RECEIPT_MAX + 1);
	assert_true(expect(listener, &recorder, "{\"ack\":\"rec-1\"}\n"));
	close(recorder.fd);
	free(line);
	free(sample);
}

static bool all_gone(void *arg)
{
	struct receipts_status status;

	receipts_status(arg, &status);
	return status.connections == 0;
}

static void a_connection_may_go_while_its_receipts_are_under_way(void **state)
{
	struct listener *listener = *state;
	char *line = sample_receipt("rec-1", "call-1");

	for (int i = 0; i < 20; i++) {
		struct recorder recorder;

		recorder_open(&recorder, listener->path);
		recorder_write(&recorder, line, strlen(line));
		recorder_write(&recorder, "\n", 1);
		loop_once(listener->bench.loop, 0);
		close(recorder.fd);
	}
	assert_true(bench_until(&listener->bench, all_gone, listener->receipts));
	free(line);
}

static void connections_are_limited(void **state)
{
	struct listener *listener = *state;
	struct recorder recorders[RECEIPTS_CONNECTIONS_MAX + 1];
	struct receipts_status status;

	for (int i = 0; i <= RECEIPTS_CONNECTIONS_MAX; i++)
		recorder_open(&recorders[i], listener->path);
	assert_true(expect(listener, &recorders[RECEIPTS_CONNECTIONS_MAX], NULL));
	receipts_status(listener->receipts, &status);
	assert_int_equal(status.connections, RECEIPTS_CONNECTIONS_MAX);
	assert_int_equal(status.turned_away, 1);
	for (int i = 0; i <= RECEIPTS_CONNECTIONS_MAX; i++)
		close(recorders[i].fd);
	assert_true(bench_until(&listener->bench, all_gone, listener->receipts));
}

static void the_socket_is_replaced_only_when_nobody_listens(void **state)
{
	struct listener *listener = *state;
	struct receipts *second = NULL;
	struct stat stat_of;

	assert_int_equal(stat(listener->path, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 0777, 0660);
	assert_int_equal(receipts_open(&second, listener->bench.loop, listener->bench.journal,
				       listener->path),
			 -EADDRINUSE);
	assert_null(second);
	assert_int_equal(access(listener->path, F_OK), 0);
}

#define LISTENER(test) cmocka_unit_test_setup_teardown(test, listener_setup, listener_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_receipt_is_read_in_full),
		cmocka_unit_test(what_is_no_receipt_is_refused),
		cmocka_unit_test(deep_nesting_is_refused),
		LISTENER(a_receipt_is_acknowledged_when_it_is_durable),
		LISTENER(many_receipts_at_once_are_all_acknowledged),
		LISTENER(a_bad_line_is_answered_and_the_next_one_works),
		LISTENER(a_line_that_is_too_long_ends_its_connection),
		LISTENER(the_longest_line_is_taken),
		LISTENER(a_connection_may_go_while_its_receipts_are_under_way),
		LISTENER(connections_are_limited),
		LISTENER(the_socket_is_replaced_only_when_nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The whole recorder, from the fork ring to the acknowledged receipt, with restarts in between. */
#include "tests/unit/recorder/recorder_fixture.h"

#define T0      UINT64_C(1767225600000000000) /* 2026-01-01T00:00:00Z */
#define PACKETS 100

static const char object_day[] = "2026/01/01";

static void whole_call_put(struct recorder_fixture *f, uint64_t recording, const char *id)
{
	call_start(f, recording, id, T0);
	for (uint32_t k = 0; k < PACKETS; k++) {
		call_packet(f, recording, 0, T0, k, 0x9f);
		call_packet(f, recording, 1, T0, k, 0x1f);
	}
	call_end(f, recording, T0 + PACKETS * 20 * NS_PER_MS, PACKETS);
}

static int16_t *object_read(struct recorder_fixture *f, const char *id, size_t *samples)
{
	char path[320];
	static uint8_t bytes[1 << 20];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/%s/%s.wav", f->store, object_day, id);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	got = read(fd, bytes, sizeof(bytes));
	close(fd);
	assert_true(got > 44);
	*samples = ((size_t)got - 44) / 2;
	return (int16_t *)(void *)(bytes + 44);
}

static void object_check(struct recorder_fixture *f, const char *id)
{
	size_t count;
	int16_t *samples = object_read(f, id, &count);

	assert_int_equal(count, PACKETS * 160 * 2);
	for (size_t k = 0; k < count; k += 2) {
		assert_int_equal(samples[k], samples[0]);
		assert_int_equal(samples[k + 1], samples[1]);
	}
	assert_true(samples[0] > 0 && samples[1] == -samples[0]);
}

static int64_t receipt_packets(const json_t *receipt, const char *name)
{
	return json_integer_value(json_object_get(json_object_get(receipt, "packets"), name));
}

static void a_call_becomes_an_object_and_a_receipt(void **state)
{
	struct recorder_fixture *f = *state;
	json_t *receipt;

	dataplane_start(f, 1 << 20);
	control_start(f);
	recorder_up(f);
	rounds_until(f, false, "ring", "rings", 1);
	whole_call_put(f, 1, "rec-1");
	rounds_until(f, false, "receipts", "sent", 1);
	while (!(receipt = control_receipt(f)))
		control_round(f, false);
	object_check(f, "rec-1");
	assert_string_equal(json_string_value(json_object_get(receipt, "object")),
			    "2026/01/01/rec-1.wav");
	assert_string_equal(json_string_value(json_object_get(receipt, "call_id")), "call-rec-1");
	assert_string_equal(json_string_value(json_object_get(receipt, "reason")), "delete");
	assert_int_equal(json_integer_value(json_object_get(receipt, "channels")), 2);
	assert_int_equal(json_integer_value(json_object_get(receipt, "duration_ms")), 2000);
	assert_int_equal(json_integer_value(json_object_get(receipt, "started_ns")), T0);
	assert_int_equal(receipt_packets(receipt, "received"), 2 * PACKETS);
	assert_int_equal(receipt_packets(receipt, "written"), 2 * PACKETS);
	assert_int_equal(receipt_packets(receipt, "lost"), 0);
	json_decref(receipt);
	control_stop(f);
	control_start(f);
	rounds_until(f, true, "receipts", "acknowledged", 1);
	rounds_until(f, true, "uploads", "unacknowledged", 0);
	assert_int_equal(status_number(f, "recordings", "live"), 0);
	assert_int_equal(status_number(f, "recordings", "orphans"), 0);
	assert_int_equal(atomic_load(&f->ring->tail), atomic_load(&f->ring->head));
}

static void files_of_delivered_recordings_are_gone(void **state)
{
	struct recorder_fixture *f = *state;
	char path[256];

	dataplane_start(f, 1 << 20);
	control_start(f);
	recorder_up(f);
	rounds_until(f, true, "ring", "rings", 1);
	whole_call_put(f, 1, "rec-1");
	rounds_until(f, true, "receipts", "acknowledged", 1);
	rounds_until(f, true, "uploads", "unacknowledged", 0);
	snprintf(path, sizeof(path), "%s/files/rec-1.wav", f->spool);
	assert_int_equal(access(path, F_OK), -1);
}

static void a_restart_in_mid_call_loses_and_doubles_nothing(void **state)
{
	struct recorder_fixture *f = *state;
	json_t *receipt;

	dataplane_start(f, 1 << 20);
	control_start(f);
	recorder_up(f);
	rounds_until(f, false, "ring", "rings", 1);
	call_start(f, 1, "rec-1", T0);
	for (uint32_t k = 0; k < PACKETS; k++) {
		if (k % 30 == 20) {
			recorder_down(f);
			/* as after kill -9: written, but not given back */
			if (k > 60)
				atomic_store(&f->ring->tail, 0);
			recorder_up(f);
			rounds_until(f, false, "ring", "rings", 1);
		}
		call_packet(f, 1, 0, T0, k, 0x9f);
		call_packet(f, 1, 1, T0, k, 0x1f);
		recorder_round(&f->recorder);
	}
	call_end(f, 1, T0 + PACKETS * 20 * NS_PER_MS, PACKETS);
	rounds_until(f, false, "receipts", "sent", 1);
	while (!(receipt = control_receipt(f)))
		control_round(f, false);
	assert_int_equal(receipt_packets(receipt, "received"), 2 * PACKETS);
	assert_int_equal(receipt_packets(receipt, "written"), 2 * PACKETS);
	assert_int_equal(receipt_packets(receipt, "duplicate"), 0);
	json_decref(receipt);
	assert_true(status_number(f, "ring", "again") > 0);
	object_check(f, "rec-1");
}

static void a_receipt_is_sent_again_until_it_is_acknowledged(void **state)
{
	struct recorder_fixture *f = *state;

	dataplane_start(f, 1 << 20);
	recorder_up(f);
	rounds_until(f, false, "ring", "rings", 1);
	whole_call_put(f, 1, "rec-1");
	rounds_until(f, false, "uploads", "uploaded", 1); /* nobody listens */
	recorder_down(f);
	recorder_up(f);
	assert_int_equal(status_number(f, "uploads", "unacknowledged"), 1);
	control_start(f);
	rounds_until(f, false, "receipts", "sent", 1);
	control_stop(f); /* received, never acknowledged */
	control_start(f);
	rounds_until(f, false, "receipts", "sent", 2);
	recorder_down(f);
	control_stop(f);
	control_start(f);
	recorder_up(f);
	rounds_until(f, true, "receipts", "acknowledged", 1);
	rounds_until(f, true, "uploads", "unacknowledged", 0);
	recorder_down(f);
	recorder_up(f);
	assert_int_equal(status_number(f, "uploads", "unacknowledged"), 0);
	assert_int_equal(status_number(f, "recordings", "live"), 0);
}

static void the_queue_survives_a_store_that_is_away(void **state)
{
	struct recorder_fixture *f = *state;
	int fd;

	/* a file where the directory should be */
	dataplane_start(f, 1 << 20);
	control_start(f);
	fd = open(f->store, O_CREAT | O_WRONLY, 0600);
	close(fd);
	recorder_up(f);
	rounds_until(f, true, "ring", "rings", 1);
	whole_call_put(f, 1, "rec-1");
	whole_call_put(f, 2, "rec-2");
	rounds_until(f, true, "uploads", "failures", 2);
	assert_int_equal(status_number(f, "uploads", "queued"), 2);
	recorder_down(f);
	unlink(f->store);
	recorder_up(f);
	rounds_until(f, true, "receipts", "acknowledged", 2);
	object_check(f, "rec-1");
	object_check(f, "rec-2");
}

static void a_dataplane_that_comes_back_new_closes_its_old_recordings(void **state)
{
	struct recorder_fixture *f = *state;
	json_t *receipt;

	dataplane_start(f, 1 << 20);
	control_start(f);
	recorder_up(f);
	rounds_until(f, false, "ring", "rings", 1);
	call_start(f, 1, "rec-1", T0);
	for (uint32_t k = 0; k < 50; k++)
		call_packet(f, 1, 0, T0, k, 0x9f);
	dataplane_stop(f); /* the recorder has not read a thing yet */
	dataplane_start(f, 1 << 20);
	rounds_until(f, false, "receipts", "sent", 1);
	while (!(receipt = control_receipt(f)))
		control_round(f, false);
	assert_string_equal(json_string_value(json_object_get(receipt, "reason")),
			    "dataplane gone");
	assert_int_equal(receipt_packets(receipt, "written"), 49 + 1);
	json_decref(receipt);
	assert_int_equal(status_number(f, "recordings", "closed_gone"), 1);
}

static void silence_closes_a_recording(void **state)
{
	struct recorder_fixture *f = *state;

	f->config.recorder.silence_timeout_s = 1;
	dataplane_start(f, 1 << 20);
	control_start(f);
	recorder_up(f);
	rounds_until(f, true, "ring", "rings", 1);
	call_start(f, 1, "rec-1", T0);
	call_packet(f, 1, 0, T0, 0, 0x9f);
	rounds_until(f, true, "receipts", "acknowledged", 1);
	assert_int_equal(status_number(f, "recordings", "closed_silent"), 1);
}

static void a_ring_of_nonsense_is_given_up(void **state)
{
	struct recorder_fixture *f = *state;

	dataplane_start(f, 1 << 16);
	recorder_up(f);
	rounds_until(f, true, "ring", "rings", 1);
	memset(f->writer.area, 0xff, 4096);
	atomic_store(&f->ring->head, 4096);
	rounds_until(f, true, "ring", "broken", 1);
}

static char *http_get(struct recorder_fixture *f, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	static char answer[1 << 16];
	char request[512];
	size_t used = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int n = snprintf(request, sizeof(request),
			 "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);

	strcpy(address.sun_path, f->http_socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, request, (size_t)n, 0), n);
	for (;;) {
		ssize_t got = recv(fd, answer + used, sizeof(answer) - 1 - used, MSG_DONTWAIT);

		if (got == 0)
			break;
		if (got > 0)
			used += (size_t)got;
		else
			recorder_round(&f->recorder);
	}
	answer[used] = '\0';
	close(fd);
	return answer;
}

static void http_serves_status_and_objects_and_nothing_else(void **state)
{
	static const struct {
		const char *path;
		const char *status;
	} requests[] = {
		{"/status", "200"},
		{"/object/2026/01/01/rec-1.wav", "200"},
		{"/object/2026/01/01/rec-2.wav", "404"},
		{"/object/../spool/lock", "400"},
		{"/object/2026/../../spool/lock", "400"},
		{"/object//etc/passwd", "400"},
		{"/object/%2e%2e/x", "400"},
		{"/object/2026", "404"},
		{"/object/", "400"},
		{"/", "404"},
	};
	struct recorder_fixture *f = *state;

	dataplane_start(f, 1 << 20);
	control_start(f);
	recorder_up(f);
	rounds_until(f, true, "ring", "rings", 1);
	whole_call_put(f, 1, "rec-1");
	rounds_until(f, true, "receipts", "acknowledged", 1);
	for (size_t k = 0; k < sizeof(requests) / sizeof(requests[0]); k++) {
		char *answer = http_get(f, requests[k].path);

		if (strncmp(answer + 9, requests[k].status, 3) != 0)
			fail_msg("%s: %.60s", requests[k].path, answer);
	}
	assert_non_null(strstr(http_get(f, "/status"), "\"uploaded\":1"));
}

int main(void)
{
#define RECORDER_TEST(name)                                                                        \
	cmocka_unit_test_setup_teardown(name, recorder_fixture_setup, recorder_fixture_teardown)
	const struct CMUnitTest tests[] = {
		RECORDER_TEST(a_call_becomes_an_object_and_a_receipt),
		RECORDER_TEST(files_of_delivered_recordings_are_gone),
		RECORDER_TEST(a_restart_in_mid_call_loses_and_doubles_nothing),
		RECORDER_TEST(a_receipt_is_sent_again_until_it_is_acknowledged),
		RECORDER_TEST(the_queue_survives_a_store_that_is_away),
		RECORDER_TEST(a_dataplane_that_comes_back_new_closes_its_old_recordings),
		RECORDER_TEST(silence_closes_a_recording),
		RECORDER_TEST(a_ring_of_nonsense_is_given_up),
		RECORDER_TEST(http_serves_status_and_objects_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Receipts over a socket: order, window, split and broken answers, sending again. */
#include "recorder/upload/receipts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RECEIPTS_MAX 200

struct receipts_fixture {
	char path[64];
	struct loop *loop;
	struct receipts *receipts;
	int listener;
	int control;
	struct receipt receipt[RECEIPTS_MAX];
	char id[RECEIPTS_MAX][16];
	char line[RECEIPTS_MAX][64];
	uint32_t acknowledged;
	const char *last;
	char received[1 << 16];
};

static void acknowledged(void *arg, struct receipt *receipt)
{
	struct receipts_fixture *f = arg;

	f->acknowledged++;
	f->last = receipt->id;
}

static int fixture_setup(void **state)
{
	struct receipts_fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(f->path, "/tmp/tandem-receipt-XXXXXX");
	close(mkstemp(f->path));
	unlink(f->path);
	strcpy(address.sun_path, f->path);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	f->control = -1;
	*state = f;
	return bind(f->listener, (struct sockaddr *)&address, sizeof(address)) ||
	       listen(f->listener, 4) || loop_create(&f->loop) ||
	       receipts_create(&f->receipts, f->loop, f->path, acknowledged, f);
}

static int fixture_teardown(void **state)
{
	struct receipts_fixture *f = *state;

	receipts_destroy(f->receipts);
	loop_destroy(f->loop);
	close(f->listener);
	if (f->control >= 0)
		close(f->control);
	unlink(f->path);
	free(f);
	return 0;
}

static void receipts_put(struct receipts_fixture *f, uint32_t count)
{
	for (uint32_t k = 0; k < count; k++) {
		snprintf(f->id[k], sizeof(f->id[k]), "r%u", k);
		snprintf(f->line[k], sizeof(f->line[k]), "{\"recording_id\":\"r%u\"}", k);
		f->receipt[k] = (struct receipt){
			.id = f->id[k], .line = f->line[k], .len = strlen(f->line[k])};
		receipts_add(f->receipts, &f->receipt[k]);
	}
}

static void control_accept(struct receipts_fixture *f)
{
	f->control = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(f->control >= 0);
}

/* Whole lines that came since last time. */
static uint32_t control_lines(struct receipts_fixture *f)
{
	ssize_t got = recv(f->control, f->received, sizeof(f->received) - 1, 0);
	uint32_t lines = 0;

	f->received[got > 0 ? got : 0] = '\0';
	for (const char *at = f->received; (at = strchr(at, '\n')); at++)
		lines++;
	return lines;
}

static void control_say(struct receipts_fixture *f, const char *text)
{
	assert_int_equal(send(f->control, text, strlen(text), 0), strlen(text));
	loop_once(f->loop, 1000);
}

static uint64_t waiting(const struct receipts_fixture *f)
{
	struct receipt_counters counters;

	receipts_counters(f->receipts, &counters);
	return counters.waiting;
}

static void receipts_go_out_in_order_and_end_with_their_acknowledgement(void **state)
{
	struct receipts_fixture *f = *state;

	receipts_put(f, 3);
	control_accept(f);
	assert_int_equal(control_lines(f), 3);
	assert_string_equal(f->received, "{\"recording_id\":\"r0\"}\n{\"recording_id\":\"r1\"}\n"
					 "{\"recording_id\":\"r2\"}\n");
	control_say(f, "{\"ack\":\"r1\"}\n");
	assert_int_equal(f->acknowledged, 1);
	assert_string_equal(f->last, "r1");
	control_say(f, "{\"ack\":\"r0\"}\n{\"ack\":\"r2\"}\n");
	assert_int_equal(f->acknowledged, 3);
	assert_int_equal(waiting(f), 0);
}

static void answers_may_come_in_pieces(void **state)
{
	static const char answer[] = "{\"ack\":\"r0\"}\n";
	struct receipts_fixture *f = *state;

	receipts_put(f, 1);
	control_accept(f);
	for (size_t k = 0; k < sizeof(answer) - 1; k++) {
		char piece[2] = {answer[k], '\0'};

		assert_int_equal(f->acknowledged, 0);
		control_say(f, piece);
	}
	assert_int_equal(f->acknowledged, 1);
}

static void answers_that_make_no_sense_are_counted_and_passed_over(void **state)
{
	struct receipts_fixture *f = *state;
	struct receipt_counters counters;
	char longest[3000];

	receipts_put(f, 1);
	control_accept(f);
	control_say(f, "hello\n{}\n[]\n{\"ack\":7}\n{\"ack\":\"r9\"}\n\n\xff\n");
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	control_say(f, longest);
	for (int k = 0; k < 5; k++)
		loop_once(f->loop, 10);
	control_say(f, "\n{\"ack\":\"r0\"}\n");
	for (int k = 0; k < 5 && !f->acknowledged; k++)
		loop_once(f->loop, 10);
	assert_int_equal(f->acknowledged, 1);
	receipts_counters(f->receipts, &counters);
	assert_true(counters.unknown >= 7);
}

static void no_more_than_the_window_is_under_way(void **state)
{
	struct receipts_fixture *f = *state;

	receipts_put(f, RECEIPTS_MAX);
	control_accept(f);
	assert_int_equal(control_lines(f), RECEIPT_WINDOW);
	control_say(f, "{\"ack\":\"r0\"}\n{\"ack\":\"r1\"}\n");
	assert_int_equal(control_lines(f), 2);
	assert_int_equal(waiting(f), RECEIPTS_MAX - 2);
}

static void what_is_not_acknowledged_is_sent_again(void **state)
{
	struct receipts_fixture *f = *state;
	uint64_t now_ms;

	receipts_put(f, 2);
	now_ms = loop_now_ms(f->loop);
	control_accept(f);
	assert_int_equal(control_lines(f), 2);
	receipts_tick(f->receipts, now_ms + RECEIPT_AGAIN_MS - 1);
	assert_int_equal(control_lines(f), 0);
	receipts_tick(f->receipts, now_ms + RECEIPT_AGAIN_MS);
	assert_int_equal(control_lines(f), 2);
	/* and all over a new connection */
	close(f->control);
	loop_once(f->loop, 1000);
	receipts_tick(f->receipts, loop_now_ms(f->loop) + RECEIPT_RECONNECT_MS);
	control_accept(f);
	assert_int_equal(control_lines(f), 2);
	control_say(f, "{\"ack\":\"r0\"}\n{\"ack\":\"r1\"}\n");
	assert_int_equal(f->acknowledged, 2);
}

int main(void)
{
#define RECEIPTS_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		RECEIPTS_TEST(receipts_go_out_in_order_and_end_with_their_acknowledgement),
		RECEIPTS_TEST(answers_may_come_in_pieces),
		RECEIPTS_TEST(answers_that_make_no_sense_are_counted_and_passed_over),
		RECEIPTS_TEST(no_more_than_the_window_is_under_way),
		RECEIPTS_TEST(what_is_not_acknowledged_is_sent_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

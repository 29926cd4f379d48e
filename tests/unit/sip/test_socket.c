/*
 * Two stacks on real loopback sockets in one loop: calls over UDP and TCP, IPv4 and IPv6, and what
 * hostile peers do to a stream.
 */
#include "control/sip/stack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 2000 /* of at most 5 ms */

struct party {
	struct sip_stack *stack;
	struct sip_dialog *dialog;
	uint32_t invites;
	uint32_t acks;
	uint32_t byes;
	uint32_t finals[700]; /* responses by status */
	struct sip_flow seen; /* of the last request */
};

static struct loop *loop;
static struct party uas;
static struct party uac;

static void on_request(void *user, struct sip_transaction *t, struct sip_dialog *dialog,
		       const struct sip_message *request)
{
	struct party *party = user;
	struct sip_response response;
	char buffer[4096];

	party->seen = request->flow;
	if (request->method == SIP_METHOD_BYE) {
		party->byes++;
		sip_reply(t, 200, NULL);
		sip_dialog_destroy(dialog);
		party->dialog = NULL;
		return;
	}
	if (request->method != SIP_METHOD_INVITE) {
		sip_reply(t, 200, NULL);
		return;
	}
	party->invites++;
	assert_int_equal(sip_dialog_create_uas(party->stack, t, request, sip_text_of("uas"),
					       &party->dialog),
			 0);
	sip_reply(t, 180, NULL);
	sip_response_begin(&response, t, 200, NULL, buffer, sizeof(buffer));
	sip_dialog_put_contact(&response.builder, party->dialog);
	assert_int_equal(sip_response_send(&response, NULL, (struct sip_text){NULL, 0}), 0);
}

static void on_cancelled(void *user, struct sip_transaction *t, const struct sip_message *cancel)
{
	(void)user;
	(void)cancel;
	sip_reply(t, 487, NULL);
}

static void on_acknowledged(void *user, struct sip_dialog *dialog, const struct sip_message *ack)
{
	struct party *party = user;

	(void)dialog;
	(void)ack;
	party->acks++;
}

static void on_unacknowledged(void *user, struct sip_dialog *dialog)
{
	(void)user;
	(void)dialog;
	fail();
}

static const struct sip_stack_user user = {on_request, on_cancelled, on_acknowledged,
					   on_unacknowledged};

static void on_response(void *owner, struct sip_transaction *t, uint32_t status,
			const struct sip_message *response)
{
	struct party *party = owner;
	struct sip_text none = {NULL, 0};

	party->finals[status]++;
	if (!response || response->method != SIP_METHOD_INVITE || status != 200)
		return;
	assert_int_equal(sip_dialog_create_uac(party->stack, response, sip_transaction_flow(t),
					       sip_text_of("uac"), &party->dialog),
			 0);
	assert_int_equal(sip_dialog_ack(party->dialog, response->cseq.number, NULL, none), 0);
}

static void after_round(void *unused)
{
	(void)unused;
	if (uas.stack)
		sip_stack_flush(uas.stack);
	if (uac.stack)
		sip_stack_flush(uac.stack);
}

static struct sip_stack_config config_for(struct party *party, const char *const *listen,
					  uint32_t n)
{
	return (struct sip_stack_config){
		.loop = loop,
		.listen = listen,
		.listen_count = n,
		.user = &user,
		.user_argument = party,
		.connections = 8,
	};
}

static int setup(void **state)
{
	static const char *const listen[] = {"udp:127.0.0.1:0", "tcp:127.0.0.1:0", "udp:[::1]:0",
					     "tcp:[::1]:0"};
	struct sip_stack_config config;
	char error[SIP_STACK_ERROR_MAX];

	(void)state;
	memset(&uas, 0, sizeof(uas));
	memset(&uac, 0, sizeof(uac));
	assert_int_equal(loop_create(&loop), 0);
	config = config_for(&uas, listen, 4);
	assert_int_equal(sip_stack_create(&uas.stack, &config, error), 0);
	config = config_for(&uac, listen, 4);
	assert_int_equal(sip_stack_create(&uac.stack, &config, error), 0);
	loop_after_round(loop, after_round, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_after_round(loop, NULL, NULL);
	sip_stack_destroy(uac.stack);
	sip_stack_destroy(uas.stack);
	loop_destroy(loop);
	return 0;
}

/* Turns the loop until *value reaches n. */
static void wait_for(const uint32_t *value, uint32_t n)
{
	for (int i = 0; i < ROUNDS && *value < n; i++)
		loop_once(loop, 5);
	assert_int_equal(*value, n);
}

static struct sip_flow flow_to_uas(enum sip_transport_kind transport, bool v6)
{
	struct sip_flow flow = {.transport = transport};
	const char *address = v6 ? "::1" : "127.0.0.1";

	assert_int_equal(address_parse(&flow.remote.address, address, strlen(address)), 0);
	flow.remote.port = sip_stack_port(uas.stack, transport, v6);
	assert_int_not_equal(flow.remote.port, 0);
	return flow;
}

static int send_invite(const struct sip_flow *flow, const char *subject)
{
	struct sip_request_start start = {
		.method = SIP_METHOD_INVITE,
		.uri = sip_text_of("sip:b@example.com"),
		.from = sip_text_of("<sip:a@example.com>"),
		.from_tag = sip_text_of("tag"),
		.to = sip_text_of("<sip:b@example.com>"),
		.call_id = sip_text_of(subject),
		.cseq = 1,
		.flow = *flow,
	};
	struct sip_request request;
	char buffer[SIP_MESSAGE_SIZE_MAX];
	int rc = sip_request_begin(&request, uac.stack, &start, buffer, sizeof(buffer));

	if (rc < 0)
		return rc;
	sip_put_contact(&request.builder, &request.flow, sip_text_of("uac"), NULL);
	return sip_request_send(&request, NULL, (struct sip_text){NULL, 0}, on_response, &uac,
				NULL);
}

static void call_over(enum sip_transport_kind transport, bool v6)
{
	struct sip_flow flow = flow_to_uas(transport, v6);
	struct sip_request bye;
	struct sip_stack_levels levels;
	char buffer[4096];

	assert_int_equal(send_invite(&flow, "a call"), 0);
	wait_for(&uac.finals[200], 1);
	assert_int_equal(uac.finals[180], 1);
	wait_for(&uas.acks, 1);
	assert_int_equal(uas.seen.transport, transport);
	assert_true(address_equal(&uas.seen.local.address, &flow.remote.address));
	assert_int_equal(sip_dialog_request_begin(&bye, uac.dialog, SIP_METHOD_BYE, NULL, buffer,
						  sizeof(buffer)),
			 0);
	assert_int_equal(sip_request_send(&bye, NULL, (struct sip_text){NULL, 0}, on_response, &uac,
					  NULL),
			 0);
	wait_for(&uac.finals[200], 2);
	assert_int_equal(uas.byes, 1);
	sip_dialog_destroy(uac.dialog);
	sip_stack_levels(uac.stack, &levels);
	/* the whole call went over one connection */
	assert_int_equal(levels.connections, transport == SIP_TRANSPORT_TCP ? 1 : 0);
	assert_int_equal(sip_stack_counter(uac.stack, SIP_COUNTER_parse_errors), 0);
	assert_int_equal(sip_stack_counter(uas.stack, SIP_COUNTER_parse_errors), 0);
}

static void call_over_udp(void **state)
{
	(void)state;
	call_over(SIP_TRANSPORT_UDP, false);
}

static void call_over_udp_ipv6(void **state)
{
	(void)state;
	call_over(SIP_TRANSPORT_UDP, true);
}

static void call_over_tcp(void **state)
{
	(void)state;
	call_over(SIP_TRANSPORT_TCP, false);
}

static void call_over_tcp_ipv6(void **state)
{
	(void)state;
	call_over(SIP_TRANSPORT_TCP, true);
}

static void refused_connection_is_a_transport_failure(void **state)
{
	struct sip_flow flow = flow_to_uas(SIP_TRANSPORT_TCP, false);

	(void)state;
	flow.remote.port = 1; /* nobody there */
	assert_int_equal(send_invite(&flow, "refused"), 0);
	wait_for(&uac.finals[503], 1);
	assert_int_equal(sip_stack_counter(uac.stack, SIP_COUNTER_transport_failures), 1);
}

static void local_address_is_the_one_towards_the_peer(void **state)
{
	struct address remote;
	struct address local;

	(void)state;
	assert_int_equal(address_parse(&remote, "127.0.0.77", 10), 0);
	assert_int_equal(sip_transport_local_address(uas.stack, &remote, &local), 0);
	assert_true(address_is_loopback(&local));
	assert_true(sip_stack_is_local(uas.stack, &uas.seen.local.address, 0) == false);
	assert_int_equal(address_parse(&local, "127.0.0.1", 9), 0);
	assert_true(sip_stack_is_local(uas.stack, &local,
				       sip_stack_port(uas.stack, SIP_TRANSPORT_UDP, false)));
	assert_false(sip_stack_is_local(uas.stack, &local, 9));
}

/* ---- a raw peer ---- */

static int raw_connect(void)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(sip_stack_port(uas.stack, SIP_TRANSPORT_TCP, false)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static const char options[] = "OPTIONS sip:x@example.com SIP/2.0\r\n"
			      "Via: SIP/2.0/TCP 127.0.0.1:5;branch=z9hG4bK%d\r\n"
			      "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\n"
			      "CSeq: 1 OPTIONS\r\nContent-Length: 3\r\n\r\nabc";

/* Reads until `expected` is in what came, or the far end closed. Returns what came, terminated. */
static const char *raw_read(int fd, const char *expected)
{
	static char bytes[8192];
	size_t n = 0;

	bytes[0] = '\0';
	for (int i = 0; i < ROUNDS; i++) {
		ssize_t got = recv(fd, bytes + n, sizeof(bytes) - 1 - n, MSG_DONTWAIT);

		if (got > 0)
			n += (size_t)got;
		bytes[n] = '\0';
		if (got == 0 || (expected && strstr(bytes, expected)))
			return bytes;
		loop_once(loop, 5);
	}
	fail_msg("nothing came but \"%s\"", bytes);
	return NULL;
}

static void stream_split_anywhere_is_put_together(void **state)
{
	char two[2048];
	int n = snprintf(two, sizeof(two), options, 1);
	int fd = raw_connect();

	(void)state;
	n += snprintf(two + n, sizeof(two) - (size_t)n, options, 2);
	for (int i = 0; i < n; i++) {
		assert_int_equal(send(fd, two + i, 1, 0), 1);
		loop_once(loop, 0);
	}
	raw_read(fd, "branch=z9hG4bK2");
	assert_int_equal(sip_stack_counter(uas.stack, SIP_COUNTER_requests), 2);
	close(fd);
}

static void ping_gets_pong(void **state)
{
	int fd = raw_connect();

	(void)state;
	assert_int_equal(send(fd, "\r\n\r\n", 4, 0), 4);
	assert_string_equal(raw_read(fd, "\r\n"), "\r\n");
	assert_int_equal(sip_stack_counter(uas.stack, SIP_COUNTER_keepalives), 1);
	close(fd);
}

static void unframed_stream_is_answered_and_closed(void **state)
{
	static const char bytes[] = "OPTIONS sip:x@example.com SIP/2.0\r\n"
				    "Via: SIP/2.0/TCP 127.0.0.1:5;branch=z9hG4bK1\r\n"
				    "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\n"
				    "CSeq: 1 OPTIONS\r\nContent-Length: -3\r\n\r\nabc";
	struct sip_stack_levels levels;
	int fd = raw_connect();
	char byte;

	(void)state;
	assert_int_equal(send(fd, bytes, sizeof(bytes) - 1, 0), sizeof(bytes) - 1);
	assert_non_null(strstr(raw_read(fd, "\r\n\r\n"), "SIP/2.0 400 Bad Content-Length"));
	for (int i = 0; i < 50; i++)
		loop_once(loop, 1);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(sip_stack_counter(uas.stack, SIP_COUNTER_stream_broken), 1);
	sip_stack_levels(uas.stack, &levels);
	assert_int_equal(levels.connections, 0);
	close(fd);
}

static void endless_header_is_cut_off(void **state)
{
	struct sip_stack_levels levels;
	char block[8192];
	int fd = raw_connect();
	int rounds = 0;

	(void)state;
	memset(block, 'x', sizeof(block));
	while (rounds++ < 100 && send(fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		loop_once(loop, 1);
	loop_once(loop, 1);
	sip_stack_levels(uas.stack, &levels);
	assert_int_equal(levels.connections, 0);
	assert_int_equal(sip_stack_counter(uas.stack, SIP_COUNTER_stream_broken), 1);
	close(fd);
}

static void peer_that_holds_back_is_dropped_after_30_s(void **state)
{
	struct timer_wheel *wheel = loop_timers(loop);
	struct sip_stack_levels levels;
	char whole[1024];
	int n = snprintf(whole, sizeof(whole), options, 1);
	int half = raw_connect();
	int silent = raw_connect();
	int good = raw_connect();

	(void)state;
	assert_int_equal(send(half, whole, 100, 0), 100);
	assert_int_equal(send(good, whole, (size_t)n, 0), n);
	raw_read(good, "\r\n\r\n");
	sip_stack_levels(uas.stack, &levels);
	assert_int_equal(levels.connections, 3);
	timer_wheel_advance(wheel, wheel->now_ms + 31000);
	sip_stack_levels(uas.stack, &levels);
	assert_int_equal(levels.connections, 1);
	/* the one that is only idle has an hour and a little */
	timer_wheel_advance(wheel, wheel->now_ms + 3600000);
	sip_stack_levels(uas.stack, &levels);
	assert_int_equal(levels.connections, 1);
	timer_wheel_advance(wheel, wheel->now_ms + 130000);
	sip_stack_levels(uas.stack, &levels);
	assert_int_equal(levels.connections, 0);
	close(half);
	close(silent);
	close(good);
}

static void connections_beyond_the_share_of_one_address_are_refused(void **state)
{
	struct sip_stack_levels levels;
	int fds[8];

	(void)state;
	for (int i = 0; i < 8; i++)
		fds[i] = raw_connect();
	for (int i = 0; i < 10; i++)
		loop_once(loop, 1);
	sip_stack_levels(uas.stack, &levels);
	assert_int_equal(levels.connections, 4);
	assert_int_equal(sip_stack_counter(uas.stack, SIP_COUNTER_connections_refused), 4);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	for (int i = 0; i < 10; i++)
		loop_once(loop, 1);
	sip_stack_levels(uas.stack, &levels);
	assert_int_equal(levels.connections, 0);
	close(raw_connect());
	for (int i = 0; i < 10; i++)
		loop_once(loop, 1);
	assert_int_equal(sip_stack_counter(uas.stack, SIP_COUNTER_connections_accepted), 5);
}

static void broken_listen_texts_are_refused(void **state)
{
	static const struct {
		const char *listen;
		int error;
	} cases[] = {
		{"udp", -EINVAL},
		{"foo:127.0.0.1:5060", -EINVAL},
		{"udp:127.0.0.1", -EINVAL},
		{"udp:localhost:5060", -EINVAL},
		{"tcp:192.0.2.123:0", -EADDRNOTAVAIL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_stack_config config = config_for(&uas, &cases[i].listen, 1);
		struct sip_stack *stack = NULL;
		char error[SIP_STACK_ERROR_MAX];

		assert_int_equal(sip_stack_create(&stack, &config, error), cases[i].error);
		assert_non_null(strstr(error, cases[i].listen));
		assert_null(stack);
	}
	loop_after_round(loop, after_round, NULL);
}

static void binding_request_on_the_sip_port_is_answered(void **state)
{
	static const char request[20] = "\x00\x01\x00\x00\x21\x12\xa4\x42transaction";
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(sip_stack_port(uas.stack, SIP_TRANSPORT_UDP, false)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char answer[64];
	ssize_t got = -1;

	(void)state;
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(fd, request, sizeof(request), 0), sizeof(request));
	for (int i = 0; i < ROUNDS && got < 0; i++) {
		loop_once(loop, 5);
		got = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	}
	assert_int_equal(got, 32);
	assert_memory_equal(answer, "\x01\x01\x00\x0c", 4);
	assert_memory_equal(answer + 4, request + 4, 16);
	assert_int_equal(sip_stack_counter(uas.stack, SIP_COUNTER_stun_requests), 1);
	close(fd);
}

static void garbage_on_udp_is_counted(void **state)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(sip_stack_port(uas.stack, SIP_TRANSPORT_UDP, false)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t seed = 1;

	(void)state;
	for (int i = 0; i < 100; i++) {
		char bytes[300];

		for (size_t j = 0; j < sizeof(bytes); j++) {
			seed = seed * 1664525 + 1013904223;
			bytes[j] = (char)(seed >> 24);
		}
		assert_true(sendto(fd, bytes, (size_t)i * 3, 0, (struct sockaddr *)&to,
				   sizeof(to)) >= 0);
	}
	for (int i = 0; i < 20; i++)
		loop_once(loop, 1);
	/* the empty datagram counts as a keep-alive */
	assert_int_equal(sip_stack_counter(uas.stack, SIP_COUNTER_parse_errors), 99);
	assert_int_equal(sip_stack_counter(uas.stack, SIP_COUNTER_sent), 0);
	close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(call_over_udp),
		T(call_over_udp_ipv6),
		T(call_over_tcp),
		T(call_over_tcp_ipv6),
		T(refused_connection_is_a_transport_failure),
		T(local_address_is_the_one_towards_the_peer),
		T(stream_split_anywhere_is_put_together),
		T(ping_gets_pong),
		T(unframed_stream_is_answered_and_closed),
		T(endless_header_is_cut_off),
		T(peer_that_holds_back_is_dropped_after_30_s),
		T(connections_beyond_the_share_of_one_address_are_refused),
		T(broken_listen_texts_are_refused),
		T(binding_request_on_the_sip_port_is_answered),
		T(garbage_on_udp_is_counted),
	};

	return cmocka_run_group_tests_name("sip sockets", tests, NULL, NULL);
}

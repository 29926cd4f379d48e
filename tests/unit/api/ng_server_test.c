/* The ng server and client over real sockets in one loop: datagrams, streams, repeated and broken
 * messages, limits. */
#include "dataplane/api/ng_client.h"
#include "dataplane/api/ng_frame.h"
#include "dataplane/base/address.h"
#include "dataplane/base/clock.h"
#include "dataplane/main/ng_reply_cache.h"
#include "dataplane/main/ng_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS_MAX 2000

struct bench {
	struct loop *loop;
	struct ng_server *server;
	char path[64];
	char udp[32], tcp[32];
	char client_udp[40], client_tcp[40], client_unix[80];
	unsigned int commands; /* carried out */
};

/* Echoes what it got; "huge" fills the arena, "long" makes a long reply, "unknown" none. */
static void command(void *arg, const struct ng_value *request, struct ng_arena *arena,
		    struct ng_value *reply)
{
	struct bench *bench = arg;
	const struct ng_value *name = ng_get(request, "command");
	char *text;

	bench->commands++;
	if (ng_text_equal(name, "unknown"))
		return;
	if (ng_text_equal(name, "huge")) {
		while (ng_put_string(arena, reply, "result", "ok"))
			;
		return;
	}
	ng_put_string(arena, reply, "result", "pong");
	ng_put_integer(arena, reply, "number", bench->commands);
	if (ng_text_equal(name, "long")) {
		size_t n = (size_t)ng_get_integer(request, "n", 0);

		text = calloc(1, n);
		assert_non_null(text);
		memset(text, 'x', n);
		ng_put_text(arena, reply, "text", text, n);
		free(text);
	}
}

static uint16_t free_port(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	close(fd);
	return ntohs(sin.sin_port);
}

static void server_open(struct bench *bench)
{
	struct ng_server_config config = {
		.unix_path = bench->path,
		.unix_gid = (gid_t)-1,
		.udp = bench->udp,
		.tcp = bench->tcp,
		.command = command,
		.arg = bench,
	};

	assert_int_equal(ng_server_create(&bench->server, bench->loop, &config), 0);
}

static int bench_setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	char token[9];

	assert_non_null(bench);
	random_token(token, 8);
	snprintf(bench->path, sizeof(bench->path), "/tmp/ng-test-%s.sock", token);
	snprintf(bench->udp, sizeof(bench->udp), "127.0.0.1:%u", free_port());
	snprintf(bench->tcp, sizeof(bench->tcp), "127.0.0.1:%u", free_port());
	snprintf(bench->client_udp, sizeof(bench->client_udp), "udp:%s", bench->udp);
	snprintf(bench->client_tcp, sizeof(bench->client_tcp), "tcp:%s", bench->tcp);
	snprintf(bench->client_unix, sizeof(bench->client_unix), "unix:%s", bench->path);
	assert_int_equal(loop_create(&bench->loop), 0);
	server_open(bench);
	*state = bench;
	return 0;
}

static int bench_teardown(void **state)
{
	struct bench *bench = *state;
	struct stat st;

	ng_server_destroy(bench->server);
	assert_int_equal(stat(bench->path, &st), -1);
	loop_destroy(bench->loop);
	free(bench);
	return 0;
}

static int unix_connect(const struct bench *bench)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memcpy(sun.sun_path, bench->path, strlen(bench->path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static int inet_connect(const char *text, int type)
{
	struct sockaddr_storage ss;
	struct endpoint endpoint;
	socklen_t len;
	int fd;

	assert_int_equal(endpoint_parse(&endpoint, text, strlen(text)), 0);
	len = endpoint_to_sockaddr(&endpoint, &ss);
	fd = socket(ss.ss_family, type, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* Runs the loop until something can be read from fd; 0 = end of stream. */
static size_t receive(struct bench *bench, int fd, char *out, size_t n)
{
	for (int i = 0; i < ROUNDS_MAX; i++) {
		ssize_t got;

		loop_once(bench->loop, 1);
		got = recv(fd, out, n - 1, 0);
		if (got < 0 && errno == EAGAIN)
			continue;
		assert_true(got >= 0);
		out[got] = '\0';
		return (size_t)got;
	}
	fail_msg("nothing came");
	return 0;
}

static void exchange(struct bench *bench, int fd, const char *text, const char *expected)
{
	char reply[1024];

	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	receive(bench, fd, reply, sizeof(reply));
	assert_string_equal(reply, expected);
}

#define BENCODE_ERROR(cookie, len, reason)                                                         \
	cookie " d6:result5:error12:error-reason" len ":" reason "e"

static void each_transport_answers_in_the_encoding_of_the_request(void **state)
{
	struct bench *bench = *state;
	int fds[] = {unix_connect(bench), inet_connect(bench->tcp, SOCK_STREAM),
		     inet_connect(bench->udp, SOCK_DGRAM)};

	for (int i = 0; i < 3; i++) {
		char request[64], expected[64];

		snprintf(request, sizeof(request), "c_%d d7:command4:pinge", i);
		snprintf(expected, sizeof(expected), "c_%d d6:result4:pong6:numberi%dee", i,
			 2 * i + 1);
		exchange(bench, fds[i], request, expected);
		snprintf(request, sizeof(request), "j_%d {\"command\": \"ping\"}\n", i);
		snprintf(expected, sizeof(expected), "j_%d {\"result\":\"pong\",\"number\":%d}", i,
			 2 * i + 2);
		exchange(bench, fds[i], request, expected);
		close(fds[i]);
	}
	assert_int_equal(ng_server_count(bench->server, NG_SERVER_REQUESTS), 6);
	assert_int_equal(ng_server_count(bench->server, NG_SERVER_CONNECTIONS), 2);
}

static void repeated_request_gets_the_same_bytes_and_is_not_carried_out_twice(void **state)
{
	struct bench *bench = *state;
	int udp = inet_connect(bench->udp, SOCK_DGRAM);
	int other = inet_connect(bench->udp, SOCK_DGRAM);
	int stream = unix_connect(bench), again;

	for (int i = 0; i < 3; i++)
		exchange(bench, udp, "c1 d7:command4:pinge", "c1 d6:result4:pong6:numberi1ee");
	assert_int_equal(bench->commands, 1);
	assert_int_equal(ng_server_count(bench->server, NG_SERVER_REPEATED), 2);
	/* the same cookie with other content, or of somebody else, is another request */
	exchange(bench, udp, "c1 d7:command4:pong1:a0:e", "c1 d6:result4:pong6:numberi2ee");
	exchange(bench, other, "c1 d7:command4:pinge", "c1 d6:result4:pong6:numberi3ee");
	/* a stream's client comes back on another connection */
	exchange(bench, stream, "c1 d7:command4:pinge", "c1 d6:result4:pong6:numberi4ee");
	close(stream);
	again = unix_connect(bench);
	exchange(bench, again, "c1 d7:command4:pinge", "c1 d6:result4:pong6:numberi4ee");
	close(again);
	close(udp);
	close(other);
}

static void broken_datagrams_get_an_error_with_their_cookie(void **state)
{
	static const struct {
		const char *request;
		const char *reply;
	} table[] = {
		{"a d", BENCODE_ERROR("a", "22", "Message ends too early")},
		{"b {\"x\"",
		 "b {\"result\":\"error\",\"error-reason\":\"Message ends too early\"}"},
		{"c {x}", "c {\"result\":\"error\",\"error-reason\":"
			  "\"JSON object has a key that is no string\"}"},
		{"d de", BENCODE_ERROR("d", "24", "Message names no command")},
		{"e d7:commandi1ee", BENCODE_ERROR("e", "24", "Message names no command")},
		{"f d7:command7:unknowne", BENCODE_ERROR("f", "20", "Command is not known")},
		{"g d7:command4:pingex", BENCODE_ERROR("g", "36",
						       "Message goes on after its "
						       "dictionary")},
		{"h hello",
		 BENCODE_ERROR("h", "50", "Message is neither a bencode nor a JSON dictionary")},
		{"i ", BENCODE_ERROR("i", "22", "Message ends too early")},
	};
	struct bench *bench = *state;
	int fd = inet_connect(bench->udp, SOCK_DGRAM);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		exchange(bench, fd, table[i].request, table[i].reply);
	assert_int_equal(ng_server_count(bench->server, NG_SERVER_ERRORS),
			 sizeof(table) / sizeof(table[0]));
	assert_int_equal(ng_server_count(bench->server, NG_SERVER_NO_COMMAND), 2);
	close(fd);
}

static void datagrams_without_a_cookie_are_counted(void **state)
{
	static const char *const table[] = {"", "x", " d7:command4:pinge", "\x01 de", "nocookie"};
	struct bench *bench = *state;
	int fd = inet_connect(bench->udp, SOCK_DGRAM);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		send(fd, table[i], strlen(table[i]), 0);
	exchange(bench, fd, "c d7:command4:pinge", "c d6:result4:pong6:numberi1ee");
	assert_int_equal(ng_server_count(bench->server, NG_SERVER_NO_COOKIE),
			 sizeof(table) / sizeof(table[0]));
	close(fd);
}

/* Both ways into a message take a cookie of NG_COOKIE_MAX and none longer. */
static void cookie_length_is_limited(void **state)
{
	const char *cookie, *dictionary, *reason;
	size_t cookie_len, dictionary_len;
	char text[NG_COOKIE_MAX + 8];

	(void)state;
	for (size_t len = NG_COOKIE_MAX; len <= NG_COOKIE_MAX + 1; len++) {
		bool good = len == NG_COOKIE_MAX;
		struct ng_frame frame = {0};

		memset(text, 'c', len);
		memcpy(text + len, " de", 3);
		assert_int_equal(ng_datagram_split(text, len + 3, &cookie, &cookie_len, &dictionary,
						   &dictionary_len),
				 good ? 0 : -EBADMSG);
		assert_int_equal(ng_frame_scan(&frame, text, len + 3, &reason),
				 good ? (int)len + 3 : -EBADMSG);
	}
}

static void stream_messages_may_come_in_any_pieces(void **state)
{
	static const char text[] = "a d7:command4:ping1:x3:ee:e\r\n b {\"command\":\"p}\\\"\"} "
				   "c d7:command4:pinge";
	static const char expected[] = "a d6:result4:pong6:numberi1ee"
				       "b {\"result\":\"pong\",\"number\":2}"
				       "c d6:result4:pong6:numberi3ee";
	struct bench *bench = *state;
	char got[512];
	size_t len = 0;
	int fd = unix_connect(bench);

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		ssize_t n;

		assert_int_equal(send(fd, text + i, 1, 0), 1);
		loop_once(bench->loop, 0);
		loop_once(bench->loop, 0);
		n = recv(fd, got + len, sizeof(got) - len, 0);
		if (n > 0)
			len += (size_t)n;
	}
	assert_int_equal(len, sizeof(expected) - 1);
	assert_memory_equal(got, expected, len);
	close(fd);
}

static void broken_stream_gets_an_error_and_is_closed(void **state)
{
	static const struct {
		const char *request;
		const char *reply;
	} table[] = {
		{"a dx", BENCODE_ERROR("a", "33", "Bencode value has an unknown type")},
		{"b hello",
		 BENCODE_ERROR("b", "50", "Message is neither a bencode nor a JSON dictionary")},
		{"\x01", BENCODE_ERROR("0", "36", "Message does not begin with a cookie")},
	};
	struct bench *bench = *state;
	char rest[64];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int fd = i == 0 ? unix_connect(bench) : inet_connect(bench->tcp, SOCK_STREAM);

		exchange(bench, fd, table[i].request, table[i].reply);
		assert_int_equal(receive(bench, fd, rest, sizeof(rest)), 0);
		/* what it says after that is not listened to */
		send(fd, "c d7:command4:pinge", 19, MSG_NOSIGNAL);
		loop_once(bench->loop, 0);
		close(fd);
	}
	assert_int_equal(bench->commands, 0);
}

static void half_closed_stream_gets_its_replies(void **state)
{
	struct bench *bench = *state;
	int fd = unix_connect(bench);
	char rest[256];

	send(fd, "a d7:command4:pinge b d7:command4:ping", 38, 0);
	shutdown(fd, SHUT_WR);
	receive(bench, fd, rest, sizeof(rest));
	if (!strstr(rest, "early")) {
		size_t len = strlen(rest);

		receive(bench, fd, rest + len, sizeof(rest) - len);
	}
	assert_string_equal(rest, "a d6:result4:pong6:numberi1ee" BENCODE_ERROR(
					  "b", "22", "Message ends too early"));
	assert_int_equal(receive(bench, fd, rest, sizeof(rest)), 0);
	close(fd);
}

static void replies_too_long_become_errors(void **state)
{
	struct bench *bench = *state;
	int udp = inet_connect(bench->udp, SOCK_DGRAM), stream = unix_connect(bench);
	char reply[1024];

	exchange(bench, udp, "a d7:command4:long1:ni65507ee",
		 BENCODE_ERROR("a", "17", "Reply is too long"));
	exchange(bench, stream, "b d7:command4:long1:ni262144ee",
		 BENCODE_ERROR("b", "17", "Reply is too long"));
	exchange(bench, stream, "c d7:command4:hugee",
		 BENCODE_ERROR("c", "17", "Reply is too long"));
	assert_int_equal(ng_server_count(bench->server, NG_SERVER_REPLY_TOO_LONG), 3);
	/* the longest that a datagram holds: "d " + 44 of frame + text */
	send(udp, "d d7:command4:long1:ni65460ee", 29, 0);
	receive(bench, udp, reply, sizeof(reply));
	assert_memory_equal(reply, "d d6:result4:pong", 17);
	close(udp);
	close(stream);
}

static void peer_that_does_not_read_stalls_only_itself(void **state)
{
	struct bench *bench = *state;
	int lazy = unix_connect(bench), other = unix_connect(bench);
	size_t total = 0, sent = 0;
	char buffer[65536];

	for (int i = 0; i < 200; i++) {
		char request[64];
		int n = snprintf(request, sizeof(request), "n%d d7:command4:long1:ni60000ee", i);

		if (send(lazy, request, (size_t)n, MSG_NOSIGNAL) == n)
			sent++;
		loop_once(bench->loop, 0);
	}
	assert_int_equal(sent, 200);
	assert_int_equal(ng_server_count(bench->server, NG_SERVER_STALLED), 1);
	assert_in_range(bench->commands, 5, 60);
	send(other, "c d7:command4:pinge", 19, 0);
	receive(bench, other, buffer, sizeof(buffer));
	assert_memory_equal(buffer, "c d6:result4:pong", 17);
	close(other);
	while (total < sent * 60000)
		total += receive(bench, lazy, buffer, sizeof(buffer));
	assert_int_equal(bench->commands, 201);
	close(lazy);
}

static void connections_are_limited(void **state)
{
	struct bench *bench = *state;
	int fds[NG_SERVER_CONNECTIONS_MAX], extra;
	char rest[16];

	for (int i = 0; i < NG_SERVER_CONNECTIONS_MAX; i++) {
		fds[i] = unix_connect(bench);
		loop_once(bench->loop, 0);
	}
	extra = unix_connect(bench);
	assert_int_equal(receive(bench, extra, rest, sizeof(rest)), 0);
	close(extra);
	assert_int_equal(ng_server_count(bench->server, NG_SERVER_CONNECTIONS_FULL), 1);
	/* one leaves, one may come */
	close(fds[0]);
	loop_once(bench->loop, 1);
	fds[0] = unix_connect(bench);
	exchange(bench, fds[0], "c d7:command4:pinge", "c d6:result4:pong6:numberi1ee");
	for (int i = 0; i < NG_SERVER_CONNECTIONS_MAX; i++)
		close(fds[i]);
}

static void socket_of_a_living_server_is_not_taken(void **state)
{
	struct bench *bench = *state;
	struct ng_server_config config = {
		.unix_path = bench->path, .unix_gid = (gid_t)-1, .command = command, .arg = bench};
	struct ng_server *second;
	struct stat st;
	int fd;

	assert_int_equal(ng_server_create(&second, bench->loop, &config), -EADDRINUSE);
	assert_int_equal(stat(bench->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	config.unix_path = NULL;
	config.udp = "127.0.0.1";
	assert_int_equal(ng_server_create(&second, bench->loop, &config), -EINVAL);
	config.udp = bench->udp;
	assert_int_equal(ng_server_create(&second, bench->loop, &config), -EADDRINUSE);
	/* one that died leaves its socket behind */
	ng_server_destroy(bench->server);
	bench->server = NULL;
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	{
		struct sockaddr_un sun = {.sun_family = AF_UNIX};

		memcpy(sun.sun_path, bench->path, strlen(bench->path) + 1);
		assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	}
	close(fd);
	server_open(bench);
}

static void kept_replies_have_limits(void **state)
{
	struct ng_reply_cache *cache;
	struct ng_request_id id = {.dictionary = "de", .dictionary_len = 2};
	char cookie[16], reply[32];
	size_t len;

	(void)state;
	assert_int_equal(ng_reply_cache_create(&cache, 10, 100000, 1000), 0);
	id.cookie = cookie;
	for (int i = 0; i < 12; i++) {
		id.cookie_len = (size_t)sprintf(cookie, "c%d", i);
		len = (size_t)sprintf(reply, "c%d reply", i);
		ng_reply_cache_put(cache, &id, 5000 + (uint64_t)i, reply, len);
	}
	assert_int_equal(ng_reply_cache_count(cache), 10);
	id.cookie_len = (size_t)sprintf(cookie, "c1");
	assert_null(ng_reply_cache_find(cache, &id, 5012, &len));
	id.cookie_len = (size_t)sprintf(cookie, "c2");
	assert_memory_equal(ng_reply_cache_find(cache, &id, 5012, &len), "c2 reply", 8);
	assert_int_equal(len, 8);
	assert_null(ng_reply_cache_find(cache, &id, 6002, &len));
	assert_int_equal(ng_reply_cache_count(cache), 9);
	assert_int_equal(ng_reply_cache_expire(cache, 6010), 6011);
	assert_int_equal(ng_reply_cache_expire(cache, 6011), 0);
	assert_int_equal(ng_reply_cache_count(cache), 0);
	ng_reply_cache_destroy(cache);

	assert_int_equal(ng_reply_cache_create(&cache, 1000, 600, 1000), 0);
	for (int i = 0; i < 100; i++) {
		id.cookie_len = (size_t)sprintf(cookie, "c%d", i);
		ng_reply_cache_put(cache, &id, 1, cookie, id.cookie_len);
	}
	assert_in_range(ng_reply_cache_count(cache), 2, 6);
	ng_reply_cache_put(cache, &id, 1, cookie, 601); /* alone too long: not looked at */
	ng_reply_cache_destroy(cache);
	ng_reply_cache_destroy(NULL);
}

/* ---- client ---- */

struct waiter {
	unsigned int replies;
	int error;
	int64_t number;
	char result[16];
	struct ng_client *again; /* asks once more from the callback */
	const struct ng_value *request;
};

static void replied(void *arg, int error, const struct ng_value *reply)
{
	struct waiter *waiter = arg;
	size_t len;
	const char *result = ng_get_text(reply, "result", &len);

	waiter->replies++;
	waiter->error = error;
	waiter->number = ng_get_integer(reply, "number", 0);
	snprintf(waiter->result, sizeof(waiter->result), "%.*s", (int)len, result ? result : "");
	assert_true((error == 0) == (reply != NULL));
	if (waiter->again) {
		assert_int_equal(ng_client_send(waiter->again, waiter->request, replied, waiter),
				 0);
		waiter->again = NULL;
	}
}

static void wait_for(struct bench *bench, const struct waiter *waiter, unsigned int replies)
{
	for (int i = 0; i < ROUNDS_MAX && waiter->replies < replies; i++)
		loop_once(bench->loop, 5);
	assert_int_equal(waiter->replies, replies);
}

static struct ng_value *ping(struct ng_arena *arena)
{
	struct ng_value *request = ng_dict(arena);

	ng_put_string(arena, request, "command", "ping");
	return request;
}

static void client_gets_replies_on_each_transport(void **state)
{
	struct bench *bench = *state;
	const char *addresses[] = {bench->client_unix, bench->client_tcp, bench->client_udp};
	struct ng_arena *arena;

	assert_int_equal(ng_arena_create(&arena, 65536), 0);
	for (size_t i = 0; i < 3; i++) {
		struct waiter waiter = {0};
		struct ng_client *client;

		assert_int_equal(ng_client_create(&client, bench->loop, addresses[i], 0), 0);
		waiter.again = client;
		waiter.request = ping(arena);
		for (int n = 0; n < 100; n++)
			assert_int_equal(ng_client_send(client, waiter.request, replied, &waiter),
					 0);
		assert_int_equal(waiter.replies, 0);
		wait_for(bench, &waiter, 101);
		assert_int_equal(waiter.error, 0);
		assert_string_equal(waiter.result, "pong");
		assert_int_equal(waiter.number, 101 * (i + 1));
		assert_true(ng_client_is_connected(client));
		ng_client_destroy(client);
	}
	ng_arena_destroy(arena);
}

static void client_survives_a_restart_of_the_server(void **state)
{
	struct bench *bench = *state;
	const char *addresses[] = {bench->client_unix, bench->client_tcp, bench->client_udp};
	struct ng_arena *arena;

	assert_int_equal(ng_arena_create(&arena, 65536), 0);
	for (size_t i = 0; i < 3; i++) {
		struct waiter waiter = {0};
		struct ng_client *client;

		assert_int_equal(ng_client_create(&client, bench->loop, addresses[i], 5000), 0);
		assert_int_equal(ng_client_send(client, ping(arena), replied, &waiter), 0);
		wait_for(bench, &waiter, 1);
		ng_server_destroy(bench->server);
		bench->server = NULL;
		for (int n = 0; n < 10; n++)
			assert_int_equal(ng_client_send(client, ping(arena), replied, &waiter), 0);
		for (int n = 0; n < 20; n++)
			loop_once(bench->loop, 5);
		assert_int_equal(waiter.replies, 1);
		assert_false(ng_client_is_connected(client));
		server_open(bench);
		wait_for(bench, &waiter, 11);
		assert_int_equal(waiter.error, 0);
		ng_client_destroy(client);
	}
	ng_arena_destroy(arena);
}

static void client_tells_why_there_is_no_answer(void **state)
{
	struct bench *bench = *state;
	static const struct {
		const char *address;
		int error;
	} table[] = {
		{"unix:/tmp/ng-test-nobody-there.sock", -ENOENT},
		{"tcp:127.0.0.1:1", -ECONNREFUSED},
		{"udp:127.0.0.1:1", -ECONNREFUSED},
	};
	struct ng_arena *arena;
	struct waiter waiter;
	struct ng_client *client;
	int deaf;

	assert_int_equal(ng_arena_create(&arena, 65536), 0);
	for (size_t i = 0; i < 3; i++) {
		memset(&waiter, 0, sizeof(waiter));
		assert_int_equal(ng_client_create(&client, bench->loop, table[i].address, 100), 0);
		assert_int_equal(ng_client_send(client, ping(arena), replied, &waiter), 0);
		wait_for(bench, &waiter, 1);
		assert_int_equal(waiter.error, table[i].error);
		assert_false(ng_client_is_connected(client));
		ng_client_destroy(client);
	}
	/* somebody listens and says nothing */
	ng_server_destroy(bench->server);
	bench->server = NULL;
	deaf = socket(AF_UNIX, SOCK_STREAM, 0);
	{
		struct sockaddr_un sun = {.sun_family = AF_UNIX};

		memcpy(sun.sun_path, bench->path, strlen(bench->path) + 1);
		assert_int_equal(bind(deaf, (struct sockaddr *)&sun, sizeof(sun)), 0);
		assert_int_equal(listen(deaf, 1), 0);
	}
	memset(&waiter, 0, sizeof(waiter));
	assert_int_equal(ng_client_create(&client, bench->loop, bench->client_unix, 100), 0);
	assert_int_equal(ng_client_send(client, ping(arena), replied, &waiter), 0);
	wait_for(bench, &waiter, 1);
	assert_int_equal(waiter.error, -ETIMEDOUT);
	ng_client_destroy(client);
	close(deaf);
	unlink(bench->path);
	ng_arena_destroy(arena);
}

static void client_calls_back_once_or_not_at_all_when_forgotten(void **state)
{
	struct bench *bench = *state;
	struct waiter kept = {0}, forgotten = {0};
	struct ng_client *client;
	struct ng_arena *arena;

	assert_int_equal(ng_arena_create(&arena, 65536), 0);
	assert_int_equal(ng_client_create(&client, bench->loop, bench->client_unix, 0), 0);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ng_client_send(client, ping(arena), replied, &kept), 0);
		assert_int_equal(ng_client_send(client, ping(arena), replied, &forgotten), 0);
	}
	ng_client_forget(client, &forgotten);
	wait_for(bench, &kept, 10);
	assert_int_equal(forgotten.replies, 0);
	assert_int_equal(ng_client_send(client, ping(arena), replied, &kept), 0);
	ng_client_destroy(client);
	assert_int_equal(kept.replies, 11);
	assert_int_equal(kept.error, -ECANCELED);
	ng_client_destroy(NULL);
	ng_arena_destroy(arena);
}

static void client_limits_what_it_holds(void **state)
{
	struct bench *bench = *state;
	struct waiter waiter = {0};
	struct ng_client *client;
	struct ng_arena *arena;
	struct ng_value *big, *small;
	char *text = calloc(1, NG_MESSAGE_MAX);

	assert_non_null(text);
	assert_int_equal(ng_arena_create(&arena, 2 * NG_MESSAGE_MAX), 0);
	small = ping(arena);
	big = ng_dict(arena);
	ng_put_text(arena, big, "k", text, NG_MESSAGE_MAX - 10);
	free(text);
	assert_int_equal(ng_client_create(&client, bench->loop, "unix:/tmp/ng-test-nobody.sock", 0),
			 0);
	assert_int_equal(ng_client_send(client, big, replied, &waiter), -EMSGSIZE);
	for (int i = 0; i < NG_CLIENT_PENDING_MAX; i++)
		assert_int_equal(ng_client_send(client, small, replied, &waiter), 0);
	assert_int_equal(ng_client_send(client, small, replied, &waiter), -ENOSPC);
	assert_int_equal(ng_client_send(client, NULL, replied, &waiter), -ENOMEM);
	ng_client_destroy(client);
	assert_int_equal(waiter.replies, NG_CLIENT_PENDING_MAX);
	ng_arena_destroy(arena);
}

static void senseless_client_addresses_are_refused(void **state)
{
	static const char *const table[] = {
		"",
		"unix:",
		"udp:",
		"tcp:1.2.3.4",
		"udp:1.2.3.4:0",
		"http:1.2.3.4:1",
		"1.2.3.4:5",
		("unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
		 "0123456789012345678901234567890123456789"),
	};
	struct bench *bench = *state;
	struct ng_client *client;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(ng_client_create(&client, bench->loop, table[i], 0), -EINVAL);
		assert_null(client);
	}
}

#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_BENCH(each_transport_answers_in_the_encoding_of_the_request),
		WITH_BENCH(repeated_request_gets_the_same_bytes_and_is_not_carried_out_twice),
		WITH_BENCH(broken_datagrams_get_an_error_with_their_cookie),
		WITH_BENCH(datagrams_without_a_cookie_are_counted),
		cmocka_unit_test(cookie_length_is_limited),
		WITH_BENCH(stream_messages_may_come_in_any_pieces),
		WITH_BENCH(broken_stream_gets_an_error_and_is_closed),
		WITH_BENCH(half_closed_stream_gets_its_replies),
		WITH_BENCH(replies_too_long_become_errors),
		WITH_BENCH(peer_that_does_not_read_stalls_only_itself),
		WITH_BENCH(connections_are_limited),
		WITH_BENCH(socket_of_a_living_server_is_not_taken),
		cmocka_unit_test(kept_replies_have_limits),
		WITH_BENCH(client_gets_replies_on_each_transport),
		WITH_BENCH(client_survives_a_restart_of_the_server),
		WITH_BENCH(client_tells_why_there_is_no_answer),
		WITH_BENCH(client_calls_back_once_or_not_at_all_when_forgotten),
		WITH_BENCH(client_limits_what_it_holds),
		WITH_BENCH(senseless_client_addresses_are_refused),
	};

	return cmocka_run_group_tests_name("ng server", tests, NULL, NULL);
}

/* The HTTP API: times, the secret, endpoints and their errors, over the real sockets. */
#include "control/admin/admin.h"

#include "control/admin/auth.h"
#include "control/admin/time_text.h"
#include "tests/unit/admin/server.h"
#include "tools/tandemctl.h"

#include <jansson.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- times ---- */

static void times_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* since 1970; -1 = refused */
	} cases[] = {
		{"2026-01-02T03:04:05Z", 1767323045000},
		{"2026-01-02T03:04:05.678Z", 1767323045678},
		{"2026-01-02t03:04:05.678901z", 1767323045678},
		{"2026-01-02 03:04:05+02:00", 1767315845000},
		{"2026-01-02T03:04:05-00:30", 1767324845000},
		{"2026-01-02", 1767312000000},
		{"1970-01-01", 0},
		{"2024-02-29", 1709164800000},
		{"2000-02-29T23:59:60Z", 951868800000},
		{"1767323045", 1767323045000},
		{"0", 0},
		{"-90s", 1767323045000 - 90000},
		{"-15m", 1767323045000 - 900000},
		{"-2h", 1767323045000 - 7200000},
		{"-7d", 1767323045000 - 604800000},
		{"-99999999d", 0},
		{"", -1},
		{"-", -1},
		{"-5", -1},
		{"-5w", -1},
		{"-5ss", -1},
		{"--5s", -1},
		{"+5", -1},
		{" 5", -1},
		{"5 ", -1},
		{"99999999999999999999", -1},
		{"9223372037", -1},
		{"2026-1-02", -1},
		{"2026-13-02", -1},
		{"2026-02-29", -1},
		{"2100-02-29", -1},
		{"1969-12-31", -1},
		{"2262-01-01", -1},
		{"2026-01-02T", -1},
		{"2026-01-02T24:00:00Z", -1},
		{"2026-01-02T03:04:05", -1},
		{"2026-01-02T03:04:05.Z", -1},
		{"2026-01-02T03:04:05+0200", -1},
		{"2026-01-02T03:04:05Zx", -1},
		{"1970-01-01T00:00:00+00:01", -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ns = 0;
		int rc = time_text_parse(cases[i].text, UINT64_C(1767323045000000000), &ns);

		if ((rc == 0) != (cases[i].ms >= 0) ||
		    (rc == 0 && ns / NS_PER_MS != (uint64_t)cases[i].ms))
			print_error("'%s': %d %llu\n", cases[i].text, rc, (unsigned long long)ns);
		assert_int_equal(rc, cases[i].ms >= 0 ? 0 : -EINVAL);
		if (rc == 0)
			assert_int_equal(ns / NS_PER_MS, cases[i].ms);
	}
}

/* ---- the secret ---- */

static struct address address_of(const char *text)
{
	struct address address;

	assert_int_equal(address_parse(&address, text, strlen(text)), 0);
	return address;
}

/* SHA-256 of "secret". */
static const char sha256[] = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

static void only_the_secret_is_granted(void **state)
{
	static const struct {
		const char *header;
		enum auth_verdict verdict;
	} cases[] = {
		{NULL, AUTH_MISSING},
		{"", AUTH_MISSING},
		{"Basic secret", AUTH_MISSING},
		{"Bearer", AUTH_MISSING},
		{"Bearer ", AUTH_WRONG},
		{"Bearer secreT", AUTH_WRONG},
		{"Bearer secret ", AUTH_WRONG},
		{"Bearer secret", AUTH_GRANTED},
		{"bearer secret", AUTH_GRANTED},
	};
	struct address address = address_of("192.0.2.7");
	struct auth auth;

	(void)state;
	assert_int_equal(auth_init(&auth, "00"), -EINVAL);
	assert_int_equal(auth_init(&auth, "zbb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97"
					  "bf527a25b"),
			 -EINVAL);
	assert_int_equal(auth_init(&auth, sha256), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(auth_check(&auth, cases[i].header, &address, 1000),
				 cases[i].verdict);
	auth_fini(&auth);
}

static void an_address_that_guesses_is_not_heard_for_a_while(void **state)
{
	struct address one = address_of("2001:db8::1"), beside = address_of("2001:db8::2");
	struct address other = address_of("192.0.2.7");
	struct auth auth;

	(void)state;
	assert_int_equal(auth_init(&auth, sha256), 0);
	for (int i = 0; i < AUTH_FAILURES; i++)
		assert_int_equal(auth_check(&auth, "Bearer x", &one, 1000), AUTH_WRONG);
	assert_int_equal(auth_check(&auth, "Bearer secret", &one, 1000), AUTH_TOO_OFTEN);
	assert_int_equal(auth_check(&auth, "Bearer secret", &beside, 1000), AUTH_TOO_OFTEN);
	assert_int_equal(auth_check(&auth, "Bearer secret", &other, 1000), AUTH_GRANTED);
	assert_int_equal(auth_check(&auth, "Bearer secret", &one, 1000 + AUTH_WINDOW_S * 1000 - 1),
			 AUTH_TOO_OFTEN);
	assert_int_equal(auth_check(&auth, "Bearer secret", &one, 1000 + AUTH_WINDOW_S * 1000),
			 AUTH_GRANTED);
	/* the table is full of guessers: the oldest makes room, memory stays */
	for (int i = 0; i < 3 * AUTH_SOURCES; i++) {
		struct address guesser = address_from_v4_be(htonl((uint32_t)(0x0a000000 + i)));

		assert_int_equal(auth_check(&auth, "Bearer x", &guesser, 2000 + (uint64_t)i),
				 AUTH_WRONG);
	}
	auth_fini(&auth);
}

/* ---- endpoints ---- */

static struct server server;

/* Status and body of a request over the Unix socket. */
static long ask(const char *method, const char *path, json_t **body)
{
	struct answer answer;
	char error[256];

	if (http_request(server.socket, method, path, &answer, error) != 0)
		fail_msg("%s", error);
	if (body)
		*body = json_loads(answer.text ? answer.text : "", 0, NULL);
	free(answer.text);
	return answer.status;
}

static void status_tells_all_tiers(void **state)
{
	json_t *body, *records;

	(void)state;
	assert_int_equal(ask("GET", "/v1/status", &body), 200);
	assert_string_equal(json_text(body, "version"), "0.1.0");
	assert_int_equal(json_number(json_object_get(body, "counters"), "sip_requests"), 42);
	assert_true(json_is_true(json_object_get(json_object_get(body, "dataplane"), "connected")));
	records = json_object_get(body, "records");
	assert_string_equal(json_text(records, "kind"), "sqlite");
	assert_true(json_is_true(json_object_get(records, "connected")));
	assert_int_equal(json_number(records, "applied"), 3);
	assert_int_equal(json_number(records, "lag_records"), 0);
	assert_int_equal(json_number(json_object_get(body, "journal"), "appended"), 3);
	assert_int_equal(json_number(json_object_get(body, "receipts"), "received"), 0);
	assert_int_equal(json_array_size(json_object_get(body, "problems")), 0);
	json_decref(body);
	server.connected = false;
	assert_int_equal(ask("GET", "/v1/status", &body), 200);
	assert_int_equal(json_array_size(json_object_get(body, "problems")), 1);
	json_decref(body);
	server.connected = true;
}

static void live_views_are_listed(void **state)
{
	json_t *body, *one;

	(void)state;
	assert_int_equal(ask("GET", "/v1/calls", &body), 200);
	assert_int_equal(json_array_size(json_object_get(body, "calls")), 1);
	one = json_array_get(json_object_get(body, "calls"), 0);
	assert_string_equal(json_text(one, "id"), "live-1");
	assert_string_equal(json_text(one, "state"), "answered");
	assert_string_equal(json_text(one, "caller_name"), "Zo?");
	assert_in_range(json_number(one, "duration_ms"), 75000, 80000);
	assert_true(json_is_null(json_object_get(one, "ringing")));
	json_decref(body);
	assert_int_equal(ask("GET", "/v1/registrations", &body), 200);
	one = json_array_get(json_object_get(body, "registrations"), 0);
	assert_string_equal(json_text(one, "aor"), "1001");
	assert_string_equal(json_text(one, "user_agent"), "phone?[2J");
	assert_in_range(json_number(one, "expires_s"), 3590, 3600);
	json_decref(body);
}

static void calls_are_hung_up(void **state)
{
	json_t *body;

	(void)state;
	assert_int_equal(ask("DELETE", "/v1/calls/live-1", NULL), 204);
	assert_string_equal(server.hung_up, "live-1");
	assert_int_equal(ask("DELETE", "/v1/calls/gone", &body), 404);
	assert_string_equal(json_text(body, "title"), "Not Found");
	assert_string_equal(json_text(body, "type"), "about:blank");
	assert_int_equal(json_number(body, "status"), 404);
	assert_true(json_text(body, "detail")[0] != '\0');
	json_decref(body);
	assert_int_equal(ask("DELETE", "/v1/calls/slow", NULL), 503);
}

static void records_are_found(void **state)
{
	static const struct {
		const char *path, *list;
		size_t count;
	} cases[] = {
		{"/v1/cdrs", "cdrs", 2},
		{"/v1/cdrs?limit=1", "cdrs", 1},
		{"/v1/cdrs?number=1003", "cdrs", 1},
		{"/v1/cdrs?number=%31003", "cdrs", 1},
		{"/v1/cdrs?number=", "cdrs", 2},
		{"/v1/cdrs?number=nobody", "cdrs", 0},
		{"/v1/cdrs?from=2026-01-02T03:00:01Z", "cdrs", 1},
		{"/v1/cdrs?to=2026-01-02T03:00:01Z", "cdrs", 1},
		{"/v1/cdrs?from=2026-01-02&to=2026-01-03", "cdrs", 2},
		{"/v1/cdrs?more=x", "cdrs", 2},
		{"/v1/recordings", "recordings", 1},
		{"/v1/recordings?call=cdr-1", "recordings", 1},
		{"/v1/recordings?call=cdr-2", "recordings", 0},
		{"/v1/recordings?number=1001", "recordings", 1},
	};
	json_t *body;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ask("GET", cases[i].path, &body), 200);
		if (json_array_size(json_object_get(body, cases[i].list)) != cases[i].count)
			print_error("%s\n", cases[i].path);
		assert_int_equal(json_array_size(json_object_get(body, cases[i].list)),
				 cases[i].count);
		json_decref(body);
	}
	assert_int_equal(ask("GET", "/v1/cdrs/cdr-2", &body), 200);
	assert_string_equal(json_text(body, "caller"), "1003");
	json_decref(body);
	assert_int_equal(ask("GET", "/v1/recordings/rec-1", &body), 200);
	assert_int_equal(json_number(json_object_get(body, "receipt"), "v"), 1);
	json_decref(body);
}

static void what_is_wrong_gets_a_problem_document(void **state)
{
	static const struct {
		const char *method, *path;
		long status;
	} cases[] = {
		{"GET", "/", 404},
		{"GET", "/v1", 404},
		{"GET", "/v1/calls/", 404},
		{"GET", "/v1/cdrs/none", 404},
		{"GET", "/v1/cdrs/a/b", 404},
		{"GET", "/v1/cdrs/%ff", 400},
		{"GET", "/v1/recordings/none", 404},
		{"POST", "/v1/status", 405},
		{"GET", "/v1/reload", 405},
		{"PUT", "/v1/calls/live-1", 405},
		{"GET", "/v1/trace", 400},
		{"GET", "/v1/trace?call=", 400},
		{"GET", "/v1/trace?call=gone", 404},
		{"PUT", "/v1/bans/nobody", 400},
		{"PUT", "/v1/bans/192.0.2.1?for_s=0", 400},
		{"PUT", "/v1/bans/192.0.2.1?for_s=1x", 400},
		{"PUT", "/v1/bans/192.0.2.1?for_s=99999999999", 400},
		{"PUT", "/v1/bans/127.0.0.1", 422},
		{"DELETE", "/v1/bans/192.0.2.1", 404},
		{"POST", "/v1/bans", 405},
		{"GET", "/v1/cdrs?limit=0", 400},
		{"GET", "/v1/cdrs?limit=1001", 400},
		{"GET", "/v1/cdrs?limit=-1", 400},
		{"GET", "/v1/cdrs?limit=ten", 400},
		{"GET", "/v1/cdrs?from=yesterday", 400},
		{"GET", "/v1/cdrs?number=%ff", 400},
		{"GET", "/v1/cdrs?number=%0a", 400},
	};
	char path[400] = "/v1/cdrs?number=";
	json_t *body;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		long status = ask(cases[i].method, cases[i].path, &body);

		if (status != cases[i].status)
			print_error("%s %s: %ld\n", cases[i].method, cases[i].path, status);
		assert_int_equal(status, cases[i].status);
		assert_int_equal(json_number(body, "status"), status);
		assert_true(json_text(body, "detail")[0] != '\0');
		json_decref(body);
	}
	memset(path + 16, '7', 200);
	path[216] = '\0';
	assert_int_equal(ask("GET", path, NULL), 400);
}

static void a_reload_says_what_is_wrong(void **state)
{
	json_t *body;

	(void)state;
	server.reload_rc = 0;
	assert_int_equal(ask("POST", "/v1/reload", NULL), 204);
	assert_int_equal(server.reloads, 1);
	server.reload_rc = -EINVAL;
	assert_int_equal(ask("POST", "/v1/reload", &body), 422);
	assert_string_equal(json_text(body, "detail"), "tandem.yaml:7: an extension twice");
	json_decref(body);
}

static void records_that_are_away_are_a_503_and_come_back(void **state)
{
	char path[128], hidden[140];
	json_t *body;

	(void)state;
	server_stop(&server); /* its connection would keep the file */
	server_start(&server);
	snprintf(path, sizeof(path), "%s/records.db", server.directory);
	snprintf(hidden, sizeof(hidden), "%s.hidden", path);
	assert_int_equal(rename(path, hidden), 0);
	assert_int_equal(ask("GET", "/v1/cdrs", &body), 503);
	assert_non_null(strstr(json_text(body, "detail"), "sqlite"));
	json_decref(body);
	assert_int_equal(rename(hidden, path), 0);
	assert_int_equal(ask("GET", "/v1/cdrs", NULL), 200);
	assert_int_equal(ask("GET", "/v1/status", NULL), 200);
}

/* ---- TCP ---- */

/* The first line of what is answered to raw bytes over TCP. */
static void ask_tcp(const char *request, char *line, size_t n)
{
	struct sockaddr_storage ss;
	struct endpoint endpoint;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ssize_t got;

	assert_int_equal(endpoint_parse(&endpoint, server.http, strlen(server.http)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, endpoint_to_sockaddr(&endpoint, &ss)),
			 0);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	got = recv(fd, line, n - 1, 0);
	line[got > 0 ? got : 0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	close(fd);
}

static void tcp_asks_for_the_secret(void **state)
{
	static const struct {
		const char *request, *line;
	} cases[] = {
		{"GET /v1/calls HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 401 Unauthorized"},
		{"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 401 Unauthorized"},
		{"GET /v1/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n\r\n",
		 "HTTP/1.1 401 Unauthorized"},
		{"GET /v1/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " SECRET "\r\n\r\n",
		 "HTTP/1.1 200 OK"},
		{"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		 "HTTP/1.1 401 Unauthorized"},
	};
	char line[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask_tcp(cases[i].request, line, sizeof(line));
		assert_string_equal(line, cases[i].line);
	}
	for (int i = 0; i < AUTH_FAILURES; i++)
		ask_tcp(cases[2].request, line, sizeof(line));
	ask_tcp(cases[3].request, line, sizeof(line));
	assert_string_equal(line, "HTTP/1.1 429 Too Many Requests");
	assert_int_equal(ask("GET", "/v1/calls", NULL), 200); /* the Unix socket has no such rule */
}

static void garbage_on_tcp_hurts_nobody(void **state)
{
	static const char *const garbage[] = {
		"INVITE sip:1001@x SIP/2.0\r\n\r\n",
		"GET /v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"GET /v1/calls HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET /%00%ff%2e%2e/ HTTP/1.1\r\nHost: x\r\n\r\n",
	};
	char line[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
		ask_tcp(garbage[i], line, sizeof(line));
	assert_int_equal(ask("GET", "/v1/status", NULL), 200);
}

static void the_unix_socket_is_for_its_group(void **state)
{
	struct stat stat_of;

	(void)state;
	assert_int_equal(stat(server.socket, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 0777, 0660);
}

static int start(void **state)
{
	(void)state;
	server_start(&server);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	server_stop(&server);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_read),
		cmocka_unit_test(only_the_secret_is_granted),
		cmocka_unit_test(an_address_that_guesses_is_not_heard_for_a_while),
		cmocka_unit_test(status_tells_all_tiers),
		cmocka_unit_test(live_views_are_listed),
		cmocka_unit_test(calls_are_hung_up),
		cmocka_unit_test(records_are_found),
		cmocka_unit_test(what_is_wrong_gets_a_problem_document),
		cmocka_unit_test(a_reload_says_what_is_wrong),
		cmocka_unit_test(the_unix_socket_is_for_its_group),
		cmocka_unit_test(garbage_on_tcp_hurts_nobody),
		cmocka_unit_test(tcp_asks_for_the_secret),
		cmocka_unit_test(records_that_are_away_are_a_503_and_come_back),
	};

	return cmocka_run_group_tests(tests, start, stop);
}

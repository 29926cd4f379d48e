/*
 * SIP over WebSocket: the opening handshake as a parser, and whole connections, plain and TLS, with
 * a peer that writes its frames by hand.
 */
#include "tests/unit/sip/stream_peer.h"

#include "control/sip/ws_handshake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct stream_fixture f;

/* The key and what it becomes are RFC 6455 1.3's. */
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define UPGRADE "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define SIP     "Sec-WebSocket-Protocol: sip\r\n"
#define GET     "GET / HTTP/1.1\r\n"
#define VALID   GET UPGRADE KEY VERSION SIP "Origin: http://h\r\n\r\n"

static const char options[] = "OPTIONS sip:x@example.com SIP/2.0\r\n"
			      "Via: SIP/2.0/WS abc.invalid;branch=z9hG4bK%d\r\n"
			      "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\n"
			      "CSeq: 1 OPTIONS\r\nContent-Length: 3\r\n\r\nabc";

/* ---- handshake ---- */

static enum ws_handshake_result handshake(const char *text, size_t n, struct ws_handshake *out)
{
	uint32_t scanned = 0;

	return ws_handshake_read(text, (uint32_t)n, &scanned, out);
}

static void handshake_of_rfc_6455_is_accepted(void **state)
{
	static const char text[] = VALID "\x81";
	struct ws_handshake out;

	(void)state;
	assert_int_equal(handshake(text, sizeof(text) - 1, &out), WS_HANDSHAKE_OPEN);
	assert_int_equal(out.size, sizeof(text) - 2);
	assert_int_equal(out.status, 101);
	assert_true(out.has_origin);
	assert_int_equal(strlen(out.answer), out.answer_n);
	assert_non_null(strstr(out.answer, "HTTP/1.1 101 "));
	assert_non_null(
		strstr(out.answer, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	assert_non_null(strstr(out.answer, "\r\nSec-WebSocket-Protocol: sip\r\n"));
}

static void every_prefix_of_a_handshake_waits_for_more(void **state)
{
	struct ws_handshake out;
	uint32_t scanned = 0;

	(void)state;
	for (size_t n = 0; n < sizeof(VALID) - 1; n++) {
		assert_int_equal(handshake(VALID, n, &out), WS_HANDSHAKE_MORE);
		assert_int_equal(ws_handshake_read(VALID, (uint32_t)n, &scanned, &out),
				 WS_HANDSHAKE_MORE);
	}
	assert_int_equal(ws_handshake_read(VALID, sizeof(VALID) - 1, &scanned, &out),
			 WS_HANDSHAKE_OPEN);
	assert_int_equal(out.size, sizeof(VALID) - 1);
}

static void what_is_no_upgrade_gets_one_error(void **state)
{
	static const struct {
		const char *text;
		uint32_t status;
	} rows[] = {
		{GET UPGRADE KEY VERSION SIP "\r\n", 101},
		{"GET /ws?a=b HTTP/1.1\r\nhost:h\r\nUPGRADE: h2c , WebSocket\r\n"
		 "connection: keep-alive,Upgrade\r\n" KEY VERSION
		 "Sec-WebSocket-Protocol: msrp, sip\r\n\r\n",
		 101},
		{GET "Host: h\r\n\r\n", 426},
		{GET "Host: h\r\nUpgrade: websocket\r\n" KEY VERSION SIP "\r\n", 426},
		{GET "Host: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" KEY VERSION SIP "\r\n",
		 426},
		{GET UPGRADE KEY "Sec-WebSocket-Version: 8\r\n" SIP "\r\n", 426},
		{GET UPGRADE KEY SIP "\r\n", 426},
		{GET UPGRADE KEY VERSION "\r\n", 400},
		{GET UPGRADE KEY VERSION "Sec-WebSocket-Protocol: sipx\r\n\r\n", 400},
		{GET UPGRADE VERSION SIP "\r\n", 400},
		{GET UPGRADE KEY KEY VERSION SIP "\r\n", 400},
		{GET UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n" VERSION SIP "\r\n",
		 400},
		{GET UPGRADE "Sec-WebSocket-Key: !GhlIHNhbXBsZSBub25jZQ==\r\n" VERSION SIP "\r\n",
		 400},
		{GET "Upgrade: websocket\r\nConnection: Upgrade\r\n" KEY VERSION SIP "\r\n", 400},
		{GET UPGRADE KEY VERSION SIP "Content-Length: 5\r\n\r\n", 400},
		{GET UPGRADE KEY VERSION SIP "Content-Length: 0\r\n\r\n", 101},
		{GET UPGRADE KEY VERSION SIP "Transfer-Encoding: chunked\r\n\r\n", 400},
		{GET UPGRADE KEY VERSION SIP " folded\r\n\r\n", 400},
		{GET UPGRADE KEY VERSION SIP "no colon\r\n\r\n", 400},
		{GET UPGRADE KEY VERSION SIP "A: b\x01\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" UPGRADE KEY VERSION SIP "\r\n", 405},
		{"GET / HTTP/1.0\r\n" UPGRADE KEY VERSION SIP "\r\n", 505},
		{"GET  HTTP/1.1\r\n" UPGRADE KEY VERSION SIP "\r\n", 400},
		{"GET / x HTTP/1.1\r\n" UPGRADE KEY VERSION SIP "\r\n", 400},
		{"OPTIONS sip:x@y SIP/2.0\r\nVia: x\r\n\r\n", 400},
		{"\r\n\r\n", 400},
	};
	struct ws_handshake out;
	char status[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum ws_handshake_result result =
			handshake(rows[i].text, strlen(rows[i].text), &out);

		if (out.status != rows[i].status)
			fail_msg("row %zu: %u", i, out.status);
		assert_int_equal(result,
				 rows[i].status == 101 ? WS_HANDSHAKE_OPEN : WS_HANDSHAKE_REFUSED);
		snprintf(status, sizeof(status), "HTTP/1.1 %u ", rows[i].status);
		assert_ptr_equal(strstr(out.answer, status), out.answer);
		assert_string_equal(out.answer + out.answer_n - 4, "\r\n\r\n");
	}
}

static void handshake_without_end_or_with_too_many_headers_is_refused(void **state)
{
	static char text[WS_HANDSHAKE_SIZE_MAX + 2];
	struct ws_handshake out;
	size_t n;

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(handshake(text, WS_HANDSHAKE_SIZE_MAX, &out), WS_HANDSHAKE_MORE);
	assert_int_equal(handshake(text, WS_HANDSHAKE_SIZE_MAX + 1, &out), WS_HANDSHAKE_REFUSED);
	assert_int_equal(out.status, 431);
	for (int headers = 64; headers <= 65; headers++) {
		n = (size_t)snprintf(text, sizeof(text), GET UPGRADE KEY VERSION SIP);
		for (int i = 6; i < headers; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "X: y\r\n");
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\r\n");
		handshake(text, n, &out);
		assert_int_equal(out.status, headers == 64 ? 101 : 431);
	}
}

/* ---- whole connections ---- */

static int setup(void **state)
{
	(void)state;
	stream_start(&f, SIP_VERIFY_CLIENTS_NONE, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stream_stop(&f);
	return 0;
}

static struct stream_peer open_socket(enum sip_transport_kind kind, SSL_CTX *context)
{
	struct stream_peer peer = stream_connect(&f, kind, context);

	if (context)
		assert_true(stream_shake(&peer));
	stream_write(&peer, VALID, sizeof(VALID) - 1);
	assert_non_null(strstr(stream_expect(&peer, "\r\n\r\n"), " 101 "));
	return peer;
}

/* A masked frame; first: FIN and opcode. Returns its length. */
static size_t frame(char *out, uint8_t first, const char *bytes, size_t n)
{
	static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	size_t at = 0;

	out[at++] = (char)first;
	if (n < 126) {
		out[at++] = (char)(0x80 | n);
	} else if (n < 65536) {
		out[at++] = (char)(0x80 | 126);
		out[at++] = (char)(n >> 8);
		out[at++] = (char)n;
	} else {
		out[at++] = (char)(0x80 | 127);
		for (int shift = 56; shift >= 0; shift -= 8)
			out[at++] = (char)((uint64_t)n >> shift);
	}
	memcpy(out + at, mask, 4);
	at += 4;
	for (size_t i = 0; i < n; i++)
		out[at++] = (char)((uint8_t)bytes[i] ^ mask[i & 3]);
	return at;
}

static void write_frame(struct stream_peer *peer, uint8_t first, const char *bytes, size_t n)
{
	static char out[80000];

	stream_write(peer, out, frame(out, first, bytes, n));
}

static void options_are_answered(enum sip_transport_kind kind, SSL_CTX *context, uint8_t opcode)
{
	struct stream_peer peer = open_socket(kind, context);
	char text[1024];
	int n = snprintf(text, sizeof(text), options, 7);
	const char *answer;

	write_frame(&peer, opcode, text, (size_t)n);
	answer = stream_expect(&peer, "z9hG4bK7");
	assert_int_equal((uint8_t)answer[0], 0x81); /* one text frame, not masked */
	assert_int_equal((uint8_t)answer[1], 126);
	assert_memory_equal(answer + 4, "SIP/2.0 200 OK\r\n", 16);
	assert_int_equal(f.seen.transport, kind);
	stream_close(&peer);
	stream_turn(&f);
	assert_int_equal(stream_connections(&f), 0);
}

static void request_in_a_text_frame_is_answered_in_one(void **state)
{
	(void)state;
	options_are_answered(SIP_TRANSPORT_WS, NULL, 0x81);
	assert_int_equal(stream_counter(&f, SIP_COUNTER_ws_opened), 1);
	assert_int_equal(stream_counter(&f, SIP_COUNTER_ws_origins), 1);
}

static void request_in_a_binary_frame_over_tls_is_answered(void **state)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	(void)state;
	options_are_answered(SIP_TRANSPORT_WSS, context, 0x82);
	SSL_CTX_free(context);
}

static void fragments_byte_by_byte_with_a_ping_between_make_one_message(void **state)
{
	struct stream_peer peer = open_socket(SIP_TRANSPORT_WS, NULL);
	static char bytes[2048];
	char text[1024];
	size_t n = (size_t)snprintf(text, sizeof(text), options, 8);
	size_t at = frame(bytes, 0x01, text, 100);

	(void)state;
	at += frame(bytes + at, 0x89, "hello", 5);
	at += frame(bytes + at, 0x00, text + 100, 50);
	at += frame(bytes + at, 0x80, text + 150, n - 150);
	for (size_t i = 0; i < at; i++) {
		stream_write(&peer, bytes + i, 1);
		loop_once(f.loop, 0);
	}
	assert_memory_equal(stream_expect(&peer, "z9hG4bK8"), "\x8a\x05hello\x81", 8);
	assert_int_equal(f.requests, 1);
	assert_int_equal(stream_counter(&f, SIP_COUNTER_keepalives), 1);
	stream_close(&peer);
}

static void double_crlf_in_a_frame_gets_one(void **state)
{
	struct stream_peer peer = open_socket(SIP_TRANSPORT_WS, NULL);

	(void)state;
	write_frame(&peer, 0x81, "\r\n\r\n", 4);
	assert_string_equal(stream_expect(&peer, "\r\n"), "\x81\x02\r\n");
	stream_close(&peer);
}

/* What breaks the protocol is told so, and the connection ends. */
static void broken_frames_close_with_their_code(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		uint16_t code;
	} rows[] = {
		{"\x81\x02hi", 4, 1002},                         /* not masked */
		{"\xc1\x82\0\0\0\0hi", 8, 1002},                 /* reserved bit */
		{"\x83\x80\0\0\0\0", 6, 1002},                   /* reserved opcode */
		{"\x80\x80\0\0\0\0", 6, 1002},                   /* nothing to continue */
		{"\x89\xfe\0\x80\0\0\0\0", 8, 0},                /* long ping */
		{"\x81\x82\0\0\0\0\xff\xff", 8, 1007},           /* no UTF-8 */
		{"\x81\xff\0\0\0\0\0\1\0\0\0\0\0\0x", 15, 1009}, /* 65,536 bytes */
		{"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x", 15, 1009},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stream_peer peer = open_socket(SIP_TRANSPORT_WS, NULL);
		const char *answer;
		uint16_t code;

		stream_write(&peer, rows[i].bytes, rows[i].n);
		answer = stream_expect(&peer, NULL);
		code = answer[1] ? (uint16_t)((uint8_t)answer[2] << 8 | (uint8_t)answer[3]) : 0;
		if ((uint8_t)answer[0] != 0x88 || code != rows[i].code)
			fail_msg("row %zu: %02x %u", i, (uint8_t)answer[0], code);
		assert_int_equal(stream_counter(&f, SIP_COUNTER_ws_broken), i + 1);
		stream_close(&peer);
	}
	assert_int_equal(stream_connections(&f), 0);
	assert_int_equal(f.requests, 0);
}

static void fragments_beyond_the_limit_are_refused(void **state)
{
	struct stream_peer peer = open_socket(SIP_TRANSPORT_WS, NULL);
	static char part[30000];
	const char *answer;

	(void)state;
	memset(part, 'x', sizeof(part));
	write_frame(&peer, 0x01, part, sizeof(part));
	write_frame(&peer, 0x00, part, sizeof(part));
	stream_turn(&f);
	assert_int_equal(stream_connections(&f), 1);
	write_frame(&peer, 0x00, part, sizeof(part));
	answer = stream_expect(&peer, NULL);
	assert_int_equal((uint8_t)answer[0], 0x88);
	assert_int_equal((uint8_t)answer[2] << 8 | (uint8_t)answer[3], 1009);
	stream_close(&peer);
}

static void close_is_answered_and_ends_the_connection(void **state)
{
	struct stream_peer peer = open_socket(SIP_TRANSPORT_WS, NULL);

	(void)state;
	write_frame(&peer, 0x88, "\x03\xe8", 2);
	assert_memory_equal(stream_expect(&peer, NULL), "\x88\x02\x03\xe8", 4);
	assert_int_equal(stream_connections(&f), 0);
	assert_int_equal(stream_counter(&f, SIP_COUNTER_ws_broken), 0);
	stream_close(&peer);
}

static void sip_without_websocket_gets_an_http_error(void **state)
{
	struct stream_peer peer = stream_connect(&f, SIP_TRANSPORT_WS, NULL);

	(void)state;
	stream_write(&peer, options, sizeof(options) - 1);
	assert_memory_equal(stream_expect(&peer, NULL), "HTTP/1.1 400 ", 13);
	assert_int_equal(stream_counter(&f, SIP_COUNTER_ws_refused), 1);
	assert_int_equal(stream_connections(&f), 0);
	stream_close(&peer);
}

static void half_a_message_is_waited_for_30_s_whatever_pings_come(void **state)
{
	struct timer_wheel *wheel = loop_timers(f.loop);
	struct stream_peer half = open_socket(SIP_TRANSPORT_WS, NULL);
	struct stream_peer idle = open_socket(SIP_TRANSPORT_WS, NULL);

	(void)state;
	write_frame(&half, 0x01, "OPTIONS", 7);
	write_frame(&idle, 0x89, "", 0);
	stream_expect(&idle, "\x8a");
	timer_wheel_advance(wheel, wheel->now_ms + 20000);
	write_frame(&half, 0x89, "", 0);
	stream_turn(&f);
	assert_int_equal(stream_connections(&f), 2);
	timer_wheel_advance(wheel, wheel->now_ms + 11000);
	assert_int_equal(stream_connections(&f), 1);
	stream_close(&half);
	stream_close(&idle);
}

/* ---- towards the browser ---- */

static uint32_t final;

static void on_response(void *owner, struct sip_transaction *t, uint32_t status,
			const struct sip_message *response)
{
	(void)owner;
	(void)t;
	(void)response;
	final = status;
}

static int send_message(const struct sip_flow *flow, struct sip_text body)
{
	struct sip_request_start start = {
		.method = SIP_METHOD_MESSAGE,
		.uri = sip_text_of("sip:x@abc.invalid;transport=ws"),
		.from = sip_text_of("<sip:a@example.com>"),
		.from_tag = sip_text_of("tag"),
		.to = sip_text_of("<sip:b@example.com>"),
		.call_id = sip_text_of("x"),
		.cseq = 1,
		.flow = *flow,
	};
	struct sip_request request;
	char buffer[4096];

	assert_int_equal(sip_request_begin(&request, f.stack, &start, buffer, sizeof(buffer)), 0);
	return sip_request_send(&request, "text/plain", body, on_response, NULL, NULL);
}

static void requests_go_over_the_connection_of_the_browser_only(void **state)
{
	struct stream_peer peer = open_socket(SIP_TRANSPORT_WS, NULL);
	char text[1024];
	int n = snprintf(text, sizeof(text), options, 9);
	struct sip_flow flow;

	(void)state;
	write_frame(&peer, 0x81, text, (size_t)n);
	stream_expect(&peer, "z9hG4bK9");
	flow = f.seen;
	assert_int_equal(send_message(&flow, sip_text_of("gr\xc3\xbc\xc3\x9f")), 0);
	assert_int_equal((uint8_t)stream_expect(&peer, "gr\xc3\xbc")[0], 0x81);
	/* a text frame holds UTF-8 only (RFC 6455 5.6) */
	assert_int_equal(send_message(&flow, sip_text_of("gr\xfc\xdf")), 0);
	assert_int_equal((uint8_t)stream_expect(&peer, "gr\xfc")[0], 0x82);
	stream_close(&peer);
	for (int i = 0; i < 100 && final == 0; i++)
		loop_once(f.loop, 1);
	assert_int_equal(final, 503);
	assert_int_equal(send_message(&flow, sip_text_of("x")), -EHOSTUNREACH);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake_of_rfc_6455_is_accepted),
		cmocka_unit_test(every_prefix_of_a_handshake_waits_for_more),
		cmocka_unit_test(what_is_no_upgrade_gets_one_error),
		cmocka_unit_test(handshake_without_end_or_with_too_many_headers_is_refused),
		T(request_in_a_text_frame_is_answered_in_one),
		T(request_in_a_binary_frame_over_tls_is_answered),
		T(fragments_byte_by_byte_with_a_ping_between_make_one_message),
		T(double_crlf_in_a_frame_gets_one),
		T(broken_frames_close_with_their_code),
		T(fragments_beyond_the_limit_are_refused),
		T(close_is_answered_and_ends_the_connection),
		T(sip_without_websocket_gets_an_http_error),
		T(half_a_message_is_waited_for_30_s_whatever_pings_come),
		T(requests_go_over_the_connection_of_the_browser_only),
	};

	return cmocka_run_group_tests_name("sip websocket", tests, NULL, NULL);
}

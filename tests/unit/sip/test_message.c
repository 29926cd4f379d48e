/* The message parser: forms, limits, errors by name, framing of streams, building. */
#include "control/sip/builder.h"
#include "control/sip/message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sip_message m;

static const char invite[] = "INVITE sip:1002@192.0.2.1 SIP/2.0\r\n"
			     "Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK776;rport, SIP/2.0/TCP "
			     "p.example;branch=x\r\n"
			     "v: SIP/2.0/TLS other\r\n"
			     "Max-Forwards: 70\r\n"
			     "f: \"Anna \\\"A\\\"\" <sip:1001@192.0.2.1>;tag=1928\r\n"
			     "t: <sip:1002@192.0.2.1>\r\n"
			     "i: a84b4c76e66710\r\n"
			     "CSeq: 314159\r\n INVITE\r\n"
			     "m: <sip:1001@192.0.2.2>, <sip:x,y@192.0.2.3;transport=tcp>;q=0.5\r\n"
			     "Contact: \"a, b\" <sip:c@192.0.2.4>\r\n"
			     "k: timer, 100rel\r\n"
			     "Supported : replaces\r\n"
			     "X-Custom: one\r\n"
			     "c: application/sdp ; charset=x\r\n"
			     "l: 5\r\n"
			     "\r\n"
			     "v=0\r\n";

static uint32_t parse(const char *bytes, uint32_t n)
{
	const char *reason;

	return sip_message_parse(&m, bytes, n, &reason);
}

static void assert_text(struct sip_text t, const char *expected)
{
	assert_non_null(t.at);
	if (!sip_text_equal(t, sip_text_of(expected)))
		fail_msg("found \"" SIP_TEXT_FORMAT "\", expected \"%s\"", SIP_TEXT_ARG(t),
			 expected);
}

static void compact_forms_folds_and_lists_are_read(void **state)
{
	struct sip_values values;
	struct sip_text value;
	static const char *const contacts[] = {"<sip:1001@192.0.2.2>",
					       "<sip:x,y@192.0.2.3;transport=tcp>;q=0.5",
					       "\"a, b\" <sip:c@192.0.2.4>"};

	(void)state;
	assert_int_equal(parse(invite, sizeof(invite) - 1), 0);
	assert_true(m.is_request);
	assert_int_equal(m.method, SIP_METHOD_INVITE);
	assert_text(m.uri.user, "1002");
	assert_text(m.via.branch, "z9hG4bK776");
	assert_text(m.via.host, "192.0.2.2");
	assert_int_equal(m.via.port, 5060);
	assert_true(m.via.rport);
	assert_text(m.from.tag, "1928");
	assert_null(m.to.tag.at);
	assert_text(m.call_id, "a84b4c76e66710");
	assert_int_equal(m.cseq.number, 314159);
	assert_text(m.body, "v=0\r\n");
	assert_text(sip_message_content_type(&m), "application/sdp");
	assert_text(sip_message_header_named(&m, "x-cUSTOM"), "one");
	assert_null(sip_message_header_named(&m, "X-Other").at);
	assert_true(sip_message_has_token(&m, SIP_HEADER_SUPPORTED, "100REL"));
	assert_true(sip_message_has_token(&m, SIP_HEADER_SUPPORTED, "replaces"));
	assert_false(sip_message_has_token(&m, SIP_HEADER_SUPPORTED, "rel"));
	sip_values_begin(&values, &m, SIP_HEADER_CONTACT);
	for (size_t i = 0; i < 3; i++) {
		assert_true(sip_values_next(&values, &value));
		assert_text(value, contacts[i]);
	}
	assert_false(sip_values_next(&values, &value));
	sip_values_begin(&values, &m, SIP_HEADER_VIA);
	for (int i = 0; i < 3; i++)
		assert_true(sip_values_next(&values, &value));
	assert_false(sip_values_next(&values, &value));
}

static void responses_are_read(void **state)
{
	static const char ok[] =
		"SIP/2.0 183 Session  Progress\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
		"From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\n"
		"CSeq: 2 PRACK\r\n\r\nbody";

	(void)state;
	assert_int_equal(parse(ok, sizeof(ok) - 1), 0);
	assert_false(m.is_request);
	assert_int_equal(m.status, 183);
	assert_text(m.reason, "Session  Progress");
	assert_int_equal(m.method, SIP_METHOD_PRACK);
	assert_text(m.body, "body");
	assert_false(sip_message_is_answerable(&m));
}

static void errors_name_their_cause(void **state)
{
#define HEAD "OPTIONS sip:a@b SIP/2.0\r\n"
#define VIA  "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\n"
#define FROM "From: <sip:a@b>;tag=1\r\n"
#define TO   "To: <sip:a@b>\r\n"
#define ID   "Call-ID: x\r\n"
#define CSEQ "CSeq: 1 OPTIONS\r\n"
#define REST FROM TO ID CSEQ
#define END  "\r\n"
	static const struct {
		const char *bytes;
		uint32_t status;
		const char *reason;
		bool answerable;
	} cases[] = {
		{HEAD VIA REST END, 0, "", true},
		{HEAD REST END, 400, "Missing Via", false},
		{HEAD VIA TO ID CSEQ END, 400, "Missing From", true},
		{HEAD VIA FROM ID CSEQ END, 400, "Missing To", true},
		{HEAD VIA FROM TO CSEQ END, 400, "Missing Call-ID", true},
		{HEAD VIA FROM TO "Call-ID:\r\n" CSEQ END, 400, "Bad Call-ID", true},
		{HEAD VIA FROM TO ID END, 400, "Missing CSeq", true},
		{HEAD VIA FROM TO ID "CSeq: OPTIONS\r\n" END, 400, "Bad CSeq", true},
		{HEAD VIA FROM TO ID "CSeq: 1OPTIONS\r\n" END, 400, "Bad CSeq", true},
		{HEAD VIA FROM TO ID "CSeq: 4294967296 OPTIONS\r\n" END, 400, "Bad CSeq", true},
		{HEAD VIA FROM TO ID "CSeq: 1 INVITE\r\n" END, 400,
		 "CSeq method does not match request line", true},
		{HEAD "Via: SIP/2.0/UDP\r\n" REST END, 400, "Bad Via", false},
		{HEAD "Via: SIP/3.0/UDP h\r\n" REST END, 400, "Bad Via", false},
		{HEAD "Via: SIP/2.0/UDP h:0\r\n" REST END, 400, "Bad Via", false},
		{HEAD "Via: SIP/2.0/UDP h;rport=x\r\n" REST END, 400, "Bad Via", false},
		{HEAD "Via: SIP/2.0/UDP h;;,;,,\r\n" REST END, 400, "Bad Via", false},
		{HEAD VIA REST "From: <sip:c@d>\r\n" END, 400, "Multiple From", true},
		{HEAD VIA REST "i: y\r\n" END, 400, "Multiple Call-ID", true},
		{HEAD VIA REST "l: 0\r\nContent-Length: 0\r\n" END, 400, "Multiple Content-Length",
		 true},
		{HEAD VIA REST "Content-Length: 5\r\n" END "abcd", 400,
		 "Content-Length beyond the end of the message", true},
		{HEAD VIA REST "Content-Length: -5\r\n" END, 400, "Bad Content-Length", true},
		{HEAD VIA REST "Max-Forwards: 256\r\n" END, 400, "Bad Max-Forwards", true},
		{HEAD VIA REST "Max-Forwards: x\r\n" END, 400, "Bad Max-Forwards", true},
		{HEAD VIA REST "No colon\r\n" END, 400, "Bad header line", true},
		{HEAD VIA REST ": no name\r\n" END, 400, "Bad header line", true},
		{HEAD VIA REST "Bad Name: x\r\n" END, 400, "Bad header line", true},
		{HEAD VIA REST "Subject: x\nSubject: y\r\n" END, 400, "Header line without CRLF",
		 true},
		{HEAD VIA REST, 400, "No empty line behind the headers", true},
		{"OPTIONS sip:a@b\r\n" VIA REST END, 400, "Bad request line", true},
		{"OPTIONS  sip:a@b SIP/2.0\r\n" VIA REST END, 400, "Bad Request-URI", true},
		{"OPTIONS sip:a@b  SIP/2.0\r\n" VIA REST END, 400, "Bad Request-URI", true},
		{"OPTIONS sip:a@b SIP/2.0 \r\n" VIA REST END, 400,
		 "Bad SIP version in request line", true},
		{"OPTIONS sip:a@b SIP/1.9\r\n" VIA REST END, 505, "Version Not Supported", true},
		{"OPTIONS sip:a@b HTTP/1.1\r\n" VIA REST END, 400,
		 "Bad SIP version in request line", true},
		{"OPTIONS foo:bar SIP/2.0\r\n" VIA REST END, 416, "Unsupported URI Scheme", true},
		{"OPTIONS sip:a@b?x=y SIP/2.0\r\n" VIA REST END, 400, "Headers in Request-URI",
		 true},
		{"ACK sip:a@b SIP/2.0\r\n" VIA FROM TO ID END, 400, "Missing CSeq", false},
		{"SIP/2.0 1000 OK\r\n" VIA REST END, 400, "Bad status line", false},
		{"SIP/2.0 099 OK\r\n" VIA REST END, 400, "Bad status line", false},
		{"SIP/2.0 700 OK\r\n" VIA REST END, 400, "Bad status line", false},
		{"SIP/3.0 200 OK\r\n" VIA REST END, 505, "Unsupported SIP version", false},
		{"", 400, "No start line", false},
		{"garbage", 400, "No start line", false},
		{"garbage\r\n\r\n", 400, "Bad request line", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *reason;
		uint32_t status = sip_message_parse(&m, cases[i].bytes,
						    (uint32_t)strlen(cases[i].bytes), &reason);

		if (status != cases[i].status || strcmp(reason, cases[i].reason) != 0 ||
		    sip_message_is_answerable(&m) != cases[i].answerable)
			fail_msg("%u %s answerable %d for %s", status, reason,
				 sip_message_is_answerable(&m), cases[i].bytes);
	}
}

static void vias_are_taken_apart(void **state)
{
	static const struct {
		const char *value;
		const char *transport;
		const char *host;
		uint16_t port;
		const char *branch;
		bool rport;
		uint16_t rport_port;
	} cases[] = {
		{"SIP/2.0/UDP erlang.bell-telephone.com:5060;branch=z9hG4bK87asdks7", "UDP",
		 "erlang.bell-telephone.com", 5060, "z9hG4bK87asdks7", false, 0},
		{"SIP / 2.0 / UDP first.example.com: 4000;ttl=16\r\n ;maddr=224.2.0.1 ;"
		 "branch=z9hG4bKa7c6a8dlze.1",
		 "UDP", "first.example.com", 4000, "z9hG4bKa7c6a8dlze.1", false, 0},
		{"sip/2.0/tcp [2001:db8::9:1];received=[2001:db8::9:255];BRANCH = z9hG4bKas3-111",
		 "tcp", "2001:db8::9:1", 0, "z9hG4bKas3-111", false, 0},
		{"SIP/2.0/UDP 10.1.1.1:4540;received=192.0.2.1;rport=9988;branch=z9", "UDP",
		 "10.1.1.1", 4540, "z9", true, 9988},
		{"SIP/2.0/SCTP h;rport", "SCTP", "h", 0, NULL, true, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_via via;

		if (sip_via_parse(&via, sip_text_of(cases[i].value)) != 0)
			fail_msg("refused: %s", cases[i].value);
		assert_text(via.transport, cases[i].transport);
		assert_text(via.host, cases[i].host);
		assert_int_equal(via.port, cases[i].port);
		if (cases[i].branch)
			assert_text(via.branch, cases[i].branch);
		assert_int_equal(via.rport, cases[i].rport);
		assert_int_equal(via.rport_port, cases[i].rport_port);
	}
}

static void every_header_name_is_found_in_both_forms(void **state)
{
	(void)state;
	for (int id = 1; id < SIP_HEADER_COUNT; id++) {
		char lower[64];
		const char *name = sip_header_name(id);
		size_t n = strlen(name);

		for (size_t i = 0; i <= n; i++)
			lower[i] =
				(char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
		assert_int_equal(sip_header_id_of(sip_text_of(name)), id);
		assert_int_equal(sip_header_id_of(sip_text_of(lower)), id);
		/* a letter less is another name, but for compact forms */
		if (n > 2)
			assert_int_not_equal(
				sip_header_id_of((struct sip_text){name, (uint32_t)n - 1}), id);
	}
	assert_int_equal(sip_header_id_of(sip_text_of("L")), SIP_HEADER_CONTENT_LENGTH);
	assert_int_equal(sip_header_id_of(sip_text_of("q")), SIP_HEADER_OTHER);
	assert_int_equal(sip_header_id_of(sip_text_of("")), SIP_HEADER_OTHER);
}

static void methods_are_case_sensitive(void **state)
{
	(void)state;
	for (int method = 1; method < SIP_METHOD_COUNT; method++)
		assert_int_equal(sip_method_of(sip_text_of(sip_method_name(method))), method);
	assert_int_equal(sip_method_of(sip_text_of("invite")), SIP_METHOD_UNKNOWN);
}

static void header_limit_is_256(void **state)
{
	char bytes[16384];
	int n = snprintf(bytes, sizeof(bytes), "%s", HEAD VIA REST);

	(void)state;
	for (int i = 5; i < SIP_HEADERS_MAX; i++)
		n += snprintf(bytes + n, sizeof(bytes) - (size_t)n, "X-%d: y\r\n", i);
	memcpy(bytes + n, "\r\n", 3);
	assert_int_equal(parse(bytes, (uint32_t)n + 2), 0);
	assert_int_equal(m.headers_count, SIP_HEADERS_MAX);
	memcpy(bytes + n, "X: y\r\n\r\n", 9);
	assert_int_equal(parse(bytes, (uint32_t)n + 8), 400);
}

static void size_limit_is_64_k(void **state)
{
	char *bytes = malloc(70000);
	const char *reason;
	int n = snprintf(bytes, 70000, "%s\r\n", HEAD VIA REST);

	(void)state;
	memset(bytes + n, 'x', 70000 - (size_t)n);
	assert_int_equal(parse(bytes, SIP_MESSAGE_SIZE_MAX), 0);
	assert_int_equal(sip_message_parse(&m, bytes, SIP_MESSAGE_SIZE_MAX + 1, &reason), 513);
	free(bytes);
}

static void datagram_is_cut_at_content_length(void **state)
{
	static const char bytes[] = HEAD VIA REST "l: 2\r\n\r\nabcdef";

	(void)state;
	assert_int_equal(parse(bytes, sizeof(bytes) - 1), 0);
	assert_text(m.body, "ab");
	assert_int_equal(m.size, sizeof(bytes) - 1 - 4);
}

static void numbers_of_headers_are_clamped(void **state)
{
	static const char bytes[] =
		HEAD VIA REST "Expires: 99999999999\r\nRetry-After: 18 (busy)\r\n"
			      "Session-Expires: 90;refresher=uas\r\n"
			      "Min-Expires: x\r\nMin-SE: 5x\r\n\r\n";

	(void)state;
	assert_int_equal(parse(bytes, sizeof(bytes) - 1), 0);
	assert_int_equal(sip_message_number(&m, SIP_HEADER_EXPIRES, -1), INT32_MAX);
	assert_int_equal(sip_message_number(&m, SIP_HEADER_RETRY_AFTER, -1), 18);
	assert_int_equal(sip_message_number(&m, SIP_HEADER_SESSION_EXPIRES, -1), 90);
	assert_int_equal(sip_message_number(&m, SIP_HEADER_MIN_EXPIRES, -1), -EINVAL);
	assert_int_equal(sip_message_number(&m, SIP_HEADER_MIN_SE, -1), -EINVAL);
	assert_int_equal(sip_message_number(&m, SIP_HEADER_RSEQ, -1), -1);
}

static void clone_owns_its_bytes(void **state)
{
	char *bytes = malloc(sizeof(invite) - 1);
	struct sip_message *copy;
	struct sip_address contact;

	(void)state;
	memcpy(bytes, invite, sizeof(invite) - 1);
	assert_int_equal(parse(bytes, sizeof(invite) - 1), 0);
	copy = sip_message_clone(&m);
	memset(bytes, 'x', sizeof(invite) - 1);
	free(bytes);
	memset(&m, 0xee, sizeof(m));
	assert_text(copy->uri.user, "1002");
	assert_text(copy->from.tag, "1928");
	assert_text(copy->via.branch, "z9hG4bK776");
	assert_text(copy->call_id, "a84b4c76e66710");
	assert_text(copy->body, "v=0\r\n");
	assert_int_equal(sip_message_address(copy, SIP_HEADER_CONTACT, &contact), 0);
	assert_text(contact.uri.host, "192.0.2.2");
	assert_text(sip_message_header_named(copy, "X-Custom"), "one");
	free(copy);
}

/* Every part of the parser on every prefix, in memory that ends exactly there. */
static void every_prefix_is_survived(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < sizeof(invite); n++) {
		char *exact = malloc(n > 0 ? n : 1);
		struct sip_values values;
		struct sip_text value;
		struct sip_builder b;
		char out[4096];
		uint32_t status;

		memcpy(exact, invite, n);
		status = parse(exact, n);
		assert_int_equal(status == 0, n == sizeof(invite) - 1);
		for (int id = 0; id < SIP_HEADER_COUNT; id++) {
			sip_values_begin(&values, &m, id);
			while (sip_values_next(&values, &value))
				;
		}
		sip_builder_init(&b, out, sizeof(out));
		sip_put_response_begin(&b, &m, 400, NULL, "tag");
		assert_int_equal(sip_builder_result(&b), 0);
		free(sip_message_clone(&m));
		free(exact);
	}
}

/* ---- streams ---- */

static void messages_are_cut_wherever_segments_end(void **state)
{
	char stream[2048];
	int n = snprintf(stream, sizeof(stream), "\r\n%s\r\n\r\n%s%s", invite,
			 HEAD VIA REST "Content-Length: 3\r\n\r\nabc", HEAD VIA REST "\r\n");

	(void)state;
	/* chunk: how many bytes come at a time */
	for (int chunk = 1; chunk <= n; chunk++) {
		char *buffer = malloc((size_t)n);
		uint32_t held = 0;
		uint32_t scanned = 0;
		int messages = 0;
		int keepalives = 0;

		for (int at = 0; at < n; at += chunk) {
			uint32_t take = (uint32_t)(n - at < chunk ? n - at : chunk);
			uint32_t skip;
			uint32_t size;
			const char *reason;
			enum sip_stream_result r;

			memcpy(buffer + held, stream + at, take);
			held += take;
			while ((r = sip_stream_next(buffer, held, &scanned, &skip, &size,
						    &reason)) != SIP_STREAM_MORE) {
				assert_int_not_equal(r, SIP_STREAM_BROKEN);
				if (r == SIP_STREAM_KEEPALIVE) {
					keepalives++;
				} else {
					assert_int_equal(parse(buffer + skip, size), 0);
					messages++;
				}
				held -= skip + size;
				memmove(buffer, buffer + skip + size, held);
				scanned = 0;
			}
		}
		assert_int_equal(messages, 3);
		assert_int_equal(keepalives, 1);
		assert_int_equal(held, 0);
		free(buffer);
	}
}

static void streams_without_framing_are_broken(void **state)
{
	static const struct {
		const char *bytes;
		const char *reason;
	} cases[] = {
		{HEAD "Content-Length: x\r\n\r\n", "Bad Content-Length"},
		{HEAD "l : -1\r\n\r\n", "Bad Content-Length"},
		{HEAD "l:\r\n\r\n", "Bad Content-Length"},
		{HEAD "l: 1\r\nContent-length: 1\r\n\r\n", "Multiple Content-Length"},
		{HEAD "l: 65535\r\n\r\n", "Message Too Large"},
		{HEAD "l: 99999999999999999999\r\n\r\n", "Bad Content-Length"},
	};
	char *large = malloc(70000);
	uint32_t scanned = 0;
	uint32_t skip;
	uint32_t size;
	const char *reason;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		scanned = 0;
		assert_int_equal(sip_stream_next(cases[i].bytes, (uint32_t)strlen(cases[i].bytes),
						 &scanned, &skip, &size, &reason),
				 SIP_STREAM_BROKEN);
		assert_string_equal(reason, cases[i].reason);
		assert_int_equal(size, strlen(cases[i].bytes));
	}
	memset(large, 'x', 70000);
	scanned = 0;
	assert_int_equal(sip_stream_next(large, 65535, &scanned, &skip, &size, &reason),
			 SIP_STREAM_MORE);
	assert_int_equal(sip_stream_next(large, 65536, &scanned, &skip, &size, &reason),
			 SIP_STREAM_BROKEN);
	assert_int_equal(size, 0);
	free(large);
}

static void folded_content_length_is_read(void **state)
{
	static const char bytes[] = HEAD "Subject: x\r\n Content-Length: 9\r\nContent-Length\r\n"
					 " :\r\n 2\r\n\r\nab";
	uint32_t scanned = 0;
	uint32_t skip;
	uint32_t size;
	const char *reason;

	(void)state;
	assert_int_equal(sip_stream_next(bytes, sizeof(bytes) - 1, &scanned, &skip, &size, &reason),
			 SIP_STREAM_MESSAGE);
	assert_int_equal(size, sizeof(bytes) - 1);
}

/* ---- building ---- */

static void responses_copy_what_they_must(void **state)
{
	static const char expected[] =
		"SIP/2.0 180 Ringing\r\n"
		"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK776;rport=4711;received=192.0.2.9, "
		"SIP/2.0/TCP p.example;branch=x\r\n"
		"Via: SIP/2.0/TLS other\r\n"
		"From: \"Anna \\\"A\\\"\" <sip:1001@192.0.2.1>;tag=1928\r\n"
		"To: <sip:1002@192.0.2.1>;tag=me\r\n"
		"Call-ID: a84b4c76e66710\r\n"
		"CSeq: 314159 INVITE\r\n"
		"Content-Length: 0\r\n\r\n";
	char out[2048];
	struct sip_builder b;

	(void)state;
	assert_int_equal(parse(invite, sizeof(invite) - 1), 0);
	assert_int_equal(endpoint_parse(&m.flow.remote, "192.0.2.9:4711", 14), 0);
	sip_builder_init(&b, out, sizeof(out));
	sip_put_response_begin(&b, &m, 180, NULL, "me");
	sip_put_body(&b, "application/sdp", (struct sip_text){NULL, 0});
	assert_int_equal(sip_builder_result(&b), 0);
	out[b.n] = '\0';
	assert_string_equal(out, expected);
}

static void received_is_ours_to_say(void **state)
{
	static const struct {
		const char *via;
		const char *expected;
	} cases[] = {
		{"SIP/2.0/UDP 192.0.2.9:5062;branch=1", "SIP/2.0/UDP 192.0.2.9:5062;branch=1"},
		{"SIP/2.0/UDP 192.0.2.9;received=10.0.0.1;branch=1",
		 "SIP/2.0/UDP 192.0.2.9;branch=1"},
		{"SIP/2.0/UDP 10.0.0.1;branch=1",
		 "SIP/2.0/UDP 10.0.0.1;branch=1;received=192.0.2.9"},
		{"SIP/2.0/UDP host.example;branch=1",
		 "SIP/2.0/UDP host.example;branch=1;received=192.0.2.9"},
		{"SIP/2.0/TCP [::1]:5;x;rport=1",
		 "SIP/2.0/TCP [::1]:5;x;rport=4711;received=192.0.2.9"},
	};
	char bytes[1024];
	char out[1024];
	char line[1024];
	struct sip_builder b;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int n = snprintf(bytes, sizeof(bytes), HEAD "Via: %s\r\n" REST "\r\n",
				 cases[i].via);

		assert_int_equal(parse(bytes, (uint32_t)n), 0);
		assert_int_equal(endpoint_parse(&m.flow.remote, "192.0.2.9:4711", 14), 0);
		sip_builder_init(&b, out, sizeof(out));
		sip_put_vias(&b, &m);
		out[b.n] = '\0';
		snprintf(line, sizeof(line), "Via: %s\r\n", cases[i].expected);
		assert_string_equal(out, line);
	}
}

static void builder_stops_at_its_buffer(void **state)
{
	char whole[2048];
	struct sip_builder b;
	uint32_t full;

	(void)state;
	assert_int_equal(parse(invite, sizeof(invite) - 1), 0);
	sip_builder_init(&b, whole, sizeof(whole));
	sip_put_response_begin(&b, &m, 200, NULL, "x");
	sip_put_body(&b, "text/plain", sip_text_of("hello"));
	full = b.n;
	for (uint32_t size = 0; size <= full; size++) {
		char *exact = malloc(size > 0 ? size : 1);

		sip_builder_init(&b, exact, size);
		sip_put_response_begin(&b, &m, 200, NULL, "x");
		sip_put_body(&b, "text/plain", sip_text_of("hello"));
		assert_int_equal(sip_builder_result(&b), size < full ? -ENOSPC : 0);
		free(exact);
	}
}

static void text_cannot_start_a_header(void **state)
{
	char out[512];
	struct sip_builder b;

	(void)state;
	sip_builder_init(&b, out, sizeof(out));
	sip_put_header(&b, "Subject", sip_text_of("a\r\nEvil: yes\r\n\r\nb"));
	sip_put_header_format(&b, "X", "%s", "c\nEvil: d");
	sip_put_quoted(&b, sip_text_of("e\"\\\r\nf"));
	out[b.n] = '\0';
	assert_string_equal(out, "Subject: a Evil: yes b\r\nX: c Evil: d\r\n\"e\\\"\\\\f\"");
}

static void unknown_headers_are_passed_on(void **state)
{
	static const char bytes[] =
		HEAD VIA REST "X-A: 1\r\nX-B: 2\r\n  3\r\nSubject: s\r\nX-C: 4\r\n\r\n";
	static const char *const except[] = {"x-c", NULL};
	char out[512];
	struct sip_builder b;

	(void)state;
	assert_int_equal(parse(bytes, sizeof(bytes) - 1), 0);
	sip_builder_init(&b, out, sizeof(out));
	sip_put_headers_other(&b, &m, except);
	out[b.n] = '\0';
	assert_string_equal(out, "X-A: 1\r\nX-B: 2 3\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compact_forms_folds_and_lists_are_read),
		cmocka_unit_test(responses_are_read),
		cmocka_unit_test(errors_name_their_cause),
		cmocka_unit_test(vias_are_taken_apart),
		cmocka_unit_test(every_header_name_is_found_in_both_forms),
		cmocka_unit_test(methods_are_case_sensitive),
		cmocka_unit_test(header_limit_is_256),
		cmocka_unit_test(size_limit_is_64_k),
		cmocka_unit_test(datagram_is_cut_at_content_length),
		cmocka_unit_test(numbers_of_headers_are_clamped),
		cmocka_unit_test(clone_owns_its_bytes),
		cmocka_unit_test(every_prefix_is_survived),
		cmocka_unit_test(messages_are_cut_wherever_segments_end),
		cmocka_unit_test(streams_without_framing_are_broken),
		cmocka_unit_test(folded_content_length_is_read),
		cmocka_unit_test(responses_copy_what_they_must),
		cmocka_unit_test(received_is_ours_to_say),
		cmocka_unit_test(builder_stops_at_its_buffer),
		cmocka_unit_test(text_cannot_start_a_header),
		cmocka_unit_test(unknown_headers_are_passed_on),
	};

	return cmocka_run_group_tests_name("sip message", tests, NULL, NULL);
}

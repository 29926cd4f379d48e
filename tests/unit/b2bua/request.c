/* Requests that make no call: REGISTER, OPTIONS, what is refused; and the echo's SDP. */
#include "tests/unit/b2bua/fixture.h"

#include <errno.h>
#include <openssl/evp.h>

static int open_world(void **state)
{
	(void)state;
	fixture_open(4, false);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	fixture_close();
	return 0;
}

static uint32_t cseq;

static void say(const char *method, const char *uri, const char *more, const char *body)
{
	char line[512], headers[8192];

	snprintf(line, sizeof(line), "%s %s SIP/2.0", method, uri);
	snprintf(headers, sizeof(headers),
		 "From: <sip:1001@127.0.0.1>;tag=r\r\nTo: <sip:1001@127.0.0.1>\r\nCall-ID: r\r\n"
		 "CSeq: %u %s\r\n%s",
		 ++cseq, method, more);
	from(6001, line, headers, body);
}

static void requests_that_are_refused(void **state)
{
	static const struct {
		const char *method, *uri, *more, *body, *begin, *name, *words;
	} cases[] = {
		{"SUBSCRIBE", "sip:127.0.0.1", "", "", "SIP/2.0 405", "Allow", "REGISTER"},
		{"MESSAGE", "sip:1002@127.0.0.1", "", "", "SIP/2.0 405", "Allow", "INVITE"},
		{"FROBNICATE", "sip:127.0.0.1", "", "", "SIP/2.0 501", "Allow", "INVITE"},
		{"OPTIONS", "sip:127.0.0.1", "Require: foo, bar\r\n", "", "SIP/2.0 420",
		 "Unsupported", "foo"},
		{"INVITE", "sip:1002@127.0.0.1", "Require: 100rel\r\n", SDP_A, "SIP/2.0 420",
		 "Unsupported", "100rel"},
		{"INVITE", "sip:1002@127.0.0.1", "Max-Forwards: 0\r\n", SDP_A, "SIP/2.0 483", "To",
		 "tag="},
		{"INVITE", "sips:1002@127.0.0.1", "", SDP_A, "SIP/2.0 416", "To", "tag="},
		{"OPTIONS", "sip:127.0.0.1", "", "", "SIP/2.0 200", "Accept", "application/sdp"},
		{"OPTIONS", "sip:127.0.0.1", "Max-Forwards: 0\r\n", "", "SIP/2.0 200", "Allow",
		 "CANCEL"},
		{"BYE", "sip:127.0.0.1", "", "", "SIP/2.0 481", "To", "tag="},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *got;

		say(cases[i].method, cases[i].uri, cases[i].more, cases[i].body);
		got = expect(6001, cases[i].begin);
		assert_true(has(header(got, cases[i].name), cases[i].words));
		if (strstr(cases[i].begin, " 4") && strcmp(cases[i].method, "INVITE") == 0)
			fixture_advance(40000); /* its retransmissions, as no ACK comes */
		for (uint32_t j = 0; j < f.sent_count; j++)
			f.sent[j].seen = true;
	}
	assert_int_equal(f.cdrs, 0);
	assert_int_equal(f.asked_count, 0);
}

static void invite_needs_credentials_of_its_sender(void **state)
{
	const char *challenge;

	(void)state;
	say("INVITE", "sip:1002@127.0.0.1",
	    "Contact: <sip:x@127.0.0.1:6001>\r\nContent-Type: application/sdp\r\n", SDP_A);
	challenge = expect(6001, "SIP/2.0 407");
	/* MD5 first, as many phones look no further. */
	assert_true(has(challenge, "SHA-256"));
	assert_true(strstr(challenge, "MD5") < strstr(challenge, "SHA-256"));
	say("INVITE", "sip:1002@127.0.0.1", "User-Agent: baresip v1.0.0 (x86_64/linux)\r\n", SDP_A);
	assert_false(has(expect(6001, "SIP/2.0 407"), "SHA-256"));
	assert_true(has(header(challenge, "Proxy-Authenticate"), "realm=\"tandem\""));
	assert_int_equal(f.asked_count, 0);
}

static void hex(const EVP_MD *md, const char *text, char *out)
{
	uint8_t digest[64];
	unsigned int n;

	EVP_Digest(text, strlen(text), digest, &n, md, NULL);
	for (unsigned int i = 0; i < n; i++)
		snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
}

/* REGISTER as user with password "secret"; the challenge is fetched first. */
static const char *register_as(const char *user, const char *password, const char *more)
{
	char text[512], h1[65], h2[65], response[65], nonce[256], headers[4096];
	const char *challenge, *at;

	say("REGISTER", "sip:127.0.0.1", more, "");
	challenge = expect(6001, "SIP/2.0 401");
	at = strstr(challenge, "nonce=\"");
	snprintf(nonce, sizeof(nonce), "%.*s", (int)strcspn(at + 7, "\""), at + 7);
	snprintf(text, sizeof(text), "%s:tandem:%s", user, password);
	hex(EVP_sha256(), text, h1);
	hex(EVP_sha256(), "REGISTER:sip:127.0.0.1", h2);
	snprintf(text, sizeof(text), "%s:%s:00000001:c:auth:%s", h1, nonce, h2);
	hex(EVP_sha256(), text, response);
	snprintf(headers, sizeof(headers),
		 "Authorization: Digest username=\"%s\", realm=\"tandem\", nonce=\"%s\", "
		 "uri=\"sip:127.0.0.1\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\", "
		 "response=\"%s\"\r\n%s",
		 user, nonce, response, more);
	say("REGISTER", "sip:127.0.0.1", headers, "");
	return expect(6001, "SIP/2.0 ");
}

static void register_reaches_the_exchange(void **state)
{
	const char *ok;

	(void)state;
	f.registered.bound_count = 1;
	f.registered.bound[0] =
		(struct exchange_bound){.uri = "sip:x@y", .expires_s = 77, .q_permille = 500};
	ok = register_as("1001", "secret",
			 "Contact: <sip:1001@127.0.0.1:6001;ob>;q=0.25;expires=120;"
			 "+sip.instance=\"<urn:uuid:7>\"\r\n"
			 "Contact: \"B\" <sip:1001@192.0.2.1>\r\nExpires: 99\r\nUser-Agent: T\r\n");
	assert_true(has(ok, "SIP/2.0 200"));
	assert_string_equal(header(ok, "Contact"), "<sip:x@y>;expires=77;q=0.500");
	assert_int_equal(f.reg.contacts_count, 2);
	assert_string_equal(f.reg_uri[0], "sip:1001@127.0.0.1:6001;ob");
	assert_int_equal(f.reg.contacts[0].expires_s, 120);
	assert_int_equal(f.reg.contacts[0].q_permille, 250);
	assert_string_equal(f.reg_uri[1], "sip:1001@192.0.2.1");
	assert_int_equal(f.reg.contacts[1].expires_s, -1);
	assert_int_equal(f.reg.contacts[1].q_permille, 1000);
	assert_int_equal(f.reg.expires_s, 99);
	/* 192.0.2.1 is not where it came from: only the way back works. */
	assert_true(f.reg.path.nat);
	assert_int_equal(f.reg.path.source.port, 6001);
}

static void wrong_password_and_unknown_user_look_alike(void **state)
{
	const char *wrong, *unknown, *other;
	char first[2048];

	(void)state;
	wrong = register_as("1001", "guess", "Contact: <sip:1001@127.0.0.1:6001>\r\n");
	snprintf(first, sizeof(first), "%.*s", (int)strcspn(wrong, "\r"), wrong);
	assert_string_equal(first, "SIP/2.0 403 Forbidden");
	unknown = register_as("9999", "guess", "Contact: <sip:1001@127.0.0.1:6001>\r\n");
	assert_int_equal(strncmp(unknown, first, strlen(first)), 0);
	/* Right credentials for somebody else's address. */
	other = register_as("1002", "secret", "Contact: <sip:1001@127.0.0.1:6001>\r\n");
	assert_int_equal(strncmp(other, first, strlen(first)), 0);
	assert_null(f.reg.extension);
	assert_int_equal(board_counters(f.board)->auth_failed, 3);
}

static void contacts_that_make_no_sense(void **state)
{
	static const struct {
		const char *more, *begin;
	} cases[] = {
		{"Contact: <sip:1001@127.0.0.1:5060>\r\n", "SIP/2.0 403"}, /* ourselves */
		{"Contact: <mailto:a@b>\r\n", "SIP/2.0 400"},
		{"Contact: <sip:>\r\n", "SIP/2.0 400"},
		{"Contact: <sip:a@b>,<sip:c@d>,<sip:e@f>,<sip:1@a>,<sip:2@a>,<sip:3@a>,<sip:4@a>,"
		 "<sip:5@a>,<sip:6@a>,<sip:7@a>,<sip:8@a>\r\n",
		 "SIP/2.0 403"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *got = register_as("1001", "secret", cases[i].more);

		if (strncmp(got, cases[i].begin, strlen(cases[i].begin)) != 0)
			fail_msg("case %zu: %s", i, got);
	}
	assert_null(f.reg.extension);
}

static void equal_contacts_have_equal_keys(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} cases[] = {
		/* RFC 3261 19.1.4 */
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp",
		 true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5", true},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP",
		 false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
		{"sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]", true},
	};
	char a[320], b[320];
	struct endpoint at;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(exchange_contact_key(cases[i].a, a, sizeof(a), &at), 0);
		assert_int_equal(exchange_contact_key(cases[i].b, b, sizeof(b), &at), 0);
		if ((strcmp(a, b) == 0) != cases[i].equal)
			fail_msg("%s and %s", a, b);
	}
	assert_int_equal(exchange_contact_key("sip:a@192.0.2.1:7", a, sizeof(a), &at), 0);
	assert_int_equal(at.port, 7);
	assert_int_equal(exchange_contact_key("nonsense", a, sizeof(a), &at), -EINVAL);
}

static void echo_answers_audio_and_mirrors_direction(void **state)
{
	static const char offer[] = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
				    "m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
				    "a=fmtp:101 0-15\r\na=sendonly\r\na=candidate:1 x\r\n"
				    "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
				    "m=audio 0 RTP/AVP 0\r\n";
	char out[1024];
	struct sip_text text = {.at = offer, .n = sizeof(offer) - 1};
	int n = echo_sdp(text, out, sizeof(out));

	(void)state;
	assert_true(n > 0);
	out[n] = '\0';
	assert_true(has(out, "m=audio 9 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
			     "a=fmtp:101 0-15\r\na=recvonly\r\nm=video 0 RTP/AVP 96\r\n"
			     "m=audio 0 RTP/AVP 0\r\n"));
	assert_false(has(out, "VP8"));
	assert_false(has(out, "candidate"));
	/* Every prefix is an SDP or refused, and never read beyond. */
	for (uint32_t i = 0; i < sizeof(offer); i++) {
		char *exact = malloc(i + 1);

		memcpy(exact, offer, i);
		text = (struct sip_text){.at = exact, .n = i};
		n = echo_sdp(text, out, sizeof(out));
		assert_true(n == -EINVAL || n > 0);
		free(exact);
	}
	text = (struct sip_text){.at = offer, .n = sizeof(offer) - 1};
	assert_int_equal(echo_sdp(text, out, 40), -ENOSPC);
}

int main(void)
{
#define in_world(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
	const struct CMUnitTest tests[] = {
		in_world(requests_that_are_refused),
		in_world(invite_needs_credentials_of_its_sender),
		in_world(register_reaches_the_exchange),
		in_world(wrong_password_and_unknown_user_look_alike),
		in_world(contacts_that_make_no_sense),
		cmocka_unit_test(equal_contacts_have_equal_keys),
		cmocka_unit_test(echo_answers_audio_and_mirrors_direction),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

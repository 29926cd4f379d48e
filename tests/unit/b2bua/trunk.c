/* Calls over trunks: credentials, failover, identity, and calls that come in. */
#include "tests/unit/b2bua/fixture.h"

#include "control/sip/auth_client.h"

static const struct sip_auth_secret secret = {.username = "acme", .password = "secret"};
static struct exchange_trunk trunk;
static uint32_t taken;
static const char *busy;

static const struct exchange_trunk *find_trunk(struct exchange *exchange,
					       const struct endpoint *source, const char *user,
					       size_t len)
{
	(void)exchange;
	(void)user;
	(void)len;
	return source->port == 7001 ? &trunk : NULL;
}

static bool trunk_take(struct exchange *exchange, const struct exchange_trunk *its,
		       const char **reason)
{
	(void)exchange;
	assert_ptr_equal(its, &trunk);
	*reason = busy;
	taken += busy == NULL;
	return busy == NULL;
}

static void trunk_give(struct exchange *exchange, const struct exchange_trunk *its)
{
	(void)exchange;
	assert_ptr_equal(its, &trunk);
	assert_true(taken > 0);
	taken--;
}

static void route_trunk(struct exchange *exchange, const struct exchange_trunk *its,
			const char *number, size_t len, struct exchange_route *route)
{
	(void)its;
	assert_int_equal(len, 7);
	assert_memory_equal(number, "4930123", 7);
	exchange->route(exchange, "1002", 4, route);
}

/* A call of 1001 goes out over the trunk with places at these ports (0 ends). */
static void open_trunk(bool trusted, uint16_t first, uint16_t second)
{
	const uint16_t ports[] = {first, second};

	fixture_open(10, false);
	trunk = (struct exchange_trunk){.name = "carrier",
					.user = "acme",
					.domain = "carrier.example",
					.contact = "tokentokentoken",
					.trusted = trusted,
					.secret = &secret};
	f.exchange.find_trunk = find_trunk;
	f.exchange.trunk_take = trunk_take;
	f.exchange.trunk_give = trunk_give;
	f.exchange.route_trunk = route_trunk;
	busy = NULL;
	taken = first ? 1 : 0;
	if (!first)
		return;
	f.route = (struct exchange_route){.verdict = EXCHANGE_TRUNK, .trunk = &trunk};
	strcpy(f.route.callee, "carrier/+4930");
	strcpy(f.route.number, "+4930");
	for (int i = 0; i < 2 && ports[i]; i++) {
		struct sip_target *place = &f.route.places.targets[f.route.places.count++];

		assert_int_equal(address_parse(&place->remote.address, "127.0.0.1", 9), 0);
		place->remote.port = ports[i];
	}
}

static void close_trunk(void)
{
	fixture_close();
	assert_int_equal(taken, 0);
}

static void refuse(uint16_t port, const char *request, const char *status, const char *headers)
{
	char text[4096];

	snprintf(text, sizeof(text),
		 "Via: %s\r\nFrom: %s\r\nTo: %s;tag=there\r\nCall-ID: %s\r\nCSeq: %s\r\n%s",
		 header(request, "Via"), header(request, "From"), header(request, "To"),
		 header(request, "Call-ID"), header(request, "CSeq"), headers);
	from(port, status, text, "");
}

static void a_trunk_that_asks_gets_credentials(void **state)
{
	const char *first, *second;
	char call_id[128];

	(void)state;
	open_trunk(false, 7001, 0);
	invite("out-1", "030", SDP_A);
	media_sdp("offer", SDP_TO_B);
	first = expect(7001, "INVITE sip:+4930@carrier.example SIP/2.0");
	assert_true(has(header(first, "From"), "<sip:acme@carrier.example>"));
	assert_true(has(header(first, "Contact"), "<sip:tokentokentoken@"));
	assert_false(has(first, "P-Asserted-Identity"));
	assert_false(has(first, "Authorization"));
	snprintf(call_id, sizeof(call_id), "%s", header(first, "Call-ID"));
	refuse(7001, first, "SIP/2.0 407 Proxy Authentication Required",
	       "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"abc\", algorithm=SHA-256, "
	       "qop=\"auth\"\r\n");
	expect(7001, "ACK ");
	second = expect(7001, "INVITE ");
	assert_string_equal(header(second, "Call-ID"), call_id);
	assert_string_equal(header(second, "CSeq"), "2 INVITE");
	assert_true(has(header(second, "Proxy-Authorization"),
			"username=\"acme\", realm=\"carrier\", nonce=\"abc\", "
			"uri=\"sip:+4930@carrier.example\""));
	assert_false(has(second, "secret"));
	assert_string_equal(body_of(second), SDP_TO_B);
	answer(7001, second, "486 Busy Here", "there", "");
	acknowledge(6001, expect(6001, "SIP/2.0 486"));
	media_statistics();
	assert_string_equal(f.cdr.destination, "carrier/+4930");
	close_trunk();
}

static void credentials_refused_end_the_call(void **state)
{
	static const char challenge[] =
		"WWW-Authenticate: Digest realm=\"carrier\", nonce=\"abc\"\r\n";

	(void)state;
	open_trunk(false, 7001, 0);
	invite("out-2", "030", SDP_A);
	media_sdp("offer", SDP_TO_B);
	for (int i = 0; i < 2; i++) {
		refuse(7001, expect(7001, "INVITE "), "SIP/2.0 401 Unauthorized", challenge);
		expect(7001, "ACK ");
	}
	expect_none(7001, "INVITE ");
	acknowledge(6001, expect(6001, "SIP/2.0 500"));
	media_statistics();
	close_trunk();
}

static void the_next_place_is_tried_on_503(void **state)
{
	const char *first, *second;
	char branch[256];

	(void)state;
	open_trunk(false, 7001, 7002);
	invite("out-3", "030", SDP_A);
	media_sdp("offer", SDP_TO_B);
	first = expect(7001, "INVITE ");
	snprintf(branch, sizeof(branch), "%s", strstr(header(first, "Via"), "branch="));
	answer(7001, first, "503 Service Unavailable", "there", "");
	second = expect(7002, "INVITE sip:+4930@carrier.example SIP/2.0");
	assert_string_not_equal(strstr(header(second, "Via"), "branch="), branch);
	answer(7002, second, "486 Busy Here", "there", "");
	acknowledge(6001, expect(6001, "SIP/2.0 486"));
	media_statistics();
	close_trunk();
}

static void the_next_place_is_tried_when_nobody_answers(void **state)
{
	(void)state;
	open_trunk(false, 7001, 7002);
	invite("out-4", "030", SDP_A);
	media_sdp("offer", SDP_TO_B);
	expect(7001, "INVITE ");
	fixture_advance(33000);
	answer(7002, expect(7002, "INVITE "), "404 Not Found", "there", "");
	acknowledge(6001, expect(6001, "SIP/2.0 404"));
	media_statistics();
	close_trunk();
}

static void a_trusted_trunk_learns_who_calls(void **state)
{
	const char *request;

	(void)state;
	open_trunk(true, 7001, 0);
	invite("out-5", "030", SDP_A);
	media_sdp("offer", SDP_TO_B);
	request = expect(7001, "INVITE ");
	assert_true(has(header(request, "From"), "<sip:1001@carrier.example>"));
	assert_true(has(header(request, "P-Asserted-Identity"), "<sip:1001@127.0.0.1"));
	answer(7001, request, "603 Decline", "there", "");
	acknowledge(6001, expect(6001, "SIP/2.0 603"));
	media_statistics();
	close_trunk();
}

static void a_full_trunk_is_503_with_its_reason(void **state)
{
	(void)state;
	open_trunk(false, 0, 0);
	f.route = (struct exchange_route){.verdict = EXCHANGE_TRUNK_BUSY, .reason = "Trunk Full"};
	invite("out-6", "030", SDP_A);
	acknowledge(6001, expect(6001, "SIP/2.0 503 Trunk Full"));
	close_trunk();
}

static const char incoming[] = "From: \"Outside\" <sip:4940@carrier.example>;tag=o\r\n"
			       "To: <sip:4930123@127.0.0.1>\r\nCall-ID: in-1\r\nCSeq: 1 INVITE\r\n"
			       "Contact: <sip:gw@127.0.0.1:7001>\r\n"
			       "Content-Type: application/sdp\r\n"
			       "P-Asserted-Identity: \"Real\" <sip:4940111@carrier.example>\r\n";

static void call_in(bool trusted, const char *uri, const char *more)
{
	char headers[2048], line[128];

	open_trunk(trusted, 0, 0);
	f.route = (struct exchange_route){.verdict = EXCHANGE_UNREGISTERED};
	snprintf(headers, sizeof(headers), "%s%s", incoming, more);
	snprintf(line, sizeof(line), "INVITE sip:%s@127.0.0.1 SIP/2.0", uri);
	from(7001, line, headers, SDP_A);
}

static void calls_from_a_trunk_need_no_credentials(void **state)
{
	static const struct {
		bool trusted;
		const char *uri;
		const char *caller;
	} cases[] = {{false, "4930123", "4940"},
		     {true, "4930123", "4940111"},
		     {false, "tokentokentoken", "4940"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		call_in(cases[i].trusted, cases[i].uri, "");
		acknowledge(7001, expect(7001, "SIP/2.0 480"));
		assert_int_equal(f.cdrs, 1);
		assert_string_equal(f.cdr.caller, cases[i].caller);
		assert_string_equal(f.cdr.callee, "4930123");
		assert_int_equal(taken, 0);
		close_trunk();
	}
}

static void a_trunk_beyond_its_limit_gets_503(void **state)
{
	(void)state;
	open_trunk(false, 0, 0);
	busy = "Trunk Full";
	from(7001, "INVITE sip:4930123@127.0.0.1 SIP/2.0", incoming, SDP_A);
	acknowledge(7001, expect(7001, "SIP/2.0 503 Trunk Full"));
	close_trunk();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trunk_that_asks_gets_credentials),
		cmocka_unit_test(credentials_refused_end_the_call),
		cmocka_unit_test(the_next_place_is_tried_on_503),
		cmocka_unit_test(the_next_place_is_tried_when_nobody_answers),
		cmocka_unit_test(a_trusted_trunk_learns_who_calls),
		cmocka_unit_test(a_full_trunk_is_503_with_its_reason),
		cmocka_unit_test(calls_from_a_trunk_need_no_credentials),
		cmocka_unit_test(a_trunk_beyond_its_limit_gets_503),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

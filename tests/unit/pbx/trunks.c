/* Trunks without sockets: what is sent to whom and when, which calls are let through. */
#include "control/pbx/trunks.h"
#include "tests/unit/sip/fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct fake f;
static struct trunks *trunks;

static struct config_trunk some_trunk(void)
{
	return (struct config_trunk){.name = "carrier",
				     .host = "192.0.2.2",
				     .user = "acme",
				     .auth_user = "acme",
				     .password = "secret",
				     .registers = 1,
				     .expires_s = 600,
				     .options_s = 30};
}

static void start(const struct config_control *config)
{
	char error[TRUNKS_ERROR_MAX];

	fake_start(&f, 0, 0);
	assert_int_equal(trunks_create(&trunks, config, error), 0);
	assert_int_equal(trunks_start(trunks, f.stack, NULL, &f.wheel), 0);
}

static void stop(void)
{
	trunks_stop(trunks);
	trunks_destroy(trunks);
	fake_stop(&f);
}

static void start_one(struct config_trunk *trunk)
{
	struct config_control config = {.trunks = trunk, .trunks_count = 1};

	start(&config);
	fake_advance(&f, 600);
}

/* The last one sent of that method; NULL without. */
static struct fake_sent *sent(enum sip_method method)
{
	for (uint32_t i = f.sent_count; i > 0; i--)
		if (f.sent[i - 1]->message.is_request && f.sent[i - 1]->message.method == method)
			return f.sent[i - 1];
	return NULL;
}

/* Retransmissions do not count. */
static uint32_t count_sent(enum sip_method method)
{
	uint32_t n = 0;
	uint32_t last = 0;

	for (uint32_t i = 0; i < f.sent_count; i++) {
		const struct sip_message *m = &f.sent[i]->message;

		if (!m->is_request || m->method != method || m->cseq.number == last)
			continue;
		last = m->cseq.number;
		n++;
	}
	return n;
}

static void answer(enum sip_method method, uint32_t status, const char *headers)
{
	struct fake_sent *its = sent(method);
	char bytes[4096];
	struct sip_builder b;
	struct sip_message request;

	assert_non_null(its);
	request = its->message;
	request.flow.remote = (struct endpoint){0};
	sip_builder_init(&b, bytes, sizeof(bytes) - 1);
	sip_put_response_begin(&b, &request, status, NULL, "there");
	sip_put_string(&b, headers);
	sip_put_body(&b, NULL, (struct sip_text){NULL, 0});
	bytes[b.n] = '\0';
	fake_receive(&f, its->flow.transport, bytes);
}

static struct trunk_view view;

static void look(void *arg, const struct trunk_view *its)
{
	(void)arg;
	view = *its;
}

static void expect_view(const char *state, const char *registration)
{
	trunks_each(trunks, look, NULL);
	assert_string_equal(view.state, state);
	assert_string_equal(view.registration, registration);
}

#define CHALLENGE                                                                                  \
	"WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\r\n"

/* ---- registration and health ---- */

static void a_trunk_registers_with_credentials_and_again_in_time(void **state)
{
	struct config_trunk trunk = some_trunk();
	struct fake_sent *its;
	char contact[300];

	(void)state;
	start_one(&trunk);
	its = sent(SIP_METHOD_REGISTER);
	assert_non_null(its);
	assert_string_equal(fake_header(&its->message, SIP_HEADER_EXPIRES), "600");
	assert_string_equal(fake_header(&its->message, SIP_HEADER_TO), "<sip:acme@192.0.2.2>");
	assert_string_equal(fake_header(&its->message, SIP_HEADER_AUTHORIZATION), "");
	expect_view("unknown", "registering");
	answer(SIP_METHOD_REGISTER, 401, CHALLENGE);
	assert_int_equal(count_sent(SIP_METHOD_REGISTER), 2);
	its = sent(SIP_METHOD_REGISTER);
	assert_int_equal(its->message.cseq.number, 2);
	assert_non_null(strstr(fake_header(&its->message, SIP_HEADER_AUTHORIZATION),
			       "username=\"acme\", realm=\"r\", nonce=\"n1\""));
	snprintf(contact, sizeof(contact), "Contact: %s;expires=100\r\nExpires: 3600\r\n",
		 fake_header(&its->message, SIP_HEADER_CONTACT));
	answer(SIP_METHOD_REGISTER, 200, contact);
	expect_view("up", "registered");
	assert_int_equal(view.expires_s, 100);
	fake_forget(&f);
	fake_advance(&f, 79000);
	assert_null(sent(SIP_METHOD_REGISTER));
	fake_advance(&f, 1000);
	/* the nonce still serves */
	its = sent(SIP_METHOD_REGISTER);
	assert_non_null(
		strstr(fake_header(&its->message, SIP_HEADER_AUTHORIZATION), "nc=00000002"));
	stop();
}

static void a_registration_ends_with_the_program(void **state)
{
	struct config_trunk trunk = some_trunk();

	(void)state;
	start_one(&trunk);
	answer(SIP_METHOD_REGISTER, 200, "");
	trunks_stop(trunks);
	assert_string_equal(fake_header(&sent(SIP_METHOD_REGISTER)->message, SIP_HEADER_EXPIRES),
			    "0");
	trunks_destroy(trunks);
	fake_stop(&f);
}

static void too_brief_a_registration_is_made_longer(void **state)
{
	struct config_trunk trunk = some_trunk();

	(void)state;
	start_one(&trunk);
	answer(SIP_METHOD_REGISTER, 423, "Min-Expires: 1800\r\n");
	assert_string_equal(fake_header(&sent(SIP_METHOD_REGISTER)->message, SIP_HEADER_EXPIRES),
			    "1800");
	stop();
}

/* Tries get rarer: 1 to 2 s after the first failure, then twice that, at most 5 min. */
static void wrong_credentials_are_tried_again_ever_more_seldom(void **state)
{
	struct config_trunk trunk = some_trunk();
	uint32_t tries;

	(void)state;
	start_one(&trunk);
	answer(SIP_METHOD_REGISTER, 401, CHALLENGE);
	answer(SIP_METHOD_REGISTER, 401, CHALLENGE);
	expect_view("unknown", "failed");
	assert_non_null(strstr(view.problem, "REGISTER refused: 401"));
	assert_null(strstr(view.problem, "secret"));
	tries = count_sent(SIP_METHOD_REGISTER);
	fake_advance(&f, 900);
	assert_int_equal(count_sent(SIP_METHOD_REGISTER), tries);
	fake_advance(&f, 1200);
	assert_int_equal(count_sent(SIP_METHOD_REGISTER), tries + 1);
	answer(SIP_METHOD_REGISTER, 403, "Retry-After: 120\r\n");
	fake_forget(&f);
	fake_advance(&f, 119000);
	assert_null(sent(SIP_METHOD_REGISTER));
	fake_advance(&f, 2000);
	assert_non_null(sent(SIP_METHOD_REGISTER));
	stop();
}

static void options_show_whether_a_trunk_is_up(void **state)
{
	struct config_trunk trunk = some_trunk();
	struct exchange_route route;

	(void)state;
	trunk.registers = 0;
	start_one(&trunk);
	assert_null(sent(SIP_METHOD_REGISTER));
	answer(SIP_METHOD_OPTIONS, 404, "");
	expect_view("up", "none");
	fake_forget(&f);
	fake_advance(&f, 30000);
	assert_non_null(sent(SIP_METHOD_OPTIONS));
	fake_advance(&f, 33000);
	expect_view("down", "none");
	trunks_route(trunks, "0", 1, &route);
	assert_int_equal(route.verdict, EXCHANGE_UNKNOWN);
	fake_advance(&f, 3000);
	answer(SIP_METHOD_OPTIONS, 200, "");
	expect_view("up", "none");
	stop();
}

/* ---- calls ---- */

static struct exchange_route routed(const char *number)
{
	struct exchange_route route = {0};

	trunks_route(trunks, number, strlen(number), &route);
	return route;
}

static void numbers_go_where_the_longest_prefix_leads(void **state)
{
	struct config_trunk all[] = {some_trunk(), some_trunk()};
	struct config_route routes[] = {
		{.prefix = "0", .trunk = "carrier", .strip = 1, .prepend = "+49"},
		{.prefix = "00", .trunk = "abroad", .strip = 2, .prepend = "+"},
		{.prefix = "00", .trunk = "carrier", .prepend = ""},
	};
	struct config_control config = {
		.trunks = all, .trunks_count = 2, .routes = routes, .routes_count = 3};
	struct exchange_route route;

	(void)state;
	all[1].name = "abroad";
	all[1].calls = 1;
	start(&config);
	route = routed("030123");
	assert_int_equal(route.verdict, EXCHANGE_TRUNK);
	assert_string_equal(route.number, "+4930123");
	assert_string_equal(route.callee, "carrier/+4930123");
	assert_int_equal(route.places.count, 1);
	trunks_give(trunks, route.trunk);
	route = routed("0044123");
	assert_string_equal(route.callee, "abroad/+44123");
	/* that one is full: the next of the same prefix */
	route = routed("0044123");
	assert_string_equal(route.callee, "carrier/0044123");
	assert_int_equal(routed("4711").verdict, EXCHANGE_UNKNOWN);
	stop();
}

static void calls_beyond_a_trunks_limits_are_refused_with_a_reason(void **state)
{
	struct config_trunk trunk = some_trunk();
	struct config_route way = {.prefix = "", .trunk = "carrier", .prepend = ""};
	struct config_control config = {
		.trunks = &trunk, .trunks_count = 1, .routes = &way, .routes_count = 1};
	struct exchange_route route[3];
	const char *reason;

	(void)state;
	trunk.calls = 2;
	trunk.calls_per_second = 3;
	start(&config);
	route[0] = routed("1");
	assert_true(trunks_take(trunks, route[0].trunk, &reason));
	route[1] = routed("1");
	assert_int_equal(route[1].verdict, EXCHANGE_TRUNK_BUSY);
	assert_string_equal(route[1].reason, "Trunk Full");
	trunks_give(trunks, route[0].trunk);
	assert_int_equal(routed("1").verdict, EXCHANGE_TRUNK);
	trunks_give(trunks, route[0].trunk);
	/* three have begun within the second */
	assert_string_equal(routed("1").reason, "Trunk Call Rate Exceeded");
	assert_false(trunks_take(trunks, route[0].trunk, &reason));
	fake_advance(&f, 334);
	assert_int_equal(routed("1").verdict, EXCHANGE_TRUNK);
	assert_string_equal(routed("1").reason, "Trunk Full");
	trunks_each(trunks, look, NULL);
	assert_int_equal(view.calls, 2);
	assert_int_equal(view.calls_out, 3);
	assert_int_equal(view.calls_in, 1);
	assert_int_equal(view.calls_refused, 4);
	stop();
}

static void incoming_calls_are_known_by_address_or_by_our_contact(void **state)
{
	static char *match[] = {"198.51.100.7"};
	struct config_trunk trunk = some_trunk();
	struct config_did did[] = {{"4930123", "1002"}, {"4930100", "1001"}};
	struct config_control config = {
		.trunks = &trunk, .trunks_count = 1, .dids = did, .dids_count = 2};
	static const struct {
		const char *source;
		bool known;
	} cases[] = {{"192.0.2.2:9", true}, {"198.51.100.7:5060", true}, {"192.0.2.3:5060", false}};
	const struct exchange_trunk *found = NULL;
	struct endpoint stranger;

	(void)state;
	trunk.match = match;
	trunk.match_count = 1;
	start(&config);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct endpoint source;
		const struct exchange_trunk *its;

		assert_int_equal(endpoint_parse(&source, cases[i].source, strlen(cases[i].source)),
				 0);
		its = trunks_find(trunks, &source, "acme", 4);
		assert_int_equal(its != NULL, cases[i].known);
		found = its ? its : found;
	}
	assert_int_equal(endpoint_parse(&stranger, "203.0.113.1:1", 13), 0);
	assert_ptr_equal(trunks_find(trunks, &stranger, found->contact, strlen(found->contact)),
			 found);
	assert_null(trunks_find(trunks, &stranger, found->contact, strlen(found->contact) - 1));
	assert_string_equal(trunks_extension_of(trunks, "4930100", 7), "1001");
	assert_string_equal(trunks_extension_of(trunks, "4930123", 7), "1002");
	assert_null(trunks_extension_of(trunks, "493012", 6));
	stop();
}

static void a_password_comes_from_a_file_too(void **state)
{
	struct config_trunk trunk = some_trunk();
	struct config_control config = {.trunks = &trunk, .trunks_count = 1};
	char path[] = "/tmp/tandem-password-XXXXXX";
	char error[TRUNKS_ERROR_MAX];
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, "secret\n", 7), 7);
	close(fd);
	trunk.password = NULL;
	trunk.password_file = path;
	start_one(&trunk);
	answer(SIP_METHOD_REGISTER, 401, CHALLENGE);
	assert_int_equal(count_sent(SIP_METHOD_REGISTER), 2);
	stop();
	unlink(path);
	assert_true(trunks_create(&trunks, &config, error) < 0);
	assert_non_null(strstr(error, "trunk carrier: password file /tmp/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trunk_registers_with_credentials_and_again_in_time),
		cmocka_unit_test(a_registration_ends_with_the_program),
		cmocka_unit_test(too_brief_a_registration_is_made_longer),
		cmocka_unit_test(wrong_credentials_are_tried_again_ever_more_seldom),
		cmocka_unit_test(options_show_whether_a_trunk_is_up),
		cmocka_unit_test(numbers_go_where_the_longest_prefix_leads),
		cmocka_unit_test(calls_beyond_a_trunks_limits_are_refused_with_a_reason),
		cmocka_unit_test(incoming_calls_are_known_by_address_or_by_our_contact),
		cmocka_unit_test(a_password_comes_from_a_file_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

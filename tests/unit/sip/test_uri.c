/* URIs, name-addr, quoted strings, escapes: RFC 3261 19.1, 20.10, 25.1 and RFC 3966. */
#include "control/sip/uri.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sip_text text(const char *t)
{
	return t ? sip_text_of(t) : (struct sip_text){NULL, 0};
}

static void assert_text(struct sip_text t, const char *expected)
{
	if (!expected) {
		assert_null(t.at);
		return;
	}
	if (!sip_text_equal(t, sip_text_of(expected)))
		fail_msg("found \"" SIP_TEXT_FORMAT "\", expected \"%s\"", SIP_TEXT_ARG(t),
			 expected);
}

static void uris_are_taken_apart(void **state)
{
	static const struct {
		const char *uri;
		enum sip_scheme scheme;
		const char *user;
		const char *password;
		const char *host;
		uint16_t port;
		const char *parameters;
		const char *headers;
	} cases[] = {
		{"sip:alice@atlanta.com", SIP_SCHEME_SIP, "alice", NULL, "atlanta.com", 0, "",
		 NULL},
		{"sip:alice:secretword@atlanta.com;transport=tcp", SIP_SCHEME_SIP, "alice",
		 "secretword", "atlanta.com", 0, ";transport=tcp", NULL},
		{"sips:alice@atlanta.com?subject=project%20x&priority=urgent", SIP_SCHEME_SIPS,
		 "alice", NULL, "atlanta.com", 0, "", "subject=project%20x&priority=urgent"},
		{"sip:+1-212-555-1212:1234@gateway.com;user=phone", SIP_SCHEME_SIP,
		 "+1-212-555-1212", "1234", "gateway.com", 0, ";user=phone", NULL},
		{"SIP:192.0.2.4", SIP_SCHEME_SIP, NULL, NULL, "192.0.2.4", 0, "", NULL},
		{"sip:[2001:db8::1]:5070;lr", SIP_SCHEME_SIP, NULL, NULL, "2001:db8::1", 5070,
		 ";lr", NULL},
		{"sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com", SIP_SCHEME_SIP, NULL,
		 NULL, "atlanta.com", 0, ";method=REGISTER", "to=alice%40atlanta.com"},
		{"sip:alice;day=tuesday@atlanta.com", SIP_SCHEME_SIP, "alice;day=tuesday", NULL,
		 "atlanta.com", 0, "", NULL},
		{"sip:a_b@host_name:5060", SIP_SCHEME_SIP, "a_b", NULL, "host_name", 5060, "",
		 NULL},
		{"tel:+1-201-555-0123", SIP_SCHEME_TEL, "+1-201-555-0123", NULL, NULL, 0, "", NULL},
		{"tel:7042;phone-context=example.com", SIP_SCHEME_TEL, "7042", NULL, NULL, 0,
		 ";phone-context=example.com", NULL},
		{"urn:service:sos", SIP_SCHEME_OTHER, NULL, NULL, NULL, 0, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_uri uri;

		assert_int_equal(sip_uri_parse(&uri, text(cases[i].uri)), 0);
		assert_int_equal(uri.scheme, cases[i].scheme);
		assert_text(uri.user, cases[i].user);
		assert_text(uri.password, cases[i].password);
		assert_text(uri.host, cases[i].host);
		assert_int_equal(uri.port, cases[i].port);
		assert_text(uri.parameters, cases[i].parameters);
		assert_text(uri.headers, cases[i].headers);
	}
}

static void broken_uris_are_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"sip",
		"sip:",
		":a@b",
		"1sip:a@b",
		"sip:@b",
		"sip:a@",
		"sip:a@b@c",
		"sip:a@b:",
		"sip:a@b:0",
		"sip:a@b:65536",
		"sip:a@b:5060x",
		"sip:a@[::1",
		"sip:a@[]",
		"sip:a@[192.0.2.1]",
		"sip:a@[zz]",
		"sip:a b@c",
		"sip:a@b ;lr",
		"<sip:a@b>",
		"sip:a@b>",
		"sip:a@b\"",
		"sip:a@b\r\nVia: x",
		"sip:a@b!c",
		"tel:",
		"tel:;x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_uri uri;

		if (sip_uri_parse(&uri, text(cases[i])) != -EINVAL)
			fail_msg("accepted: %s", cases[i]);
	}
}

static void uri_equality_follows_the_rules(void **state)
{
	static const struct {
		const char *a;
		const char *b;
		bool equal;
	} cases[] = {
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp",
		 true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true},
		{"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
		 "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true},
		{"sip:alice@atlanta.com?subject=project%20x&priority=urgent",
		 "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP",
		 false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
		{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
		{"sip:a@b", "sips:a@b", false},
		{"sip:a@b", "sip:b", false},
		{"sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]", true},
		{"tel:+1-201-555-0123", "tel:+12015550123", true},
		{"tel:+12015550123", "tel:+12015550124", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_uri a;
		struct sip_uri b;

		assert_int_equal(sip_uri_parse(&a, text(cases[i].a)), 0);
		assert_int_equal(sip_uri_parse(&b, text(cases[i].b)), 0);
		if (sip_uri_equal(&a, &b) != cases[i].equal ||
		    sip_uri_equal(&b, &a) != cases[i].equal)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
	}
}

static void addresses_are_taken_apart(void **state)
{
	static const struct {
		const char *value;
		const char *display;
		const char *uri;
		const char *tag;
	} cases[] = {
		{"\"A. G. Bell\" <sip:agb@bell-telephone.com> ;tag=a48s", "\"A. G. Bell\"",
		 "sip:agb@bell-telephone.com", "a48s"},
		{"sip:+12125551212@server.phone2net.com;tag=887s", NULL,
		 "sip:+12125551212@server.phone2net.com", "887s"},
		{"Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8", "Anonymous",
		 "sip:c8oqz84zk7z@privacy.org", "hyh8"},
		{"caller<sip:caller@example.com>;TAG=x", "caller", "sip:caller@example.com", "x"},
		{"<sip:a@b;lr>", "", "sip:a@b;lr", NULL},
		{"\"a \\\" > ; \\\\ b\" <sip:a@b>;x=\"q;tag=no\";tag=yes", "\"a \\\" > ; \\\\ b\"",
		 "sip:a@b", "yes"},
		{"\"x\"\r\n <sip:a@b>\r\n ;\r\n tag\r\n =\r\n 7", "\"x\"", "sip:a@b", "7"},
		{"< sip:a@b >", "", "sip:a@b", NULL},
		{"<tel:+1-2;phone-context=x>;tag=1", "", "tel:+1-2;phone-context=x", "1"},
		{"<sip:a@b>;flag;q=0.5", "", "sip:a@b", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_address a;

		if (sip_address_parse(&a, text(cases[i].value)) != 0)
			fail_msg("refused: %s", cases[i].value);
		if (cases[i].display && cases[i].display[0])
			assert_text(a.display, cases[i].display);
		else
			assert_int_equal(a.display.n, 0);
		assert_text(a.uri.text, cases[i].uri);
		assert_text(a.tag, cases[i].tag);
		assert_false(a.star);
	}
}

static void star_is_a_contact(void **state)
{
	struct sip_address a;

	(void)state;
	assert_int_equal(sip_address_parse(&a, text(" * ")), 0);
	assert_true(a.star);
}

static void broken_addresses_are_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"<>",
		"<sip:a@b",
		"sip:a@b>",
		"\"a <sip:a@b>",
		"\"a\" sip:a@b",
		"\"a\\\" <sip:a@b>",
		"Bell, Alexander <sip:a@b>",
		"sip:a@b?x=y",
		"<sip:a@b> x",
		"<sip:a@b>;",
		"<sip:a@b>;;tag=x",
		"<sip:a@b>;tag=\"x",
		"\"Joe\" <sip:joe@example.org>;;;;",
		"**",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_address a;

		if (sip_address_parse(&a, text(cases[i])) != -EINVAL)
			fail_msg("accepted: %s", cases[i]);
	}
}

static void every_prefix_is_survived(void **state)
{
	static const char value[] = "\"a \\\" b\" <sip:u%20;x=y:p@[2001:db8::1]:5060;lr;a=b?h=v&"
				    "i=w>;tag=x;q=\"a\\\"b\";expires=60";

	(void)state;
	for (size_t n = 0; n < sizeof(value); n++) {
		char *exact =
			malloc(n > 0 ? n : 1); /* so that a sanitizer sees one byte too many */
		struct sip_address a;
		char out[256];

		memcpy(exact, value, n);
		if (sip_address_parse(&a, (struct sip_text){exact, (uint32_t)n}) == 0) {
			sip_unquote(a.display, out, sizeof(out));
			sip_uri_user(&a.uri, out, sizeof(out));
			assert_true(sip_uri_equal(&a.uri, &a.uri));
		}
		sip_uri_parse(&a.uri, (struct sip_text){exact, (uint32_t)n});
		sip_unescape((struct sip_text){exact, (uint32_t)n}, out, sizeof(out));
		free(exact);
	}
}

static void users_lose_escapes_and_separators(void **state)
{
	static const struct {
		const char *uri;
		const char *user;
	} cases[] = {
		{"sip:%31001@h", "1001"},
		{"tel:+1-(201).555-0123", "+12015550123"},
		{"sip:a-b@h", "a-b"},
		{"sip:h", ""},
	};
	struct sip_uri uri;
	char out[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(sip_uri_parse(&uri, text(cases[i].uri)), 0);
		assert_int_equal(sip_uri_user(&uri, out, sizeof(out)), strlen(cases[i].user));
		assert_string_equal(out, cases[i].user);
	}
	assert_int_equal(sip_uri_parse(&uri, text("sip:a%00b@h")), 0);
	assert_int_equal(sip_uri_user(&uri, out, sizeof(out)), -EINVAL);
	assert_int_equal(sip_uri_parse(&uri, text("sip:a%4@h")), 0);
	assert_int_equal(sip_uri_user(&uri, out, sizeof(out)), -EINVAL);
	assert_int_equal(sip_uri_parse(&uri, text("sip:1234@h")), 0);
	assert_int_equal(sip_uri_user(&uri, out, 4), -ENOSPC);
	assert_int_equal(sip_uri_user(&uri, out, 5), 4);
}

static void user_escapes_go_both_ways(void **state)
{
	char escaped[64];
	char plain[64];

	(void)state;
	assert_int_equal(sip_escape_user(text("a b@<\x7f>:#"), escaped, sizeof(escaped)), 23);
	assert_string_equal(escaped, "a%20b%40%3C%7F%3E%3A%23");
	assert_int_equal(sip_unescape(text(escaped), plain, sizeof(plain)), 9);
	assert_string_equal(plain, "a b@<\x7f>:#");
	assert_int_equal(sip_escape_user(text("ab"), escaped, 2), -ENOSPC);
	assert_int_equal(sip_escape_user(text(""), escaped, 0), -ENOSPC);
}

static void quotes_are_taken_off(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(sip_unquote(text("\"a\\\"b\\\\c\""), out, sizeof(out)), 5);
	assert_string_equal(out, "a\"b\\c");
	assert_int_equal(sip_unquote(text(" Anna B "), out, sizeof(out)), 6);
	assert_string_equal(out, "Anna B");
	assert_int_equal(sip_unquote(text("\"a"), out, sizeof(out)), -EINVAL);
	assert_int_equal(sip_unquote(text("\""), out, sizeof(out)), -EINVAL);
	assert_int_equal(sip_unquote(text("\"a\"b"), out, sizeof(out)), -EINVAL);
	assert_int_equal(sip_unquote(text("\"0123456789abcdef\""), out, sizeof(out)), -ENOSPC);
	assert_int_equal(sip_unquote(text(""), out, sizeof(out)), 0);
}

static void numbers_have_a_limit(void **state)
{
	uint64_t value = 0;

	(void)state;
	assert_int_equal(sip_text_number(text("0"), 0, &value), 0);
	assert_int_equal(sip_text_number(text("4294967295"), UINT32_MAX, &value), 0);
	assert_true(value == UINT32_MAX);
	assert_int_equal(sip_text_number(text("4294967296"), UINT32_MAX, &value), -ERANGE);
	assert_int_equal(sip_text_number(text("99999999999999999999999999"), UINT64_MAX, &value),
			 -ERANGE);
	assert_int_equal(sip_text_number(text("18446744073709551615"), UINT64_MAX, &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(sip_text_number(text("7"), 5, &value), -ERANGE);
	assert_true(value == 5);
	assert_int_equal(sip_text_number(text(""), 5, &value), -EINVAL);
	assert_int_equal(sip_text_number(text("-1"), 5, &value), -EINVAL);
	assert_int_equal(sip_text_number(text("1 "), 5, &value), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uris_are_taken_apart),
		cmocka_unit_test(broken_uris_are_refused),
		cmocka_unit_test(uri_equality_follows_the_rules),
		cmocka_unit_test(addresses_are_taken_apart),
		cmocka_unit_test(star_is_a_contact),
		cmocka_unit_test(broken_addresses_are_refused),
		cmocka_unit_test(every_prefix_is_survived),
		cmocka_unit_test(users_lose_escapes_and_separators),
		cmocka_unit_test(user_escapes_go_both_ways),
		cmocka_unit_test(quotes_are_taken_off),
		cmocka_unit_test(numbers_have_a_limit),
	};

	return cmocka_run_group_tests_name("sip uri", tests, NULL, NULL);
}

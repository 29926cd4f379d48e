/* Addresses, UUIDs and clock texts. */
#include "dataplane/base/address.h"
#include "dataplane/base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void endpoint_texts_round_trip(void **state)
{
	static const char *const texts[] = {"192.0.2.1:5060", "0.0.0.0:0", "[2001:db8::1]:65535",
					    "[::]:1"};
	char out[ENDPOINT_TEXT_MAX];
	struct sockaddr_storage ss;
	struct endpoint e, back;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(endpoint_parse(&e, texts[i], strlen(texts[i])), 0);
		assert_string_equal(endpoint_text(&e, out), texts[i]);
		endpoint_to_sockaddr(&e, &ss);
		assert_int_equal(endpoint_from_sockaddr(&back, (struct sockaddr *)&ss), 0);
		assert_true(endpoint_equal(&e, &back));
	}
}

static void broken_endpoints_are_refused(void **state)
{
	static const char *const texts[] = {
		"",           ":",        "1.2.3.4", "1.2.3.4:",      "1.2.3.4:65536",
		"1.2.3:5",    "::1:5060", "[::1]",   "[::1:5060",     "1.2.3.4:5 ",
		"1.2.3.4:-1", "x:1",      "[]:1",    "1.2.3.4:000005"};
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(endpoint_parse(&e, texts[i], strlen(texts[i])), -EINVAL);
}

static void kinds_of_addresses_are_told_apart(void **state)
{
	static const struct {
		const char *text;
		bool v4, any, loopback;
	} rows[] = {
		{"0.0.0.0", true, true, false},
		{"127.0.0.9", true, false, true},
		{"10.0.0.1", true, false, false},
		{"::", false, true, false},
		{"::1", false, false, true},
		{"fe80::1", false, false, false},
		{"::ffff:127.0.0.1", true, false, true},
	};
	struct address a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(address_parse(&a, rows[i].text, strlen(rows[i].text)), 0);
		assert_int_equal(address_is_v4(&a), rows[i].v4);
		assert_int_equal(address_is_any(&a), rows[i].any);
		assert_int_equal(address_is_loopback(&a), rows[i].loopback);
	}
}

static void uuid7_has_its_time_version_and_variant(void **state)
{
	char a[UUID_TEXT_MAX], b[UUID_TEXT_MAX];

	(void)state;
	/* RFC 9562 A.6: 2022-02-22T19:22:22Z = 0x017F22E279B0 ms */
	uuid7_make(UINT64_C(0x017F22E279B0) * NS_PER_MS, a);
	assert_int_equal(strlen(a), 36);
	assert_memory_equal(a, "017f22e2-79b0-7", 15);
	assert_non_null(strchr("89ab", a[19]));
	uuid7_make(UINT64_C(0x017F22E279B0) * NS_PER_MS, b);
	assert_string_not_equal(a, b);
	uuid7_make(UINT64_C(0x017F22E279B0) * NS_PER_MS + 500000, b);
	assert_true(strcmp(a, b) < 0);
}

static void clock_text_is_rfc3339(void **state)
{
	char out[CLOCK_TEXT_MAX];

	(void)state;
	assert_string_equal(clock_text(UINT64_C(1700000000123) * NS_PER_MS, out),
			    "2023-11-14T22:13:20.123Z");
}

static void tokens_have_their_length_and_alphabet(void **state)
{
	char token[101];

	(void)state;
	random_token(token, 100);
	assert_int_equal(strlen(token), 100);
	assert_int_equal(strspn(token,
				"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
			 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(endpoint_texts_round_trip),
		cmocka_unit_test(broken_endpoints_are_refused),
		cmocka_unit_test(kinds_of_addresses_are_told_apart),
		cmocka_unit_test(uuid7_has_its_time_version_and_variant),
		cmocka_unit_test(clock_text_is_rfc3339),
		cmocka_unit_test(tokens_have_their_length_and_alphabet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

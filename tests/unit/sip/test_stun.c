/* The STUN responder against the test vectors of RFC 5769, and what it must not answer. */
#include "control/sip/stun.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"

/* RFC 5769 2.1: with SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME, integrity and fingerprint. */
static const char ice_request[] =
	"\x00\x01\x00\x58" HEAD "\x80\x22\x00\x10STUN test client"
	"\x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36"
	"\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20"
	"\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5"
	"\x71\xa2\x80\x28\x00\x04\xe5\x7a\x3b\xcf";
static const char plain_request[] = "\x00\x01\x00\x00" HEAD;

static struct endpoint from(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(&e, text, strlen(text)), 0);
	return e;
}

static void address_is_hidden_as_in_rfc_5769(void **state)
{
	static const struct {
		const char *from;
		const char *attribute;
		uint32_t n;
	} rows[] = {
		{"192.0.2.1:32853", "\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43", 12},
		{"[2001:db8:1234:5678:11:2233:4455:6677]:32853",
		 "\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5"
		 "\xbe\xd2\xb9\xd9",
		 24},
	};
	char out[STUN_ANSWER_MAX];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct endpoint source = from(rows[i].from);

		assert_int_equal(stun_answer(plain_request, 20, &source, out), 20 + rows[i].n);
		assert_memory_equal(out, "\x01\x01\x00", 3);
		assert_int_equal(out[3], rows[i].n);
		assert_memory_equal(out + 4, HEAD, 16);
		assert_memory_equal(out + 20, rows[i].attribute, rows[i].n);
	}
}

static void fingerprint_is_checked_and_given_back(void **state)
{
	struct endpoint source = from("192.0.2.1:32853");
	char request[sizeof(ice_request)];
	char out[STUN_ANSWER_MAX];
	uint32_t n = stun_answer(ice_request, sizeof(ice_request) - 1, &source, out);

	(void)state;
	/* PRIORITY is ICE's; who does not know it says so (RFC 8489 6.3.1) */
	assert_memory_equal(out, "\x01\x11", 2);
	assert_memory_equal(out + 24, "\x00\x00\x04\x14Unknown Attribute", 21);
	assert_memory_equal(out + 48, "\x00\x0a\x00\x02\x00\x24\x00\x00\x80\x28\x00\x04", 12);
	assert_int_equal(n, 64);
	assert_int_equal(out[3], n - 20);
	/* any bit of the transaction, of SOFTWARE's text, of the fingerprint itself */
	for (size_t bit = 8 * 8; bit < (sizeof(ice_request) - 1) * 8; bit++) {
		size_t at = bit / 8;

		if ((at >= 20 && at < 24) || (at >= 40 && at < sizeof(ice_request) - 5))
			continue;
		memcpy(request, ice_request, sizeof(request));
		request[at] = (char)(request[at] ^ (1 << (bit % 8)));
		assert_int_equal(stun_answer(request, sizeof(request) - 1, &source, out), 0);
	}
}

static void every_prefix_and_every_other_message_is_left_unanswered(void **state)
{
	static const struct {
		const char *bytes;
		uint32_t n;
	} rows[] = {
		{"\x01\x01\x00\x00" HEAD, 20},                    /* a response */
		{"\x00\x11\x00\x00" HEAD, 20},                    /* an indication */
		{"\x00\x03\x00\x00" HEAD, 20},                    /* Allocate */
		{"\x00\x01\x00\x04" HEAD, 20},                    /* too short */
		{"\x00\x01\x00\x00" HEAD "\x80\x22\x00\x00", 24}, /* too long */
		{"\x00\x01\x00\x04" HEAD "\x80\x22\x00\x01", 24}, /* value missing */
		{"\x00\x01\x00\x04" HEAD "\x80\x22\xff\xff", 24}, /* far beyond */
		{"\x00\x01\x00\x03" HEAD "\x80\x22\x00", 23},     /* not a multiple of 4 */
		{"\x00\x01\x00\x00\x21\x12\xa4\x43\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae",
		 20},
		{"\x80\x01\x00\x00" HEAD, 20},
	};
	struct endpoint source = from("192.0.2.1:32853");
	char out[STUN_ANSWER_MAX];

	(void)state;
	for (uint32_t n = 0; n < sizeof(ice_request) - 1; n++)
		assert_int_equal(stun_answer(ice_request, n, &source, out), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(stun_answer(rows[i].bytes, rows[i].n, &source, out), 0);
}

static void unknown_attributes_are_named_up_to_a_limit(void **state)
{
	struct endpoint source = from("192.0.2.1:32853");
	char request[20 + 4 * 20] = "\x00\x01\x00\x50" HEAD;
	char out[STUN_ANSWER_MAX];
	uint32_t n;

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		request[20 + 4 * i + 1] = (char)(0x40 + i);
	n = stun_answer(request, sizeof(request), &source, out);
	assert_int_equal(n, 20 + 28 + 4 + 16);
	assert_true(n <= sizeof(request));
	assert_memory_equal(out + 48, "\x00\x0a\x00\x10\x00\x40\x00\x41", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_is_hidden_as_in_rfc_5769),
		cmocka_unit_test(fingerprint_is_checked_and_given_back),
		cmocka_unit_test(every_prefix_and_every_other_message_is_left_unanswered),
		cmocka_unit_test(unknown_attributes_are_named_up_to_a_limit),
	};

	return cmocka_run_group_tests_name("sip stun", tests, NULL, NULL);
}

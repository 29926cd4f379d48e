/* Who is banned for what, for how long, and who never is. */
#include "control/b2bua/bans.h"

#include "control/b2bua/overload.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S   UINT64_C(1000)
#define DAY (24 * 3600 * S)

static struct bans *bans;

static struct address at(const char *text)
{
	struct address address;

	assert_int_equal(address_parse(&address, text, strlen(text)), 0);
	return address;
}

static int open_bans(void **state)
{
	const struct bans_options options = {.sources = 64, .requests_per_second = 50};

	(void)state;
	return bans_create(&bans, &options);
}

static int close_bans(void **state)
{
	(void)state;
	bans_destroy(bans);
	return 0;
}

static bool sign(const char *from, enum bans_sign what, const char *number, uint64_t now_ms)
{
	struct address address = at(from);

	return bans_sign(bans, &address, what, number, strlen(number), now_ms);
}

static bool admits(const char *from, uint64_t now_ms)
{
	struct address address = at(from);

	return bans_admit(bans, &address, now_ms);
}

/* Signs until banned; how many it took, 0 = more than most. */
static uint32_t signs_to_ban(const char *from, enum bans_sign what, uint32_t most, uint64_t now_ms)
{
	for (uint32_t i = 1; i <= most; i++)
		if (sign(from, what, "", now_ms))
			return i;
	return 0;
}

static struct bans_counters counters(void)
{
	struct bans_counters c;

	bans_counters(bans, &c);
	return c;
}

static void ten_wrong_passwords_ban_a_source_and_nobody_else(void **state)
{
	(void)state;
	for (int i = 0; i < 9; i++)
		assert_false(sign("192.0.2.1", BANS_AUTH_FAILED, "1001", 1000));
	assert_true(admits("192.0.2.1", 1000));
	assert_true(sign("192.0.2.1", BANS_AUTH_FAILED, "1001", 1000));
	assert_false(admits("192.0.2.1", 1000));
	assert_true(admits("192.0.2.2", 1000));
	assert_int_equal(counters().made, 1);
	assert_int_equal(counters().live, 1);
	assert_int_equal(counters().dropped, 1);
}

static void failures_leak_away_over_the_window(void **state)
{
	(void)state;
	/* one in 31 s is below 10 in 300 s for ever, one in 29 s is not */
	for (uint64_t i = 0; i < 1000; i++)
		assert_false(sign("192.0.2.1", BANS_AUTH_FAILED, "", i * 31 * S));
	for (uint64_t i = 0;; i++) {
		assert_true(i < 1000);
		if (sign("192.0.2.2", BANS_AUTH_FAILED, "", i * 29 * S))
			break;
	}
}

static void each_sign_weighs_what_the_header_says(void **state)
{
	(void)state;
	assert_int_equal(signs_to_ban("192.0.2.1", BANS_AUTH_FAILED, 1000, 1), 10);
	assert_int_equal(signs_to_ban("192.0.2.2", BANS_MALFORMED, 1000, 1), 50);
	assert_int_equal(signs_to_ban("192.0.2.3", BANS_UNANSWERED, 1000, 1), 50);
	assert_int_equal(signs_to_ban("192.0.2.4", BANS_PROBE, 1000, 1), 500);
	assert_int_equal(signs_to_ban("192.0.2.5", BANS_SCANNER, 1000, 1), 2);
}

static void bans_grow_and_are_forgiven_by_the_day(void **state)
{
	static const uint64_t length_s[] = {60, 600, 3600, 86400, 86400};
	uint64_t now_ms = 1000;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(signs_to_ban("192.0.2.1", BANS_AUTH_FAILED, 10, now_ms), 10);
		now_ms += length_s[i] * S;
		assert_false(admits("192.0.2.1", now_ms - 1));
		assert_true(admits("192.0.2.1", now_ms));
	}
	/* five days without: as at the beginning */
	now_ms += 5 * DAY;
	assert_int_equal(signs_to_ban("192.0.2.1", BANS_AUTH_FAILED, 10, now_ms), 10);
	assert_false(admits("192.0.2.1", now_ms + 60 * S - 1));
	assert_true(admits("192.0.2.1", now_ms + 60 * S));
}

static void a_right_answer_takes_back_what_the_challenges_counted(void **state)
{
	struct address phone = at("192.0.2.1");

	(void)state;
	for (int i = 0; i < 1000; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%d", i);
		assert_false(sign("192.0.2.1", BANS_UNANSWERED, number, 1000));
		bans_proved(bans, &phone, 1000);
	}
	/* wrong passwords it does not take back */
	for (int i = 0; i < 99; i++) {
		assert_false(sign("192.0.2.1", BANS_AUTH_FAILED, "", 1000));
		bans_proved(bans, &phone, 1000);
	}
	assert_true(sign("192.0.2.1", BANS_AUTH_FAILED, "", 1000));
}

static void many_numbers_without_an_answer_are_a_scan(void **state)
{
	bool banned = false;
	int i;

	(void)state;
	for (i = 100; i < 200 && !banned; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%d", i);
		banned = sign("192.0.2.1", BANS_UNANSWERED, number, 1000);
	}
	assert_true(banned);
	/* some share a bit: rather later than 25, but before the points alone would do it */
	assert_in_range(i - 100, 25, 49);
	for (i = 0; i < 40; i++)
		assert_false(sign("192.0.2.2", BANS_UNANSWERED, "100", 1000));
}

static void a_registration_multiplies_the_limits(void **state)
{
	struct address phone = at("192.0.2.1");

	(void)state;
	bans_registered(bans, &phone, 10 * S, 0);
	assert_int_equal(signs_to_ban("192.0.2.1", BANS_AUTH_FAILED, 1000, 1), 100);
	phone = at("192.0.2.2");
	bans_registered(bans, &phone, 10 * S, 0);
	assert_int_equal(signs_to_ban("192.0.2.2", BANS_AUTH_FAILED, 1000, 10 * S), 10);
}

static void beyond_the_rate_is_dropped_and_a_flood_banned(void **state)
{
	uint64_t now_ms = 1000;
	uint32_t passed = 0;

	(void)state;
	/* at the rate for a minute: nothing is dropped */
	for (uint32_t i = 0; i < 50 * 60; i++)
		assert_true(admits("192.0.2.1", now_ms + i * 20));
	/* all at once: a second's worth */
	for (uint32_t i = 0; i < 1000; i++)
		passed += admits("192.0.2.2", now_ms);
	assert_int_equal(passed, 50);
	assert_int_equal(counters().made, 0);
	for (uint32_t i = 0; i < 51; i++)
		admits("192.0.2.2", now_ms);
	assert_int_equal(counters().made, 1);
	assert_int_equal(counters().limited, 1000);
	assert_false(admits("192.0.2.2", now_ms + 59 * S));
	assert_true(admits("192.0.2.2", now_ms + 60 * S));
}

static void an_ipv6_source_is_its_64(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		char text[64];

		snprintf(text, sizeof(text), "2001:db8:0:1::%x", i + 1);
		sign(text, BANS_AUTH_FAILED, "", 1000);
	}
	assert_false(admits("2001:db8:0:1:ffff:ffff::1", 1000));
	assert_true(admits("2001:db8:0:2::1", 1000));
}

static void loopback_and_what_is_allowed_is_never_banned(void **state)
{
	static const char *const wrong[] = {"",           "x",           "10.0.0.0/33",
					    "10.0.0.0/",  "10.0.0.0/8x", "2001:db8::/129",
					    "10.0.0.0/-1"};
	static const char *const never[] = {"127.0.0.1", "127.9.9.9",  "::1",          "10.255.0.1",
					    "192.0.2.9", "172.31.1.1", "2001:db8::1:2"};
	struct address address;

	(void)state;
	assert_int_equal(bans_allow(bans, "10.0.0.0/8"), 0);
	assert_int_equal(bans_allow(bans, "192.0.2.9"), 0);
	assert_int_equal(bans_allow(bans, "172.16.0.0/12"), 0);
	assert_int_equal(bans_allow(bans, "2001:db8::/32"), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(bans_allow(bans, wrong[i]), -EINVAL);
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		assert_int_equal(signs_to_ban(never[i], BANS_AUTH_FAILED, 100, 1000), 0);
		address = at(never[i]);
		assert_int_equal(bans_add(bans, &address, 0, 1000), -EPERM);
		for (int j = 0; j < 200; j++)
			assert_true(admits(never[i], 1000));
	}
	assert_int_equal(signs_to_ban("172.32.0.1", BANS_AUTH_FAILED, 100, 1000), 10);
	assert_int_equal(signs_to_ban("192.0.2.8", BANS_AUTH_FAILED, 100, 1000), 10);
	/* what is allowed later is free at once */
	assert_int_equal(bans_allow(bans, "192.0.2.8/32"), 0);
	assert_true(admits("192.0.2.8", 1000));
	assert_int_equal(counters().live, 1);
}

static void the_list_of_what_is_allowed_is_bounded(void **state)
{
	char text[32];

	(void)state;
	for (int i = 0; i < BANS_ALLOW_MAX; i++) {
		snprintf(text, sizeof(text), "10.%d.0.0/16", i);
		assert_int_equal(bans_allow(bans, text), 0);
		assert_int_equal(bans_allow(bans, "10.0.0.0/16"), 0); /* is there */
	}
	assert_int_equal(bans_allow(bans, "192.0.2.0/24"), -ENOSPC);
}

struct seen {
	uint32_t n;
	struct bans_view view[8];
};

static void see(void *arg, const struct bans_view *view)
{
	struct seen *seen = arg;

	if (seen->n < 8)
		seen->view[seen->n] = *view;
	seen->n++;
}

static void bans_by_hand_are_listed_and_lifted(void **state)
{
	struct address a = at("192.0.2.1"), b = at("2001:db8::5"), c = at("192.0.2.3");
	struct seen seen = {0};

	(void)state;
	assert_int_equal(bans_add(bans, &a, 0, 1000), 0);
	assert_int_equal(bans_add(bans, &b, 5 * S, 1000), 0);
	assert_false(admits("192.0.2.1", 1000 * DAY));
	bans_each(bans, 2000, see, &seen);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.view[0].left_ms, 4000);
	assert_int_equal(seen.view[1].left_ms, UINT64_MAX);
	assert_int_equal(seen.view[1].dropped, 1);
	assert_string_equal(bans_reason_text(seen.view[0].reason), "by hand");
	/* added again: the new time counts, once */
	assert_int_equal(bans_add(bans, &a, 10 * S, 2000), 0);
	assert_int_equal(counters().live, 2);
	assert_int_equal(bans_lift(bans, &a, 2000), 0);
	assert_int_equal(bans_lift(bans, &a, 2000), -ENOENT);
	assert_int_equal(bans_lift(bans, &c, 2000), -ENOENT);
	assert_true(admits("192.0.2.1", 2000));
	assert_int_equal(bans_lift(bans, &b, 6001), -ENOENT);
	seen.n = 0;
	bans_each(bans, 6001, see, &seen);
	assert_int_equal(seen.n, 0);
	assert_int_equal(counters().live, 0);
	/* a lifted one begins anew */
	signs_to_ban("192.0.2.1", BANS_AUTH_FAILED, 10, 10 * S);
	assert_true(admits("192.0.2.1", 70 * S));
}

static void strangers_push_out_the_quiet_and_not_the_banned(void **state)
{
	(void)state;
	signs_to_ban("198.51.100.1", BANS_AUTH_FAILED, 10, 1000);
	for (int i = 0; i < 10000; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.0.%d.%d", i / 250, i % 250);
		assert_true(admits(text, 1000));
	}
	assert_int_equal(counters().sources, 64);
	assert_int_equal(counters().evicted, 10001 - 64);
	assert_int_equal(counters().evicted_bans, 0);
	assert_false(admits("198.51.100.1", 1000));
}

static void a_table_full_of_bans_forgets_the_oldest(void **state)
{
	(void)state;
	for (int i = 0; i < 65; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.0.0.%d", i);
		assert_int_equal(signs_to_ban(text, BANS_AUTH_FAILED, 10, 1000 + (uint64_t)i), 10);
	}
	assert_int_equal(counters().evicted_bans, 1);
	assert_int_equal(counters().live, 64);
	assert_false(admits("10.0.0.1", 2000));
	assert_true(admits("10.0.0.0", 2000));
}

static void scanners_that_say_so_are_believed(void **state)
{
	(void)state;
	assert_true(bans_is_scanner("friendly-scanner", 16));
	assert_true(bans_is_scanner("SIPVicious 0.3", 14));
	assert_false(bans_is_scanner("friendly", 8));
	assert_false(bans_is_scanner("", 0));
	assert_false(bans_is_scanner("Yealink SIP-T46S 66.86.0.15", 27));
}

/* ---- overload ---- */

static void calls_beyond_the_rate_are_refused(void **state)
{
	struct overload o = {.calls_per_second = 10};
	uint64_t now_ms = 5000;
	uint32_t begun = 0, spread = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		uint32_t busy_s = overload_busy_s(&o, now_ms, 0);

		if (busy_s == 0) {
			overload_take(&o, now_ms);
			begun++;
		} else {
			assert_in_range(busy_s, 2, 9);
			spread |= 1u << busy_s;
		}
	}
	assert_int_equal(begun, 10);
	assert_int_equal(spread, 0x3fc);
	assert_int_equal(o.refused_rate, 90);
	/* and for a minute as many as the rate says */
	for (uint64_t t = 0; t < 60 * S; t += 10) {
		if (overload_busy_s(&o, now_ms + t, 0) == 0) {
			overload_take(&o, now_ms + t);
			begun++;
		}
	}
	assert_in_range(begun, 609, 611);
	/* who asks without beginning a call takes nothing */
	o = (struct overload){.calls_per_second = 1};
	for (int i = 0; i < 100; i++)
		assert_int_equal(overload_busy_s(&o, now_ms, 0), 0);
}

static void calls_are_refused_while_the_thread_is_late(void **state)
{
	struct overload o = {.delay_limit_ms = 200};

	(void)state;
	assert_int_equal(overload_busy_s(&o, 1, 200000), 0);
	assert_int_not_equal(overload_busy_s(&o, 1, 200001), 0);
	assert_int_not_equal(overload_busy_s(&o, 1, 150000), 0);
	assert_int_not_equal(overload_busy_s(&o, 1, 100001), 0);
	assert_int_equal(overload_busy_s(&o, 1, 100000), 0);
	assert_int_equal(overload_busy_s(&o, 1, 150000), 0);
	assert_int_equal(o.refused_delay, 3);
	assert_int_equal(o.delay_us_max, 200001);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_bans, close_bans)
	const struct CMUnitTest tests[] = {
		CASE(ten_wrong_passwords_ban_a_source_and_nobody_else),
		CASE(failures_leak_away_over_the_window),
		CASE(each_sign_weighs_what_the_header_says),
		CASE(bans_grow_and_are_forgiven_by_the_day),
		CASE(a_right_answer_takes_back_what_the_challenges_counted),
		CASE(many_numbers_without_an_answer_are_a_scan),
		CASE(a_registration_multiplies_the_limits),
		CASE(beyond_the_rate_is_dropped_and_a_flood_banned),
		CASE(an_ipv6_source_is_its_64),
		CASE(loopback_and_what_is_allowed_is_never_banned),
		CASE(the_list_of_what_is_allowed_is_bounded),
		CASE(bans_by_hand_are_listed_and_lifted),
		CASE(strangers_push_out_the_quiet_and_not_the_banned),
		CASE(a_table_full_of_bans_forgets_the_oldest),
		CASE(scanners_that_say_so_are_believed),
		cmocka_unit_test(calls_beyond_the_rate_are_refused),
		cmocka_unit_test(calls_are_refused_while_the_thread_is_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The registrar's table against RFC 3261 10.3, with time as an argument. */
#include "control/pbx/registrar.h"
#include "control/b2bua/board.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define T0 (UINT64_C(1700000000) * NS_PER_S)

struct seen {
	struct registrar_observer observer;
	uint32_t added;
	uint32_t removed;
};

static void added(struct registrar_observer *observer, struct binding *binding)
{
	((struct seen *)(void *)observer)->added++;
	assert_non_null(binding->contact);
}

static void removed(struct registrar_observer *observer, struct binding *binding)
{
	((struct seen *)(void *)observer)->removed++;
	assert_non_null(binding->contact);
}

static struct seen seen;

static struct registrar *make(uint32_t limit)
{
	struct registrar *registrar;

	seen = (struct seen){.observer = {.added = added, .removed = removed}};
	assert_int_equal(registrar_create(&registrar, limit, &seen.observer), 0);
	return registrar;
}

static struct exchange_register request_of(const char *uri, int64_t expires_s, uint32_t cseq)
{
	struct exchange_register request = {.extension = "1001",
					    .call_id = "call-1",
					    .user_agent = "test",
					    .cseq = cseq,
					    .expires_s = -1};

	if (uri) {
		request.contacts_count = 1;
		request.contacts[0] = (struct exchange_contact){.uri = uri,
								.key = uri,
								.instance = "",
								.expires_s = expires_s,
								.q_permille = 1000};
	}
	return request;
}

static struct exchange_registered apply(struct registrar *registrar,
					const struct exchange_register *request, uint64_t now_ns)
{
	struct exchange_registered answer;

	registrar_apply(registrar, request, now_ns, &answer);
	return answer;
}

static struct exchange_registered put(struct registrar *registrar, const char *uri,
				      int64_t expires_s, uint32_t cseq, uint64_t now_ns)
{
	struct exchange_register request = request_of(uri, expires_s, cseq);

	return apply(registrar, &request, now_ns);
}

static void expires_follows_contact_then_header_then_default(void **state)
{
	static const struct {
		int64_t contact_s, header_s;
		int status;
		uint32_t granted_s;
	} cases[] = {
		{-1, -1, 200, 3600},        {-1, 120, 200, 120},   {300, 120, 200, 300},
		{60, -1, 200, 60},          {59, -1, 423, 0},      {1, 3600, 423, 0},
		{-1, 59, 423, 0},           {3600, -1, 200, 3600}, {3601, -1, 200, 3600},
		{INT32_MAX, -1, 200, 3600},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct registrar *registrar = make(10);
		struct exchange_register request = request_of("sip:a@h", cases[i].contact_s, 1);
		struct exchange_registered answer;

		request.expires_s = cases[i].header_s;
		answer = apply(registrar, &request, T0);
		assert_int_equal(answer.status, cases[i].status);
		if (answer.status == 200)
			assert_int_equal(answer.bound[0].expires_s, cases[i].granted_s);
		else
			assert_int_equal(answer.min_expires_s, 60);
		assert_int_equal(registrar_count(registrar), answer.status == 200);
		registrar_destroy(registrar);
	}
}

static void query_lists_time_that_is_left(void **state)
{
	struct registrar *registrar = make(10);
	struct exchange_registered answer;

	(void)state;
	put(registrar, "sip:a@h", 100, 1, T0);
	answer = put(registrar, NULL, -1, 2, T0 + 40 * NS_PER_S);
	assert_int_equal(answer.status, 200);
	assert_int_equal(answer.bound_count, 1);
	assert_int_equal(answer.bound[0].expires_s, 60);
	assert_string_equal(answer.bound[0].uri, "sip:a@h");
	registrar_destroy(registrar);
}

static void expires_0_removes_the_contact(void **state)
{
	struct registrar *registrar = make(10);

	(void)state;
	put(registrar, "sip:a@h", 100, 1, T0);
	put(registrar, "sip:b@h", 100, 2, T0);
	assert_int_equal(put(registrar, "sip:a@h", 0, 3, T0).bound_count, 1);
	assert_int_equal(registrar_count(registrar), 1);
	/* One that is not there is no error. */
	assert_int_equal(put(registrar, "sip:c@h", 0, 4, T0).status, 200);
	assert_int_equal(seen.removed, 1);
	registrar_destroy(registrar);
}

static void cseq_out_of_order_changes_nothing(void **state)
{
	struct registrar *registrar = make(10);
	struct exchange_register both = request_of("sip:b@h", 100, 5);

	(void)state;
	assert_int_equal(put(registrar, "sip:a@h", 100, 5, T0).status, 200);
	assert_int_equal(put(registrar, "sip:a@h", 200, 5, T0).status, 500);
	assert_int_equal(put(registrar, "sip:a@h", 0, 4, T0).status, 500);
	/* The one that is right is not taken either: all or nothing. */
	both.contacts[1] = both.contacts[0];
	both.contacts[1].uri = both.contacts[1].key = "sip:a@h";
	both.contacts_count = 2;
	assert_int_equal(apply(registrar, &both, T0).status, 500);
	assert_int_equal(registrar_count(registrar), 1);
	/* Another Call-ID starts anew. */
	both.call_id = "call-2";
	both.cseq = 1;
	assert_int_equal(apply(registrar, &both, T0).status, 200);
	assert_int_equal(registrar_count(registrar), 2);
	registrar_destroy(registrar);
}

static void star_removes_all_and_needs_expires_0(void **state)
{
	struct registrar *registrar = make(10);
	struct exchange_register star = request_of(NULL, -1, 9);

	(void)state;
	put(registrar, "sip:a@h", 100, 1, T0);
	put(registrar, "sip:b@h", 100, 2, T0);
	star.all = true;
	assert_int_equal(apply(registrar, &star, T0).status, 400);
	star.expires_s = 60;
	assert_int_equal(apply(registrar, &star, T0).status, 400);
	star.expires_s = 0;
	star.cseq = 2;
	assert_int_equal(apply(registrar, &star, T0).status, 500);
	assert_int_equal(registrar_count(registrar), 2);
	star.cseq = 9;
	assert_int_equal(apply(registrar, &star, T0).status, 200);
	assert_int_equal(registrar_count(registrar), 0);
	star.contacts_count = 1;
	star.contacts[0] = request_of("sip:a@h", 100, 1).contacts[0];
	star.cseq = 10;
	assert_int_equal(apply(registrar, &star, T0).status, 400);
	registrar_destroy(registrar);
}

static void aor_holds_ten_contacts_and_no_more(void **state)
{
	struct registrar *registrar = make(100);
	char uri[32];

	(void)state;
	for (int i = 0; i < EXCHANGE_CONTACTS_MAX; i++) {
		snprintf(uri, sizeof(uri), "sip:a@h%d", i);
		assert_int_equal(put(registrar, uri, 100, (uint32_t)i + 1, T0).status, 200);
	}
	assert_int_equal(put(registrar, "sip:a@more", 100, 50, T0).status, 403);
	assert_int_equal(registrar_count(registrar), EXCHANGE_CONTACTS_MAX);
	/* Refreshing one that is there still works, and what has expired makes room. */
	assert_int_equal(put(registrar, "sip:a@h3", 200, 51, T0).status, 200);
	assert_int_equal(put(registrar, "sip:a@more", 100, 52, T0 + 150 * NS_PER_S).status, 200);
	assert_int_equal(registrar_count(registrar), 2);
	registrar_destroy(registrar);
}

static void restarted_phone_replaces_its_own_oldest_when_full(void **state)
{
	struct registrar *registrar = make(100);
	const struct binding *found[EXCHANGE_CONTACTS_MAX];
	char uri[32];

	(void)state;
	for (int i = 0; i < EXCHANGE_CONTACTS_MAX + 5; i++) {
		struct exchange_register request;

		snprintf(uri, sizeof(uri), "sip:a@h%d", i);
		request = request_of(uri, 100, 1);
		request.contacts[0].instance = "<urn:uuid:1>";
		request.call_id = uri;
		assert_int_equal(apply(registrar, &request, T0 + (uint64_t)i).status, 200);
	}
	assert_int_equal(registrar_count(registrar), EXCHANGE_CONTACTS_MAX);
	assert_int_equal(registrar_lookup(registrar, "1001", 4, T0 + NS_PER_S, found),
			 EXCHANGE_CONTACTS_MAX);
	assert_string_equal(found[0]->contact, "sip:a@h14");
	registrar_destroy(registrar);
}

static void table_is_full_at_its_limit(void **state)
{
	struct registrar *registrar = make(3);
	struct exchange_register request;
	char extension[16];

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct exchange_registered answer;

		snprintf(extension, sizeof(extension), "20%d", i);
		request = request_of("sip:x@h", 100, 1);
		request.extension = extension;
		answer = apply(registrar, &request, T0);
		assert_int_equal(answer.status, i < 3 ? 200 : 503);
		if (i == 3)
			assert_true(answer.retry_after_s > 0);
	}
	assert_int_equal(registrar_count(registrar), 3);
	registrar_destroy(registrar);
}

static void sweep_removes_what_has_expired(void **state)
{
	struct registrar *registrar = make(10);
	const struct binding *found[EXCHANGE_CONTACTS_MAX];

	(void)state;
	put(registrar, "sip:a@h", 100, 1, T0);
	put(registrar, "sip:b@h", 200, 2, T0);
	registrar_sweep(registrar, T0 + 99 * NS_PER_S);
	assert_int_equal(registrar_count(registrar), 2);
	/* Not found any more before it is swept. */
	assert_int_equal(registrar_lookup(registrar, "1001", 4, T0 + 100 * NS_PER_S, found), 1);
	assert_string_equal(found[0]->contact, "sip:b@h");
	registrar_sweep(registrar, T0 + 100 * NS_PER_S);
	assert_int_equal(registrar_count(registrar), 1);
	registrar_sweep(registrar, T0 + 200 * NS_PER_S);
	assert_int_equal(registrar_count(registrar), 0);
	assert_int_equal(registrar_lookup(registrar, "1001", 4, T0, found), 0);
	assert_int_equal(seen.added, 2);
	assert_int_equal(seen.removed, 2);
	registrar_destroy(registrar);
}

static void lookup_puts_best_q_first_then_the_latest(void **state)
{
	struct registrar *registrar = make(10);
	const struct binding *found[EXCHANGE_CONTACTS_MAX];
	static const struct {
		const char *uri;
		uint32_t q;
	} contacts[] = {
		{"sip:low@h", 100}, {"sip:old@h", 1000}, {"sip:mid@h", 500}, {"sip:new@h", 1000}};
	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		struct exchange_register request = request_of(contacts[i].uri, 100, i + 1);

		request.contacts[0].q_permille = contacts[i].q;
		apply(registrar, &request, T0 + i * NS_PER_S);
	}
	assert_int_equal(registrar_lookup(registrar, "1001", 4, T0 + 5 * NS_PER_S, found), 4);
	assert_string_equal(found[0]->contact, "sip:new@h");
	assert_string_equal(found[1]->contact, "sip:old@h");
	assert_string_equal(found[2]->contact, "sip:mid@h");
	assert_string_equal(found[3]->contact, "sip:low@h");
	registrar_destroy(registrar);
}

static void same_contact_spelt_anew_replaces_the_old_text(void **state)
{
	struct registrar *registrar = make(10);
	struct exchange_register request = request_of("sip:A@H", 100, 2);
	const struct binding *found[EXCHANGE_CONTACTS_MAX];

	(void)state;
	put(registrar, "sip:a@h", 100, 1, T0);
	request.contacts[0].key = "sip:a@h";
	assert_int_equal(apply(registrar, &request, T0).status, 200);
	assert_int_equal(registrar_lookup(registrar, "1001", 4, T0, found), 1);
	assert_string_equal(found[0]->contact, "sip:A@H");
	assert_int_equal(seen.added, 2);
	assert_int_equal(seen.removed, 1);
	registrar_destroy(registrar);
}

static void restored_binding_keeps_its_times(void **state)
{
	struct registrar *registrar = make(1);
	struct exchange_register request = request_of("sip:a@h", -1, 7);
	const struct binding *found[EXCHANGE_CONTACTS_MAX];
	struct binding *restored;

	(void)state;
	assert_int_equal(
		registrar_restore(registrar, &request, T0 - NS_PER_S, T0 + NS_PER_S, &restored), 0);
	assert_int_equal(seen.added, 0);
	assert_int_equal(registrar_restore(registrar, &request, T0, T0, &restored), -EEXIST);
	request.contacts[0].key = "sip:b@h";
	assert_int_equal(registrar_restore(registrar, &request, T0, T0, &restored), -ENOSPC);
	assert_int_equal(registrar_lookup(registrar, "1001", 4, T0, found), 1);
	assert_int_equal(found[0]->registered_ns, T0 - NS_PER_S);
	/* The phone goes on counting where it was. */
	assert_int_equal(put(registrar, "sip:a@h", 100, 7, T0).status, 500);
	assert_int_equal(put(registrar, "sip:a@h", 100, 8, T0).status, 200);
	registrar_destroy(registrar);
}

static void other_extension_is_not_touched(void **state)
{
	struct registrar *registrar = make(10);
	const struct binding *found[EXCHANGE_CONTACTS_MAX];
	struct exchange_register other = request_of("sip:a@h", 100, 1);

	(void)state;
	other.extension = "10011";
	apply(registrar, &other, T0);
	assert_int_equal(registrar_lookup(registrar, "1001", 4, T0, found), 0);
	assert_int_equal(registrar_lookup(registrar, "10011", 5, T0, found), 1);
	assert_int_equal(registrar_lookup(registrar, "", 0, T0, found), 0);
	registrar_destroy(registrar);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expires_follows_contact_then_header_then_default),
		cmocka_unit_test(query_lists_time_that_is_left),
		cmocka_unit_test(expires_0_removes_the_contact),
		cmocka_unit_test(cseq_out_of_order_changes_nothing),
		cmocka_unit_test(star_removes_all_and_needs_expires_0),
		cmocka_unit_test(aor_holds_ten_contacts_and_no_more),
		cmocka_unit_test(restarted_phone_replaces_its_own_oldest_when_full),
		cmocka_unit_test(table_is_full_at_its_limit),
		cmocka_unit_test(sweep_removes_what_has_expired),
		cmocka_unit_test(lookup_puts_best_q_first_then_the_latest),
		cmocka_unit_test(same_contact_spelt_anew_replaces_the_old_text),
		cmocka_unit_test(restored_binding_keeps_its_times),
		cmocka_unit_test(other_extension_is_not_touched),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The next hop table and the queue of questions. */
#include "dataplane/node/hop.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct hop hop_of(uint32_t number)
{
	struct hop hop = {.remote = address_from_v4_be(number), .port = 1, .resolved = true};

	hop.macs[0] = (uint8_t)number;
	return hop;
}

static void hop_is_found_by_remote_and_local(void **state)
{
	struct hop hop = hop_of(0x0a000001), read;
	struct hop_table *t;
	uint32_t version;
	int place;

	(void)state;
	assert_int_equal(hop_table_create(&t, 0), -EINVAL);
	assert_int_equal(hop_table_create(&t, HOP_WORKERS_MAX + 1), -EINVAL);
	assert_int_equal(hop_table_create(&t, 1), 0);
	hop.local = 3;
	place = hop_table_set(t, &hop, 1000);
	assert_true(place >= 0);
	assert_int_equal(hop_table_find(t, 3, &hop.remote), place);
	assert_int_equal(hop_table_find(t, 2, &hop.remote), -ENOENT);
	assert_int_equal(hop_table_read(t, 3, &hop.remote, &read, &version), place);
	assert_memory_equal(&read, &hop, sizeof(hop));
	assert_int_equal(version, hop_table_version(t, (uint32_t)place));
	assert_int_equal(hop_table_read(t, 2, &hop.remote, &read, &version), -ENOENT);
	hop_table_destroy(t);
	hop_table_destroy(NULL);
}

static void version_changes_with_the_hop_and_only_then(void **state)
{
	struct hop hop = hop_of(0x0a000001);
	struct hop_table *t;
	uint32_t place, version;

	(void)state;
	assert_int_equal(hop_table_create(&t, 1), 0);
	place = (uint32_t)hop_table_set(t, &hop, 1000);
	version = hop_table_version(t, place);
	hop_table_set(t, &hop, 1001);
	assert_int_equal(hop_table_version(t, place), version);
	hop.macs[5] ^= 1;
	assert_int_equal(hop_table_set(t, &hop, 1001), place);
	assert_int_not_equal(hop_table_version(t, place), version);
	version = hop_table_version(t, place);
	hop_table_del(t, place);
	assert_int_not_equal(hop_table_version(t, place), version);
	assert_int_equal(hop_table_find(t, 0, &hop.remote), -ENOENT);
	assert_null(hop_table_at(t, place));
	hop_table_destroy(t);
}

static void full_window_refuses_until_a_hop_was_idle(void **state)
{
	struct hop_table *t;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(hop_table_create(&t, 2), 0);
	while (hop_table_full(t) == 0) {
		struct hop hop = hop_of(++n);

		hop_table_set(t, &hop, 1000);
		assert_true(n <= HOP_TABLE_PLACES + 1);
	}
	/* Most of the table is in use by the time one window is full. */
	assert_true(n > HOP_TABLE_PLACES / 8);
	for (uint32_t place = 0; place < HOP_TABLE_PLACES; place++)
		hop_table_touch(t, 1, place, 1000 + HOP_IDLE_S);
	struct hop hop = hop_of(n);
	assert_int_equal(hop_table_set(t, &hop, 1000 + 2 * HOP_IDLE_S), -ENOSPC);
	assert_true(hop_table_set(t, &hop, 1001 + 2 * HOP_IDLE_S) >= 0);
	hop_table_destroy(t);
}

static void questions_are_bounded_and_in_order(void **state)
{
	static struct hop_requests requests;
	struct hop_learnt item = {.local = 1};

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < HOP_REQUESTS; i++) {
			item.port = (uint8_t)i;
			assert_true(hop_requests_put(&requests, &item));
		}
		assert_false(hop_requests_put(&requests, &item));
		for (uint32_t i = 0; i < HOP_REQUESTS; i++) {
			assert_true(hop_requests_get(&requests, &item));
			assert_int_equal(item.port, i);
		}
		assert_false(hop_requests_get(&requests, &item));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hop_is_found_by_remote_and_local),
		cmocka_unit_test(version_changes_with_the_hop_and_only_then),
		cmocka_unit_test(full_window_refuses_until_a_hop_was_idle),
		cmocka_unit_test(questions_are_bounded_and_in_order),
	};

	return cmocka_run_group_tests_name("hop", tests, NULL, NULL);
}

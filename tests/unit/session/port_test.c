/* Pairs of ports: parity, exhaustion, delayed reuse. */
#include "tests/unit/session/fixture.h"

static void pairs_are_even_distinct_and_within_the_range(void **state)
{
	struct port_pool_config config = {
		.port_min = 10001, .port_max = 10100, .addresses = 2, .seed = 1};
	bool seen[65536] = {false};
	struct port_pool *pool;

	(void)state;
	assert_int_equal(port_pool_create(&pool, &config), 0);
	assert_int_equal(port_pool_pairs(pool), 49); /* 10002 to 10099 */
	for (uint32_t i = 0; i < 49; i++) {
		uint16_t port = port_pool_take(pool, 0, 0);

		assert_int_equal(port % 2, 0);
		assert_in_range(port, 10002, 10098);
		assert_false(seen[port]);
		seen[port] = true;
	}
	assert_int_equal(port_pool_take(pool, 0, 0), 0);
	assert_int_equal(port_pool_exhausted(pool), 1);
	assert_int_equal(port_pool_used(pool, 0), 49);
	assert_int_not_equal(port_pool_take(pool, 1, 0), 0); /* the other address has its own */
	port_pool_destroy(pool);
}

static void the_order_is_not_that_of_the_numbers(void **state)
{
	struct port_pool_config config = {
		.port_min = 10000, .port_max = 19999, .addresses = 1, .seed = 9};
	struct port_pool *pool;
	uint32_t steps = 0;
	uint16_t before;

	(void)state;
	assert_int_equal(port_pool_create(&pool, &config), 0);
	before = port_pool_take(pool, 0, 0);
	for (uint32_t i = 0; i < 100; i++) {
		uint16_t port = port_pool_take(pool, 0, 0);

		steps += port == before + 2;
		before = port;
	}
	assert_true(steps < 5);
	port_pool_destroy(pool);
}

static void a_pair_is_used_again_only_after_the_pause(void **state)
{
	struct port_pool_config config = {
		.port_min = 10000, .port_max = 10003, .addresses = 1, .reuse_ns = 1000};
	struct port_pool *pool;
	uint16_t first, second;

	(void)state;
	assert_int_equal(port_pool_create(&pool, &config), 0);
	first = port_pool_take(pool, 0, 0);
	second = port_pool_take(pool, 0, 0);
	port_pool_put(pool, 0, second, 100);
	port_pool_put(pool, 0, first, 200);
	assert_int_equal(port_pool_take(pool, 0, 1099), 0);
	assert_int_equal(port_pool_take(pool, 0, 1100), second); /* freed first */
	assert_int_equal(port_pool_take(pool, 0, 1100), 0);
	assert_int_equal(port_pool_take(pool, 0, 1200), first);
	port_pool_destroy(pool);
}

static void a_range_without_a_pair_is_refused(void **state)
{
	static const struct {
		uint16_t min, max;
		int rc;
	} rows[] = {{10000, 10001, 0},       {10001, 10002, -EINVAL}, {10001, 10003, 0},
		    {10000, 10000, -EINVAL}, {0, 10, -EINVAL},        {65535, 65535, -EINVAL},
		    {65534, 65535, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct port_pool_config config = {
			.port_min = rows[i].min, .port_max = rows[i].max, .addresses = 1};
		struct port_pool *pool;

		assert_int_equal(port_pool_create(&pool, &config), rows[i].rc);
		port_pool_destroy(pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_are_even_distinct_and_within_the_range),
		cmocka_unit_test(the_order_is_not_that_of_the_numbers),
		cmocka_unit_test(a_pair_is_used_again_only_after_the_pause),
		cmocka_unit_test(a_range_without_a_pair_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

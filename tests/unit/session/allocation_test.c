/* Creation with the n-th allocation failing, for every n until it succeeds. */
#include "tests/unit/session/fixture.h"

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static unsigned int fails_at; /* 0 = never */

void *__wrap_calloc(size_t count, size_t size)
{
	if (fails_at > 0 && --fails_at == 0)
		return NULL;
	return __real_calloc(count, size);
}

static void a_session_table_comes_whole_or_not_at_all(void **state)
{
	struct session_table *table = NULL;
	struct fixture f;
	unsigned int n = 0;
	int rc;

	(void)state;
	fixture_open(&f, NULL);
	do {
		fails_at = ++n;
		rc = session_table_create(&table, &f.table->config, f.flows, &f.now);
		if (rc != 0) {
			assert_int_equal(rc, -ENOMEM);
			assert_null(table);
		}
	} while (rc != 0);
	fails_at = 0;
	assert_true(n > 6 + 3 * 5); /* pools and the rings of five addresses */
	session_table_destroy(table, &f.now);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_table_comes_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Users and dial plan. */
#include "control/pbx/routes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void every_user_is_found_by_its_whole_extension(void **state)
{
	enum { USERS = 500 };
	static char extension[USERS][16];
	static struct config_user config[USERS];
	struct users *users;

	(void)state;
	for (int i = 0; i < USERS; i++) {
		snprintf(extension[i], sizeof(extension[i]), "%d", 1000 + i);
		config[i] = (struct config_user){.extension = extension[i], .md5 = "d"};
	}
	assert_int_equal(users_create(&users, config, USERS), 0);
	assert_int_equal(users_count(users), USERS);
	for (int i = 0; i < USERS; i++) {
		const struct exchange_user *user = users_find(users, extension[i], 4);

		assert_non_null(user);
		assert_string_equal(user->extension, extension[i]);
		assert_string_equal(user->name, extension[i]);
		assert_null(user->sha256);
		assert_null(users_find(users, extension[i], 3));
	}
	assert_null(users_find(users, "9999", 4));
	assert_null(users_find(users, "", 0));
	users_destroy(users);
}

static void extension_twice_is_refused(void **state)
{
	struct config_user config[] = {{.extension = "1"}, {.extension = "2"}, {.extension = "1"}};
	struct users *users;

	(void)state;
	assert_int_equal(users_create(&users, config, 3), -EEXIST);
}

static void number_leads_to_extension_echo_or_nowhere(void **state)
{
	struct config_user config[] = {{.extension = "1001", .name = "Ann"}};
	const struct exchange_user *user;
	struct routes *routes;
	struct users *users;

	(void)state;
	assert_int_equal(users_create(&users, config, 1), 0);
	assert_int_equal(routes_create(&routes, users, "600"), 0);
	assert_int_equal(routes_find(routes, "1001", 4, &user), ROUTE_EXTENSION);
	assert_string_equal(user->name, "Ann");
	assert_int_equal(routes_find(routes, "600", 3, &user), ROUTE_ECHO);
	assert_null(user);
	assert_int_equal(routes_find(routes, "60", 2, &user), ROUTE_UNKNOWN);
	assert_int_equal(routes_find(routes, "6000", 4, &user), ROUTE_UNKNOWN);
	assert_int_equal(routes_find(routes, "", 0, &user), ROUTE_UNKNOWN);
	routes_destroy(routes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_user_is_found_by_its_whole_extension),
		cmocka_unit_test(extension_twice_is_refused),
		cmocka_unit_test(number_leads_to_extension_echo_or_nowhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

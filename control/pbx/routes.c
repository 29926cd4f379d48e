/* The dial plan: extensions and the echo. */
#include "control/pbx/routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct routes {
	struct users *users;
	char *echo;
};

int routes_create(struct routes **routes, struct users *users, const char *echo)
{
	struct routes *r = calloc(1, sizeof(*r));

	if (r) {
		r->users = users;
		r->echo = strdup(echo ? echo : "");
	}
	if (!r || !r->echo) {
		free(r);
		users_destroy(users);
		return -ENOMEM;
	}
	*routes = r;
	return 0;
}

void routes_destroy(struct routes *routes)
{
	if (!routes)
		return;
	users_destroy(routes->users);
	free(routes->echo);
	free(routes);
}

/* A user with the echo's number comes first: who is configured can be called. */
enum route_kind routes_find(const struct routes *routes, const char *number, size_t len,
			    const struct exchange_user **user)
{
	*user = users_find(routes->users, number, len);
	if (*user)
		return ROUTE_EXTENSION;
	if (len && strlen(routes->echo) == len && memcmp(routes->echo, number, len) == 0)
		return ROUTE_ECHO;
	return ROUTE_UNKNOWN;
}

const struct users *routes_users(const struct routes *routes)
{
	return routes->users;
}

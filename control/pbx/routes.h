/* The dial plan: where a number leads. An immutable snapshot, made anew when the configuration
 * changes. */
#pragma once

#include "control/pbx/users.h"

struct routes;

/* Owns the users snapshot from here on, also when it fails. echo is copied. -ENOMEM. */
int routes_create(struct routes **routes, struct users *users, const char *echo);
void routes_destroy(struct routes *routes);

enum route_kind { ROUTE_UNKNOWN, ROUTE_ECHO, ROUTE_EXTENSION };

/* *user is set for ROUTE_EXTENSION; it lives as long as the snapshot. */
enum route_kind routes_find(const struct routes *routes, const char *number, size_t len,
			    const struct exchange_user **user);
const struct users *routes_users(const struct routes *routes);

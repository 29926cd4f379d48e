/* The users of the exchange: an immutable snapshot of the configuration, looked up by extension. */
#pragma once

#include "control/b2bua/exchange.h"
#include "dataplane/base/config.h"

struct users;

/* Copies what it needs. -ENOMEM, -EEXIST when an extension is there twice. */
int users_create(struct users **users, const struct config_user *config, uint32_t count);
void users_destroy(struct users *users);

/* The user with this extension (exact bytes), or NULL. Valid as long as the snapshot. */
const struct exchange_user *users_find(const struct users *users, const char *extension,
				       size_t len);
uint32_t users_count(const struct users *users);

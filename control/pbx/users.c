/* Users: an open-addressed table over one array, made once and never changed. */
#include "control/pbx/users.h"
#include "control/pbx/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct users {
	struct exchange_user *user;
	uint32_t count;
	uint32_t mask;
	uint32_t *slot; /* index into user + 1; 0 = empty */
};

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static int user_add(struct users *users, const struct config_user *from)
{
	size_t len = strlen(from->extension);
	struct exchange_user *user = &users->user[users->count];
	uint32_t at = text_hash(from->extension, len) & users->mask;

	if (users_find(users, from->extension, len))
		return -EEXIST;
	users->count++;
	user->extension = copy(from->extension);
	user->name = copy(from->name ? from->name : from->extension);
	user->md5 = copy(from->md5);
	user->sha256 = copy(from->sha256);
	if (!user->extension || !user->name || (from->md5 && !user->md5) ||
	    (from->sha256 && !user->sha256))
		return -ENOMEM;
	while (users->slot[at])
		at = (at + 1) & users->mask;
	users->slot[at] = users->count;
	return 0;
}

int users_create(struct users **users, const struct config_user *config, uint32_t count)
{
	struct users *u = calloc(1, sizeof(*u));
	uint32_t slots = 16;
	int err = 0;

	if (!u)
		return -ENOMEM;
	while (slots < count * 2)
		slots *= 2;
	u->mask = slots - 1;
	u->slot = calloc(slots, sizeof(*u->slot));
	u->user = calloc(count ? count : 1, sizeof(*u->user));
	if (!u->slot || !u->user)
		err = -ENOMEM;
	for (uint32_t i = 0; !err && i < count; i++)
		err = user_add(u, &config[i]);
	if (err) {
		users_destroy(u);
		return err;
	}
	*users = u;
	return 0;
}

void users_destroy(struct users *users)
{
	if (!users)
		return;
	for (uint32_t i = 0; i < users->count; i++) {
		free((char *)users->user[i].extension);
		free((char *)users->user[i].name);
		free((char *)users->user[i].md5);
		free((char *)users->user[i].sha256);
	}
	free(users->user);
	free(users->slot);
	free(users);
}

const struct exchange_user *users_find(const struct users *users, const char *extension, size_t len)
{
	uint32_t at = text_hash(extension, len) & users->mask;

	for (; users->slot[at]; at = (at + 1) & users->mask) {
		const struct exchange_user *user = &users->user[users->slot[at] - 1];

		if (strlen(user->extension) == len && memcmp(user->extension, extension, len) == 0)
			return user;
	}
	return NULL;
}

uint32_t users_count(const struct users *users)
{
	return users->count;
}

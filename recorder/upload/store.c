/* What all object stores share: choice by configuration, keys. */
#include "recorder/upload/store.h"

#include <errno.h>
#include <string.h>

int store_create(struct store **store, const struct config_store *config, const char *scratch)
{
	if (config->kind == CONFIG_STORE_S3)
		return store_s3_create(store, config, scratch);
	return store_directory_create(store, config->directory);
}

void store_destroy(struct store *store)
{
	if (store)
		store->ops->destroy(store);
}

bool store_key_is_valid(const char *key)
{
	size_t n = strlen(key);

	if (n == 0 || n >= STORE_KEY_MAX ||
	    strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/") !=
		    n ||
	    key[n - 1] == '/')
		return false;
	for (const char *part = key; part; part = strchr(part, '/')) {
		if (part != key)
			part++;
		if (*part == '.' || *part == '/' || *part == '\0')
			return false;
	}
	return true;
}

/*
 * Where finished recordings go: five functions, implemented by a directory and by S3. Calls block
 * (they run in upload and HTTP threads) and may be made from several threads at once.
 *
 * A key is "YYYY/MM/DD/ID.wav": relative, of [A-Za-z0-9._/-], no part begins with a dot.
 */
#pragma once

#include "dataplane/base/config.h"
#include "recorder/format/digest.h"

#include <stdatomic.h>
#include <stdbool.h>

#define STORE_KEY_MAX   256
#define STORE_ERROR_MAX 256

struct store;

struct store_ops {
	/* Makes directory or bucket when it is absent. 0 or -errno, and a line for people. */
	int (*prepare)(struct store *store, char error[STORE_ERROR_MAX]);
	/* Stores the file under the key, replacing what is there; never half of it. */
	int (*put)(struct store *store, const char *key, const char *path,
		   const struct digest_sums *sums, char error[STORE_ERROR_MAX]);
	/* 0 when the store has just these bytes under the key; -ENOENT; -EBADMSG: something else.
	 */
	int (*verify)(struct store *store, const char *key, const struct digest_sums *sums,
		      char error[STORE_ERROR_MAX]);
	/* *fd: a file of the object's bytes, at its start, the caller's to close. -ENOENT. */
	int (*get)(struct store *store, const char *key, int *fd, char error[STORE_ERROR_MAX]);
	/* -ENOENT is fine. */
	int (*remove)(struct store *store, const char *key, char error[STORE_ERROR_MAX]);
	void (*destroy)(struct store *store);
};

struct store {
	const struct store_ops *ops;
	_Atomic bool stopping; /* set from any thread: calls under way return soon, -ECANCELED */
};

/* By config->kind; scratch: a directory for temporary files of get. */
int store_create(struct store **store, const struct config_store *config, const char *scratch);
int store_directory_create(struct store **store, const char *directory);
int store_s3_create(struct store **store, const struct config_store *config, const char *scratch);
void store_destroy(struct store *store);

bool store_key_is_valid(const char *key);

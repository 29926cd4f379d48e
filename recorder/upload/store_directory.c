/*
 * The directory store: an object is a file. Written beside its place, synced, renamed, and its
 * directories synced, so that after a power cut it is there whole or not at all.
 */
#include "recorder/upload/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct store_directory {
	struct store store;
	char path[]; /* of the root */
};

static int fail(char error[STORE_ERROR_MAX], int code, const char *what, const char *name)
{
	snprintf(error, STORE_ERROR_MAX, "%s %.150s: %s", what, name, strerror(-code));
	return code;
}

static int root_open(const struct store_directory *directory)
{
	int fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int directory_prepare(struct store *store, char error[STORE_ERROR_MAX])
{
	struct store_directory *directory = (struct store_directory *)store;

	if (mkdir(directory->path, 0750) < 0 && errno != EEXIST)
		return fail(error, -errno, "making", directory->path);
	return 0;
}

/* Opens (and with `make` creates) the directory that holds the key's file; *name is the rest. */
static int parent_open(const struct store_directory *directory, const char *key, bool make,
		       const char **name)
{
	int fd = root_open(directory);
	const char *slash;

	while (fd >= 0 && (slash = strchr(key, '/'))) {
		char part[STORE_KEY_MAX];
		int next;

		memcpy(part, key, (size_t)(slash - key));
		part[slash - key] = '\0';
		if (make && mkdirat(fd, part, 0750) == 0)
			fsync(fd);
		next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		next = next < 0 ? -errno : next;
		close(fd);
		fd = next;
		key = slash + 1;
	}
	*name = key;
	return fd;
}

static int bytes_copy(int from, int to, const struct store *store)
{
	for (;;) {
		ssize_t got = copy_file_range(from, NULL, to, NULL, 1 << 20, 0);

		if (got == 0)
			return 0;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			break;
		if (atomic_load_explicit(&store->stopping, memory_order_relaxed))
			return -ECANCELED;
	}
	/* across file systems that know no copy: by hand, from where it stopped */
	for (;;) {
		char bytes[64 * 1024];
		ssize_t got = read(from, bytes, sizeof(bytes));
		ssize_t done = 0;

		if (got < 0)
			return -errno;
		if (got == 0)
			return 0;
		while (done < got) {
			ssize_t put = write(to, bytes + done, (size_t)(got - done));

			if (put < 0)
				return -errno;
			done += put;
		}
	}
}

static int file_put(struct store *store, int parent, const char *name, const char *path)
{
	char partial[STORE_KEY_MAX + 8];
	int from, to, error;

	snprintf(partial, sizeof(partial), ".%s.part", name);
	from = open(path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return -errno;
	to = openat(parent, partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (to < 0) {
		error = -errno;
		close(from);
		return error;
	}
	error = bytes_copy(from, to, store);
	close(from);
	if (!error && fsync(to) < 0)
		error = -errno;
	if (close(to) < 0 && !error)
		error = -errno;
	if (!error && (renameat(parent, partial, parent, name) < 0 || fsync(parent) < 0))
		error = -errno;
	if (error)
		unlinkat(parent, partial, 0);
	return error;
}

static int directory_put(struct store *store, const char *key, const char *path,
			 const struct digest_sums *sums, char error[STORE_ERROR_MAX])
{
	const char *name;
	int outcome, parent;

	(void)sums;
	if (!store_key_is_valid(key))
		return fail(error, -EINVAL, "key", key);
	parent = parent_open((struct store_directory *)store, key, true, &name);
	if (parent < 0)
		return fail(error, parent, "directory of", key);
	outcome = file_put(store, parent, name, path);
	close(parent);
	return outcome ? fail(error, outcome, "storing", key) : 0;
}

static int directory_get(struct store *store, const char *key, int *fd, char error[STORE_ERROR_MAX])
{
	const char *name;
	int parent;

	*fd = -1;
	if (!store_key_is_valid(key))
		return fail(error, -EINVAL, "key", key);
	parent = parent_open((struct store_directory *)store, key, false, &name);
	if (parent < 0)
		return fail(error, parent, "directory of", key);
	*fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd < 0) {
		int code = -errno;

		close(parent);
		return fail(error, code, "opening", key);
	}
	close(parent);
	return 0;
}

static int directory_verify(struct store *store, const char *key, const struct digest_sums *sums,
			    char error[STORE_ERROR_MAX])
{
	struct digest_sums found;
	int fd, outcome = directory_get(store, key, &fd, error);

	if (outcome)
		return outcome;
	outcome = digest_file(fd, &found);
	close(fd);
	if (outcome)
		return fail(error, outcome, "reading", key);
	if (found.bytes != sums->bytes || strcmp(found.sha256, sums->sha256) != 0)
		return fail(error, -EBADMSG, "comparing", key);
	return 0;
}

static int directory_remove(struct store *store, const char *key, char error[STORE_ERROR_MAX])
{
	const char *name;
	int outcome = 0, parent;

	if (!store_key_is_valid(key))
		return fail(error, -EINVAL, "key", key);
	parent = parent_open((struct store_directory *)store, key, false, &name);
	if (parent == -ENOENT)
		return 0;
	if (parent < 0)
		return fail(error, parent, "directory of", key);
	if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
		outcome = fail(error, -errno, "deleting", key);
	fsync(parent);
	close(parent);
	return outcome;
}

static void directory_destroy(struct store *store)
{
	free(store);
}

int store_directory_create(struct store **store, const char *path)
{
	static const struct store_ops ops = {
		.prepare = directory_prepare,
		.put = directory_put,
		.verify = directory_verify,
		.get = directory_get,
		.remove = directory_remove,
		.destroy = directory_destroy,
	};
	struct store_directory *directory = calloc(1, sizeof(*directory) + strlen(path) + 1);

	*store = NULL;
	if (!directory)
		return -ENOMEM;
	directory->store.ops = &ops;
	strcpy(directory->path, path);
	*store = &directory->store;
	return 0;
}

/*
 * The live set's file. It replaces the one before it only when it is whole and on disk; what it
 * says is believed only when its checksum agrees.
 */
#include "control/tiers/live_set.h"

#include "recorder/log/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKPOINT_MAGIC   0x50434454 /* "TDCP" */
#define CHECKPOINT_VERSION 1
#define CHECKPOINT_MAX     (UINT64_C(1) << 30)

struct checkpoint_head {
	uint32_t magic;
	uint32_t version;
	uint64_t position;
	uint32_t count;
	uint32_t zero;
};

struct checkpoint_entry {
	uint16_t type;
	uint16_t version;
	uint32_t length;
};

static int checkpoint_path(char *out, size_t n, const char *directory, const char *name)
{
	int len = snprintf(out, n, "%s/%s", directory, name);

	return len > 0 && (size_t)len < n ? 0 : -ENAMETOOLONG;
}

/* ---- saving ---- */

struct saver {
	FILE *file;
	uint32_t crc;
};

static int save_bytes(struct saver *saver, const void *bytes, size_t n)
{
	saver->crc = crc32c(saver->crc, bytes, n);
	return fwrite(bytes, 1, n, saver->file) == n ? 0 : -EIO;
}

static int save_entry(void *arg, const struct live_entry *entry)
{
	struct checkpoint_entry head = {
		.type = (uint16_t)entry->type,
		.version = entry->version,
		.length = (uint32_t)entry->body_len,
	};
	int rc = save_bytes(arg, &head, sizeof(head));

	return rc < 0 ? rc : save_bytes(arg, entry->body, entry->body_len);
}

static int save_all(const struct live_set *set, uint64_t position, FILE *file)
{
	struct checkpoint_head head = {
		.magic = CHECKPOINT_MAGIC,
		.version = CHECKPOINT_VERSION,
		.position = position,
		.count = live_set_count(set),
	};
	struct saver saver = {.file = file};
	int rc = save_bytes(&saver, &head, sizeof(head));
	uint32_t crc;

	if (rc < 0)
		return rc;
	rc = live_set_each(set, save_entry, &saver);
	if (rc < 0)
		return rc;
	crc = saver.crc;
	rc = save_bytes(&saver, &crc, sizeof(crc));
	if (rc < 0)
		return rc;
	if (fflush(file) != 0 || fsync(fileno(file)) != 0)
		return -errno;
	return 0;
}

static int sync_directory(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		rc = -errno;
	close(fd);
	return rc;
}

int live_set_save(const struct live_set *set, const char *directory, uint64_t position)
{
	char path[4096], fresh[4096];
	FILE *file;
	int rc;

	if (checkpoint_path(path, sizeof(path), directory, "state.checkpoint") < 0 ||
	    checkpoint_path(fresh, sizeof(fresh), directory, "state.checkpoint.new") < 0)
		return -ENAMETOOLONG;
	file = fopen(fresh, "wbe");
	if (!file)
		return -errno;
	rc = save_all(set, position, file);
	if (fclose(file) != 0 && rc == 0)
		rc = -EIO;
	if (rc == 0 && rename(fresh, path) != 0)
		rc = -errno;
	if (rc == 0)
		return sync_directory(directory);
	unlink(fresh);
	return rc;
}

/* ---- loading ---- */

/* The whole file, malloced; its length, or -errno. */
static int64_t read_whole(const char *path, uint8_t **bytes)
{
	struct stat stat;
	int64_t rc;
	FILE *file;

	file = fopen(path, "rbe");
	if (!file)
		return -errno;
	rc = -EIO;
	if (fstat(fileno(file), &stat) != 0)
		goto out;
	rc = -EBADMSG;
	if (stat.st_size < 0 || (uint64_t)stat.st_size > CHECKPOINT_MAX)
		goto out;
	*bytes = malloc((size_t)stat.st_size + 1);
	rc = -ENOMEM;
	if (!*bytes)
		goto out;
	rc = (int64_t)fread(*bytes, 1, (size_t)stat.st_size, file);
	if (rc != stat.st_size) {
		free(*bytes);
		rc = -EIO;
	}
out:
	fclose(file);
	return rc;
}

static int load_entries(struct live_set *set, const struct checkpoint_head *head, const uint8_t *at,
			const uint8_t *end)
{
	for (uint32_t i = 0; i < head->count; i++) {
		struct checkpoint_entry entry;
		struct journal_record record;
		int rc;

		if ((size_t)(end - at) < sizeof(entry))
			return -EBADMSG;
		memcpy(&entry, at, sizeof(entry));
		at += sizeof(entry);
		if (entry.length > (size_t)(end - at))
			return -EBADMSG;
		rc = journal_record_decode(&record, entry.type, entry.version, at, entry.length);
		if (rc == 0)
			rc = live_set_apply(set, &record, at, entry.length);
		if (rc < 0 && rc != -EPROTO)
			return rc;
		at += entry.length;
	}
	return at == end ? 0 : -EBADMSG;
}

static int load_all(struct live_set *set, const uint8_t *bytes, size_t n, uint64_t *position)
{
	struct checkpoint_head head;
	uint32_t crc;
	int rc;

	if (n < sizeof(head) + sizeof(crc))
		return -EBADMSG;
	memcpy(&head, bytes, sizeof(head));
	memcpy(&crc, bytes + n - sizeof(crc), sizeof(crc));
	if (head.magic != CHECKPOINT_MAGIC || head.version != CHECKPOINT_VERSION ||
	    crc32c(0, bytes, n - sizeof(crc)) != crc)
		return -EBADMSG;
	rc = load_entries(set, &head, bytes + sizeof(head), bytes + n - sizeof(crc));
	if (rc == 0)
		*position = head.position;
	return rc;
}

int live_set_load(struct live_set *set, const char *directory, uint64_t *position)
{
	uint8_t *bytes = NULL;
	char path[4096];
	int64_t n;
	int rc;

	*position = 0;
	rc = checkpoint_path(path, sizeof(path), directory, "state.checkpoint");
	if (rc < 0)
		return rc;
	n = read_whole(path, &bytes);
	if (n < 0)
		return (int)n;
	rc = load_all(set, bytes, (size_t)n, position);
	free(bytes);
	if (rc < 0)
		live_set_clear(set);
	return rc;
}

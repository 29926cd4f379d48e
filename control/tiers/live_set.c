/*
 * The live set: a chained hash table whose entries are also in a list, in the order in which they
 * first came.
 */
#include "control/tiers/live_set.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/list.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_FIRST 256
#define KEY_MAX       (2 * (JOURNAL_TEXT_MAX + 1) + 1)

struct entry {
	struct list order;
	struct entry *next; /* in its bucket */
	uint64_t hash;
	uint64_t expires_ns; /* 0 = never */
	enum journal_type type;
	uint16_t version;
	uint32_t key_len;
	uint32_t body_len;
	char bytes[]; /* key, body */
};

struct live_set {
	struct entry **buckets;
	uint32_t buckets_count; /* power of two */
	uint32_t count;
	uint32_t entries_max;
	uint64_t seed; /* contacts come from strangers */
	struct list order;
};

int live_set_create(struct live_set **out, uint32_t entries_max)
{
	struct live_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	list_init(&set->order);
	set->buckets = calloc(BUCKETS_FIRST, sizeof(struct entry *));
	if (!set->buckets) {
		free(set);
		return -ENOMEM;
	}
	set->buckets_count = BUCKETS_FIRST;
	set->entries_max = entries_max;
	random_bytes(&set->seed, sizeof(set->seed));
	*out = set;
	return 0;
}

void live_set_clear(struct live_set *set)
{
	struct list *node, *after;

	list_each_safe (node, after, &set->order)
		free(list_entry(node, struct entry, order));
	list_init(&set->order);
	memset(set->buckets, 0, set->buckets_count * sizeof(struct entry *));
	set->count = 0;
}

void live_set_destroy(struct live_set *set)
{
	if (!set)
		return;
	live_set_clear(set);
	free(set->buckets);
	free(set);
}

/* FNV-1a, 64 bit, from a seed that nobody outside knows. */
static uint64_t hash_key(const struct live_set *set, const char *key, size_t n)
{
	uint64_t hash = set->seed ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)key[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

/* What a record is known by: its kind's letter and its key texts with their NULs; 0 when it does
 * not matter here. */
static size_t record_key(const struct journal_record *record, char key[KEY_MAX])
{
	const char *first, *second = NULL;
	size_t len, n = 1;

	switch (record->type) {
	case JOURNAL_CALL:
		key[0] = 'c';
		first = record->call.cdr.id;
		break;
	case JOURNAL_CDR:
		key[0] = 'c';
		first = record->cdr.id;
		break;
	case JOURNAL_BINDING_ADD:
	case JOURNAL_BINDING_DEL:
		key[0] = 'b';
		first = record->binding.aor;
		second = record->binding.contact;
		break;
	default:
		return 0;
	}
	len = strlen(first) + 1;
	if (n + len > KEY_MAX)
		return 0;
	memcpy(key + n, first, len);
	n += len;
	if (second) {
		len = strlen(second) + 1;
		if (n + len > KEY_MAX)
			return 0;
		memcpy(key + n, second, len);
		n += len;
	}
	return n;
}

/* Where the entry with this key hangs, or the end of its bucket's chain. */
static struct entry **find_place(struct live_set *set, uint64_t hash, const char *key, size_t n)
{
	struct entry **place = &set->buckets[hash & (set->buckets_count - 1)];

	for (; *place; place = &(*place)->next) {
		const struct entry *entry = *place;

		if (entry->hash == hash && entry->key_len == n && memcmp(entry->bytes, key, n) == 0)
			break;
	}
	return place;
}

/* Twice the buckets; without memory the chains just get longer. */
static void grow(struct live_set *set)
{
	uint32_t count = set->buckets_count * 2;
	struct entry **buckets = calloc(count, sizeof(struct entry *));
	struct list *node;

	if (!buckets)
		return;
	list_each (node, &set->order) {
		struct entry *entry = list_entry(node, struct entry, order);
		struct entry **bucket = &buckets[entry->hash & (count - 1)];

		entry->next = *bucket;
		*bucket = entry;
	}
	free(set->buckets);
	set->buckets = buckets;
	set->buckets_count = count;
}

static void remove_at(struct live_set *set, struct entry **place)
{
	struct entry *entry = *place;

	*place = entry->next;
	list_remove(&entry->order);
	free(entry);
	set->count--;
}

static int put(struct live_set *set, struct entry **place, const struct journal_record *record,
	       const char *key, size_t key_len, uint64_t hash, const void *body, size_t n)
{
	struct entry *old = *place;
	struct entry *entry;

	if (!old && set->count >= set->entries_max)
		return -ENOSPC;
	entry = malloc(sizeof(*entry) + key_len + n);
	if (!entry)
		return -ENOMEM;
	entry->hash = hash;
	entry->type = record->type;
	entry->version = record->version;
	entry->expires_ns = record->type == JOURNAL_BINDING_ADD ? record->binding.expires_ns : 0;
	entry->key_len = (uint32_t)key_len;
	entry->body_len = (uint32_t)n;
	memcpy(entry->bytes, key, key_len);
	memcpy(entry->bytes + key_len, body, n);
	list_init(&entry->order);
	if (old) {
		list_add_before(&entry->order, &old->order);
		entry->next = old->next;
		*place = entry;
		list_remove(&old->order);
		free(old);
		return 0;
	}
	list_append(&set->order, &entry->order);
	entry->next = NULL;
	*place = entry;
	if (++set->count > set->buckets_count)
		grow(set);
	return 0;
}

int live_set_apply(struct live_set *set, const struct journal_record *record, const void *body,
		   size_t n)
{
	char key[KEY_MAX];
	size_t key_len = record_key(record, key);
	struct entry **place;
	uint64_t hash;

	if (key_len == 0)
		return 0;
	hash = hash_key(set, key, key_len);
	place = find_place(set, hash, key, key_len);
	if (record->type == JOURNAL_CDR || record->type == JOURNAL_BINDING_DEL) {
		if (*place)
			remove_at(set, place);
		return 0;
	}
	return put(set, place, record, key, key_len, hash, body, n);
}

uint32_t live_set_expire(struct live_set *set, uint64_t now_ns)
{
	uint32_t expired = 0;
	struct list *node, *after;

	list_each_safe (node, after, &set->order) {
		struct entry *entry = list_entry(node, struct entry, order);

		if (entry->expires_ns == 0 || entry->expires_ns >= now_ns)
			continue;
		remove_at(set, find_place(set, entry->hash, entry->bytes, entry->key_len));
		expired++;
	}
	return expired;
}

uint32_t live_set_count(const struct live_set *set)
{
	return set->count;
}

int live_set_each(const struct live_set *set,
		  int (*each)(void *arg, const struct live_entry *entry), void *arg)
{
	struct list *node;

	list_each (node, &set->order) {
		const struct entry *entry = list_entry(node, struct entry, order);
		struct live_entry shown = {
			.type = entry->type,
			.version = entry->version,
			.body = entry->bytes + entry->key_len,
			.body_len = entry->body_len,
		};
		int rc = each(arg, &shown);

		if (rc != 0)
			return rc;
	}
	return 0;
}

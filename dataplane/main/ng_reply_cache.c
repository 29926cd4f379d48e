/* Kept replies; see the header. */
#include "dataplane/main/ng_reply_cache.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

struct kept {
	struct list age;
	struct list bucket;
	uint64_t hash;
	uint64_t expires_ms;
	struct endpoint from;
	size_t cookie_len;
	size_t dictionary_len;
	size_t len;
	char reply[];
};

struct ng_reply_cache {
	uint32_t replies_max;
	size_t bytes_max;
	uint64_t age_ms;
	uint64_t seed;
	uint32_t count;
	size_t bytes;
	struct list age;
	struct list buckets[BUCKETS];
};

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

/* Seeded, so that nobody can prepare two requests that are taken for one. */
static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t n)
{
	uint64_t word;

	hash = mix(hash, n);
	for (; n >= sizeof(word); bytes += sizeof(word), n -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = mix(hash, word);
	}
	word = 0;
	memcpy(&word, bytes, n);
	return mix(mix(hash, word), hash >> 32);
}

static uint64_t request_hash(const struct ng_reply_cache *cache,
			     const struct ng_request_id *request)
{
	uint64_t hash = hash_bytes(cache->seed, (const char *)request->from.address.ip,
				   sizeof(request->from.address.ip));

	hash = mix(hash, request->from.port);
	hash = hash_bytes(hash, request->cookie, request->cookie_len);
	return hash_bytes(hash, request->dictionary, request->dictionary_len);
}

static void kept_drop(struct ng_reply_cache *cache, struct kept *kept)
{
	list_remove(&kept->age);
	list_remove(&kept->bucket);
	cache->count--;
	cache->bytes -= sizeof(*kept) + kept->len;
	free(kept);
}

static struct kept *oldest(struct ng_reply_cache *cache)
{
	return list_is_empty(&cache->age) ? NULL : list_entry(cache->age.next, struct kept, age);
}

int ng_reply_cache_create(struct ng_reply_cache **out, uint32_t replies_max, size_t bytes_max,
			  uint64_t age_ms)
{
	struct ng_reply_cache *cache = calloc(1, sizeof(*cache));

	*out = cache;
	if (!cache)
		return -ENOMEM;
	cache->replies_max = replies_max;
	cache->bytes_max = bytes_max;
	cache->age_ms = age_ms;
	random_bytes(&cache->seed, sizeof(cache->seed));
	list_init(&cache->age);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&cache->buckets[i]);
	return 0;
}

void ng_reply_cache_destroy(struct ng_reply_cache *cache)
{
	if (!cache)
		return;
	while (!list_is_empty(&cache->age))
		kept_drop(cache, oldest(cache));
	free(cache);
}

const char *ng_reply_cache_find(struct ng_reply_cache *cache, const struct ng_request_id *request,
				uint64_t now_ms, size_t *len)
{
	uint64_t hash = request_hash(cache, request);
	struct list *head = &cache->buckets[hash % BUCKETS], *node;

	ng_reply_cache_expire(cache, now_ms);
	list_each (node, head) {
		struct kept *kept = list_entry(node, struct kept, bucket);

		if (kept->hash == hash && endpoint_equal(&kept->from, &request->from) &&
		    kept->dictionary_len == request->dictionary_len &&
		    kept->cookie_len == request->cookie_len &&
		    memcmp(kept->reply, request->cookie, request->cookie_len) == 0) {
			*len = kept->len;
			return kept->reply;
		}
	}
	return NULL;
}

void ng_reply_cache_put(struct ng_reply_cache *cache, const struct ng_request_id *request,
			uint64_t now_ms, const char *reply, size_t len)
{
	size_t bytes = sizeof(struct kept) + len;
	struct kept *kept;

	if (bytes > cache->bytes_max || cache->replies_max == 0)
		return;
	while (cache->count >= cache->replies_max || cache->bytes > cache->bytes_max - bytes)
		kept_drop(cache, oldest(cache));
	kept = malloc(bytes);
	if (!kept)
		return;
	kept->hash = request_hash(cache, request);
	kept->expires_ms = now_ms + cache->age_ms;
	kept->from = request->from;
	kept->cookie_len = request->cookie_len;
	kept->dictionary_len = request->dictionary_len;
	kept->len = len;
	memcpy(kept->reply, reply, len);
	list_append(&cache->age, &kept->age);
	list_append(&cache->buckets[kept->hash % BUCKETS], &kept->bucket);
	cache->count++;
	cache->bytes += bytes;
}

uint64_t ng_reply_cache_expire(struct ng_reply_cache *cache, uint64_t now_ms)
{
	struct kept *kept;

	while ((kept = oldest(cache)) != NULL) {
		if (kept->expires_ms > now_ms)
			return kept->expires_ms;
		kept_drop(cache, kept);
	}
	return 0;
}

uint32_t ng_reply_cache_count(const struct ng_reply_cache *cache)
{
	return cache->count;
}

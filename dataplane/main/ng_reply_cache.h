/*
 * Replies kept for requests that come again: a client that saw no reply sends the same bytes with
 * the same cookie, and must get the same reply without the request being carried out twice.
 *
 *   oldest <-> ... <-> newest      age list, also the order in which room is made
 *   buckets[hash(source, request)] look-up
 */
#pragma once

#include "dataplane/base/address.h"

#include <stddef.h>
#include <stdint.h>

struct ng_reply_cache;

struct ng_request_id {
	struct endpoint from; /* zero for all streams: a client may come back on another one */
	const char *cookie;
	size_t cookie_len;
	const char *dictionary;
	size_t dictionary_len;
};

int ng_reply_cache_create(struct ng_reply_cache **cache, uint32_t replies_max, size_t bytes_max,
			  uint64_t age_ms);
void ng_reply_cache_destroy(struct ng_reply_cache *cache);

/* The reply kept for this request, valid until the next call, or NULL. */
const char *ng_reply_cache_find(struct ng_reply_cache *cache, const struct ng_request_id *request,
				uint64_t now_ms, size_t *len);
/* Keeps a copy of the reply, which begins with the request's cookie; the oldest ones make room. One
 * that is too long for the cache, or for which there is no memory, is not kept. */
void ng_reply_cache_put(struct ng_reply_cache *cache, const struct ng_request_id *request,
			uint64_t now_ms, const char *reply, size_t len);
/* Drops what is too old. Returns the time at which the next one will be, 0 when none is left. */
uint64_t ng_reply_cache_expire(struct ng_reply_cache *cache, uint64_t now_ms);
uint32_t ng_reply_cache_count(const struct ng_reply_cache *cache);

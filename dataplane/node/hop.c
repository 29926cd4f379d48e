/* The next hop table: one writer (main lcore), many readers (workers), and the queue of questions.
 */
#include "dataplane/node/hop.h"

#include "dataplane/base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 5

int hop_table_create(struct hop_table **table, uint32_t workers)
{
	struct hop_table *t;

	*table = NULL;
	if (workers == 0 || workers > HOP_WORKERS_MAX)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	t->workers = workers;
	for (uint32_t i = 0; i < workers; i++) {
		t->used[i] = calloc(HOP_TABLE_PLACES, sizeof(*t->used[i]));
		if (t->used[i] == NULL) {
			hop_table_destroy(t);
			return -ENOMEM;
		}
	}
	random_bytes(&t->seed, sizeof(t->seed));
	*table = t;
	return 0;
}

void hop_table_destroy(struct hop_table *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->workers; i++)
		free(t->used[i]);
	free(t);
}

static uint32_t window_of(const struct hop_table *t, uint8_t local, const struct address *remote)
{
	uint64_t a, b, h;

	memcpy(&a, remote->ip, 8);
	memcpy(&b, remote->ip + 8, 8);
	h = (a ^ t->seed ^ local) * UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ h >> 32 ^ b) * UINT64_C(0xd6e8feb86659fd93);
	h ^= h >> 32;
	return (uint32_t)(h * UINT64_C(0xd6e8feb86659fd93) >> 40) & (HOP_TABLE_PLACES - 1);
}

static uint32_t place_at(uint32_t window, uint32_t i)
{
	return (window + i) & (HOP_TABLE_PLACES - 1);
}

/* ---- main lcore ---- */

static bool remote_is_none(const struct address *remote)
{
	static const struct address none;

	return address_equal(remote, &none);
}

static void hop_write(struct hop_table *t, uint32_t place, const struct hop *hop)
{
	uint32_t version = atomic_load_explicit(&t->versions[place], memory_order_relaxed);
	uint64_t words[WORDS] = {0};

	memcpy(words, hop, sizeof(*hop));
	atomic_store_explicit(&t->versions[place], version + 1, memory_order_relaxed);
	/* The odd version is seen before any new word; pairs with hop_table_read's fence. */
	atomic_thread_fence(memory_order_release);
	for (int i = 0; i < WORDS; i++)
		atomic_store_explicit(&t->words[place][i], words[i], memory_order_relaxed);
	version += version + 2 == 0 ? 4 : 2; /* 0 means never written */
	/* Release: the words are whole; pairs with hop_table_read's acquire. */
	atomic_store_explicit(&t->versions[place], version, memory_order_release);
	t->copies[place] = *hop;
}

const struct hop *hop_table_at(const struct hop_table *t, uint32_t place)
{
	if (place >= HOP_TABLE_PLACES || remote_is_none(&t->copies[place].remote))
		return NULL;
	return &t->copies[place];
}

uint32_t hop_table_used_s(const struct hop_table *t, uint32_t place)
{
	uint32_t latest = 0;

	for (uint32_t i = 0; i < t->workers; i++) {
		uint32_t used = atomic_load_explicit(&t->used[i][place], memory_order_relaxed);

		if (used > latest)
			latest = used;
	}
	return latest;
}

static bool hop_is(const struct hop *hop, uint8_t local, const struct address *remote)
{
	return hop->local == local && address_equal(&hop->remote, remote);
}

int hop_table_find(const struct hop_table *t, uint8_t local, const struct address *remote)
{
	uint32_t window = window_of(t, local, remote);

	for (uint32_t i = 0; i < HOP_TABLE_WINDOW; i++) {
		uint32_t place = place_at(window, i);

		if (hop_table_at(t, place) != NULL && hop_is(&t->copies[place], local, remote))
			return (int)place;
	}
	return -ENOENT;
}

/* An empty place of the window, or the longest unused one; -ENOSPC. */
static int place_take(const struct hop_table *t, uint8_t local, const struct address *remote,
		      uint32_t now_s)
{
	uint32_t window = window_of(t, local, remote);
	uint32_t oldest_s = UINT32_MAX;
	int oldest = -ENOSPC;

	for (uint32_t i = 0; i < HOP_TABLE_WINDOW; i++) {
		uint32_t place = place_at(window, i);
		uint32_t used_s = hop_table_used_s(t, place);

		if (hop_table_at(t, place) == NULL)
			return (int)place;
		if (used_s + HOP_IDLE_S < now_s && used_s < oldest_s) {
			oldest_s = used_s;
			oldest = (int)place;
		}
	}
	return oldest;
}

int hop_table_set(struct hop_table *t, const struct hop *hop, uint32_t now_s)
{
	int place = hop_table_find(t, hop->local, &hop->remote);

	if (place < 0)
		place = place_take(t, hop->local, &hop->remote, now_s);
	if (place < 0) {
		t->full++;
		return place;
	}
	if (memcmp(&t->copies[place], hop, sizeof(*hop)) == 0)
		return place;
	/* A new hop counts as used now, lest its place be given away before its first packet. */
	if (!hop_is(&t->copies[place], hop->local, &hop->remote))
		atomic_store_explicit(&t->used[0][place], now_s, memory_order_relaxed);
	hop_write(t, (uint32_t)place, hop);
	return place;
}

void hop_table_del(struct hop_table *t, uint32_t place)
{
	static const struct hop none;

	if (hop_table_at(t, place) != NULL)
		hop_write(t, place, &none);
}

uint64_t hop_table_full(const struct hop_table *t)
{
	return t->full;
}

/* ---- worker ---- */

/* One consistent copy; false when the place is being written (try with the next packet). */
static bool hop_copy(const struct hop_table *t, uint32_t place, struct hop *hop, uint32_t *version)
{
	uint64_t words[WORDS];
	/* Acquire: pairs with the release that ended the write. */
	uint32_t before = atomic_load_explicit(&t->versions[place], memory_order_acquire);

	if (before == 0 || before & 1)
		return false;
	for (int i = 0; i < WORDS; i++)
		words[i] = atomic_load_explicit(&t->words[place][i], memory_order_relaxed);
	/* The words are read before the version again; pairs with hop_write's fence. */
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&t->versions[place], memory_order_relaxed) != before)
		return false;
	memcpy(hop, words, sizeof(*hop));
	*version = before;
	return true;
}

int hop_table_read(const struct hop_table *t, uint8_t local, const struct address *remote,
		   struct hop *hop, uint32_t *version)
{
	uint32_t window = window_of(t, local, remote);

	for (uint32_t i = 0; i < HOP_TABLE_WINDOW; i++) {
		uint32_t place = place_at(window, i);

		if (hop_copy(t, place, hop, version) && hop_is(hop, local, remote))
			return (int)place;
	}
	return -ENOENT;
}

/* ---- questions ---- */

bool hop_requests_put(struct hop_requests *requests, const struct hop_learnt *item)
{
	uint32_t head = atomic_load_explicit(&requests->head, memory_order_relaxed);
	/* Acquire: the item was read; pairs with the release of get. */
	uint32_t tail = atomic_load_explicit(&requests->tail, memory_order_acquire);

	if (head - tail == HOP_REQUESTS)
		return false;
	requests->items[head & (HOP_REQUESTS - 1)] = *item;
	/* Release: the item is whole; pairs with the acquire of get. */
	atomic_store_explicit(&requests->head, head + 1, memory_order_release);
	return true;
}

bool hop_requests_get(struct hop_requests *requests, struct hop_learnt *item)
{
	uint32_t tail = atomic_load_explicit(&requests->tail, memory_order_relaxed);
	/* Acquire: pairs with the release of put. */
	uint32_t head = atomic_load_explicit(&requests->head, memory_order_acquire);

	if (head == tail)
		return false;
	*item = requests->items[tail & (HOP_REQUESTS - 1)];
	/* Release: the item was read; pairs with the acquire of put. */
	atomic_store_explicit(&requests->tail, tail + 1, memory_order_release);
	return true;
}

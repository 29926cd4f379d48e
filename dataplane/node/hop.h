/*
 * Next hops: by which port and to which Ethernet address a remote is reached. The main lcore
 * resolves them (netlink, ARP, ND) and writes the table; workers read it only when they build the
 * headers of a slot, and from then on compare one version number per packet.
 *
 *   local, remote address --hash--> 16 places --> hops[i] {remote, port, macs}    versions[i]
 *
 * A version is odd while its hop is being written, 0 when there never was one; it changes with
 * every change, so a header that remembers it knows when it is stale.
 */
#pragma once

#include "dataplane/base/address.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HOP_TABLE_PLACES 4096 /* a power of two, below FLOW_HOP_LEARNT */
#define HOP_TABLE_WINDOW 16
#define HOP_WORKERS_MAX  16
#define HOP_REQUESTS     64  /* a power of two */
#define HOP_IDLE_S       300 /* a hop unused for so long may give its place away */

/* How a remote is reached from one of the local addresses. */
struct hop {
	struct address remote;
	uint8_t local;    /* index of the local address in the flow table */
	uint8_t macs[12]; /* destination, source */
	uint8_t port;
	bool resolved;
};

_Static_assert(sizeof(struct hop) <= 40, "fits five words");

struct hop_table {
	_Atomic uint32_t versions[HOP_TABLE_PLACES]; /* main: release; workers: acquire */
	_Atomic uint64_t words[HOP_TABLE_PLACES][5]; /* main writes: struct hop, relaxed */
	_Atomic uint32_t *used[HOP_WORKERS_MAX]; /* each its worker's: seconds of the last use */
	struct hop copies[HOP_TABLE_PLACES];     /* main's own */
	uint32_t workers;
	uint64_t seed; /* of the hash: nobody outside can aim at one window */
	uint64_t full;
};

int hop_table_create(struct hop_table **table, uint32_t workers);
void hop_table_destroy(struct hop_table *table);

/* ---- main lcore ---- */

/* Sets or replaces the hop of hop->local and hop->remote. Returns its place, or -ENOSPC when the
 * window is full of hops in use (counted). resolved = false keeps the place but serves nobody. */
int hop_table_set(struct hop_table *table, const struct hop *hop, uint32_t now_s);
/* The place of the remote's hop, or -ENOENT. */
int hop_table_find(const struct hop_table *table, uint8_t local, const struct address *remote);
/* The hop at a place, NULL when it is empty. */
const struct hop *hop_table_at(const struct hop_table *table, uint32_t place);
/* Seconds (of the workers' clock) when the hop was last used by a worker. */
uint32_t hop_table_used_s(const struct hop_table *table, uint32_t place);
/* Makes headers that use the hop be built anew. */
void hop_table_del(struct hop_table *table, uint32_t place);
uint64_t hop_table_full(const struct hop_table *table);

/* ---- worker ---- */

/* Copies the remote's hop; its place, or -ENOENT. *version is what hop_table_version says while the
 * hop stays as it is. */
int hop_table_read(const struct hop_table *table, uint8_t local, const struct address *remote,
		   struct hop *hop, uint32_t *version);

static inline uint32_t hop_table_version(const struct hop_table *table, uint32_t place)
{
	/* Relaxed: only compared; whoever finds it changed reads the hop anew. */
	return atomic_load_explicit(&table->versions[place], memory_order_relaxed);
}

/* Notes that the worker uses the hop. */
static inline void hop_table_touch(struct hop_table *table, uint32_t worker, uint32_t place,
				   uint32_t now_s)
{
	_Atomic uint32_t *used = &table->used[worker][place];

	if (atomic_load_explicit(used, memory_order_relaxed) != now_s)
		atomic_store_explicit(used, now_s, memory_order_relaxed);
}

/* ---- what workers tell the main lcore: single producer, single consumer ---- */

/* A question (known = false: how is `address` reached?) or what a neighbour told about itself. */
struct hop_learnt {
	struct address address;
	uint8_t mac[6];
	uint8_t port;  /* known: where it was heard */
	uint8_t local; /* a question: the local address */
	bool known;
};

struct hop_requests {
	_Alignas(64) _Atomic uint32_t head; /* worker: release, pairs with the acquire of get */
	_Alignas(64) _Atomic uint32_t tail; /* main: release, pairs with the acquire of put */
	struct hop_learnt items[HOP_REQUESTS];
};

bool hop_requests_put(struct hop_requests *requests, const struct hop_learnt *item);
bool hop_requests_get(struct hop_requests *requests, struct hop_learnt *item);

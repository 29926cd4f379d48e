/* Pairs of local ports: a ring of free pairs per address, oldest first. */
#include "dataplane/session/port.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

struct port_ring {
	uint16_t *pairs;    /* even ports, ring of `pairs_count` places */
	uint64_t *ready_ns; /* when the one at the same place may be given out */
	bool *taken;        /* by pair index */
	uint32_t head;
	uint32_t free;
};

struct port_pool {
	uint16_t first; /* even */
	uint32_t pairs_count;
	uint32_t addresses;
	uint64_t reuse_ns;
	uint64_t exhausted;
	struct port_ring rings[];
};

/* SplitMix64: the order need not be secret, only spread. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static int ring_init(struct port_ring *ring, const struct port_pool *pool, uint64_t *random)
{
	uint32_t n = pool->pairs_count;

	ring->pairs = calloc(n, sizeof(*ring->pairs));
	ring->ready_ns = calloc(n, sizeof(*ring->ready_ns));
	ring->taken = calloc(n, sizeof(*ring->taken));
	if (!ring->pairs || !ring->ready_ns || !ring->taken)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		ring->pairs[i] = (uint16_t)(pool->first + 2 * i);
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(next_random(random) % (i + 1));
		uint16_t pair = ring->pairs[i];

		ring->pairs[i] = ring->pairs[j];
		ring->pairs[j] = pair;
	}
	ring->free = n;
	return 0;
}

int port_pool_create(struct port_pool **pool, const struct port_pool_config *config)
{
	uint32_t first = (config->port_min + 1u) & ~1u;
	uint64_t random = config->seed;
	struct port_pool *p;
	int rc = 0;

	*pool = NULL;
	if (config->port_min == 0 || first + 1 > config->port_max || config->addresses == 0)
		return -EINVAL;
	p = calloc(1, sizeof(*p) + config->addresses * sizeof(p->rings[0]));
	if (!p)
		return -ENOMEM;
	p->first = (uint16_t)first;
	p->pairs_count = (config->port_max - first + 1) / 2;
	p->addresses = config->addresses;
	p->reuse_ns = config->reuse_ns;
	for (uint32_t i = 0; rc == 0 && i < p->addresses; i++)
		rc = ring_init(&p->rings[i], p, &random);
	if (rc != 0) {
		port_pool_destroy(p);
		return rc;
	}
	*pool = p;
	return 0;
}

void port_pool_destroy(struct port_pool *pool)
{
	if (!pool)
		return;
	for (uint32_t i = 0; i < pool->addresses; i++) {
		free(pool->rings[i].pairs);
		free(pool->rings[i].ready_ns);
		free(pool->rings[i].taken);
	}
	free(pool);
}

static uint32_t pair_index(const struct port_pool *pool, uint16_t port)
{
	return (uint32_t)(port - pool->first) / 2;
}

uint16_t port_pool_take(struct port_pool *pool, uint32_t address, uint64_t now_ns)
{
	struct port_ring *ring;
	uint16_t port;

	assert(address < pool->addresses);
	ring = &pool->rings[address];
	if (ring->free == 0 || ring->ready_ns[ring->head] > now_ns) {
		pool->exhausted++;
		return 0;
	}
	port = ring->pairs[ring->head];
	ring->head = ring->head + 1 == pool->pairs_count ? 0 : ring->head + 1;
	ring->free--;
	ring->taken[pair_index(pool, port)] = true;
	return port;
}

void port_pool_put(struct port_pool *pool, uint32_t address, uint16_t port, uint64_t now_ns)
{
	struct port_ring *ring;
	uint64_t place;

	assert(address < pool->addresses);
	ring = &pool->rings[address];
	assert(port >= pool->first && port % 2 == 0 && pair_index(pool, port) < pool->pairs_count);
	assert(ring->taken[pair_index(pool, port)]);
	ring->taken[pair_index(pool, port)] = false;
	place = (uint64_t)ring->head + ring->free;
	if (place >= pool->pairs_count)
		place -= pool->pairs_count;
	ring->pairs[place] = port;
	ring->ready_ns[place] = now_ns + pool->reuse_ns;
	ring->free++;
}

uint32_t port_pool_pairs(const struct port_pool *pool)
{
	return pool->pairs_count;
}

uint32_t port_pool_used(const struct port_pool *pool, uint32_t address)
{
	assert(address < pool->addresses);
	return pool->pairs_count - pool->rings[address].free;
}

uint64_t port_pool_exhausted(const struct port_pool *pool)
{
	return pool->exhausted;
}

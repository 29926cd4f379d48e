/*
 * Local media ports: pairs of an even port for RTP and the odd one after it for RTCP (RFC 3550 11),
 * a queue of free ones per address.
 *
 *   head -> freed longest ago ... freed last <- tail        taken from the head, put back at the
 * tail
 *
 * A pair is given out again only some time after it was put back, so that late packets of an ended
 * call do not meet the next one. The first round is in random order.
 */
#pragma once

#include <stdint.h>

struct port_pool;

struct port_pool_config {
	uint16_t port_min; /* any parity */
	uint16_t port_max;
	uint32_t addresses; /* one range for each */
	uint64_t reuse_ns;  /* pause before a pair is given out again */
	uint64_t seed;      /* for the order */
};

/* -EINVAL when the range holds no pair, -ENOMEM. */
int port_pool_create(struct port_pool **pool, const struct port_pool_config *config);
void port_pool_destroy(struct port_pool *pool);

/* The even port of a pair of the address (an index), or 0 when none is free (counted). now_ns:
 * monotonic. */
uint16_t port_pool_take(struct port_pool *pool, uint32_t address, uint64_t now_ns);
/* Puts a pair back by its even port. */
void port_pool_put(struct port_pool *pool, uint32_t address, uint16_t port, uint64_t now_ns);

uint32_t port_pool_pairs(const struct port_pool *pool); /* per address */
uint32_t port_pool_used(const struct port_pool *pool, uint32_t address);
uint64_t port_pool_exhausted(const struct port_pool *pool); /* takes refused */

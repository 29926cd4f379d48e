/* What the stages share among themselves. */
#pragma once

#include "dataplane/node/node.h"

#include <string.h>

#define FRAME_ETHERNET 14
#define FRAME_IPV4     20
#define FRAME_IPV6     40
#define FRAME_UDP      8

static inline uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* What a packet arriving at the slot will touch. */
static inline void slot_prefetch(const struct flow_table *flows, uint32_t slot)
{
	const struct flow_state *state = &flows->states[slot];

	__builtin_prefetch(&flows->slots[slot]);
	__builtin_prefetch(&state->arrival, 1);
	__builtin_prefetch(&state->source, 1);
}

/* What a packet leaving through the slot will touch. */
static inline void sink_prefetch(const struct flow_table *flows, uint32_t slot)
{
	__builtin_prefetch(&flows->slots[slot]);
	__builtin_prefetch(&flows->states[slot].header, 1);
}

/* The packet goes no further; counted for the worker and for the slot where it arrived. */
static inline void packet_drop(struct node *node, struct packet *packet, enum counter reason)
{
	packet->verdict = (uint8_t)reason;
	counter_add(&node->counters, reason, 1);
	flow_count(&node->flows->states[packet->slot].counts.dropped, 1);
}

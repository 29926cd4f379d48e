/*
 * Stage latch: learns from what arrives where to send to.
 *
 *   nothing learnt --first packet--> learning --5 in a row, or the source that SDP named--> settled
 *                                      | ^
 *                                      +-+ another source: learn that one, count anew
 *
 * Settled, another source is dropped with FLOW_STRICT_SOURCE; without it the flow moves over to
 * that source (learning again), unless it does not latch at all. A new latch_epoch (re-INVITE)
 * begins anew. With the source its Ethernet address and port are learnt: what leaves through the
 * slot goes back the way it came.
 */
#include "dataplane/node/internal.h"

#define LATCH_PACKETS 5

static bool source_is(const struct packet *p, const struct endpoint *e)
{
	return p->source_port == e->port && address_equal(&p->source, &e->address);
}

static void learn_source(struct node *node, struct packet *p, struct flow_state *state)
{
	state->arrival.remote = (struct endpoint){.address = p->source, .port = p->source_port};
	state->arrival.latch = 0;
	state->arrival.hop_known = 0;
	state->header.serial = 0;
	flow_learn(node->flows, p->slot, &state->arrival.remote);
}

/* Counts towards the settled state. Seldom: a few packets of each flow come here. */
static void learn(struct node *node, struct packet *p, struct flow_state *state)
{
	struct flow_arrival *arrival = &state->arrival;
	uint64_t word = flow_word(node->flows, p->slot);

	if (!source_is(p, &arrival->remote))
		learn_source(node, p, state);
	arrival->latch++;
	if (arrival->latch >= LATCH_PACKETS ||
	    (word != 0 && source_is(p, &flow_word_conf(node->flows, word)->remote)))
		arrival->latch = FLOW_LATCHED;
}

static void learn_hop(const struct packet *p, struct flow_state *state)
{
	struct flow_arrival *arrival = &state->arrival;

	if (arrival->hop_known && arrival->hop_port == p->port &&
	    memcmp(arrival->hop_mac, p->frame + 6, 6) == 0)
		return;
	memcpy(arrival->hop_mac, p->frame + 6, 6);
	arrival->hop_port = p->port;
	arrival->hop_known = 1;
	state->header.serial = 0;
}

void latch_burst(struct node *node, struct packet *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];
		struct flow_state *state;

		if (p->verdict != COUNTER_NONE)
			continue;
		state = &node->flows->states[p->slot];
		if (state->arrival.latch != FLOW_LATCHED) {
			learn(node, p, state);
		} else if (!source_is(p, &state->arrival.remote)) {
			if (state->arrival.flags & FLOW_STRICT_SOURCE) {
				packet_drop(node, p, DROP_STRICT_SOURCE);
				continue;
			}
			if (!(state->arrival.flags & FLOW_LATCH))
				continue;
			learn(node, p, state);
		}
		learn_hop(p, state);
	}
}

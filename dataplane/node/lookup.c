/* Stage lookup: the slot's word; what the slow path has newly published is taken over here. */
#include "dataplane/node/internal.h"

void lookup_burst(struct node *node, struct packet *packets, uint32_t n)
{
	struct flow_table *flows = node->flows;

	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];
		uint64_t word;

		if (p->verdict != COUNTER_NONE)
			continue;
		word = flow_word(flows, p->slot);
		if (word == 0) {
			p->verdict = DROP_NO_FLOW;
			counter_add(&node->counters, DROP_NO_FLOW, 1);
			continue;
		}
		if (flow_word_worker(word) != node->worker) {
			p->verdict = COUNTER_HANDOFF;
			counter_add(&node->counters, COUNTER_HANDOFF, 1);
			continue;
		}
		if (flows->states[p->slot].arrival.serial != flow_word_serial(word))
			flow_adopt(flows, p->slot, word);
	}
}

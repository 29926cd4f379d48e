/* Stage sink: whether the packet leaves at all, and whether the headers of the slot it leaves
 * through still hold. */
#include "dataplane/node/internal.h"

static enum counter sink_check(struct node *node, const struct packet *p)
{
	struct flow_table *flows = node->flows;
	struct flow_header *header;
	uint64_t word;

	if (flows->states[p->slot].arrival.flags & FLOW_BLOCKED)
		return DROP_BLOCKED;
	if (p->sink == FLOW_NONE)
		return DROP_NO_SINK;
	word = flow_word(flows, p->sink);
	if (word == 0 || flow_word_worker(word) != node->worker)
		return DROP_NO_SINK;
	header = &flows->states[p->sink].header;
	if (header->serial != flow_word_serial(word))
		return header_build(node, p->sink, word);
	if (header->hop != FLOW_HOP_LEARNT) {
		if (hop_table_version(node->hops, header->hop) != header->hop_version)
			return header_build(node, p->sink, word);
		hop_table_touch(node->hops, node->worker, header->hop, node->now_s);
	}
	return COUNTER_NONE;
}

void sink_burst(struct node *node, struct packet *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];
		enum counter verdict;

		if (p->verdict != COUNTER_NONE)
			continue;
		verdict = sink_check(node, p);
		if (verdict != COUNTER_NONE)
			packet_drop(node, p, verdict);
	}
}

/* The stages one after the other. */
#include "dataplane/base/clock.h"
#include "dataplane/node/internal.h"

void node_begin(struct node *node, uint64_t real_ns, uint64_t mono_ns)
{
	struct flow_queue *ends = &node->flows->workers[node->worker].ends;

	node->now_ns = real_ns;
	node->now_s = (uint32_t)(mono_ns / NS_PER_S);
	/* ENDs posted before this burst's confs are read: their flows do not fork any more. */
	node->fork_ends_until = flow_queue_posted(ends);
	fork_commands(node, node->fork_ends_until);
}

void node_end(struct node *node)
{
	if (node->fork_dirty) {
		td_fork_flush(&node->fork);
		node->fork_dirty = false;
	}
}

void node_relay(struct node *node, struct packet *packets, uint32_t n)
{
	parse_burst(node, packets, n);
	lookup_burst(node, packets, n);
	demux_burst(node, packets, n);
	latch_burst(node, packets, n);
	statistics_burst(node, packets, n);
	fork_burst(node, packets, n);
	sink_burst(node, packets, n);
	rewrite_burst(node, packets, n);
}

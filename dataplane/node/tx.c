/* Stage tx: packets to the mbufs of the devices they leave by, a burst per port. */
#include "dataplane/node/internal.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

void mbuf_fit(const struct packet *p)
{
	struct rte_mbuf *m = p->mbuf;

	m->data_off = (uint16_t)(p->frame - (uint8_t *)m->buf_addr);
	m->data_len = p->frame_len;
	m->pkt_len = p->frame_len;
}

/* What the device did not take is dropped: old audio is worth nothing. */
static void tx_refused(struct node *node, struct packet *const refused[], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		rte_pktmbuf_free(refused[i]->mbuf);
		if (refused[i]->verdict == COUNTER_NONE)
			packet_drop(node, refused[i], DROP_TX_FULL);
	}
}

static void tx_port(struct node *node, const struct node_tx *tx, uint8_t port,
		    struct packet *packets, uint32_t n)
{
	struct packet *leaving[PACKET_BURST];
	struct rte_mbuf *mbufs[PACKET_BURST];
	uint64_t bytes = 0;
	uint32_t count = 0, sent;

	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];

		if (p->port != port || !packet_leaves(p))
			continue;
		mbuf_fit(p);
		leaving[count] = p;
		mbufs[count++] = p->mbuf;
	}
	if (count == 0)
		return;
	for (uint32_t i = 0; i < count; i++)
		bytes += leaving[i]->frame_len;
	sent = rte_eth_tx_burst(tx->device[port], tx->queue[port], mbufs, (uint16_t)count);
	for (uint32_t i = sent; i < count; i++)
		bytes -= leaving[i]->frame_len;
	counter_add(&node->counters, COUNTER_TX_PACKETS, sent);
	counter_add(&node->counters, COUNTER_TX_BYTES, bytes);
	tx_refused(node, leaving + sent, count - sent);
}

void tx_burst(struct node *node, const struct node_tx *tx, struct packet *packets, uint32_t n)
{
	uint32_t ports = 0;

	assert(n <= PACKET_BURST);
	for (uint32_t i = 0; i < n; i++) {
		if (packet_leaves(&packets[i]))
			ports |= 1u << packets[i].port;
		else
			rte_pktmbuf_free(packets[i].mbuf); /* NULL is fine */
	}
	for (; ports != 0; ports &= ports - 1)
		tx_port(node, tx, (uint8_t)__builtin_ctz(ports), packets, n);
}

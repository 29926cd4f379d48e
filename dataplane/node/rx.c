/* Stage rx: from a device queue's mbufs to packets. */
#include "dataplane/node/internal.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

void packet_from_mbuf(struct packet *p, struct rte_mbuf *m, uint8_t port)
{
	p->mbuf = m;
	p->frame = rte_pktmbuf_mtod(m, uint8_t *);
	p->frame_len = m->data_len;
	p->room = m->data_off;
	p->tail = rte_pktmbuf_tailroom(m);
	p->port = port;
}

uint32_t rx_burst(struct node *node, uint8_t port, uint16_t device, uint16_t queue,
		  struct packet packets[PACKET_BURST])
{
	struct rte_mbuf *mbufs[PACKET_BURST];
	uint32_t n = rte_eth_rx_burst(device, queue, mbufs, PACKET_BURST);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *m = mbufs[i];

		if (unlikely(m->nb_segs != 1)) {
			counter_add(&node->counters, COUNTER_RX_PACKETS, 1);
			counter_add(&node->counters, DROP_BAD_HEADER, 1);
			rte_pktmbuf_free(m);
			continue;
		}
		packet_from_mbuf(&packets[kept++], m, port);
	}
	return kept;
}

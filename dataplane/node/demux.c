/* Stage demux: what the packet is (RFC 7983, RFC 5761), whether this flow takes it, and the slot
 * through which it leaves. */
#include "dataplane/node/internal.h"

/* The reason to drop it, or COUNTER_NONE. */
static enum counter demux_check(uint8_t kind, uint8_t what)
{
	if (kind == FLOW_RAW)
		return COUNTER_NONE;
	if (what == RTP_DEMUX_RTP && kind != FLOW_RTCP)
		return COUNTER_NONE;
	if (what == RTP_DEMUX_RTCP && kind != FLOW_RTP)
		return COUNTER_NONE;
	if (what == RTP_DEMUX_STUN)
		return DROP_STUN;
	if (what == RTP_DEMUX_DTLS)
		return DROP_DTLS;
	return DROP_NOT_MEDIA;
}

/* Seldom needed, so not kept in the line that every packet reads. */
static uint32_t rtcp_sink(const struct node *node, uint32_t slot)
{
	uint64_t word = flow_word(node->flows, slot);

	return word == 0 ? FLOW_NONE : flow_word_conf(node->flows, word)->rtcp_sink;
}

void demux_burst(struct node *node, struct packet *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];
		const struct flow_arrival *arrival;
		enum counter reason;

		if (p->verdict != COUNTER_NONE)
			continue;
		arrival = &node->flows->states[p->slot].arrival;
		p->what = arrival->kind == FLOW_RAW
				  ? RTP_DEMUX_OTHER
				  : (uint8_t)rtp_demux(p->payload, p->payload_len);
		reason = demux_check(arrival->kind, p->what);
		if (reason != COUNTER_NONE) {
			packet_drop(node, p, reason);
			continue;
		}
		p->sink = p->what == RTP_DEMUX_RTCP ? rtcp_sink(node, p->slot) : arrival->sink;
		if (p->sink != FLOW_NONE)
			sink_prefetch(node->flows, p->sink);
	}
}

/* Stage statistics: what arrived at each slot (RFC 3550 A.3, A.8), after the RTP or RTCP header has
 * been found valid. */
#include "dataplane/node/internal.h"

#define RTCP_HEADER_BYTES 8 /* with the sender's SSRC (RFC 3550 6.4) */

static void set64(_Atomic uint64_t *to, uint64_t value)
{
	atomic_store_explicit(to, value, memory_order_relaxed);
}

static void set32(_Atomic uint32_t *to, uint32_t value)
{
	atomic_store_explicit(to, value, memory_order_relaxed);
}

static void count_arrival(const struct node *node, const struct packet *p, struct flow_stats *stats)
{
	if (atomic_load_explicit(&stats->packets, memory_order_relaxed) == 0)
		set64(&stats->first_ns, node->now_ns);
	flow_count(&stats->packets, 1);
	flow_count(&stats->bytes, p->payload_len);
}

/* Another SSRC than before: its numbers begin anew, the losses of the old one stay counted. */
static void source_begin(struct flow_state *state, struct flow_stats *stats,
			 const struct rtp_packet *rtp)
{
	struct rtp_sequence *sequence = &state->source.sequence;
	uint64_t lost_before = 0;

	if (state->arrival.jitter.started) {
		lost_before = rtp_sequence_lost(sequence);
		set32(&stats->ssrc_changes,
		      atomic_load_explicit(&stats->ssrc_changes, memory_order_relaxed) + 1);
	}
	rtp_sequence_init(sequence, rtp->seq);
	sequence->expected_before = lost_before;
	state->arrival.jitter = (struct rtp_jitter){0};
	state->arrival.ssrc = rtp->ssrc;
	set32(&stats->ssrc, rtp->ssrc);
}

static void count_rtp(const struct node *node, const struct rtp_packet *rtp, uint32_t slot)
{
	struct flow_state *state = &node->flows->states[slot];
	struct flow_stats *stats = &node->flows->states[slot].stats;
	struct rtp_sequence *sequence = &state->source.sequence;
	struct rtp_jitter *jitter = &state->arrival.jitter;
	enum rtp_sequence_outcome outcome = RTP_SEQUENCE_NEXT;

	if (!jitter->started || state->arrival.ssrc != rtp->ssrc)
		source_begin(state, stats, rtp);
	else
		outcome = rtp_sequence_update(sequence, rtp->seq);
	rtp_jitter_update(jitter, rtp->ts, rtp_clock_ts(node->now_ns, state->source.clock_factor));
	set32(&stats->jitter_ts, rtp_jitter_ts(jitter));
	set32(&stats->pt, rtp->pt);
	set64(&stats->lost, rtp_sequence_lost(sequence));
	if (outcome == RTP_SEQUENCE_DUPLICATE)
		flow_count(&stats->duplicates, 1);
}

void statistics_burst(struct node *node, struct packet *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];
		struct flow_stats *stats;
		struct rtp_packet rtp;

		if (p->verdict != COUNTER_NONE)
			continue;
		stats = &node->flows->states[p->slot].stats;
		if (p->what == RTP_DEMUX_RTP) {
			if (rtp_parse(&rtp, p->payload, p->payload_len) < 0) {
				packet_drop(node, p, DROP_BAD_RTP);
				continue;
			}
			count_arrival(node, p, stats);
			count_rtp(node, &rtp, p->slot);
		} else if (p->what == RTP_DEMUX_RTCP) {
			if (p->payload_len < RTCP_HEADER_BYTES) {
				packet_drop(node, p, DROP_BAD_RTCP);
				continue;
			}
			/* Beside RTP (RFC 5761) it would blur the counting of RTP. */
			if (node->flows->states[p->slot].arrival.kind != FLOW_MUX)
				count_arrival(node, p, stats);
		} else {
			count_arrival(node, p, stats);
		}
		set64(&stats->last_ns, node->now_ns);
	}
}

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

static void count_arrival(const struct node *node, const struct packet *p, struct flow_state *state)
{
	struct flow_arrival *arrival = &state->arrival;

	if (atomic_load_explicit(&arrival->packets, memory_order_relaxed) == 0)
		set64(&state->counts.first_ns, node->now_ns);
	flow_count(&arrival->packets, 1);
	flow_count(&arrival->bytes, p->payload_len);
}

/* Another SSRC than before: its numbers begin anew, the losses of the old one stay counted. */
static void source_begin(struct flow_state *state, const struct rtp_packet *rtp)
{
	struct rtp_sequence *sequence = &state->source.sequence;
	struct flow_counts *counts = &state->counts;
	uint64_t lost_before = 0;

	if (state->source.jitter.started) {
		lost_before = rtp_sequence_lost(sequence);
		set32(&counts->ssrc_changes,
		      atomic_load_explicit(&counts->ssrc_changes, memory_order_relaxed) + 1);
	}
	rtp_sequence_init(sequence, rtp->seq);
	sequence->expected_before = lost_before;
	sequence->ssrc = rtp->ssrc;
	state->source.jitter = (struct rtp_jitter){0};
	set32(&counts->ssrc, rtp->ssrc);
}

/* What a packet in order leaves as it is, is not written: it lies in another line. */
static void count_sequence(struct flow_state *state, uint16_t seq)
{
	struct rtp_sequence *sequence = &state->source.sequence;
	uint64_t before = rtp_sequence_lost(sequence), after;

	if (rtp_sequence_update(sequence, seq) == RTP_SEQUENCE_DUPLICATE)
		flow_count(&state->counts.duplicates, 1);
	after = rtp_sequence_lost(sequence);
	if (after != before)
		set64(&state->counts.lost, after);
}

static void count_rtp(const struct node *node, const struct rtp_packet *rtp,
		      struct flow_state *state)
{
	struct flow_source *source = &state->source;
	uint32_t arrival_ts = rtp_clock_ts(node->now_ns, (uint64_t)source->clock_factor << 32);

	if (!source->jitter.started || source->sequence.ssrc != rtp->ssrc)
		source_begin(state, rtp);
	else
		count_sequence(state, rtp->seq);
	rtp_jitter_update(&source->jitter, rtp->ts, arrival_ts);
	atomic_store_explicit(&state->arrival.pt, rtp->pt, memory_order_relaxed);
}

void statistics_burst(struct node *node, struct packet *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];
		struct flow_state *state;
		struct rtp_packet rtp;

		if (p->verdict != COUNTER_NONE)
			continue;
		state = &node->flows->states[p->slot];
		if (p->what == RTP_DEMUX_RTP) {
			if (rtp_parse(&rtp, p->payload, p->payload_len) < 0) {
				packet_drop(node, p, DROP_BAD_RTP);
				continue;
			}
			count_arrival(node, p, state);
			count_rtp(node, &rtp, state);
		} else if (p->what == RTP_DEMUX_RTCP) {
			if (p->payload_len < RTCP_HEADER_BYTES) {
				packet_drop(node, p, DROP_BAD_RTCP);
				continue;
			}
			/* Beside RTP (RFC 5761) it would blur the counting of RTP. */
			if (state->arrival.kind != FLOW_MUX)
				count_arrival(node, p, state);
		} else {
			count_arrival(node, p, state);
		}
		set64(&state->arrival.last_ns, node->now_ns);
	}
}

/*
 * Stage fork: copies of what arrived, for the recorder (dataplane/api/fork.h), and the control
 * records that the slow path posts. A control record that finds the ring full stays in its queue;
 * until it is written, packets are counted as overrun, so that everything stands in order.
 */
#include "dataplane/node/internal.h"

static struct td_fork_record *record_reserve(struct node *node, uint32_t payload_len)
{
	/* Also when it is full: it may have written a pad. */
	node->fork_dirty = true;
	return td_fork_reserve(&node->fork, payload_len);
}

static uint8_t *record_payload(struct td_fork_record *record)
{
	return (uint8_t *)(record + 1);
}

/* START, STREAM or the END record itself. False when the ring is full. */
static bool write_command(struct node *node, const struct flow_command *command)
{
	struct td_fork_record *record = record_reserve(node, command->payload_len);

	if (record == NULL)
		return false;
	record->type = command->type;
	record->leg = command->leg;
	record->recording = command->recording;
	record->stream = command->stream;
	record->arrival_ns = command->time_ns;
	memcpy(record_payload(record), flow_command_payload(command), command->payload_len);
	counter_add(&node->counters, COUNTER_FORK_COMMANDS, 1);
	return true;
}

static bool write_stream_end(struct node *node, const struct flow_command *command,
			     const struct fork_slot *slot)
{
	const struct flow_forked *forked = &node->flows->states[slot->slot].forked;
	struct td_fork_totals totals = {0};
	struct td_fork_record *record = record_reserve(node, sizeof(totals));

	if (record == NULL)
		return false;
	if (forked->recording == command->recording) {
		totals.packets = forked->packets;
		totals.overrun = forked->overrun;
		totals.bytes = forked->bytes;
	}
	record->type = TD_FORK_STREAM_END;
	record->leg = slot->leg;
	record->recording = command->recording;
	record->stream = slot->stream;
	record->arrival_ns = command->time_ns;
	record->overrun = (uint32_t)totals.overrun;
	record->packet = totals.packets;
	memcpy(record_payload(record), &totals, sizeof(totals));
	return true;
}

static bool write_end(struct node *node, const struct flow_command *command)
{
	while (node->fork_end_slot < command->slots_count) {
		if (!write_stream_end(node, command, &command->slots[node->fork_end_slot]))
			return false;
		node->fork_end_slot++;
	}
	if (!write_command(node, command))
		return false;
	node->fork_end_slot = 0;
	return true;
}

void fork_commands(struct node *node, uint64_t ends_until)
{
	struct flow_worker *worker = &node->flows->workers[node->worker];
	const struct flow_command *command;
	uint64_t begins_until = flow_queue_posted(&worker->begins);

	if (!node->fork_attached)
		return;
	node->fork_waiting = true;
	while ((command = flow_queue_peek(&worker->begins, begins_until)) != NULL) {
		if (!write_command(node, command))
			goto full;
		flow_queue_pop(&worker->begins);
	}
	while ((command = flow_queue_peek(&worker->ends, ends_until)) != NULL) {
		if (!write_end(node, command))
			goto full;
		flow_queue_pop(&worker->ends);
	}
	node->fork_waiting = false;
	return;
full:
	counter_add(&node->counters, COUNTER_FORK_WAITS, 1);
}

/* RTP goes without its header and padding, numbered; RTCP as it came, not numbered. */
static void fork_packet(struct node *node, const struct packet *p)
{
	struct flow_state *state = &node->flows->states[p->slot];
	struct flow_forked *forked = &state->forked;
	bool is_rtp = p->what == RTP_DEMUX_RTP;
	struct td_fork_record *record = NULL;
	struct rtp_packet rtp = {.payload_len = p->payload_len};

	if (is_rtp) {
		rtp_parse(&rtp, p->payload, p->payload_len);
		forked->packets++;
	}
	if (!node->fork_waiting)
		record = record_reserve(node, rtp.payload_len);
	if (record == NULL) {
		counter_add(&node->counters,
			    is_rtp ? COUNTER_FORK_OVERRUN : COUNTER_FORK_RTCP_OVERRUN, 1);
		if (is_rtp) {
			forked->overrun++;
			flow_count(&state->counts.fork_overrun, 1);
			flow_count(&node->fork.ring->overruns, 1);
		}
		return;
	}
	record->type = is_rtp ? TD_FORK_PACKET : TD_FORK_RTCP;
	record->leg = forked->leg;
	record->recording = forked->recording;
	record->stream = forked->stream;
	record->arrival_ns = node->now_ns;
	record->ssrc = rtp.ssrc;
	record->ts = rtp.ts;
	record->seq = rtp.seq;
	record->pt = rtp.pt;
	record->marker = rtp.marker;
	record->overrun = (uint32_t)forked->overrun;
	record->packet = is_rtp ? forked->packets : 0;
	memcpy(record_payload(record), p->payload + rtp.payload_offset, rtp.payload_len);
	counter_add(&node->counters, is_rtp ? COUNTER_FORK_PACKETS : COUNTER_FORK_RTCP, 1);
	if (is_rtp) {
		forked->bytes += rtp.payload_len;
		flow_count(&state->counts.forked, 1);
	}
}

void fork_burst(struct node *node, struct packet *packets, uint32_t n)
{
	bool commands_taken = false;

	if (!node->fork_attached)
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];

		if (p->verdict != COUNTER_NONE || p->what == RTP_DEMUX_OTHER ||
		    !(node->flows->states[p->slot].arrival.flags & FLOW_FORK))
			continue;
		if (!commands_taken) {
			/* The confs of this burst have been read; their STARTs were posted before.
			 */
			fork_commands(node, node->fork_ends_until);
			commands_taken = true;
		}
		fork_packet(node, p);
	}
}

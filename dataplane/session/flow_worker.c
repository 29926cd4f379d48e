/* The flow table, the worker's side: taking over what was published, telling what was learnt, and
 * the reading end of the fork command queues. */
#include "dataplane/session/flow_worker.h"

/* Nobody reads the state meanwhile: its generation is not that of the slot. */
static void generation_begin(struct flow_table *t, uint32_t slot, const struct flow_conf *conf)
{
	struct flow_state *state = &t->states[slot];
	static const struct endpoint none;

	memset(&state->arrival, 0, sizeof(state->arrival));
	memset(&state->source, 0, sizeof(state->source));
	memset(&state->header, 0, sizeof(state->header));
	memset(&state->counts, 0, sizeof(state->counts));
	memset(&state->forked, 0, sizeof(state->forked));
	state->learnt.latch_epoch = conf->latch_epoch;
	state->learnt.hop_asked_s = 0;
	flow_learn(t, slot, &none);
	/* Release: all is cleared before; pairs with the acquire of flow_table_stats. */
	atomic_store_explicit(&state->learnt.generation, conf->generation, memory_order_release);
}

static void latch_forget(struct flow_table *t, uint32_t slot)
{
	struct flow_arrival *arrival = &t->states[slot].arrival;
	static const struct endpoint none;

	arrival->latch = 0;
	arrival->hop_known = 0;
	arrival->remote = none;
	flow_learn(t, slot, &none);
}

void flow_adopt(struct flow_table *t, uint32_t slot, uint64_t word)
{
	const struct flow_conf *conf = flow_word_conf(t, word);
	struct flow_state *state = &t->states[slot];
	struct flow_arrival *arrival = &state->arrival;
	uint32_t generation = atomic_load_explicit(&state->learnt.generation, memory_order_relaxed);

	if (generation != conf->generation)
		generation_begin(t, slot, conf);
	if (state->learnt.latch_epoch != conf->latch_epoch) {
		latch_forget(t, slot);
		state->learnt.latch_epoch = conf->latch_epoch;
	}
	arrival->serial = flow_word_serial(word);
	arrival->sink = conf->sink;
	arrival->kind = conf->kind;
	arrival->flags = conf->flags;
	state->source.clock_factor =
		(uint32_t)(rtp_clock_factor(conf->clock_rate ? conf->clock_rate : 8000) >> 32);
	if (!(conf->flags & FLOW_LATCH)) {
		if (!endpoint_equal(&arrival->remote, &conf->remote))
			arrival->hop_known = 0;
		arrival->remote = conf->remote;
		arrival->latch = FLOW_LATCHED;
	} else if (arrival->latch == FLOW_LATCHED && arrival->remote.port == 0) {
		arrival->latch = 0;
	}
	if (conf->flags & FLOW_FORK && state->forked.recording != conf->recording)
		state->forked = (struct flow_forked){.recording = conf->recording,
						     .stream = conf->fork_stream,
						     .leg = conf->fork_leg};
}

void flow_learn(struct flow_table *t, uint32_t slot, const struct endpoint *remote)
{
	struct flow_learnt *learnt = &t->states[slot].learnt;
	uint32_t sequence = atomic_load_explicit(&learnt->sequence, memory_order_relaxed);
	uint64_t words[3] = {0};

	memcpy(words, remote, sizeof(*remote));
	atomic_store_explicit(&learnt->sequence, sequence + 1, memory_order_relaxed);
	/* The odd sequence is seen before any new word; pairs with learnt_read's fence. */
	atomic_thread_fence(memory_order_release);
	for (int i = 0; i < 3; i++)
		atomic_store_explicit(&learnt->words[i], words[i], memory_order_relaxed);
	/* Release: the words are whole; pairs with learnt_read's acquire. */
	atomic_store_explicit(&learnt->sequence, sequence + 2, memory_order_release);
}

/* ---- fork commands ---- */

const struct flow_command *flow_queue_peek(struct flow_queue *q, uint64_t until)
{
	uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
	const struct flow_command *command;

	if (tail == until)
		return NULL;
	command = (const void *)(q->area + (tail & (q->bytes - 1)));
	if (command->length != 0)
		return command;
	tail += q->bytes - (tail & (q->bytes - 1));
	atomic_store_explicit(&q->tail, tail, memory_order_release);
	assert(tail != until);
	return (const void *)q->area;
}

void flow_queue_pop(struct flow_queue *q)
{
	uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
	const struct flow_command *command = (const void *)(q->area + (tail & (q->bytes - 1)));

	assert(command->length != 0);
	/* Release: the command was read; pairs with queue_reserve's acquire. */
	atomic_store_explicit(&q->tail, tail + command->length, memory_order_release);
}

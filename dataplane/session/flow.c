/*
 * The flow table, the slow path's side: publishing and retiring confs, grace periods, statistics as
 * others read them, fork commands to the workers. The worker's side is flow_worker.c.
 */
#include "dataplane/session/flow.h"

#include "dataplane/session/flow_worker.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BEGINS_BYTES (UINT64_C(1) << 20)
#define ENDS_BYTES   (UINT64_C(1) << 19)

/* Zeroed, page-aligned, and without memory until it is touched. */
static void *area_create(size_t bytes)
{
	void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return area == MAP_FAILED ? NULL : area;
}

static void area_destroy(void *area, size_t bytes)
{
	if (area != NULL)
		munmap(area, bytes);
}

static int config_check(const struct flow_table_config *config)
{
	if (config->addresses_count == 0 || config->addresses_count > FLOW_ADDRESSES_MAX)
		return -EINVAL;
	if (config->port_min == 0 || config->port_min > config->port_max)
		return -EINVAL;
	if (config->workers == 0 || config->workers > TD_FORK_WORKERS_MAX)
		return -EINVAL;
	if (config->conf_max == 0 || config->conf_max >= 1u << FLOW_CONF_BITS)
		return -EINVAL;
	return 0;
}

static int queue_init(struct flow_queue *queue, uint64_t bytes)
{
	queue->bytes = bytes;
	queue->area = area_create(bytes);
	return queue->area == NULL ? -ENOMEM : 0;
}

static int workers_create(struct flow_table *t, uint32_t count)
{
	int rc;

	t->workers = area_create(count * sizeof(*t->workers));
	if (t->workers == NULL)
		return -ENOMEM;
	t->workers_count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct flow_worker *w = &t->workers[i];

		atomic_init(&w->seen, FLOW_OFFLINE);
		rc = queue_init(&w->begins, BEGINS_BYTES);
		if (rc == 0)
			rc = queue_init(&w->ends, ENDS_BYTES);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int areas_create(struct flow_table *t)
{
	t->slots = area_create(t->slots_count * sizeof(*t->slots));
	t->confs = area_create(t->conf_max * sizeof(*t->confs));
	t->states = area_create(t->slots_count * sizeof(*t->states));
	t->serials = area_create(t->slots_count * sizeof(*t->serials));
	t->generations = area_create(t->slots_count * sizeof(*t->generations));
	t->retired_at = area_create(t->slots_count * sizeof(*t->retired_at));
	t->owners = area_create(t->slots_count);
	if (!t->slots || !t->confs || !t->states || !t->serials || !t->generations ||
	    !t->retired_at || !t->owners)
		return -ENOMEM;
	/* Fewer TLB misses where the kernel has transparent huge pages; no matter where not. */
	madvise(t->states, t->slots_count * sizeof(*t->states), MADV_HUGEPAGE);
	return 0;
}

int flow_table_create(struct flow_table **table, const struct flow_table_config *config)
{
	struct flow_table *t;
	int rc;

	*table = NULL;
	rc = config_check(config);
	if (rc < 0)
		return rc;
	t = aligned_alloc(64, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	memset(t, 0, sizeof(*t));
	t->port_min = config->port_min;
	t->port_max = config->port_max;
	t->ports = (uint32_t)config->port_max - config->port_min + 1;
	t->addresses_count = config->addresses_count;
	memcpy(t->addresses, config->addresses, sizeof(t->addresses));
	t->slots_count = t->addresses_count * t->ports;
	t->conf_max = config->conf_max;
	atomic_init(&t->token, 1);
	rc = areas_create(t);
	if (rc == 0)
		rc = workers_create(t, config->workers);
	if (rc < 0) {
		flow_table_destroy(t);
		return rc;
	}
	for (uint32_t i = t->conf_max; i > 0; i--) {
		t->confs[i - 1].retired_next = t->free;
		t->free = &t->confs[i - 1];
	}
	*table = t;
	return 0;
}

void flow_table_destroy(struct flow_table *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->workers_count; i++) {
		area_destroy(t->workers[i].begins.area, BEGINS_BYTES);
		area_destroy(t->workers[i].ends.area, ENDS_BYTES);
	}
	area_destroy(t->workers, t->workers_count * sizeof(*t->workers));
	area_destroy(t->slots, t->slots_count * sizeof(*t->slots));
	area_destroy(t->confs, t->conf_max * sizeof(*t->confs));
	area_destroy(t->states, t->slots_count * sizeof(*t->states));
	area_destroy(t->serials, t->slots_count * sizeof(*t->serials));
	area_destroy(t->generations, t->slots_count * sizeof(*t->generations));
	area_destroy(t->retired_at, t->slots_count * sizeof(*t->retired_at));
	area_destroy(t->owners, t->slots_count);
	free(t);
}

uint32_t flow_table_slot(const struct flow_table *t, const struct endpoint *local)
{
	if (local->port < t->port_min || local->port > t->port_max)
		return FLOW_NONE;
	for (uint32_t i = 0; i < t->addresses_count; i++) {
		if (address_equal(&t->addresses[i], &local->address))
			return i * t->ports + (local->port - t->port_min);
	}
	return FLOW_NONE;
}

/* ---- grace periods ---- */

/* True when no worker can still look at what was taken away before the token rose to `at`. */
static bool grace_is_over(const struct flow_table *t, uint64_t at)
{
	for (uint32_t i = 0; i < t->workers_count; i++) {
		/* Acquire pairs with the release of flow_quiescent and flow_offline. */
		uint64_t seen = atomic_load_explicit(&t->workers[i].seen, memory_order_acquire);

		if (seen < at)
			return false;
	}
	return true;
}

/* After something was taken away; returns the token that ends its grace period. */
static uint64_t grace_begin(struct flow_table *t)
{
	uint64_t at = atomic_load_explicit(&t->token, memory_order_relaxed) + 1;

	/* Release: the slot's new word comes before; pairs with flow_quiescent's acquire. */
	atomic_store_explicit(&t->token, at, memory_order_release);
	return at;
}

static void conf_retire(struct flow_table *t, uint64_t word)
{
	struct flow_conf *conf = (struct flow_conf *)flow_word_conf(t, word);

	conf->retired_token = grace_begin(t);
	conf->retired_next = NULL;
	if (t->retired_last != NULL)
		t->retired_last->retired_next = conf;
	else
		t->retired_first = conf;
	t->retired_last = conf;
}

void flow_table_reclaim(struct flow_table *t)
{
	/* The slots' new words come before the reading of `seen`; pairs with flow_online's fence.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	while (t->retired_first != NULL && grace_is_over(t, t->retired_first->retired_token)) {
		struct flow_conf *conf = t->retired_first;

		t->retired_first = conf->retired_next;
		if (t->retired_first == NULL)
			t->retired_last = NULL;
		conf->retired_next = t->free;
		t->free = conf;
	}
}

/* ---- publishing ---- */

static int conf_check(const struct flow_table *t, const struct flow_conf *conf)
{
	if (conf->slot >= t->slots_count || conf->worker >= t->workers_count)
		return -EINVAL;
	if (conf->sink != FLOW_NONE && conf->sink >= t->slots_count)
		return -EINVAL;
	if (conf->rtcp_sink != FLOW_NONE && conf->rtcp_sink >= t->slots_count)
		return -EINVAL;
	return 0;
}

/* The slot goes to another worker: its state has one writer, so the old one must have left it. It
 * leaves within a burst. */
static void owner_change(struct flow_table *t, const struct flow_conf *conf)
{
	if (t->retired_at[conf->slot] == 0 || t->owners[conf->slot] == conf->worker)
		return;
	atomic_thread_fence(memory_order_seq_cst); /* as in flow_table_reclaim */
	while (!grace_is_over(t, t->retired_at[conf->slot]))
		sched_yield();
}

int flow_table_publish(struct flow_table *t, const struct flow_conf *conf)
{
	uint64_t before;
	struct flow_conf *c;
	int rc;

	rc = conf_check(t, conf);
	if (rc < 0)
		return rc;
	before = atomic_load_explicit(&t->slots[conf->slot], memory_order_relaxed);
	if (before != 0 && t->owners[conf->slot] != conf->worker)
		return -EINVAL;
	if (t->free == NULL)
		flow_table_reclaim(t);
	if (t->free == NULL) {
		t->counters.conf_full++;
		return -ENOSPC;
	}
	if (before == 0) {
		owner_change(t, conf);
		t->generations[conf->slot]++;
		t->owners[conf->slot] = conf->worker;
		t->in_use++;
	}
	c = t->free;
	t->free = c->retired_next;
	*c = *conf;
	c->generation = t->generations[conf->slot];
	c->retired_next = NULL;
	c->retired_token = 0;
	if (++t->serials[conf->slot] == 0)
		t->serials[conf->slot] = 1; /* 0 means none */
	/* Release: the conf is whole before its index is seen; pairs with flow_word's acquire. */
	atomic_store_explicit(&t->slots[conf->slot],
			      (uint64_t)t->serials[conf->slot] << 32 |
				      (uint64_t)conf->worker << FLOW_CONF_BITS |
				      (uint64_t)(c - t->confs + 1),
			      memory_order_release);
	if (before != 0)
		conf_retire(t, before);
	if (t->published != NULL)
		t->published(t->published_arg, c);
	return 0;
}

void flow_table_retire(struct flow_table *t, uint32_t slot)
{
	uint64_t before;

	assert(slot < t->slots_count);
	before = atomic_load_explicit(&t->slots[slot], memory_order_relaxed);
	if (before == 0)
		return;
	atomic_store_explicit(&t->slots[slot], 0, memory_order_release);
	conf_retire(t, before);
	t->retired_at[slot] = t->retired_last->retired_token;
	t->in_use--;
}

const struct flow_conf *flow_table_conf(const struct flow_table *t, uint32_t slot)
{
	uint64_t word;

	assert(slot < t->slots_count);
	word = atomic_load_explicit(&t->slots[slot], memory_order_relaxed);
	return word == 0 ? NULL : flow_word_conf(t, word);
}

uint32_t flow_table_in_use(const struct flow_table *t)
{
	return t->in_use;
}

void flow_table_on_publish(struct flow_table *t, flow_published_fn *published, void *arg)
{
	t->published = published;
	t->published_arg = arg;
}

void flow_table_counters(const struct flow_table *t, struct flow_table_counters *counters)
{
	*counters = t->counters;
}

/* ---- what the worker learnt ---- */

/* Whether the worker's state is that of the slot's last publish into an empty slot. */
static bool state_is_current(const struct flow_table *t, uint32_t slot)
{
	const _Atomic uint32_t *generation = &t->states[slot].learnt.generation;

	/* Acquire: the statistics were cleared before; pairs with flow_adopt's release. */
	return atomic_load_explicit(generation, memory_order_acquire) == t->generations[slot];
}

static uint64_t read64(const _Atomic uint64_t *from)
{
	return atomic_load_explicit(from, memory_order_relaxed);
}

struct flow_stats flow_table_stats(const struct flow_table *t, uint32_t slot)
{
	const struct flow_state *state;
	const struct flow_counts *counts;

	assert(slot < t->slots_count);
	state = &t->states[slot];
	counts = &state->counts;
	if (!state_is_current(t, slot))
		return (struct flow_stats){0};
	return (struct flow_stats){
		.packets = read64(&state->arrival.packets),
		.bytes = read64(&state->arrival.bytes),
		.dropped = read64(&counts->dropped),
		.out_packets = read64(&state->header.out_packets),
		.out_bytes = read64(&state->header.out_bytes),
		.lost = read64(&counts->lost),
		.duplicates = read64(&counts->duplicates),
		.first_ns = read64(&counts->first_ns),
		.last_ns = read64(&state->arrival.last_ns),
		.forked = read64(&counts->forked),
		.fork_overrun = read64(&counts->fork_overrun),
		/* A plain word of the worker's; whole, as it is aligned. */
		.jitter_ts =
			__atomic_load_n(&state->source.jitter.jitter_x16, __ATOMIC_RELAXED) >> 4,
		.ssrc = atomic_load_explicit(&counts->ssrc, memory_order_relaxed),
		.ssrc_changes = atomic_load_explicit(&counts->ssrc_changes, memory_order_relaxed),
		.pt = atomic_load_explicit(&state->arrival.pt, memory_order_relaxed),
	};
}

/* Reads the words until no write fell between; a write is three stores, so this ends soon. */
static void learnt_read(const struct flow_learnt *learnt, struct endpoint *remote)
{
	uint64_t words[3];
	uint32_t before, after;

	do {
		/* Acquire: pairs with the release that ended the write. */
		before = atomic_load_explicit(&learnt->sequence, memory_order_acquire);
		for (int i = 0; i < 3; i++)
			words[i] = atomic_load_explicit(&learnt->words[i], memory_order_relaxed);
		/* The words are read before the sequence again; pairs with flow_learn's fence. */
		atomic_thread_fence(memory_order_acquire);
		after = atomic_load_explicit(&learnt->sequence, memory_order_relaxed);
	} while (before != after || before & 1);
	memcpy(remote, words, sizeof(*remote));
}

bool flow_table_remote(const struct flow_table *t, uint32_t slot, struct endpoint *remote)
{
	const struct flow_conf *conf = flow_table_conf(t, slot);

	if (conf == NULL)
		return false;
	if (conf->flags & FLOW_LATCH && state_is_current(t, slot)) {
		learnt_read(&t->states[slot].learnt, remote);
		if (remote->port != 0)
			return true;
	}
	*remote = conf->remote;
	return remote->port != 0;
}

/* ---- fork commands ---- */

/* Room for `length` bytes in one piece, at *place; the new head is returned, 0 = full. */
static uint64_t queue_reserve(struct flow_queue *q, uint32_t length, uint8_t **place)
{
	uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
	/* Acquire: the worker is done with what it popped; pairs with flow_queue_pop. */
	uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
	uint64_t at = head & (q->bytes - 1);
	uint64_t skip = q->bytes - at < length ? q->bytes - at : 0;

	if (q->bytes - (head - tail) < skip + length)
		return 0;
	if (skip != 0) {
		memset(q->area + at, 0, sizeof(uint32_t)); /* length 0: the rest is unused */
		at = 0;
	}
	*place = q->area + at;
	return head + skip + length;
}

int flow_table_fork(struct flow_table *t, uint8_t worker, const struct fork_command *command)
{
	size_t slots_bytes = command->slots_count * sizeof(struct fork_slot);
	uint64_t length = (sizeof(struct flow_command) + slots_bytes + command->payload_len + 7) &
			  ~UINT64_C(7);
	struct flow_command *c;
	struct flow_queue *q;
	uint8_t *place;
	uint64_t head;

	if (worker >= t->workers_count || command->slots_count > FLOW_FORK_STREAMS_MAX)
		return -EINVAL;
	if (command->payload_len > TD_FORK_PAYLOAD_MAX)
		return -EMSGSIZE;
	for (uint32_t i = 0; i < command->slots_count; i++) {
		if (command->slots[i].slot >= t->slots_count)
			return -EINVAL;
	}
	q = command->type == TD_FORK_END ? &t->workers[worker].ends : &t->workers[worker].begins;
	head = queue_reserve(q, (uint32_t)length, &place);
	if (head == 0) {
		t->counters.fork_command_full++;
		return -ENOSPC;
	}
	c = (struct flow_command *)(void *)place;
	*c = (struct flow_command){.length = (uint32_t)length,
				   .type = command->type,
				   .leg = command->leg,
				   .stream = command->stream,
				   .payload_len = command->payload_len,
				   .recording = command->recording,
				   .time_ns = command->time_ns,
				   .slots_count = command->slots_count};
	memcpy(c->slots, command->slots, slots_bytes);
	if (command->payload_len != 0)
		memcpy((uint8_t *)c->slots + slots_bytes, command->payload, command->payload_len);
	/* Release: the command is whole; pairs with flow_queue_posted's acquire. */
	atomic_store_explicit(&q->head, head, memory_order_release);
	return 0;
}

/*
 * The worker's side of the flow table. What a packet touches, a line each:
 *
 *   arrives at A:       slots[A]   state[A].arrival, .source
 *   leaves through B:   slots[B]   state[B].header (IPv6: the line after it too)
 *
 * slots[] holds a word per slot: the serial number of the publish (upper half), the owning worker
 * (4 bits) and the index of the flow_conf plus one (28 bits); 0 is an empty slot. state keeps the
 * serial that it was derived from, so one comparison tells whether the slow path has published
 * something new; only then is the flow_conf itself read (flow_adopt).
 *
 * A worker is online while it looks at flows, says flow_quiescent() between bursts, and goes
 * offline before it sleeps. Plain C11 atomics, no EAL.
 */
#pragma once

#include "dataplane/media/rtp.h"
#include "dataplane/session/flow.h"

#include <assert.h>

#define FLOW_LATCHED 255 /* flow_arrival.latch: the remote is settled */

/* Copied from the flow_conf when it is adopted, and learnt from what arrives. */
struct flow_arrival {
	uint32_t serial; /* of the conf that this was taken from; 0 = none */
	uint32_t sink;
	uint8_t kind;
	uint8_t latch; /* packets in a row from `remote`; FLOW_LATCHED = settled */
	uint16_t flags;
	struct endpoint remote; /* learnt; without FLOW_LATCH that of the conf; port 0 = none */
	uint8_t hop_mac[6];     /* learnt: where what goes back is sent to ... */
	uint8_t hop_port;       /* ... and by which port */
	uint8_t hop_known;      /* 1 = they hold */
	_Atomic uint8_t pt;
	_Atomic uint64_t packets;
	_Atomic uint64_t bytes;
	_Atomic uint64_t last_ns;
};
_Static_assert(sizeof(struct flow_arrival) == 64, "one line");

/* Sequence numbers and jitter of the current source; it is known when jitter.started. */
struct flow_source {
	struct rtp_sequence sequence;
	struct rtp_jitter jitter;
	uint32_t clock_factor; /* upper half of rtp_clock_factor() of the clock rate */
};
_Static_assert(sizeof(struct flow_source) == 64, "one line");

#define FLOW_HOP_LEARNT UINT16_MAX

/* Everything of the headers of a leaving packet that does not depend on its length. */
struct flow_header {
	uint32_t serial;      /* of the conf that this was built from; 0 = to be built */
	uint32_t hop_version; /* of the hop in the hop table */
	uint16_t hop;         /* its index; FLOW_HOP_LEARNT = from the arrivals of this slot */
	uint8_t tos;          /* IPv4 TOS or IPv6 traffic class */
	uint8_t port : 7;     /* device port it leaves by */
	uint8_t v4 : 1;
	uint8_t macs[12];     /* destination, source */
	uint16_t ports_be[2]; /* source, destination */
	uint16_t ip_sum;      /* IPv4: partial sum of the header without its length */
	uint16_t udp_sum;     /* IPv6: partial sum of pseudo header and ports without lengths */
	_Atomic uint64_t out_packets;
	_Atomic uint64_t out_bytes;
	uint8_t addresses[32]; /* source, destination; 4 or 16 bytes each */
};
_Static_assert(offsetof(struct flow_header, addresses) == 48, "IPv4 needs one line");

/* Seldom touched: what the slow path reads, and the latch's and the resolver's memory. */
struct flow_learnt {
	_Atomic uint32_t
		generation; /* release; pairs with the acquire of the slow path's readers */
	uint32_t latch_epoch;
	_Atomic uint32_t
		sequence;     /* of words: odd while they change; release, pairs with acquire */
	uint32_t hop_asked_s; /* worker's clock when the next hop was last asked for */
	_Atomic uint64_t words[3]; /* struct endpoint of the learnt remote; port 0 = none */
	uint64_t lost_before;      /* of earlier sources (SSRC) of this slot */
	uint64_t duplicates_before;
};
_Static_assert(sizeof(struct flow_learnt) <= 64, "one line");

/* Seldom written: the counters that a packet in order does not change. */
struct flow_counts {
	_Atomic uint64_t dropped;
	_Atomic uint64_t lost;
	_Atomic uint64_t duplicates;
	_Atomic uint64_t first_ns;
	_Atomic uint64_t forked;
	_Atomic uint64_t fork_overrun;
	_Atomic uint32_t ssrc;
	_Atomic uint32_t ssrc_changes;
};
_Static_assert(sizeof(struct flow_counts) <= 64, "one line");

/* Totals for the recording at hand. */
struct flow_forked {
	uint64_t recording; /* which one; 0 = none */
	uint64_t packets;   /* with the overrun ones */
	uint64_t overrun;
	uint64_t bytes;
	uint32_t stream;
	uint16_t leg;
};
_Static_assert(sizeof(struct flow_forked) <= 64, "one line");

/* Worker-owned, one per slot. */
struct flow_state {
	_Alignas(64) struct flow_arrival arrival;
	_Alignas(64) struct flow_source source;
	_Alignas(64) struct flow_header header;
	_Alignas(64) struct flow_learnt learnt;
	_Alignas(64) struct flow_counts counts;
	_Alignas(64) struct flow_forked forked;
};
_Static_assert(sizeof(struct flow_state) == 448, "seven lines");

/* A fork command as it lies in a queue: slots and then the payload follow it at once. */
struct flow_command {
	uint32_t length; /* whole, a multiple of 8; 0 = the rest of the area is unused */
	uint16_t type;   /* TD_FORK_START, _STREAM, _END */
	uint16_t leg;
	uint32_t stream;
	uint32_t payload_len;
	uint64_t recording;
	uint64_t time_ns;
	uint32_t slots_count;
	uint32_t reserved;
	struct fork_slot slots[];
};
_Static_assert(sizeof(struct flow_command) % 8 == 0, "slots are aligned");

/* Byte ring of commands, main lcore to one worker; head and tail run freely. */
struct flow_queue {
	uint8_t *area;
	uint64_t bytes; /* a power of two */
	_Alignas(
		64) _Atomic uint64_t head; /* slow path: release, pairs with the worker's acquire */
	_Alignas(
		64) _Atomic uint64_t tail; /* worker: release, pairs with the slow path's acquire */
};

#define FLOW_OFFLINE UINT64_MAX

/*
 * START and STREAM lie in `begins`, END in `ends`. The worker drains `begins` after it has read a
 * burst's confs (a conf with FLOW_FORK was published after its START was posted), and `ends` before
 * it reads them (a conf without FLOW_FORK was published before its END was posted), so no packet
 * stands before its START or after its END.
 */
struct flow_worker {
	_Alignas(64) _Atomic uint64_t seen; /* worker: last token seen, or FLOW_OFFLINE */
	struct flow_queue begins;
	struct flow_queue ends;
};

struct flow_table {
	/* written at creation, read by all */
	_Atomic uint64_t *slots; /* slow path: release; pairs with the worker's acquire */
	struct flow_conf *confs;
	struct flow_state *states; /* workers' */
	struct flow_worker *workers;
	uint32_t workers_count;
	uint32_t slots_count;
	uint32_t conf_max;
	uint32_t ports;
	uint16_t port_min;
	uint16_t port_max;
	uint32_t addresses_count;
	struct address addresses[FLOW_ADDRESSES_MAX];
	/* slow path's */
	_Alignas(64) _Atomic uint64_t token; /* release; pairs with flow_quiescent's acquire */
	struct flow_conf *free;
	struct flow_conf *retired_first; /* oldest first */
	struct flow_conf *retired_last;
	uint32_t *serials;     /* per slot: of the last publish */
	uint32_t *generations; /* per slot: of the last publish into an empty slot */
	uint64_t *retired_at;  /* per slot: token of its last retirement */
	uint8_t *owners;       /* per slot: worker of the last publish */
	uint32_t in_use;
	struct flow_table_counters counters;
	flow_published_fn *published;
	void *published_arg;
};

/* ---- the worker's calls ---- */

static inline void flow_online(struct flow_table *table, uint32_t worker)
{
	_Atomic uint64_t *seen = &table->workers[worker].seen;

	atomic_store_explicit(seen, atomic_load_explicit(&table->token, memory_order_acquire),
			      memory_order_relaxed);
	/* Being online is visible before any slot is read; pairs with the fence of
	 * flow_table_reclaim. */
	atomic_thread_fence(memory_order_seq_cst);
}

/* Between bursts: nothing read from the table before is used any more. */
static inline void flow_quiescent(struct flow_table *table, uint32_t worker)
{
	uint64_t token = atomic_load_explicit(&table->token, memory_order_acquire);
	_Atomic uint64_t *seen = &table->workers[worker].seen;

	/* Release: all use of the old confs comes before; pairs with the acquire of
	 * flow_table_reclaim. */
	if (token != atomic_load_explicit(seen, memory_order_relaxed))
		atomic_store_explicit(seen, token, memory_order_release);
}

static inline void flow_offline(struct flow_table *table, uint32_t worker)
{
	atomic_store_explicit(&table->workers[worker].seen, FLOW_OFFLINE, memory_order_release);
}

static inline uint64_t flow_word(const struct flow_table *table, uint32_t slot)
{
	return atomic_load_explicit(&table->slots[slot], memory_order_acquire);
}

static inline uint32_t flow_word_serial(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

#define FLOW_CONF_BITS 28

static inline uint32_t flow_word_worker(uint64_t word)
{
	return (uint32_t)word >> FLOW_CONF_BITS;
}

/* The conf of a word that is not 0; valid until the worker's next quiescent state. */
static inline const struct flow_conf *flow_word_conf(const struct flow_table *table, uint64_t word)
{
	return &table->confs[((uint32_t)word & ((1u << FLOW_CONF_BITS) - 1)) - 1];
}

/* Brings the slot's state to what the word (not 0) publishes: fresh state and statistics for a new
 * generation, forgetting the latch for a new epoch. Call it when arrival.serial differs. */
void flow_adopt(struct flow_table *table, uint32_t slot, uint64_t word);
/* Tells the slow path which remote the slot has learnt; port 0 = none. */
void flow_learn(struct flow_table *table, uint32_t slot, const struct endpoint *remote);

/* How far the slow path has posted; what lies before it can be read. */
static inline uint64_t flow_queue_posted(const struct flow_queue *queue)
{
	return atomic_load_explicit(&queue->head, memory_order_acquire);
}
/* The oldest command before position `until`, or NULL; it stays until flow_queue_pop. */
const struct flow_command *flow_queue_peek(struct flow_queue *queue, uint64_t until);
void flow_queue_pop(struct flow_queue *queue);

static inline const char *flow_command_payload(const struct flow_command *command)
{
	return (const char *)&command->slots[command->slots_count];
}

/* Single-writer counter: the writer adds with a plain load and store, others load relaxed. */
static inline void flow_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

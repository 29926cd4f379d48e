/*
 * Flows: what the packet path reads of a session. The slow path (main lcore) builds a struct
 * flow_conf, which is immutable once published; the worker reads it under RCU (quiescent state once
 * a burst) and keeps what it learns in the slot's struct flow_state, which it alone writes. This is
 * the only header of this folder that dataplane/node includes.
 *
 *   slot = address_index * ports + (local port - port_min)           an array index, no hash
 *
 *   flow_table.slots[slot] -> conf (RCU, replaced whole)
 *                             state, stats (the worker's, in place)
 *
 * The remote endpoint of a slot is where packets *leaving* through it go: conf.remote until a
 * packet came in that latches it. A packet that arrives at slot A leaves through slot A.conf.sink,
 * to that slot's remote.
 */
#pragma once

#include "dataplane/api/fork.h"
#include "dataplane/base/address.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_NONE          UINT32_MAX
#define FLOW_ADDRESSES_MAX 32

enum flow_kind {
	FLOW_RTP,  /* RTP only; RTCP has its own port */
	FLOW_RTCP, /* RTCP only */
	FLOW_MUX,  /* both on one port (RFC 5761) */
	FLOW_RAW,  /* anything: T.38 over UDP and the like */
};

enum flow_flags {
	FLOW_LATCH = 1 << 0,         /* learn the remote from what arrives */
	FLOW_STRICT_SOURCE = 1 << 1, /* after latching, drop other sources (counted); without it,
					latch again on the new source */
	FLOW_BLOCKED =
		1 << 2, /* arriving media is counted and dropped (hold, block media, sinkhole) */
	FLOW_FORK = 1 << 3, /* copy arriving packets to the fork ring */
};

struct flow_conf {
	uint32_t slot;
	uint32_t sink;      /* slot through which RTP that arrives here leaves; FLOW_NONE = dropped,
			       counted.      Its own slot = echo */
	uint32_t rtcp_sink; /* the same for RTCP that arrives here */
	uint8_t kind;       /* enum flow_kind */
	uint8_t worker;     /* owner; all flows of a session have the same */
	uint16_t flags;     /* enum flow_flags */
	struct endpoint local;
	struct endpoint remote; /* from SDP; port 0 = not known */
	uint32_t latch_epoch;   /* a new value makes the worker forget what it learnt and use
				   conf.remote */
	uint8_t dscp;
	uint32_t generation; /* set by flow_table_publish: of the slot's state and statistics */
	/* fork: valid with FLOW_FORK */
	uint64_t recording;
	uint32_t fork_stream;
	uint16_t fork_leg;
	uint32_t clock_rate; /* for the jitter estimate, of the first codec; 0 = 8000 */
	/* set by flow_table_publish */
	uint64_t retired_token;
	struct flow_conf *retired_next;
};

_Static_assert(offsetof(struct flow_conf, recording) == 64, "what every packet needs is one line");

/* What the worker counted at a slot. On FLOW_MUX flows RTCP counts in last_ns only. */
struct flow_stats {
	uint64_t packets;
	uint64_t bytes;       /* RTP packet bytes, headers included, IP/UDP not */
	uint64_t dropped;     /* arrived, not relayed: strict source, blocked, no sink, not RTP */
	uint64_t out_packets; /* sent through this slot */
	uint64_t out_bytes;
	uint64_t lost; /* RFC 3550 A.3: expected - received, never below 0 */
	uint64_t duplicates;
	uint64_t first_ns;     /* CLOCK_REALTIME of the first packet, 0 = none */
	uint64_t last_ns;      /* CLOCK_REALTIME of the last packet */
	uint64_t forked;       /* copied to the ring */
	uint64_t fork_overrun; /* not copied: ring full */
	uint32_t jitter_ts;    /* RFC 3550 A.8, in timestamp units */
	uint32_t ssrc;         /* last seen */
	uint32_t ssrc_changes;
	uint32_t pt; /* last seen */
};

struct flow_table;

struct flow_table_config {
	struct address addresses[FLOW_ADDRESSES_MAX];
	uint32_t addresses_count;
	uint16_t port_min;
	uint16_t port_max;
	uint32_t workers;
	uint32_t
		conf_max; /* most flow_conf at once, retired ones included; allocated at creation */
};

/* All memory comes at creation. Needs no EAL. */
int flow_table_create(struct flow_table **table, const struct flow_table_config *config);
void flow_table_destroy(struct flow_table *table);

/* The slot of a local endpoint, or FLOW_NONE when it is not one of ours. */
uint32_t flow_table_slot(const struct flow_table *table, const struct endpoint *local);

/* ---- slow path (one thread) ---- */

/* Publishes a copy of conf at conf->slot, replacing what is there; the old one is reused after a
 * grace period. A slot that was empty starts with fresh state and statistics. -ENOSPC when conf_max
 * are in use (counted); -EINVAL for a slot, sink or worker that does not exist. The worker of a
 * slot that is in use does not change. */
int flow_table_publish(struct flow_table *table, const struct flow_conf *conf);
/* Takes the flow away; the worker sees it until its next quiescent state. */
void flow_table_retire(struct flow_table *table, uint32_t slot);
/* What is published at slot, or NULL. For the slow path only. */
const struct flow_conf *flow_table_conf(const struct flow_table *table, uint32_t slot);
/* Statistics of the slot since it was last empty; can be read after retirement until the next
 * publish. */
struct flow_stats flow_table_stats(const struct flow_table *table, uint32_t slot);
/* The endpoint packets leaving through slot go to now (learnt or from SDP); false when there is
 * none. */
bool flow_table_remote(const struct flow_table *table, uint32_t slot, struct endpoint *remote);
/* Frees what every worker has stopped looking at; called now and then by housekeeping. */
void flow_table_reclaim(struct flow_table *table);
uint32_t flow_table_in_use(const struct flow_table *table);

/* Calls published() in the slow path's thread after each publish, so that the next hop of the
 * remote is known before a packet needs it. One per table; NULL takes it away. */
typedef void flow_published_fn(void *arg, const struct flow_conf *conf);
void flow_table_on_publish(struct flow_table *table, flow_published_fn *published, void *arg);

struct flow_table_counters {
	uint64_t conf_full;         /* publishes refused: conf_max in use */
	uint64_t fork_command_full; /* fork commands refused: queue full */
};
void flow_table_counters(const struct flow_table *table, struct flow_table_counters *counters);

/*
 * Fork control records (START, STREAM, END) go through the worker that owns the session, so that
 * they stand in the ring in order with the packets: START and STREAM are posted before the
 * flow_conf with FLOW_FORK is published; for END, first publish without FLOW_FORK, then post it.
 * STREAM_END records are made by the worker when it meets END: one per stream slot in `slots`, with
 * its totals of forked packets. Copies payload. -ENOSPC when the command queue is full (counted),
 * -EMSGSIZE.
 */
#define FLOW_FORK_STREAMS_MAX 64
struct fork_command {
	uint16_t type; /* TD_FORK_START, _STREAM, _END */
	uint16_t leg;
	uint32_t stream;
	uint64_t recording;
	uint64_t time_ns; /* CLOCK_REALTIME */
	const char *payload;
	uint32_t payload_len;
	/* TD_FORK_END: the slots whose totals are written, with their stream and leg numbers */
	uint32_t slots_count;
	struct fork_slot {
		uint32_t slot;
		uint32_t stream;
		uint16_t leg;
	} slots[FLOW_FORK_STREAMS_MAX];
};
int flow_table_fork(struct flow_table *table, uint8_t worker, const struct fork_command *command);

/* The worker's side (slots, states, RCU, command queue) is in dataplane/session/flow_worker.h. */

/*
 * The packet path of one worker. Bursts in, bursts out, no lock, system call, log line, allocation
 * or division per packet. One stage per file, each a loop over the burst that skips packets which
 * have a verdict:
 *
 *   rx -> parse -> lookup -> demux -> latch -> statistics -> fork -> sink -> rewrite -> tx
 *          |
 *          +-> host: owned ports answer ARP, ND and ping
 */
#pragma once

#include "dataplane/api/fork.h"
#include "dataplane/node/counter.h"
#include "dataplane/node/hop.h"
#include "dataplane/node/packet.h"
#include "dataplane/session/flow_worker.h"

#include <stdbool.h>
#include <stdint.h>

#define NODE_PORTS_MAX          16
#define NODE_PORT_ADDRESSES_MAX 32

/* A device as the stages see it. */
struct node_port {
	uint8_t mac[6];
	bool used;
	bool owned;    /* answers ARP, ND and ping for its addresses */
	bool loopback; /* 127.0.0.0/8 may come and go here */
	uint32_t addresses_count;
	struct address addresses[NODE_PORT_ADDRESSES_MAX];
};

/* One burst's relay state and the worker's tools; its thread alone touches it, but for the
 * counters (relaxed loads by others) and the hop request queue. */
struct node {
	/* set up once */
	struct flow_table *flows;
	struct hop_table *hops;
	uint32_t worker;
	struct node_port ports[NODE_PORTS_MAX];
	/* each burst */
	uint64_t now_ns; /* CLOCK_REALTIME */
	uint32_t now_s;  /* CLOCK_MONOTONIC, for what is asked seldom */
	uint64_t fork_ends_until;
	/* fork */
	struct td_fork_writer fork;
	bool fork_attached;
	bool fork_dirty;        /* something reserved since the last flush */
	bool fork_waiting;      /* a command could not be written: packets are overrun meanwhile */
	uint32_t fork_end_slot; /* of the END at hand: STREAM_ENDs written already */
	struct hop_requests hop_requests; /* to the main lcore */
	struct counter_set counters;
};

/* Before a burst's flows are looked up: takes the time (CLOCK_REALTIME and
 * CLOCK_MONOTONIC) and the fork commands. */
void node_begin(struct node *node, uint64_t real_ns, uint64_t mono_ns);
/* After a burst: publishes fork records. The caller then says flow_quiescent. */
void node_end(struct node *node);

/* All stages from parse to rewrite. Afterwards a packet without verdict leaves by packet.port, from
 * packet.frame, frame_len bytes; others are the caller's to free (counted already). */
void node_relay(struct node *node, struct packet *packets, uint32_t n);

/* ---- the stages, in order ---- */

void parse_burst(struct node *node, struct packet *packets, uint32_t n);
void lookup_burst(struct node *node, struct packet *packets, uint32_t n);
void demux_burst(struct node *node, struct packet *packets, uint32_t n);
void latch_burst(struct node *node, struct packet *packets, uint32_t n);
void statistics_burst(struct node *node, struct packet *packets, uint32_t n);
void fork_burst(struct node *node, struct packet *packets, uint32_t n);
void sink_burst(struct node *node, struct packet *packets, uint32_t n);
void rewrite_burst(struct node *node, struct packet *packets, uint32_t n);

/* Takes one frame apart up to the UDP payload; sets the verdict if it is none of ours. */
void parse_packet(const struct node *node, struct packet *packet);
/* An owned port's duty (ARP, ND, ICMP echo): turns the frame into its answer in place and returns
 * true, or false when there is none to give. *learnt is set to what the frame tells about a
 * neighbour (port 0 of *learnt_known false = nothing). */
bool host_answer(const struct node_port *port, struct packet *packet, struct hop_learnt *learnt);

/* Prepares the headers of what leaves through slot, whose word is not 0. 0, or the verdict. */
enum counter header_build(struct node *node, uint32_t slot, uint64_t word);
/* Writes the headers before packet.payload and sets frame, frame_len and port; sets the verdict
 * when there is no room for them. */
void header_write(const struct flow_header *header, struct packet *packet);

/* Writes what the slow path has posted; ENDs only up to position ends_until of their queue. */
void fork_commands(struct node *node, uint64_t ends_until);

/* ---- to and from the devices (rx.c, tx.c; the only ones that know mbufs) ---- */

struct rte_mbuf;

/* Where this worker's packets leave by each port. */
struct node_tx {
	uint32_t has_queue;              /* bit per node port: the worker has a queue there */
	uint16_t device[NODE_PORTS_MAX]; /* DPDK port of a node port */
	uint16_t queue[NODE_PORTS_MAX];
	uint8_t owner[NODE_PORTS_MAX]; /* the worker that sends for those without a queue */
};

/* Whether the stages have left it to be sent. */
static inline bool packet_leaves(const struct packet *packet)
{
	return packet->verdict == COUNTER_NONE || packet->verdict == COUNTER_HOST_ANSWERED;
}

/* An mbuf in one segment that came in by the port. */
void packet_from_mbuf(struct packet *packet, struct rte_mbuf *mbuf, uint8_t port);
/* The mbuf becomes the packet's frame. */
void mbuf_fit(const struct packet *packet);

/* Fills packets from the mbufs of one device queue; an mbuf in more than one segment is freed and
 * counted. Returns how many there are. */
uint32_t rx_burst(struct node *node, uint8_t port, uint16_t device, uint16_t queue,
		  struct packet packets[PACKET_BURST]);
/* Sends what leaves, frees the rest; packets without an mbuf are somebody else's by now. */
void tx_burst(struct node *node, const struct node_tx *tx, struct packet *packets, uint32_t n);

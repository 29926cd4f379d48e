/*
 * A worker lcore: polls its queues, runs the packet path, sleeps when there is nothing to do.
 *
 *   queue q of every port belongs to worker q mod workers, for receiving and for sending. A packet
 *   whose flow is another worker's goes through that one's inbox; one that leaves by a port on
 * which the worker has no queue goes through the outbox of the one that has queue 0.
 *
 *   packets many ......... poll again at once
 *   few .................. look again after 100 us: what came meanwhile goes as one burst
 *   none for some rounds . wait for a descriptor to become readable, at most 10 ms; where a port
 *                          has none, look again after 300 us
 */
#pragma once

#include "dataplane/main/port.h"
#include "dataplane/node/node.h"

#include <rte_ring.h>
#include <stdatomic.h>

struct worker_queue {
	uint8_t port;
	uint16_t device;
	uint16_t queue;
};

struct worker {
	struct node node;
	struct node_tx tx;
	uint32_t index;
	uint32_t queues_count;
	struct worker_queue queues[NODE_PORTS_MAX * PORT_QUEUES_MAX];
	struct worker *all; /* the process's workers, this one among them */
	uint32_t all_count;
	/* other threads put, this worker takes */
	struct rte_ring *inbox;  /* mbufs for this worker's flows; mbuf->port = port they came by */
	struct rte_ring *outbox; /* mbufs to be sent; mbuf->port = port they leave by */
	/* sleeping */
	bool spin;
	bool waitable; /* every port has a descriptor to wait for */
	int epoll_fd;
	uint32_t eager; /* empty rounds until it sleeps */
	_Atomic bool stop;
};

struct worker_config {
	struct flow_table *flows;
	struct hop_table *hops;
	const struct port *ports;
	uint32_t ports_count;
	bool spin;
};

/* Sets up one of `count` workers (array `all`, zeroed, of which each has its index). -errno. */
int worker_init(struct worker *all, uint32_t count, uint32_t index,
		const struct worker_config *config);
void worker_fini(struct worker *worker);
/* The lcore's function; returns after worker_stop. */
int worker_run(void *worker);
void worker_stop(struct worker *worker);
/* From the main lcore: a frame to be sent by a port. The mbuf is the worker's afterwards. */
void worker_send(struct worker *all, uint32_t count, uint8_t port, struct rte_mbuf *mbuf);

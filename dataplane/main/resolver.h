/*
 * Finds next hops for the workers: on shared ports what the kernel's routes and neighbours say, on
 * owned ports by ARP and ND of our own. Runs on the main lcore.
 *
 *   published flow, worker's question --> resolver --netlink / ARP, ND--> hop table --> workers
 *
 * Each hop in use is confirmed now and then; one that nobody uses is forgotten.
 */
#pragma once

#include "dataplane/base/loop.h"
#include "dataplane/main/port.h"
#include "dataplane/main/worker.h"

struct resolver;

struct resolver_config {
	struct loop *loop;
	struct flow_table *flows;
	struct hop_table *hops;
	const struct port *ports;
	uint32_t ports_count;
	struct worker *workers; /* send owned ports' questions */
	uint32_t workers_count;
	struct rte_mempool *pool;
};

int resolver_create(struct resolver **resolver, const struct resolver_config *config);
void resolver_destroy(struct resolver *resolver);
/* Starts finding the hop from one of the local addresses (index in the flow table). */
void resolver_want(struct resolver *resolver, uint8_t local, const struct address *remote);
/* Takes the workers' questions and what they heard; every 10 ms or so. */
void resolver_questions(struct resolver *resolver);
/* Repeats, confirms, forgets; once a second. */
void resolver_tick(struct resolver *resolver);

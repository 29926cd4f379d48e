/* The process's root: everything that tandem-dataplane has, in the order in which it is made. */
#pragma once

#include "dataplane/api/fork.h"
#include "dataplane/base/config.h"
#include "dataplane/base/loop.h"
#include "dataplane/main/fork_server.h"
#include "dataplane/main/ng_server.h"
#include "dataplane/main/port.h"
#include "dataplane/main/resolver.h"
#include "dataplane/main/worker.h"
#include "dataplane/session/ng_commands.h"
#include "dataplane/session/session.h"

#include <net/if.h>
#include <rte_mempool.h>

struct dataplane {
	struct config *config;
	gid_t gid; /* of the sockets; (gid_t)-1 = leave */
	struct loop *loop;
	uint32_t ports_count;
	struct port ports[NODE_PORTS_MAX];
	struct config_port default_ports[2]; /* when the file names none */
	char default_device[IFNAMSIZ];
	/* media addresses: those of all ports, in their order */
	uint32_t addresses_count;
	struct address addresses[FLOW_ADDRESSES_MAX];
	struct session_table_config sessions_config;
	bool eal_started;
	struct rte_mempool *pool;
	struct flow_table *flows;
	struct hop_table *hops;
	struct worker *workers;
	uint32_t workers_count;
	bool workers_running;
	/* fork rings, one per worker */
	struct td_fork_ring *rings[TD_FORK_WORKERS_MAX];
	int ring_fds[TD_FORK_WORKERS_MAX];
	uint32_t rings_count;
	struct fork_server *fork_server;
	struct resolver *resolver;
	struct session_table *sessions;
	struct ng_commands commands;
	struct ng_server *ng;
	/* housekeeping */
	struct timer questions_timer;
	struct timer second_timer;
};

/* Makes everything; -errno, logged. dataplane_stop cleans up whatever was made. */
int dataplane_start(struct dataplane *dataplane);
void dataplane_stop(struct dataplane *dataplane);

/* ---- parts ---- */

/* Ports from the configuration (the default route's device and `lo` when it names none), media
 * addresses and interfaces. */
int addresses_prepare(struct dataplane *dataplane);
/* Opens the ports with what is media for each. */
int ports_open(struct dataplane *dataplane);

void housekeeping_start(struct dataplane *dataplane);
void housekeeping_stop(struct dataplane *dataplane);

/* The workers' drop counters, added up, for ng `statistics`. */
void dataplane_drops(void *dataplane, session_count_fn *count, void *to);

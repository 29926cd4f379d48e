/* DPDK's environment: memory, cores, its log lines. */
#pragma once

#include "dataplane/base/config.h"
#include "dataplane/main/port.h"

#include <rte_mempool.h>
#include <stdint.h>

/* Starts the environment with config->workers worker lcores, numbered from 1, that share the
 * process's CPUs. Probes the PCI ports. mbufs: how many will be asked for. Uses huge pages if there
 * are enough or they can be reserved, otherwise none. 0, or -errno, logged.
 */
int eal_start(const struct config_dataplane *config, const struct port *ports, uint32_t ports_count,
	      uint32_t mbufs);
void eal_stop(void);
/* The last thing that DPDK complained of, for our own error lines; never NULL. Main lcore. */
const char *eal_last_message(void);

/* The one pool of all ports: frames pass from port to port without a copy. NULL, logged. */
struct rte_mempool *eal_pool_create(uint32_t mbufs);

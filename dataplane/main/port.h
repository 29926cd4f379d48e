/*
 * Ports: DPDK devices with addresses. A shared port takes media out of a kernel device's traffic
 * and leaves the rest; an owned port has its device to itself.
 *
 *   config_port -> port_kind (how it is opened) -> struct port -> struct node_port (what workers
 * see)
 */
#pragma once

#include "dataplane/base/clock.h" /* before DPDK, which has an NS_PER_S too */
#include "dataplane/base/config.h"
#include "dataplane/node/node.h"

#include <rte_mempool.h>

#define PORT_QUEUES_MAX 16
#define PORT_FDS_MAX    (PORT_QUEUES_MAX * 2)

/* "10.0.0.2/24" of an owned port. */
struct port_prefix {
	struct address address;
	uint8_t bits; /* of the 128 of the mapped form */
};

struct port {
	const struct config_port *conf;
	enum config_port_kind kind; /* what it came to be; never CONFIG_PORT_AUTO */
	char name[64];
	uint8_t index; /* among the node's ports */
	bool shared;
	bool loopback;
	uint16_t device; /* DPDK's number */
	uint16_t queues; /* pairs of receive and transmit queues */
	int ifindex;     /* shared: of the kernel's device */
	uint8_t mac[6];
	uint32_t addresses_count;
	struct address addresses[NODE_PORT_ADDRESSES_MAX];
	struct port_prefix prefixes[NODE_PORT_ADDRESSES_MAX]; /* owned */
	struct address gateway, gateway6;                     /* owned; all zero = none */
	/* Descriptors that become readable when packets arrive; none: the worker has to look. */
	uint32_t fds_count;
	int fds[PORT_FDS_MAX];
	int lock_fd;    /* shared: held while the device is ours, -1 = not */
	int program_fd; /* memfd with the XDP program, -1 = none */
	bool tc;        /* our filter is on the device's ingress */
};

/* What is media, for the kernel's side of shared ports. */
struct port_media {
	const struct address *addresses;
	uint32_t addresses_count;
	uint16_t port_min;
	uint16_t port_max;
};

/* Reads what the port serves: addresses, gateway. -errno, logged. Opens nothing. */
int port_init(struct port *port, const struct config_port *conf, uint8_t index);
/* How many queue pairs it will have at most; before it is opened. */
uint32_t port_queues_expected(const struct port *port);
/* Opens and starts the device. -errno, logged. */
int port_open(struct port *port, const struct port_media *media, struct rte_mempool *pool);
/* Fine for a port that was not opened. */
void port_close(struct port *port);
/* Fills in what the stages need. */
void port_describe(const struct port *port, struct node_port *node_port);
const char *port_kind_text(enum config_port_kind kind);

/* ---- the kinds; each -errno, logged ---- */

int port_xdp_open(struct port *port, const struct port_media *media, struct rte_mempool *pool);
void port_xdp_close(struct port *port);
int port_packet_open(struct port *port, const struct port_media *media, struct rte_mempool *pool);
void port_packet_close(struct port *port);
int port_owned_open(struct port *port, const struct port_media *media, struct rte_mempool *pool);

/* ---- for the kinds ---- */

/* Creates the virtual device from its arguments and starts it with port->queues queue pairs;
 * descriptors that it opened land in port->fds. On failure it is gone again. */
int port_vdev_open(struct port *port, const char *device, const char *arguments,
		   struct rte_mempool *pool);
/* Configures and starts port->device. */
int port_device_start(struct port *port, struct rte_mempool *pool);
/* Takes back what the kind's open did. */
void port_device_close(struct port *port);

/* Writes addresses and range into the maps of a loaded program, found by its id. */
int media_maps_fill(uint32_t program_id, const struct port_media *media);

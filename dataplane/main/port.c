/* What all ports have in common: reading their configuration, starting the device, and finding the
 * descriptors that tell of arriving packets. */
#include "dataplane/main/port.h"

#include "dataplane/base/log.h"
#include "dataplane/main/eal.h"
#include "dataplane/main/netdev.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <rte_bus_vdev.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define DESCRIPTORS  2048
#define FDS_SEEN_MAX 4096

static const char *const kind_texts[] = {[CONFIG_PORT_AUTO] = "auto",
					 [CONFIG_PORT_AF_XDP] = "af_xdp",
					 [CONFIG_PORT_AF_PACKET] = "af_packet",
					 [CONFIG_PORT_TAP] = "tap",
					 [CONFIG_PORT_MEMIF] = "memif",
					 [CONFIG_PORT_PCI] = "pci",
					 [CONFIG_PORT_NULL] = "null"};

const char *port_kind_text(enum config_port_kind kind)
{
	return kind_texts[kind];
}

/* ---- configuration ---- */

static int init_shared(struct port *port)
{
	struct address wanted;
	int n;

	port->ifindex = netdev_index(port->conf->device);
	if (port->ifindex < 0) {
		log_error("port %s: no network device %s", port->name, port->conf->device);
		return port->ifindex;
	}
	port->loopback = strcmp(port->conf->device, "lo") == 0;
	netdev_mac(port->conf->device, port->mac);
	n = netdev_addresses(port->conf->device, port->addresses, NODE_PORT_ADDRESSES_MAX);
	if (n < 0)
		return n;
	for (uint32_t i = 0; i < port->conf->addresses_count; i++) {
		const char *text = port->conf->addresses[i];
		int at = 0;

		if (address_parse(&wanted, text, strlen(text)) < 0)
			return -EINVAL;
		while (at < n && !address_equal(&port->addresses[at], &wanted))
			at++;
		if (at == n) {
			log_error("port %s: device %s does not have the address %s", port->name,
				  port->conf->device, text);
			return -EADDRNOTAVAIL;
		}
		/* Wanted ones move to the front, in the order of the file. */
		port->addresses[at] = port->addresses[i];
		port->addresses[i] = wanted;
	}
	port->addresses_count =
		port->conf->addresses_count ? port->conf->addresses_count : (uint32_t)n;
	if (port->addresses_count == 0) {
		log_error("port %s: device %s has no address", port->name, port->conf->device);
		return -EADDRNOTAVAIL;
	}
	return 0;
}

static int prefix_parse(struct port_prefix *prefix, const char *text)
{
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	bool v4;
	long bits;

	if (address_parse(&prefix->address, text, n) < 0)
		return -EINVAL;
	v4 = address_is_v4(&prefix->address);
	bits = slash ? strtol(slash + 1, NULL, 10) : (v4 ? 32 : 128);
	if (bits < 0 || bits > (v4 ? 32 : 128))
		return -EINVAL;
	prefix->bits = (uint8_t)(v4 ? bits + 96 : bits);
	return 0;
}

static int init_owned(struct port *port)
{
	const struct config_port *conf = port->conf;

	for (uint32_t i = 0; i < conf->addresses_count && i < NODE_PORT_ADDRESSES_MAX; i++) {
		if (prefix_parse(&port->prefixes[i], conf->addresses[i]) < 0) {
			log_error("port %s: \"%s\" is no address with a prefix length", port->name,
				  conf->addresses[i]);
			return -EINVAL;
		}
		port->addresses[i] = port->prefixes[i].address;
		port->addresses_count++;
	}
	if (conf->gateway != NULL &&
	    address_parse(&port->gateway, conf->gateway, strlen(conf->gateway)) < 0)
		return -EINVAL;
	if (conf->gateway6 != NULL &&
	    address_parse(&port->gateway6, conf->gateway6, strlen(conf->gateway6)) < 0)
		return -EINVAL;
	return 0;
}

int port_init(struct port *port, const struct config_port *conf, uint8_t index)
{
	*port = (struct port){
		.conf = conf, .kind = conf->kind, .index = index, .lock_fd = -1, .program_fd = -1};
	snprintf(port->name, sizeof(port->name), "%s", conf->name);
	port->shared = conf->kind <= CONFIG_PORT_AF_PACKET;
	return port->shared ? init_shared(port) : init_owned(port);
}

void port_describe(const struct port *port, struct node_port *node_port)
{
	node_port->used = true;
	node_port->owned = !port->shared && port->kind != CONFIG_PORT_NULL;
	node_port->loopback = port->loopback;
	memcpy(node_port->mac, port->mac, 6);
	node_port->addresses_count = port->addresses_count;
	memcpy(node_port->addresses, port->addresses, sizeof(node_port->addresses));
}

/* ---- opening ---- */

uint32_t port_queues_expected(const struct port *port)
{
	uint32_t queues = 1;

	if (port->shared && port->kind != CONFIG_PORT_AF_PACKET)
		queues = netdev_queues(port->conf->device);
	return queues < PORT_QUEUES_MAX ? queues : PORT_QUEUES_MAX;
}

/* One dataplane per device: a second one would take away the first one's program as a remnant.
 * Abstract sockets belong to the network namespace, as devices do, and end with the process. */
static int device_lock(struct port *port)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "tandem-dataplane/%s",
			 port->conf->device);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	int rc = 0;

	port->lock_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (port->lock_fd < 0 || bind(port->lock_fd, (struct sockaddr *)&address, len) < 0)
		rc = -errno;
	if (rc == -EADDRINUSE)
		log_error("port %s: another dataplane has the device %s", port->name,
			  port->conf->device);
	else if (rc < 0)
		log_error("port %s: device %s is not locked: %s", port->name, port->conf->device,
			  strerror(-rc));
	return rc;
}

int port_open(struct port *port, const struct port_media *media, struct rte_mempool *pool)
{
	int rc;

	if (!port->shared)
		return port_owned_open(port, media, pool);
	rc = device_lock(port);
	if (rc < 0)
		return rc;
	if (port->conf->kind != CONFIG_PORT_AF_PACKET) {
		port->kind = CONFIG_PORT_AF_XDP;
		rc = port_xdp_open(port, media, pool);
		if (rc == 0)
			return 0;
		if (port->conf->kind == CONFIG_PORT_AF_XDP) {
			log_error("port %s: XDP does not attach to %s: %s (%s)", port->name,
				  port->conf->device, strerror(-rc), eal_last_message());
			return rc;
		}
		log_warn("port %s: XDP does not attach to %s (%s; %s), using AF_PACKET", port->name,
			 port->conf->device, strerror(-rc), eal_last_message());
	}
	port->kind = CONFIG_PORT_AF_PACKET;
	return port_packet_open(port, media, pool);
}

void port_device_close(struct port *port)
{
	if (port->kind == CONFIG_PORT_AF_PACKET)
		port_packet_close(port);
	rte_eth_dev_stop(port->device);
	rte_eth_dev_close(port->device);
	if (port->kind == CONFIG_PORT_AF_XDP)
		port_xdp_close(port);
	port->queues = 0;
}

void port_close(struct port *port)
{
	if (port->queues > 0)
		port_device_close(port);
	if (port->shared && port->lock_fd >= 0)
		close(port->lock_fd);
	port->lock_fd = -1;
}

int port_device_start(struct port *port, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;
	int rc;

	rc = rte_eth_dev_info_get(port->device, &info);
	if (rc < 0)
		return rc;
	if (port->queues > info.max_rx_queues)
		port->queues = info.max_rx_queues;
	if (port->queues > info.max_tx_queues)
		port->queues = info.max_tx_queues;
	rc = rte_eth_dev_configure(port->device, port->queues, port->queues, &conf);
	if (rc == 0)
		rc = rte_eth_dev_adjust_nb_rx_tx_desc(port->device, &rx, &tx);
	for (uint16_t q = 0; rc == 0 && q < port->queues; q++)
		rc = rte_eth_rx_queue_setup(port->device, q, rx, SOCKET_ID_ANY, NULL, pool);
	for (uint16_t q = 0; rc == 0 && q < port->queues; q++)
		rc = rte_eth_tx_queue_setup(port->device, q, tx, SOCKET_ID_ANY, NULL);
	if (rc == 0)
		rc = rte_eth_dev_start(port->device);
	return rc;
}

/* ---- descriptors ---- */

/* Those of the process, as a set of numbers. */
static void fds_list(bool seen[FDS_SEEN_MAX])
{
	struct dirent *entry;
	DIR *self = opendir("/proc/self/fd");

	memset(seen, 0, FDS_SEEN_MAX * sizeof(bool));
	if (self == NULL)
		return;
	while ((entry = readdir(self)) != NULL) {
		long fd = strtol(entry->d_name, NULL, 10);

		if (fd > 2 && fd < FDS_SEEN_MAX && fd != dirfd(self))
			seen[fd] = true;
	}
	closedir(self);
}

/* Whether packets come through the descriptor: AF_XDP and AF_PACKET sockets, TUN/TAP. */
static bool fd_has_packets(int fd)
{
	char link[32], target[PATH_MAX];
	int domain = 0;
	socklen_t len = sizeof(domain);
	ssize_t n;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0)
		return domain == AF_XDP || domain == AF_PACKET;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return strcmp(target, "/dev/net/tun") == 0;
}

static void fds_find(struct port *port, const bool before[FDS_SEEN_MAX])
{
	bool now[FDS_SEEN_MAX];

	fds_list(now);
	port->fds_count = 0;
	for (int fd = 0; fd < FDS_SEEN_MAX && port->fds_count < PORT_FDS_MAX; fd++) {
		if (now[fd] && !before[fd] && fd_has_packets(fd))
			port->fds[port->fds_count++] = fd;
	}
}

int port_vdev_open(struct port *port, const char *device, const char *arguments,
		   struct rte_mempool *pool)
{
	bool before[FDS_SEEN_MAX];
	int rc;

	fds_list(before);
	rc = rte_vdev_init(device, arguments);
	if (rc == 0) {
		rc = rte_eth_dev_get_port_by_name(device, &port->device);
		if (rc == 0)
			rc = port_device_start(port, pool);
		if (rc < 0)
			rte_vdev_uninit(device);
	}
	if (rc < 0) {
		port->queues = 0;
		return rc;
	}
	fds_find(port, before);
	return 0;
}

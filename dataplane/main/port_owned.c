/* Ports that have their device to themselves: TAP, memif, PCI, and null for measurements. */
#include "dataplane/main/port.h"

#include "dataplane/base/log.h"
#include "dataplane/main/eal.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <string.h>

/* On a TAP the kernel's end has the device's address; ours must be another, or no bridge would
 * carry it. Locally administered, from the name, so that it is the same after a restart. */
static void tap_mac(struct port *port)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (const char *at = port->conf->device; *at != '\0'; at++)
		hash = (hash ^ (uint8_t)*at) * 16777619u;
	port->mac[0] = 0x02;
	port->mac[1] = 0x54;
	memcpy(port->mac + 2, &hash, 4);
}

static int pci_open(struct port *port, struct rte_mempool *pool)
{
	int rc = rte_eth_dev_get_port_by_name(port->conf->device, &port->device);

	if (rc == 0)
		rc = port_device_start(port, pool);
	if (rc < 0)
		port->queues = 0;
	return rc;
}

int port_owned_open(struct port *port, const struct port_media *media, struct rte_mempool *pool)
{
	const char *more = port->conf->arguments ? port->conf->arguments : "";
	const char *comma = port->conf->arguments ? "," : "";
	struct rte_ether_addr mac;
	char device[32], arguments[512] = "";
	int rc;

	(void)media;
	port->queues = 1;
	snprintf(device, sizeof(device), "net_%s%u", port_kind_text(port->kind), port->index);
	if (port->kind == CONFIG_PORT_TAP)
		snprintf(arguments, sizeof(arguments), "iface=%s%s%s", port->conf->device, comma,
			 more);
	else if (port->kind == CONFIG_PORT_MEMIF)
		snprintf(arguments, sizeof(arguments), "socket=%s,socket-abstract=no%s%s",
			 port->conf->device, comma, more);
	else
		snprintf(arguments, sizeof(arguments), "%s", more);
	rc = port->kind == CONFIG_PORT_PCI ? pci_open(port, pool)
					   : port_vdev_open(port, device, arguments, pool);
	if (rc < 0) {
		log_error("port %s: %s device %s does not open: %s (%s)", port->name,
			  port_kind_text(port->kind), port->conf->device ? port->conf->device : "",
			  strerror(-rc), eal_last_message());
		return rc;
	}
	if (port->kind == CONFIG_PORT_TAP) {
		tap_mac(port);
	} else if (rte_eth_macaddr_get(port->device, &mac) == 0) {
		memcpy(port->mac, mac.addr_bytes, 6);
	}
	return 0;
}

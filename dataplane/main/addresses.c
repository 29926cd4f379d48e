/* Which addresses are served: ports, media addresses, and the named interfaces of ng. */
#include "dataplane/main/dataplane.h"

#include "dataplane/base/log.h"
#include "dataplane/main/netdev.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- ports ---- */

/* The file names no port: the device of the default route and `lo`. */
static void ports_default(struct dataplane *d)
{
	struct config_port *ports = d->default_ports;
	uint32_t n = 0;

	if (netdev_default(d->default_device) == 0) {
		ports[n] = (struct config_port){.name = d->default_device,
						.device = d->default_device};
		n++;
	} else {
		log_warn("port: no default route, serving only this machine");
	}
	ports[n] = (struct config_port){.name = (char *)"lo", .device = (char *)"lo"};
	n++;
	d->config->dataplane.ports_count = n;
}

static int ports_init(struct dataplane *d)
{
	const struct config_dataplane *conf = &d->config->dataplane;
	const struct config_port *ports = conf->ports;
	int rc = 0;

	if (conf->ports_count == 0) {
		ports_default(d);
		ports = d->default_ports;
	}
	if (conf->ports_count > NODE_PORTS_MAX) {
		log_error("ports: %u are configured, at most %u can be", conf->ports_count,
			  NODE_PORTS_MAX);
		return -E2BIG;
	}
	for (uint32_t i = 0; rc == 0 && i < conf->ports_count; i++) {
		rc = port_init(&d->ports[i], &ports[i], (uint8_t)i);
		d->ports_count = i + 1;
	}
	return rc;
}

/* ---- media addresses ---- */

static uint32_t address_index(const struct dataplane *d, const struct address *address)
{
	for (uint32_t i = 0; i < d->addresses_count; i++) {
		if (address_equal(&d->addresses[i], address))
			return i;
	}
	return FLOW_NONE;
}

static int addresses_collect(struct dataplane *d)
{
	for (uint32_t p = 0; p < d->ports_count; p++) {
		const struct port *port = &d->ports[p];

		for (uint32_t i = 0; i < port->addresses_count; i++) {
			if (address_index(d, &port->addresses[i]) != FLOW_NONE)
				continue;
			if (d->addresses_count == FLOW_ADDRESSES_MAX) {
				log_error("ports have more than %u addresses together: name those "
					  "to be used",
					  FLOW_ADDRESSES_MAX);
				return -E2BIG;
			}
			d->addresses[d->addresses_count++] = port->addresses[i];
		}
	}
	if (d->addresses_count == 0) {
		log_error("ports have no address to serve media on");
		return -EADDRNOTAVAIL;
	}
	return 0;
}

/* ---- interfaces ---- */

static struct session_interface *interface_add(struct dataplane *d, const char *name)
{
	struct session_table_config *c = &d->sessions_config;
	struct session_interface *interface;

	for (uint32_t i = 0; i < c->interfaces_count; i++) {
		if (strcmp(c->interfaces[i].name, name) == 0)
			return NULL;
	}
	if (c->interfaces_count == SESSION_INTERFACES_MAX)
		return NULL;
	interface = &c->interfaces[c->interfaces_count++];
	snprintf(interface->name, sizeof(interface->name), "%s", name);
	return interface;
}

static int interface_address(struct dataplane *d, struct session_interface *interface,
			     const struct address *address, const struct address *advertised)
{
	char text[ADDRESS_TEXT_MAX];
	uint32_t index = address_index(d, address);
	struct session_address *to;

	if (index == FLOW_NONE) {
		log_error("interface %s: no port has the address %s", interface->name,
			  address_text(address, text));
		return -EADDRNOTAVAIL;
	}
	if (interface->addresses_count == SESSION_ADDRESSES_MAX)
		return 0; /* the first ones win */
	to = &interface->addresses[interface->addresses_count++];
	to->address = *address;
	to->advertised = advertised ? *advertised : *address;
	to->index = index;
	return 0;
}

static int interface_configured(struct dataplane *d, const struct config_interface *conf)
{
	struct session_interface *interface = interface_add(d, conf->name);
	struct address address, advertised;
	int rc = 0;

	if (interface == NULL) {
		log_error("interface %s: configured twice, or more than %u", conf->name,
			  SESSION_INTERFACES_MAX);
		return -EINVAL;
	}
	if (conf->advertised != NULL &&
	    address_parse(&advertised, conf->advertised, strlen(conf->advertised)) < 0)
		return -EINVAL;
	for (uint32_t i = 0; rc == 0 && i < conf->addresses_count; i++) {
		const char *text = conf->addresses[i];

		if (address_parse(&address, text, strlen(text)) < 0)
			return -EINVAL;
		rc = interface_address(d, interface, &address,
				       conf->advertised && address_is_v4(&address) ? &advertised
										   : NULL);
	}
	return rc;
}

/* One interface for each port, behind the configured ones: with none configured the first port is
 * the default, and any local address can be asked for. `lo` comes last. */
static int interfaces_of_ports(struct dataplane *d, bool loopback)
{
	int rc = 0;

	for (uint32_t p = 0; p < d->ports_count; p++) {
		const struct port *port = &d->ports[p];
		struct session_interface *interface;

		if (port->loopback != loopback || port->addresses_count == 0)
			continue;
		interface = interface_add(d, port->name);
		for (uint32_t i = 0; interface != NULL && rc == 0 && i < port->addresses_count; i++)
			rc = interface_address(d, interface, &port->addresses[i], NULL);
	}
	return rc;
}

static void addresses_log(const struct dataplane *d)
{
	for (uint32_t i = 0; i < d->sessions_config.interfaces_count; i++) {
		const struct session_interface *interface = &d->sessions_config.interfaces[i];
		char line[SESSION_ADDRESSES_MAX * (ADDRESS_TEXT_MAX + 1) + 1] = "";
		char text[ADDRESS_TEXT_MAX];
		size_t used = 0;

		for (uint32_t a = 0; a < interface->addresses_count; a++)
			used += (size_t)snprintf(line + used, sizeof(line) - used, " %s",
						 address_text(&interface->addresses[a].address,
							      text));
		log_info("interface %s: media on%s ports %u-%u", interface->name, line,
			 d->sessions_config.port_min, d->sessions_config.port_max);
	}
}

int addresses_prepare(struct dataplane *d)
{
	const struct config_dataplane *conf = &d->config->dataplane;
	int rc;

	rc = ports_init(d);
	if (rc == 0)
		rc = addresses_collect(d);
	for (uint32_t i = 0; rc == 0 && i < conf->interfaces_count; i++)
		rc = interface_configured(d, &conf->interfaces[i]);
	if (rc == 0)
		rc = interfaces_of_ports(d, false);
	if (rc == 0)
		rc = interfaces_of_ports(d, true);
	if (rc == 0)
		addresses_log(d);
	return rc;
}

/* ---- opening ---- */

/* Packets that we send into `lo` have source addresses of this host, some of them 127.0.0.0/8. */
static void loopback_sysctls(void)
{
	static const char *const paths[] = {"net/ipv4/conf/lo/accept_local",
					    "net/ipv4/conf/lo/route_localnet"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int rc = netdev_sysctl(paths[i], "1");

		if (rc < 0)
			log_warn("sysctl %s is not set to 1: %s; media on lo may not arrive",
				 paths[i], strerror(-rc));
	}
}

static void ephemeral_check(const struct config_dataplane *conf)
{
	unsigned int low = 0, high = 0;
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

	if (f == NULL)
		return;
	if (fscanf(f, "%u %u", &low, &high) == 2 && low <= conf->media_port_max &&
	    high >= conf->media_port_min)
		log_warn("media ports %u-%u overlap the kernel's ip_local_port_range %u-%u: UDP "
			 "clients of this host may lose answers",
			 conf->media_port_min, conf->media_port_max, low, high);
	fclose(f);
}

int ports_open(struct dataplane *d)
{
	const struct config_dataplane *conf = &d->config->dataplane;
	int rc = 0;

	ephemeral_check(conf);
	for (uint32_t p = 0; rc == 0 && p < d->ports_count; p++) {
		struct port *port = &d->ports[p];
		struct port_media media = {.addresses = port->addresses,
					   .addresses_count = port->addresses_count,
					   .port_min = (uint16_t)conf->media_port_min,
					   .port_max = (uint16_t)conf->media_port_max};

		if (port->loopback) {
			/* What this host sends to its own addresses comes through lo. */
			loopback_sysctls();
			media.addresses = d->addresses;
			media.addresses_count = d->addresses_count;
		}
		rc = port_open(port, &media, d->pool);
		if (rc == 0)
			log_info("port %s: %s on %s, %u queue%s", port->name,
				 port_kind_text(port->kind),
				 port->conf->device ? port->conf->device : "nothing", port->queues,
				 port->queues == 1 ? "" : "s");
	}
	return rc;
}

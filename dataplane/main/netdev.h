/* What the kernel knows about its network devices. */
#pragma once

#include "dataplane/base/address.h"

#include <net/if.h>
#include <stdint.h>

/* The device of the default route (IPv4 first, then IPv6); -ENOENT without one. */
int netdev_default(char name[IFNAMSIZ]);
/* Interface index, or -errno. */
int netdev_index(const char *name);
int netdev_mac(const char *name, uint8_t mac[6]);
/* Its addresses but IPv6 link-local ones, in the kernel's order; how many, or -errno. What exceeds
 * max is left out. */
int netdev_addresses(const char *name, struct address *addresses, uint32_t max);
/* Receive queues that the AF_XDP driver can bind: combined channels, 1 where there are none. */
uint32_t netdev_queues(const char *name);
/* Receive queues that the kernel spreads packets over. */
uint32_t netdev_rx_queues(const char *name);
/* Writes a value below /proc/sys unless it is there already; logs what it changed. */
int netdev_sysctl(const char *path, const char *value);

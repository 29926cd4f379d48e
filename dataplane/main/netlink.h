/* Routes and neighbours as the kernel has them (rtnetlink). */
#pragma once

#include "dataplane/base/address.h"

#include <stdbool.h>
#include <stdint.h>

struct netlink;

/* Something about a neighbour changed; mac is NULL when it is not reachable any more. */
typedef void netlink_neighbour_fn(void *arg, int ifindex, const struct address *address,
				  const uint8_t mac[6]);

struct netlink_route {
	int ifindex;
	bool local;              /* the destination is the host itself */
	struct address next_hop; /* gateway, or the destination */
};

int netlink_open(struct netlink **netlink);
void netlink_close(struct netlink *netlink);
/* Readable when there are changes to be read by netlink_changes. */
int netlink_fd(const struct netlink *netlink);
void netlink_changes(struct netlink *netlink, netlink_neighbour_fn *changed, void *arg);

/* How the kernel would send from `from` (may be NULL) to `to`; -EHOSTUNREACH and the like. */
int netlink_route(struct netlink *netlink, const struct address *from, const struct address *to,
		  struct netlink_route *route);
/* The neighbour's Ethernet address if it is known; -ENOENT. */
int netlink_neighbour(struct netlink *netlink, int ifindex, const struct address *address,
		      uint8_t mac[6]);
/* Has the kernel resolve or confirm the neighbour, without sending it anything else. */
int netlink_resolve(struct netlink *netlink, int ifindex, const struct address *address);

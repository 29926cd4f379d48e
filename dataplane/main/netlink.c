/* Two sockets: one asks and reads the answer at once, the other hears of changes. */
#include "dataplane/main/netlink.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#define MESSAGE_MAX 8192
#define NEIGHBOUR_VALID                                                                            \
	(NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

struct netlink {
	int ask_fd;
	int hear_fd;
	uint32_t sequence;
};

struct request {
	struct nlmsghdr header;
	union {
		struct rtmsg route;
		struct ndmsg neighbour;
	};
	uint8_t attributes[128];
};

static int socket_open(uint32_t groups, int flags)
{
	struct sockaddr_nl local = {.nl_family = AF_NETLINK, .nl_groups = groups};
	struct timeval limit = {.tv_sec = 1};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

int netlink_open(struct netlink **netlink)
{
	struct netlink *n = calloc(1, sizeof(*n));
	int rc;

	*netlink = NULL;
	if (n == NULL)
		return -ENOMEM;
	n->hear_fd = -1;
	n->ask_fd = socket_open(0, 0);
	rc = n->ask_fd;
	if (rc >= 0)
		rc = n->hear_fd = socket_open(RTMGRP_NEIGH, SOCK_NONBLOCK);
	if (rc < 0) {
		netlink_close(n);
		return rc;
	}
	*netlink = n;
	return 0;
}

void netlink_close(struct netlink *n)
{
	if (n == NULL)
		return;
	if (n->ask_fd >= 0)
		close(n->ask_fd);
	if (n->hear_fd >= 0)
		close(n->hear_fd);
	free(n);
}

int netlink_fd(const struct netlink *n)
{
	return n->hear_fd;
}

/* ---- asking ---- */

static void attribute_add(struct request *r, uint16_t type, const void *value, uint16_t len)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)r + NLMSG_ALIGN(r->header.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), value, len);
	r->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static void address_add(struct request *r, uint16_t type, const struct address *address)
{
	if (address_is_v4(address))
		attribute_add(r, type, address->ip + 12, 4);
	else
		attribute_add(r, type, address->ip, 16);
}

static uint8_t family(const struct address *address)
{
	return address_is_v4(address) ? AF_INET : AF_INET6;
}

/* Sends the request and reads into answer until the message that belongs to it; *found is set to
 * it, NULL for a plain acknowledgement. */
static int ask(struct netlink *n, struct request *r, char *answer, const struct nlmsghdr **found)
{
	*found = NULL;
	r->header.nlmsg_seq = ++n->sequence;
	if (send(n->ask_fd, r, r->header.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t len = recv(n->ask_fd, answer, MESSAGE_MAX, 0);
		const struct nlmsghdr *m = (const void *)answer;

		if (len < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		for (; NLMSG_OK(m, (uint32_t)len); m = NLMSG_NEXT(m, len)) {
			if (m->nlmsg_seq != n->sequence)
				continue; /* of an earlier question that timed out */
			if (m->nlmsg_type == NLMSG_ERROR)
				return ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
			*found = m;
			return 0;
		}
	}
}

/* The address in an attribute of a family. */
static bool address_get(struct address *address, const struct rtattr *a, uint8_t of)
{
	static const struct address v4 = {.ip = {[10] = 0xff, [11] = 0xff}};
	size_t len = of == AF_INET ? 4 : 16;

	if (RTA_PAYLOAD(a) != len)
		return false;
	*address = v4;
	memcpy(address->ip + 16 - len, RTA_DATA(a), len);
	return true;
}

static int route_ask(struct netlink *n, const struct address *from, const struct address *to,
		     struct netlink_route *route)
{
	struct request r = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
				       .nlmsg_type = RTM_GETROUTE,
				       .nlmsg_flags = NLM_F_REQUEST},
			    .route = {.rtm_family = family(to)}};
	_Alignas(struct nlmsghdr) char answer[MESSAGE_MAX];
	const struct nlmsghdr *m;
	const struct rtmsg *message;
	const struct rtattr *a;
	int len, rc;

	r.route.rtm_dst_len = address_is_v4(to) ? 32 : 128;
	address_add(&r, RTA_DST, to);
	if (from != NULL) {
		r.route.rtm_src_len = r.route.rtm_dst_len;
		address_add(&r, RTA_SRC, from);
	}
	rc = ask(n, &r, answer, &m);
	if (rc < 0)
		return rc;
	if (m == NULL || m->nlmsg_type != RTM_NEWROUTE)
		return -EPROTO;
	message = NLMSG_DATA(m);
	if (message->rtm_type != RTN_UNICAST && message->rtm_type != RTN_LOCAL)
		return -EHOSTUNREACH;
	*route = (struct netlink_route){.next_hop = *to, .local = message->rtm_type == RTN_LOCAL};
	len = (int)(m->nlmsg_len - NLMSG_LENGTH(sizeof(*message)));
	for (a = RTM_RTA(message); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) == sizeof(int))
			memcpy(&route->ifindex, RTA_DATA(a), sizeof(int));
		else if (a->rta_type == RTA_GATEWAY)
			address_get(&route->next_hop, a, message->rtm_family);
	}
	return route->ifindex > 0 ? 0 : -EHOSTUNREACH;
}

int netlink_route(struct netlink *n, const struct address *from, const struct address *to,
		  struct netlink_route *route)
{
	int rc = -EINVAL;

	if (from != NULL)
		rc = route_ask(n, from, to, route);
	return rc == 0 ? 0 : route_ask(n, NULL, to, route);
}

/* What a neighbour message says; false when it is about none of ours. *mac stays NULL when the
 * neighbour is not reachable. */
static bool neighbour_read(const struct nlmsghdr *m, int *ifindex, struct address *address,
			   const uint8_t **mac)
{
	const struct ndmsg *message = NLMSG_DATA(m);
	const struct rtattr *a;
	bool named = false;
	int len = (int)(m->nlmsg_len - NLMSG_LENGTH(sizeof(*message)));

	*mac = NULL;
	if (m->nlmsg_len < NLMSG_LENGTH(sizeof(*message)) ||
	    (message->ndm_family != AF_INET && message->ndm_family != AF_INET6))
		return false;
	*ifindex = message->ndm_ifindex;
	for (a = (const void *)((const char *)message + NLMSG_ALIGN(sizeof(*message)));
	     RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		if (a->rta_type == NDA_DST)
			named = address_get(address, a, message->ndm_family);
		else if (a->rta_type == NDA_LLADDR && RTA_PAYLOAD(a) == 6)
			*mac = RTA_DATA(a);
	}
	if (m->nlmsg_type == RTM_DELNEIGH || !(message->ndm_state & NEIGHBOUR_VALID))
		*mac = NULL;
	return named;
}

static struct request neighbour_request(uint16_t type, uint16_t flags, int ifindex,
					const struct address *address)
{
	struct request r = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ndmsg)),
				       .nlmsg_type = type,
				       .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)},
			    .neighbour = {.ndm_family = family(address), .ndm_ifindex = ifindex}};

	address_add(&r, NDA_DST, address);
	return r;
}

int netlink_neighbour(struct netlink *n, int ifindex, const struct address *address, uint8_t mac[6])
{
	struct request r = neighbour_request(RTM_GETNEIGH, 0, ifindex, address);
	_Alignas(struct nlmsghdr) char answer[MESSAGE_MAX];
	const struct nlmsghdr *m;
	struct address named;
	const uint8_t *found = NULL;
	int rc = ask(n, &r, answer, &m);

	if (rc < 0)
		return rc;
	if (m == NULL || m->nlmsg_type != RTM_NEWNEIGH ||
	    !neighbour_read(m, &ifindex, &named, &found) || found == NULL)
		return -ENOENT;
	memcpy(mac, found, 6);
	return 0;
}

int netlink_resolve(struct netlink *n, int ifindex, const struct address *address)
{
	struct request r =
		neighbour_request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, ifindex, address);
	_Alignas(struct nlmsghdr) char answer[MESSAGE_MAX];
	const struct nlmsghdr *m;

	/* "Used now": the kernel asks for it, or confirms what it has. */
	r.neighbour.ndm_flags = NTF_USE;
	r.neighbour.ndm_state = NUD_NONE;
	return ask(n, &r, answer, &m);
}

/* ---- hearing ---- */

void netlink_changes(struct netlink *n, netlink_neighbour_fn *changed, void *arg)
{
	_Alignas(struct nlmsghdr) char message[MESSAGE_MAX];

	for (int i = 0; i < 64; i++) { /* what is left makes the descriptor readable again */
		ssize_t len = recv(n->hear_fd, message, sizeof(message), 0);
		const struct nlmsghdr *m = (const void *)message;

		if (len < 0)
			return;
		for (; NLMSG_OK(m, (uint32_t)len); m = NLMSG_NEXT(m, len)) {
			struct address address;
			const uint8_t *mac;
			int ifindex;

			if (m->nlmsg_type != RTM_NEWNEIGH && m->nlmsg_type != RTM_DELNEIGH)
				continue;
			if (neighbour_read(m, &ifindex, &address, &mac))
				changed(arg, ifindex, &address, mac);
		}
	}
}

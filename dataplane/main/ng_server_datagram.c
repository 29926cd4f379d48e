/*
 * ng over UDP. The reply leaves from the address that the request came to, also on a socket bound
 * to all addresses: clients that connect() their socket would not see it otherwise.
 */
#include "dataplane/main/ng_server_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define DATAGRAM_REPLY_MAX 65507 /* 65535 - IPv4 header - UDP header */
#define DATAGRAMS_A_ROUND  64

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/* Makes what recvmsg() told of the destination into what sendmsg() takes as source. The interface
 * is left to routing, but for link-local addresses. */
static void control_turn(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo *v4 = (struct in_pktinfo *)(void *)CMSG_DATA(c);

			v4->ipi_ifindex = 0;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo *v6 = (struct in6_pktinfo *)(void *)CMSG_DATA(c);

			if (!IN6_IS_ADDR_LINKLOCAL(&v6->ipi6_addr))
				v6->ipi6_ifindex = 0;
		}
	}
}

/* One datagram; false when there was none. */
static bool datagram_take(struct ng_server *server)
{
	struct sockaddr_storage from = {0};
	struct iovec bytes = {.iov_base = server->datagram, .iov_len = sizeof(server->datagram)};
	union control control;
	struct msghdr message = {.msg_name = &from,
				 .msg_namelen = sizeof(from),
				 .msg_iov = &bytes,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	struct ng_request_id request = {0};
	const char *reply;
	ssize_t n = recvmsg(server->datagrams.fd, &message, 0);
	size_t len;

	if (n < 0)
		return errno == EINTR;
	if (ng_datagram_split(server->datagram, (size_t)n, &request.cookie, &request.cookie_len,
			      &request.dictionary, &request.dictionary_len) < 0 ||
	    endpoint_from_sockaddr(&request.from, (const struct sockaddr *)&from) < 0) {
		server->counters[NG_SERVER_NO_COOKIE]++;
		return true;
	}
	reply = ng_server_answer(server, &request, DATAGRAM_REPLY_MAX, &len);
	control_turn(&message);
	bytes.iov_base = (void *)(uintptr_t)reply;
	bytes.iov_len = len;
	message.msg_flags = 0;
	if (len > 0 && sendmsg(server->datagrams.fd, &message, MSG_NOSIGNAL) < 0)
		server->counters[NG_SERVER_SEND_FAILED]++;
	return true;
}

static void datagrams_ready(struct loop_fd *watch, uint32_t events)
{
	struct ng_server *server = list_entry(watch, struct ng_server, datagrams);

	(void)events;
	for (int i = 0; i < DATAGRAMS_A_ROUND; i++) {
		if (!datagram_take(server))
			return;
	}
}

int ng_datagrams_open(struct ng_server *server, const struct endpoint *local)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(local, &ss);
	bool v6 = ss.ss_family == AF_INET6;
	int one = 1, rc;

	server->datagrams.ready = datagrams_ready;
	server->datagrams.fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->datagrams.fd < 0)
		return -errno;
	if (setsockopt(server->datagrams.fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
		       v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &one, sizeof(one)) < 0 ||
	    bind(server->datagrams.fd, (const struct sockaddr *)&ss, len) < 0) {
		rc = -errno;
	} else {
		rc = loop_fd_add(server->loop, &server->datagrams, EPOLLIN);
		if (rc == 0)
			return 0;
	}
	close(server->datagrams.fd);
	server->datagrams.fd = -1;
	return rc;
}

void ng_datagrams_close(struct ng_server *server)
{
	if (server->datagrams.fd < 0)
		return;
	loop_fd_del(server->loop, &server->datagrams);
	close(server->datagrams.fd);
	server->datagrams.fd = -1;
}

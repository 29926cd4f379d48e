/*
 * SIP over UDP: bursts of recvmmsg and sendmmsg. The local address that a datagram came to is read
 * from IP_PKTINFO, and answers leave from it.
 */
#include "control/sip/internal.h"
#include "control/sip/stun.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#define RX_BURST         32
#define RX_BURSTS        4 /* per wake-up, so that timers and others get their turn */
#define RX_SIZE          65536
#define TX_BURST         64
#define TX_ARENA_SIZE    (256 * 1024)
#define UDP_PAYLOAD_MAX  65507
#define SOCKET_BUFFER    (4 * 1024 * 1024)
#define PKTINFO_SIZE_MAX (CMSG_SPACE(sizeof(struct in6_pktinfo)))
#define RX_CONTROL_SIZE  (PKTINFO_SIZE_MAX + CMSG_SPACE(sizeof(struct timespec)))

struct udp_socket {
	struct loop_fd watch;
	struct sip_transport *udp;
	struct endpoint bound;
};

struct udp_send {
	int fd;
	struct sockaddr_storage to;
	_Alignas(struct cmsghdr) char control[PKTINFO_SIZE_MAX];
};

struct sip_transport {
	struct sip_stack *stack;
	struct udp_socket sockets[SIP_LISTENERS_MAX];
	uint32_t sockets_count;
	/* receiving */
	char *rx;
	struct mmsghdr rx_headers[RX_BURST];
	struct iovec rx_iov[RX_BURST];
	struct sockaddr_storage rx_from[RX_BURST];
	_Alignas(struct cmsghdr) char rx_control[RX_BURST][RX_CONTROL_SIZE];
	/* sending: what waits for the end of the round */
	char *tx;
	uint32_t tx_n;
	uint32_t tx_count;
	struct mmsghdr tx_headers[TX_BURST];
	struct iovec tx_iov[TX_BURST];
	struct udp_send tx_sends[TX_BURST];
};

static int udp_send(struct sip_transport *udp, struct sip_flow *flow, const char *bytes,
		    uint32_t n);

static int udp_create(struct sip_stack *stack, struct sip_transport **out)
{
	struct sip_transport *udp = calloc(1, sizeof(*udp));

	if (!udp)
		return -ENOMEM;
	udp->stack = stack;
	udp->rx = malloc((size_t)RX_BURST * RX_SIZE);
	udp->tx = malloc(TX_ARENA_SIZE);
	if (!udp->rx || !udp->tx) {
		free(udp->rx);
		free(udp->tx);
		free(udp);
		return -ENOMEM;
	}
	*out = udp;
	return 0;
}

static void udp_destroy(struct sip_transport *udp)
{
	for (uint32_t i = 0; i < udp->sockets_count; i++) {
		loop_fd_del(udp->stack->loop, &udp->sockets[i].watch);
		close(udp->sockets[i].watch.fd);
	}
	free(udp->rx);
	free(udp->tx);
	free(udp);
}

/* The address that the datagram was sent to. */
static struct address destination_of(struct msghdr *header, const struct endpoint *bound)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo v4;

			memcpy(&v4, CMSG_DATA(c), sizeof(v4));
			return address_from_v4_be(v4.ipi_spec_dst.s_addr);
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo v6;
			struct address a;

			memcpy(&v6, CMSG_DATA(c), sizeof(v6));
			memcpy(a.ip, &v6.ipi6_addr, sizeof(a.ip));
			return a;
		}
	}
	return bound->address;
}

static void note_arrival(struct sip_stack *stack, struct msghdr *header)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		struct timespec at;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&at, CMSG_DATA(c), sizeof(at));
		stack_note_arrival(stack, (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec);
	}
}

static void rx_prepare(struct sip_transport *udp)
{
	for (int i = 0; i < RX_BURST; i++) {
		udp->rx_iov[i] = (struct iovec){udp->rx + (size_t)i * RX_SIZE, RX_SIZE};
		udp->rx_headers[i].msg_hdr = (struct msghdr){
			.msg_name = &udp->rx_from[i],
			.msg_namelen = sizeof(udp->rx_from[i]),
			.msg_iov = &udp->rx_iov[i],
			.msg_iovlen = 1,
			.msg_control = udp->rx_control[i],
			.msg_controllen = sizeof(udp->rx_control[i]),
		};
	}
}

static void stun_received(struct sip_transport *udp, struct sip_flow *flow, const char *bytes,
			  uint32_t n)
{
	char out[STUN_ANSWER_MAX];
	uint32_t out_n;

	if (!watch_admits(udp->stack, &flow->remote.address, false)) {
		count(udp->stack, SIP_COUNTER_not_admitted);
		return;
	}
	out_n = stun_answer(bytes, n, &flow->remote, out);
	count(udp->stack, out_n > 0 ? SIP_COUNTER_stun_requests : SIP_COUNTER_stun_refused);
	if (out_n > 0)
		udp_send(udp, flow, out, out_n);
}

static void udp_ready(struct loop_fd *watch, uint32_t events)
{
	struct udp_socket *socket = list_entry(watch, struct udp_socket, watch);
	struct sip_transport *udp = socket->udp;
	int got = RX_BURST;

	(void)events;
	for (int burst = 0; burst < RX_BURSTS && got == RX_BURST; burst++) {
		rx_prepare(udp);
		got = recvmmsg(watch->fd, udp->rx_headers, RX_BURST, MSG_DONTWAIT, NULL);
		if (got > 0)
			note_arrival(udp->stack, &udp->rx_headers[0].msg_hdr);
		for (int i = 0; i < got; i++) {
			struct msghdr *header = &udp->rx_headers[i].msg_hdr;
			struct sip_flow flow = {.transport = SIP_TRANSPORT_UDP};

			if (endpoint_from_sockaddr(&flow.remote, header->msg_name) < 0)
				continue;
			flow.local = (struct endpoint){
				.address = destination_of(header, &socket->bound),
				.port = socket->bound.port,
			};
			if (stun_is_message(header->msg_iov->iov_base, udp->rx_headers[i].msg_len))
				stun_received(udp, &flow, header->msg_iov->iov_base,
					      udp->rx_headers[i].msg_len);
			else
				sip_transport_received(udp->stack, &flow, header->msg_iov->iov_base,
						       udp->rx_headers[i].msg_len);
		}
	}
}

static int socket_options(int fd, bool v4)
{
	int one = 1;
	int size = SOCKET_BUFFER;

	if (!v4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		return -errno;
	if (v4 ? setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)) < 0
	       : setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one)) < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

static int udp_listen(struct sip_transport *udp, const struct endpoint *at, struct endpoint *bound)
{
	struct udp_socket *s = &udp->sockets[udp->sockets_count];
	struct sockaddr_storage ss;
	socklen_t n = endpoint_to_sockaddr(at, &ss);
	int rc;
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	rc = socket_options(fd, address_is_v4(&at->address));
	if (rc == 0 && bind(fd, (struct sockaddr *)&ss, n) < 0)
		rc = -errno;
	n = sizeof(ss);
	if (rc == 0 && getsockname(fd, (struct sockaddr *)&ss, &n) < 0)
		rc = -errno;
	if (rc == 0)
		rc = endpoint_from_sockaddr(&s->bound, (struct sockaddr *)&ss);
	s->udp = udp;
	s->watch = (struct loop_fd){.fd = fd, .ready = udp_ready};
	if (rc == 0)
		rc = loop_fd_add(udp->stack->loop, &s->watch, EPOLLIN);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*bound = s->bound;
	udp->sockets_count++;
	return 0;
}

/* The socket that owns the flow's local end, or one of the family. */
static const struct udp_socket *socket_for(const struct sip_transport *udp,
					   const struct sip_flow *flow)
{
	bool v4 = address_is_v4(&flow->remote.address);
	const struct udp_socket *any = NULL;

	for (uint32_t i = 0; i < udp->sockets_count; i++) {
		const struct udp_socket *s = &udp->sockets[i];
		const struct address *its = &s->bound.address;

		if (address_is_v4(its) != v4)
			continue;
		if (s->bound.port == flow->local.port &&
		    (address_equal(its, &flow->local.address) || address_is_any(its)))
			return s;
		any = any ? any : s;
	}
	return any;
}

/* Says which address the datagram leaves from. Returns the length used. */
static size_t put_source(char *control, const struct address *source)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)control;

	memset(control, 0, PKTINFO_SIZE_MAX);
	if (address_is_v4(source)) {
		struct in_pktinfo v4 = {.ipi_spec_dst.s_addr = address_v4_be(source)};

		*c = (struct cmsghdr){CMSG_LEN(sizeof(v4)), IPPROTO_IP, IP_PKTINFO};
		memcpy(CMSG_DATA(c), &v4, sizeof(v4));
		return CMSG_SPACE(sizeof(v4));
	}
	struct in6_pktinfo v6 = {0};

	memcpy(&v6.ipi6_addr, source->ip, sizeof(source->ip));
	*c = (struct cmsghdr){CMSG_LEN(sizeof(v6)), IPPROTO_IPV6, IPV6_PKTINFO};
	memcpy(CMSG_DATA(c), &v6, sizeof(v6));
	return CMSG_SPACE(sizeof(v6));
}

static void udp_flush(struct sip_transport *udp)
{
	uint32_t at = 0;

	while (at < udp->tx_count) {
		int fd = udp->tx_sends[at].fd;
		uint32_t end = at;
		int sent;

		while (end < udp->tx_count && udp->tx_sends[end].fd == fd)
			end++;
		sent = sendmmsg(fd, &udp->tx_headers[at], end - at, MSG_DONTWAIT);
		if (sent > 0) {
			at += (uint32_t)sent;
		} else if (errno != EINTR) {
			/* that one cannot go; retransmission is the peer's or the timer's affair */
			count(udp->stack,
			      errno == EAGAIN ? SIP_COUNTER_send_full : SIP_COUNTER_send_errors);
			at++;
		}
	}
	udp->tx_count = 0;
	udp->tx_n = 0;
}

static int udp_send(struct sip_transport *udp, struct sip_flow *flow, const char *bytes, uint32_t n)
{
	const struct udp_socket *s = socket_for(udp, flow);
	struct udp_send *send;
	struct msghdr *header;

	if (!s)
		return -EPROTONOSUPPORT;
	if (n > UDP_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (flow->remote.port == 0)
		return -EINVAL;
	if (udp->tx_count == TX_BURST || udp->tx_n + n > TX_ARENA_SIZE)
		udp_flush(udp);
	send = &udp->tx_sends[udp->tx_count];
	send->fd = s->watch.fd;
	memcpy(udp->tx + udp->tx_n, bytes, n);
	udp->tx_iov[udp->tx_count] = (struct iovec){udp->tx + udp->tx_n, n};
	udp->tx_n += n;
	header = &udp->tx_headers[udp->tx_count].msg_hdr;
	*header = (struct msghdr){
		.msg_name = &send->to,
		.msg_namelen = endpoint_to_sockaddr(&flow->remote, &send->to),
		.msg_iov = &udp->tx_iov[udp->tx_count],
		.msg_iovlen = 1,
	};
	if (!address_is_any(&flow->local.address) && address_is_any(&s->bound.address)) {
		header->msg_control = send->control;
		header->msg_controllen = put_source(send->control, &flow->local.address);
	}
	udp->tx_count++;
	return 0;
}

const struct sip_transport_ops sip_transport_udp = {
	.kind = SIP_TRANSPORT_UDP,
	.name = "UDP",
	.parameter = "udp",
	.reliable = false,
	.secure = false,
	.default_port = 5060,
	.create = udp_create,
	.destroy = udp_destroy,
	.listen = udp_listen,
	.send = udp_send,
	.flush = udp_flush,
};

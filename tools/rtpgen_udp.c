/*
 * rtpgen with sockets: one for each local endpoint. Packets go out in the order of the flows, at
 * the rate asked for; those that are to be late are held until their flow's next one went out.
 */
#include "dataplane/base/clock.h"
#include "tools/rtpgen.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH         64
#define PACKET_MAX    1500
#define WINDOW        1024 /* packets behind the latest in which repeated ones are known */
#define SOCKET_BUFFER (4 << 20)

struct flow_state {
	uint32_t socket;
	struct sockaddr_storage remote;
	socklen_t remote_len;
	uint64_t next; /* number of the next packet */
	bool holding;
	uint64_t held; /* number of the packet held back */
	/* receiving */
	uint64_t received;
	uint64_t latest;            /* highest number seen */
	uint64_t seen[WINDOW / 64]; /* bit number % WINDOW */
};

struct generator {
	const struct plan *plan;
	struct result *result;
	struct flow_state *flows;
	int *sockets;
	uint32_t sockets_count;
	int epoll_fd;
	uint64_t random;
	/* packets of one socket on their way out */
	uint32_t queued;
	uint32_t queued_socket;
	struct mmsghdr out[BATCH];
	struct iovec out_bytes[BATCH];
	uint8_t packets[BATCH][PACKET_MAX];
	struct mmsghdr in[BATCH];
	struct iovec in_bytes[BATCH];
	uint8_t arrived[BATCH][PACKET_MAX];
};

static int failed(const char *what, int error)
{
	fprintf(stderr, "rtpgen: %s: %s\n", what, strerror(-error));
	return error;
}

/* xorshift64: good enough to pick packets by, and the same on every run. */
static bool chance(struct generator *generator, uint32_t ppm)
{
	uint64_t x = generator->random;

	if (ppm == 0)
		return false;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	generator->random = x;
	return x % 1000000 < ppm;
}

/* ---- sending ---- */

static void flush(struct generator *generator)
{
	uint32_t at = 0;

	while (at < generator->queued) {
		int n = sendmmsg(generator->sockets[generator->queued_socket], generator->out + at,
				 generator->queued - at, 0);

		if (n < 0) {
			/* A port that answered "unreachable" before fails one send; others may
			 * pass. */
			generator->result->send_failed++;
			at++;
		} else {
			generator->result->sent += (uint32_t)n;
			at += (uint32_t)n;
		}
	}
	generator->queued = 0;
}

static void packet_queue(struct generator *generator, uint32_t index, uint64_t number)
{
	const struct plan *plan = generator->plan;
	struct flow_state *flow = &generator->flows[index];
	struct rtpgen_rtp *rtp;
	struct rtpgen_mark *mark;
	struct mmsghdr *out;

	if (generator->queued == BATCH ||
	    (generator->queued > 0 && generator->queued_socket != flow->socket))
		flush(generator);
	generator->queued_socket = flow->socket;
	rtp = (struct rtpgen_rtp *)generator->packets[generator->queued];
	mark = (struct rtpgen_mark *)(rtp + 1);
	rtp->version = 0x80;
	rtp->pt = plan->pt;
	rtp->seq = htons((uint16_t)number);
	rtp->ts = htonl((uint32_t)number * plan->ts_step);
	rtp->ssrc = htonl(index + 1);
	mark->magic = htonl(RTPGEN_MAGIC);
	mark->flow = htonl(index);
	mark->number = htobe64(number);
	mark->sent_ns = htobe64(clock_mono_ns());
	out = &generator->out[generator->queued];
	out->msg_hdr.msg_name = &flow->remote;
	out->msg_hdr.msg_namelen = flow->remote_len;
	generator->queued++;
}

/* The next packet of a flow, with what befalls it. */
static void flow_step(struct generator *generator, uint32_t index)
{
	const struct plan *plan = generator->plan;
	struct flow_state *flow = &generator->flows[index];
	uint64_t number = flow->next++;

	if (chance(generator, plan->drop_ppm)) {
		generator->result->dropped++;
		return;
	}
	if (!flow->holding && chance(generator, plan->reorder_ppm)) {
		generator->result->held++;
		flow->holding = true;
		flow->held = number;
		return;
	}
	packet_queue(generator, index, number);
	if (chance(generator, plan->duplicate_ppm)) {
		generator->result->duplicated++;
		packet_queue(generator, index, number);
	}
	if (flow->holding) {
		flow->holding = false;
		packet_queue(generator, index, flow->held);
	}
}

/* ---- receiving ---- */

static void packet_take(struct generator *generator, const uint8_t *packet, size_t n,
			uint64_t now_ns)
{
	const struct rtpgen_rtp *rtp = (const struct rtpgen_rtp *)packet;
	const struct rtpgen_mark *mark = (const struct rtpgen_mark *)(rtp + 1);
	struct result *result = generator->result;
	uint64_t number, bit, *word;
	struct flow_state *flow;

	if (n < sizeof(*rtp) + sizeof(*mark) || mark->magic != htonl(RTPGEN_MAGIC) ||
	    ntohl(mark->flow) >= generator->plan->flows_count) {
		result->foreign++;
		return;
	}
	flow = &generator->flows[ntohl(mark->flow)];
	number = be64toh(mark->number);
	if (number >= flow->next) {
		result->foreign++;
		return;
	}
	result->received++;
	result->bytes += n;
	rtpgen_latency(result, now_ns - be64toh(mark->sent_ns));
	bit = UINT64_C(1) << number % 64;
	word = &flow->seen[number % WINDOW / 64];
	if (flow->received++ == 0 || number > flow->latest) {
		uint64_t from = flow->received == 1 ? number : flow->latest + 1;

		if (number - from >= WINDOW)
			from = number - WINDOW + 1;
		for (; from <= number; from++)
			flow->seen[from % WINDOW / 64] &= ~(UINT64_C(1) << from % 64);
		flow->latest = number;
	} else if (flow->latest - number < WINDOW && (*word & bit)) {
		result->repeated++;
		return;
	} else {
		result->late++;
	}
	*word |= bit;
}

static void socket_read(struct generator *generator, int fd)
{
	int n = recvmmsg(fd, generator->in, BATCH, MSG_DONTWAIT, NULL);
	uint64_t now_ns = clock_mono_ns();

	for (int i = 0; i < n; i++)
		packet_take(generator, generator->arrived[i], generator->in[i].msg_len, now_ns);
}

static void receive(struct generator *generator, int wait_ms)
{
	struct epoll_event events[BATCH];
	int n = epoll_wait(generator->epoll_fd, events, BATCH, wait_ms);

	for (int i = 0; i < n; i++)
		socket_read(generator, events[i].data.fd);
}

/* ---- opening and closing ---- */

static int socket_open(struct generator *generator, const struct endpoint *local)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(local, &ss);
	char text[ENDPOINT_TEXT_MAX];
	int size = SOCKET_BUFFER, fd;

	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return failed("socket", -errno);
	generator->sockets[generator->sockets_count++] = fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (bind(fd, (const struct sockaddr *)&ss, len) < 0)
		return failed(endpoint_text(local, text), -errno);
	event.data.fd = fd;
	if (epoll_ctl(generator->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return failed("epoll", -errno);
	return 0;
}

/* One socket for flows from the same endpoint, which stand next to each other after this. */
static int sockets_open(struct generator *generator)
{
	const struct plan *plan = generator->plan;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (uint32_t i = 0; i < plan->flows_count; i++) {
		struct flow_state *flow = &generator->flows[i];
		int rc;

		flow->remote_len = endpoint_to_sockaddr(&plan->flows[i].remote, &flow->remote);
		if (i > 0 && endpoint_equal(&plan->flows[i].local, &plan->flows[i - 1].local)) {
			flow->socket = generator->sockets_count - 1;
			continue;
		}
		rc = socket_open(generator, &plan->flows[i].local);
		if (rc < 0)
			return rc;
		flow->socket = generator->sockets_count - 1;
	}
	return 0;
}

static void buffers_prepare(struct generator *generator)
{
	uint32_t len = sizeof(struct rtpgen_rtp) + generator->plan->payload;

	for (uint32_t i = 0; i < BATCH; i++) {
		generator->out_bytes[i] = (struct iovec){generator->packets[i], len};
		generator->out[i].msg_hdr.msg_iov = &generator->out_bytes[i];
		generator->out[i].msg_hdr.msg_iovlen = 1;
		generator->in_bytes[i] = (struct iovec){generator->arrived[i], PACKET_MAX};
		generator->in[i].msg_hdr.msg_iov = &generator->in_bytes[i];
		generator->in[i].msg_hdr.msg_iovlen = 1;
	}
}

static void run(struct generator *generator)
{
	const struct plan *plan = generator->plan;
	uint64_t start_ns = clock_mono_ns(), stepped = 0, end_ns;
	uint32_t index = 0;

	while (!rtpgen_stop) {
		uint64_t elapsed_ns = clock_mono_ns() - start_ns, due = BATCH;

		if (elapsed_ns >= plan->duration_ns)
			break;
		if (plan->pps)
			due = (uint64_t)((double)elapsed_ns * (double)plan->pps / 1e9) - stepped;
		for (uint32_t i = 0; i < due && i < BATCH; i++, stepped++) {
			flow_step(generator, index);
			index = index + 1 < plan->flows_count ? index + 1 : 0;
		}
		flush(generator);
		receive(generator, due == 0 ? 1 : 0);
	}
	generator->result->elapsed_ns = clock_mono_ns() - start_ns;
	for (index = 0; index < plan->flows_count; index++) {
		if (generator->flows[index].holding)
			packet_queue(generator, index, generator->flows[index].held);
	}
	flush(generator);
	end_ns = clock_mono_ns() + plan->drain_ns;
	while (clock_mono_ns() < end_ns)
		receive(generator, 10);
}

int rtpgen_udp(const struct plan *plan, struct result *result)
{
	struct generator *generator = calloc(1, sizeof(*generator));
	int rc = -ENOMEM;

	if (!generator)
		return failed("memory", -ENOMEM);
	generator->plan = plan;
	generator->result = result;
	generator->random = 0x2545f4914f6cdd1d;
	generator->flows = calloc(plan->flows_count, sizeof(*generator->flows));
	generator->sockets = calloc(plan->flows_count, sizeof(*generator->sockets));
	generator->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (generator->flows && generator->sockets && generator->epoll_fd >= 0) {
		buffers_prepare(generator);
		rc = sockets_open(generator);
	}
	if (rc == 0) {
		run(generator);
		for (uint32_t i = 0; i < plan->flows_count; i++)
			result->flows_silent += generator->flows[i].received == 0;
	}
	for (uint32_t i = 0; i < generator->sockets_count; i++)
		close(generator->sockets[i]);
	close(generator->epoll_fd);
	free(generator->sockets);
	free(generator->flows);
	free(generator);
	return rc;
}

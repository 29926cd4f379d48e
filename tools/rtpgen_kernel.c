/*
 * rtpgen without sockets: a kernel program writes the frames of all flows one after the other and
 * transmits them from the device (BPF_PROG_TEST_RUN with live frames), another one counts and ends
 * what comes back to the device.
 */
#include "dataplane/base/clock.h"
#include "tools/rtpgen.h"
#include "tools/rtpgen_bpf.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX   1514
#define BATCH       64
#define UDP_HEADERS (20 + 8)

struct programs {
	struct bpf_object *object;
	int send_fd, receive_fd;
	int flows_fd, sender_fd, receiver_fd;
	int device;
	bool hooked;
	struct bpf_tc_hook hook;
};

static int failed(const char *what, int error)
{
	fprintf(stderr, "rtpgen: %s: %s\n", what, strerror(-error));
	return error;
}

static int silent(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level;
	(void)format;
	(void)arguments;
	return 0;
}

static int program_fd(const struct programs *programs, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(programs->object, name));
}

static int programs_load(struct programs *programs)
{
	int rc;

	libbpf_set_print(silent);
	programs->object = bpf_object__open_mem(rtpgen_bpf, sizeof(rtpgen_bpf), NULL);
	if (!programs->object)
		return failed("kernel programs", -errno);
	rc = bpf_object__load(programs->object);
	if (rc < 0)
		return failed("kernel programs", rc);
	programs->send_fd = program_fd(programs, "rtpgen_send");
	programs->receive_fd = program_fd(programs, "rtpgen_receive");
	programs->flows_fd = bpf_object__find_map_fd_by_name(programs->object, "flows");
	programs->sender_fd = bpf_object__find_map_fd_by_name(programs->object, "sender");
	programs->receiver_fd = bpf_object__find_map_fd_by_name(programs->object, "receiver");
	return 0;
}

static int receiver_attach(struct programs *programs)
{
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = programs->receive_fd);
	int rc;

	programs->hook = (struct bpf_tc_hook){.sz = sizeof(programs->hook),
					      .ifindex = programs->device,
					      .attach_point = BPF_TC_INGRESS};
	rc = bpf_tc_hook_create(&programs->hook);
	if (rc < 0 && rc != -EEXIST)
		return failed("ingress hook", rc);
	programs->hooked = true;
	rc = bpf_tc_attach(&programs->hook, &options);
	return rc < 0 ? failed("ingress program", rc) : 0;
}

static void programs_close(struct programs *programs)
{
	if (programs->hooked) {
		programs->hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS; /* the whole qdisc */
		bpf_tc_hook_destroy(&programs->hook);
	}
	bpf_object__close(programs->object);
}

static int device_mac(const char *device, uint8_t mac[6])
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = 0;

	if (fd < 0)
		return -errno;
	strncpy(request.ifr_name, device, sizeof(request.ifr_name) - 1);
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		rc = -errno;
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	close(fd);
	return rc;
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Ethernet, IPv4 (with its checksum) and UDP (checksum 0: none, RFC 768). */
static void headers_write(uint8_t *at, const struct plan *plan, const struct flow *flow,
			  const uint8_t from_mac[6])
{
	uint32_t udp_len = 8 + sizeof(struct rtpgen_rtp) + plan->payload;
	uint32_t sum = 0;
	uint8_t *ip = at + 14, *udp = at + 34;

	memset(at, 0, RTPGEN_HEADERS);
	memcpy(at, plan->to_mac, 6);
	memcpy(at + 6, from_mac, 6);
	put16(at + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, 20 + udp_len);
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, flow->local.address.ip + 12, 4);
	memcpy(ip + 16, flow->remote.address.ip + 12, 4);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~(sum + (sum >> 16)));
	put16(udp, flow->local.port);
	put16(udp + 2, flow->remote.port);
	put16(udp + 4, udp_len);
}

static int flows_write(const struct programs *programs, const struct plan *plan)
{
	struct rtpgen_sender sender = {.flows = plan->flows_count,
				       .ts_step = plan->ts_step,
				       .stamp_mask = 63,
				       .pps = plan->pps};
	uint8_t from_mac[6];
	uint32_t zero = 0;
	int rc = device_mac(plan->device, from_mac);

	if (rc < 0)
		return failed(plan->device, rc);
	for (uint32_t i = 0; i < plan->flows_count; i++) {
		const struct flow *flow = &plan->flows[i];
		struct rtpgen_flow entry = {0};

		if (!address_is_v4(&flow->local.address) || !address_is_v4(&flow->remote.address))
			return failed("flows: only IPv4 here", -EAFNOSUPPORT);
		headers_write(entry.headers, plan, flow, from_mac);
		if (bpf_map_update_elem(programs->flows_fd, &i, &entry, BPF_ANY) < 0)
			return failed("flows", -errno);
	}
	if (bpf_map_update_elem(programs->sender_fd, &zero, &sender, BPF_ANY) < 0)
		return failed("flows", -errno);
	return 0;
}

/* Does nothing: that a signal came is what ends the run. */
static void alarm_rang(int signal_number)
{
	(void)signal_number;
}

/* One run for the whole time: starting one takes the kernel milliseconds, so the rate is kept by
 * the program. */
static int sending_run(const struct programs *programs, const struct plan *plan,
		       struct result *result)
{
	uint32_t len = RTPGEN_HEADERS + sizeof(struct rtpgen_rtp) + plan->payload;
	uint8_t frame[FRAME_MAX] = {0};
	struct rtpgen_rtp *rtp = (struct rtpgen_rtp *)(frame + RTPGEN_HEADERS);
	struct rtpgen_mark *mark = (struct rtpgen_mark *)(rtp + 1);
	struct xdp_md place = {.data_end = len, .ingress_ifindex = (uint32_t)programs->device};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = len, .ctx_in = &place,
		    .ctx_size_in = sizeof(place), .repeat = INT_MAX,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	struct itimerval end = {
		.it_value = {.tv_sec = (time_t)(plan->duration_ns / NS_PER_S),
			     .tv_usec = (suseconds_t)(plan->duration_ns % NS_PER_S / 1000)}};
	struct sigaction rang = {.sa_handler = alarm_rang};
	uint64_t start_ns = clock_mono_ns();
	int rc = 0;

	rtp->version = 0x80;
	rtp->pt = plan->pt;
	mark->magic = htonl(RTPGEN_MAGIC);
	sigaction(SIGALRM, &rang, NULL);
	setitimer(ITIMER_REAL, &end, NULL);
	while (rc == 0 && !rtpgen_stop && clock_mono_ns() - start_ns < plan->duration_ns) {
		if (bpf_prog_test_run_opts(programs->send_fd, &run) < 0 && errno != EINTR)
			rc = failed("sending", -errno);
	}
	result->elapsed_ns = clock_mono_ns() - start_ns;
	return rc;
}

static int counts_read(const struct programs *programs, struct result *result)
{
	int cpus = libbpf_num_possible_cpus();
	struct rtpgen_receiver *counts = calloc((size_t)(cpus > 0 ? cpus : 1), sizeof(*counts));
	struct rtpgen_sender sender;
	uint32_t zero = 0;

	if (!counts)
		return -ENOMEM;
	if (bpf_map_lookup_elem(programs->sender_fd, &zero, &sender) < 0 ||
	    bpf_map_lookup_elem(programs->receiver_fd, &zero, counts) < 0) {
		free(counts);
		return failed("counts", -errno);
	}
	result->sent = sender.sent;
	for (int cpu = 0; cpu < cpus; cpu++) {
		const struct rtpgen_receiver *count = &counts[cpu];

		result->received += count->packets;
		result->bytes += count->bytes;
		result->stamped += count->stamped;
		result->latency_sum_ns += count->latency_sum_ns;
		if (count->latency_max_ns > result->latency_max_ns)
			result->latency_max_ns = count->latency_max_ns;
		for (int i = 0; i < RTPGEN_BUCKETS; i++)
			result->latency[i] += count->latency[i];
	}
	free(counts);
	return 0;
}

int rtpgen_kernel(const struct plan *plan, struct result *result)
{
	struct programs programs = {.device = (int)if_nametoindex(plan->device)};
	int rc;

	if (programs.device == 0)
		return failed(plan->device, -errno);
	rc = programs_load(&programs);
	if (rc == 0)
		rc = flows_write(&programs, plan);
	if (rc == 0)
		rc = receiver_attach(&programs);
	if (rc == 0)
		rc = sending_run(&programs, plan, result);
	if (rc == 0) {
		struct timespec drain = {.tv_sec = (time_t)(plan->drain_ns / NS_PER_S),
					 .tv_nsec = (long)(plan->drain_ns % NS_PER_S)};

		nanosleep(&drain, NULL);
		rc = counts_read(&programs, result);
	}
	programs_close(&programs);
	return rc;
}

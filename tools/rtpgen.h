/* rtpgen's own parts: what to send, what was seen, and the two ways to do it. */
#pragma once

#include "dataplane/base/address.h"
#include "tools/rtpgen_wire.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct flow {
	struct endpoint local;
	struct endpoint remote;
};

struct plan {
	struct flow *flows;
	uint32_t flows_count;
	uint64_t pps; /* of all flows together, 0 = as fast as possible */
	uint64_t duration_ns;
	uint64_t drain_ns; /* listens on after the last packet */
	uint32_t payload;  /* bytes after the RTP header */
	uint32_t ts_step;
	uint8_t pt;
	/* impairments, packets in a million; udp only */
	uint32_t drop_ppm;
	uint32_t duplicate_ppm;
	uint32_t reorder_ppm;
	/* kernel only */
	const char *device;
	uint8_t to_mac[6];
};

struct result {
	uint64_t elapsed_ns; /* of sending */
	uint64_t sent;       /* handed to the kernel, duplicates included */
	uint64_t send_failed;
	uint64_t dropped;      /* by our impairment: never sent */
	uint64_t duplicated;   /* by our impairment */
	uint64_t held;         /* by our impairment: sent after its successor */
	uint64_t received;     /* our packets, repeated ones included */
	uint64_t bytes;        /* of received UDP payload (kernel: of frames) */
	uint64_t repeated;     /* received again */
	uint64_t late;         /* received after a later one of its flow */
	uint64_t foreign;      /* received, not ours */
	uint64_t flows_silent; /* flows of which nothing came */
	uint64_t stamped;
	uint64_t latency_sum_ns;
	uint64_t latency_max_ns;
	uint64_t latency[RTPGEN_BUCKETS];
	double cpu_s; /* used by this process */
};

/* Ends a run early, set by a signal. */
extern volatile sig_atomic_t rtpgen_stop;

/* Both return 0 or -errno after a line on stderr. */
int rtpgen_udp(const struct plan *plan, struct result *result);
int rtpgen_kernel(const struct plan *plan, struct result *result);

/* Counts one latency into result. */
void rtpgen_latency(struct result *result, uint64_t ns);

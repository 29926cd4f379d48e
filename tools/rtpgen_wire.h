/* What rtpgen writes into its packets and shares with its kernel programs (rtpgen.bpf.c). */
#pragma once

#include <linux/types.h>

#define RTPGEN_MAGIC     0x72677031 /* after the RTP header, big endian */
#define RTPGEN_FLOWS_MAX 65536
#define RTPGEN_BUCKETS   40 /* bucket n of the latency histogram: below 2^n ns */
#define RTPGEN_HEADERS   (14 + 20 + 8)

struct rtpgen_rtp {
	__u8 version; /* 0x80 */
	__u8 pt;
	__be16 seq;
	__be32 ts;
	__be32 ssrc;
} __attribute__((packed));

/* The payload's beginning; the rest is filled up. */
struct rtpgen_mark {
	__be32 magic;
	__be32 flow;
	__be64 number;  /* of this packet in its flow, from 0 */
	__be64 sent_ns; /* CLOCK_MONOTONIC, 0 = not stamped */
} __attribute__((packed));

/* Kernel programs: one entry a flow, its headers ready to be copied. */
struct rtpgen_flow {
	__u8 headers[RTPGEN_HEADERS];
	__u8 pad[6];
	__u64 number;
};

struct rtpgen_sender {
	__u32 flow;  /* next one */
	__u32 flows; /* how many there are */
	__u32 ts_step;
	__u32 stamp_mask; /* packets whose number & mask is 0 are stamped */
	__u64 pps;        /* 0 = as fast as possible */
	__u64 start_ns;   /* set with the first packet */
	__u64 sent;
};

struct rtpgen_receiver {
	__u64 packets;
	__u64 bytes; /* of frames */
	__u64 stamped;
	__u64 latency_sum_ns;
	__u64 latency_max_ns;
	__u64 latency[RTPGEN_BUCKETS];
};

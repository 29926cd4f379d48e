/*
 * rtpgen's kernel side. rtpgen_send makes one frame of a flow each time it is run
 * (BPF_PROG_TEST_RUN with live frames) and transmits it without a socket or an skb; rtpgen_receive
 * counts rtpgen's own frames where they come in and ends their way there. Everything else passes.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tools/rtpgen_wire.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RTPGEN_FLOWS_MAX);
	__type(key, __u32);
	__type(value, struct rtpgen_flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rtpgen_sender);
} sender SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rtpgen_receiver);
} receiver SEC(".maps");

/* Whether the next packet's time has come. */
static __always_inline int is_due(struct rtpgen_sender *state)
{
	__u64 now_ns;

	if (state->pps == 0)
		return 1;
	now_ns = bpf_ktime_get_ns();
	if (state->start_ns == 0)
		state->start_ns = now_ns;
	return state->sent < (now_ns - state->start_ns) * state->pps / 1000000000;
}

SEC("xdp")
int rtpgen_send(struct xdp_md *frame)
{
	void *at = (void *)(long)frame->data;
	void *end = (void *)(long)frame->data_end;
	struct rtpgen_rtp *rtp = at + RTPGEN_HEADERS;
	struct rtpgen_mark *mark = (void *)(rtp + 1);
	struct rtpgen_sender *state;
	struct rtpgen_flow *flow;
	__u32 zero = 0, index;

	state = bpf_map_lookup_elem(&sender, &zero);
	if (!state || (void *)(mark + 1) > end)
		return XDP_ABORTED;
	if (!is_due(state))
		return XDP_DROP;
	index = state->flow;
	flow = bpf_map_lookup_elem(&flows, &index);
	if (!flow)
		return XDP_ABORTED;
	state->flow = index + 1 < state->flows ? index + 1 : 0;
	state->sent++;
	__builtin_memcpy(at, flow->headers, RTPGEN_HEADERS);
	rtp->seq = bpf_htons((__u16)flow->number);
	rtp->ts = bpf_htonl((__u32)flow->number * state->ts_step);
	rtp->ssrc = bpf_htonl(index + 1);
	mark->flow = bpf_htonl(index);
	mark->number = bpf_cpu_to_be64(flow->number);
	mark->sent_ns = 0;
	if ((state->sent & state->stamp_mask) == 0)
		mark->sent_ns = bpf_cpu_to_be64(bpf_ktime_get_ns());
	flow->number++;
	return XDP_TX;
}

static __always_inline void latency_add(struct rtpgen_receiver *count, __u64 sent_ns)
{
	__u64 ns = bpf_ktime_get_ns() - sent_ns, left = ns;
	__u32 bucket = 0;

	for (int i = 0; i < RTPGEN_BUCKETS - 1 && left; i++, left >>= 1)
		bucket++;
	count->stamped++;
	count->latency_sum_ns += ns;
	if (ns > count->latency_max_ns)
		count->latency_max_ns = ns;
	if (bucket < RTPGEN_BUCKETS)
		count->latency[bucket]++;
}

SEC("tc")
int rtpgen_receive(struct __sk_buff *skb)
{
	void *at = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct rtpgen_rtp *rtp = at + RTPGEN_HEADERS;
	struct rtpgen_mark *mark = (void *)(rtp + 1);
	struct rtpgen_receiver *count;
	struct iphdr *ip = at + ETH_HLEN;
	__u32 zero = 0;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	if ((void *)(mark + 1) > end) {
		bpf_skb_pull_data(skb, RTPGEN_HEADERS + sizeof(*rtp) + sizeof(*mark));
		at = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		ip = at + ETH_HLEN;
		rtp = at + RTPGEN_HEADERS;
		mark = (void *)(rtp + 1);
		if ((void *)(mark + 1) > end)
			return TC_ACT_OK;
	}
	if (ip->protocol != IPPROTO_UDP || mark->magic != bpf_htonl(RTPGEN_MAGIC))
		return TC_ACT_OK;
	count = bpf_map_lookup_elem(&receiver, &zero);
	if (!count)
		return TC_ACT_OK;
	count->packets++;
	count->bytes += skb->len;
	if (mark->sent_ns)
		latency_add(count, bpf_be64_to_cpu(mark->sent_ns));
	return TC_ACT_SHOT;
}

char rtpgen_license[] SEC("license") = "Dual BSD/GPL";

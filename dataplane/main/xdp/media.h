/*
 * What is media, for both kernel programs: whole UDP datagrams to one of the configured addresses
 * and the port range. Everything else is the host's own business. The maps are filled by
 * media_maps.c; empty ones match nothing.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct media_address {
	__u32 words[4]; /* IPv4 in its mapped form */
};

struct media_range {
	__u32 port_min; /* host order; port_max 0 = not filled in yet */
	__u32 port_max;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct media_address);
	__type(value, __u32);
} media_address SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct media_range);
} media_range SEC(".maps");

static __always_inline int media_ipv4(void *at, void *end, struct media_address *to, void **udp)
{
	struct iphdr *ip = at;
	__u32 header_len;

	if ((void *)(ip + 1) > end)
		return 0;
	header_len = ip->ihl * 4;
	if (ip->version != 4 || header_len < sizeof(*ip) || ip->protocol != IPPROTO_UDP)
		return 0;
	if (ip->frag_off & bpf_htons(0x3fff)) /* more fragments, offset */
		return 0;
	to->words[0] = 0;
	to->words[1] = 0;
	to->words[2] = bpf_htonl(0xffff);
	to->words[3] = ip->daddr;
	*udp = at + header_len;
	return 1;
}

static __always_inline int media_ipv6(void *at, void *end, struct media_address *to, void **udp)
{
	struct ipv6hdr *ip = at;

	if ((void *)(ip + 1) > end || ip->version != 6 || ip->nexthdr != IPPROTO_UDP)
		return 0;
	__builtin_memcpy(to->words, &ip->daddr, sizeof(to->words));
	*udp = ip + 1;
	return 1;
}

#define LOOPBACK 1 /* its index, in every network namespace */

/*
 * 1 when a program of this host listens where an IP packet of media goes: a phone on the same
 * machine may have chosen its port out of our range, and what we send it passes the loopback once
 * more. Only looked for there: on the wire the range is ours.
 */
static __always_inline int media_has_listener(void *program, void *at, void *end)
{
	struct bpf_sock_tuple tuple = {};
	struct ethhdr *ethernet = at;
	struct iphdr *ip4 = (void *)(ethernet + 1);
	struct ipv6hdr *ip6 = (void *)(ethernet + 1);
	struct bpf_sock *listener;
	struct udphdr *udp;
	__u32 size;

	if ((void *)(ethernet + 1) > end)
		return 0;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		if ((void *)(ip4 + 1) > end)
			return 0;
		udp = (void *)ip4 + (ip4->ihl & 15) * 4;
		tuple.ipv4.saddr = ip4->saddr;
		tuple.ipv4.daddr = ip4->daddr;
		if ((void *)(udp + 1) > end)
			return 0;
		tuple.ipv4.sport = udp->source;
		tuple.ipv4.dport = udp->dest;
		size = sizeof(tuple.ipv4);
	} else {
		udp = (void *)(ip6 + 1);
		if ((void *)(udp + 1) > end)
			return 0;
		__builtin_memcpy(tuple.ipv6.saddr, &ip6->saddr, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, &ip6->daddr, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = udp->source;
		tuple.ipv6.dport = udp->dest;
		size = sizeof(tuple.ipv6);
	}
	listener = bpf_sk_lookup_udp(program, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!listener)
		return 0;
	bpf_sk_release(listener);
	return 1;
}

/* 1 when the frame is media. */
static __always_inline int media_match(void *at, void *end)
{
	struct ethhdr *ethernet = at;
	struct media_address to;
	struct media_range *range;
	struct udphdr *udp;
	void *udp_at = 0;
	__u32 first = 0;
	__u16 port;
	int found = 0;

	if ((void *)(ethernet + 1) > end)
		return 0;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP))
		found = media_ipv4(ethernet + 1, end, &to, &udp_at);
	else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6))
		found = media_ipv6(ethernet + 1, end, &to, &udp_at);
	udp = udp_at;
	if (!found || (void *)(udp + 1) > end)
		return 0;
	range = bpf_map_lookup_elem(&media_range, &first);
	port = bpf_ntohs(udp->dest);
	if (!range || port < range->port_min || port > range->port_max)
		return 0;
	return bpf_map_lookup_elem(&media_address, &to) != 0;
}

/* Shared AF_XDP ports: media goes to the socket of its queue, all else on into the kernel. A queue
 * without a socket (nobody listens, or not yet) passes too. DPDK's PMD loads this and puts its
 * sockets into xsks_map. */
#include "dataplane/main/xdp/media.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} xsks_map SEC(".maps");

SEC("xdp")
int tandem_media(struct xdp_md *frame)
{
	void *at = (void *)(long)frame->data;
	void *end = (void *)(long)frame->data_end;

	if (!media_match(at, end))
		return XDP_PASS;
	if (frame->ingress_ifindex == LOOPBACK && media_has_listener(frame, at, end))
		return XDP_PASS;
	return bpf_redirect_map(&xsks_map, frame->rx_queue_index, XDP_PASS);
}

char media_license[] SEC("license") = "Dual BSD/GPL";

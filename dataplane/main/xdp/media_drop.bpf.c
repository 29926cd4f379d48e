/* Shared AF_PACKET ports: the packet socket has had its copy by the time traffic control sees a
 * frame, so media ends here and the kernel neither delivers it nor answers "port unreachable". */
#include "dataplane/main/xdp/media.h"

#include <linux/pkt_cls.h>

#define HEADERS_MAX 128 /* Ethernet, IPv4 with options, UDP */

SEC("tc")
int tandem_drop(struct __sk_buff *skb)
{
	void *at, *end;

	bpf_skb_pull_data(skb, skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX);
	at = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (!media_match(at, end))
		return TC_ACT_UNSPEC;
	if (skb->ifindex == LOOPBACK && media_has_listener(skb, at, end))
		return TC_ACT_UNSPEC;
	return TC_ACT_SHOT;
}

char media_license[] SEC("license") = "Dual BSD/GPL";

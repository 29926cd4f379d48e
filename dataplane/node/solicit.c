/* ARP requests and neighbour solicitations. */
#include "dataplane/node/solicit.h"

#include "dataplane/node/checksum.h"

#include <string.h>

static uint32_t arp_build(uint8_t *frame, const uint8_t mac[6], const struct address *source,
			  const struct address *target)
{
	static const uint8_t fixed[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1}; /* ..., request */
	uint8_t *arp = frame + 14;

	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	memcpy(frame + 12, fixed, sizeof(fixed));
	memcpy(arp + 8, mac, 6);
	memcpy(arp + 14, source->ip + 12, 4);
	memset(arp + 18, 0, 6);
	memcpy(arp + 24, target->ip + 12, 4);
	return 42;
}

static uint32_t nd_build(uint8_t *frame, const uint8_t mac[6], const struct address *source,
			 const struct address *target)
{
	/* RFC 4291 2.7.1: the solicited-node group has the last 24 bits of the address. */
	static const uint8_t group[13] = {0xff, 2, [11] = 1, [12] = 0xff};
	static const uint8_t header[] = {0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255};
	static const uint8_t pseudo[] = {0, 32, 0, 58};
	uint8_t *ip = frame + 14;
	uint8_t *icmp = ip + 40;
	uint64_t sum;
	uint16_t folded;

	memset(frame, 0, SOLICIT_BYTES_MAX);
	memset(frame, 0x33, 2);
	frame[2] = 0xff;
	memcpy(frame + 3, target->ip + 13, 3);
	memcpy(frame + 6, mac, 6);
	memcpy(frame + 12, header, sizeof(header));
	memcpy(ip + 8, source->ip, 16);
	memcpy(ip + 24, group, 13);
	memcpy(ip + 37, target->ip + 13, 3);
	icmp[0] = 135;
	memcpy(icmp + 8, target->ip, 16);
	icmp[24] = 1; /* source link-layer address */
	icmp[25] = 1;
	memcpy(icmp + 26, mac, 6);
	sum = checksum_add(checksum_add(0, pseudo, sizeof(pseudo)), ip + 8, 32 + 32);
	folded = (uint16_t)~checksum_fold(sum);
	memcpy(icmp + 2, &folded, 2);
	return 86;
}

uint32_t solicit_build(uint8_t frame[SOLICIT_BYTES_MAX], const uint8_t mac[6],
		       const struct address *source, const struct address *target)
{
	if (address_is_v4(target))
		return arp_build(frame, mac, source, target);
	return nd_build(frame, mac, source, target);
}

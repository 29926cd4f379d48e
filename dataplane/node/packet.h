/*
 * A packet on its way through the stages. Stages work on bytes, not on mbufs, so that tests and the
 * fuzzer run them on plain buffers; only rx and tx know the mbuf.
 *
 *   | room | Ethernet | IPv4 or IPv6 | UDP | payload | ...
 *   buffer ^frame                          ^payload
 *
 * The new headers are written before the payload in place, so a frame may begin earlier than it
 * did (IPv4 in, IPv6 out).
 */
#pragma once

#include "dataplane/base/address.h"
#include "dataplane/node/counter.h"

#include <stdint.h>

#define PACKET_BURST 32

struct packet {
	void *mbuf; /* rx and tx only */
	uint8_t *frame;
	uint8_t *payload;
	uint16_t frame_len;
	uint16_t payload_len;
	uint16_t room;   /* bytes of the buffer before frame ... */
	uint16_t tail;   /* ... and behind it */
	uint8_t port;    /* device port it came in by; after rewrite the one it leaves by */
	uint8_t verdict; /* 0 = goes on; else enum counter: the reason why not */
	uint8_t what;    /* enum rtp_demux */
	uint8_t address; /* index of the local address among the flow table's */
	uint16_t source_port;
	uint16_t local_port;
	uint32_t slot; /* where it arrived */
	uint32_t sink; /* through which it leaves */
	struct address source;
};
_Static_assert(sizeof(struct packet) <= 64, "one line");

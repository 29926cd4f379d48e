/* Frames by hand, and a packet path without devices, for the tests of this folder. */
#pragma once

#include "dataplane/node/node.h"

#include <stddef.h>

#define FRAME_ROOM 128
#define FRAME_MAX  2048

/* A packet on a buffer with room before it, as an mbuf has. */
struct frame {
	uint8_t buffer[FRAME_MAX];
	struct packet packet;
};

extern const uint8_t mac_ours[6];
extern const uint8_t mac_phone[6];
extern const uint8_t mac_router[6];

struct endpoint endpoint_of(const char *text);

/* UDP from -> to over IPv4 or IPv6, with right checksums, arriving at port 0. */
void frame_udp(struct frame *frame, const char *from, const char *to, const void *payload,
	       size_t payload_len);
/* The same with an RTP packet of payload_len bytes 0x55. */
void frame_rtp(struct frame *frame, const char *from, const char *to, uint16_t seq, uint32_t ts,
	       uint32_t ssrc, size_t payload_len);
/* Any bytes as a frame. */
void frame_raw(struct frame *frame, const uint8_t *bytes, size_t n);

/* Sum of 16-bit big-endian words, folded: 0xffff over a span whose checksum is right. Written
 * without the code under test. */
uint32_t sum_of(uint32_t start, const uint8_t *bytes, size_t n);

#define RIG_ADDRESSES 2 /* 10.0.0.1 and fd00::1, ports 1000 to 1099 */

struct rig {
	struct flow_table *flows;
	struct hop_table *hops;
	struct node *node;
	struct td_fork_ring *ring; /* NULL until rig_fork */
	int ring_fd;
	struct td_fork_reader reader;
	uint64_t now_ns;
};

void rig_open(struct rig *rig);
void rig_close(struct rig *rig);
/* Attaches a fork ring of the smallest size. */
void rig_fork(struct rig *rig);
/* A conf of the local endpoint with the remote (NULL = unknown), latching and strict; not
 * published.
 */
struct flow_conf rig_conf(const struct rig *rig, const char *local, const char *remote);
uint32_t rig_slot(const struct rig *rig, const char *local);
/* Publishes a and b as each other's sink. */
void rig_pair(struct rig *rig, struct flow_conf *a, struct flow_conf *b);
/* One burst of one packet through all stages, 20 ms after the one before; its verdict. */
enum counter rig_run(struct rig *rig, struct frame *frame);
uint64_t rig_counter(const struct rig *rig, enum counter counter);

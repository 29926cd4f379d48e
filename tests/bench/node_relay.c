/*
 * What the packet path itself costs: nanoseconds per relayed packet through all stages, without
 * devices. Packets of 20 ms G.711 hit flows in random order; the frames are made outside of the
 * measured time and are as cold as a device's would be warm (a pool of 2048).
 *
 *   node_relay [FLOWS [SECONDS]]        prints FLOWS, mean and median of the pools' nanoseconds
 */
#include "dataplane/base/clock.h"
#include "dataplane/node/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POOL        2048
#define POOLS_MAX   100000
#define FRAME_BYTES 512
#define ROOM        128
#define PORT_MIN    2000
#define PORTS       60000
#define PAYLOAD     172

struct bench {
	struct flow_table *flows;
	struct hop_table *hops;
	struct node *node;
	uint32_t flows_count;
	uint16_t *seqs;
	uint8_t *frames;
	struct packet packets[POOL];
	uint64_t random;
	uint64_t now_ns;
};

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint32_t random_next(struct bench *b)
{
	b->random = b->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(b->random >> 33);
}

static struct address address_v4(uint32_t host)
{
	return address_from_v4_be(__builtin_bswap32(host));
}

static struct endpoint local_of(const struct bench *b, uint32_t slot)
{
	return (struct endpoint){.address = b->flows->addresses[slot / PORTS],
				 .port = (uint16_t)(PORT_MIN + slot % PORTS)};
}

static struct endpoint remote_of(uint32_t slot)
{
	return (struct endpoint){.address = address_v4(0xc6000000 + slot / 8), .port = 4000};
}

/* Flow i leaves through flow i ^ 1. */
static void bench_open(struct bench *b)
{
	struct flow_table_config config = {.port_min = PORT_MIN,
					   .port_max = PORT_MIN + PORTS - 1,
					   .workers = 1,
					   .conf_max = b->flows_count + 1};

	config.addresses_count = (b->flows_count + PORTS - 1) / PORTS;
	for (uint32_t i = 0; i < config.addresses_count; i++)
		config.addresses[i] = address_v4(0x0a000001 + i);
	if (flow_table_create(&b->flows, &config) < 0 || hop_table_create(&b->hops, 1) < 0)
		abort();
	b->node = aligned_alloc(64, sizeof(*b->node));
	memset(b->node, 0, sizeof(*b->node));
	b->node->flows = b->flows;
	b->node->hops = b->hops;
	b->node->ports[0].used = true;
	b->node->ports[0].mac[5] = 1;
	b->seqs = calloc(b->flows_count, sizeof(*b->seqs));
	b->frames = aligned_alloc(64, POOL * FRAME_BYTES);
	b->now_ns = clock_real_ns();
	flow_online(b->flows, 0);
	for (uint32_t slot = 0; slot < b->flows_count; slot++) {
		struct flow_conf conf = {.slot = slot,
					 .sink = slot ^ 1,
					 .rtcp_sink = slot ^ 1,
					 .kind = FLOW_MUX,
					 .flags = FLOW_LATCH | FLOW_STRICT_SOURCE,
					 .local = local_of(b, slot),
					 .remote = remote_of(slot)};

		if (flow_table_publish(b->flows, &conf) < 0)
			abort();
	}
}

static void store16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void frame_make(struct bench *b, uint32_t i, uint32_t slot)
{
	struct endpoint from = remote_of(slot), to = local_of(b, slot);
	uint8_t *frame = b->frames + (size_t)i * FRAME_BYTES + ROOM;
	uint8_t *ip = frame + 14, *udp = ip + 20;
	uint32_t sum = 0;

	memcpy(frame, b->node->ports[0].mac, 6);
	memset(frame + 6, 2, 6);
	store16(frame + 12, 0x0800);
	memcpy(ip, (const uint8_t[]){0x45, 0, 0, 28 + PAYLOAD, 0, 0, 0, 0, 64, 17, 0, 0}, 12);
	memcpy(ip + 12, from.address.ip + 12, 4);
	memcpy(ip + 16, to.address.ip + 12, 4);
	for (int at = 0; at < 20; at += 2)
		sum += (uint32_t)ip[at] << 8 | ip[at + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	store16(ip + 10, ~(sum + (sum >> 16)));
	store16(udp, from.port);
	store16(udp + 2, to.port);
	store16(udp + 4, 8 + PAYLOAD);
	memcpy(udp + 8, (const uint8_t[]){0x80, 8}, 2);
	store16(udp + 10, b->seqs[slot]);
	memset(udp + 12, 0, 2);
	store16(udp + 14, b->seqs[slot] * 160u);
	memcpy(udp + 16, &slot, 4);
	b->seqs[slot]++;
	b->packets[i] = (struct packet){.frame = frame,
					.frame_len = 14 + 28 + PAYLOAD,
					.room = ROOM,
					.tail = FRAME_BYTES - ROOM - 14 - 28 - PAYLOAD};
}

/* The thread's own time: what others do on this CPU meanwhile is not ours. */
static uint64_t cpu_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* One pool through the stages; its nanoseconds. */
static uint64_t pool_run(struct bench *b)
{
	uint64_t start = cpu_ns();

	for (uint32_t i = 0; i < POOL; i += PACKET_BURST) {
		for (uint32_t k = i; k < i + PACKET_BURST; k++)
			__builtin_prefetch(b->packets[k].frame); /* as stage rx does */
		node_begin(b->node, b->now_ns, b->now_ns);
		node_relay(b->node, b->packets + i, PACKET_BURST);
		node_end(b->node);
		flow_quiescent(b->flows, 0);
	}
	return cpu_ns() - start;
}

int main(int argc, char **argv)
{
	static struct bench b = {.random = 1};
	static uint64_t pools_ns[POOLS_MAX];
	uint64_t measured_ns = 0, dropped, until_ns;
	uint32_t pools = 0;

	b.flows_count = (argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000) & ~1u;
	if (b.flows_count < 2 || b.flows_count > PORTS * FLOW_ADDRESSES_MAX)
		return 2;
	until_ns = (argc > 2 ? strtoul(argv[2], NULL, 10) : 3) * NS_PER_S;
	bench_open(&b);
	/* Each flow once: latched, headers built. */
	for (uint32_t slot = 0; slot < b.flows_count; slot += POOL) {
		for (uint32_t i = 0; i < POOL; i++)
			frame_make(&b, i, (slot + i) % b.flows_count);
		pool_run(&b);
	}
	dropped = atomic_load(&b.node->counters.values[DROP_NO_NEXT_HOP]);
	while (measured_ns < until_ns && pools < POOLS_MAX) {
		for (uint32_t i = 0; i < POOL; i++)
			frame_make(&b, i, random_next(&b) % b.flows_count);
		b.now_ns += 1000000;
		pools_ns[pools] = pool_run(&b);
		measured_ns += pools_ns[pools++];
		for (uint32_t i = 0; i < POOL; i++)
			dropped += b.packets[i].verdict != COUNTER_NONE;
	}
	if (dropped > b.flows_count) {
		fprintf(stderr, "%lu packets were dropped\n", (unsigned long)dropped);
		return 1;
	}
	qsort(pools_ns, pools, sizeof(pools_ns[0]), compare);
	printf("%u %.1f %.1f\n", b.flows_count, (double)measured_ns / pools / POOL,
	       (double)pools_ns[pools / 2] / POOL);
	return 0;
}

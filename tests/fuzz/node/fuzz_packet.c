/*
 * A whole frame through all stages, on a port that is shared or owned, with flows of every kind
 * published. The first byte chooses the port and the room before the frame, the rest is the frame.
 * What leaves must lie within the buffer, and the fork ring must stay readable.
 */
#include "dataplane/node/node.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define ROOM_MAX  128
#define FRAME_MAX 2048
#define PORT_MIN  1000
#define PORTS     8
#define FORKED    3

struct bench {
	struct flow_table *flows;
	struct hop_table *hops;
	struct node *node;
	struct td_fork_ring *ring;
	struct td_fork_reader reader;
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* Slot i leaves through the next one; kinds and flags vary with i. */
static void flows_publish(struct flow_table *flows, uint32_t address)
{
	for (uint32_t i = 0; i < PORTS; i++) {
		struct flow_conf conf = {
			.slot = address * PORTS + i,
			.sink = (address ^ (i & 1)) * PORTS + (i + 1) % PORTS,
			.rtcp_sink = address * PORTS + i,
			.kind = (uint8_t)(i % 4),
			.flags = (uint16_t)(i & 1 ? FLOW_LATCH | FLOW_FORK
						  : FLOW_LATCH | FLOW_STRICT_SOURCE),
			.local = {.address = flows->addresses[address],
				  .port = (uint16_t)(PORT_MIN + i)},
			.latch_epoch = 1,
			.recording = FORKED,
		};

		require(flow_table_publish(flows, &conf) == 0);
	}
}

static struct bench bench_open(void)
{
	static const char *const texts[] = {"10.0.0.1", "fd00::1"};
	struct flow_table_config config = {.addresses_count = 2,
					   .port_min = PORT_MIN,
					   .port_max = PORT_MIN + PORTS - 1,
					   .workers = 1,
					   .conf_max = 64};
	struct bench b;
	int fd;

	for (uint32_t i = 0; i < 2; i++)
		require(address_parse(&config.addresses[i], texts[i], strlen(texts[i])) == 0);
	require(flow_table_create(&b.flows, &config) == 0);
	require(hop_table_create(&b.hops, 1) == 0);
	require(td_fork_ring_create(&b.ring, &fd, 65536, 0, 1) == 0);
	b.node = aligned_alloc(64, sizeof(*b.node));
	require(b.node != NULL);
	memset(b.node, 0, sizeof(*b.node));
	b.node->flows = b.flows;
	b.node->hops = b.hops;
	b.node->fork_attached = true;
	td_fork_writer_init(&b.node->fork, b.ring);
	td_fork_reader_init(&b.reader, b.ring);
	for (uint32_t p = 0; p < 2; p++) {
		struct node_port *port = &b.node->ports[p];

		port->used = true;
		port->owned = p == 1;
		memcpy(port->mac, (const uint8_t[]){2, 0, 0, 0, 0, 1}, 6);
		port->addresses_count = 2;
		memcpy(port->addresses, config.addresses, 2 * sizeof(struct address));
	}
	flow_online(b.flows, 0);
	return b;
}

static void ring_drain(struct bench *b)
{
	const struct td_fork_record *record;
	int error;

	while ((record = td_fork_next(&b->reader, &error)) != NULL)
		require(record->payload_len <= FRAME_MAX);
	require(error == 0);
	td_fork_release(&b->reader, b->reader.next);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct bench b;
	static uint64_t now_ns = UINT64_C(1700000000000000000);
	uint16_t room;
	uint8_t *buffer;
	struct packet packet = {0};

	if (n < 1 || n > FRAME_MAX)
		return 0;
	if (b.flows == NULL)
		b = bench_open();
	/* The same start for every input: state learnt from another one would blur what it does. */
	for (uint32_t slot = 0; slot < 2 * PORTS; slot++)
		flow_table_retire(b.flows, slot);
	flows_publish(b.flows, 0);
	flows_publish(b.flows, 1);
	room = bytes[0] & 0x40 ? 10 : ROOM_MAX;
	/* Of exactly its size, so that the sanitizer sees every byte beyond. */
	buffer = malloc(room + n - 1 + 8);
	require(buffer != NULL);
	packet.frame = buffer + room;
	packet.frame_len = (uint16_t)(n - 1);
	packet.room = room;
	packet.tail = 8;
	packet.port = bytes[0] & 1;
	memcpy(packet.frame, bytes + 1, n - 1);
	now_ns += 20000000;
	node_begin(b.node, now_ns, now_ns);
	node_relay(b.node, &packet, 1);
	node_end(b.node);
	flow_quiescent(b.flows, 0);
	if (packet.verdict == COUNTER_NONE || packet.verdict == COUNTER_HOST_ANSWERED) {
		require(packet.frame >= buffer);
		require(packet.frame + packet.frame_len <= buffer + room + n - 1 + 8);
	}
	ring_drain(&b);
	free(buffer);
	return 0;
}

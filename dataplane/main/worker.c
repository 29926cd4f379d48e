/* A worker lcore's loop. */
#include "dataplane/main/worker.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_pause.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define BOX_PACKETS    2048
#define BUSY_PACKETS   8   /* so many in a round: poll again at once */
#define EAGER_ROUNDS   200 /* empty rounds after a busy one before it sleeps */
#define NAP_FEW_NS     100000
#define NAP_BLIND_NS   300000
#define WAIT_MS        10
#define TIMER_SLACK_NS 5000

/* ---- set-up ---- */

static int epoll_open(struct worker *w, const struct worker_config *config)
{
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0)
		return -errno;
	w->waitable = true;
	for (uint32_t p = 0; p < config->ports_count; p++) {
		const struct port *port = &config->ports[p];

		w->waitable = w->waitable && port->fds_count > 0;
		for (uint32_t i = 0; i < port->fds_count; i++) {
			struct epoll_event event = {.events = EPOLLIN};

			if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, port->fds[i], &event) < 0 &&
			    errno != EEXIST)
				return -errno;
		}
	}
	return 0;
}

static void queues_take(struct worker *w, const struct worker_config *config)
{
	for (uint32_t p = 0; p < config->ports_count; p++) {
		const struct port *port = &config->ports[p];

		w->tx.owner[p] = 0;
		for (uint16_t q = 0; q < port->queues; q++) {
			if (q % w->all_count != w->index)
				continue;
			w->queues[w->queues_count++] =
				(struct worker_queue){port->index, port->device, q};
			if (w->tx.has_queue & 1u << p)
				continue;
			w->tx.has_queue |= 1u << p;
			w->tx.queue[p] = q;
		}
		w->tx.device[p] = port->device;
		port_describe(port, &w->node.ports[p]);
	}
}

static struct rte_ring *box_create(const char *name, uint32_t index)
{
	char text[32];

	snprintf(text, sizeof(text), "%s%u", name, index);
	/* Many put (other workers, the main lcore), one takes. */
	return rte_ring_create(text, BOX_PACKETS, SOCKET_ID_ANY, RING_F_SC_DEQ);
}

int worker_init(struct worker *all, uint32_t count, uint32_t index,
		const struct worker_config *config)
{
	struct worker *w = &all[index];

	w->index = index;
	w->all = all;
	w->all_count = count;
	w->spin = config->spin;
	w->epoll_fd = -1;
	w->node.flows = config->flows;
	w->node.hops = config->hops;
	w->node.worker = index;
	w->inbox = box_create("inbox", index);
	w->outbox = box_create("outbox", index);
	if (w->inbox == NULL || w->outbox == NULL)
		return -ENOMEM;
	queues_take(w, config);
	return epoll_open(w, config);
}

static void box_destroy(struct rte_ring *box)
{
	void *mbuf;

	while (box != NULL && rte_ring_dequeue(box, &mbuf) == 0)
		rte_pktmbuf_free(mbuf);
	rte_ring_free(box);
}

void worker_fini(struct worker *w)
{
	box_destroy(w->inbox);
	box_destroy(w->outbox);
	if (w->all != NULL && w->epoll_fd >= 0)
		close(w->epoll_fd);
}

void worker_stop(struct worker *w)
{
	atomic_store_explicit(&w->stop, true, memory_order_relaxed);
}

void worker_send(struct worker *all, uint32_t count, uint8_t port, struct rte_mbuf *mbuf)
{
	(void)count; /* queue 0 of every port is the first worker's */
	mbuf->port = port;
	if (rte_ring_enqueue(all[0].outbox, mbuf) != 0)
		rte_pktmbuf_free(mbuf);
}

/* ---- between workers ---- */

/* Packets of other workers' flows go to their inboxes, untouched; then their places are free. */
static void hand_over(struct worker *w, struct packet *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];
		struct rte_mbuf *mbuf = p->mbuf;
		uint64_t word;
		uint32_t owner;

		if (p->verdict != COUNTER_HANDOFF)
			continue;
		word = flow_word(w->node.flows, p->slot);
		owner = flow_word_worker(word);
		mbuf->port = p->port;
		if (word != 0 && owner < w->all_count &&
		    rte_ring_enqueue(w->all[owner].inbox, mbuf) == 0) {
			p->mbuf = NULL;
			continue;
		}
		counter_add(&w->node.counters, DROP_HANDOFF_FULL, 1);
	}
}

/* What leaves by a port on which this worker has no queue. */
static void pass_on(struct worker *w, struct packet *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct packet *p = &packets[i];
		struct rte_mbuf *mbuf = p->mbuf;

		if (!packet_leaves(p) || w->tx.has_queue & 1u << p->port)
			continue;
		mbuf_fit(p);
		mbuf->port = p->port;
		if (rte_ring_enqueue(w->all[w->tx.owner[p->port]].outbox, mbuf) == 0) {
			p->mbuf = NULL;
			p->verdict = COUNTER_HANDOFF;
			continue;
		}
		p->verdict = DROP_HANDOFF_FULL;
		counter_add(&w->node.counters, DROP_HANDOFF_FULL, 1);
	}
}

static void relay(struct worker *w, struct packet *packets, uint32_t n)
{
	node_relay(&w->node, packets, n);
	if (w->all_count > 1) {
		hand_over(w, packets, n);
		pass_on(w, packets, n);
	}
	tx_burst(&w->node, &w->tx, packets, n);
}

static uint32_t inbox_take(struct worker *w, struct packet *packets)
{
	struct rte_mbuf *mbufs[PACKET_BURST];
	uint32_t n = rte_ring_dequeue_burst(w->inbox, (void **)mbufs, PACKET_BURST, NULL);

	for (uint32_t i = 0; i < n; i++)
		packet_from_mbuf(&packets[i], mbufs[i], (uint8_t)mbufs[i]->port);
	return n;
}

static uint32_t outbox_send(struct worker *w)
{
	struct rte_mbuf *mbufs[PACKET_BURST];
	uint32_t n = rte_ring_dequeue_burst(w->outbox, (void **)mbufs, PACKET_BURST, NULL);

	for (uint32_t i = 0; i < n; i++) {
		uint16_t port = mbufs[i]->port;

		if (rte_eth_tx_burst(w->tx.device[port], w->tx.queue[port], &mbufs[i], 1) == 1) {
			counter_add(&w->node.counters, COUNTER_TX_PACKETS, 1);
			continue;
		}
		counter_add(&w->node.counters, DROP_TX_FULL, 1);
		rte_pktmbuf_free(mbufs[i]);
	}
	return n;
}

/* ---- the loop ---- */

static uint32_t round_run(struct worker *w)
{
	struct packet packets[PACKET_BURST];
	uint32_t total = 0;

	node_begin(&w->node, clock_real_ns(), clock_mono_ns());
	for (uint32_t i = 0; i < w->queues_count; i++) {
		const struct worker_queue *q = &w->queues[i];
		uint32_t n = rx_burst(&w->node, q->port, q->device, q->queue, packets);

		if (n == 0)
			continue;
		relay(w, packets, n);
		total += n;
	}
	if (!rte_ring_empty(w->inbox)) {
		uint32_t n = inbox_take(w, packets);

		relay(w, packets, n);
		total += n;
	}
	if (!rte_ring_empty(w->outbox))
		total += outbox_send(w);
	node_end(&w->node);
	flow_quiescent(w->node.flows, w->index);
	return total;
}

/* Away from the flow table while asleep, so that the slow path need not wait. */
static void nap(struct worker *w, uint64_t ns)
{
	struct timespec time = {.tv_nsec = (long)ns};

	flow_offline(w->node.flows, w->index);
	nanosleep(&time, NULL);
	flow_online(w->node.flows, w->index);
}

static void wait_readable(struct worker *w)
{
	struct epoll_event events[1];

	counter_add(&w->node.counters, COUNTER_SLEEPS, 1);
	flow_offline(w->node.flows, w->index);
	epoll_wait(w->epoll_fd, events, 1, WAIT_MS);
	flow_online(w->node.flows, w->index);
}

static void rest(struct worker *w, uint32_t packets)
{
	if (packets >= BUSY_PACKETS) {
		w->eager = EAGER_ROUNDS;
	} else if (packets > 0) {
		if (w->eager == 0)
			nap(w, NAP_FEW_NS);
	} else if (w->eager > 0) {
		w->eager--;
		rte_pause();
	} else if (w->waitable) {
		wait_readable(w);
	} else {
		nap(w, NAP_BLIND_NS);
	}
}

int worker_run(void *arg)
{
	struct worker *w = arg;

	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
	flow_online(w->node.flows, w->index);
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		uint32_t packets = round_run(w);

		if (!w->spin)
			rest(w, packets);
	}
	flow_offline(w->node.flows, w->index);
	return 0;
}

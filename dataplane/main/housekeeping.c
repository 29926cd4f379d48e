/* What the main lcore does by the clock, and what it tells of the workers. */
#include "dataplane/main/dataplane.h"

#include "dataplane/base/log.h"

#include <stdlib.h>

#define QUESTIONS_MS 10
#define SECOND_MS    1000

void dataplane_drops(void *arg, session_count_fn *count, void *to)
{
	const struct dataplane *d = arg;

	for (int c = COUNTER_NONE + 1; c < COUNTER_COUNT; c++) {
		uint64_t sum = 0;

		for (uint32_t w = 0; w < d->workers_count; w++)
			sum += atomic_load_explicit(&d->workers[w].node.counters.values[c],
						    memory_order_relaxed);
		count(to, counter_name((enum counter)c), sum);
	}
	count(to, "hop.table_full", hop_table_full(d->hops));
	for (int c = 0; d->ng && c < NG_SERVER_COUNTERS; c++)
		count(to, ng_server_counter_name((enum ng_server_counter)c),
		      ng_server_count(d->ng, (enum ng_server_counter)c));
}

static void questions_expired(struct timer *timer, uint64_t now_ms)
{
	struct dataplane *d = list_entry(timer, struct dataplane, questions_timer);

	resolver_questions(d->resolver);
	timer_start(loop_timers(d->loop), timer, now_ms + QUESTIONS_MS);
}

static void second_expired(struct timer *timer, uint64_t now_ms)
{
	struct dataplane *d = list_entry(timer, struct dataplane, second_timer);
	struct session_time now;

	session_time_read(&now);
	session_table_tick(d->sessions, &now);
	flow_table_reclaim(d->flows);
	resolver_tick(d->resolver);
	for (uint32_t i = 0; i < d->rings_count; i++)
		atomic_store_explicit(&d->rings[i]->heartbeat_ns, now.real_ns,
				      memory_order_relaxed);
	timer_start(loop_timers(d->loop), timer, now_ms + SECOND_MS);
}

void housekeeping_start(struct dataplane *d)
{
	uint64_t now_ms = loop_now_ms(d->loop);

	timer_init(&d->questions_timer, questions_expired);
	timer_init(&d->second_timer, second_expired);
	timer_start(loop_timers(d->loop), &d->questions_timer, now_ms + QUESTIONS_MS);
	timer_start(loop_timers(d->loop), &d->second_timer, now_ms + SECOND_MS);
}

void housekeeping_stop(struct dataplane *d)
{
	if (d->questions_timer.expired == NULL)
		return;
	timer_stop(loop_timers(d->loop), &d->questions_timer);
	timer_stop(loop_timers(d->loop), &d->second_timer);
}

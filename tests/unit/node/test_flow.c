/* The flow table: publishing, grace periods, limits, generations and epochs, fork commands. */
#include "dataplane/session/flow_worker.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define CONFS   4
#define WORKERS 2

static struct endpoint endpoint_at(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(&e, text, strlen(text)), 0);
	return e;
}

static struct flow_table *table_open(void)
{
	struct flow_table_config config = {.addresses = {endpoint_at("10.0.0.1:1").address,
							 endpoint_at("[fd00::1]:1").address},
					   .addresses_count = 2,
					   .port_min = 1000,
					   .port_max = 1003,
					   .workers = WORKERS,
					   .conf_max = CONFS};
	struct flow_table *t;

	assert_int_equal(flow_table_create(&t, &config), 0);
	return t;
}

static struct flow_conf conf_of(uint32_t slot)
{
	return (struct flow_conf){
		.slot = slot, .sink = FLOW_NONE, .rtcp_sink = FLOW_NONE, .flags = FLOW_LATCH};
}

static void publish(struct flow_table *t, const struct flow_conf *conf)
{
	assert_int_equal(flow_table_publish(t, conf), 0);
}

static void adopt(struct flow_table *t, uint32_t slot)
{
	flow_adopt(t, slot, flow_word(t, slot));
}

static void configuration_out_of_range_is_refused(void **state)
{
	static const struct flow_table_config bad[] = {
		{.addresses_count = 0, .port_min = 1, .port_max = 2, .workers = 1, .conf_max = 1},
		{.addresses_count = 33, .port_min = 1, .port_max = 2, .workers = 1, .conf_max = 1},
		{.addresses_count = 1, .port_min = 0, .port_max = 2, .workers = 1, .conf_max = 1},
		{.addresses_count = 1, .port_min = 3, .port_max = 2, .workers = 1, .conf_max = 1},
		{.addresses_count = 1, .port_min = 1, .port_max = 2, .workers = 0, .conf_max = 1},
		{.addresses_count = 1, .port_min = 1, .port_max = 2, .workers = 17, .conf_max = 1},
		{.addresses_count = 1, .port_min = 1, .port_max = 2, .workers = 1, .conf_max = 0},
	};
	struct flow_table *t;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(flow_table_create(&t, &bad[i]), -EINVAL);
		assert_null(t);
	}
	flow_table_destroy(NULL);
}

static void slot_is_address_times_ports_plus_port(void **state)
{
	static const struct {
		const char *local;
		uint32_t slot;
	} cases[] = {{"10.0.0.1:1000", 0},        {"10.0.0.1:1003", 3},
		     {"[fd00::1]:1000", 4},       {"[fd00::1]:1003", 7},
		     {"10.0.0.1:999", FLOW_NONE}, {"10.0.0.1:1004", FLOW_NONE},
		     {"10.0.0.2:1000", FLOW_NONE}};
	struct flow_table *t = table_open();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct endpoint local = endpoint_at(cases[i].local);

		assert_int_equal(flow_table_slot(t, &local), cases[i].slot);
	}
	flow_table_destroy(t);
}

static void publish_refuses_what_does_not_exist(void **state)
{
	struct flow_table *t = table_open();
	struct flow_conf slot = conf_of(8), sink = conf_of(0), rtcp = conf_of(0),
			 worker = conf_of(0);

	(void)state;
	sink.sink = 8;
	rtcp.rtcp_sink = 8;
	worker.worker = WORKERS;
	assert_int_equal(flow_table_publish(t, &slot), -EINVAL);
	assert_int_equal(flow_table_publish(t, &sink), -EINVAL);
	assert_int_equal(flow_table_publish(t, &rtcp), -EINVAL);
	assert_int_equal(flow_table_publish(t, &worker), -EINVAL);
	assert_int_equal(flow_table_in_use(t), 0);
	flow_table_destroy(t);
}

static void worker_of_a_slot_in_use_does_not_change(void **state)
{
	struct flow_table *t = table_open();
	struct flow_conf conf = conf_of(1);

	(void)state;
	publish(t, &conf);
	conf.worker = 1;
	assert_int_equal(flow_table_publish(t, &conf), -EINVAL);
	flow_table_retire(t, 1);
	publish(t, &conf);
	assert_int_equal(flow_word_worker(flow_word(t, 1)), 1);
	flow_table_destroy(t);
}

static void conf_is_kept_until_every_online_worker_was_quiescent(void **state)
{
	struct flow_table *t = table_open();
	const struct flow_conf *seen;
	struct flow_conf conf = conf_of(0);
	uint64_t word;

	(void)state;
	flow_online(t, 0);
	flow_online(t, 1);
	conf.clock_rate = 11;
	publish(t, &conf);
	word = flow_word(t, 0);
	seen = flow_word_conf(t, word);
	/* Every publish takes a place and gives none back while worker 1 looks. */
	for (uint32_t i = 1; i < CONFS; i++) {
		conf.clock_rate = 11 + i;
		publish(t, &conf);
		flow_quiescent(t, 0);
	}
	assert_int_equal(flow_table_publish(t, &conf), -ENOSPC);
	assert_int_equal(seen->clock_rate, 11);
	flow_quiescent(t, 1);
	assert_int_equal(flow_table_publish(t, &conf), 0);
	flow_table_destroy(t);
}

static void offline_worker_holds_nothing_back(void **state)
{
	struct flow_table *t = table_open();
	struct flow_conf conf = conf_of(0);

	(void)state;
	flow_online(t, 0);
	flow_offline(t, 0);
	for (int i = 0; i < 100; i++)
		publish(t, &conf);
	flow_table_destroy(t);
}

static void full_table_refuses_and_counts(void **state)
{
	struct flow_table *t = table_open();
	struct flow_table_counters counters;

	(void)state;
	for (uint32_t slot = 0; slot < CONFS; slot++) {
		struct flow_conf conf = conf_of(slot);

		publish(t, &conf);
	}
	for (uint32_t slot = CONFS; slot < 8; slot++) {
		struct flow_conf conf = conf_of(slot);

		assert_int_equal(flow_table_publish(t, &conf), -ENOSPC);
		assert_null(flow_table_conf(t, slot));
	}
	flow_table_counters(t, &counters);
	assert_int_equal(counters.conf_full, 4);
	assert_int_equal(flow_table_in_use(t), CONFS);
	for (uint32_t slot = 0; slot < 8; slot++)
		flow_table_retire(t, slot);
	assert_int_equal(flow_table_in_use(t), 0);
	flow_table_destroy(t);
}

static void statistics_survive_a_new_conf_and_begin_anew_in_an_empty_slot(void **state)
{
	struct flow_table *t = table_open();
	struct flow_conf conf = conf_of(2);

	(void)state;
	publish(t, &conf);
	assert_int_equal(flow_table_stats(t, 2).packets, 0);
	adopt(t, 2);
	flow_count(&t->states[2].arrival.packets, 7);
	assert_int_equal(flow_table_stats(t, 2).packets, 7);
	publish(t, &conf);
	adopt(t, 2);
	assert_int_equal(flow_table_stats(t, 2).packets, 7);
	flow_table_retire(t, 2);
	assert_int_equal(flow_table_stats(t, 2).packets, 7);
	publish(t, &conf);
	/* The worker has not seen it yet, and neither may others see the old ones. */
	assert_int_equal(flow_table_stats(t, 2).packets, 0);
	adopt(t, 2);
	assert_int_equal(flow_table_stats(t, 2).packets, 0);
	flow_count(&t->states[2].arrival.packets, 1);
	assert_int_equal(flow_table_stats(t, 2).packets, 1);
	flow_table_destroy(t);
}

static void remote_is_that_of_sdp_until_one_is_learnt(void **state)
{
	struct flow_table *t = table_open();
	struct flow_conf conf = conf_of(2);
	struct endpoint learnt = endpoint_at("192.0.2.9:4000");
	struct endpoint remote;

	(void)state;
	assert_false(flow_table_remote(t, 2, &remote));
	publish(t, &conf);
	assert_false(flow_table_remote(t, 2, &remote));
	conf.remote = endpoint_at("192.0.2.1:5000");
	publish(t, &conf);
	assert_true(flow_table_remote(t, 2, &remote));
	assert_true(endpoint_equal(&remote, &conf.remote));
	adopt(t, 2);
	flow_learn(t, 2, &learnt);
	assert_true(flow_table_remote(t, 2, &remote));
	assert_true(endpoint_equal(&remote, &learnt));
	/* A new epoch forgets, a new conf of the same epoch does not. */
	publish(t, &conf);
	adopt(t, 2);
	flow_table_remote(t, 2, &remote);
	assert_true(endpoint_equal(&remote, &learnt));
	conf.latch_epoch++;
	publish(t, &conf);
	adopt(t, 2);
	flow_table_remote(t, 2, &remote);
	assert_true(endpoint_equal(&remote, &conf.remote));
	flow_table_destroy(t);
}

static void published(void *arg, const struct flow_conf *conf)
{
	*(uint32_t *)arg = conf->slot;
}

static void watcher_hears_of_each_publish(void **state)
{
	struct flow_table *t = table_open();
	struct flow_conf conf = conf_of(3);
	uint32_t slot = 0;

	(void)state;
	flow_table_on_publish(t, published, &slot);
	publish(t, &conf);
	assert_int_equal(slot, 3);
	flow_table_on_publish(t, NULL, NULL);
	conf.slot = 2;
	publish(t, &conf);
	assert_int_equal(slot, 3);
	flow_table_destroy(t);
}

/* ---- fork commands ---- */

static void fork_commands_come_out_as_posted(void **state)
{
	static struct fork_command start = {.type = TD_FORK_START,
					    .leg = 1,
					    .stream = 2,
					    .recording = 3,
					    .time_ns = 4,
					    .payload = "hello",
					    .payload_len = 5};
	static struct fork_command end = {.type = TD_FORK_END,
					  .recording = 3,
					  .payload = "{}",
					  .payload_len = 2,
					  .slots_count = 2,
					  .slots = {{.slot = 5, .stream = 6, .leg = 7},
						    {.slot = 1, .stream = 9, .leg = 8}}};
	struct flow_table *t = table_open();
	struct flow_queue *begins = &t->workers[1].begins, *ends = &t->workers[1].ends;
	const struct flow_command *c;

	(void)state;
	assert_int_equal(flow_table_fork(t, 1, &start), 0);
	assert_int_equal(flow_table_fork(t, 1, &end), 0);
	c = flow_queue_peek(begins, flow_queue_posted(begins));
	assert_int_equal(c->type, TD_FORK_START);
	assert_int_equal(c->leg, 1);
	assert_int_equal(c->stream, 2);
	assert_int_equal(c->recording, 3);
	assert_int_equal(c->time_ns, 4);
	assert_int_equal(c->payload_len, 5);
	assert_memory_equal(flow_command_payload(c), "hello", 5);
	flow_queue_pop(begins);
	assert_null(flow_queue_peek(begins, flow_queue_posted(begins)));
	c = flow_queue_peek(ends, flow_queue_posted(ends));
	assert_int_equal(c->slots_count, 2);
	assert_int_equal(c->slots[1].slot, 1);
	assert_int_equal(c->slots[1].stream, 9);
	assert_int_equal(c->slots[1].leg, 8);
	assert_memory_equal(flow_command_payload(c), "{}", 2);
	/* Nothing of it came to the other worker. */
	assert_int_equal(flow_queue_posted(&t->workers[0].begins), 0);
	flow_table_destroy(t);
}

static void fork_command_is_hidden_until_its_position_is_reached(void **state)
{
	static struct fork_command end = {.type = TD_FORK_END};
	struct flow_table *t = table_open();
	struct flow_queue *ends = &t->workers[0].ends;
	uint64_t until;

	(void)state;
	assert_int_equal(flow_table_fork(t, 0, &end), 0);
	until = flow_queue_posted(ends);
	assert_int_equal(flow_table_fork(t, 0, &end), 0);
	assert_non_null(flow_queue_peek(ends, until));
	flow_queue_pop(ends);
	assert_null(flow_queue_peek(ends, until));
	assert_non_null(flow_queue_peek(ends, flow_queue_posted(ends)));
	flow_table_destroy(t);
}

static void fork_queue_refuses_when_full_and_wraps(void **state)
{
	static char payload[TD_FORK_PAYLOAD_MAX + 1];
	static struct fork_command command = {.type = TD_FORK_STREAM, .payload = payload};
	struct flow_table *t = table_open();
	struct flow_queue *begins = &t->workers[0].begins;
	struct flow_table_counters counters;
	uint32_t posted = 0, taken = 0;

	(void)state;
	command.payload_len = TD_FORK_PAYLOAD_MAX + 1;
	assert_int_equal(flow_table_fork(t, 0, &command), -EMSGSIZE);
	command.payload_len = 40001;
	for (command.stream = 0; flow_table_fork(t, 0, &command) == 0; command.stream++)
		posted++;
	assert_in_range(posted, 20, 27);
	flow_table_counters(t, &counters);
	assert_int_equal(counters.fork_command_full, 1);
	/* Around the end of the area several times, always in order. */
	for (int i = 0; i < 200; i++) {
		const struct flow_command *c = flow_queue_peek(begins, flow_queue_posted(begins));

		assert_int_equal(c->stream, taken++);
		flow_queue_pop(begins);
		command.payload_len = 20000 + (uint32_t)i * 97;
		command.stream = posted;
		if (flow_table_fork(t, 0, &command) == 0)
			posted++;
	}
	while (flow_queue_peek(begins, flow_queue_posted(begins)) != NULL) {
		flow_queue_pop(begins);
		taken++;
	}
	assert_int_equal(taken, posted);
	flow_table_destroy(t);
}

/* A worker thread that reads confs while the main thread publishes: every conf it sees is whole. */
static void *reader_run(void *arg)
{
	struct flow_table *t = arg;
	uintptr_t torn = 0;

	flow_online(t, 0);
	for (uint32_t i = 0; i < 200000; i++) {
		uint64_t word = flow_word(t, 0);

		if (word != 0) {
			const struct flow_conf *conf = flow_word_conf(t, word);

			torn += conf->recording != conf->clock_rate ||
				conf->fork_stream != conf->clock_rate;
		}
		flow_quiescent(t, 0);
	}
	flow_offline(t, 0);
	return (void *)torn;
}

static void reader_never_sees_a_reused_conf(void **state)
{
	struct flow_table *t = table_open();
	struct flow_conf conf = conf_of(0);
	pthread_t reader;
	void *torn;

	(void)state;
	assert_int_equal(pthread_create(&reader, NULL, reader_run, t), 0);
	for (uint32_t i = 1; i < 200000; i++) {
		conf.clock_rate = i;
		conf.recording = i;
		conf.fork_stream = i;
		flow_table_publish(t, &conf); /* -ENOSPC while the reader rests is fine */
	}
	assert_int_equal(pthread_join(reader, &torn), 0);
	assert_null(torn);
	flow_table_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configuration_out_of_range_is_refused),
		cmocka_unit_test(slot_is_address_times_ports_plus_port),
		cmocka_unit_test(publish_refuses_what_does_not_exist),
		cmocka_unit_test(worker_of_a_slot_in_use_does_not_change),
		cmocka_unit_test(conf_is_kept_until_every_online_worker_was_quiescent),
		cmocka_unit_test(offline_worker_holds_nothing_back),
		cmocka_unit_test(full_table_refuses_and_counts),
		cmocka_unit_test(statistics_survive_a_new_conf_and_begin_anew_in_an_empty_slot),
		cmocka_unit_test(remote_is_that_of_sdp_until_one_is_learnt),
		cmocka_unit_test(watcher_hears_of_each_publish),
		cmocka_unit_test(fork_commands_come_out_as_posted),
		cmocka_unit_test(fork_command_is_hidden_until_its_position_is_reached),
		cmocka_unit_test(fork_queue_refuses_when_full_and_wraps),
		cmocka_unit_test(reader_never_sees_a_reused_conf),
	};

	return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}

/*
 * Whole ng dictionaries, one after the other, through the dispatcher on a small session table over
 * a real flow table. Every command gets a result; when all is deleted, no flow and no port is left.
 */
#include "dataplane/session/flow_worker.h"
#include "dataplane/session/ng_commands.h"
#include "dataplane/session/port.h"

#include <stdlib.h>

#define REPLY_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

static struct flow_table *flows;
static struct session_table *table;
static struct ng_commands commands;
static struct ng_arena *arena;
static struct session_time now = {UINT64_C(1000000000000), UINT64_C(1700000000000000000)};

static void fuzz_clock(struct session_time *time)
{
	now.mono_ns += 1000000;
	now.real_ns += 1000000;
	*time = now;
}

static void open_tables(void)
{
	struct flow_table_config flow_config = {.addresses_count = 2,
						.port_min = 20000,
						.port_max = 20063,
						.workers = 1,
						.conf_max = 120};
	static struct session_table_config config = {.interfaces_count = 2,
						     .addresses_count = 2,
						     .port_min = 20000,
						     .port_max = 20063,
						     .workers = 1,
						     .sessions = 4,
						     .media_timeout_s = 60};

	address_parse(&flow_config.addresses[0], "203.0.113.1", 11);
	address_parse(&flow_config.addresses[1], "2001:db8::1", 11);
	for (uint32_t i = 0; i < 2; i++) {
		struct session_interface *interface = &config.interfaces[i];

		interface->name[0] = i == 0 ? 'p' : 'q';
		interface->addresses_count = 1;
		interface->addresses[0].address = flow_config.addresses[i];
		interface->addresses[0].advertised = flow_config.addresses[i];
		interface->addresses[0].index = i;
	}
	if (flow_table_create(&flows, &flow_config) != 0 ||
	    session_table_create(&table, &config, flows, &now) != 0 ||
	    ng_arena_create(&arena, 1 << 20) != 0)
		abort();
	ng_commands_init(&commands, table);
	commands.clock = fuzz_clock;
}

static void drain(struct flow_queue *queue)
{
	while (flow_queue_peek(queue, flow_queue_posted(queue)))
		flow_queue_pop(queue);
}

/* One message; returns the bytes that it took, 0 at the end of sense. */
static size_t run_message(const char *text, size_t n)
{
	static char out[REPLY_MAX];
	struct ng_value *request, *reply;
	enum ng_encoding encoding;
	const char *reason;
	int64_t used;
	size_t len;

	ng_arena_reset(arena);
	used = ng_parse(arena, text, n, &request, &encoding, &reason);
	if (used <= 0)
		return 0;
	reply = ng_dict(arena);
	if (!reply)
		return (size_t)used;
	ng_command_handle(&commands, request, arena, reply);
	if (!ng_arena_is_full(arena)) {
		if (!ng_get_text(reply, "result", &len) || len == 0)
			abort();
		if (ng_build(reply, encoding, out, sizeof(out)) <= 0)
			abort();
	}
	drain(&flows->workers[0].begins);
	drain(&flows->workers[0].ends);
	return (size_t)used;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	const char *text = (const char *)input;
	unsigned int messages = 0;

	if (!table)
		open_tables();
	while (n > 0 && messages++ < 64) {
		size_t used = run_message(text, n);

		if (used == 0)
			break;
		text += used;
		n -= used;
		while (n > 0 && (*text == '\n' || *text == ' ')) {
			text++;
			n--;
		}
		session_table_tick(table, &now);
	}
	while (!list_is_empty(&table->sessions))
		session_delete(table, list_entry(table->sessions.next, struct session, node),
			       SESSION_DELETED, &now);
	session_table_tick(table, &now);
	drain(&flows->workers[0].ends);
	if (flow_table_in_use(flows) != 0 || port_pool_used(table->ports, 0) != 0 ||
	    port_pool_used(table->ports, 1) != 0 || table->sessions_count != 0)
		abort();
	return 0;
}

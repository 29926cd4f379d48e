/* The fixture of the session tests. */
#include "tests/unit/session/fixture.h"

#include "dataplane/session/flow_worker.h"

static struct session_time now_of_test;

static void test_clock(struct session_time *now)
{
	*now = now_of_test;
}

static void add_address(struct session_table_config *config, struct flow_table_config *flows,
			uint32_t interface, const char *name, const char *text, const char *shown)
{
	struct session_interface *to = &config->interfaces[interface];
	struct session_address *address = &to->addresses[to->addresses_count++];

	snprintf(to->name, sizeof(to->name), "%s", name);
	assert_int_equal(address_parse(&address->address, text, strlen(text)), 0);
	assert_int_equal(address_parse(&address->advertised, shown, strlen(shown)), 0);
	address->index = flows->addresses_count;
	flows->addresses[flows->addresses_count++] = address->address;
	if (config->interfaces_count <= interface)
		config->interfaces_count = interface + 1;
}

void fixture_open(struct fixture *f, const struct fixture_sizes *sizes)
{
	static const struct fixture_sizes usual;
	struct session_table_config config = {
		.port_min = FIXTURE_PORT_MIN, .seed = 42, .media_timeout_s = 60};
	struct flow_table_config flows = {.port_min = FIXTURE_PORT_MIN};

	if (!sizes)
		sizes = &usual;
	memset(f, 0, sizeof(*f));
	config.sessions = sizes->sessions ? sizes->sessions : 20;
	config.legs = sizes->legs;
	config.streams = sizes->streams;
	config.workers = sizes->workers ? sizes->workers : 1;
	config.port_max = sizes->port_max ? sizes->port_max : FIXTURE_PORT_MAX;
	config.port_reuse_ms = sizes->port_reuse_ms;
	add_address(&config, &flows, 0, "pub", "203.0.113.1", "203.0.113.1");
	add_address(&config, &flows, 0, "pub", "2001:db8::1", "2001:db8::1");
	add_address(&config, &flows, 1, "priv", "203.0.113.2", "203.0.113.2");
	add_address(&config, &flows, 2, "lo", "127.0.0.1", "127.0.0.1");
	add_address(&config, &flows, 3, "nat", "10.0.0.1", "192.0.2.200");
	config.addresses_count = flows.addresses_count;
	flows.port_max = config.port_max;
	flows.workers = config.workers;
	flows.conf_max = sizes->conf_max ? sizes->conf_max : session_table_flows_max(&config);
	now_of_test = (struct session_time){.mono_ns = UINT64_C(1000000000000),
					    .real_ns = UINT64_C(1700000000000000000)};
	f->now = now_of_test;
	assert_int_equal(flow_table_create(&f->flows, &flows), 0);
	assert_int_equal(session_table_create(&f->table, &config, f->flows, &f->now), 0);
	assert_int_equal(ng_arena_create(&f->arena, 1 << 20), 0);
	ng_commands_init(&f->commands, f->table);
	f->commands.clock = test_clock;
}

void fixture_close(struct fixture *f)
{
	uint32_t addresses = f->table->config.addresses_count;

	while (!list_is_empty(&f->table->sessions))
		session_delete(f->table, list_entry(f->table->sessions.next, struct session, node),
			       SESSION_DELETED, &f->now);
	/* Nothing is left behind. */
	assert_int_equal(flow_table_in_use(f->flows), 0);
	for (uint32_t i = 0; i < addresses; i++) {
		if (list_is_empty(&f->table->ending_recordings))
			assert_int_equal(port_pool_used(f->table->ports, i), 0);
	}
	session_table_destroy(f->table, &f->now);
	flow_table_destroy(f->flows);
	ng_arena_destroy(f->arena);
}

static bool is_list(const char *key)
{
	static const char *const lists[] = {"flags",    "replace",  "direction",
					    "rtcp-mux", "supports", "received-from"};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (strcmp(key, lists[i]) == 0)
			return true;
	}
	return false;
}

static void put_list(struct fixture *f, struct ng_value *request, const char *key,
		     const char *value)
{
	struct ng_value *list = ng_put_list(f->arena, request, key);

	while (*value) {
		size_t n = strcspn(value, ",");

		ng_put_text(f->arena, list, NULL, value, n);
		value += n + (value[n] == ',');
	}
}

void ask(struct fixture *f, const char *command, ...)
{
	struct ng_value *request;
	const char *key;
	va_list pairs;

	now_of_test = f->now;
	ng_arena_reset(f->arena);
	request = ng_dict(f->arena);
	f->reply = ng_dict(f->arena);
	if (command)
		ng_put_string(f->arena, request, "command", command);
	va_start(pairs, command);
	while ((key = va_arg(pairs, const char *)) != NULL) {
		const char *value = va_arg(pairs, const char *);

		if (!value)
			continue;
		if (is_list(key))
			put_list(f, request, key, value);
		else
			ng_put_string(f->arena, request, key, value);
	}
	va_end(pairs);
	ng_command_handle(&f->commands, request, f->arena, f->reply);
}

const char *reply_text(const struct fixture *f, const char *key)
{
	size_t len;
	const char *text = ng_get_text(f->reply, key, &len);

	return text ? text : ""; /* texts of a reply are terminated by put_text */
}

void assert_ok(const struct fixture *f)
{
	if (strcmp(reply_text(f, "result"), "ok") != 0)
		fail_msg("%s: %s", reply_text(f, "result"), reply_text(f, "error-reason"));
}

void assert_refused(const struct fixture *f, const char *reason)
{
	assert_string_equal(reply_text(f, "result"), "error");
	assert_string_equal(reply_text(f, "error-reason"), reason);
	assert_string_equal(reply_text(f, "sdp"), "");
}

struct session *the_session(const struct fixture *f, const char *call_id)
{
	return session_find(f->table, (struct sdp_span){call_id, strlen(call_id)});
}

static const struct leg *leg_by_number(const struct session *session, uint32_t number)
{
	for (uint32_t l = 0; l < session->legs_count; l++) {
		if (session->legs[l]->number == number)
			return session->legs[l];
	}
	fail_msg("there is no leg %u", number);
	return NULL;
}

void assert_sdp(const struct fixture *f, const char *call_id, uint32_t receiver, const char *want)
{
	const struct leg *leg = leg_by_number(the_session(f, call_id), receiver);
	char text[8192];
	size_t n = 0;

	assert_ok(f);
	while (*want) {
		unsigned int port;

		if (*want != '$') {
			text[n++] = *want++;
			continue;
		}
		port = leg->streams[want[1] - '0']->port;
		want += 2;
		if (*want == '+') {
			port++;
			want++;
		}
		n += (size_t)sprintf(text + n, "%u", port);
	}
	text[n] = '\0';
	assert_string_equal(reply_text(f, "sdp"), text);
}

static const char *slot_name(const struct session *session, uint32_t slot, char name[16])
{
	for (uint32_t l = 0; l < session->legs_count; l++) {
		for (uint32_t s = 0; s < session->legs[l]->streams_count; s++) {
			const struct stream *stream = session->legs[l]->streams[s];

			if (slot == FLOW_NONE ||
			    (stream->slot != slot && stream->rtcp_slot != slot))
				continue;
			snprintf(name, 16, "%c%u%s", 'A' + (int)session->legs[l]->number, s,
				 stream->slot == slot ? "" : "+");
			return name;
		}
	}
	return slot == FLOW_NONE ? "-" : "?";
}

static size_t print_flow(const struct fixture *f, const struct session *session, uint32_t slot,
			 char *out)
{
	static const char *const kinds[] = {"rtp", "rtcp", "mux", "raw"};
	const struct flow_conf *conf = slot == FLOW_NONE ? NULL : flow_table_conf(f->flows, slot);
	char name[16], sink[16], rtcp_sink[16], remote[ENDPOINT_TEXT_MAX];

	if (!conf)
		return 0;
	assert_int_equal(flow_table_slot(f->flows, &conf->local), slot);
	assert_int_equal(conf->worker, session->worker);
	return (size_t)sprintf(out, "%s %s %s %s %s %s%s%s%s\n", slot_name(session, slot, name),
			       kinds[conf->kind], slot_name(session, conf->sink, sink),
			       slot_name(session, conf->rtcp_sink, rtcp_sink),
			       conf->remote.port ? endpoint_text(&conf->remote, remote) : "-",
			       conf->flags & FLOW_LATCH ? "l" : "",
			       conf->flags & FLOW_STRICT_SOURCE ? "s" : "",
			       conf->flags & FLOW_BLOCKED ? "b" : "",
			       conf->flags & FLOW_FORK ? "f" : "");
}

void assert_flows(const struct fixture *f, const char *call_id, const char *want)
{
	const struct session *session = the_session(f, call_id);
	char text[8192];
	size_t n = 0;

	text[0] = '\0';
	for (uint32_t l = 0; l < session->legs_count; l++) {
		for (uint32_t s = 0; s < session->legs[l]->streams_count; s++) {
			const struct stream *stream = session->legs[l]->streams[s];

			n += print_flow(f, session, stream->slot, text + n);
			n += print_flow(f, session, stream->rtcp_slot, text + n);
		}
	}
	assert_string_equal(text, want);
}

bool fork_next(struct fixture *f, uint32_t worker, struct fork_seen *seen)
{
	struct flow_queue *queues[] = {&f->flows->workers[worker].begins,
				       &f->flows->workers[worker].ends};

	for (size_t i = 0; i < 2; i++) {
		const struct flow_command *command =
			flow_queue_peek(queues[i], flow_queue_posted(queues[i]));

		if (!command)
			continue;
		seen->type = command->type;
		seen->leg = command->leg;
		seen->stream = command->stream;
		seen->recording = command->recording;
		seen->slots_count = command->slots_count;
		seen->payload = strndup(flow_command_payload(command), command->payload_len);
		flow_queue_pop(queues[i]);
		return true;
	}
	return false;
}

void packets_arrive(struct fixture *f, uint32_t slot, uint64_t n)
{
	struct flow_table *flows = f->flows;
	struct flow_state *state;

	/* The worker takes the slot over, then counts. */
	flow_online(flows, 0);
	flow_adopt(flows, slot, flow_word(flows, slot));
	state = &flows->states[slot];
	flow_count(&state->arrival.packets, n);
	flow_count(&state->arrival.bytes, n * 172);
	atomic_store(&state->counts.ssrc, 0x1234);
	atomic_store(&state->arrival.last_ns, f->now.real_ns);
	flow_offline(flows, 0);
}

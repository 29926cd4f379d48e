/* Starting and stopping the API for tests. */
#include "tests/unit/admin/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* SHA-256 of SECRET. */
#define SECRET_SHA256 "c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a"

static int hangup(void *arg, const char *call_id, uint32_t wait_ms)
{
	struct server *server = arg;

	(void)wait_ms;
	snprintf(server->hung_up, sizeof(server->hung_up), "%s", call_id);
	if (strcmp(call_id, "slow") == 0)
		return -ETIMEDOUT;
	return strcmp(call_id, "live-1") == 0 ? 0 : -ENOENT;
}

static void each_counter(void *arg, void (*each)(void *each_arg, const char *name, uint64_t value),
			 void *each_arg)
{
	(void)arg;
	each(each_arg, "sip_requests", 42);
}

static bool is_connected(void *arg)
{
	return ((struct server *)arg)->connected;
}

static int reload(void *arg, char error[ADMIN_ERROR_MAX])
{
	struct server *server = arg;

	server->reloads++;
	snprintf(error, ADMIN_ERROR_MAX, "tandem.yaml:7: an extension twice");
	return server->reload_rc;
}

static int read_trace(void *arg, const char *key, struct trace_view **views)
{
	return trace_read(((struct server *)arg)->trace, key, strlen(key), views);
}

static void fill_trace(struct trace *trace)
{
	static const char invite[] = "INVITE sip:1002@h SIP/2.0\r\nCall-ID: call/1@a\r\n"
				     "Proxy-Authorization: Digest response=\"x\"\r\n\r\n";
	static const char ok[] = "SIP/2.0 200 OK\x1b[2J \xff\r\nCall-ID: leg2\r\n\r\n";
	struct sip_flow flow = {.transport = SIP_TRANSPORT_UDP};

	trace_link(trace, "live-1", TRACE_CALLER, (struct sip_text){"call/1@a", 8});
	trace_link(trace, "live-1", TRACE_CALLEE, (struct sip_text){"leg2", 4});
	trace_message(trace, TRACE_RECEIVED, &flow, invite, sizeof(invite) - 1, NS_PER_S);
	trace_ng(trace, TRACE_NG_REPLY, "live-1", NULL, -ETIMEDOUT, NS_PER_S + 2500000);
	trace_message(trace, TRACE_RECEIVED, &flow, ok, sizeof(ok) - 1, NS_PER_S + 5000000);
}

static void each_ban(void *arg, void (*each)(void *each_arg, const struct bans_view *view),
		     void *each_arg)
{
	bans_each(((struct server *)arg)->bans, 1, each, each_arg);
}

static int ban(void *arg, const struct address *source, uint64_t for_s)
{
	return bans_add(((struct server *)arg)->bans, source, for_s * 1000, 1);
}

static int ban_lift(void *arg, const struct address *source)
{
	return bans_lift(((struct server *)arg)->bans, source, 1);
}

static void fill_board(struct board *board)
{
	struct call_view call = {.id = "live-1", .caller = "1001", .callee = "1002"};
	struct registration_view registration = {.aor = "1001", .transport = "udp"};
	uint32_t slot = BOARD_NO_SLOT, other = BOARD_NO_SLOT;

	call.state = JOURNAL_CALL_ANSWERED;
	call.started_ns = clock_real_ns() - 90 * NS_PER_S;
	call.answered_ns = clock_real_ns() - 75 * NS_PER_S;
	strcpy(call.caller_name, "Zo\xeb"); /* Latin-1, as some phones send it */
	strcpy(call.source, "192.0.2.7:5060");
	board_show_call(board, &slot, &call);
	strcpy(registration.contact, "sip:1001@192.0.2.7:5060");
	strcpy(registration.user_agent, "phone\x1b[2J");
	registration.registered_ns = clock_real_ns();
	registration.expires_ns = clock_real_ns() + 3600 * NS_PER_S;
	board_show_registration(board, &other, &registration);
}

static bool records_are_there(void *arg)
{
	struct records_tier_status status;

	records_tier_status(arg, clock_real_ns(), &status);
	return status.follower.applied == 3;
}

static void fill_records(struct server *server)
{
	struct cdr first = sample_cdr("cdr-1", "1001"), second = sample_cdr("cdr-2", "1003");
	char *receipt = sample_receipt("rec-1", "cdr-1");
	bool there;

	second.started_ns += NS_PER_S;
	journal_cdr(server->bench.journal, &first);
	journal_cdr(server->bench.journal, &second);
	journal_receipt(server->bench.journal, "rec-1", receipt, NULL);
	free(receipt);
	there = bench_until(&server->bench, records_are_there, server->records);
	assert(there);
}

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

/* A port that is free now. */
static uint16_t free_port(void)
{
	struct sockaddr_storage ss;
	struct endpoint endpoint;
	socklen_t n = sizeof(ss);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	endpoint_parse(&endpoint, "127.0.0.1:0", 11);
	endpoint.address = address_from_v4_be(htonl(INADDR_LOOPBACK));
	endpoint.port = 0;
	bind(fd, (struct sockaddr *)&ss, endpoint_to_sockaddr(&endpoint, &ss));
	getsockname(fd, (struct sockaddr *)&ss, &n);
	close(fd);
	endpoint_from_sockaddr(&endpoint, (struct sockaddr *)&ss);
	return endpoint.port;
}

void server_start(struct server *server)
{
	struct admin_options options = {
		.version = "0.1.0",
		.socket_path = server->socket,
		.http = server->http,
		.admin_sha256 = SECRET_SHA256,
		.records_target = server->target,
		.hangup = hangup,
		.each_counter = each_counter,
		.is_dataplane_connected = is_connected,
		.reload = reload,
		.trace = read_trace,
		.each_ban = each_ban,
		.ban = ban,
		.ban_lift = ban_lift,
		.arg = server,
	};
	char path[128];
	int rc;

	memset(server, 0, sizeof(*server));
	server->connected = true;
	scratch_make(server->directory);
	snprintf(server->socket, sizeof(server->socket), "%s/control.sock", server->directory);
	snprintf(server->target, sizeof(server->target), "sqlite:%s/records.db", server->directory);
	snprintf(server->http, sizeof(server->http), "127.0.0.1:%u", free_port());
	snprintf(path, sizeof(path), "%s/journal", server->directory);
	bench_open(&server->bench, path);
	rc = board_create(&server->board, 10, 10);
	assert(rc == 0);
	rc = bans_create(&server->bans, &(struct bans_options){0});
	assert(rc == 0);
	rc = trace_create(&server->trace, 65536);
	assert(rc == 0);
	fill_trace(server->trace);
	rc = records_tier_open(&server->records, server->bench.journal, server->target);
	assert(rc == 0);
	snprintf(path, sizeof(path), "%s/receipt.sock", server->directory);
	rc = receipts_open(&server->receipts, server->bench.loop, server->bench.journal, path);
	assert(rc == 0);
	fill_board(server->board);
	fill_records(server);
	options.loop = server->bench.loop;
	options.board = server->board;
	options.journal = server->bench.journal;
	options.records = server->records;
	options.receipts = server->receipts;
	rc = admin_start(&server->admin, &options);
	assert(rc == 0);
	rc = pthread_create(&server->thread, NULL, run_loop, server->bench.loop);
	assert(rc == 0);
}

void server_stop(struct server *server)
{
	admin_stop(server->admin);
	loop_stop(server->bench.loop);
	pthread_join(server->thread, NULL);
	receipts_close(server->receipts);
	records_tier_close(server->records);
	bench_close(&server->bench);
	board_destroy(server->board);
	bans_destroy(server->bans);
	trace_destroy(server->trace);
	scratch_remove(server->directory);
}

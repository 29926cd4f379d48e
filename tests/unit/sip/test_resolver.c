/* Locating SIP servers: the pure order of RFC 3263 and RFC 2782, DNS messages, and the resolver
 * against a DNS server of the test's own on the loopback. */
#include "control/sip/resolver.h"
#include "control/sip/transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define UDP 1u << SIP_TRANSPORT_UDP
#define TCP 1u << SIP_TRANSPORT_TCP
#define TLS 1u << SIP_TRANSPORT_TLS

/* ---- a DNS server ---- */

struct row {
	const char *name;
	uint16_t type; /* 1 A, 28 AAAA, 33 SRV, 35 NAPTR, 6 = NXDOMAIN with that SOA minimum */
	uint32_t ttl_s;
	uint16_t a, b, c; /* priority, weight, port; order, preference */
	const char *text; /* address, target, "flag service replacement" */
};

enum mood { ANSWER, SILENT, SERVER_FAILURE, TRUNCATE, GARBAGE };

static struct {
	struct loop *loop;
	struct loop_fd udp;
	struct loop_fd tcp;
	struct loop_fd tcp_connection;
	char address[64];
	const struct row *rows;
	enum mood mood;
	uint32_t asked;
	uint32_t asked_tcp;
} server;

static struct sip_resolver *resolver;

static void put16(uint8_t *out, size_t *n, uint32_t number)
{
	out[(*n)++] = (uint8_t)(number >> 8);
	out[(*n)++] = (uint8_t)number;
}

static void put32(uint8_t *out, size_t *n, uint32_t number)
{
	put16(out, n, number >> 16);
	put16(out, n, number & 0xffff);
}

static void put_name(uint8_t *out, size_t *n, const char *name)
{
	while (*name) {
		size_t len = strcspn(name, ".");

		out[(*n)++] = (uint8_t)len;
		memcpy(out + *n, name, len);
		*n += len;
		name += len + (name[len] == '.');
	}
	out[(*n)++] = 0;
}

static void put_string(uint8_t *out, size_t *n, const char *text, size_t len)
{
	out[(*n)++] = (uint8_t)len;
	memcpy(out + *n, text, len);
	*n += len;
}

static void put_row(uint8_t *out, size_t *n, const struct row *row)
{
	size_t length_at;
	struct address address;

	put16(out, n, 0xc00c); /* the question's name */
	put16(out, n, row->type);
	put16(out, n, 1);
	put32(out, n, row->ttl_s);
	length_at = *n;
	*n += 2;
	if (row->type == 1 || row->type == 28) {
		assert_int_equal(address_parse(&address, row->text, strlen(row->text)), 0);
		memcpy(out + *n, address.ip + (row->type == 1 ? 12 : 0), row->type == 1 ? 4 : 16);
		*n += row->type == 1 ? 4 : 16;
	} else if (row->type == 33) {
		put16(out, n, row->a);
		put16(out, n, row->b);
		put16(out, n, row->c);
		put_name(out, n, row->text);
	} else {
		const char *service = strchr(row->text, ' ') + 1;
		const char *replacement = strchr(service, ' ') + 1;

		put16(out, n, row->a);
		put16(out, n, row->b);
		put_string(out, n, row->text, (size_t)(service - row->text) - 1);
		put_string(out, n, service, (size_t)(replacement - service) - 1);
		put_string(out, n, "", 0);
		put_name(out, n, replacement);
	}
	out[length_at] = (uint8_t)((*n - length_at - 2) >> 8);
	out[length_at + 1] = (uint8_t)(*n - length_at - 2);
}

static void put_soa(uint8_t *out, size_t *n, const struct row *row)
{
	size_t length_at;

	put16(out, n, 0xc00c);
	put16(out, n, 6);
	put16(out, n, 1);
	put32(out, n, 86400);
	length_at = *n;
	*n += 2;
	put_name(out, n, "ns.example.com");
	put_name(out, n, "root.example.com");
	for (int i = 0; i < 4; i++)
		put32(out, n, 1);
	put32(out, n, row->ttl_s);
	out[length_at] = 0;
	out[length_at + 1] = (uint8_t)(*n - length_at - 2);
}

/* Builds the answer to a question; returns its size. */
static size_t respond(const uint8_t *query, size_t size, uint8_t *out, bool tcp)
{
	char name[256] = "";
	size_t at = 12;
	size_t n;
	uint16_t type;
	uint16_t answers = 0;
	const struct row *negative = NULL;

	while (at < size && query[at]) {
		if (name[0])
			strcat(name, ".");
		strncat(name, (const char *)query + at + 1, query[at]);
		at += query[at] + 1u;
	}
	type = (uint16_t)(query[at + 1] << 8 | query[at + 2]);
	at += 5;
	memcpy(out, query, at);
	memset(out + 6, 0, 6);
	out[2] = 0x81;
	out[3] = 0x80;
	n = at;
	if (server.mood == TRUNCATE && !tcp) {
		out[2] |= 2;
		return n;
	}
	for (const struct row *row = server.rows; row->name; row++) {
		if (strcmp(row->name, name) != 0)
			continue;
		if (row->type == 6)
			negative = row;
		if (row->type != type)
			continue;
		put_row(out, &n, row);
		answers++;
	}
	out[6] = 0;
	out[7] = (uint8_t)answers;
	if (answers == 0 && negative) {
		put_soa(out, &n, negative);
		out[9] = 1;
	}
	if (answers == 0)
		out[3] |= negative ? 3 : 0;
	if (server.mood == SERVER_FAILURE) {
		out[3] |= 2;
		out[7] = 0;
		return at;
	}
	if (server.mood == GARBAGE)
		memset(out + at, 0xff, n - at);
	return n;
}

static void udp_ready(struct loop_fd *watch, uint32_t events)
{
	uint8_t query[512], out[4096];
	struct sockaddr_storage from;
	socklen_t from_n = sizeof(from);
	ssize_t n = recvfrom(watch->fd, query, sizeof(query), 0, (struct sockaddr *)&from, &from_n);

	(void)events;
	if (n < 12)
		return;
	server.asked++;
	if (server.mood == SILENT)
		return;
	n = (ssize_t)respond(query, (size_t)n, out, false);
	sendto(watch->fd, out, (size_t)n, 0, (struct sockaddr *)&from, from_n);
}

static void connection_ready(struct loop_fd *watch, uint32_t events)
{
	uint8_t query[514], out[4098];
	ssize_t n = read(watch->fd, query, sizeof(query));

	(void)events;
	if (n < 14) {
		loop_fd_del(server.loop, watch);
		close(watch->fd);
		watch->fd = -1;
		return;
	}
	server.asked_tcp++;
	n = (ssize_t)respond(query + 2, (size_t)n - 2, out + 2, true);
	out[0] = (uint8_t)(n >> 8);
	out[1] = (uint8_t)n;
	assert_int_equal(write(watch->fd, out, (size_t)n + 2), n + 2);
}

static void tcp_ready(struct loop_fd *watch, uint32_t events)
{
	(void)events;
	if (server.tcp_connection.fd >= 0) {
		loop_fd_del(server.loop, &server.tcp_connection);
		close(server.tcp_connection.fd);
	}
	server.tcp_connection.fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK);
	server.tcp_connection.ready = connection_ready;
	assert_int_equal(loop_fd_add(server.loop, &server.tcp_connection, EPOLLIN), 0);
}

static void server_open(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);

	server.udp.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(server.udp.fd, (struct sockaddr *)&at, n), 0);
	getsockname(server.udp.fd, (struct sockaddr *)&at, &n);
	server.tcp.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(server.tcp.fd, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(server.tcp.fd, 4), 0);
	server.udp.ready = udp_ready;
	server.tcp.ready = tcp_ready;
	server.tcp_connection.fd = -1;
	assert_int_equal(loop_fd_add(server.loop, &server.udp, EPOLLIN), 0);
	assert_int_equal(loop_fd_add(server.loop, &server.tcp, EPOLLIN), 0);
	snprintf(server.address, sizeof(server.address), "127.0.0.1:%u", ntohs(at.sin_port));
}

static const struct row nothing[] = {{0}};

static void resolver_open(uint32_t answers, uint32_t queries)
{
	struct sip_resolver_config config = {.loop = server.loop,
					     .servers = server.address,
					     .timeout_ms = 50,
					     .tries = 1,
					     .answers = answers,
					     .queries = queries};

	assert_int_equal(sip_resolver_create(&resolver, &config), 0);
}

static int setup(void **state)
{
	(void)state;
	memset(&server, 0, sizeof(server));
	assert_int_equal(loop_create(&server.loop), 0);
	server_open();
	server.rows = nothing;
	resolver_open(0, 0);
	return 0;
}

static void end(struct loop_fd *watch)
{
	if (watch->fd < 0)
		return;
	loop_fd_del(server.loop, watch);
	close(watch->fd);
}

static int teardown(void **state)
{
	(void)state;
	sip_resolver_destroy(resolver);
	end(&server.udp);
	end(&server.tcp);
	end(&server.tcp_connection);
	loop_destroy(server.loop);
	return 0;
}

/* ---- asking ---- */

struct outcome {
	bool done;
	int error;
	struct sip_targets targets;
	struct sip_resolver_query *query;
};

static void resolved(void *owner, int error, const struct sip_targets *targets)
{
	struct outcome *outcome = owner;

	assert_false(outcome->done);
	outcome->done = true;
	outcome->error = error;
	outcome->targets = *targets;
}

static void find_begin(struct outcome *outcome, const char *text, uint32_t transports)
{
	struct sip_locate locate;
	struct sip_uri uri;
	int rc;

	memset(outcome, 0, sizeof(*outcome));
	assert_int_equal(sip_uri_parse(&uri, sip_text_of(text)), 0);
	assert_int_equal(sip_locate_of_uri(&locate, &uri, transports), 0);
	rc = sip_resolver_find(resolver, &locate, &outcome->targets, resolved, outcome,
			       &outcome->query);
	assert_false(outcome->done);
	if (rc == 0)
		return;
	outcome->done = true;
	outcome->error = rc < 0 ? rc : 0;
}

static void find_end(struct outcome *outcome)
{
	for (int i = 0; i < 1000 && !outcome->done; i++)
		loop_once(server.loop, 20);
	assert_true(outcome->done);
}

static void found(const struct outcome *outcome, const char *expected)
{
	char text[1024] = "";
	size_t n = 0;

	for (uint32_t i = 0; i < outcome->targets.count && outcome->error == 0; i++) {
		const struct sip_target *target = &outcome->targets.targets[i];
		char at[ENDPOINT_TEXT_MAX];

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s:%s", i ? " " : "",
				      sip_transport_parameter(target->transport),
				      endpoint_text(&target->remote, at));
	}
	if (outcome->error)
		snprintf(text, sizeof(text), "%s", strerror(-outcome->error));
	assert_string_equal(text, expected);
}

static void finds(const char *uri, uint32_t transports, const char *expected)
{
	struct outcome outcome;

	find_begin(&outcome, uri, transports);
	find_end(&outcome);
	found(&outcome, expected);
}

/* ---- what is asked, and in which order ---- */

static void numeric_hosts_need_no_dns(void **state)
{
	(void)state;
	finds("sip:192.0.2.1", UDP | TCP, "udp:192.0.2.1:5060");
	finds("sip:192.0.2.1;transport=tcp", UDP | TCP, "tcp:192.0.2.1:5060");
	finds("sip:a@[2001:db8::1]:5070", UDP, "udp:[2001:db8::1]:5070");
	finds("sips:192.0.2.1", UDP | TLS, "tls:192.0.2.1:5061");
	finds("sip:name.example.com;maddr=192.0.2.9", UDP, "udp:192.0.2.9:5060");
	finds("sips:192.0.2.1", UDP, "No such file or directory");
	assert_int_equal(server.asked, 0);
}

static const struct row zone[] = {
	{"example.com", 35, 60, 50, 50, 0, "s SIPS+D2T _sips._tcp.example.com"},
	{"example.com", 35, 60, 100, 50, 0, "S SIP+D2U _sip._udp.example.com"},
	{"example.com", 35, 60, 90, 50, 0, "s SIP+D2T _sip._tcp.example.com"},
	{"example.com", 35, 60, 10, 50, 0, "u E2U+sip example.com"},
	{"_sip._udp.example.com", 33, 60, 2, 0, 5060, "b.example.com"},
	{"_sip._udp.example.com", 33, 60, 1, 0, 5070, "a.example.com"},
	{"_sip._tcp.example.com", 33, 60, 1, 0, 5060, "a.example.com"},
	{"_sips._tcp.example.com", 33, 60, 1, 0, 5061, "a.example.com"},
	{"_sip._udp.away.example.com", 33, 60, 0, 0, 0, ""},
	{"a.example.com", 1, 60, 0, 0, 0, "192.0.2.1"},
	{"b.example.com", 1, 60, 0, 0, 0, "192.0.2.2"},
	{"example.com", 1, 60, 0, 0, 0, "192.0.2.3"},
	{"plain.example.com", 1, 60, 0, 0, 0, "192.0.2.4"},
	{"away.example.com", 1, 60, 0, 0, 0, "192.0.2.5"},
	{"srv.example.com", 1, 60, 0, 0, 0, "192.0.2.6"},
	{"_sip._udp.srv.example.com", 33, 60, 1, 0, 5080, "b.example.com"},
	{"_sip._tcp.srv.example.com", 33, 60, 1, 0, 5081, "a.example.com"},
	{"none.example.com", 6, 60, 0, 0, 0, NULL},
	{0},
};

static void naptr_leads_to_srv_leads_to_addresses(void **state)
{
	(void)state;
	server.rows = zone;
	finds("sip:example.com", UDP | TCP,
	      "tcp:192.0.2.1:5060 udp:192.0.2.1:5070 udp:192.0.2.2:5060");
	finds("sip:example.com", UDP, "udp:192.0.2.1:5070 udp:192.0.2.2:5060");
	finds("sips:example.com", UDP | TCP | TLS, "tls:192.0.2.1:5061");
}

static void port_or_transport_in_the_uri_shorten_the_way(void **state)
{
	(void)state;
	server.rows = zone;
	finds("sip:example.com:5090", UDP | TCP, "udp:192.0.2.3:5090");
	finds("sip:example.com:5090;transport=tcp", UDP | TCP, "tcp:192.0.2.3:5090");
	finds("sip:example.com;transport=udp", UDP | TCP, "udp:192.0.2.1:5070 udp:192.0.2.2:5060");
}

static void without_naptr_every_srv_is_asked_and_without_srv_the_address(void **state)
{
	(void)state;
	server.rows = zone;
	finds("sip:srv.example.com", UDP | TCP, "udp:192.0.2.2:5080 tcp:192.0.2.1:5081");
	finds("sip:plain.example.com", UDP | TCP, "udp:192.0.2.4:5060");
	finds("sip:none.example.com", UDP | TCP, "No such file or directory");
}

static void what_is_known_is_not_asked_again(void **state)
{
	struct outcome outcome;
	uint32_t asked;

	(void)state;
	server.rows = zone;
	finds("sip:example.com", UDP, "udp:192.0.2.1:5070 udp:192.0.2.2:5060");
	finds("sip:none.example.com", UDP, "No such file or directory");
	asked = server.asked;
	find_begin(&outcome, "sip:EXAMPLE.com", UDP);
	assert_true(outcome.done);
	found(&outcome, "udp:192.0.2.1:5070 udp:192.0.2.2:5060");
	find_begin(&outcome, "sip:none.example.com", UDP);
	assert_true(outcome.done);
	assert_int_equal(server.asked, asked);
}

static void two_who_ask_the_same_share_one_question(void **state)
{
	struct outcome a, b;

	(void)state;
	server.rows = zone;
	find_begin(&a, "sip:plain.example.com:5060", UDP);
	find_begin(&b, "sip:plain.example.com:5060", UDP);
	assert_int_equal(sip_resolver_counters(resolver)->questions, 1);
	find_end(&a);
	find_end(&b);
	found(&b, "udp:192.0.2.4:5060");
}

static void an_answer_without_lifetime_serves_who_asked(void **state)
{
	static const struct row rows[] = {{"_sip._udp.x.test", 33, 0, 1, 0, 5070, "h.test"},
					  {"h.test", 1, 0, 0, 0, 0, "192.0.2.7"},
					  {0}};

	(void)state;
	server.rows = rows;
	finds("sip:x.test;transport=udp", UDP, "udp:192.0.2.7:5070");
}

/* ---- a DNS that does badly ---- */

static void a_silent_server_is_a_timeout(void **state)
{
	(void)state;
	server.mood = SILENT;
	finds("sip:example.com:5060", UDP, "Connection timed out");
	assert_true(sip_resolver_counters(resolver)->failures > 0);
}

static void a_server_failure_is_not_taken_for_nothing(void **state)
{
	(void)state;
	server.rows = zone;
	server.mood = SERVER_FAILURE;
	finds("sip:example.com", UDP, "Connection timed out");
}

static void truncated_answers_are_fetched_by_tcp(void **state)
{
	(void)state;
	server.rows = zone;
	server.mood = TRUNCATE;
	finds("sip:srv.example.com;transport=udp", UDP, "udp:192.0.2.2:5080");
	assert_true(server.asked_tcp > 0);
}

static void garbage_ends_the_query(void **state)
{
	(void)state;
	server.rows = zone;
	server.mood = GARBAGE;
	finds("sip:example.com;transport=udp", UDP, "Connection timed out");
}

static void a_forgotten_query_calls_nobody(void **state)
{
	struct outcome a, b;

	(void)state;
	server.rows = zone;
	find_begin(&a, "sip:plain.example.com", UDP);
	find_begin(&b, "sip:plain.example.com", UDP);
	sip_resolver_forget(a.query);
	find_end(&b);
	assert_false(a.done);
	/* and one that is under way at the end neither: teardown */
	find_begin(&a, "sip:example.com", UDP);
	assert_false(a.done);
}

static void the_cache_stays_within_its_bound(void **state)
{
	char uri[64];

	(void)state;
	sip_resolver_destroy(resolver);
	resolver_open(8, 2);
	for (int i = 0; i < 40; i++) {
		struct outcome outcome;

		snprintf(uri, sizeof(uri), "sip:h%d.test:5060", i);
		find_begin(&outcome, uri, UDP);
		find_end(&outcome);
		assert_true(sip_resolver_remembered(resolver) <= 8);
	}
	assert_int_equal(sip_resolver_counters(resolver)->evicted, 32);
}

static void queries_beyond_the_limit_are_refused(void **state)
{
	struct outcome a, b, c;

	(void)state;
	sip_resolver_destroy(resolver);
	resolver_open(8, 2);
	find_begin(&a, "sip:a.test:5060", UDP);
	find_begin(&b, "sip:b.test:5060", UDP);
	find_begin(&c, "sip:c.test:5060", UDP);
	assert_true(c.done);
	assert_int_equal(c.error, -ENOBUFS);
	find_end(&a);
	find_end(&b);
}

/* ---- pure ---- */

static uint32_t sequence(void *arg, uint32_t n)
{
	uint64_t *state = arg;

	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)((*state >> 33) % ((uint64_t)n + 1));
}

/* Weights 10, 30 and 60: the first place is won in proportion (20,000 draws; 3 % is far outside of
 * what chance does). */
static void srv_weights_share_the_load(void **state)
{
	uint32_t first[3] = {0};
	uint64_t seed = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct dns_srv records[] = {{.priority = 2, .weight = 100, .port = 9},
					    {.priority = 1, .weight = 10, .port = 0},
					    {.priority = 1, .weight = 30, .port = 1},
					    {.priority = 1, .weight = 60, .port = 2}};

		locate_srv_order(records, 4, sequence, &seed);
		assert_int_equal(records[3].port, 9);
		first[records[0].port]++;
	}
	assert_in_range(first[0], 1400, 2800);
	assert_in_range(first[1], 5400, 6600);
	assert_in_range(first[2], 11400, 12600);
}

static void srv_without_weight_is_seldom_first(void **state)
{
	uint32_t first = 0;
	uint64_t seed = 7;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		struct dns_srv records[] = {{.priority = 1, .weight = 0, .port = 1},
					    {.priority = 1, .weight = 99, .port = 2}};

		locate_srv_order(records, 2, sequence, &seed);
		first += records[0].port == 1;
	}
	assert_in_range(first, 40, 250);
}

/* Every prefix of a valid message is broken or shorter, never read beyond its end. */
static void cut_messages_are_refused(void **state)
{
	static const struct row rows[] = {{"x", 33, 60, 1, 2, 3, "host.example.com"}, {0}};
	uint8_t query[] = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 33, 0, 1};
	uint8_t out[512];
	struct dns_answer answer;
	size_t n;

	(void)state;
	server.rows = rows;
	n = respond(query, sizeof(query), out, true);
	assert_int_equal(dns_answer_parse(&answer, DNS_SRV, out, n), 0);
	assert_int_equal(answer.count, 1);
	assert_int_equal(answer.ttl_s, 60);
	assert_string_equal(answer.srv[0].target, "host.example.com");
	for (size_t i = 0; i < n; i++) {
		uint8_t *copy = malloc(i > 0 ? i : 1);

		memcpy(copy, out, i);
		assert_int_equal(dns_answer_parse(&answer, DNS_SRV, copy, i), -EBADMSG);
		free(copy);
	}
}

static void compression_loops_end(void **state)
{
	static const uint8_t loop[] = {0,    1,  0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0,
				       0xc0, 12, 0,    33,   0, 1, 0, 0, 0, 1, 0, 0};
	static const uint8_t forward[] = {0,  1,    0x81, 0x80, 0,  0, 0, 1, 0, 0, 0, 0, 0xc0,
					  14, 0xc0, 12,   0,    33, 0, 1, 0, 0, 0, 1, 0, 0};
	struct dns_answer answer;

	(void)state;
	assert_int_equal(dns_answer_parse(&answer, DNS_SRV, loop, sizeof(loop)), -EBADMSG);
	assert_int_equal(dns_answer_parse(&answer, DNS_SRV, forward, sizeof(forward)), -EBADMSG);
}

static void uris_that_lead_nowhere_are_refused(void **state)
{
	static const char *const bad[] = {"tel:+4912345", "sip:h;transport=sctp"};
	struct sip_locate locate;
	struct sip_uri uri;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(sip_uri_parse(&uri, sip_text_of(bad[i])), 0);
		assert_int_equal(sip_locate_of_uri(&locate, &uri, UDP), -EINVAL);
	}
}

#define IT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IT(numeric_hosts_need_no_dns),
		IT(naptr_leads_to_srv_leads_to_addresses),
		IT(port_or_transport_in_the_uri_shorten_the_way),
		IT(without_naptr_every_srv_is_asked_and_without_srv_the_address),
		IT(what_is_known_is_not_asked_again),
		IT(two_who_ask_the_same_share_one_question),
		IT(an_answer_without_lifetime_serves_who_asked),
		IT(a_silent_server_is_a_timeout),
		IT(a_server_failure_is_not_taken_for_nothing),
		IT(truncated_answers_are_fetched_by_tcp),
		IT(garbage_ends_the_query),
		IT(a_forgotten_query_calls_nobody),
		IT(the_cache_stays_within_its_bound),
		IT(queries_beyond_the_limit_are_refused),
		cmocka_unit_test(srv_weights_share_the_load),
		cmocka_unit_test(srv_without_weight_is_seldom_first),
		cmocka_unit_test(cut_messages_are_refused),
		cmocka_unit_test(compression_loops_end),
		cmocka_unit_test(uris_that_lead_nowhere_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The stack as a whole: configuration, what comes in, what goes out, counters. */
#include "control/sip/internal.h"
#include "control/sip/tls.h"

#include "dataplane/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TRANSACTIONS_DEFAULT   65536
#define DIALOGS_DEFAULT        16384
#define CONNECTIONS_DEFAULT    4096
#define IDLE_TIMEOUT_DEFAULT_S 3700
#define STATELESS_SIZE_MAX     16384

#define COUNTER_NAME(name) [SIP_COUNTER_##name] = #name,
static const char *const counter_names[SIP_COUNTER_COUNT] = {SIP_COUNTERS(COUNTER_NAME)};
#undef COUNTER_NAME

const char *sip_counter_name(enum sip_counter counter)
{
	return counter_names[counter];
}

uint64_t sip_stack_counter(const struct sip_stack *stack, enum sip_counter counter)
{
	return stack->counters[counter];
}

void sip_stack_levels(const struct sip_stack *stack, struct sip_stack_levels *levels)
{
	*levels = (struct sip_stack_levels){
		.transactions_live = stack->transactions_live,
		.transactions = stack->transactions_count,
		.dialogs = stack->dialogs_count,
		.connections = stack->connections,
	};
}

uint64_t sip_stack_now_ms(const struct sip_stack *stack)
{
	return stack->loop ? loop_now_ms(stack->loop) : stack->timers->now_ms;
}

void stack_token(struct sip_stack *stack, char *out, uint32_t n)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	struct siphash hash;
	uint64_t words[2];

	assert(n <= SIP_TOKEN_CHARACTERS);
	siphash_init(&hash, &stack->token_key);
	stack->tokens++;
	siphash_add(&hash, &stack->tokens, sizeof(stack->tokens));
	siphash_finish(&hash, words);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t *word = &words[i / 12];

		out[i] = alphabet[*word & 31];
		*word >>= 5;
	}
	out[n] = '\0';
}

/* ---- out ---- */

int stack_send(struct sip_stack *stack, struct sip_flow *flow, const char *bytes, uint32_t n)
{
	const struct transport_row *row = &stack->rows[flow->transport];
	int rc = row->ops ? row->ops->send(row->transport, flow, bytes, n) : -EPROTONOSUPPORT;

	if (rc < 0) {
		count(stack, SIP_COUNTER_send_errors);
		return rc;
	}
	count(stack, SIP_COUNTER_sent);
	if (stack->watch.sent)
		stack->watch.sent(stack->watch.arg, flow, bytes, n);
	stack->counters[SIP_COUNTER_sent_bytes] += n;
	return 0;
}

void sip_stack_flush(struct sip_stack *stack)
{
	for (int i = 0; i < SIP_TRANSPORTS; i++) {
		if (stack->rows[i].ops)
			stack->rows[i].ops->flush(stack->rows[i].transport);
	}
}

static void after_round(void *stack)
{
	sip_stack_flush(stack);
}

struct sip_flow stack_response_flow(const struct sip_message *request)
{
	struct sip_flow flow = request->flow;
	const struct sip_via *via = &request->via;
	struct address sent_by;
	uint16_t port = via->port != 0 ? via->port : sip_transport_default_port(flow.transport);

	if (sip_transport_is_reliable(flow.transport) || via->rport)
		return flow;
	if (address_parse(&sent_by, via->maddr.at ? via->maddr.at : "", via->maddr.n) == 0) {
		flow.remote = (struct endpoint){.address = sent_by, .port = port};
		return flow;
	}
	/* an address that is not its own: NAT moved the port too, so back to where it came from */
	if (address_parse(&sent_by, via->host.at, via->host.n) == 0 &&
	    !address_equal(&sent_by, &flow.remote.address))
		return flow;
	flow.remote.port = port;
	return flow;
}

void stack_reply_stateless(struct sip_stack *stack, const struct sip_message *request,
			   uint32_t status, const char *reason, uint32_t retry_after_s)
{
	struct sip_flow flow = stack_response_flow(request);
	char bytes[STATELESS_SIZE_MAX];
	char tag[SIP_TAG_SIZE];
	struct sip_builder b;

	stack_token(stack, tag, sizeof(tag) - 1);
	sip_builder_init(&b, bytes, sizeof(bytes));
	sip_put_response_begin(&b, request, status, reason, tag);
	if (retry_after_s > 0)
		sip_put_header_format(&b, "Retry-After", "%u", retry_after_s);
	put_product(&b, stack, "Server");
	sip_put_body(&b, NULL, (struct sip_text){NULL, 0});
	if (sip_builder_result(&b) == 0)
		stack_send(stack, &flow, b.bytes, b.n);
}

/* ---- in ---- */

static enum sip_counter parse_error_counter(uint32_t status, const char *reason)
{
	if (status == 505)
		return SIP_COUNTER_parse_error_version;
	if (status == 513 || strcmp(reason, "Too many headers") == 0)
		return SIP_COUNTER_parse_error_limit;
	if (strncmp(reason, "Missing", 7) == 0)
		return SIP_COUNTER_parse_error_mandatory;
	if (strstr(reason, "Content-Length"))
		return SIP_COUNTER_parse_error_length;
	if (status == 416 || strstr(reason, "line") || strstr(reason, "Request-URI"))
		return SIP_COUNTER_parse_error_start_line;
	return SIP_COUNTER_parse_error_header;
}

static void parse_failed(struct sip_stack *stack, uint32_t status, const char *reason)
{
	const struct sip_message *m = &stack->message;

	count(stack, SIP_COUNTER_parse_errors);
	count(stack, parse_error_counter(status, reason));
	if (sip_message_is_answerable(m))
		stack_reply_stateless(stack, m, status, reason, 0);
	else
		count(stack, SIP_COUNTER_parse_error_unanswerable);
}

/* CRLFs (RFC 5626 3.5.1), or the zero bytes that some phones send. */
static bool is_keepalive(const char *bytes, uint32_t n)
{
	if (n > 8)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (bytes[i] != '\r' && bytes[i] != '\n' && bytes[i] != '\0')
			return false;
	}
	return true;
}

void sip_transport_received(struct sip_stack *stack, const struct sip_flow *flow, const char *bytes,
			    uint32_t n)
{
	struct sip_message *m = &stack->message;
	const char *reason;
	uint32_t status;

	stack->counters[SIP_COUNTER_received_bytes] += n;
	if (!watch_admits(stack, &flow->remote.address, false)) {
		count(stack, SIP_COUNTER_not_admitted);
		return;
	}
	if (is_keepalive(bytes, n)) {
		count(stack, SIP_COUNTER_keepalives);
		return;
	}
	count(stack, SIP_COUNTER_received);
	/* RFC 3261 7.5: empty lines before the start line do not count */
	while (n >= 2 && bytes[0] == '\r' && bytes[1] == '\n') {
		bytes += 2;
		n -= 2;
	}
	if (stack->watch.received)
		stack->watch.received(stack->watch.arg, flow, bytes, n);
	status = sip_message_parse(m, bytes, n, &reason);
	m->flow = *flow;
	m->received_ms = sip_stack_now_ms(stack);
	if (status != 0) {
		parse_failed(stack, status, reason);
		if (stack->watch.malformed)
			stack->watch.malformed(stack->watch.arg, flow);
	} else if (m->is_request) {
		count(stack, SIP_COUNTER_requests);
		server_request(stack, m);
	} else {
		count(stack, SIP_COUNTER_responses);
		client_response(stack, m);
	}
}

/* ---- configuration ---- */

int sip_stack_add_transport(struct sip_stack *stack, const struct sip_transport_ops *ops,
			    const char *listen, struct sip_transport **transport)
{
	struct transport_row *row = &stack->rows[ops->kind];
	struct endpoint at;
	int rc = endpoint_parse(&at, listen, strlen(listen));

	if (rc < 0)
		return rc;
	if (row->listeners_count == SIP_LISTENERS_MAX)
		return -ENOSPC;
	if (!row->ops) {
		rc = ops->create(stack, &row->transport);
		if (rc < 0)
			return rc;
		row->ops = ops;
	}
	rc = ops->listen(row->transport, &at, &row->listeners[row->listeners_count]);
	if (rc < 0)
		return rc;
	row->listeners_count++;
	if (transport)
		*transport = row->transport;
	return 0;
}

/* "udp:0.0.0.0:5060" */
static int listen_on(struct sip_stack *stack, const char *text, char error[SIP_STACK_ERROR_MAX])
{
	static const struct sip_transport_ops *const all[] = {&sip_transport_udp,
							      &sip_transport_tcp,
							      &sip_transport_tls, &sip_transport_ws,
							      &sip_transport_wss};
	const char *colon = strchr(text, ':');
	int rc;

	for (size_t i = 0; colon && i < sizeof(all) / sizeof(all[0]); i++) {
		struct sip_text word = {text, (uint32_t)(colon - text)};

		if (!sip_text_is(word, all[i]->parameter))
			continue;
		rc = sip_stack_add_transport(stack, all[i], colon + 1, NULL);
		if (rc < 0)
			snprintf(error, SIP_STACK_ERROR_MAX, "listen on %s: %s", text,
				 rc == -EINVAL   ? "expected ADDRESS:PORT behind the transport"
				 : rc == -ENOKEY ? "no certificate is configured"
						 : strerror(-rc));
		return rc;
	}
	snprintf(error, SIP_STACK_ERROR_MAX,
		 "listen on %s: expected udp, tcp, tls, ws or wss, then :ADDRESS:PORT", text);
	return -EINVAL;
}

static uint32_t buckets_for(uint32_t entries)
{
	uint32_t n = 64;

	while (n < entries && n < 1u << 20)
		n *= 2;
	return n;
}

static int tables_create(struct sip_stack *stack, const struct sip_stack_config *config)
{
	uint32_t n;

	stack->transactions_max =
		config->transactions > 0 ? config->transactions : TRANSACTIONS_DEFAULT;
	stack->dialogs_max = config->dialogs > 0 ? config->dialogs : DIALOGS_DEFAULT;
	n = buckets_for(stack->transactions_max);
	stack->transactions_mask = n - 1;
	stack->transactions = calloc(n, sizeof(struct sip_transaction *));
	n = buckets_for(stack->dialogs_max);
	stack->dialogs_mask = n - 1;
	stack->dialogs = calloc(n, sizeof(struct sip_dialog *));
	if (config->server)
		stack->server = strdup(config->server);
	if (!stack->transactions || !stack->dialogs || (config->server && !stack->server))
		return -ENOMEM;
	return 0;
}

int sip_stack_create(struct sip_stack **out, const struct sip_stack_config *config,
		     char error[SIP_STACK_ERROR_MAX])
{
	struct sip_stack *stack = calloc(1, sizeof(*stack));
	int rc;

	snprintf(error, SIP_STACK_ERROR_MAX, "no memory");
	if (!stack)
		return -ENOMEM;
	stack->user = config->user;
	stack->user_argument = config->user_argument;
	stack->loop = config->loop;
	stack->timers = config->loop ? loop_timers(config->loop) : config->timers;
	stack->connections_max =
		config->connections > 0 ? config->connections : CONNECTIONS_DEFAULT;
	stack->idle_timeout_s =
		config->idle_timeout_s > 0 ? config->idle_timeout_s : IDLE_TIMEOUT_DEFAULT_S;
	list_init(&stack->stream_clients);
	random_bytes(&stack->hash_key, sizeof(stack->hash_key));
	random_bytes(&stack->token_key, sizeof(stack->token_key));
	rc = tables_create(stack, config);
	if (rc == 0 && config->tls)
		rc = tls_context_create(&stack->tls, config->tls, error);
	for (uint32_t i = 0; rc == 0 && i < config->listen_count; i++)
		rc = listen_on(stack, config->listen[i], error);
	if (rc < 0) {
		sip_stack_destroy(stack);
		return rc;
	}
	error[0] = '\0';
	if (stack->loop)
		loop_after_round(stack->loop, after_round, stack);
	*out = stack;
	return 0;
}

static void transactions_destroy(struct sip_stack *stack)
{
	for (uint32_t i = 0; stack->transactions && i <= stack->transactions_mask; i++) {
		while (stack->transactions[i])
			transaction_free(stack->transactions[i]);
	}
	while (stack->chunks) {
		struct transaction_chunk *chunk = stack->chunks;

		stack->chunks = chunk->next;
		free(chunk);
	}
	free(stack->transactions);
}

void sip_stack_destroy(struct sip_stack *stack)
{
	if (!stack)
		return;
	if (stack->loop)
		loop_after_round(stack->loop, NULL, NULL);
	for (uint32_t i = 0; stack->dialogs && i <= stack->dialogs_mask; i++) {
		while (stack->dialogs[i])
			sip_dialog_destroy(stack->dialogs[i]);
	}
	free(stack->dialogs);
	transactions_destroy(stack);
	for (int i = 0; i < SIP_TRANSPORTS; i++) {
		if (!stack->rows[i].ops)
			continue;
		stack->rows[i].ops->flush(stack->rows[i].transport);
		stack->rows[i].ops->destroy(stack->rows[i].transport);
	}
	tls_context_destroy(stack->tls);
	free(stack->server);
	free(stack);
}

int sip_stack_reload_tls(struct sip_stack *stack, const struct sip_tls_config *tls,
			 char error[SIP_STACK_ERROR_MAX])
{
	if (stack->tls)
		return tls_context_reload(stack->tls, tls, error);
	snprintf(error, SIP_STACK_ERROR_MAX, "no TLS since the start");
	return -ENOTSUP;
}

uint16_t sip_stack_port(const struct sip_stack *stack, enum sip_transport_kind kind, bool v6)
{
	const struct transport_row *row = &stack->rows[kind];

	for (uint32_t i = 0; i < row->listeners_count; i++) {
		if (address_is_v4(&row->listeners[i].address) != v6)
			return row->listeners[i].port;
	}
	return 0;
}

bool sip_stack_is_local(struct sip_stack *stack, const struct address *address, uint16_t port)
{
	for (int kind = 0; kind < SIP_TRANSPORTS; kind++) {
		const struct transport_row *row = &stack->rows[kind];
		uint16_t its = port != 0 ? port : sip_transport_default_port(kind);

		for (uint32_t i = 0; i < row->listeners_count; i++) {
			const struct endpoint *at = &row->listeners[i];
			struct address local;

			if (at->port != its ||
			    address_is_v4(&at->address) != address_is_v4(address))
				continue;
			if (address_equal(&at->address, address))
				return true;
			/* the host's own addresses are reached from themselves */
			if (address_is_any(&at->address) &&
			    sip_transport_local_address(stack, address, &local) == 0 &&
			    address_equal(&local, address))
				return true;
		}
	}
	return false;
}

/* The B2BUA's outer side: start, stop, and what each SIP request is handed to. */
#include "control/b2bua/b2bua.h"
#include "control/b2bua/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONCE_LIFETIME_MS (5 * 60 * 1000)
#define TRANSACTIONS      262144 /* 1,300 calls/s: 6 each, kept 32 s */
#define NONCES_REMEMBERED 32768
#define CONNECTIONS_SPARE 64
#define NG_REQUEST_MAX    (128 * 1024)

uint64_t b2bua_now_ms(const struct b2bua *b2bua)
{
	return sip_stack_now_ms(b2bua->stack);
}

struct sip_stack *b2bua_stack(struct b2bua *b2bua)
{
	return b2bua->stack;
}

void reply(struct sip_transaction *transaction, uint32_t status, const char *reason,
	   const char *headers)
{
	char buffer[B2BUA_BUFFER];
	struct sip_response response;

	if (!headers) {
		sip_reply(transaction, status, reason);
		return;
	}
	sip_response_begin(&response, transaction, status, reason, buffer, sizeof(buffer));
	sip_put_string(&response.builder, headers);
	if (sip_response_send(&response, NULL, (struct sip_text){0}) == -ENOSPC)
		sip_reply(transaction, 500, NULL);
}

void reply_busy(struct sip_transaction *transaction, const char *reason)
{
	_Static_assert(B2BUA_RETRY_S == 5, "the text below");
	reply(transaction, 503, reason, "Retry-After: 5\r\n");
}

#define HEADERS_CAPABLE                                                                            \
	"Allow: " B2BUA_ALLOW "\r\nAccept: application/sdp\r\nAccept-Encoding: identity\r\n"       \
	"Accept-Language: en\r\nSupported:\r\n"

/* RFC 3261 8.2.2.3: no extension is understood yet, so none may be required. */
static bool require_is_met(struct sip_transaction *transaction, const struct sip_message *request)
{
	char buffer[B2BUA_BUFFER];
	struct sip_response response;
	struct sip_values values;
	struct sip_text token;

	sip_values_begin(&values, request, SIP_HEADER_REQUIRE);
	if (!sip_values_next(&values, &token))
		return true;
	sip_response_begin(&response, transaction, 420, NULL, buffer, sizeof(buffer));
	do {
		sip_put_header(&response.builder, "Unsupported", token);
	} while (sip_values_next(&values, &token));
	if (sip_response_send(&response, NULL, (struct sip_text){0}) == -ENOSPC)
		sip_reply(transaction, 420, NULL);
	return false;
}

static bool uri_is_ours(struct sip_transaction *transaction, const struct sip_message *request)
{
	if (request->uri.scheme == SIP_SCHEME_SIP || request->uri.scheme == SIP_SCHEME_TEL)
		return true;
	reply(transaction, 416, NULL, NULL);
	return false;
}

static void request_unknown(struct sip_transaction *transaction, const struct sip_message *request)
{
	if (request->method == SIP_METHOD_UNKNOWN)
		reply(transaction, 501, NULL, "Allow: " B2BUA_ALLOW "\r\n");
	else
		reply(transaction, 405, NULL, "Allow: " B2BUA_ALLOW "\r\n");
}

static void request_in_dialog(struct leg *leg, struct sip_transaction *transaction,
			      const struct sip_message *request)
{
	switch (request->method) {
	case SIP_METHOD_INVITE:
		reinvite_received(leg, transaction, request);
		break;
	case SIP_METHOD_BYE:
		bye_received(leg, transaction);
		break;
	case SIP_METHOD_OPTIONS:
		reply(transaction, 200, NULL, HEADERS_CAPABLE);
		break;
	case SIP_METHOD_INFO:
		relay_received(leg, transaction, request);
		break;
	default:
		request_unknown(transaction, request);
		break;
	}
}

static void request_received(void *user, struct sip_transaction *transaction,
			     struct sip_dialog *dialog, const struct sip_message *request)
{
	struct b2bua *b2bua = user;

	if (!require_is_met(transaction, request))
		return;
	if (dialog) {
		if (dialog->owner)
			request_in_dialog(dialog->owner, transaction, request);
		else
			reply(transaction, 481, NULL, NULL);
		return;
	}
	guard_request(b2bua, request);
	if (!uri_is_ours(transaction, request))
		return;
	switch (request->method) {
	case SIP_METHOD_INVITE:
		invite_received(b2bua, transaction, request);
		break;
	case SIP_METHOD_REGISTER:
		register_received(b2bua, transaction, request);
		break;
	case SIP_METHOD_OPTIONS:
		if (b2bua->stopping)
			reply_busy(transaction, NULL);
		else
			reply(transaction, 200, NULL, HEADERS_CAPABLE);
		break;
	case SIP_METHOD_BYE:
	case SIP_METHOD_INFO:
		reply(transaction, 481, NULL, NULL);
		break;
	default:
		request_unknown(transaction, request);
		break;
	}
}

static void request_cancelled(void *user, struct sip_transaction *transaction,
			      const struct sip_message *cancel)
{
	struct leg *leg = sip_transaction_owner(transaction);

	(void)user;
	(void)cancel;
	if (!leg)
		reply(transaction, 487, NULL, NULL);
	else if (leg->invite == transaction)
		caller_cancelled(leg->call);
	else if (leg->reinvite == transaction)
		reinvite_drop(leg);
}

static void dialog_acknowledged(void *user, struct sip_dialog *dialog,
				const struct sip_message *ack)
{
	struct leg *leg = dialog->owner;

	(void)user;
	if (!leg)
		return;
	if (leg->late && leg->call->phase == CALL_UP)
		late_acknowledged(leg, ack);
	else
		bye_due(leg);
}

/* RFC 3261 13.3.1.4: a 2xx without ACK ends the session. */
static void dialog_unacknowledged(void *user, struct sip_dialog *dialog)
{
	struct leg *leg = dialog->owner;

	(void)user;
	if (!leg)
		return;
	if (leg->call->phase == CALL_ENDING)
		bye_due(leg);
	else
		call_end(leg->call, ENDED_BY_SYSTEM, 408, "no ACK");
}

static const struct sip_stack_user stack_user = {
	.request = request_received,
	.cancelled = request_cancelled,
	.acknowledged = dialog_acknowledged,
	.unacknowledged = dialog_unacknowledged,
};

static int stack_open(struct b2bua *b2bua, char error[256])
{
	const struct b2bua_options *options = &b2bua->options;
	struct sip_stack_config config = {
		.loop = options->loop,
		.timers = options->timers,
		.listen = options->listen,
		.listen_count = options->listen_count,
		.tls = options->tls,
		.dialogs = options->calls * 4 + 1024,
		.transactions = options->transactions ? options->transactions : TRANSACTIONS,
		.connections = 8192 + CONNECTIONS_SPARE,
		.server = "Tandem",
		.user = &stack_user,
		.user_argument = b2bua,
	};

	return sip_stack_create(&b2bua->stack, &config, error);
}

static void stop_expired(struct timer *timer, uint64_t now_ms);

int b2bua_create(struct b2bua **b2bua, const struct b2bua_options *options, char error[256])
{
	struct b2bua *b = calloc(1, sizeof(*b));
	uint8_t key[32];
	uint32_t buckets = 64;
	int err;

	error[0] = '\0';
	if (!b)
		return -ENOMEM;
	b->options = *options;
	b->counters = board_counters(options->board);
	list_init(&b->calls);
	list_init(&b->abandoned);
	timer_init(&b->stop_timer, stop_expired);
	b->timers = options->loop ? loop_timers(options->loop) : options->timers;
	while (buckets < options->calls)
		buckets *= 2;
	b->by_call_id_mask = buckets - 1;
	b->by_call_id = calloc(buckets, sizeof(struct call *));
	random_bytes(key, sizeof(key));
	err = b->by_call_id ? 0 : -ENOMEM;
	if (!err)
		err = ng_arena_create(&b->arena, NG_REQUEST_MAX);
	if (!err)
		err = sip_auth_create(&b->auth, options->realm, key, NONCE_LIFETIME_MS,
				      NONCES_REMEMBERED);
	if (!err)
		err = sip_digest_create(&b->digest);
	if (!err) {
		sip_auth_offer(b->auth, !options->hide_sha256, !options->hide_md5);
		err = guard_open(b);
	}
	if (!err)
		err = stack_open(b, error);
	if (!err)
		guard_watch(b);
	explicit_bzero(key, sizeof(key));
	if (err) {
		b2bua_destroy(b);
		return err;
	}
	*b2bua = b;
	return 0;
}

void b2bua_destroy(struct b2bua *b2bua)
{
	struct list *node, *after;

	if (!b2bua)
		return;
	b2bua->stopped = NULL;
	list_each_safe (node, after, &b2bua->calls) {
		struct call *call = list_entry(node, struct call, node);

		call_end(call, ENDED_BY_SYSTEM, 503, "shutdown");
	}
	while (!list_is_empty(&b2bua->calls)) {
		struct call *call = list_entry(b2bua->calls.next, struct call, node);

		call_account(call);
		call_destroy(call);
	}
	media_abandon_all(b2bua);
	timer_stop(b2bua->timers, &b2bua->stop_timer);
	sip_stack_destroy(b2bua->stack);
	guard_close(b2bua);
	sip_auth_destroy(b2bua->auth);
	sip_digest_destroy(b2bua->digest);
	ng_arena_destroy(b2bua->arena);
	free(b2bua->by_call_id);
	free(b2bua);
}

static void stop_finish(struct b2bua *b2bua)
{
	void (*stopped)(void *arg) = b2bua->stopped;

	timer_stop(b2bua->timers, &b2bua->stop_timer);
	b2bua->stopped = NULL;
	if (stopped)
		stopped(b2bua->stopped_arg);
}

/* Looks every few ms rather than being told: the end of a stop is not worth a hook in each call. */
static void stop_expired(struct timer *timer, uint64_t now_ms)
{
	struct b2bua *b2bua = list_entry(timer, struct b2bua, stop_timer);

	if (list_is_empty(&b2bua->calls) || now_ms >= b2bua->stop_at_ms)
		stop_finish(b2bua);
	else
		timer_start(b2bua->timers, timer, now_ms + 5);
}

void b2bua_stop(struct b2bua *b2bua, uint32_t wait_ms, void (*stopped)(void *arg), void *arg)
{
	struct list *node, *after;

	b2bua->stopping = true;
	b2bua->stopped = stopped;
	b2bua->stopped_arg = arg;
	b2bua->stop_at_ms = b2bua_now_ms(b2bua) + wait_ms;
	list_each_safe (node, after, &b2bua->calls) {
		struct call *call = list_entry(node, struct call, node);

		call_end(call, ENDED_BY_SYSTEM, 503, "shutdown");
	}
	timer_start(b2bua->timers, &b2bua->stop_timer, b2bua_now_ms(b2bua) + 1);
}

void b2bua_each_counter(struct b2bua *b2bua,
			void (*each)(void *arg, const char *name, uint64_t value), void *arg)
{
	for (int i = 0; i < SIP_COUNTER_COUNT; i++) {
		char name[64];

		snprintf(name, sizeof(name), "sip_%s", sip_counter_name((enum sip_counter)i));
		each(arg, name, sip_stack_counter(b2bua->stack, (enum sip_counter)i));
	}
	guard_each_counter(b2bua, each, arg);
}

const char *exchange_transport_name(uint8_t transport)
{
	return sip_transport_parameter((enum sip_transport_kind)transport);
}

int exchange_transport_of(const char *name)
{
	enum sip_transport_kind kind;
	int err = sip_transport_kind_of(sip_text_of(name), &kind);

	return err ? err : (int)kind;
}

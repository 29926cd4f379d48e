/*
 * A whole B2BUA that hears what two phones and a dataplane say. The input is cut at lines "=" into
 * steps; the first byte of a step says who speaks:
 *
 *   a, b, c  a SIP message from phone a, b or c, in which %V %F %T %I %Q stand for the values of
 *            Via, From, To, Call-ID and CSeq's number of the last message sent to that phone
 *   m        the dataplane's reply (JSON or bencode) to its oldest request
 *   t        time passes, 100 ms a byte that follows
 *   s        a stop begins
 *
 * Every name is a user and every credential is right: the digest has a fuzz target of its own.
 */
#include "control/b2bua/b2bua.h"
#include "control/sip/auth.h"
#include "control/sip/stack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

#define PHONES    3
#define ASKED_MAX 64
#define STEP_MAX  8192

struct asked {
	ng_reply_fn *replied;
	void *owner;
};

static struct world {
	struct timer_wheel timers;
	struct exchange exchange;
	struct b2bua *b2bua;
	struct board *board;
	struct asked asked[ASKED_MAX];
	uint32_t asked_count;
	char last[PHONES][STEP_MAX];
	uint64_t live;
	uint64_t begun;
	uint64_t cdrs;
} w;

/* ---- digest: everyone is who he says ---- */

/* Linked in place of those of the stack (--wrap). */
enum sip_auth_result __wrap_sip_auth_find(const struct sip_auth *auth,
					  const struct sip_message *request,
					  enum sip_header_id header,
					  struct sip_auth_credentials *c);
enum sip_auth_result __wrap_sip_auth_verify(struct sip_auth *auth,
					    const struct sip_auth_credentials *c,
					    const struct sip_message *request,
					    const char *const ha1[SIP_AUTH_ALGORITHMS],
					    uint64_t now_ms);

enum sip_auth_result __wrap_sip_auth_find(const struct sip_auth *auth,
					  const struct sip_message *request,
					  enum sip_header_id header, struct sip_auth_credentials *c)
{
	(void)auth;
	(void)header;
	*c = (struct sip_auth_credentials){.username = request->from.uri.user};
	return SIP_AUTH_OK;
}

enum sip_auth_result __wrap_sip_auth_verify(struct sip_auth *auth,
					    const struct sip_auth_credentials *c,
					    const struct sip_message *request,
					    const char *const ha1[SIP_AUTH_ALGORITHMS],
					    uint64_t now_ms)
{
	(void)auth;
	(void)c;
	(void)request;
	(void)ha1;
	(void)now_ms;
	return SIP_AUTH_OK;
}

/* ---- the world around ---- */

static struct endpoint phone_endpoint(int phone)
{
	struct endpoint e;

	endpoint_parse(&e, "127.0.0.1:1", 11);
	e.port = (uint16_t)(6001 + phone);
	return e;
}

static const struct exchange_user *find_user(struct exchange *exchange, const char *name, size_t n)
{
	static const struct exchange_user user = {.extension = "1001", .name = "A"};

	(void)exchange;
	(void)name;
	return n ? &user : NULL;
}

static void route(struct exchange *exchange, const char *number, size_t n,
		  struct exchange_route *out)
{
	static const char *const uri[] = {"sip:b@127.0.0.1:6002", "sip:c@127.0.0.1:6003"};

	(void)exchange;
	*out = (struct exchange_route){.verdict = EXCHANGE_UNKNOWN};
	if (n == 0)
		return;
	switch (number[0]) {
	case '6':
		out->verdict = EXCHANGE_ECHO;
		break;
	case '1':
	case '2':
		out->verdict = EXCHANGE_TARGETS;
		out->targets_count = (uint32_t)(number[0] - '0');
		snprintf(out->callee, sizeof(out->callee), "1002");
		break;
	case '9':
		out->verdict = EXCHANGE_UNREGISTERED;
		break;
	}
	for (uint32_t i = 0; i < out->targets_count; i++)
		out->targets[i] =
			(struct exchange_target){.uri = uri[i],
						 .path = {.source = phone_endpoint((int)i + 1)}};
}

static void apply_register(struct exchange *exchange, const struct exchange_register *request,
			   struct exchange_registered *answer)
{
	(void)exchange;
	*answer = (struct exchange_registered){.status = 200, .reason = "OK"};
	for (uint32_t i = 0; i < request->contacts_count; i++)
		answer->bound[answer->bound_count++] =
			(struct exchange_bound){.uri = request->contacts[i].uri,
						.expires_s = 60,
						.q_permille = request->contacts[i].q_permille};
}

static void ledger_call(void *arg, enum journal_call_state state, const struct cdr *cdr)
{
	(void)arg;
	(void)cdr;
	w.begun += state == JOURNAL_CALL_STARTED;
}

static void ledger_cdr(void *arg, const struct cdr *cdr)
{
	(void)arg;
	(void)cdr;
	w.cdrs++;
}

static int media_send(void *arg, const struct ng_value *request, ng_reply_fn *replied, void *owner)
{
	char text[NG_MESSAGE_MAX];

	(void)arg;
	if (w.asked_count == ASKED_MAX)
		return -ENOSPC;
	if (ng_build(request, NG_BENCODE, text, sizeof(text)) < 0)
		return -EMSGSIZE;
	w.asked[w.asked_count++] = (struct asked){replied, owner};
	return 0;
}

static void asked_remove(uint32_t i)
{
	memmove(&w.asked[i], &w.asked[i + 1], (w.asked_count - i - 1) * sizeof(w.asked[0]));
	w.asked_count--;
}

static void media_forget(void *arg, void *owner)
{
	(void)arg;
	for (uint32_t i = w.asked_count; i-- > 0;)
		if (w.asked[i].owner == owner)
			asked_remove(i);
}

static bool media_is_connected(void *arg)
{
	(void)arg;
	return true;
}

static void media_answers(int error, const char *text, size_t n)
{
	struct ng_arena *arena = NULL;
	struct ng_value *reply = NULL;
	enum ng_encoding encoding;
	const char *reason;
	struct asked asked = w.asked[0];

	if (!w.asked_count || ng_arena_create(&arena, 1 << 20))
		return;
	if (!error &&
	    (ng_parse(arena, text, n, &reply, &encoding, &reason) <= 0 || reply->type != NG_DICT))
		error = -ETIMEDOUT;
	asked_remove(0);
	asked.replied(asked.owner, error, error ? NULL : reply);
	ng_arena_destroy(arena);
}

static int fake_create(struct sip_stack *stack, struct sip_transport **transport)
{
	*transport = (struct sip_transport *)(void *)stack;
	return 0;
}

static void fake_nothing(struct sip_transport *transport)
{
	(void)transport;
}

static int fake_listen(struct sip_transport *transport, const struct endpoint *at,
		       struct endpoint *bound)
{
	(void)transport;
	*bound = *at;
	return 0;
}

static int fake_send(struct sip_transport *transport, struct sip_flow *flow, const char *bytes,
		     uint32_t n)
{
	uint32_t phone = (uint32_t)flow->remote.port - 6001;

	(void)transport;
	if (phone < PHONES)
		snprintf(w.last[phone], STEP_MAX, "%.*s", (int)n, bytes);
	return 0;
}

static const struct sip_transport_ops fake = {.kind = SIP_TRANSPORT_UDP,
					      .name = "UDP",
					      .parameter = "udp",
					      .default_port = 5060,
					      .create = fake_create,
					      .destroy = fake_nothing,
					      .listen = fake_listen,
					      .send = fake_send,
					      .flush = fake_nothing};

static void open_world(void)
{
	char error[256];
	struct b2bua_options options = {
		.timers = &w.timers,
		.realm = "tandem",
		.record = true,
		.ring_timeout_s = 10,
		.calls = 4,
		.transactions = 1024,
		.exchange = &w.exchange,
		.media = {.send = media_send,
			  .forget = media_forget,
			  .is_connected = media_is_connected},
		.ledger = {.call = ledger_call, .cdr = ledger_cdr},
	};

	memset(&w, 0, sizeof(w));
	timer_wheel_init(&w.timers, 1000000);
	w.exchange = (struct exchange){
		.find_user = find_user, .route = route, .apply_register = apply_register};
	if (board_create(&w.board, 8, 8))
		abort();
	options.board = w.board;
	if (b2bua_create(&w.b2bua, &options, error) ||
	    sip_stack_add_transport(b2bua_stack(w.b2bua), &fake, "127.0.0.1:5060", NULL))
		abort();
}

static void advance(uint64_t ms)
{
	timer_wheel_advance(&w.timers, w.timers.now_ms + ms);
}

/* Nobody answers any more: every call comes to its end in the time of a BYE, with one CDR. */
static void close_world(void)
{
	b2bua_stop(w.b2bua, 100, NULL, NULL);
	for (int i = 0; i < 10; i++) {
		while (w.asked_count)
			media_answers(-ETIMEDOUT, NULL, 0);
		advance(i < 2 ? 33000 : 1000);
	}
	if (board_counters(w.board)->calls_live != 0 || board_counters(w.board)->calls != w.cdrs)
		abort();
	b2bua_destroy(w.b2bua);
	board_destroy(w.board);
}

/* ---- the script ---- */

static size_t put_value(char *out, size_t room, const char *message, const char *name)
{
	const char *at = strstr(message, name);
	size_t n;

	if (!at)
		return 0;
	at += strlen(name);
	n = strcspn(at, strcmp(name, "\r\nCSeq: ") == 0 ? " \r" : "\r");
	if (n > room)
		n = room;
	memcpy(out, at, n);
	return n;
}

static void phone_says(int phone, const char *text, size_t n)
{
	static const char *const names[] = {
		"\r\nVia: ", "\r\nFrom: ", "\r\nTo: ", "\r\nCall-ID: ", "\r\nCSeq: "};
	static const char letters[] = "VFTIQ";
	struct sip_flow flow = {.transport = SIP_TRANSPORT_UDP,
				.local = {.port = 5060},
				.remote = phone_endpoint(phone)};
	char out[STEP_MAX];
	size_t at = 0;

	flow.local.address = flow.remote.address;
	for (size_t i = 0; i < n && at < sizeof(out); i++) {
		const char *letter = text[i] == '%' && i + 1 < n && text[i + 1]
					     ? strchr(letters, text[i + 1])
					     : NULL;

		if (letter) {
			at += put_value(out + at, sizeof(out) - at, w.last[phone],
					names[letter - letters]);
			i++;
		} else {
			out[at++] = text[i];
		}
	}
	sip_transport_received(b2bua_stack(w.b2bua), &flow, out, (uint32_t)at);
}

static void step(const char *text, size_t n)
{
	switch (text[0]) {
	case 'a':
	case 'b':
	case 'c':
		phone_says(text[0] - 'a', text + 1, n - 1);
		break;
	case 'm':
		media_answers(0, text + 1, n - 1);
		break;
	case 't':
		advance(n > 1 ? (uint64_t)(uint8_t)text[1] * 100 : 0);
		break;
	case 's':
		b2bua_stop(w.b2bua, 100, NULL, NULL);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	const char *text = (const char *)input;

	open_world();
	while (n > 0) {
		const char *end = memmem(text, n, "\n=\n", 3);
		size_t len = end ? (size_t)(end - text) : n;

		if (len > 0)
			step(text, len);
		len += end ? 3 : 0;
		text += len;
		n -= len;
	}
	close_world();
	return 0;
}

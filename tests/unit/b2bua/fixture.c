/* The B2BUA's test world. */
#include "tests/unit/b2bua/fixture.h"

#include <errno.h>
#include <openssl/evp.h>

struct fixture f;

/* ---- exchange ---- */

/* HA1 of 1001, 1002: SHA-256 of "EXTENSION:tandem:secret". */
static char ha1[2][65];
static const struct exchange_user users[2] = {
	{.extension = "1001", .name = "Ann \"A\"", .sha256 = ha1[0]},
	{.extension = "1002", .name = "Bob", .sha256 = ha1[1]}};

static void sha256_hex(const char *text, char out[65])
{
	uint8_t digest[32];
	unsigned int n;

	EVP_Digest(text, strlen(text), digest, &n, EVP_sha256(), NULL);
	for (int i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static const struct exchange_user *find_user(struct exchange *exchange, const char *name,
					     size_t len)
{
	(void)exchange;
	for (int i = 0; i < 2; i++)
		if (len == 4 && memcmp(name, users[i].extension, 4) == 0)
			return &users[i];
	return NULL;
}

static void route(struct exchange *exchange, const char *number, size_t len,
		  struct exchange_route *out)
{
	(void)exchange;
	*out = f.route;
	if (len == 3 && memcmp(number, "600", 3) == 0)
		out->verdict = EXCHANGE_ECHO;
}

static void apply_register(struct exchange *exchange, const struct exchange_register *request,
			   struct exchange_registered *answered)
{
	(void)exchange;
	f.reg = *request;
	for (uint32_t i = 0; i < request->contacts_count; i++) {
		snprintf(f.reg_uri[i], sizeof(f.reg_uri[i]), "%s", request->contacts[i].uri);
		snprintf(f.reg_key[i], sizeof(f.reg_key[i]), "%s", request->contacts[i].key);
	}
	*answered = f.registered;
}

/* ---- ledger ---- */

static void ledger_call(void *arg, enum journal_call_state state, const struct cdr *cdr)
{
	(void)arg;
	(void)state;
	assert_non_null(cdr->id);
	f.states++;
}

static const char *keep(int i, const char *text)
{
	snprintf(f.cdr_text[i], sizeof(f.cdr_text[i]), "%s", text ? text : "");
	return f.cdr_text[i];
}

static void ledger_cdr(void *arg, const struct cdr *cdr)
{
	(void)arg;
	f.cdrs++;
	f.cdr = *cdr;
	f.cdr.id = keep(0, cdr->id);
	f.cdr.caller = keep(1, cdr->caller);
	f.cdr.callee = keep(2, cdr->callee);
	f.cdr.destination = keep(3, cdr->destination);
	f.cdr.cause = keep(4, cdr->cause);
	f.cdr.recording_id = keep(5, cdr->recording_id);
	f.cdr.caller_call_id = keep(6, cdr->caller_call_id);
	f.cdr.callee_call_id = keep(7, cdr->callee_call_id);
}

/* ---- dataplane ---- */

static int media_send(void *arg, const struct ng_value *request, ng_reply_fn *replied, void *owner)
{
	struct asked *a = &f.asked[f.asked_count];
	size_t n;
	const char *command = ng_get_text(request, "command", &n);
	int64_t len;

	(void)arg;
	if (f.media_error)
		return f.media_error;
	assert_true(f.asked_count < MEDIA_MAX);
	snprintf(a->command, sizeof(a->command), "%.*s", (int)n, command);
	len = ng_build(request, NG_BENCODE, a->text, sizeof(a->text) - 1);
	assert_true(len > 0);
	a->text[len] = '\0';
	a->replied = replied;
	a->owner = owner;
	a->answered = false;
	f.asked_count++;
	return 0;
}

static void media_forget_owner(void *arg, void *owner)
{
	(void)arg;
	for (uint32_t i = 0; i < f.asked_count; i++)
		if (f.asked[i].owner == owner)
			f.asked[i].answered = true;
}

static bool media_is_connected(void *arg)
{
	(void)arg;
	return f.media_connected;
}

struct asked *asked(const char *command)
{
	for (uint32_t i = 0; i < f.asked_count; i++) {
		if (f.asked[i].answered)
			continue;
		assert_string_equal(f.asked[i].command, command);
		return &f.asked[i];
	}
	fail_msg("nothing asked, %s expected", command);
	return NULL;
}

void expect_not_asked(const char *command)
{
	for (uint32_t i = 0; i < f.asked_count; i++)
		if (!f.asked[i].answered && strcmp(f.asked[i].command, command) == 0)
			fail_msg("%s was asked", command);
}

static void media_reply(struct asked *a, const char *json)
{
	struct ng_arena *arena;
	struct ng_value *reply_value;
	enum ng_encoding encoding;
	const char *reason;

	assert_int_equal(ng_arena_create(&arena, 1 << 20), 0);
	assert_true(ng_parse(arena, json, strlen(json), &reply_value, &encoding, &reason) > 0);
	a->answered = true;
	a->replied(a->owner, 0, reply_value);
	ng_arena_destroy(arena);
}

void media_sdp(const char *command, const char *sdp)
{
	struct ng_arena *arena;
	struct ng_value *reply_value;
	struct asked *a = asked(command);

	assert_int_equal(ng_arena_create(&arena, 1 << 20), 0);
	reply_value = ng_dict(arena);
	ng_put_string(arena, reply_value, "result", "ok");
	ng_put_string(arena, reply_value, "sdp", sdp);
	a->answered = true;
	a->replied(a->owner, 0, reply_value);
	ng_arena_destroy(arena);
}

void media_error(const char *command, const char *reason)
{
	char json[256];

	snprintf(json, sizeof(json), "{\"result\":\"error\",\"error-reason\":\"%s\"}", reason);
	media_reply(asked(command), json);
}

void media_ok(const char *command)
{
	media_reply(asked(command), "{\"result\":\"ok\"}");
}

void media_statistics(void)
{
	media_reply(
		asked("delete"),
		"{\"result\":\"ok\",\"SSRC\":{\"7\":{\"packets lost\":4}},\"tags\":{"
		"\"caller\":{\"medias\":[{\"streams\":[{\"flags\":[\"RTP\"],\"stats\":"
		"{\"packets\":100,\"bytes\":17200}},{\"flags\":[\"RTCP\"],\"stats\":"
		"{\"packets\":3,\"bytes\":300}}]}]},"
		"\"callee\":{\"medias\":[{\"streams\":[{\"flags\":[\"RTP\"],\"SSRC\":7,\"stats\":"
		"{\"packets\":50,\"bytes\":8600}}]}]}}}");
}

/* ---- SIP ---- */

static int fake_create(struct sip_stack *stack, struct sip_transport **transport)
{
	*transport = (struct sip_transport *)(void *)stack;
	return 0;
}

static void fake_destroy(struct sip_transport *transport)
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
	struct sent *s = &f.sent[f.sent_count++];

	(void)transport;
	assert_true(f.sent_count <= SENT_MAX);
	s->to = flow->remote;
	s->text = strndup(bytes, n);
	s->seen = false;
	return 0;
}

static void fake_flush(struct sip_transport *transport)
{
	(void)transport;
}

static const struct sip_transport_ops fake = {.kind = SIP_TRANSPORT_UDP,
					      .name = "UDP",
					      .parameter = "udp",
					      .default_port = 5060,
					      .create = fake_create,
					      .destroy = fake_destroy,
					      .listen = fake_listen,
					      .send = fake_send,
					      .flush = fake_flush};

static struct endpoint local(uint16_t port)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(&e, "127.0.0.1:1", 11), 0);
	e.port = port;
	return e;
}

static void route_to(uint32_t i, const char *uri, uint16_t port)
{
	f.route.targets[i] =
		(struct exchange_target){.uri = uri,
					 .path = {.source = local(port), .local = local(5060)}};
}

void fixture_open(uint32_t calls, bool record)
{
	char error[256];
	struct b2bua_options options = {
		.timers = &f.timers,
		.realm = "tandem",
		.record = record,
		.ring_timeout_s = 60,
		.calls = calls,
		.trace_bytes = 1 << 20,
		.exchange = &f.exchange,
		.media = {.send = media_send,
			  .forget = media_forget_owner,
			  .is_connected = media_is_connected},
		.ledger = {.call = ledger_call, .cdr = ledger_cdr},
	};

	memset(&f, 0, sizeof(f));
	sha256_hex("1001:tandem:secret", ha1[0]);
	sha256_hex("1002:tandem:secret", ha1[1]);
	timer_wheel_init(&f.timers, 1000000);
	f.exchange = (struct exchange){
		.find_user = find_user, .route = route, .apply_register = apply_register};
	f.media_connected = true;
	f.registered = (struct exchange_registered){.status = 200, .reason = "OK"};
	f.route.verdict = EXCHANGE_TARGETS;
	snprintf(f.route.callee, sizeof(f.route.callee), "1002");
	f.route.targets_count = 1;
	route_to(0, "sip:1002@127.0.0.1:6002", 6002);
	route_to(1, "sip:1002@127.0.0.1:6003", 6003);
	assert_int_equal(board_create(&f.board, calls + 1, 10), 0);
	options.board = f.board;
	assert_int_equal(b2bua_create(&f.b2bua, &options, error), 0);
	assert_int_equal(sip_stack_add_transport(b2bua_stack(f.b2bua), &fake, "127.0.0.1:5060",
						 &f.transport),
			 0);
}

void fixture_close(void)
{
	struct call_view view;
	uint32_t at = 0;

	/* Tombstones and timers run out; every call has been freed by then. */
	fixture_advance(70000);
	assert_true(list_is_empty(&f.b2bua->calls));
	assert_int_equal(f.b2bua->live, 0);
	assert_false(board_next_call(f.board, &at, &view));
	b2bua_destroy(f.b2bua);
	board_destroy(f.board);
	for (uint32_t i = 0; i < f.sent_count; i++)
		free(f.sent[i].text);
}

void fixture_advance(uint64_t ms)
{
	uint64_t until = f.timers.now_ms + ms;

	while (f.timers.now_ms < until) {
		uint64_t step = until - f.timers.now_ms < 100 ? until - f.timers.now_ms : 100;

		timer_wheel_advance(&f.timers, f.timers.now_ms + step);
	}
}

static uint32_t branch;

const char *last_via(void)
{
	static char via[128];

	snprintf(via, sizeof(via), "SIP/2.0/UDP 127.0.0.1:6001;rport;branch=z9hG4bKt%u", branch);
	return via;
}

void from(uint16_t port, const char *start_line, const char *headers, const char *body)
{
	char text[8192];
	struct sip_flow flow = {
		.transport = SIP_TRANSPORT_UDP, .local = local(5060), .remote = local(port)};
	char via[128] = "";
	int n;

	if (strncmp(start_line, "SIP/2.0", 7) != 0 && !strstr(headers, "Via:"))
		snprintf(via, sizeof(via),
			 "Via: SIP/2.0/UDP 127.0.0.1:%u;rport;branch=z9hG4bKt%u\r\n", port,
			 ++branch);
	n = snprintf(text, sizeof(text), "%s\r\n%s%sContent-Length: %zu\r\n\r\n%s", start_line, via,
		     headers, strlen(body), body);
	sip_transport_received(b2bua_stack(f.b2bua), &flow, text, (uint32_t)n);
}

/* The same bytes again are a retransmission. */
static bool is_repeated(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(f.sent[i].text, f.sent[n].text) == 0)
			return true;
	return false;
}

const char *expect(uint16_t port, const char *begin)
{
	for (uint32_t i = 0; i < f.sent_count; i++) {
		struct sent *s = &f.sent[i];

		if (s->seen || s->to.port != port)
			continue;
		s->seen = true;
		if (strncmp(s->text, "SIP/2.0 100", 11) == 0 || is_repeated(i))
			continue;
		if (strncmp(s->text, begin, strlen(begin)) != 0)
			fail_msg("to %u: %s expected, not:\n%s", port, begin, s->text);
		return s->text;
	}
	fail_msg("nothing to %u, %s expected", port, begin);
	return NULL;
}

void expect_none(uint16_t port, const char *begin)
{
	for (uint32_t i = 0; i < f.sent_count; i++)
		if (!f.sent[i].seen && f.sent[i].to.port == port && !is_repeated(i) &&
		    strncmp(f.sent[i].text, begin, strlen(begin)) == 0)
			fail_msg("to %u: unexpected %s", port, f.sent[i].text);
}

const char *header(const char *message, const char *name)
{
	static char value[8][512];
	static int turn;
	char line[64];
	const char *at, *end;

	turn = (turn + 1) % 8;
	snprintf(line, sizeof(line), "\r\n%s: ", name);
	at = strstr(message, line);
	if (!at)
		return "";
	at += strlen(line);
	end = strstr(at, "\r\n");
	snprintf(value[turn], sizeof(value[turn]), "%.*s", (int)(end - at), at);
	return value[turn];
}

const char *body_of(const char *message)
{
	const char *at = strstr(message, "\r\n\r\n");

	return at ? at + 4 : "";
}

bool has(const char *text, const char *words)
{
	return strstr(text, words) != NULL;
}

/* ---- requests of the phones ---- */

static void digest_response(const char *method, const char *uri, const char *nonce, char out[65])
{
	char a2[256], h2[65], all[512];

	snprintf(a2, sizeof(a2), "%s:%s", method, uri);
	sha256_hex(a2, h2);
	snprintf(all, sizeof(all), "%s:%s:00000001:abc:auth:%s", ha1[0], nonce, h2);
	sha256_hex(all, out);
}

static void nonce_of(const char *challenge, char out[256])
{
	const char *at = strstr(challenge, "nonce=\"");

	assert_non_null(at);
	snprintf(out, 256, "%.*s", (int)strcspn(at + 7, "\""), at + 7);
}

void acknowledge(uint16_t port, const char *refusal)
{
	char headers[1024];

	snprintf(headers, sizeof(headers),
		 "Via: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u ACK\r\n",
		 header(refusal, "Via"), header(refusal, "From"), header(refusal, "To"),
		 header(refusal, "Call-ID"), (unsigned int)atoi(header(refusal, "CSeq")));
	from(port, "ACK sip:1002@127.0.0.1 SIP/2.0", headers, "");
}

void invite(const char *call_id, const char *number, const char *sdp)
{
	char uri[64], line[96], headers[2048], nonce[256], response[65];
	const char *challenge;

	snprintf(uri, sizeof(uri), "sip:%s@127.0.0.1", number);
	snprintf(line, sizeof(line), "INVITE %s SIP/2.0", uri);
	snprintf(headers, sizeof(headers),
		 "From: <sip:1001@127.0.0.1>;tag=a\r\nTo: <%s>\r\nCall-ID: %s\r\n"
		 "CSeq: 1 INVITE\r\nContact: <sip:1001@127.0.0.1:6001>\r\n"
		 "Content-Type: application/sdp\r\n",
		 uri, call_id);
	from(6001, line, headers, sdp);
	challenge = expect(6001, "SIP/2.0 407");
	nonce_of(challenge, nonce);
	acknowledge(6001, challenge);
	digest_response("INVITE", uri, nonce, response);
	snprintf(headers, sizeof(headers),
		 "From: <sip:1001@127.0.0.1>;tag=a\r\nTo: <%s>\r\nCall-ID: %s\r\n"
		 "CSeq: 2 INVITE\r\nContact: <sip:1001@127.0.0.1:6001>\r\n"
		 "Proxy-Authorization: Digest username=\"1001\", realm=\"tandem\", nonce=\"%s\", "
		 "uri=\"%s\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"abc\", "
		 "response=\"%s\"\r\nContent-Type: application/sdp\r\nMax-Forwards: 70\r\n",
		 uri, call_id, nonce, uri, response);
	from(6001, line, headers, sdp);
}

void answer(uint16_t port, const char *request, const char *status, const char *tag,
	    const char *body)
{
	char line[128], headers[2048];
	bool tagged = has(header(request, "To"), "tag=");

	snprintf(line, sizeof(line), "SIP/2.0 %s", status);
	snprintf(headers, sizeof(headers),
		 "Via: %s\r\nFrom: %s\r\nTo: %s%s%s\r\nCall-ID: %s\r\nCSeq: %s\r\n"
		 "Contact: <sip:1002@127.0.0.1:%u>\r\n%s",
		 header(request, "Via"), header(request, "From"), header(request, "To"),
		 tagged ? "" : ";tag=", tagged ? "" : tag, header(request, "Call-ID"),
		 header(request, "CSeq"), port, body[0] ? "Content-Type: application/sdp\r\n" : "");
	from(port, line, headers, body);
}

static void copy(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text);
}

void call_up(struct up *up)
{
	const char *out, *ok;

	invite("call-a", "1002", SDP_A);
	media_sdp("offer", SDP_TO_B);
	out = expect(6002, "INVITE");
	answer(6002, out, "180 Ringing", "b", "");
	expect(6001, "SIP/2.0 180");
	answer(6002, out, "200 OK", "b", SDP_B);
	expect(6002, "ACK");
	media_sdp("answer", SDP_TO_A);
	ok = expect(6001, "SIP/2.0 200");
	copy(up->caller_to, sizeof(up->caller_to), header(ok, "To"));
	copy(up->callee_from, sizeof(up->callee_from), header(out, "From"));
	snprintf(up->callee_to, sizeof(up->callee_to), "%s;tag=b", header(out, "To"));
	copy(up->callee_call_id, sizeof(up->callee_call_id), header(out, "Call-ID"));
	caller_says(up, "ACK", 2, "", "");
}

void caller_says(const struct up *up, const char *method, uint32_t cseq, const char *more,
		 const char *body)
{
	char line[128], headers[2048];

	snprintf(line, sizeof(line), "%s sip:1002@127.0.0.1 SIP/2.0", method);
	snprintf(headers, sizeof(headers),
		 "From: <sip:1001@127.0.0.1>;tag=a\r\nTo: %s\r\nCall-ID: call-a\r\nCSeq: %u %s\r\n"
		 "Contact: <sip:1001@127.0.0.1:6001>\r\n%s",
		 up->caller_to, cseq, method, more);
	from(6001, line, headers, body);
}

void callee_says(const struct up *up, const char *method, uint32_t cseq, const char *more,
		 const char *body)
{
	char line[128], headers[2048];

	snprintf(line, sizeof(line), "%s sip:1001@127.0.0.1 SIP/2.0", method);
	snprintf(headers, sizeof(headers),
		 "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n"
		 "Contact: <sip:1002@127.0.0.1:6002>\r\n%s",
		 up->callee_to, up->callee_from, up->callee_call_id, cseq, method, more);
	from(6002, line, headers, body);
}

/* What strangers get: bans, answers that tell nothing, 503 when there is too much; and the trace,
 * which shows everything but secrets. */
#include "tests/unit/b2bua/fixture.h"

#include <errno.h>
#include <openssl/evp.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

static int open_world(void **state)
{
	(void)state;
	fixture_open(4, false);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	fixture_close();
	return 0;
}

static uint32_t branch;

/* A request of a stranger from that address, port 7000. */
static void stranger(const char *address, const char *method, const char *user, const char *more)
{
	struct sip_flow flow = {.transport = SIP_TRANSPORT_UDP, .local = f.server};
	char text[4096];
	int n;

	branch++;
	flow.local.port = 5060;
	flow.remote.port = 7000;
	assert_int_equal(address_parse(&flow.local.address, "192.0.2.250", 11), 0);
	assert_int_equal(address_parse(&flow.remote.address, address, strlen(address)), 0);
	n = snprintf(text, sizeof(text),
		     "%s sip:%s@192.0.2.250 SIP/2.0\r\n"
		     "Via: SIP/2.0/UDP %s:7000;rport;branch=z9hG4bKs%08u\r\n"
		     "From: <sip:%s@192.0.2.250>;tag=r\r\nTo: <sip:%s@192.0.2.250>\r\n"
		     "Call-ID: s\r\nCSeq: %08u %s\r\n%sContent-Length: 0\r\n\r\n",
		     method, user, address, branch, user, user, branch, method, more);
	sip_transport_received(b2bua_stack(f.b2bua), &flow, text, (uint32_t)n);
}

/* Authorization with a fresh nonce of ours and a response that nobody's password gives. */
static void wrong_credentials(const char *user, const char *nonce, char *out, size_t size)
{
	snprintf(out, size,
		 "Authorization: Digest username=\"%s\", realm=\"tandem\", nonce=\"%s\", "
		 "uri=\"sip:192.0.2.250\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\", "
		 "response=\"%064d\"\r\n",
		 user, nonce, 7);
}

static void nonce_of(const char *challenge, char *out, size_t size)
{
	const char *at = strstr(challenge, "nonce=\"");

	assert_non_null(at);
	snprintf(out, size, "%.*s", (int)strcspn(at + 7, "\""), at + 7);
}

static void guess(const char *address, const char *user)
{
	char nonce[128], credentials[1024];

	stranger(address, "REGISTER", user, "");
	nonce_of(expect(7000, "SIP/2.0 401"), nonce, sizeof(nonce));
	wrong_credentials(user, nonce, credentials, sizeof(credentials));
	stranger(address, "REGISTER", user, credentials);
}

static void a_guesser_is_banned_and_a_phone_beside_it_is_not(void **state)
{
	struct bans_counters counters;
	struct address source;
	int guesses = 0;

	(void)state;
	for (; guesses < 20; guesses++) {
		bans_counters(f.b2bua->bans, &counters);
		if (counters.made > 0)
			break;
		guess("192.0.2.9", "1001");
		expect(7000, "SIP/2.0 403");
	}
	assert_in_range(guesses, 5, 10);
	stranger("192.0.2.9", "REGISTER", "1001", "");
	stranger("192.0.2.9", "OPTIONS", "1001", "");
	expect_none(7000, "SIP/2.0");
	stranger("192.0.2.10", "OPTIONS", "1001", "");
	expect(7000, "SIP/2.0 200");
	assert_int_equal(sip_stack_counter(b2bua_stack(f.b2bua), SIP_COUNTER_not_admitted), 2);
	assert_int_equal(address_parse(&source, "192.0.2.9", 9), 0);
	assert_int_equal(b2bua_ban_lift(f.b2bua, &source), 0);
	stranger("192.0.2.9", "OPTIONS", "1001", "");
	expect(7000, "SIP/2.0 200");
	fixture_advance(40000);
}

static void forget_sent(void)
{
	for (uint32_t i = 0; i < f.sent_count; i++)
		free(f.sent[i].text);
	f.sent_count = 0;
}

static void a_scanner_is_banned_whatever_its_method(void **state)
{
	static const struct {
		const char *method, *more;
		uint32_t most;
	} cases[] = {
		{"REGISTER", "", 60},
		{"INVITE", "Contact: <sip:x@192.0.2.1>\r\n", 60},
		{"OPTIONS", "", 200},
		{"OPTIONS", "User-Agent: friendly-scanner\r\n", 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char address[32], number[16];
		uint32_t answered = 0;

		snprintf(address, sizeof(address), "198.51.100.%zu", i + 1);
		for (; answered < 300; answered++) {
			snprintf(number, sizeof(number), "%u", 100 + answered);
			stranger(address, cases[i].method, number, cases[i].more);
			if (f.sent_count == 0)
				break;
			forget_sent();
		}
		assert_in_range(answered, 1, cases[i].most);
	}
}

/* ---- answers that tell nothing ---- */

/* The answer with all that differs from request to request blanked out. */
static void blank(char *text)
{
	static const char *const variable[] = {"branch=z9hG4bKs", "tag=", "nonce=\"", "CSeq: "};

	for (size_t i = 0; i < sizeof(variable) / sizeof(variable[0]); i++)
		for (char *at = text; (at = strstr(at, variable[i])) != NULL;)
			for (at += strlen(variable[i]); *at && !strchr(";\"\r >", *at); at++)
				*at = '#';
}

static void answers_to(const char *user, char *challenge, char *refusal, size_t size)
{
	char nonce[128], credentials[1024];
	const char *got;

	stranger("192.0.2.9", "REGISTER", user, "");
	got = expect(7000, "SIP/2.0 401");
	snprintf(challenge, size, "%s", got);
	nonce_of(got, nonce, sizeof(nonce));
	wrong_credentials(user, nonce, credentials, sizeof(credentials));
	stranger("192.0.2.9", "REGISTER", user, credentials);
	snprintf(refusal, size, "%s", expect(7000, "SIP/2.0 403"));
	blank(challenge);
	blank(refusal);
	for (char *at = challenge; (at = strstr(at, user)) != NULL;)
		memcpy(at, "####", 4);
	for (char *at = refusal; (at = strstr(at, user)) != NULL;)
		memcpy(at, "####", 4);
}

static void unknown_users_get_the_bytes_of_wrong_passwords(void **state)
{
	char known[2][2048], unknown[2][2048];

	(void)state;
	answers_to("1001", known[0], known[1], sizeof(known[0]));
	answers_to("7777", unknown[0], unknown[1], sizeof(unknown[0]));
	assert_string_equal(known[0], unknown[0]);
	assert_string_equal(known[1], unknown[1]);
	fixture_advance(40000);
}

/* Instructions that a process of its own executes between the request's arrival and the answer. */
static uint64_t instructions_of(const char *user, const char *credentials)
{
	uint64_t steps = 0;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		stranger("192.0.2.9", "REGISTER", user, credentials);
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(child, &status, 0);
	if (!WIFSTOPPED(status)) { /* tracing is not allowed here */
		waitpid(child, &status, 0);
		return 0;
	}
	for (;;) {
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0)
			break;
		waitpid(child, &status, 0);
		if (!WIFSTOPPED(status) || WSTOPSIG(status) == SIGSTOP)
			break;
		steps++;
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return steps;
}

static void unknown_users_take_the_work_of_wrong_passwords(void **state)
{
	char nonce[128], credentials[1024];
	uint64_t known, unknown, shorter;

	(void)state;
#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
	/* once for what is set up at first use, and so that no log line is written below */
	guess("192.0.2.8", "1001");
	expect(7000, "SIP/2.0 403");
	for (int i = 0; i < 6; i++) {
		guess("192.0.2.7", "1001");
		expect(7000, "SIP/2.0 403");
	}
	stranger("192.0.2.9", "REGISTER", "1001", "");
	nonce_of(expect(7000, "SIP/2.0 401"), nonce, sizeof(nonce));
	wrong_credentials("1001", nonce, credentials, sizeof(credentials));
	known = instructions_of("1001", credentials);
	wrong_credentials("7777", nonce, credentials, sizeof(credentials));
	unknown = instructions_of("7777", credentials);
	if (known == 0)
		skip();
	/* the difference is that of finding or not finding four characters in a table, and of the
	 * hash chains that another nonce or branch happens to fall into */
	shorter = known < unknown ? known : unknown;
	print_message("instructions: known %llu, unknown %llu\n", (unsigned long long)known,
		      (unsigned long long)unknown);
	assert_true(shorter > 5000);
	assert_true((known > unknown ? known - unknown : unknown - known) * 200 < shorter);
	fixture_advance(40000);
}

/* ---- overload ---- */

static void calls_beyond_the_rate_get_503_and_others_go_on(void **state)
{
	struct up up;
	const char *refused;

	(void)state;
	f.b2bua->overload.calls_per_second = 1;
	call_up(&up);
	from(6001, "INVITE sip:1002@127.0.0.1 SIP/2.0",
	     "From: <sip:1001@127.0.0.1>;tag=x\r\nTo: <sip:1002@127.0.0.1>\r\nCall-ID: second\r\n"
	     "CSeq: 1 INVITE\r\n",
	     "");
	refused = expect(6001, "SIP/2.0 503");
	assert_in_range(atoi(header(refused, "Retry-After")), 2, 9);
	assert_int_equal(sip_stack_counter(b2bua_stack(f.b2bua), SIP_COUNTER_calls_shed), 1);
	assert_int_equal(f.b2bua->overload.refused_rate, 1);
	/* in the dialog nothing is refused */
	caller_says(&up, "INFO", 3, "", "");
	answer(6002, expect(6002, "INFO"), "200 OK", NULL, "");
	expect(6001, "SIP/2.0 200");
	caller_says(&up, "BYE", 4, "", "");
	expect(6001, "SIP/2.0 200");
	answer(6002, expect(6002, "BYE"), "200 OK", NULL, "");
	media_statistics();
	fixture_advance(2000);
	from(6001, "INVITE sip:1002@127.0.0.1 SIP/2.0",
	     "From: <sip:1001@127.0.0.1>;tag=x\r\nTo: <sip:1002@127.0.0.1>\r\nCall-ID: third\r\n"
	     "CSeq: 1 INVITE\r\n",
	     "");
	expect(6001, "SIP/2.0 407");
	fixture_advance(40000);
}

/* ---- trace ---- */

static void a_trace_shows_both_legs_and_the_dataplane_without_secrets(void **state)
{
	struct trace_view *views, *same;
	char id[UUID_TEXT_MAX];
	uint32_t parties = 0, kinds = 0;
	int n, authorizations = 0;
	struct up up;

	(void)state;
	call_up(&up);
	snprintf(id, sizeof(id), "%s", list_entry(f.b2bua->calls.next, struct call, node)->id);
	n = b2bua_trace(f.b2bua, id, &views);
	assert_in_range(n, 12, 40);
	for (int i = 0; i < n; i++) {
		parties |= 1u << views[i].party;
		kinds |= 1u << views[i].kind;
		assert_true(i == 0 || views[i].time_ns >= views[i - 1].time_ns);
		assert_false(has(views[i].text, "response=\""));
		if (has(views[i].text, "uthorization: (removed)"))
			authorizations++;
	}
	assert_int_equal(parties, 7);
	assert_int_equal(kinds, 15);
	assert_int_equal(authorizations, 1);
	assert_int_equal(b2bua_trace(f.b2bua, up.callee_call_id, &same), n);
	trace_views_free(same, n);
	trace_views_free(views, n);
	assert_int_equal(b2bua_trace(f.b2bua, "nobody's", &views), 0);
	trace_views_free(views, 0);
	caller_says(&up, "BYE", 3, "", "");
	expect(6001, "SIP/2.0 200");
	answer(6002, expect(6002, "BYE"), "200 OK", NULL, "");
	media_statistics();
	/* just ended */
	n = b2bua_trace(f.b2bua, id, &views);
	assert_true(n > 12);
	trace_views_free(views, n);
}

static void secrets_are_removed_wherever_they_stand(void **state)
{
	static const struct {
		const char *text, *clean;
	} rows[] = {
		{"INVITE sip:1@h SIP/2.0\r\nAuthorization: Digest response=\"x\"\r\nTo: a\r\n",
		 "INVITE sip:1@h SIP/2.0\r\nAuthorization: (removed)\r\nTo: a\r\n"},
		{"proxy-authorization \t: Digest a,\r\n\tresponse=\"x\"\r\n more\r\nTo: a",
		 "proxy-authorization \t: (removed)\r\nTo: a"},
		{"Authorization:\r\n Digest x\r\nTo: a", "Authorization: (removed)\r\nTo: a"},
		{"Authorization: x\r\rSECRET", "Authorization: (removed)\r\rSECRET"},
		{"AuthorizationX: y\r\n", "AuthorizationX: y\r\n"},
		{"v=0\r\na=crypto:1 AES inline:KEY\r\nk=clear:KEY\r\na=sendrecv",
		 "v=0\r\na=crypto: (removed)\r\nk= (removed)\r\na=sendrecv"},
		{"A=CRYPTO:1 x\n", "A=CRYPTO: (removed)\n"},
		{"a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n", "a=ice-pwd: (removed)\r\n"},
		{"Contact: <sip:alice:pw;x@h:5060;lr>, <sips:b:p@h>\r\n",
		 "Contact: <sip:alice:(removed)@h:5060;lr>, <sips:b:(removed)@h>\r\n"},
		{"Route: <sip:h:5060>, \"a@b\" <sip:h>", "Route: <sip:h:5060>, \"a@b\" <sip:h>"},
		{"Signal=5\r\nDuration=160", "Signal= (removed)\r\nDuration=160"},
		{"", ""},
		{"k=", "k= (removed)"},
	};
	char out[TRACE_CLEAN_MAX(TRACE_TEXT_MAX)], worst[TRACE_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t n = (uint32_t)strlen(rows[i].text);

		out[trace_clean(rows[i].text, n, out)] = '\0';
		assert_string_equal(out, rows[i].clean);
		for (uint32_t cut = 0; cut <= n; cut++) { /* none longer than it may get */
			char *exact = malloc(TRACE_CLEAN_MAX(cut));
			char *prefix = malloc(cut + 1);

			memcpy(prefix, rows[i].text, cut);
			assert_true(trace_clean(prefix, cut, exact) <= TRACE_CLEAN_MAX(cut));
			free(exact);
			free(prefix);
		}
	}
	for (uint32_t i = 0; i < sizeof(worst); i++)
		worst[i] = "k=\n"[i % 3];
	assert_true(trace_clean(worst, sizeof(worst), out) <= sizeof(out));
	for (uint32_t i = 0; i < sizeof(worst); i++)
		worst[i] = "sip:a:@"[i % 7];
	assert_true(trace_clean(worst, sizeof(worst), out) <= sizeof(out));
}

static void a_full_ring_forgets_the_oldest(void **state)
{
	struct sip_flow flow = {.transport = SIP_TRANSPORT_UDP};
	struct trace *trace;
	struct trace_view *views;
	char text[4000];
	int n;

	(void)state;
	assert_int_equal(trace_create(&trace, 100000), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t length = 20 + i * 7919 % 3900;
		int head = snprintf(text, sizeof(text), "OPTIONS\r\ni : c%u\r\n", i / 2);

		memset(text + head, 'x', sizeof(text) - (size_t)head);
		trace_message(trace, TRACE_RECEIVED, &flow, text, length, i);
		snprintf(text, sizeof(text), "c%u", i / 2);
		n = trace_read(trace, text, strlen(text), &views);
		assert_int_equal(n, 1 + i % 2);
		assert_int_equal(views[n - 1].whole_n, length);
		assert_int_equal(views[n - 1].text_n,
				 length < TRACE_TEXT_MAX ? length : TRACE_TEXT_MAX);
		assert_int_equal(views[n - 1].time_ns, i);
		trace_views_free(views, n);
	}
	assert_int_equal(trace_read(trace, "c0", 2, &views), 0);
	trace_views_free(views, 0);
	/* more of one call than is shown at once */
	for (uint32_t i = 0; i < 2000; i++)
		trace_message(trace, TRACE_SENT, &flow, "O\r\nCall-ID: many\r\n\r\n", 20, i);
	n = trace_read(trace, "many", 4, &views);
	assert_int_equal(n, TRACE_VIEWS_MAX);
	trace_views_free(views, n);
	trace_destroy(trace);
	/* none */
	assert_int_equal(trace_create(&trace, 0), 0);
	trace_message(trace, TRACE_SENT, &flow, "", 0, 0);
	assert_int_equal(trace_read(trace, "many", 4, &views), 0);
	trace_destroy(trace);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
	const struct CMUnitTest tests[] = {
		CASE(a_guesser_is_banned_and_a_phone_beside_it_is_not),
		CASE(a_scanner_is_banned_whatever_its_method),
		CASE(unknown_users_get_the_bytes_of_wrong_passwords),
		CASE(unknown_users_take_the_work_of_wrong_passwords),
		CASE(calls_beyond_the_rate_get_503_and_others_go_on),
		CASE(a_trace_shows_both_legs_and_the_dataplane_without_secrets),
		cmocka_unit_test(secrets_are_removed_wherever_they_stand),
		cmocka_unit_test(a_full_ring_forgets_the_oldest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

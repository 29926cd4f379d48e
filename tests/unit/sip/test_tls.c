/* The stack's TLS against OpenSSL's client: versions, certificates, limits, reload. */
#include "tests/unit/sip/stream_peer.h"

#include "control/sip/certificate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct stream_fixture f;

static const char options[] = "OPTIONS sip:x@example.com SIP/2.0\r\n"
			      "Via: SIP/2.0/TLS 127.0.0.1:5;branch=z9hG4bK%d\r\n"
			      "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\n"
			      "CSeq: 1 OPTIONS\r\nContent-Length: 3\r\n\r\nabc";

static int setup(void **state)
{
	(void)state;
	stream_start(&f, SIP_VERIFY_CLIENTS_NONE, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stream_stop(&f);
	return 0;
}

/* pair: the certificate that it shows, -1 = none. */
static SSL_CTX *client(int version, int pair)
{
	SSL_CTX *made = SSL_CTX_new(TLS_client_method());

	assert_non_null(made);
	SSL_CTX_set_security_level(made, 0);
	SSL_CTX_set_min_proto_version(made, version);
	SSL_CTX_set_max_proto_version(made, version);
	if (pair >= 0) {
		assert_int_equal(SSL_CTX_use_certificate_chain_file(made, f.certificate[pair]), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(made, f.key[pair], SSL_FILETYPE_PEM),
				 1);
	}
	return made;
}

static void request(struct stream_peer *peer, int number)
{
	char text[1024];
	char branch[64];
	int n = snprintf(text, sizeof(text), options, number);

	snprintf(branch, sizeof(branch), "branch=z9hG4bK%d", number);
	stream_write(peer, text, (size_t)n);
	assert_non_null(strstr(stream_expect(peer, branch), "SIP/2.0 200"));
}

static void versions_1_2_and_1_3_only(void **state)
{
	static const struct {
		int version;
		bool taken;
	} rows[] = {
		{TLS1_VERSION, false},
		{TLS1_1_VERSION, false},
		{TLS1_2_VERSION, true},
		{TLS1_3_VERSION, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		SSL_CTX *context = client(rows[i].version, -1);
		struct stream_peer peer = stream_connect(&f, SIP_TRANSPORT_TLS, context);

		assert_int_equal(stream_shake(&peer), rows[i].taken);
		if (rows[i].taken)
			request(&peer, (int)i);
		stream_close(&peer);
		SSL_CTX_free(context);
	}
	stream_turn(&f);
	assert_int_equal(f.seen.transport, SIP_TRANSPORT_TLS);
	assert_int_equal(stream_counter(&f, SIP_COUNTER_tls_handshakes), 2);
	assert_int_equal(stream_counter(&f, SIP_COUNTER_tls_handshakes_failed), 2);
	assert_int_equal(stream_connections(&f), 0);
}

static void weak_ciphers_are_refused(void **state)
{
	SSL_CTX *context = client(TLS1_2_VERSION, -1);
	struct stream_peer peer;

	(void)state;
	assert_int_equal(SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-SHA"), 1);
	peer = stream_connect(&f, SIP_TRANSPORT_TLS, context);
	assert_false(stream_shake(&peer));
	stream_close(&peer);
	SSL_CTX_free(context);
}

static void messages_split_anywhere_are_put_together(void **state)
{
	SSL_CTX *context = client(TLS1_3_VERSION, -1);
	struct stream_peer peer = stream_connect(&f, SIP_TRANSPORT_TLS, context);
	char two[2048];
	int n = snprintf(two, sizeof(two), options, 1);

	(void)state;
	n += snprintf(two + n, sizeof(two) - (size_t)n, options, 2);
	assert_true(stream_shake(&peer));
	for (int i = 0; i < n; i++) {
		stream_write(&peer, two + i, 1);
		loop_once(f.loop, 0);
	}
	stream_expect(&peer, "branch=z9hG4bK2");
	assert_int_equal(f.requests, 2);
	stream_write(&peer, "\r\n\r\n", 4);
	assert_string_equal(stream_expect(&peer, "\r\n"), "\r\n");
	stream_close(&peer);
	SSL_CTX_free(context);
}

/* More than one record and more than the first buffer: nothing may stay behind in OpenSSL. */
static void many_messages_in_one_write_are_all_answered(void **state)
{
	SSL_CTX *context = client(TLS1_3_VERSION, -1);
	struct stream_peer peer = stream_connect(&f, SIP_TRANSPORT_TLS, context);
	static char many[40000];
	int n = 0;

	(void)state;
	assert_true(stream_shake(&peer));
	for (int i = 100; i < 250; i++)
		n += snprintf(many + n, sizeof(many) - (size_t)n, options, i);
	stream_write(&peer, many, (size_t)n);
	stream_expect(&peer, "branch=z9hG4bK249");
	assert_int_equal(f.requests, 150);
	stream_close(&peer);
	SSL_CTX_free(context);
}

/* What a peer that does not read is owed waits in order, and no more than the limit. */
static void peer_that_reads_late_gets_all_that_was_queued(void **state)
{
	SSL_CTX *context = client(TLS1_3_VERSION, -1);
	struct stream_peer peer = stream_connect(&f, SIP_TRANSPORT_TLS, context);
	static char many[40000];
	uint64_t answers = 0;
	uint32_t line_ends = 0;
	int n = 0;
	int got = 1;

	(void)state;
	assert_true(stream_shake(&peer));
	for (int i = 100; i < 250; i++)
		n += snprintf(many + n, sizeof(many) - (size_t)n, options, i);
	for (int i = 0; i < 1000 && stream_counter(&f, SIP_COUNTER_send_full) == 0; i++) {
		stream_write(&peer, many, (size_t)n);
		/* a record each time: our writing must not wait for the stack's reading */
		for (int turn = 0; turn < 8; turn++)
			loop_once(f.loop, 0);
	}
	assert_int_not_equal(stream_counter(&f, SIP_COUNTER_send_full), 0);
	for (int idle = 0; got >= 0 && idle < 50; idle += got == 0) {
		got = stream_read(&peer, many, sizeof(many));
		/* a response without body ends with an empty line */
		for (int i = 0; i < got; i++) {
			if (many[i] == '\n')
				line_ends++;
			else if (many[i] != '\r')
				line_ends = 0;
			if (line_ends == 2) {
				answers++;
				line_ends = 0;
			}
		}
		loop_once(f.loop, got == 0 ? 1 : 0);
	}
	assert_int_equal(answers, stream_counter(&f, SIP_COUNTER_sent));
	assert_int_equal(stream_connections(&f), 1);
	stream_close(&peer);
	SSL_CTX_free(context);
}

static void renegotiation_is_refused(void **state)
{
	SSL_CTX *context = client(TLS1_2_VERSION, -1);
	struct stream_peer peer = stream_connect(&f, SIP_TRANSPORT_TLS, context);
	char byte;
	int got = 0;

	(void)state;
	assert_true(stream_shake(&peer));
	assert_int_equal(SSL_renegotiate(peer.tls), 1);
	SSL_do_handshake(peer.tls);
	for (int i = 0; i < 50 && got == 0; i++) {
		loop_once(f.loop, 1);
		got = stream_read(&peer, &byte, 1);
	}
	assert_int_equal(got, -1);
	assert_int_equal(stream_counter(&f, SIP_COUNTER_tls_handshakes), 1);
	stream_close(&peer);
	SSL_CTX_free(context);
}

static void handshake_that_is_not_finished_ends_after_30_s(void **state)
{
	struct timer_wheel *wheel = loop_timers(f.loop);
	struct stream_peer silent = stream_connect(&f, SIP_TRANSPORT_TLS, NULL);
	struct stream_peer half = stream_connect(&f, SIP_TRANSPORT_WSS, NULL);

	(void)state;
	/* the begin of a ClientHello */
	stream_write(&half, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
	stream_turn(&f);
	assert_int_equal(stream_connections(&f), 2);
	timer_wheel_advance(wheel, wheel->now_ms + 29000);
	assert_int_equal(stream_connections(&f), 2);
	timer_wheel_advance(wheel, wheel->now_ms + 2000);
	assert_int_equal(stream_connections(&f), 0);
	stream_close(&silent);
	stream_close(&half);
}

static void plain_sip_on_the_tls_port_ends_the_connection(void **state)
{
	struct stream_peer peer = stream_connect(&f, SIP_TRANSPORT_TLS, NULL);

	(void)state;
	stream_write(&peer, options, sizeof(options) - 1);
	stream_expect(&peer, NULL);
	assert_int_equal(stream_counter(&f, SIP_COUNTER_tls_handshakes_failed), 1);
	assert_int_equal(f.requests, 0);
	assert_int_equal(stream_connections(&f), 0);
	stream_close(&peer);
}

static void connections_beyond_the_share_of_one_address_are_refused(void **state)
{
	struct stream_peer peers[STREAM_CONNECTIONS];

	(void)state;
	for (int i = 0; i < STREAM_CONNECTIONS; i++)
		peers[i] = stream_connect(&f, SIP_TRANSPORT_TLS, NULL);
	stream_turn(&f);
	assert_int_equal(stream_connections(&f), STREAM_CONNECTIONS / 2);
	assert_int_equal(stream_counter(&f, SIP_COUNTER_connections_refused),
			 STREAM_CONNECTIONS / 2);
	for (int i = 0; i < STREAM_CONNECTIONS; i++)
		stream_close(&peers[i]);
	stream_turn(&f);
	assert_int_equal(stream_connections(&f), 0);
}

/* Whether a request over that transport with that certificate is answered. */
static bool is_served(enum sip_transport_kind kind, int version, int pair)
{
	SSL_CTX *context = client(version, pair);
	struct stream_peer peer = stream_connect(&f, kind, context);
	char text[1024];
	char byte;
	int n = snprintf(text, sizeof(text), options, 1);
	int got = 0;

	/* with 1.3 the client is done before the server has judged its certificate */
	if (stream_shake(&peer) && SSL_write(peer.tls, text, n) == n) {
		for (int i = 0; i < 100 && got == 0; i++) {
			loop_once(f.loop, 1);
			got = stream_read(&peer, &byte, 1);
		}
	}
	stream_close(&peer);
	SSL_CTX_free(context);
	stream_turn(&f);
	return got > 0;
}

static void client_certificates_are_asked_for_as_configured(void **state)
{
	static const struct {
		enum sip_verify_clients verify;
		bool without, trusted, stranger;
	} rows[] = {
		{SIP_VERIFY_CLIENTS_NONE, true, true, true},
		{SIP_VERIFY_CLIENTS_OPTIONAL, true, true, false},
		{SIP_VERIFY_CLIENTS_REQUIRE, false, true, false},
	};
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		int version = versions[i % 2];

		stream_start(&f, rows[i / 2].verify, NULL);
		assert_int_equal(is_served(SIP_TRANSPORT_TLS, version, -1), rows[i / 2].without);
		assert_int_equal(is_served(SIP_TRANSPORT_TLS, version, 1), rows[i / 2].trusted);
		assert_int_equal(is_served(SIP_TRANSPORT_TLS, version, 2), rows[i / 2].stranger);
		/* a browser is never asked: it gets as far as the HTTP error */
		assert_true(is_served(SIP_TRANSPORT_WSS, version, -1));
		stream_stop(&f);
	}
}

static bool shows(struct stream_peer *peer, int pair)
{
	FILE *file = fopen(f.certificate[pair], "r");
	X509 *wanted = PEM_read_X509(file, NULL, NULL, NULL);
	X509 *shown = SSL_get1_peer_certificate(peer->tls);
	bool same = X509_cmp(wanted, shown) == 0;

	fclose(file);
	X509_free(wanted);
	X509_free(shown);
	return same;
}

static void reload_shows_the_new_certificate_and_keeps_connections(void **state)
{
	SSL_CTX *context = client(TLS1_3_VERSION, -1);
	struct stream_peer before = stream_connect(&f, SIP_TRANSPORT_TLS, context);
	struct sip_tls_config next = {.certificate = f.certificate[2], .key = f.key[2]};
	struct sip_tls_config mixed = {.certificate = f.certificate[1], .key = f.key[2]};
	struct sip_tls_config absent = {.certificate = "/nonexistent", .key = f.key[2]};
	struct stream_peer after;
	char error[SIP_STACK_ERROR_MAX];

	(void)state;
	assert_true(stream_shake(&before));
	request(&before, 1);
	assert_int_equal(sip_stack_reload_tls(f.stack, &next, error), 0);
	request(&before, 2);
	after = stream_connect(&f, SIP_TRANSPORT_TLS, context);
	assert_true(stream_shake(&after));
	request(&after, 3);
	assert_true(shows(&before, 0));
	assert_true(shows(&after, 2));
	stream_close(&after);
	/* what cannot be read changes nothing */
	assert_int_equal(sip_stack_reload_tls(f.stack, &mixed, error), -EINVAL);
	assert_non_null(strstr(error, f.key[2]));
	assert_int_equal(sip_stack_reload_tls(f.stack, &absent, error), -EINVAL);
	assert_non_null(strstr(error, "/nonexistent"));
	after = stream_connect(&f, SIP_TRANSPORT_TLS, context);
	assert_true(stream_shake(&after));
	assert_true(shows(&after, 2));
	stream_close(&after);
	stream_close(&before);
	SSL_CTX_free(context);
}

static void sessions_are_resumed(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	(void)state;
	for (uint64_t i = 0; i < 2; i++) {
		SSL_CTX *context = client(versions[i], -1);
		struct stream_peer first = stream_connect(&f, SIP_TRANSPORT_TLS, context);
		struct stream_peer second;
		SSL_SESSION *session;

		assert_true(stream_shake(&first));
		request(&first, 1);
		session = SSL_get1_session(first.tls);
		second = stream_connect(&f, SIP_TRANSPORT_TLS, context);
		SSL_set_session(second.tls, session);
		assert_true(stream_shake(&second));
		request(&second, 2);
		assert_int_equal(SSL_session_reused(second.tls), 1);
		assert_int_equal(stream_counter(&f, SIP_COUNTER_tls_resumed), i + 1);
		SSL_SESSION_free(session);
		stream_close(&first);
		stream_close(&second);
		SSL_CTX_free(context);
	}
}

/* ---- as client ---- */

static uint32_t final;

static void on_response(void *owner, struct sip_transaction *t, uint32_t status,
			const struct sip_message *response)
{
	(void)owner;
	(void)t;
	(void)response;
	final = status;
}

/* What an OPTIONS from another stack to ours ends with. ca: pair that it trusts, -1 = no CA. */
static uint32_t caller_gets(int ca, const char *name, uint32_t times)
{
	static const char *const listen[] = {"tls:127.0.0.1:0"};
	static const struct sip_stack_user nobody;
	struct sip_tls_config tls = {.certificate = f.certificate[1],
				     .key = f.key[1],
				     .ca = ca < 0 ? NULL : f.certificate[ca]};
	struct sip_stack_config config = {
		.loop = f.loop, .listen = listen, .listen_count = 1, .tls = &tls, .user = &nobody};
	struct sip_request_start start = {
		.method = SIP_METHOD_OPTIONS,
		.uri = sip_text_of("sips:b@example.com"),
		.from = sip_text_of("<sip:a@example.com>"),
		.from_tag = sip_text_of("tag"),
		.to = sip_text_of("<sip:b@example.com>"),
		.call_id = sip_text_of("x"),
		.cseq = 1,
		.flow = {.transport = SIP_TRANSPORT_TLS},
	};
	struct sip_text none = {NULL, 0};
	struct sip_request request_out;
	struct sip_stack *caller;
	char error[SIP_STACK_ERROR_MAX];
	char buffer[4096];

	assert_int_equal(sip_stack_create(&caller, &config, error), 0);
	assert_int_equal(address_parse(&start.flow.remote.address, "127.0.0.1", 9), 0);
	start.flow.remote.port = sip_stack_port(f.stack, SIP_TRANSPORT_TLS, false);
	if (name)
		sip_stack_expect_tls_name(caller, &start.flow.remote, sip_text_of(name));
	for (uint32_t i = 0; i < times; i++) {
		final = 0;
		assert_int_equal(
			sip_request_begin(&request_out, caller, &start, buffer, sizeof(buffer)), 0);
		sip_put_contact(&request_out.builder, &request_out.flow, none, NULL);
		assert_non_null(strstr(buffer, "Via: SIP/2.0/TLS 127.0.0.1:"));
		assert_non_null(strstr(buffer, "Contact: <sips:127.0.0.1:"));
		assert_int_equal(
			sip_request_send(&request_out, NULL, none, on_response, NULL, NULL), 0);
		for (int round = 0; round < 400 && final == 0; round++)
			loop_once(f.loop, 5);
	}
	assert_true(sip_stack_counter(caller, SIP_COUNTER_connections_opened) <= 1);
	sip_stack_destroy(caller);
	stream_turn(&f);
	return final;
}

static void servers_are_verified_when_there_is_a_ca(void **state)
{
	(void)state;
	assert_int_equal(caller_gets(-1, NULL, 1), 200);
	assert_int_equal(caller_gets(0, NULL, 1), 200); /* by its address */
	assert_int_equal(caller_gets(0, "localhost", 1), 200);
	assert_int_equal(caller_gets(0, "sip.example.net", 1), 503);
	assert_int_equal(caller_gets(2, NULL, 1), 503);
	assert_int_equal(stream_connections(&f), 0);
}

static void connection_is_used_again(void **state)
{
	(void)state;
	assert_int_equal(caller_gets(0, NULL, 3), 200);
	assert_int_equal(stream_counter(&f, SIP_COUNTER_connections_accepted), 1);
	assert_int_equal(f.requests, 3);
}

static void what_cannot_be_read_is_named_at_the_start(void **state)
{
	static const char *const listen[] = {"tls:127.0.0.1:0"};
	static const struct sip_stack_user nobody;
	struct sip_tls_config tls = {.certificate = "/nonexistent", .key = "/nonexistent"};
	struct sip_stack_config config = {
		.loop = f.loop, .listen = listen, .listen_count = 1, .tls = &tls, .user = &nobody};
	struct sip_stack *stack = NULL;
	char error[SIP_STACK_ERROR_MAX];

	(void)state;
	assert_int_equal(sip_stack_create(&stack, &config, error), -EINVAL);
	assert_non_null(strstr(error, "certificate /nonexistent"));
	tls = (struct sip_tls_config){.certificate = f.certificate[0], .key = f.certificate[0]};
	assert_int_equal(sip_stack_create(&stack, &config, error), -EINVAL);
	assert_non_null(strstr(error, "key "));
	tls = (struct sip_tls_config){.certificate = f.certificate[0],
				      .key = f.key[0],
				      .verify_clients = SIP_VERIFY_CLIENTS_REQUIRE};
	assert_int_equal(sip_stack_create(&stack, &config, error), -EINVAL);
	assert_non_null(strstr(error, "without ca"));
	config.tls = NULL;
	assert_int_equal(sip_stack_create(&stack, &config, error), -ENOKEY);
	assert_non_null(strstr(error, "no certificate is configured"));
	assert_null(stack);
}

static void certificate_is_made_once_and_only_for_its_owner(void **state)
{
	struct stat of_key;
	struct stat of_certificate;
	char host[256];
	char cert[512];
	char key[512];
	FILE *file;
	X509 *made;

	(void)state;
	snprintf(cert, sizeof(cert), "%s/tls/certificate.pem", f.directory);
	snprintf(key, sizeof(key), "%s/tls/key.pem", f.directory);
	assert_int_equal(sip_certificate_make(cert, key), 1);
	assert_int_equal(sip_certificate_make(cert, key), 0);
	assert_int_equal(stat(key, &of_key), 0);
	assert_int_equal(stat(cert, &of_certificate), 0);
	assert_int_equal(of_key.st_mode & 07777, 0600);
	assert_int_equal(of_certificate.st_mode & 07777, 0600);
	file = fopen(cert, "r");
	made = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	assert_non_null(made);
	assert_int_equal(gethostname(host, sizeof(host)), 0);
	assert_int_equal(X509_check_host(made, host, 0, 0, NULL), 1);
	assert_int_equal(X509_check_ip_asc(made, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(made, "192.0.2.1", 0), 0);
	assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(made)), 256);
	X509_free(made);
	/* one of the two is gone: both are made again */
	unlink(key);
	assert_int_equal(sip_certificate_make(cert, key), 1);
	assert_int_equal(sip_certificate_make("/proc/nonexistent/c", "/proc/nonexistent/k"),
			 -ENOENT);
	unlink(key);
	unlink(cert);
	snprintf(key, sizeof(key), "%s/tls", f.directory);
	rmdir(key);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(versions_1_2_and_1_3_only),
		T(weak_ciphers_are_refused),
		T(messages_split_anywhere_are_put_together),
		T(many_messages_in_one_write_are_all_answered),
		T(peer_that_reads_late_gets_all_that_was_queued),
		T(renegotiation_is_refused),
		T(handshake_that_is_not_finished_ends_after_30_s),
		T(plain_sip_on_the_tls_port_ends_the_connection),
		T(connections_beyond_the_share_of_one_address_are_refused),
		cmocka_unit_test(client_certificates_are_asked_for_as_configured),
		T(reload_shows_the_new_certificate_and_keeps_connections),
		T(sessions_are_resumed),
		T(servers_are_verified_when_there_is_a_ca),
		T(connection_is_used_again),
		T(what_cannot_be_read_is_named_at_the_start),
		T(certificate_is_made_once_and_only_for_its_owner),
	};

	return cmocka_run_group_tests_name("sip tls", tests, NULL, NULL);
}

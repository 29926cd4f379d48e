/* The fixture of the TLS and WebSocket tests. */
#include "tests/unit/sip/stream_peer.h"

#include "control/sip/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 400 /* of at most 5 ms */

static void on_request(void *user, struct sip_transaction *t, struct sip_dialog *dialog,
		       const struct sip_message *request)
{
	struct stream_fixture *f = user;

	(void)dialog;
	f->seen = request->flow;
	f->requests++;
	sip_reply(t, 200, NULL);
}

static void on_cancelled(void *user, struct sip_transaction *t, const struct sip_message *cancel)
{
	(void)user;
	(void)t;
	(void)cancel;
}

static void on_acknowledged(void *user, struct sip_dialog *dialog, const struct sip_message *ack)
{
	(void)user;
	(void)dialog;
	(void)ack;
}

static void on_unacknowledged(void *user, struct sip_dialog *dialog)
{
	(void)user;
	(void)dialog;
}

static const struct sip_stack_user user = {on_request, on_cancelled, on_acknowledged,
					   on_unacknowledged};

void stream_start(struct stream_fixture *f, enum sip_verify_clients verify, const char *ca)
{
	static const char *const listen[] = {"tls:127.0.0.1:0", "ws:127.0.0.1:0",
					     "wss:127.0.0.1:0"};
	struct sip_tls_config tls = {.verify_clients = verify};
	struct sip_stack_config config = {.listen = listen,
					  .listen_count = 3,
					  .tls = &tls,
					  .connections = STREAM_CONNECTIONS,
					  .user = &user,
					  .user_argument = f};
	char error[SIP_STACK_ERROR_MAX];

	signal(SIGPIPE, SIG_IGN);
	memset(f, 0, sizeof(*f));
	strcpy(f->directory, "/tmp/sip-tls-test-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	for (int i = 0; i < 3; i++) {
		snprintf(f->certificate[i], STREAM_PATH_MAX, "%s/c%d.pem", f->directory, i);
		snprintf(f->key[i], STREAM_PATH_MAX, "%s/k%d.pem", f->directory, i);
		assert_int_equal(sip_certificate_make(f->certificate[i], f->key[i]), 1);
	}
	tls.certificate = f->certificate[0];
	tls.key = f->key[0];
	tls.ca = ca ? ca : verify != SIP_VERIFY_CLIENTS_NONE ? f->certificate[1] : NULL;
	assert_int_equal(loop_create(&f->loop), 0);
	config.loop = f->loop;
	if (sip_stack_create(&f->stack, &config, error) != 0)
		fail_msg("%s", error);
}

void stream_stop(struct stream_fixture *f)
{
	sip_stack_destroy(f->stack);
	loop_destroy(f->loop);
	for (int i = 0; i < 3; i++) {
		unlink(f->certificate[i]);
		unlink(f->key[i]);
	}
	rmdir(f->directory);
}

void stream_turn(struct stream_fixture *f)
{
	for (int i = 0; i < 20; i++)
		loop_once(f->loop, 1);
}

uint64_t stream_counter(const struct stream_fixture *f, enum sip_counter counter)
{
	return sip_stack_counter(f->stack, counter);
}

uint32_t stream_connections(const struct stream_fixture *f)
{
	struct sip_stack_levels levels;

	sip_stack_levels(f->stack, &levels);
	return levels.connections;
}

struct stream_peer stream_connect(struct stream_fixture *f, enum sip_transport_kind kind,
				  SSL_CTX *context)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(sip_stack_port(f->stack, kind, false)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct stream_peer peer = {.f = f};

	peer.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(peer.fd >= 0);
	assert_int_equal(connect(peer.fd, (struct sockaddr *)&to, sizeof(to)), 0);
	if (context) {
		struct timeval none = {.tv_usec = 1};

		/* reads return at once, writes may wait: nobody else fills the buffers */
		setsockopt(peer.fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
		peer.tls = SSL_new(context);
		assert_non_null(peer.tls);
		assert_int_equal(SSL_set_fd(peer.tls, peer.fd), 1);
		SSL_set_connect_state(peer.tls);
	}
	return peer;
}

bool stream_shake(struct stream_peer *peer)
{
	for (int i = 0; i < ROUNDS; i++) {
		int result = SSL_do_handshake(peer->tls);

		if (result == 1) {
			stream_turn(peer->f);
			return true;
		}
		if (SSL_get_error(peer->tls, result) != SSL_ERROR_WANT_READ)
			return false;
		loop_once(peer->f->loop, 5);
	}
	return false;
}

void stream_write(struct stream_peer *peer, const void *bytes, size_t n)
{
	if (peer->tls)
		assert_int_equal(SSL_write(peer->tls, bytes, (int)n), n);
	else
		assert_int_equal(send(peer->fd, bytes, n, MSG_NOSIGNAL), n);
}

int stream_read(struct stream_peer *peer, void *bytes, size_t n)
{
	ssize_t got;

	if (peer->tls) {
		int result = SSL_read(peer->tls, bytes, (int)n);

		if (result > 0)
			return result;
		return SSL_get_error(peer->tls, result) == SSL_ERROR_WANT_READ ? 0 : -1;
	}
	got = recv(peer->fd, bytes, n, MSG_DONTWAIT);
	if (got > 0)
		return (int)got;
	return got < 0 && errno == EAGAIN ? 0 : -1;
}

const char *stream_expect(struct stream_peer *peer, const char *expected)
{
	static char bytes[70000];
	size_t n = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int got = stream_read(peer, bytes + n, sizeof(bytes) - 1 - n);

		n += got > 0 ? (size_t)got : 0;
		bytes[n] = '\0';
		if (got < 0 || (expected && memmem(bytes, n, expected, strlen(expected))))
			return bytes;
		loop_once(peer->f->loop, 5);
	}
	fail_msg("nothing came but \"%s\"", bytes);
	return NULL;
}

void stream_close(struct stream_peer *peer)
{
	SSL_free(peer->tls);
	close(peer->fd);
}

/*
 * One stack with stream transports on real loopback sockets, and raw peers of it: plain or TLS, one
 * thread, one loop. Certificates are made in a folder of the test's own.
 */
#pragma once

#include "control/sip/stack.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define STREAM_PATH_MAX    128
#define STREAM_CONNECTIONS 8

struct stream_fixture {
	struct loop *loop;
	struct sip_stack *stack;
	char directory[STREAM_PATH_MAX];
	/* Three self-signed pairs; each is its own CA. */
	char certificate[3][STREAM_PATH_MAX];
	char key[3][STREAM_PATH_MAX];
	struct sip_flow seen; /* of the last request */
	uint32_t requests;
};

/* A stack that answers every request 200, on tls, ws and wss (IPv4, any port), shows pair 0. */
void stream_start(struct stream_fixture *f, enum sip_verify_clients verify, const char *ca);
void stream_stop(struct stream_fixture *f);
/* Turns the loop some times. */
void stream_turn(struct stream_fixture *f);
uint64_t stream_counter(const struct stream_fixture *f, enum sip_counter counter);
uint32_t stream_connections(const struct stream_fixture *f);

struct stream_peer {
	struct stream_fixture *f;
	int fd;
	SSL *tls; /* NULL: plain */
};

/* Connected, but without handshake. context NULL: plain. */
struct stream_peer stream_connect(struct stream_fixture *f, enum sip_transport_kind kind,
				  SSL_CTX *context);
/* True when the handshake succeeded on this side. */
bool stream_shake(struct stream_peer *peer);
void stream_write(struct stream_peer *peer, const void *bytes, size_t n);
/* Bytes that came now; 0 = none yet, -1 = the far end closed or failed. */
int stream_read(struct stream_peer *peer, void *bytes, size_t n);
/* Reads until `expected` came or the end; expected NULL: until the end. Terminated, static. */
const char *stream_expect(struct stream_peer *peer, const char *expected);
void stream_close(struct stream_peer *peer);

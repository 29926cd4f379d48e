/*
 * TLS 1.2 and 1.3 as the byte layer of a connection (RFC 3261 26.3, RFC 5922, RFC 8446). OpenSSL
 * works on the socket directly; it is asked when the socket is ready, and says what it waits for.
 * Writing to a socket that the peer closed raises SIGPIPE: the process ignores that signal.
 */
#include "control/sip/tls.h"

#include "control/sip/connection.h"
#include "dataplane/base/log.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define REMOTES    256 /* remembered far ends that we open connections to */
#define HOST_SIZE  256
#define CIPHERS    "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AESCCM:!aNULL:!eNULL"
#define SESSION_ID "tandem sip"

/* A far end: its last session, and the name that its certificate has to bear. */
struct tls_remote {
	struct endpoint at; /* port 0 = empty */
	SSL_SESSION *session;
	char host[HOST_SIZE]; /* empty: its address */
};

struct tls_contexts {
	SSL_CTX *server;  /* TLS: asks for certificates as configured */
	SSL_CTX *browser; /* WSS: never does */
	SSL_CTX *client;
	bool verify; /* a CA is configured */
};

struct tls_context {
	struct tls_contexts now;
	struct tls_remote remotes[REMOTES];
	struct log_limit failures;
};

/* ---- contexts ---- */

static const char *tls_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	ERR_clear_error();
	return reason ? reason : "refused";
}

static int session_keep(SSL *ssl, SSL_SESSION *session);

static SSL_CTX *context_new(const SSL_METHOD *method)
{
	SSL_CTX *made = SSL_CTX_new(method);

	if (!made)
		return NULL;
	SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(made, CIPHERS);
	SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					  SSL_OP_CIPHER_SERVER_PREFERENCE |
					  SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				       SSL_MODE_RELEASE_BUFFERS);
	/* Tickets carry a server's sessions: nothing is kept here. */
	SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(made, (const unsigned char *)SESSION_ID,
				       sizeof(SESSION_ID) - 1);
	return made;
}

static int context_identify(SSL_CTX *context, const struct sip_tls_config *config,
			    char error[SIP_STACK_ERROR_MAX])
{
	if (SSL_CTX_use_certificate_chain_file(context, config->certificate) != 1) {
		snprintf(error, SIP_STACK_ERROR_MAX, "certificate %s: %s", config->certificate,
			 tls_reason());
		return -EINVAL;
	}
	if (SSL_CTX_use_PrivateKey_file(context, config->key, SSL_FILETYPE_PEM) != 1) {
		snprintf(error, SIP_STACK_ERROR_MAX, "key %s: %s", config->key, tls_reason());
		return -EINVAL;
	}
	return 0;
}

static int context_trust(SSL_CTX *context, const char *ca, char error[SIP_STACK_ERROR_MAX])
{
	if (!ca || SSL_CTX_load_verify_locations(context, ca, NULL) == 1)
		return 0;
	snprintf(error, SIP_STACK_ERROR_MAX, "ca %s: %s", ca, tls_reason());
	return -EINVAL;
}

static void contexts_free(struct tls_contexts *contexts)
{
	SSL_CTX_free(contexts->server);
	SSL_CTX_free(contexts->browser);
	SSL_CTX_free(contexts->client);
	*contexts = (struct tls_contexts){0};
}

/* What we show to clients, and what we ask of them. */
static int server_make(struct tls_contexts *contexts, const struct sip_tls_config *config,
		       char error[SIP_STACK_ERROR_MAX])
{
	int rc = context_identify(contexts->server, config, error);
	int mode = SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE;

	rc = rc ? rc : context_identify(contexts->browser, config, error);
	rc = rc ? rc : context_trust(contexts->server, config->ca, error);
	if (rc < 0 || config->verify_clients == SIP_VERIFY_CLIENTS_NONE)
		return rc;
	if (!config->ca) {
		snprintf(error, SIP_STACK_ERROR_MAX,
			 "client certificates cannot be verified without ca");
		return -EINVAL;
	}
	if (config->verify_clients == SIP_VERIFY_CLIENTS_REQUIRE)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(contexts->server, mode, NULL);
	SSL_CTX_set_client_CA_list(contexts->server, SSL_load_client_CA_file(config->ca));
	return 0;
}

static int contexts_make(struct tls_contexts *contexts, const struct sip_tls_config *config,
			 char error[SIP_STACK_ERROR_MAX])
{
	int rc;

	*contexts = (struct tls_contexts){
		.server = context_new(TLS_server_method()),
		.browser = context_new(TLS_server_method()),
		.client = context_new(TLS_client_method()),
		.verify = config->ca,
	};
	ERR_clear_error();
	snprintf(error, SIP_STACK_ERROR_MAX, "no memory");
	rc = contexts->server && contexts->browser && contexts->client ? 0 : -ENOMEM;
	rc = rc ? rc : server_make(contexts, config, error);
	rc = rc ? rc : context_identify(contexts->client, config, error);
	rc = rc ? rc : context_trust(contexts->client, config->ca, error);
	if (rc < 0) {
		contexts_free(contexts);
		return rc;
	}
	if (contexts->verify)
		SSL_CTX_set_verify(contexts->client, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(contexts->client,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(contexts->client, session_keep);
	return 0;
}

int tls_context_create(struct tls_context **out, const struct sip_tls_config *config,
		       char error[SIP_STACK_ERROR_MAX])
{
	struct tls_context *tls = calloc(1, sizeof(*tls));
	int rc = tls ? contexts_make(&tls->now, config, error) : -ENOMEM;

	if (rc < 0) {
		free(tls);
		return rc;
	}
	*out = tls;
	return 0;
}

static void sessions_forget(struct tls_context *tls)
{
	for (int i = 0; i < REMOTES; i++) {
		SSL_SESSION_free(tls->remotes[i].session);
		tls->remotes[i].session = NULL;
	}
}

int tls_context_reload(struct tls_context *tls, const struct sip_tls_config *config,
		       char error[SIP_STACK_ERROR_MAX])
{
	struct tls_contexts next;
	int rc = contexts_make(&next, config, error);

	if (rc < 0)
		return rc;
	contexts_free(&tls->now);
	tls->now = next;
	/* they were made under the old rules */
	sessions_forget(tls);
	return 0;
}

void tls_context_destroy(struct tls_context *tls)
{
	if (!tls)
		return;
	sessions_forget(tls);
	contexts_free(&tls->now);
	free(tls);
}

/* ---- far ends ---- */

/* Direct mapped: a newer one takes the place of an older. */
static struct tls_remote *remote_slot(struct sip_stack *stack, struct tls_context *tls,
				      const struct endpoint *at)
{
	struct siphash hash;
	uint64_t word[2];

	siphash_init(&hash, &stack->hash_key);
	siphash_add(&hash, at->address.ip, sizeof(at->address.ip));
	siphash_add(&hash, &at->port, sizeof(at->port));
	siphash_finish(&hash, word);
	return &tls->remotes[word[0] % REMOTES];
}

static struct tls_remote *remote_find(struct sip_stack *stack, const struct endpoint *at)
{
	struct tls_remote *remote = remote_slot(stack, stack->tls, at);

	return endpoint_equal(&remote->at, at) ? remote : NULL;
}

static struct tls_remote *remote_take(struct sip_stack *stack, const struct endpoint *at)
{
	struct tls_remote *remote = remote_slot(stack, stack->tls, at);

	if (!endpoint_equal(&remote->at, at)) {
		SSL_SESSION_free(remote->session);
		*remote = (struct tls_remote){.at = *at};
	}
	return remote;
}

void sip_stack_expect_tls_name(struct sip_stack *stack, const struct endpoint *remote,
			       struct sip_text host)
{
	struct tls_remote *its;

	if (!stack->tls || host.n >= HOST_SIZE)
		return;
	its = remote_take(stack, remote);
	if (strlen(its->host) != host.n || memcmp(its->host, host.at, host.n) != 0) {
		SSL_SESSION_free(its->session);
		its->session = NULL;
	}
	sip_text_copy(host, its->host, sizeof(its->host));
}

static int session_keep(SSL *ssl, SSL_SESSION *session)
{
	struct connection *c = SSL_get_app_data(ssl);
	struct tls_remote *remote = remote_take(c->stack, &c->flow.remote);

	SSL_SESSION_free(remote->session);
	remote->session = session;
	return 1;
}

/* ---- the byte layer ---- */

/* The certificate has to bear the name that was asked for, or the address (RFC 5922 7.2). */
static int verify_name(SSL *ssl, const struct endpoint *at, const struct tls_remote *remote)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	bool v4 = address_is_v4(&at->address);

	if (remote && remote->host[0])
		return SSL_set1_host(ssl, remote->host) == 1 ? 0 : -ENOMEM;
	return X509_VERIFY_PARAM_set1_ip(param, v4 ? at->address.ip + 12 : at->address.ip,
					 v4 ? 4 : 16) == 1
		       ? 0
		       : -ENOMEM;
}

static int client_begin(struct connection *c, const struct tls_contexts *contexts)
{
	const struct tls_remote *remote = remote_find(c->stack, &c->flow.remote);
	SSL *ssl = c->tls;

	SSL_set_connect_state(ssl);
	if (remote && remote->host[0])
		SSL_set_tlsext_host_name(ssl, remote->host);
	if (remote && remote->session)
		SSL_set_session(ssl, remote->session);
	return contexts->verify ? verify_name(ssl, &c->flow.remote, remote) : 0;
}

static int tls_begin(struct connection *c)
{
	const struct tls_contexts *contexts = &c->stack->tls->now;

	c->tls = SSL_new(c->opened                                ? contexts->client
			 : c->flow.transport == SIP_TRANSPORT_WSS ? contexts->browser
								  : contexts->server);
	if (!c->tls || SSL_set_fd(c->tls, c->watch.fd) != 1)
		return -ENOMEM;
	SSL_set_app_data(c->tls, c);
	if (c->opened)
		return client_begin(c, contexts);
	SSL_set_accept_state(c->tls);
	return 0;
}

/* What OpenSSL's result means: 0 = wait, for what is in wants. */
static int tls_outcome(struct connection *c, int result)
{
	switch (SSL_get_error(c->tls, result)) {
	case SSL_ERROR_WANT_READ:
		c->wants = c->shaking ? EPOLLIN : 0;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		c->wants = EPOLLOUT;
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return -ECONNRESET;
	case SSL_ERROR_SYSCALL:
		return errno != 0 ? -errno : -ECONNRESET;
	default:
		return -EPROTO;
	}
}

/* A far end of ours that fails is the operator's affair; strangers are counted only. */
static void handshake_failed(struct connection *c)
{
	long verified = SSL_get_verify_result(c->tls);
	char at[ENDPOINT_TEXT_MAX];
	uint32_t suppressed;

	count(c->stack, SIP_COUNTER_tls_handshakes_failed);
	if (!c->opened || !log_allowed(&c->stack->tls->failures, 1, &suppressed))
		return;
	log_warn("tls to %s: %s", endpoint_text(&c->flow.remote, at),
		 verified != X509_V_OK ? X509_verify_cert_error_string(verified) : tls_reason());
}

static int tls_shake(struct connection *c)
{
	int rc = c->tls ? 0 : tls_begin(c);
	int result;

	if (rc < 0)
		return rc;
	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(c->tls);
	if (result == 1) {
		count(c->stack, SIP_COUNTER_tls_handshakes);
		if (SSL_session_reused(c->tls))
			count(c->stack, SIP_COUNTER_tls_resumed);
		return 1;
	}
	rc = tls_outcome(c, result);
	if (rc < 0)
		handshake_failed(c);
	return rc;
}

static ssize_t tls_read(struct connection *c, char *bytes, uint32_t n)
{
	int got;
	int rc;

	ERR_clear_error();
	errno = 0;
	got = SSL_read(c->tls, bytes, (int)n);
	if (got > 0)
		return got;
	rc = tls_outcome(c, got);
	return rc == 0 ? -EAGAIN : rc;
}

/* Reading may have left a wish (the answer to a key update): writing does not take it away. */
static ssize_t tls_write(struct connection *c, const char *bytes, uint32_t n)
{
	uint32_t wants = c->wants;
	int sent;
	int rc;

	ERR_clear_error();
	errno = 0;
	sent = SSL_write(c->tls, bytes, (int)n);
	if (sent > 0)
		return sent;
	rc = tls_outcome(c, sent);
	c->wants = wants;
	return rc == 0 ? -EAGAIN : rc;
}

static bool tls_is_pending(const struct connection *c)
{
	return SSL_pending(c->tls) > 0;
}

static void tls_close(struct connection *c)
{
	if (!c->tls)
		return;
	if (SSL_is_init_finished(c->tls))
		SSL_shutdown(c->tls);
	SSL_free(c->tls);
	c->tls = NULL;
	ERR_clear_error();
}

const struct connection_bytes_ops connection_bytes_tls = {
	.shake = tls_shake,
	.read = tls_read,
	.write = tls_write,
	.is_pending = tls_is_pending,
	.close = tls_close,
};

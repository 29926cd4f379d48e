/*
 * The SIP stack of one thread: transports, transactions and dialogs behind one object. It knows
 * nothing of calls: what a request means is its user's affair.
 *
 *   sockets -> transport -> message -> transaction -> user (b2bua)
 *                              |            |   ^
 *                              |            +-- dialog (table, CSeq, ACK, 2xx retransmission)
 *                              +-> 400/505/... for what is broken, counters
 */
#pragma once

#include "control/sip/dialog.h"
#include "control/sip/message.h"
#include "control/sip/transaction.h"
#include "control/sip/transport.h"

#include "dataplane/base/loop.h"

struct sip_stack;

/* All functions are called in the loop's thread. Messages live only during the call. */
struct sip_stack_user {
	/* A new request (never ACK or CANCEL). dialog is the one it belongs to, or NULL. What the
	 * stack has decided before: broken messages, retransmissions, unknown dialogs (481), CSeq
	 * out of order (500). The user answers now or later, once finally, also methods and
	 * extensions that it does not know (405, 501, 420). */
	void (*request)(void *user, struct sip_transaction *transaction, struct sip_dialog *dialog,
			const struct sip_message *request);
	/* CANCEL for an INVITE that has no final response yet; the CANCEL is answered already. The
	 * user gives a final response to transaction (487), now or later. */
	void (*cancelled)(void *user, struct sip_transaction *transaction,
			  const struct sip_message *cancel);
	/* The ACK of a 2xx of ours came (with the answer, if we made the offer). */
	void (*acknowledged)(void *user, struct sip_dialog *dialog, const struct sip_message *ack);
	/* No ACK came within 64*T1: the user should send BYE (13.3.1.4). */
	void (*unacknowledged)(void *user, struct sip_dialog *dialog);
};

enum sip_verify_clients {
	SIP_VERIFY_CLIENTS_NONE,     /* they are not asked */
	SIP_VERIFY_CLIENTS_OPTIONAL, /* asked; a certificate that is wrong ends the handshake */
	SIP_VERIFY_CLIENTS_REQUIRE,
};

/* TLS 1.2 and 1.3, as server and as client. Files in PEM. */
struct sip_tls_config {
	const char *certificate; /* chain, ours first */
	const char *key;
	/* NULL: far ends that we connect to are not verified. Otherwise their certificates have to
	 * come from it and bear the name (sip_stack_expect_tls_name) or the address. */
	const char *ca;
	enum sip_verify_clients verify_clients; /* TLS only: browsers (WSS) are never asked */
};

struct sip_stack_config {
	struct loop *loop;          /* NULL: no sockets, timers is used (tests) */
	struct timer_wheel *timers; /* only without loop */
	const char *const *listen;  /* "udp:0.0.0.0:5060", "tcp:[::]:5060"; tls, ws, wss */
	uint32_t listen_count;
	const struct sip_tls_config *tls; /* NULL: no tls, no wss; read at creation only */
	uint32_t transactions;            /* most at once, finished ones included; 0 = 65536 */
	uint32_t dialogs;                 /* most at once; 0 = 16384 */
	uint32_t connections;             /* most streams at once; 0 = 4096 */
	uint32_t idle_timeout_s;          /* streams without traffic are closed; 0 = 3700 */
	const char *server; /* product for Server / User-Agent; NULL = no such header */
	const struct sip_stack_user *user; /* must outlive the stack */
	void *user_argument;
};

/* Opens the listening sockets. On failure -errno, and error (SIP_STACK_ERROR_MAX bytes) tells which
 * text of listen and why. Installs itself as the loop's after-round hook (batched sends); who needs
 * the hook takes it afterwards and calls sip_stack_flush() in it. */
#define SIP_STACK_ERROR_MAX 256
int sip_stack_create(struct sip_stack **stack, const struct sip_stack_config *config,
		     char error[SIP_STACK_ERROR_MAX]);
/* Ends everything silently: no callbacks. Dialogs that the user has not destroyed are destroyed. */
void sip_stack_destroy(struct sip_stack *stack);
void sip_stack_flush(struct sip_stack *stack);
uint64_t sip_stack_now_ms(const struct sip_stack *stack);
/* Reads certificate, key and CA again, for connections from now on; those that are there go on. On
 * failure (-errno, error says why) all stays as it was. -ENOTSUP without TLS at creation. */
int sip_stack_reload_tls(struct sip_stack *stack, const struct sip_tls_config *tls,
			 char error[SIP_STACK_ERROR_MAX]);
/* The name that the certificate at that address has to bear, from the URI that led there; forgotten
 * when many others are said later, so it is said before each request to a name. Copied. */
void sip_stack_expect_tls_name(struct sip_stack *stack, const struct endpoint *remote,
			       struct sip_text host);

/* Adds a transport row (fakes of tests; the real ones are there when listen names them). */
int sip_stack_add_transport(struct sip_stack *stack, const struct sip_transport_ops *ops,
			    const char *listen, struct sip_transport **transport);
/* Port that is listened on for that transport and family, 0 = none (listen with port 0). */
uint16_t sip_stack_port(const struct sip_stack *stack, enum sip_transport_kind kind, bool v6);
/* True if the address is one of the host's that we listen on with that port (any transport): "is
 * this request for us?" */
bool sip_stack_is_local(struct sip_stack *stack, const struct address *address, uint16_t port);

/* Counters, each with a name that says what is counted. */
/* clang-format off */
#define SIP_COUNTERS(X) \
	X(received) X(sent) X(received_bytes) X(sent_bytes) \
	X(requests) X(responses) X(keepalives) \
	X(parse_errors) X(parse_error_start_line) X(parse_error_header) X(parse_error_mandatory) \
	X(parse_error_length) X(parse_error_version) X(parse_error_limit) \
	X(parse_error_unanswerable) X(stream_broken) X(requests_retransmitted) \
	X(responses_retransmitted) X(retransmissions_received) X(responses_unmatched) \
	X(acks_unmatched) X(cancels_unmatched) X(dialogs_unmatched) \
	X(cseq_out_of_order) X(forked_2xx_declined) X(transactions_full) X(dialogs_full) \
	X(connections_full) X(connections_refused) X(send_errors) X(send_full) X(timeouts) \
	X(transport_failures) X(unacknowledged) X(connections_opened) X(connections_accepted) \
	X(connections_closed) X(no_memory) \
	X(tls_handshakes) X(tls_handshakes_failed) X(tls_resumed) X(ws_opened) X(ws_refused) \
	X(ws_broken) X(ws_origins) X(stun_requests) X(stun_refused) \
	X(not_admitted) X(calls_shed)
/* clang-format on */

#define SIP_COUNTER_ENUM(name) SIP_COUNTER_##name,
enum sip_counter { SIP_COUNTERS(SIP_COUNTER_ENUM) SIP_COUNTER_COUNT };
#undef SIP_COUNTER_ENUM

const char *sip_counter_name(enum sip_counter counter);
uint64_t sip_stack_counter(const struct sip_stack *stack, enum sip_counter counter);
/* Right now. */
struct sip_stack_levels {
	uint32_t transactions_live; /* not yet finished */
	uint32_t transactions;      /* with tombstones */
	uint32_t dialogs;
	uint32_t connections;
};
void sip_stack_levels(const struct sip_stack *stack, struct sip_stack_levels *levels);

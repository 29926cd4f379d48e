/*
 * Transactions (RFC 3261 17, RFC 6026), matched by a 128-bit keyed hash of branch, sent-by and
 * method (RFC 2543 peers: of Request-URI, From tag, Call-ID, CSeq and Via). The user sees:
 *
 *   server   stack->user->request() -> reply 1xx* -> reply final
 *            The pointer is the user's until it has given a final response (or 487 was asked for by
 *            cancelled(), and given). Everything after that (retransmissions, ACK, timers) is done
 *            here.
 *   client   sip_request_send() -> response(1xx)* -> response(final), exactly one final
 *            408 with message == NULL is a timeout, 503 a transport failure, both made here. The
 *            pointer is gone when the final response has been delivered. Further 2xx of an INVITE
 *            are handled here: retransmitted ones get the dialog's ACK again, those of other
 *            branches get ACK and BYE.
 *
 * Finished transactions cost one struct (SIP_TOMBSTONE_SIZE_MAX) until their last timer.
 */
#pragma once

#include "control/sip/builder.h"
#include "control/sip/message.h"

struct sip_stack;
struct sip_dialog;
struct sip_transaction;

#define SIP_TOMBSTONE_SIZE_MAX 256

#define SIP_T1_MS 500
#define SIP_T2_MS 4000
#define SIP_T4_MS 5000

#define SIP_TAG_SIZE    17 /* 16 characters and NUL */
#define SIP_BRANCH_SIZE 32 /* z9hG4bK, 24 characters, NUL */

/* ---- server side ---- */

/* A response under construction: begin writes status line and the copied headers, the user adds its
 * own with sip_put_*(&response.builder, ...), send adds the body and sends. */
struct sip_response {
	struct sip_builder builder;
	struct sip_transaction *transaction;
	uint32_t status;
};

/* buffer is the caller's and has to live until send. reason NULL = standard. Responses above 100
 * carry the transaction's To tag. */
void sip_response_begin(struct sip_response *response, struct sip_transaction *transaction,
			uint32_t status, const char *reason, char *buffer, uint32_t size);
/* body empty: no body. -ENOSPC if the buffer was too small (nothing was sent: answer 500 with
 * sip_reply), -EALREADY if a final response was given before. A failure to send is not an error
 * here: the peer retransmits. A 2xx to INVITE needs a dialog (sip_dialog_create_uas, or the one the
 * re-INVITE came in) and is retransmitted until its ACK comes. */
int sip_response_send(struct sip_response *response, const char *content_type,
		      struct sip_text body);
/* The plain response without headers of its own. */
int sip_reply(struct sip_transaction *transaction, uint32_t status, const char *reason);

/* The tag that responses of this server transaction get in To; at == NULL when the request had one
 * (in a dialog). */
struct sip_text sip_server_tag(const struct sip_transaction *transaction);
enum sip_method sip_transaction_method(const struct sip_transaction *transaction);
const struct sip_flow *sip_transaction_flow(const struct sip_transaction *transaction);
/* The user's pointer; request() sets it, cancelled() reads it. */
void sip_transaction_set_owner(struct sip_transaction *transaction, void *owner);
void *sip_transaction_owner(const struct sip_transaction *transaction);

/* ---- client side ---- */

/* response: status with the message, or with NULL when made here (408 timeout, 503 transport). The
 * message lives only during the call. */
typedef void sip_response_function(void *owner, struct sip_transaction *transaction,
				   uint32_t status, const struct sip_message *response);

/* A request under construction: sip_request_begin (outside of dialogs) or sip_dialog_request_begin
 * writes the start line and what RFC 3261 8.1.1 / 12.2.1.1 demand, the user adds its own, send adds
 * the body and starts the transaction. */
struct sip_request {
	struct sip_builder builder;
	struct sip_stack *stack;
	struct sip_dialog *dialog; /* or NULL */
	struct sip_flow flow;
	enum sip_method method;
	struct sip_text method_text; /* in the buffer */
	struct sip_text branch;      /* likewise */
};

/* What a request outside of a dialog is made of. Texts are copied. */
struct sip_request_start {
	enum sip_method method;
	const char *method_text; /* only for SIP_METHOD_UNKNOWN */
	struct sip_text uri;     /* Request-URI */
	struct sip_text from;    /* name-addr without tag: "\"A\" <sip:a@h>" */
	struct sip_text from_tag;
	struct sip_text to;
	struct sip_text call_id;
	uint32_t cseq;
	uint32_t max_forwards; /* 0 = 70 */
	struct sip_text route; /* value of a Route header or empty */
	struct sip_flow flow;  /* transport and remote at least */
};

/* -errno of sip_flow_resolve(); then nothing was begun. */
int sip_request_begin(struct sip_request *request, struct sip_stack *stack,
		      const struct sip_request_start *start, char *buffer, uint32_t size);
/* Starts the client transaction and sends. -ENOSPC (buffer), -ENOBUFS (transaction table full),
 * -errno of the transport; no callback comes after an error. response is never called from inside
 * here. transaction may be NULL. */
int sip_request_send(struct sip_request *request, const char *content_type, struct sip_text body,
		     sip_response_function *response, void *owner,
		     struct sip_transaction **transaction);
/* CANCEL (RFC 3261 9.1): sent at once if a provisional response has come, else when it comes. The
 * INVITE's final response (487, or a 2xx that crossed) still arrives, 408 after 64*T1 if not. */
void sip_client_cancel(struct sip_transaction *transaction);
/* The user loses interest: response() is not called again. An INVITE is cancelled first if it is
 * still open, and a 2xx that arrives nevertheless gets ACK and BYE. */
void sip_client_forget(struct sip_transaction *transaction);

/*
 * Dialogs (RFC 3261 12): what two ends remember of each other. A dialog is found by (Call-ID, local
 * tag, remote tag); its state is plain text and numbers, so that it can be written to the journal
 * and restored (sip_dialog_save, sip_dialog_restore).
 *
 *              1xx with tag                2xx
 *   (none) ------------------> EARLY -----------------> CONFIRMED ---> destroyed by its owner
 *     |                                                     ^
 *     +-------------------------- 2xx ----------------------+
 */
#pragma once

#include "control/sip/message.h"
#include "control/sip/transaction.h"

#include "dataplane/base/list.h"
#include "dataplane/base/timer.h"

struct sip_stack;

enum sip_dialog_state { SIP_DIALOG_EARLY, SIP_DIALOG_CONFIRMED };

enum sip_dialog_text {
	SIP_DIALOG_CALL_ID,
	SIP_DIALOG_LOCAL_TAG,
	SIP_DIALOG_REMOTE_TAG,    /* empty: RFC 2543 peer */
	SIP_DIALOG_LOCAL_URI,     /* name-addr of From (UAC) or To (UAS) without tag */
	SIP_DIALOG_REMOTE_URI,    /* likewise of the other end */
	SIP_DIALOG_REMOTE_TARGET, /* URI of the peer's Contact */
	SIP_DIALOG_ROUTE_SET,     /* in order of use: "<sip:p1;lr>, <sip:p2;lr>" */
	SIP_DIALOG_LOCAL_CONTACT, /* user part of our Contact */
	SIP_DIALOG_TEXTS
};

/* The user reads; only this module writes, owner apart. */
struct sip_dialog {
	struct sip_dialog *hash_next;
	uint64_t hash;
	struct sip_stack *stack;
	void *owner; /* the user's */

	enum sip_dialog_state state;
	bool secure;    /* sips (12.1.1) */
	bool initiator; /* we sent the INVITE that made it */
	bool remote_cseq_known;
	uint32_t local_cseq;  /* last used by us */
	uint32_t remote_cseq; /* last seen */
	struct sip_flow flow; /* where requests to the peer go, and our end */
	struct sip_text texts[SIP_DIALOG_TEXTS];
	char *text_block;
	struct list transactions; /* open ones in it */
	bool follow;              /* requests go back the way the peer's messages come */
	bool declined;            /* a 2xx that nobody wanted: the stack's own, for a while */

	/* Our 2xx to an INVITE, until its ACK (13.3.1.4). */
	struct timer accept_timer;
	char *accept_bytes;
	uint32_t accept_n;
	uint32_t accept_cseq;
	uint32_t accept_interval_ms;
	uint64_t accept_give_up_ms;
	struct sip_flow accept_flow;

	/* Our ACK to a 2xx, sent again for each of its retransmissions (13.2.2.4). */
	char *ack_bytes;
	uint32_t ack_n;
	uint32_t ack_cseq;
	struct sip_flow ack_flow;
};

/* UAS: from a request that may form a dialog; the local tag is the transaction's. contact_user is
 * the user part for our Contact (see sip_dialog_put_contact). The transaction is tied to the
 * dialog: a 2xx confirms it. -EINVAL if the request has no usable Contact, -ENOBUFS if the dialog
 * table is full, -ENOMEM. The owner destroys it. */
int sip_dialog_create_uas(struct sip_stack *stack, struct sip_transaction *transaction,
			  const struct sip_message *request, struct sip_text contact_user,
			  struct sip_dialog **dialog);
/* UAC: from a response 101-299 with a To tag to our INVITE (or SUBSCRIBE, REFER): early for 1xx,
 * confirmed for 2xx. flow is the one the request went to (sip_transaction_flow). Same errors. */
int sip_dialog_create_uac(struct sip_stack *stack, const struct sip_message *response,
			  const struct sip_flow *flow, struct sip_text contact_user,
			  struct sip_dialog **dialog);
/* A further response in the same dialog: a 2xx confirms (route set and target are computed anew,
 * 13.2.2.4), and a target refresh (re-INVITE, UPDATE) moves the remote target. */
int sip_dialog_update(struct sip_dialog *dialog, const struct sip_message *message);
/* Requests to the peer go over this flow whatever its Contact says: for a peer that is known to sit
 * behind NAT. (What can be seen from one message, a Via or Contact that is not where the message
 * came from, is acted on without this.) */
void sip_dialog_set_flow(struct sip_dialog *dialog, const struct sip_flow *flow);
void sip_dialog_destroy(struct sip_dialog *dialog);

/* NULL if there is none. Tags as seen from us. */
struct sip_dialog *sip_dialog_find(struct sip_stack *stack, struct sip_text call_id,
				   struct sip_text local_tag, struct sip_text remote_tag);

/* Request line, Via, Route, Max-Forwards, From, To, Call-ID, CSeq (local_cseq + 1), Contact (for
 * target refreshes and SUBSCRIBE): loose and strict routing (12.2.1.1). To be finished with
 * sip_request_send(). CANCEL goes through sip_client_cancel, ACK through sip_dialog_ack. */
int sip_dialog_request_begin(struct sip_request *request, struct sip_dialog *dialog,
			     enum sip_method method, const char *method_text, char *buffer,
			     uint32_t size);
/* ACK for the 2xx with that CSeq; kept, and sent again when the 2xx comes again. body empty: none.
 */
int sip_dialog_ack(struct sip_dialog *dialog, uint32_t cseq, const char *content_type,
		   struct sip_text body);
/* Our Contact header for responses and requests of this dialog. */
void sip_dialog_put_contact(struct sip_builder *b, const struct sip_dialog *dialog);
/* True while a 2xx of ours waits for its ACK. */
bool sip_dialog_is_accepting(const struct sip_dialog *dialog);

/* Plain, versioned, machine-independent bytes of everything but owner and pending 2xx/ACK. save
 * returns the size or -ENOSPC; restore enters it into the stack's table, -EINVAL for bytes that are
 * none. */
int sip_dialog_save(const struct sip_dialog *dialog, void *out, size_t size);
int sip_dialog_restore(struct sip_stack *stack, const void *bytes, size_t n,
		       struct sip_dialog **dialog);

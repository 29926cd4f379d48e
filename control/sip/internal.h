/* What the files of the stack know of each other; not for its users. */
#pragma once

#include "control/sip/siphash.h"
#include "control/sip/stack.h"
#include "control/sip/watch.h"

#include <assert.h>

#define SIP_LISTENERS_MAX    16
#define SIP_ROUTE_CACHE_SIZE 256 /* remembered local addresses, a power of two */

enum transaction_kind { TRANSACTION_SERVER, TRANSACTION_CLIENT };

/*
 * server INVITE   PROCEEDING -> COMPLETED (3xx-6xx) -> CONFIRMED (ACK)
 *                            -> ACCEPTED (2xx)
 * server other    TRYING -> PROCEEDING (1xx) -> COMPLETED
 * client INVITE   CALLING -> PROCEEDING (1xx) -> COMPLETED (3xx-6xx) | ACCEPTED (2xx)
 * client other    TRYING -> PROCEEDING (1xx) -> COMPLETED
 */
enum transaction_state {
	TRANSACTION_CALLING,
	TRANSACTION_TRYING,
	TRANSACTION_PROCEEDING,
	TRANSACTION_COMPLETED, /* this and what follows: a tombstone */
	TRANSACTION_CONFIRMED,
	TRANSACTION_ACCEPTED,
};

struct transaction_key {
	uint64_t word[2];
};

struct sip_transaction {
	struct sip_transaction *hash_next;
	struct transaction_key key;
	struct sip_stack *stack;
	struct timer timer;      /* the earlier of the next retransmission and the deadline */
	uint64_t retransmit_ms;  /* 0 = none */
	uint64_t deadline_ms;    /* 0 = none */
	uint32_t interval_ms;    /* of retransmissions */
	uint8_t kind;            /* enum transaction_kind */
	uint8_t state;           /* enum transaction_state */
	uint8_t method;          /* enum sip_method */
	bool own_tag : 1;        /* server: To had no tag, ours is appended */
	bool cancel_wanted : 1;  /* client INVITE: as soon as a provisional response is there */
	bool cancel_sent : 1;    /* client INVITE */
	bool cancelled : 1;      /* server INVITE: CANCEL was seen */
	bool rebuilt : 1;        /* server tombstone: response had nothing of its own */
	uint16_t status;         /* last sent or received */
	uint16_t record_route_n; /* server: length of the Record-Route lines in skeleton */
	uint32_t cseq;           /* server */
	uint32_t bytes_n;
	uint32_t skeleton_n;
	char *bytes;    /* client: request, then ACK; server: last response */
	char *skeleton; /* server: what every response copies, To last */
	struct sip_flow flow;
	void *owner;
	sip_response_function *response; /* client */
	struct sip_dialog *dialog;
	struct list dialog_node; /* in dialog->transactions while dialog is set */
	struct list stream_node; /* client over a stream: in stack->stream_clients */
	union {
		char tag[SIP_TAG_SIZE]; /* server: own To tag */
		uint64_t winner;        /* client: hash of the To tag of the first 2xx */
	};
};

static_assert(sizeof(struct sip_transaction) <= SIP_TOMBSTONE_SIZE_MAX, "tombstone too large");

struct transaction_chunk {
	struct transaction_chunk *next;
	struct sip_transaction transactions[63];
};

struct transport_row {
	const struct sip_transport_ops *ops; /* NULL = not there */
	struct sip_transport *transport;
	struct endpoint listeners[SIP_LISTENERS_MAX];
	uint32_t listeners_count;
};

struct route_entry {
	struct address remote;
	struct address local;
	uint64_t until_ms; /* 0 = empty */
};

struct tls_context;

struct sip_stack {
	const struct sip_stack_user *user;
	void *user_argument;
	struct loop *loop;
	struct timer_wheel *timers;
	char *server;
	struct tls_context *tls; /* NULL: not configured */
	uint32_t connections_max;
	uint32_t idle_timeout_s;

	struct siphash_key hash_key;
	struct siphash_key token_key;
	uint64_t tokens; /* made so far */

	struct transport_row rows[SIP_TRANSPORTS];
	struct route_entry routes[SIP_ROUTE_CACHE_SIZE];

	struct sip_transaction **transactions;
	uint32_t transactions_mask;
	uint32_t transactions_max;
	uint32_t transactions_count;
	uint32_t transactions_live;
	struct sip_transaction *transactions_free;
	struct transaction_chunk *chunks;
	struct list stream_clients;

	struct sip_dialog **dialogs;
	uint32_t dialogs_mask;
	uint32_t dialogs_max;
	uint32_t dialogs_count;
	uint64_t dialogs_made; /* ever */

	uint32_t connections;
	uint64_t counters[SIP_COUNTER_COUNT];
	struct sip_watch watch;
	uint64_t delay_us; /* of the youngest burst of datagrams, and when that was */
	uint64_t delay_ms;
	char scratch[SIP_MESSAGE_SIZE_MAX]; /* for messages that the stack makes itself */
	struct sip_message message;         /* the one being received */
};

static inline void count(struct sip_stack *stack, enum sip_counter counter)
{
	stack->counters[counter]++;
}

/* ---- stack.c ---- */

#define SIP_TOKEN_CHARACTERS 24
/* n <= SIP_TOKEN_CHARACTERS characters that nobody can guess, and NUL. */
void stack_token(struct sip_stack *stack, char *out, uint32_t n);
/* Sends over the flow's transport and counts. */
int stack_send(struct sip_stack *stack, struct sip_flow *flow, const char *bytes, uint32_t n);
/* A response without transaction (RFC 3261 8.2.7). retry_after_s 0 = no such header. */
void stack_reply_stateless(struct sip_stack *stack, const struct sip_message *request,
			   uint32_t status, const char *reason, uint32_t retry_after_s);
/* Where responses to the request go (RFC 3261 18.2.2, RFC 3581). */
struct sip_flow stack_response_flow(const struct sip_message *request);

/* ---- watch.c ---- */

static inline bool watch_admits(const struct sip_stack *stack, const struct address *source,
				bool opening)
{
	return !stack->watch.admits || stack->watch.admits(stack->watch.arg, source, opening);
}
/* A burst of datagrams is here whose first came to the socket then (CLOCK_REALTIME). */
void stack_note_arrival(struct sip_stack *stack, uint64_t arrived_ns);

/* ---- table.c ---- */

/* NULL when the table is full or memory is (both counted). Zeroed, linked by its key. */
struct sip_transaction *transaction_add(struct sip_stack *stack, const struct transaction_key *key);
struct sip_transaction *transaction_find(struct sip_stack *stack,
					 const struct transaction_key *key);
void transaction_free(struct sip_transaction *t);
void transaction_tie(struct sip_transaction *t, struct sip_dialog *dialog);
void transaction_untie(struct sip_transaction *t);
/* Key of the server transaction that a request belongs to; ACK and CANCEL find the INVITE with
 * method INVITE. */
void transaction_server_key(const struct sip_stack *stack, const struct sip_message *request,
			    struct sip_text method, struct transaction_key *key);
void transaction_client_key(const struct sip_stack *stack, struct sip_text branch,
			    struct sip_text method, struct transaction_key *key);
/* Starts the timer for what is due first; 0 in both stops it. */
void transaction_schedule(struct sip_transaction *t);
/* Frees bytes and skeleton, keeps the rest. */
void transaction_shrink(struct sip_transaction *t);
/* Copies; -ENOMEM leaves nothing. */
int transaction_keep(struct sip_transaction *t, const char *bytes, uint32_t n);
bool transaction_is_finished(const struct sip_transaction *t);
/* From live to finished: counts and forgets the owner. */
void transaction_finish(struct sip_transaction *t, enum transaction_state state);

/* ---- server.c, client.c ---- */

void server_request(struct sip_stack *stack, const struct sip_message *request);
void server_expired(struct sip_transaction *t, uint64_t now_ms);
void client_response(struct sip_stack *stack, const struct sip_message *response);
void client_expired(struct sip_transaction *t, uint64_t now_ms);
void client_failed(struct sip_transaction *t);
/* Via line of ours for that flow. Returns the branch, in the buffer. */
struct sip_text client_put_via(struct sip_builder *b, struct sip_stack *stack,
			       const struct sip_flow *flow);
void put_product(struct sip_builder *b, const struct sip_stack *stack, const char *header);

/* ---- dialog.c, dialog_send.c ---- */

/* Request in a dialog, ACK included: what the dialog thinks of its CSeq. */
bool dialog_accepts_cseq(struct sip_dialog *dialog, const struct sip_message *request);
/* The peer's message came by this flow: follow it where the dialog has nothing better. */
void dialog_follow(struct sip_dialog *dialog, const struct sip_message *message);
/* Sends the 2xx again until its ACK comes. -ENOMEM. */
int dialog_accept(struct sip_dialog *dialog, const struct sip_transaction *t, const char *bytes,
		  uint32_t n, uint32_t cseq);
void dialog_acknowledged(struct sip_dialog *dialog, const struct sip_message *ack);
/* The 2xx came again: so does the ACK. */
void dialog_repeat_ack(struct sip_dialog *dialog, uint32_t cseq);
/* ACK and BYE for a 2xx that nobody wants. */
void dialog_decline(struct sip_stack *stack, const struct sip_message *response,
		    const struct sip_flow *flow);
void dialog_accept_stop(struct sip_dialog *dialog);
void dialog_accept_expired(struct timer *timer, uint64_t now_ms);
/* A dialog with these texts (copied), in the table; stack, texts and hash are set. */
int dialog_make(struct sip_stack *stack, const struct sip_text texts[SIP_DIALOG_TEXTS],
		struct sip_dialog **dialog);

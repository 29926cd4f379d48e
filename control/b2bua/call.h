/*
 * A call from inside the B2BUA: its legs, its state, and the functions of the files beside this
 * one. Nobody outside of this folder includes it.
 *
 *   OFFERING --ng offer--> RINGING --2xx--> ANSWERING --ng answer--> UP
 *      |                     |                  |                     |
 *      +---------------------+------------------+---------------------+--> ENDING --> freed
 *
 * ENDING lasts until the dataplane has given its statistics (then the CDR is written) and both
 * parties have answered their BYE.
 */
#pragma once

#include "control/b2bua/b2bua.h"
#include "control/b2bua/guard.h"
#include "control/b2bua/overload.h"
#include "control/sip/auth.h"
#include "control/sip/stack.h"
#include "dataplane/base/list.h"
#include "dataplane/base/log.h"

#define B2BUA_ALLOW      "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, REGISTER"
#define B2BUA_BUFFER     8192 /* for a message without body */
#define B2BUA_SDP_MAX    32768
#define B2BUA_RETRY_S    5 /* Retry-After with 503 */
#define B2BUA_AUDIT_MS   30000
#define B2BUA_RELAYS_MAX 8 /* requests under way from one leg to the other, per call */

enum call_phase {
	CALL_OFFERING,
	CALL_RINGING,
	CALL_ANSWERING,
	CALL_UP,
	CALL_ENDING,
};

/* One party: its dialog, what is under way in it, and what it last agreed to. */
struct leg {
	struct list node; /* callee side: in call->branches */
	struct call *call;
	struct sip_dialog *dialog;        /* NULL: not yet, or over */
	struct sip_transaction *invite;   /* its INVITE (server side) or ours (client side) */
	struct sip_transaction *reinvite; /* server side, of this party, without final response */
	struct sip_transaction *outgoing; /* client side: our re-INVITE to this party */
	struct sip_transaction *bye;      /* client side */
	struct sip_flow flow;
	char *target;   /* Request-URI, until the INVITE is out */
	char *call_id;  /* of our INVITE; the caller's is in its dialog */
	char *sdp;      /* as last agreed; terminated */
	char *sdp_next; /* as offered in the exchange under way */
	uint32_t sdp_n;
	uint32_t sdp_next_n;
	bool is_caller;
	bool nat;          /* what its SDP says of addresses is not to be believed */
	bool held;         /* it has put the other side on hold */
	bool held_next;    /* what held becomes when the exchange under way succeeds */
	bool late;         /* it asked for an offer: the ACK of our 2xx brings its answer */
	uint32_t ack_cseq; /* of its 2xx with an offer, whose ACK waits for the answer; 0 = none */
	struct outbound *outbound; /* over a trunk; NULL = to a phone */
	bool bye_wanted;           /* BYE goes out when the ACK of our 2xx has come (RFC 3261 15) */
};

struct call {
	struct list node; /* in b2bua->calls */
	struct call *hash_next;
	uint32_t hash; /* of the caller's Call-ID */
	struct b2bua *b2bua;
	enum call_phase phase;
	struct leg caller;
	struct list branches; /* of struct leg: everyone who is rung; the winner alone after */
	struct leg *callee;   /* the branch that answered */
	struct leg *early;    /* the branch whose early media the caller hears */
	struct timer timer;   /* ring time, then audit */
	struct list media;    /* ng requests under way */
	struct list relays;   /* requests passed from one leg to the other */
	uint32_t relays_count;
	uint16_t best_status;  /* of the branches that failed */
	uint16_t provisional;  /* last one given to the caller */
	uint16_t early_status; /* that early media goes with */
	uint16_t final_status; /* given to the caller; 0 = none yet */
	uint32_t max_forwards;
	uint32_t board_slot;
	bool echo;
	bool late;      /* the INVITE had no offer */
	bool anchored;  /* the dataplane has a session to delete */
	bool accounted; /* the CDR is written */
	bool counted;   /* in calls_live */
	enum ended_by ended_by;
	const char *cause; /* literal */
	const char *tag;   /* of the session's first offerer, there as long as it is; literal */
	uint64_t started_ns;
	uint64_t ringing_ns;
	uint64_t answered_ns;
	uint64_t ended_ns;
	struct cdr_media from_caller;
	struct cdr_media from_callee;
	char id[UUID_TEXT_MAX];
	char recording_id[UUID_TEXT_MAX];
	char caller_user[EXCHANGE_EXTENSION_MAX];
	char caller_name[BOARD_NAME_MAX];
	char dialled[EXCHANGE_EXTENSION_MAX];
	char destination[EXCHANGE_EXTENSION_MAX];
	const struct exchange_trunk *trunk; /* it came in over; NULL = from one of ours */
	struct identity *identity; /* what was said of the caller; NULL = nothing special */
	const char *reason;        /* literal: of a 503 to the caller, or NULL */
	char *callee_call_id;      /* for the CDR */
	char *caller_call_id;
	char source[40 + ENDPOINT_TEXT_MAX]; /* "udp:192.0.2.7:5060", behind "TRUNK/" */
};

/* ng deletes for calls of an earlier life. */
struct abandoned {
	struct list node;
	struct b2bua *b2bua;
	struct timer timer;
	uint32_t tries;
	char id[UUID_TEXT_MAX];
};

struct b2bua {
	struct b2bua_options options;
	struct sip_stack *stack;
	struct sip_auth *auth;
	struct sip_digest *digest; /* of credentials for trunks */
	struct timer_wheel *timers;
	struct board_counters *counters;
	struct ng_arena *arena; /* of the ng request that is being built */
	struct list calls;
	struct call **by_call_id;
	uint32_t by_call_id_mask;
	uint32_t live;
	struct list abandoned;
	struct bans *bans;
	struct trace *trace; /* or NULL */
	struct overload overload;
	struct log_limit ban_log;
	struct log_limit auth_log;
	struct log_limit media_log;
	bool stopping;
	struct timer stop_timer;
	uint64_t stop_at_ms;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

static inline void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- b2bua.c ---- */

/* Answers without a body; headers is further header lines ("A: b\r\n...") or NULL. */
void reply(struct sip_transaction *transaction, uint32_t status, const char *reason,
	   const char *headers);
void reply_busy(struct sip_transaction *transaction, const char *reason); /* 503 + Retry-After */
uint64_t b2bua_now_ms(const struct b2bua *b2bua);

/* ---- call.c ---- */

struct call *call_create(struct b2bua *b2bua, const struct sip_message *request);
/* Writes down where the INVITE came from. */
void call_source(struct call *call, const struct sip_flow *flow);
/* A branch of the call; NULL without memory. */
struct leg *leg_add(struct call *call);
void leg_free(struct leg *leg); /* a branch: leaves the call; CANCEL if its INVITE is open */
void leg_drop_dialog(struct leg *leg);
/* The exchange under way succeeded: what was offered is what is agreed. */
void leg_agree(struct leg *leg);
/* The leg's other side; NULL when there is none (yet, or an echo). */
struct leg *leg_other(const struct leg *leg);
/* Ends the call for everyone: final response or BYE to the caller, CANCEL or BYE to the callees, ng
 * delete, CDR. status is what a caller without a final response gets. cause is a literal. Once
 * begun, further calls do nothing. */
void call_end(struct call *call, enum ended_by by, uint32_t status, const char *cause);
/* Frees an ENDING call when nothing is under way any more. The call may be gone afterwards. */
void call_settle(struct call *call);
void call_destroy(struct call *call);
/* The journal and the board learn of the call's state. */
void call_moved(struct call *call);
struct call *call_find_id(struct b2bua *b2bua, const char *id);
/* An INVITE of the same From tag, Call-ID and CSeq is under way (RFC 3261 8.2.2.2). */
bool call_is_merged(struct b2bua *b2bua, const struct sip_message *request);
int text_keep(char **field, uint32_t *n, const char *text, size_t len);

/* ---- cdr.c ---- */

void call_cdr(const struct call *call, struct cdr *cdr);
void call_account(struct call *call);
void call_show(struct call *call);

/* ---- digest.c ---- */

/* The user whose credentials the request carries, or NULL after the refusal (401/407, 403, 400) was
 * sent. claimed is the name that the request speaks for: From of an INVITE, To of a REGISTER. */
const struct exchange_user *digest_check(struct b2bua *b2bua, struct sip_transaction *transaction,
					 const struct sip_message *request,
					 struct sip_text claimed);

/* ---- invite.c ---- */

void invite_received(struct b2bua *b2bua, struct sip_transaction *transaction,
		     const struct sip_message *request);
/* Nobody answered; or, once the call is up, it is time to ask the dataplane about it. */
void call_timer_expired(struct timer *timer, uint64_t now_ms);
/* Sends the INVITE of this branch with the SDP. -errno: the branch is out. */
int invite_send(struct leg *leg, struct sip_text sdp);
/* False and refused with 415 or 413 when there is a body that is not an SDP of sensible size. */
bool body_is_sdp(struct sip_transaction *transaction, const struct sip_message *request);

/* ---- answer.c ---- */

void invite_answered(void *owner, struct sip_transaction *transaction, uint32_t status,
		     const struct sip_message *response);
/* All branches are out: the best failure goes to the caller. */
void branches_exhausted(struct call *call);
/* The dataplane has anchored the answer: 2xx to the caller, recording. */
void call_answer(struct call *call, struct sip_text sdp);
void call_ring(struct call *call, uint32_t status, struct sip_text sdp);
/* The message's SDP; empty without one. */
struct sip_text sdp_of(const struct sip_message *message);

/* ---- bye.c ---- */

void bye_received(struct leg *leg, struct sip_transaction *transaction);
/* The ACK of our 2xx came, or will not come any more: a BYE that waited for it goes out. */
void bye_due(struct leg *leg);
/* BYE to this party, if it has a dialog that is up and none was sent. */
void bye_send(struct leg *leg);
void caller_cancelled(struct call *call);

/* ---- reinvite.c ---- */

void reinvite_received(struct leg *leg, struct sip_transaction *transaction,
		       const struct sip_message *request);
/* The leg is going away: what is under way is answered. */
void reinvite_drop(struct leg *leg);
struct media_result;
void reinvite_answered(void *owner, struct sip_transaction *transaction, uint32_t status,
		       const struct sip_message *response);
/* The final answer to this party's open re-INVITE; nothing when there is none. */
void reinvite_refuse(struct leg *leg, uint32_t status, const char *reason);
void reinvite_accept(struct leg *leg, struct sip_text sdp);
bool sdp_is_hold(struct sip_text sdp); /* who says this puts the other side on hold */
void reinvite_echoed(struct call *call, const struct media_result *result);

/* ---- late.c ---- */

/* The callee's 2xx to an INVITE without offer: has its dialog, brings the offer. */
void late_answered(struct leg *callee, const struct sip_message *response);
/* re-INVITE without offer from this party. */
void late_reinvite(struct leg *leg);
/* The other party's 2xx to that. */
void late_accepted(struct leg *offerer, const struct sip_message *response);
/* The ACK of a party that owes us an answer. */
void late_acknowledged(struct leg *leg, const struct sip_message *ack);

/* ---- relay.c ---- */

/* Passes INFO on to the other leg and its answer back. */
void relay_received(struct leg *leg, struct sip_transaction *transaction,
		    const struct sip_message *request);
void relay_drop_all(struct call *call);

/* ---- echo.c ---- */

/* The answer of a party that wants to hear itself: every audio line of the offer accepted, all
 * else refused; the address means nothing. Returns its length, -EINVAL, -ENOSPC. */
int echo_sdp(struct sip_text offer, char *out, size_t size);
void echo_start(struct call *call);
void echo_restart(struct call *call); /* re-INVITE of the caller */

/* ---- outbound.c: trunks ---- */

/* The branch of a call over a trunk that the exchange has given for it. -errno: given back. */
int outbound_begin(struct call *call, const struct exchange_route *route);
/* Sends its INVITE with the SDP, to the first place that takes it. -errno: there is none. */
int outbound_send(struct leg *leg, struct sip_text sdp);
/* After a final response: true when the INVITE went out again, with credentials or to the next
 * place (RFC 3263 4.3). */
bool outbound_again(struct leg *leg, uint32_t status, const struct sip_message *response);
/* User part of our Contact in this leg's dialog. */
const char *outbound_contact(const struct leg *leg);
void outbound_drop(struct leg *leg);

/* ---- identity.c ---- */

/* What the INVITE says of the caller beyond From (RFC 3323, RFC 3325, RFC 5806, RFC 7044). */
void identity_take(struct call *call, const struct sip_message *request);
/* The caller as a trunk names it: P-Asserted-Identity from a trusted one, else From; written
 * terminated to user and name. */
void identity_of(const struct sip_message *request, bool trusted, char user[EXCHANGE_EXTENSION_MAX],
		 char name[BOARD_NAME_MAX]);
bool identity_is_private(const struct call *call);
/* Headers for a party who may know: P-Asserted-Identity, Privacy, Diversion, History-Info. */
void identity_put(const struct call *call, struct sip_builder *b, const struct endpoint *local);
/* From's value for a caller who does not want to be known. */
#define IDENTITY_ANONYMOUS "\"Anonymous\" <sip:anonymous@anonymous.invalid>"

/* ---- registration.c ---- */

void register_received(struct b2bua *b2bua, struct sip_transaction *transaction,
		       const struct sip_message *request);

/* ---- media.c: ng ---- */

/* SDP of the reply, or empty with status and reason set to what the SIP side should be told. */
struct media_result {
	struct sip_text sdp;
	uint32_t status;
	const char *reason;
};
typedef void media_fn(struct call *call, struct leg *leg, const struct media_result *result);

/* from offers/answers; the SDP that comes back is for `to` (NULL: the echo's other side) and shows
 * the address that we have towards it. -errno: done() will not be called. */
int media_offer(struct call *call, struct leg *from, struct leg *to, struct sip_text sdp,
		media_fn *done);
int media_answer(struct call *call, struct leg *from, struct leg *to, struct sip_text sdp,
		 media_fn *done);
/* After the answer is refused or lost: the dataplane goes back to what both last agreed on. */
void media_rollback(struct call *call, struct leg *offerer, struct leg *answerer);
void media_record(struct call *call);
/* Its end brings the statistics; then the call is accounted and settled. */
void media_delete(struct call *call);
/* Ends the call when the dataplane does not know it any more. */
void media_audit(struct call *call);
void media_forget(struct call *call);
void media_forget_leg(struct leg *leg);
/* Stops trying. */
void media_abandon_all(struct b2bua *b2bua);

/*
 * The B2BUA: every call is two dialogs of ours with a media session between them.
 *
 *   caller <--- dialog ---> [ call: leg | ng session | leg ] <--- dialog ---> callee
 *
 * It owns the SIP stack, asks the exchange (control/pbx) where numbers lead, the dataplane (ng) for
 * media, and tells the ledger (journal) what happened. One thread: the loop's.
 */
#pragma once

#include "control/b2bua/bans.h"
#include "control/b2bua/board.h"
#include "control/b2bua/exchange.h"
#include "control/b2bua/trace.h"
#include "control/tiers/journal_record.h"
#include "dataplane/api/ng_client.h"
#include "dataplane/base/loop.h"

struct b2bua;
struct sip_stack;
struct sip_tls_config;
struct sip_transport_ops;

/* How ng requests leave: the ng client, or a fake in tests. The contract of ng_client_send and
 * ng_client_forget. */
struct b2bua_media {
	int (*send)(void *arg, const struct ng_value *request, ng_reply_fn *replied, void *owner);
	void (*forget)(void *arg, void *owner);
	bool (*is_connected)(void *arg);
	void *arg;
};

/* Where call records go. */
struct b2bua_ledger {
	void (*call)(void *arg, enum journal_call_state state, const struct cdr *so_far);
	void (*cdr)(void *arg, const struct cdr *cdr); /* exactly once per call */
	void *arg;
};

struct b2bua_options {
	struct loop *loop;          /* NULL: no sockets, `timers` is used (tests) */
	struct timer_wheel *timers; /* only without loop */
	const char *const *listen;
	uint32_t listen_count;
	const struct sip_tls_config *tls; /* read at creation only; NULL = no tls, no wss */
	const char *realm;
	bool hide_sha256;          /* challenge with MD5 only */
	bool hide_md5;             /* challenge with SHA-256 only */
	bool record;               /* start a recording for every answered call */
	uint32_t ring_timeout_s;   /* then the callee is cancelled and the caller gets 480 */
	uint32_t calls;            /* most at once */
	uint32_t calls_per_second; /* more are refused at once; 0 = any number */
	uint32_t delay_limit_ms;   /* new calls are refused when messages wait longer; 0 = never */
	struct bans_options bans;
	const char *const *allow; /* networks that are never banned */
	uint32_t allow_count;
	size_t trace_bytes;    /* of the ring of messages; 0 = none is kept */
	uint32_t transactions; /* most at once, those that are over included; 0 = 262144 */
	struct exchange *exchange;
	struct board *board;
	struct b2bua_media media;
	struct b2bua_ledger ledger;
};

/* Opens the listening sockets. What options point at must outlive the B2BUA. -errno, and error
 * (256 bytes) tells why. */
int b2bua_create(struct b2bua **b2bua, const struct b2bua_options *options, char error[256]);
/* Refuses new calls, ends all that are up (BYE, cause "shutdown") and calls stopped() once, when
 * the last has its CDR and its BYEs are answered, or after wait_ms. */
void b2bua_stop(struct b2bua *b2bua, uint32_t wait_ms, void (*stopped)(void *arg), void *arg);
/* Calls that are left get their CDR. */
void b2bua_destroy(struct b2bua *b2bua);

/* Ends the call's media session in the dataplane; tried again until the dataplane answers. For
 * calls of an earlier life. */
void b2bua_abandon_media(struct b2bua *b2bua, const char *call_id);

/* Only in the loop's thread, as all of these: bans as control/b2bua/bans.h has them. for_s 0 =
 * until lifted. */
int b2bua_ban(struct b2bua *b2bua, const struct address *source, uint64_t for_s);
int b2bua_ban_lift(struct b2bua *b2bua, const struct address *source);
void b2bua_each_ban(struct b2bua *b2bua, void (*each)(void *arg, const struct bans_view *view),
		    void *arg);
/* A trunk's address: never banned. -ENOSPC. */
int b2bua_never_ban(struct b2bua *b2bua, const struct address *source);
/* There is a registration in force from there (restored ones; new ones are seen here). */
void b2bua_trust(struct b2bua *b2bua, const struct address *source, uint64_t for_s);

/* What is known of a call's messages: control/b2bua/trace.h. */
int b2bua_trace(struct b2bua *b2bua, const char *key, struct trace_view **views);

struct sip_stack *b2bua_stack(struct b2bua *b2bua);
/* Copies the stack's counters ("sip_..." names) through each(). Only in the loop's thread. */
void b2bua_each_counter(struct b2bua *b2bua,
			void (*each)(void *arg, const char *name, uint64_t value), void *arg);

/*
 * The board: what other threads may see of live calls and registrations. A bounded table of plain
 * structs, one seqlock per slot. The SIP thread is the only writer and never waits; readers (HTTP
 * threads) copy a slot and try again when it changed under them.
 *
 *   writer: version odd -> words -> version even        reader: version, words, version again
 */
#pragma once

#include "control/tiers/journal_record.h"
#include "dataplane/base/address.h"
#include "dataplane/base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BOARD_PARTY_MAX   64
#define BOARD_NAME_MAX    64
#define BOARD_AOR_MAX     128
#define BOARD_CONTACT_MAX 256
#define BOARD_AGENT_MAX   64

/* All texts are terminated and may be cut; times are CLOCK_REALTIME ns, 0 = has not happened. */
struct call_view {
	char id[UUID_TEXT_MAX];           /* UUIDv7, also the CDR's id and the ng call-id */
	char recording_id[UUID_TEXT_MAX]; /* "" = not recorded */
	char caller[BOARD_PARTY_MAX];     /* extension */
	char caller_name[BOARD_NAME_MAX];
	char callee[BOARD_PARTY_MAX];      /* as dialled */
	char destination[BOARD_PARTY_MAX]; /* who is rung or was reached; "" = nobody yet */
	char source[ENDPOINT_TEXT_MAX];    /* where the INVITE came from */
	uint32_t state;                    /* enum journal_call_state */
	uint32_t held;                     /* 1 = a party has put the call on hold */
	uint64_t started_ns;
	uint64_t ringing_ns;
	uint64_t answered_ns;
};

struct registration_view {
	char aor[BOARD_AOR_MAX];         /* "1001" */
	char contact[BOARD_CONTACT_MAX]; /* the URI as registered */
	char source[ENDPOINT_TEXT_MAX];  /* where the REGISTER came from */
	char transport[8];               /* "udp", "tcp" */
	char user_agent[BOARD_AGENT_MAX];
	uint64_t registered_ns; /* of the first REGISTER of this binding */
	uint64_t expires_ns;
};

/* Counters since start; each written by the SIP thread only, read relaxed by anyone. */
struct board_counters {
	_Atomic uint64_t calls; /* INVITEs accepted for processing */
	_Atomic uint64_t calls_answered;
	_Atomic uint64_t calls_failed;  /* ended without answer, whatever the reason */
	_Atomic uint64_t calls_refused; /* 503: limit, dataplane away, stopping */
	_Atomic uint64_t calls_live;    /* now */
	_Atomic uint64_t calls_peak;
	_Atomic uint64_t registers;        /* REGISTER requests that were answered 200 */
	_Atomic uint64_t registrations;    /* bindings now */
	_Atomic uint64_t auth_failed;      /* credentials that were wrong */
	_Atomic uint64_t ng_failed;        /* ng requests that failed or had no answer */
	_Atomic uint64_t recording_failed; /* start recording refused; the call went on */
	_Atomic uint64_t board_full;       /* views that found no slot */
};

struct board;

/* Tables for this many calls and registrations. -ENOMEM. */
int board_create(struct board **board, uint32_t calls, uint32_t registrations);
void board_destroy(struct board *board);
struct board_counters *board_counters(struct board *board);

/* ---- readers, any thread ---- */

/* Walks the table: *at starts at 0 and is moved on; false at the end. Every view is consistent in
 * itself; the walk as a whole is not a snapshot. */
bool board_next_call(struct board *board, uint32_t *at, struct call_view *view);
bool board_next_registration(struct board *board, uint32_t *at, struct registration_view *view);
/* The call with this id; false when there is none. */
bool board_find_call(struct board *board, const char *id, struct call_view *view);

/* ---- the SIP thread ---- */

#define BOARD_NO_SLOT UINT32_MAX

/* Shows the view in *slot, taking a free slot when *slot is BOARD_NO_SLOT (it stays so when the
 * table is full). */
void board_show_call(struct board *board, uint32_t *slot, const struct call_view *view);
void board_show_registration(struct board *board, uint32_t *slot,
			     const struct registration_view *view);
/* Frees the slot and sets it to BOARD_NO_SLOT. */
void board_hide_call(struct board *board, uint32_t *slot);
void board_hide_registration(struct board *board, uint32_t *slot);

/*
 * The records of control's journal: what they say, and how they are written.
 *
 *   frame:  type u16 | version u16 | body           (the segment log's, with length and CRC32C)
 *   body:   field ...
 *   field:  tag u8 | length varint (1 to 3 bytes, 7 bits each, low first) | value
 *
 * Numbers are little endian without leading zero bytes (0 is an absent field), texts end with a NUL
 * that is counted in the length, endpoints are 18 bytes (address, port big endian). A field that is
 * absent is 0 or "", a tag that is unknown is skipped: an older program reads what a newer one
 * wrote, and the other way round. What cannot be read that way gets a new version number.
 */
#pragma once

#include "dataplane/base/address.h"

#include <stddef.h>
#include <stdint.h>

#define JOURNAL_VERSION     1           /* of the layout of all types, in the frame */
#define JOURNAL_RECORD_MAX  (96 * 1024) /* bytes of an encoded record */
#define JOURNAL_TEXT_MAX    1024        /* bytes of one text in it, without the NUL */
#define JOURNAL_RECEIPT_MAX (64 * 1024) /* bytes of a receipt's JSON */

enum journal_type {
	JOURNAL_CALL = 1,    /* a call began or moved on; its CDR as far as it is known */
	JOURNAL_CDR,         /* a call is over; the last record of its id */
	JOURNAL_BINDING_ADD, /* REGISTER made or refreshed a binding */
	JOURNAL_BINDING_DEL, /* the binding (aor, contact) is gone; other fields may be empty */
	JOURNAL_RECEIPT,     /* the recorder's word on a recording */
	JOURNAL_TYPES,
};

enum journal_call_state {
	JOURNAL_CALL_STARTED,
	JOURNAL_CALL_RINGING,
	JOURNAL_CALL_ANSWERED,
	JOURNAL_CALL_STATES
};

enum ended_by {
	ENDED_BY_NONE, /* not ended */
	ENDED_BY_CALLER,
	ENDED_BY_CALLEE,
	ENDED_BY_SYSTEM, /* us: limit, media timeout, restart, ... */
	ENDED_BY_ADMIN,  /* hung up through the API */
	ENDED_BYS,
};

/* What one leg's stream received from its party, as the dataplane's `delete` said. */
struct cdr_media {
	uint64_t packets;
	uint64_t bytes;
	uint64_t lost;
};

/*
 * Call detail record. Times are ns since 1970, 0 = never. Texts are terminated, UTF-8, never NULL
 * when decoded; NULL is written like "", a text that is too long is cut. Texts belong to whoever
 * made the struct; a decoded one's point into the encoded record.
 */
struct cdr {
	const char *id;     /* UUIDv7 made at INVITE: the call's id everywhere */
	const char *caller; /* user part of the caller's identity */
	const char *caller_name;
	const char *callee;         /* what was dialled */
	const char *destination;    /* who was reached: extension or trunk/number; "" = nobody */
	const char *source;         /* where the INVITE came from: "udp:192.0.2.7:5060" */
	const char *caller_call_id; /* SIP Call-ID of each leg */
	const char *callee_call_id;
	const char *recording_id; /* UUIDv7; "" = not recorded */
	const char *cause;        /* why it ended, in words: "normal clearing", "busy here" */
	uint64_t started_ns;      /* INVITE received */
	uint64_t ringing_ns;      /* first 180/183 from the callee */
	uint64_t answered_ns;     /* 200 from the callee */
	uint64_t ended_ns;
	uint32_t sip_status; /* final status of the INVITE as the caller saw it */
	enum ended_by ended_by;
	struct cdr_media from_caller;
	struct cdr_media from_callee;
};

/* One contact of one address of record, with everything that is needed to call it again after a
 * restart. */
struct journal_binding {
	const char *aor;     /* the registrar's key: extension or user@domain */
	const char *contact; /* URI as stored; with aor the binding's key, compared byte for byte */
	const char *call_id;
	const char *user_agent;
	const char *transport;    /* "udp", "tcp", ... */
	const char *instance;     /* +sip.instance; "" = none */
	const char *path;         /* Path header values, comma separated */
	struct endpoint received; /* the source the REGISTER came from */
	struct endpoint local;    /* the address it came to */
	uint32_t cseq;
	uint32_t reg_id;
	uint32_t q_milli;
	uint64_t registered_ns; /* ns since 1970 */
	uint64_t expires_ns;    /* ns since 1970, absolute */
};

struct journal_receipt {
	const char *recording_id;
	const char *json; /* as the recorder sent it, terminated */
};

struct journal_record {
	enum journal_type type;
	uint16_t version; /* as read; what is written is JOURNAL_VERSION */
	uint64_t at_ns;   /* when it was written, ns since 1970 */
	union {
		struct {
			enum journal_call_state state;
			struct cdr cdr;
		} call;         /* JOURNAL_CALL */
		struct cdr cdr; /* JOURNAL_CDR */
		struct journal_binding binding;
		struct journal_receipt receipt;
	};
};

/* Writes the record's body into out; returns its length, -ENOSPC when n is too small
 * (JOURNAL_RECORD_MAX is always enough), -EMSGSIZE for a receipt beyond JOURNAL_RECEIPT_MAX,
 * -EINVAL for an unknown type or an empty id (call, cdr), aor or contact, recording_id or json. */
int journal_record_encode(const struct journal_record *record, void *out, size_t n);

/* Reads a body of n bytes. Texts point into it, so it must outlive the record. 0, -EBADMSG when it
 * is no record, -EPROTO when type, version or an enum's value is newer than this program. */
int journal_record_decode(struct journal_record *record, uint16_t type, uint16_t version,
			  const void *body, size_t n);

const char *journal_call_state_text(enum journal_call_state state); /* "started", ... */
const char *ended_by_text(enum ended_by ended_by); /* "caller", ...; "" for ENDED_BY_NONE */

/*
 * Who may talk to us: sources (an IPv4 address, an IPv6 /64) and what their behaviour has earned
 * them. A bounded table; the source that was quiet longest makes room.
 *
 *   what a source does -> points, which leak away over the window -> limit reached -> ban
 *   ban 1: ban_s   ban 2: 10 * ban_s   ban 3: 60 * ban_s   then: ban_max_s
 *   (a day without a ban takes one step back)
 *
 * Over UDP anybody can write another's address on an envelope: so a source with a registration in
 * force has BANS_REGISTERED_FACTOR times the limits, and loopback and what `allow` names is never
 * banned. One thread; times are arguments, milliseconds of any clock that does not go back.
 */
#pragma once

#include "dataplane/base/address.h"

#include <stdbool.h>
#include <stdint.h>

#define BANS_REGISTERED_FACTOR 10
#define BANS_ALLOW_MAX         256
#define BANS_FORGIVE_MS        (24u * 3600 * 1000)

struct bans;

/* 0 = the default. */
struct bans_options {
	uint32_t sources;             /* in the table; 16384 */
	uint32_t failures;            /* failed authentications in window_s; 10 */
	uint32_t window_s;            /* 300 */
	uint32_t ban_s;               /* the first ban; 60 */
	uint32_t ban_max_s;           /* 86400 */
	uint32_t requests_per_second; /* more is dropped, and a flood banned; 500 */
	uint32_t numbers; /* different ones tried without a right answer in between; 25 */
};

enum bans_sign {
	BANS_AUTH_FAILED, /* wrong password or unknown user; `failures` of these earn a ban */
	BANS_MALFORMED,   /* 1/5 of that */
	/* Was asked for credentials: 1/5, which a right answer takes back. */
	BANS_UNANSWERED,
	BANS_PROBE,   /* OPTIONS outside of a dialog: 1/50 */
	BANS_SCANNER, /* says that it is a scanner: 5 */
	BANS_SIGNS,
};

enum bans_reason {
	BANS_BY_HAND,
	BANS_FOR_CREDENTIALS,
	BANS_FOR_MALFORMED,
	BANS_FOR_UNANSWERED,
	BANS_FOR_PROBES,
	BANS_FOR_SCANNING,
	BANS_FOR_NUMBERS,
	BANS_FOR_FLOOD,
	BANS_REASONS,
};

struct bans_view {
	struct address source; /* IPv6: the /64's first */
	enum bans_reason reason;
	uint32_t times;   /* bans so far, those forgiven taken off */
	uint64_t left_ms; /* UINT64_MAX: until it is lifted */
	uint64_t dropped; /* messages since this ban began */
};

struct bans_counters {
	uint64_t made;
	uint64_t lifted;
	uint64_t dropped; /* messages of banned sources */
	uint64_t limited; /* messages beyond requests_per_second */
	uint64_t evicted; /* sources forgotten for want of room */
	uint64_t evicted_bans;
	uint32_t sources; /* now */
	uint32_t live;    /* bans in force, as far as they were looked at */
};

/* -ENOMEM. */
int bans_create(struct bans **bans, const struct bans_options *options);
void bans_destroy(struct bans *bans);

/* "192.0.2.0/24", "2001:db8::/32", or an address: never banned. What is banned there is lifted.
 * -EINVAL, -ENOSPC. */
int bans_allow(struct bans *bans, const char *network);

/* A message (or connection) from there: may it be looked at? Counts it for the rate. */
bool bans_admit(struct bans *bans, const struct address *source, uint64_t now_ms);
/* It did this; number is what it asked for (user part; not for every sign). True: this brought the
 * ban. */
bool bans_sign(struct bans *bans, const struct address *source, enum bans_sign sign,
	       const char *number, size_t number_n, uint64_t now_ms);
/* It has proved who it is: for a window it is as good as registered. */
void bans_proved(struct bans *bans, const struct address *source, uint64_t now_ms);
/* It has a registration in force until then. */
void bans_registered(struct bans *bans, const struct address *source, uint64_t until_ms,
		     uint64_t now_ms);
/* Does this User-Agent say so? */
bool bans_is_scanner(const char *user_agent, size_t n);

/* By hand. for_ms 0: until lifted. -EPERM: it is never banned. */
int bans_add(struct bans *bans, const struct address *source, uint64_t for_ms, uint64_t now_ms);
/* -ENOENT: it is not banned. Its past is forgotten too. */
int bans_lift(struct bans *bans, const struct address *source, uint64_t now_ms);
/* Bans in force, newest first. */
void bans_each(const struct bans *bans, uint64_t now_ms,
	       void (*each)(void *arg, const struct bans_view *view), void *arg);
const char *bans_reason_text(enum bans_reason reason);
void bans_counters(const struct bans *bans, struct bans_counters *counters);

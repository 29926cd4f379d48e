/*
 * A session table over a real flow table, asked by ng requests. Local addresses:
 *
 *   pub: 203.0.113.1, 2001:db8::1     priv: 203.0.113.2     lo: 127.0.0.1     nat: 10.0.0.1 shown
 * as 192.0.2.200
 */
#pragma once

#include "dataplane/session/ng_commands.h"
#include "dataplane/session/port.h"
#include "dataplane/session/recording.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FIXTURE_PORT_MIN 20000
#define FIXTURE_PORT_MAX 20999

struct fixture {
	struct flow_table *flows;
	struct session_table *table;
	struct ng_commands commands;
	struct ng_arena *arena;
	struct ng_value *reply; /* of the last request */
	struct session_time now;
};

/* Sizes that a test may change before fixture_open. */
struct fixture_sizes {
	uint32_t sessions, legs, streams, conf_max, workers;
	uint16_t port_max;
	uint32_t port_reuse_ms;
};

void fixture_open(struct fixture *f, const struct fixture_sizes *sizes);
void fixture_close(struct fixture *f);

/* Sends a request: pairs of key and text up to NULL. Values of flags, replace, direction, rtcp-mux,
 * supports and received-from are lists, comma between. */
void ask(struct fixture *f, const char *command, ...) __attribute__((sentinel));

/* The reply's text at key, "" when there is none; of the last reply. */
const char *reply_text(const struct fixture *f, const char *key);
void assert_ok(const struct fixture *f);
void assert_refused(const struct fixture *f, const char *reason);

struct session *the_session(const struct fixture *f, const char *call_id);

/* The reply's SDP is `want`, in which $0 stands for the port of the receiver's first stream and $0+
 * for the one after it, $1 for the second stream's. receiver is the leg's number. */
void assert_sdp(const struct fixture *f, const char *call_id, uint32_t receiver, const char *want);

/*
 * The session's published flows, a line each: "A0 rtp B0 B0+ 198.51.100.1:4000 ls" is the RTP port
 * of leg 0's first stream, kind, sink of RTP, sink of RTCP ("-" = none), remote, flags l(atch)
 * s(trict source) b(locked) f(ork).
 */
void assert_flows(const struct fixture *f, const char *call_id, const char *want);

/* Takes the worker's next fork command; false when there is none. The caller frees payload. */
struct fork_seen {
	uint16_t type;
	uint16_t leg;
	uint32_t stream;
	uint64_t recording;
	char *payload;
	uint32_t slots_count;
};
bool fork_next(struct fixture *f, uint32_t worker, struct fork_seen *seen);

/* As if n packets had arrived at the slot by now. */
void packets_arrive(struct fixture *f, uint32_t slot, uint64_t n);

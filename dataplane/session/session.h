/*
 * The slow path's model of what is relayed. One thread (the main lcore) owns all of it; what a
 * packet needs is published from here into the flow table.
 *
 *   session (call-id)
 *     leg 0 (tag of the first offer's sender)     leg 1 (the answerer)      leg 2 ... (other
 * branches) stream 0 (first m= line)   <----------->    stream 0 ports facing this leg's party, its
 * remote endpoints, codecs stream 1                   <----------->    stream 1
 *
 * A packet from a leg's party arrives at that leg's port and leaves through the port of leg->peer's
 * stream of the same number. session_publish() derives the wanted flows from the model and
 * publishes what differs; nothing else writes to the flow table.
 *
 * All memory is taken at creation: pools of sessions, legs, streams and recordings, each with its
 * limit.
 */
#pragma once

#include "dataplane/base/address.h"
#include "dataplane/base/list.h"
#include "dataplane/media/sdp.h"
#include "dataplane/session/flow.h"

#include <stdbool.h>
#include <stdint.h>

#define SESSION_INTERFACES_MAX 16
#define SESSION_ADDRESSES_MAX  8  /* of one interface */
#define SESSION_LEGS_MAX       8  /* of one session */
#define SESSION_STREAMS_MAX    16 /* m= lines of one SDP */
#define SESSION_CODECS_MAX     12 /* remembered of one stream, for the recording */
#define SESSION_CALL_ID_MAX    255
#define SESSION_TAG_MAX        255
#define SESSION_LABEL_MAX      63
#define SESSION_METADATA_MAX   2048
#define SESSION_RECORDING_ID   64

struct session_time {
	uint64_t mono_ns; /* CLOCK_MONOTONIC */
	uint64_t real_ns; /* CLOCK_REALTIME */
};

/* ---- configuration ---- */

struct session_address {
	struct address address;    /* one of the flow table's */
	struct address advertised; /* shown in SDP; the same unless behind a 1:1 NAT */
	uint32_t index;            /* of address in the flow table's list */
};

/* A named set of local addresses (ng `direction`); the first interface is the default. */
struct session_interface {
	char name[32];
	struct session_address addresses[SESSION_ADDRESSES_MAX];
	uint32_t addresses_count;
};

typedef void session_count_fn(void *to, const char *name, uint64_t count);

struct session_table_config {
	struct session_interface interfaces[SESSION_INTERFACES_MAX];
	uint32_t interfaces_count;
	uint32_t addresses_count; /* of the flow table */
	uint16_t port_min;        /* of the flow table */
	uint16_t port_max;
	uint32_t workers;         /* of the flow table; sessions are spread over them */
	uint32_t sessions;        /* most at once */
	uint32_t legs;            /* 0 = 3 x sessions */
	uint32_t streams;         /* 0 = 6 x sessions */
	uint32_t media_timeout_s; /* 0 = 60; ten times as long on hold and before the answer */
	uint32_t port_reuse_ms;   /* pause before a port is used again */
	uint64_t seed;            /* random */
	/* Calls `count` for each of the packet path's drop counters, for `statistics`; may be NULL.
	 */
	void (*drops)(void *arg, session_count_fn *count, void *to);
	void *drops_arg;
};

/* ---- the model ---- */

struct stream_codec {
	uint8_t pt;
	uint8_t channels;
	uint32_t rate;
	char name[20];
	char fmtp[88]; /* cut off if longer */
};

enum stream_state {
	STREAM_IDLE,    /* no ports: rejected (port 0), or a protocol that is not relayed */
	STREAM_RELAYED, /* has ports and flows */
};

#define STREAM_NO_FORK UINT32_MAX

struct stream {
	struct list node;  /* of the free pool */
	uint8_t state;     /* enum stream_state */
	bool rtp;          /* false: raw relay on one port */
	uint8_t direction; /* as this leg's party stated it, enum sdp_direction */
	uint8_t index;
	/* local: what this leg's party sends to */
	const struct session_address *address;
	uint16_t port; /* even; RTCP at port + 1 */
	uint32_t slot;
	uint32_t rtcp_slot;
	/* remote: what this leg's party stated */
	struct endpoint remote; /* port 0 = not known yet */
	struct endpoint remote_rtcp;
	uint32_t latch_epoch;
	bool mux_stated;    /* rtcp-mux in the party's last offer */
	bool mux_shown;     /* in our last offer to the party */
	bool mux_offered;   /* one of the two, and not settled yet */
	bool mux;           /* settled: RTCP comes and goes with RTP */
	uint8_t mux_answer; /* what to answer to the party's offer of it, enum mux_answer */
	/* flows that are out there */
	bool published;
	bool rtcp_published;
	/* description */
	char type[16];
	char proto[24];
	uint8_t codecs_count;
	uint32_t ptime_ms;
	struct stream_codec codecs[SESSION_CODECS_MAX];
	/* recording */
	uint32_t fork_stream; /* number in the recording or STREAM_NO_FORK */
	bool fork_stale;      /* the STREAM record must be posted (again) */
};

enum mux_answer { MUX_FOLLOW, MUX_ACCEPT, MUX_REJECT };

enum leg_echo { LEG_RELAY, LEG_ECHO, LEG_SINKHOLE };

struct leg {
	struct list node; /* of the free pool */
	struct session *session;
	struct leg *peer;              /* where this leg's media goes; NULL = nowhere yet */
	uint32_t number;               /* within the session: 0 = sender of the first offer */
	char tag[SESSION_TAG_MAX + 1]; /* "" until known */
	char via_branch[SESSION_TAG_MAX + 1];
	char label[SESSION_LABEL_MAX + 1];
	uint64_t created_real_ns;
	uint32_t interface;
	const struct session_address *address; /* where new streams get their ports */
	bool asymmetric;
	bool media_handover;
	bool answered; /* its SDP was seen */
	uint8_t echo;  /* what happens to media from this leg, enum leg_echo */
	uint8_t tos;   /* of packets sent to this leg's party */
	/* `replace` of SDP version, username and session name: what its party has been shown */
	bool shown;
	uint64_t shown_version;
	uint64_t shown_hash;
	char shown_username[64];
	char shown_name[64];
	uint32_t streams_count;
	struct stream *streams[SESSION_STREAMS_MAX];
};

struct recording; /* recording.h */

struct session {
	struct list node; /* of the table's list or the free pool */
	struct session *hash_next;
	char call_id[SESSION_CALL_ID_MAX + 1];
	uint32_t hash;
	uint8_t worker;
	bool answered;
	uint64_t created_real_ns;
	uint64_t signalled_real_ns;
	uint64_t active_mono_ns; /* last signalling or packet */
	uint64_t packets_seen;   /* at the last tick */
	uint64_t delete_mono_ns; /* `delete delay`; 0 = not wanted */
	uint64_t serial;         /* in order of creation, from 1 */
	uint32_t legs_count;
	struct leg *legs[SESSION_LEGS_MAX];
	struct recording *recording; /* NULL = none and no metadata either */
};

struct session_counters {
	uint64_t created;
	uint64_t refused_limit; /* sessions, legs or streams at their limit */
	uint64_t refused_ports;
	uint64_t refused_flows;     /* flow table full */
	uint64_t deleted;           /* by command */
	uint64_t timed_out;         /* without media */
	uint64_t timed_out_offered; /* never answered */
	uint64_t duration_ms;       /* of ended sessions together */
	uint64_t packets;           /* of ended sessions, RTP and RTCP that arrived */
	uint64_t bytes;
	uint64_t errors;
	uint64_t recordings;
	uint64_t recordings_refused;
	uint64_t one_way;  /* ended, answered, media from one side only */
	uint64_t zero_way; /* ended, answered, without any media */
};

struct session_table {
	struct session_table_config config;
	struct flow_table *flows;
	struct port_pool *ports;
	struct session_counters counters;
	uint64_t started_real_ns;
	uint64_t next_serial;
	uint64_t next_recording;
	uint32_t next_worker;
	uint32_t sessions_count;
	uint32_t sessions_peak;
	uint32_t buckets_mask;
	struct session **buckets;
	struct list sessions; /* oldest first */
	struct list free_sessions;
	struct list free_legs;
	struct list free_streams;
	struct list free_recordings;
	struct list ending_recordings; /* their END waits for room in the queue */
	struct session *session_pool;
	struct leg *leg_pool;
	struct stream *stream_pool;
	struct recording *recording_pool;
	/* scratch of one command */
	struct sdp sdp;
	char text[SDP_BYTES_MAX * 2 + 2048 * SDP_MEDIA_MAX];
};

/* ---- the table ---- */

/* flows outlives the table; the address indexes of the interfaces are those of flows'
 * configuration. -EINVAL for a configuration that makes no sense, -ENOMEM. */
int session_table_create(struct session_table **table, const struct session_table_config *config,
			 struct flow_table *flows, const struct session_time *now);
/* Retires every flow and ends every recording with the reason "shutdown". */
void session_table_destroy(struct session_table *table, const struct session_time *now);

/* How many flow_conf a flow table needs for this configuration. */
uint32_t session_table_flows_max(const struct session_table_config *config);

/* Housekeeping, about once a second: deletes sessions without media and those whose delay is over,
 * posts what waited for room, reclaims confs. */
void session_table_tick(struct session_table *table, const struct session_time *now);

/* ---- sessions and legs ---- */

struct session *session_find(const struct session_table *table, struct sdp_span call_id);
/* A new one, or NULL at the limit (counted). The call-id must fit and be new. */
struct session *session_create(struct session_table *table, struct sdp_span call_id,
			       const struct session_time *now);
enum session_end { SESSION_DELETED, SESSION_TIMED_OUT, SESSION_SHUT_DOWN, SESSION_FAILED };
/* Ends its recording, retires its flows, gives everything back. */
void session_delete(struct session_table *table, struct session *session, enum session_end why,
		    const struct session_time *now);

struct leg *session_leg(const struct session *session, struct sdp_span tag);
/* NULL at the session's or the table's limit (counted). */
struct leg *leg_create(struct session_table *table, struct session *session,
		       const struct session_time *now);
/* Away with one branch; whoever sent to it sends nowhere. */
void leg_delete(struct session_table *table, struct leg *leg, const struct session_time *now);

/* The leg's stream of this number, made if it is not there; NULL at the limit (counted). */
struct stream *leg_stream(struct session_table *table, struct leg *leg, uint32_t index);
/* Gives the stream ports at the leg's address; keeps those it has there already. -ENOSPC = ran out
 * of ports. */
int stream_take_ports(struct session_table *table, struct leg *leg, struct stream *stream,
		      const struct session_time *now);
/* Retires its flows and puts its ports back (after the recording, if they are being recorded). */
void stream_release(struct session_table *table, struct leg *leg, struct stream *stream,
		    const struct session_time *now);

/* Brings the flow table to what the session's model says. -ENOSPC when it is full (counted). */
int session_publish(struct session_table *table, struct session *session);

/* True when a party has asked for silence on some stream and no stream flows both ways. */
bool session_is_held(const struct session *session);

/* What arrived at the session's ports up to now. */
struct session_totals {
	uint64_t packets, bytes, errors;
};
void session_totals(const struct session_table *table, const struct session *session,
		    struct session_totals *rtp, struct session_totals *rtcp);
/* The local address equal to this one, or NULL; the interface's first of a family (4 or 6), else
 * its first. */
const struct session_address *session_table_address(const struct session_table *table,
						    const struct address *address);
const struct session_address *session_interface_address(const struct session_interface *interface,
							int family);

/* Copies a span into a terminated field of size bytes; false when it does not fit (nothing is
 * written). */
bool span_store(char *field, size_t size, struct sdp_span span);

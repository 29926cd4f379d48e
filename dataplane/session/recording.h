/*
 * The recording of a session, as the slow path commands it. What the recorder reads of it is in
 * dataplane/api/fork.h; the order in which records and flows go out is in dataplane/session/flow.h.
 *
 *   start:  START, STREAM ... posted -> flows published with FLOW_FORK
 *   later:  STREAM posted again when a stream is new or described anew
 *   end:    flows published without FLOW_FORK -> END posted (when the queue is full: by a later
 * tick)
 */
#pragma once

#include "dataplane/session/session.h"

struct recording {
	struct list node; /* of the free pool or the list of those that end */
	bool active;
	bool named; /* id was given or made */
	uint8_t worker;
	uint64_t number; /* unique in this process */
	uint64_t started_real_ns;
	char id[SESSION_RECORDING_ID + 1];
	char metadata[SESSION_METADATA_MAX + 1];
	/* Streams recorded up to now; ports of those that have gone are held until END is posted,
	 * so that nobody else counts packets in their slots. */
	uint32_t slots_count;
	struct fork_slot slots[FLOW_FORK_STREAMS_MAX];
	struct recording_port {
		uint32_t address;
		uint16_t port; /* 0 = not held */
	} held[FLOW_FORK_STREAMS_MAX];
	/* of the END that waits */
	char reason[16];
	uint64_t ended_real_ns;
};

/* True for 1 to 64 characters of [A-Za-z0-9._-]. */
bool recording_id_is_sound(struct sdp_span id);

/* Remembers metadata for the session's recording, present or future. -ENAMETOOLONG, -ENOSPC (no
 * recording free). */
int recording_set_metadata(struct session_table *table, struct session *session,
			   struct sdp_span metadata);

/* Starts it; 0 when it runs already too. id may be empty: one is made. -EINVAL for an unsound id,
 * -ENOSPC when there is no recording or no room in the worker's queue (counted). The caller
 * publishes the session afterwards. */
int recording_start(struct session_table *table, struct session *session, struct sdp_span id,
		    const struct session_time *now);
/* Posts the STREAM records that are due. The caller publishes the session afterwards. */
void recording_update(struct session_table *table, struct session *session,
		      const struct session_time *now);
/* Ends it, if it runs: publishes the session's flows without FLOW_FORK and posts END. */
void recording_stop(struct session_table *table, struct session *session, const char *reason,
		    const struct session_time *now);
/* Gives a session's recording object back; it must not be running. */
void recording_forget(struct session_table *table, struct session *session);
/* Posts the ENDs that waited. */
void recording_tick(struct session_table *table, const struct session_time *now);

/* Takes over the ports of a stream that goes while it is being recorded. False when it was not. */
bool recording_hold_port(struct session *session, const struct stream *stream);

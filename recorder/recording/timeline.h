/*
 * Placing packets on one time line. Every packet of a recording gets a start, in nanoseconds from
 * the recording's start, so that what was said at one time stands at one place in all channels.
 *
 *   arrival     |  |   |  |        ||| |   |         as the packets came in: jitter, loss, bursts
 *   RTP time    |--|--|--|--|--|--|--|--|--|         even, but with an origin of its own
 *   time line   |--|--|--|--      --|--|--|--        RTP time, moved to where the packet with the
 *                                                    least delay arrived; silence where none came
 *
 * A source is one SSRC of one stream. Its packets are ordered by extended sequence number (RFC 3550
 * A.1). Its RTP time is anchored piece by piece: a new piece begins every 10 s (so that a drifting
 * clock is followed), where the timestamp leaps ahead of the arrival, and where packets stay behind
 * (a clock that stood still during a hold).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMELINE_SOURCES_MAX 64 /* per stream */

struct timeline_packet {
	uint64_t position; /* the caller's: where the payload is found */
	uint64_t arrival_ns;
	int64_t start_ns; /* out: from the recording's start; may be negative */
	int64_t extended; /* out: its place in the source's order */
	uint32_t ssrc;
	uint32_t ts;
	uint32_t clock_hz; /* of ts, not 0 */
	uint16_t seq;
	uint16_t codec;  /* the caller's */
	uint16_t source; /* out: number of its source, from 0 in the order of appearance */
	bool audible;    /* takes part in the timing (telephone events and noise do not) */
	bool duplicate;  /* out: came before */
};

struct timeline_summary {
	uint32_t sources;
	uint64_t duplicates;
	uint64_t lost;    /* sequence numbers that never came */
	uint64_t jumps;   /* pieces that were moved against the one before by more than 20 ms */
	uint64_t surplus; /* packets of more than TIMELINE_SOURCES_MAX sources, cut from the end */
};

/*
 * Orders the packets of one stream (given in the order of arrival) by source and sequence and
 * places them. started_ns: CLOCK_REALTIME of the recording's start. The last summary->surplus
 * packets are not placed. -ENOMEM.
 */
int timeline_build(struct timeline_packet *packets, size_t count, uint64_t started_ns,
		   struct timeline_summary *summary);

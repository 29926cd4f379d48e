/*
 * Writes an SDP anew with other addresses and ports. What need not change stays as it was: the
 * order of lines, line ends, lines that nobody knows. What is added stands where an offer usually
 * has it:
 *
 *   m=audio 4000 RTP/AVP 0          m=audio 16384 RTP/AVP 0
 *   c=IN IP4 192.0.2.1              c=IN IP4 203.0.113.1
 *   a=ptime:20                 ->   a=rtpmap:0 PCMU/8000        rtpmap of static payload types
 *                                   a=sendrecv                  the direction, always with the
 * media a=rtcp:16385                RFC 3605 a=ptime:20
 */
#pragma once

#include "dataplane/media/sdp.h"

struct sdp_rewrite_media {
	bool relay; /* false: the section is passed as it is (port 0, protocols that are not
		       relayed) */
	bool rtp;   /* its formats are payload types; rtpmap, direction and a=rtcp are written */
	struct address address; /* what is to be shown */
	uint16_t port;
	uint16_t rtcp_port; /* for a=rtcp; 0 = no such line */
	bool rtcp_full;     /* a=rtcp with network and address */
	bool rtcp_mux;
	const char *proto; /* NULL = as it is */
};

struct sdp_rewrite {
	bool origin;                   /* the o= line gets origin_address */
	struct address origin_address; /* ours; the session's c= gets it when no section is taken */
	bool version;                  /* the o= line gets version_number */
	uint64_t version_number;
	struct sdp_span username;     /* of the o= line; len 0 = as it is */
	struct sdp_span session_name; /* of the s= line; len 0 = as it is */
	bool zero_address;   /* 0.0.0.0 and :: are replaced too, not kept (old style hold) */
	bool keep_direction; /* leave direction attributes where and as they are */
	bool keep_dtls;      /* leave fingerprint, setup and tls-id */
	struct sdp_rewrite_media media[SDP_MEDIA_MAX];
};

/* Room that a rewritten text of n bytes surely has. */
#define SDP_REWRITE_ROOM(n) ((n) + 2048 + SDP_MEDIA_MAX * 2048)

/* Writes the new text into out (not terminated) and returns its length, or -ENOSPC. ICE attributes
 * and a=group:BUNDLE are left out: the ports shown are the only candidates and each stream has its
 * own. */
int64_t sdp_rewrite(const struct sdp *sdp, const struct sdp_rewrite *rewrite, char *out,
		    size_t max);

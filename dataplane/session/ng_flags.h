/* What an ng request says, taken out of its dictionary once: the keys and flags that this build
 * acts upon. Others are passed over, as rtpengine's users expect of flags that do not concern a
 * stream. */
#pragma once

#include "dataplane/api/ng.h"
#include "dataplane/base/address.h"
#include "dataplane/media/sdp.h"

#include <stdbool.h>

enum ng_echo { NG_ECHO_UNSET, NG_ECHO_SINKHOLE, NG_ECHO_FORWARD, NG_ECHO_BACKWARDS, NG_ECHO_BOTH };

struct ng_flags {
	/* empty span = not given; they point into the request */
	struct sdp_span call_id;
	struct sdp_span from_tag;
	struct sdp_span to_tag;
	struct sdp_span via_branch;
	struct sdp_span sdp;
	struct sdp_span label;
	struct sdp_span metadata;
	struct sdp_span recording_id;
	struct sdp_span transport;    /* `transport protocol` */
	struct sdp_span direction[2]; /* interface towards sender and receiver of this SDP */
	struct address media_address;
	struct address received_from;
	bool media_address_given;
	bool received_from_given;
	int family; /* `address family`: 4, 6 or 0 */
	int tos;    /* 0 to 255, -1 = not given */
	enum ng_echo echo;
	int64_t delete_delay_s; /* -1 = not given */
	/* replace */
	bool origin;
	bool session_name;
	bool sdp_version;
	bool force_increment;
	bool username;
	bool zero_address;
	/* rtcp-mux */
	bool mux_offer;
	bool mux_require;
	bool mux_demux;
	bool mux_accept;
	bool mux_reject;
	/* flags */
	bool asymmetric;
	bool media_handover;
	bool strict_source;
	bool sip_source_address;
	bool record_call;
	bool stop_recording; /* record call = no */
	bool full_rtcp;
	bool no_rtcp;
	bool original_sendrecv;
	bool fatal;
	bool load_limit; /* supports */
};

/* 0, or -EINVAL with *reason set to a static sentence when a value cannot be understood. */
int ng_flags_parse(struct ng_flags *flags, const struct ng_value *request, const char **reason);

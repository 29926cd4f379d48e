/* What one SDP does to the streams of two legs: the m= lines one by one. */
#pragma once

#include "dataplane/media/sdp_rewrite.h"
#include "dataplane/session/offer_answer.h"

/* One message on its way from sender to receiver. */
struct exchange {
	struct session_table *table;
	const struct ng_flags *flags;
	const struct session_time *now;
	struct offer_answer_result *result;
	bool offer;
	struct leg *sender;
	struct leg *receiver;
};

enum media_class {
	MEDIA_PASSED, /* a protocol that is not relayed: TCP and unknown ones */
	MEDIA_RTP,    /* RTP and RTCP, encrypted or not */
	MEDIA_RAW,    /* one port for whatever comes: UDPTL, BFCP */
	MEDIA_DTLS,   /* likewise, described like RTP */
};
enum media_class media_class(const struct sdp *sdp, uint32_t media);

/* Sets the result's reason and returns error. */
int exchange_refuse(struct exchange *exchange, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Checks table->sdp against what this build can do, without touching anything. */
int negotiate_check(struct exchange *exchange);
/* Brings the streams of both legs to what table->sdp says. Errors: no ports, no streams. */
int negotiate_apply(struct exchange *exchange);
/* What to show the receiver. */
void negotiate_rewrite(const struct exchange *exchange, struct sdp_rewrite *rewrite);

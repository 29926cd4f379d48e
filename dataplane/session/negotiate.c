/* Offer and answer, one m= line at a time. */
#include "dataplane/session/negotiate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int exchange_refuse(struct exchange *exchange, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(exchange->result->reason, sizeof(exchange->result->reason), format, arguments);
	va_end(arguments);
	return error;
}

/* ---- protocols ---- */

static const struct {
	const char *name;
	uint8_t media_class;
	bool secure;
} protocols[] = {
	{"RTP/AVP", MEDIA_RTP, false},
	{"RTP/AVPF", MEDIA_RTP, false},
	{"RTP/SAVP", MEDIA_RTP, true},
	{"RTP/SAVPF", MEDIA_RTP, true},
	{"UDP/TLS/RTP/SAVP", MEDIA_DTLS, true},
	{"UDP/TLS/RTP/SAVPF", MEDIA_DTLS, true},
	{"udptl", MEDIA_RAW, false},
	{"UDP/BFCP", MEDIA_RAW, false},
};

#define PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

/* Its number in the table, or -1. */
static int protocol_find(struct sdp_span name)
{
	for (size_t i = 0; i < PROTOCOLS; i++) {
		if (sdp_span_equal_any(name, protocols[i].name))
			return (int)i;
	}
	return -1;
}

enum media_class media_class(const struct sdp *sdp, uint32_t media)
{
	const struct sdp_media *m = &sdp->media[media];
	int protocol = protocol_find(m->proto);

	if (protocol < 0)
		return MEDIA_PASSED;
	/* DTLS-SRTP under the older names (RFC 5764 8 allows them) needs its handshake relayed too.
	 */
	if (protocols[protocol].media_class == MEDIA_RTP && protocols[protocol].secure &&
	    sdp_find(sdp, m->line, m->lines_end, SDP_CRYPTO) == SDP_NO_LINE &&
	    (sdp_find(sdp, m->line, m->lines_end, SDP_FINGERPRINT) != SDP_NO_LINE ||
	     sdp_find(sdp, 0, sdp->session_end, SDP_FINGERPRINT) != SDP_NO_LINE))
		return MEDIA_DTLS;
	return protocols[protocol].media_class;
}

static bool is_relayed(const struct sdp *sdp, uint32_t media)
{
	return sdp->media[media].port != 0 && media_class(sdp, media) != MEDIA_PASSED;
}

/* The `transport protocol` asked for, for this m= line of an offer: its number, or -1 = as it is.
 */
static int transport_wanted(const struct exchange *x, uint32_t media)
{
	const struct sdp *sdp = &x->table->sdp;

	if (!x->offer || media_class(sdp, media) != MEDIA_RTP)
		return -1;
	return protocol_find(x->flags->transport);
}

/* ---- check ---- */

static int check_transport(struct exchange *x, uint32_t media)
{
	struct sdp_span wanted = x->flags->transport;
	struct sdp_span proto = x->table->sdp.media[media].proto;
	int to = protocol_find(wanted);
	int from = protocol_find(proto);

	if (!x->offer || wanted.len == 0 || !is_relayed(&x->table->sdp, media) ||
	    media_class(&x->table->sdp, media) == MEDIA_RAW)
		return 0;
	if (to < 0 || protocols[to].media_class == MEDIA_RAW)
		return exchange_refuse(x, -EINVAL, "Unknown transport protocol '%.*s'",
				       (int)(wanted.len < 32 ? wanted.len : 32), wanted.text);
	if (from != to && (protocols[to].secure || protocols[from].secure))
		return exchange_refuse(x, -ENOTSUP,
				       "Transport protocol %s cannot be made from %s: media is not "
				       "encrypted or decrypted here",
				       protocols[to].name, protocols[from].name);
	return 0;
}

static int check_address(struct exchange *x, uint32_t media)
{
	struct address address;

	if (!is_relayed(&x->table->sdp, media))
		return 0;
	switch (sdp_media_address(&x->table->sdp, media, &address)) {
	case 0:
		return 0;
	case -ENOENT:
		return exchange_refuse(x, -EBADMSG, "Incomplete SDP: m= line %u has no c= line",
				       media + 1);
	default:
		return exchange_refuse(x, -EBADMSG,
				       "Failed to parse SDP: the c= line of m= line %u has no IPv4 "
				       "or IPv6 address",
				       media + 1);
	}
}

int negotiate_check(struct exchange *x)
{
	const struct sdp *sdp = &x->table->sdp;
	int rc = 0;

	if (sdp->media_count == 0)
		return exchange_refuse(x, -EBADMSG, "Failed to parse SDP: no m= line");
	if (sdp->media_count > SESSION_STREAMS_MAX)
		return exchange_refuse(x, -E2BIG, "Too many m= lines in SDP, at most %u",
				       SESSION_STREAMS_MAX);
	if (!x->offer && sdp->media_count > x->receiver->streams_count)
		return exchange_refuse(x, -EBADMSG, "The answer has %u m= lines, the offer had %u",
				       sdp->media_count, x->receiver->streams_count);
	for (uint32_t i = 0; rc == 0 && i < sdp->media_count; i++) {
		rc = check_address(x, i);
		if (rc == 0)
			rc = check_transport(x, i);
	}
	return rc;
}

/* ---- description ---- */

static void store_cut(char *field, size_t size, struct sdp_span span)
{
	if (span.len >= size)
		span.len = size - 1;
	span_store(field, size, span);
}

/* What the party says of the stream; true when that differs from before. */
static bool describe(const struct sdp *sdp, uint32_t media, struct stream *stream)
{
	struct sdp_codec codecs[SESSION_CODECS_MAX];
	struct stream_codec before[SESSION_CODECS_MAX];
	uint32_t ptime_ms = sdp_media_ptime_ms(sdp, media);
	uint8_t count = 0;
	bool changed;

	memcpy(before, stream->codecs, sizeof(before));
	memset(stream->codecs, 0, sizeof(stream->codecs));
	store_cut(stream->type, sizeof(stream->type), sdp->media[media].type);
	store_cut(stream->proto, sizeof(stream->proto), sdp->media[media].proto);
	if (media_class(sdp, media) == MEDIA_RTP)
		count = (uint8_t)sdp_media_codecs(sdp, media, codecs, SESSION_CODECS_MAX);
	for (uint8_t i = 0; i < count; i++) {
		struct stream_codec *codec = &stream->codecs[i];

		codec->pt = codecs[i].pt;
		codec->channels = codecs[i].channels;
		codec->rate = codecs[i].rate;
		store_cut(codec->name, sizeof(codec->name), codecs[i].name);
		store_cut(codec->fmtp, sizeof(codec->fmtp), codecs[i].fmtp);
	}
	changed = count != stream->codecs_count || ptime_ms != stream->ptime_ms ||
		  memcmp(before, stream->codecs, sizeof(before)) != 0;
	stream->codecs_count = count;
	stream->ptime_ms = ptime_ms;
	return changed;
}

/* Where the party wants its media. The port stays 0 (unknown) for the zero address of an old style
 * hold. */
static void state_remote(const struct exchange *x, uint32_t media, struct stream *stream)
{
	const struct sdp *sdp = &x->table->sdp;
	struct endpoint rtp = {.port = sdp->media[media].port};
	struct endpoint rtcp;
	bool source = x->flags->sip_source_address && x->flags->received_from_given;

	if (sdp_media_address(sdp, media, &rtp.address) != 0 ||
	    sdp_media_rtcp(sdp, media, &rtcp) != 0)
		return;
	if (address_is_any(&rtp.address)) {
		rtp.port = 0;
		rtcp.port = 0;
	} else if (source) {
		rtp.address = x->flags->received_from;
		rtcp.address = x->flags->received_from;
	}
	/* A new offer may come from behind another NAT with the same text; an answer repeats itself
	 * (183, 200) and must not cost what was learnt. */
	if (x->sender->answered && (x->offer || !endpoint_equal(&rtp, &stream->remote) ||
				    !endpoint_equal(&rtcp, &stream->remote_rtcp)))
		stream->latch_epoch++;
	stream->remote = rtp;
	stream->remote_rtcp = rtcp;
	stream->direction = (uint8_t)sdp_media_direction(sdp, media);
}

/* ---- rtcp-mux (RFC 5761 5.1.1; the flags are rtpengine's) ---- */

static void mux_offer(const struct ng_flags *flags, bool stated, struct stream *from,
		      struct stream *to)
{
	from->mux_stated = stated;
	from->mux = from->mux && stated;
	from->mux_offered = stated && !from->mux;
	if (flags->mux_reject)
		from->mux_answer = MUX_REJECT;
	else
		from->mux_answer = flags->mux_accept || flags->mux_demux ? MUX_ACCEPT : MUX_FOLLOW;
	to->mux_shown = flags->mux_require || flags->mux_offer || (stated && !flags->mux_demux);
	to->mux = to->mux_shown && (to->mux || flags->mux_require);
	to->mux_offered = to->mux_shown && !to->mux;
}

static void mux_answer(const struct ng_flags *flags, bool stated, struct stream *from,
		       struct stream *to)
{
	uint8_t answer = to->mux_answer;

	if (flags->mux_reject)
		answer = MUX_REJECT;
	else if (flags->mux_accept || flags->mux_demux)
		answer = MUX_ACCEPT;
	from->mux = from->mux_shown && stated;
	from->mux_offered = false;
	to->mux = to->mux_stated && answer != MUX_REJECT && (stated || answer == MUX_ACCEPT);
	to->mux_offered = false;
}

/* ---- apply ---- */

static int take_ports(struct exchange *x, struct leg *leg, struct stream *stream)
{
	if (stream_take_ports(x->table, leg, stream, x->now) == 0)
		return 0;
	x->result->limit = true;
	return exchange_refuse(x, -ENOSPC, "Ran out of ports");
}

static int apply_media(struct exchange *x, uint32_t media)
{
	const struct sdp *sdp = &x->table->sdp;
	struct stream *from = leg_stream(x->table, x->sender, media);
	struct stream *to = leg_stream(x->table, x->receiver, media);
	bool changed;
	int rc;

	if (!from || !to) {
		x->result->limit = true;
		return exchange_refuse(x, -ENOSPC, "Parallel session limit reached");
	}
	changed = describe(sdp, media, from);
	/* The other party's packets carry the payload types that this one has stated. */
	from->fork_stale |= changed;
	to->fork_stale |= changed;
	if (x->offer) {
		int transport = transport_wanted(x, media);

		memcpy(to->type, from->type, sizeof(to->type));
		if (transport >= 0)
			snprintf(to->proto, sizeof(to->proto), "%s", protocols[transport].name);
		else
			memcpy(to->proto, from->proto, sizeof(to->proto));
	}
	if (!is_relayed(sdp, media)) {
		stream_release(x->table, x->sender, from, x->now);
		stream_release(x->table, x->receiver, to, x->now);
		return 0;
	}
	if (!x->offer && to->state != STREAM_RELAYED) /* answers what was never offered */
		return exchange_refuse(x, -EBADMSG,
				       "The answer accepts m= line %u, which was not offered",
				       media + 1);
	rc = take_ports(x, x->sender, from);
	if (rc == 0)
		rc = take_ports(x, x->receiver, to);
	if (rc != 0)
		return rc;
	state_remote(x, media, from);
	from->rtp = media_class(sdp, media) == MEDIA_RTP;
	to->rtp = from->rtp;
	if (from->rtp && x->offer)
		mux_offer(x->flags, sdp->media[media].rtcp_mux, from, to);
	else if (from->rtp)
		mux_answer(x->flags, sdp->media[media].rtcp_mux, from, to);
	return 0;
}

static void release_from(struct exchange *x, struct leg *leg, uint32_t first)
{
	for (uint32_t i = first; i < leg->streams_count; i++)
		stream_release(x->table, leg, leg->streams[i], x->now);
}

int negotiate_apply(struct exchange *x)
{
	uint32_t count = x->table->sdp.media_count;

	for (uint32_t i = 0; i < count; i++) {
		int rc = apply_media(x, i);

		if (rc != 0)
			return rc;
	}
	/* m= lines that are no longer there, or that the answer left out. */
	release_from(x, x->sender, count);
	release_from(x, x->receiver, count);
	return 0;
}

/* ---- what the receiver is shown ---- */

static void rewrite_media(const struct exchange *x, uint32_t media, struct sdp_rewrite_media *out)
{
	const struct sdp *sdp = &x->table->sdp;
	const struct stream *stream = x->receiver->streams[media];
	enum media_class class = media_class(sdp, media);

	if (stream->state != STREAM_RELAYED)
		return;
	out->relay = true;
	out->rtp = class == MEDIA_RTP || class == MEDIA_DTLS;
	out->address = stream->address->advertised;
	out->port = stream->port;
	out->rtcp_full = x->flags->full_rtcp;
	if (!sdp_span_equal(sdp->media[media].proto, stream->proto))
		out->proto = stream->proto;
	if (class == MEDIA_DTLS) {
		out->rtcp_mux = sdp->media[media].rtcp_mux;
		out->rtcp_port = stream->port;
	} else if (class == MEDIA_RTP) {
		out->rtcp_mux = x->offer ? stream->mux_shown : stream->mux;
		out->rtcp_port = stream->mux ? stream->port : (uint16_t)(stream->port + 1);
	}
	if (x->flags->no_rtcp)
		out->rtcp_port = 0;
}

void negotiate_rewrite(const struct exchange *x, struct sdp_rewrite *rewrite)
{
	const struct sdp *sdp = &x->table->sdp;

	*rewrite = (struct sdp_rewrite){
		.origin = x->flags->origin,
		.origin_address = x->receiver->address->advertised,
		.zero_address = x->flags->zero_address,
		.keep_direction = x->flags->original_sendrecv,
	};
	for (uint32_t i = 0; i < sdp->media_count; i++) {
		rewrite_media(x, i, &rewrite->media[i]);
		rewrite->keep_dtls |= is_relayed(sdp, i) && media_class(sdp, i) == MEDIA_DTLS;
	}
}

/*
 * SDP (RFC 8866): an index over a session description. Nothing is copied; every span points into
 * the text, which must outlive the index.
 *
 *   lines:  v= o= s= c= t= a= | m= c= a= a= | m= a= ...
 *           `- session level -' `- media 0 -' `- media 1
 *
 * Made for hostile input: all is bounded, nothing is trusted. Made for sloppy input too: lines may
 * end in CRLF, LF or nothing (the last), s= and t= may be missing, empty lines are passed over.
 */
#pragma once

#include "dataplane/base/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SDP_BYTES_MAX 65535
#define SDP_LINES_MAX 1024
#define SDP_MEDIA_MAX 32

struct sdp_span {
	const char *text; /* not terminated */
	size_t len;
};

/* Attributes that somebody here acts upon. */
enum sdp_attribute {
	SDP_OTHER, /* and all lines that are not a= */
	SDP_RTPMAP,
	SDP_FMTP,
	SDP_PTIME,
	SDP_MAXPTIME,
	SDP_SENDRECV, /* the four directions stand together, in the order of enum sdp_direction */
	SDP_SENDONLY,
	SDP_RECVONLY,
	SDP_INACTIVE,
	SDP_RTCP,
	SDP_RTCP_MUX,
	SDP_RTCP_MUX_ONLY,
	SDP_ICE, /* ice-*, candidate, remote-candidates, end-of-candidates */
	SDP_GROUP,
	SDP_MID,
	SDP_BUNDLE_ONLY,
	SDP_LABEL,
	SDP_CRYPTO,
	SDP_FINGERPRINT,
	SDP_SETUP,
	SDP_TLS_ID,
};

enum sdp_direction {
	SDP_DIRECTION_NONE, /* not stated */
	SDP_DIRECTION_SENDRECV,
	SDP_DIRECTION_SENDONLY,
	SDP_DIRECTION_RECVONLY,
	SDP_DIRECTION_INACTIVE,
};

struct sdp_line {
	uint16_t offset; /* of the type letter */
	uint16_t len;    /* without the line end; 0 = an empty line */
	uint8_t eol_len; /* 0, 1 or 2 */
	uint8_t attribute;
	char type; /* the letter, 0 = an empty line */
};

#define SDP_NO_LINE UINT16_MAX

/* One m= section: lines[line] is its m= line, lines_end the first one after the section. */
struct sdp_media {
	uint16_t line;
	uint16_t lines_end;
	uint16_t connection_line; /* its own c= or SDP_NO_LINE */
	uint16_t rtcp_line;       /* a=rtcp or SDP_NO_LINE */
	uint16_t port;
	uint16_t ports_count; /* "port/count", 1 when not given */
	uint8_t direction;    /* its own, enum sdp_direction */
	bool rtcp_mux;
	struct sdp_span type;
	struct sdp_span proto;
	struct sdp_span formats; /* all of them, as written */
};

struct sdp {
	const char *text;
	size_t n;
	uint32_t lines_count;
	uint32_t media_count;
	uint16_t session_end;     /* first line after the session level */
	uint16_t origin_line;     /* or SDP_NO_LINE */
	uint16_t name_line;       /* s= */
	uint16_t connection_line; /* c= of the session level */
	uint8_t direction;        /* of the session level */
	struct sdp_line lines[SDP_LINES_MAX];
	struct sdp_media media[SDP_MEDIA_MAX];
};

#define SDP_ERROR_MAX 128

/* Indexes n bytes of text. 0; -EBADMSG for what is not SDP, -E2BIG beyond a limit, and error holds
 * a terminated sentence ("line 7: port is not a number"). */
int sdp_parse(struct sdp *sdp, const char *text, size_t n, char error[SDP_ERROR_MAX]);

/* The line without its end; behind the "x=" of it; the attribute's value (behind "a=name:", empty
 * if none). */
struct sdp_span sdp_line_text(const struct sdp *sdp, uint32_t line);
struct sdp_span sdp_line_value(const struct sdp *sdp, uint32_t line);
struct sdp_span sdp_attribute_value(const struct sdp *sdp, uint32_t line);

/* The first line from `from` up to (not with) `end` with this attribute, or SDP_NO_LINE. */
uint32_t sdp_find(const struct sdp *sdp, uint32_t from, uint32_t end, enum sdp_attribute attribute);

struct sdp_origin {
	struct sdp_span username, session_id, version, family, address;
};
/* -ENOENT without an o= line, -EBADMSG for a broken one. */
int sdp_origin(const struct sdp *sdp, struct sdp_origin *origin);

/* The address of a c= line ("IN IP4 192.0.2.1", a multicast suffix is passed over). -EBADMSG;
 * -EADDRNOTAVAIL for a host name or another network. */
int sdp_connection_parse(const struct sdp *sdp, uint32_t line, struct address *address);
/* The c= that counts for a media section, its own or the session's. -ENOENT if there is none, and
 * as above. */
int sdp_media_address(const struct sdp *sdp, uint32_t media, struct address *address);

/* The direction that counts: the section's, else the session's, else sendrecv (RFC 8866 6.7). */
enum sdp_direction sdp_media_direction(const struct sdp *sdp, uint32_t media);
/* True when the other side is asked not to send audio: sendonly or inactive, or the old c=0.0.0.0.
 */
bool sdp_media_is_held(const struct sdp *sdp, uint32_t media);
/* Where RTCP is wanted: a=rtcp (RFC 3605), with rtcp-mux the RTP port, else the port after it. The
 * address is that of the media if a=rtcp names none. Port 0 when the media's is 0. Errors as
 * sdp_media_address. */
int sdp_media_rtcp(const struct sdp *sdp, uint32_t media, struct endpoint *rtcp);
/* a=ptime in milliseconds, 0 = not given. */
uint32_t sdp_media_ptime_ms(const struct sdp *sdp, uint32_t media);

struct sdp_codec {
	uint8_t pt;
	uint8_t channels;
	uint32_t rate;        /* clock rate in Hz; 0 = not known */
	struct sdp_span name; /* of rtpmap, or of RFC 3551's table; empty = not known */
	struct sdp_span fmtp; /* parameters, empty = none */
	bool mapped;          /* has an rtpmap line */
};
/* The payload types of an RTP section in their order, at most max. What is no number of 0 to 127 is
 * left out. */
uint32_t sdp_media_codecs(const struct sdp *sdp, uint32_t media, struct sdp_codec *codecs,
			  uint32_t max);

bool sdp_span_equal(struct sdp_span span, const char *text);     /* exactly */
bool sdp_span_equal_any(struct sdp_span span, const char *text); /* ASCII case aside */
/* Decimal digits only, whole span; false when empty or above max. */
bool sdp_span_number(struct sdp_span span, uint64_t max, uint64_t *number);
/* Takes the next word (up to a space) off the front of *rest. Empty at the end. */
struct sdp_span sdp_span_word(struct sdp_span *rest);

const char *sdp_direction_text(enum sdp_direction direction);
/* As the other side of the same stream sees it: sendonly <-> recvonly. */
enum sdp_direction sdp_direction_reverse(enum sdp_direction direction);

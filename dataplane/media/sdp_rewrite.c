/* Walks the lines of an indexed SDP once and writes each as it is, changed, or not at all. */
#include "dataplane/media/sdp_rewrite.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define CODECS_MAX 32

struct writer {
	const struct sdp *sdp;
	const struct sdp_rewrite *rewrite;
	char *out;
	size_t n;
	size_t max;
	bool full;
	const char *eol; /* of lines that are added */
};

static void put(struct writer *w, const char *text, size_t n)
{
	if (w->full || n > w->max - w->n) {
		w->full = true;
		return;
	}
	memcpy(w->out + w->n, text, n);
	w->n += n;
}

static void put_span(struct writer *w, struct sdp_span span)
{
	put(w, span.text, span.len);
}

/* Ends a last line that had no end, or half a one. */
static void put_missing_eol(struct writer *w)
{
	char last = w->n > 0 ? w->out[w->n - 1] : '\n';

	if (last == '\r')
		put(w, "\n", 1);
	else if (last != '\n')
		put(w, w->eol, strlen(w->eol));
}

/* A line of our own. */
static void __attribute__((format(printf, 2, 3)))
put_line(struct writer *w, const char *format, ...)
{
	char line[192];
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (n < 0 || (size_t)n >= sizeof(line)) {
		w->full = true;
		return;
	}
	put_missing_eol(w);
	put(w, line, (size_t)n);
	put(w, w->eol, strlen(w->eol));
}

static void put_eol_of(struct writer *w, uint32_t line)
{
	const struct sdp_line *l = &w->sdp->lines[line];

	put(w, w->sdp->text + l->offset + l->len, l->eol_len);
}

static void put_as_is(struct writer *w, uint32_t line)
{
	put_span(w, sdp_line_text(w->sdp, line));
	put_eol_of(w, line);
}

static const char *family_text(const struct address *address)
{
	return address_is_v4(address) ? "IP4" : "IP6";
}

static void put_address(struct writer *w, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX];

	address_text(address, text);
	put(w, text, strlen(text));
}

static void put_text(struct writer *w, const char *text)
{
	put(w, text, strlen(text));
}

/* ---- session level ---- */

static void put_origin(struct writer *w, uint32_t line)
{
	const struct sdp_rewrite *r = w->rewrite;
	struct sdp_origin origin;
	char number[24];

	if ((!r->origin && !r->version && r->username.len == 0) ||
	    sdp_origin(w->sdp, &origin) != 0) {
		put_as_is(w, line);
		return;
	}
	put_text(w, "o=");
	put_span(w, r->username.len > 0 ? r->username : origin.username);
	put_text(w, " ");
	put_span(w, origin.session_id);
	put_text(w, " ");
	if (r->version) {
		snprintf(number, sizeof(number), "%" PRIu64, r->version_number);
		put_text(w, number);
	} else {
		put_span(w, origin.version);
	}
	put_text(w, " IN ");
	if (r->origin) {
		put_text(w, family_text(&r->origin_address));
		put_text(w, " ");
		put_address(w, &r->origin_address);
	} else {
		put_span(w, origin.family);
		put_text(w, " ");
		put_span(w, origin.address);
	}
	put_eol_of(w, line);
}

static bool connection_is_kept(const struct writer *w, uint32_t line)
{
	struct address address;

	return !w->rewrite->zero_address && sdp_connection_parse(w->sdp, line, &address) == 0 &&
	       address_is_any(&address);
}

static void put_connection(struct writer *w, uint32_t line, const struct address *address)
{
	if (connection_is_kept(w, line)) {
		put_as_is(w, line);
		return;
	}
	put_text(w, "c=IN ");
	put_text(w, family_text(address));
	put_text(w, " ");
	put_address(w, address);
	put_eol_of(w, line);
}

/* The address that the session's c= gets: of the first relayed section that lives by it, or of the
 * first relayed one, or our own when all sections are refused (a party's address never passes).
 * NULL when it stays. */
static const struct address *session_address(const struct writer *w)
{
	const struct address *first = NULL;
	bool refused = true;

	if (w->sdp->connection_line == SDP_NO_LINE ||
	    connection_is_kept(w, w->sdp->connection_line))
		return NULL;
	for (uint32_t i = 0; i < w->sdp->media_count; i++) {
		refused = refused && w->sdp->media[i].port == 0;
		if (!w->rewrite->media[i].relay)
			continue;
		if (w->sdp->media[i].connection_line == SDP_NO_LINE)
			return &w->rewrite->media[i].address;
		if (!first)
			first = &w->rewrite->media[i].address;
	}
	return refused ? &w->rewrite->origin_address : first;
}

/* The session's direction goes when every section gets one of its own. */
static bool session_direction_goes(const struct writer *w)
{
	if (w->rewrite->keep_direction)
		return false;
	for (uint32_t i = 0; i < w->sdp->media_count; i++) {
		if (w->sdp->media[i].port != 0 &&
		    !(w->rewrite->media[i].relay && w->rewrite->media[i].rtp))
			return false;
	}
	return true;
}

/* Attributes that would be untrue in the new text, on either level. */
static bool attribute_goes(const struct writer *w, uint32_t line)
{
	switch (w->sdp->lines[line].attribute) {
	case SDP_ICE:
	case SDP_BUNDLE_ONLY:
		return true;
	case SDP_GROUP:
		return sdp_attribute_value(w->sdp, line).len >= 6 &&
		       memcmp(sdp_attribute_value(w->sdp, line).text, "BUNDLE", 6) == 0;
	case SDP_FINGERPRINT:
	case SDP_SETUP:
	case SDP_TLS_ID:
		return !w->rewrite->keep_dtls;
	default:
		return false;
	}
}

static bool is_direction(uint8_t attribute)
{
	return attribute >= SDP_SENDRECV && attribute <= SDP_INACTIVE;
}

static void put_session(struct writer *w, const struct address *address)
{
	bool direction_goes = session_direction_goes(w);

	for (uint32_t i = 0; i < w->sdp->session_end; i++) {
		const struct sdp_line *line = &w->sdp->lines[i];

		if (i == w->sdp->origin_line) {
			put_origin(w, i);
		} else if (i == w->sdp->name_line && w->rewrite->session_name.len > 0) {
			put_text(w, "s=");
			put_span(w, w->rewrite->session_name);
			put_eol_of(w, i);
		} else if (i == w->sdp->connection_line && address) {
			put_connection(w, i, address);
		} else if (attribute_goes(w, i) ||
			   (is_direction(line->attribute) && direction_goes)) {
			continue;
		} else {
			put_as_is(w, i);
		}
	}
}

/* ---- a media section ---- */

/* Where a section's added lines go. */
struct places {
	uint32_t codecs; /* before this line: missing rtpmaps */
	uint32_t extras; /* behind this line: direction, rtcp, rtcp-mux; SDP_NO_LINE = with the
			    codecs */
	bool direction;  /* the section has these lines already */
	bool rtcp;
	bool rtcp_mux;
};

static void find_places(const struct writer *w, uint32_t media, struct places *p)
{
	const struct sdp_media *m = &w->sdp->media[media];
	uint32_t direction = SDP_NO_LINE, codec = SDP_NO_LINE;
	uint32_t end;

	*p = (struct places){.codecs = m->lines_end, .extras = SDP_NO_LINE};
	while (w->sdp->lines[p->codecs - 1].len == 0)
		p->codecs--; /* before empty lines at the end; the m= line stops it */
	end = p->codecs;
	for (uint32_t i = m->line + 1u; i < m->lines_end; i++) {
		uint8_t attribute = w->sdp->lines[i].attribute;

		if (attribute == SDP_OTHER || attribute > SDP_RTCP_MUX_ONLY)
			continue;
		if (p->codecs == end)
			p->codecs = i;
		if (is_direction(attribute) && direction == SDP_NO_LINE)
			direction = i;
		else if (attribute == SDP_RTPMAP || attribute == SDP_FMTP)
			codec = i;
		else if (attribute == SDP_RTCP)
			p->rtcp = true;
		else if (attribute == SDP_RTCP_MUX)
			p->rtcp_mux = true;
	}
	p->direction = direction != SDP_NO_LINE;
	p->extras = p->direction ? direction : codec;
}

static void put_rtcp(struct writer *w, const struct sdp_rewrite_media *change)
{
	char text[ADDRESS_TEXT_MAX];

	if (change->rtcp_full)
		put_line(w, "a=rtcp:%u IN %s %s", change->rtcp_port, family_text(&change->address),
			 address_text(&change->address, text));
	else
		put_line(w, "a=rtcp:%u", change->rtcp_port);
}

static void put_missing_codecs(struct writer *w, uint32_t media)
{
	struct sdp_codec codecs[CODECS_MAX];
	uint32_t count = sdp_media_codecs(w->sdp, media, codecs, CODECS_MAX);

	for (uint32_t i = 0; i < count; i++) {
		if (codecs[i].mapped || codecs[i].name.len == 0)
			continue;
		if (codecs[i].channels > 1)
			put_line(w, "a=rtpmap:%u %.*s/%u/%u", codecs[i].pt, (int)codecs[i].name.len,
				 codecs[i].name.text, codecs[i].rate, codecs[i].channels);
		else
			put_line(w, "a=rtpmap:%u %.*s/%u", codecs[i].pt, (int)codecs[i].name.len,
				 codecs[i].name.text, codecs[i].rate);
	}
}

/* The direction to state. Who has the zero address hears nothing, whatever else it says (RFC
 * 3264 8.4). */
static const char *direction_text(const struct writer *w, uint32_t media)
{
	enum sdp_direction direction = sdp_media_direction(w->sdp, media);
	struct address address;

	if (sdp_media_address(w->sdp, media, &address) == 0 && address_is_any(&address)) {
		if (direction == SDP_DIRECTION_SENDRECV)
			direction = SDP_DIRECTION_SENDONLY;
		else if (direction == SDP_DIRECTION_RECVONLY)
			direction = SDP_DIRECTION_INACTIVE;
	}
	return sdp_direction_text(direction);
}

static void put_extras(struct writer *w, uint32_t media, const struct places *places)
{
	const struct sdp_rewrite_media *change = &w->rewrite->media[media];

	if (!places->direction && !w->rewrite->keep_direction)
		put_line(w, "a=%s", direction_text(w, media));
	if (!places->rtcp && change->rtcp_port != 0)
		put_rtcp(w, change);
	if (!places->rtcp_mux && change->rtcp_mux)
		put_line(w, "a=rtcp-mux");
}

/* The m= line: port and protocol exchanged in place. */
static void put_media_line(struct writer *w, uint32_t media)
{
	const struct sdp_media *m = &w->sdp->media[media];
	const struct sdp_rewrite_media *change = &w->rewrite->media[media];
	struct sdp_span line = sdp_line_text(w->sdp, m->line);
	const char *end = line.text + line.len;
	const char *port = m->type.text + m->type.len;
	char number[8];

	while (port < end && *port == ' ')
		port++;
	put(w, line.text, (size_t)(port - line.text));
	snprintf(number, sizeof(number), "%u", change->port);
	put_text(w, number);
	while (port < end && *port >= '0' && *port <= '9')
		port++;
	put(w, port, (size_t)(m->proto.text - port));
	if (change->proto)
		put_text(w, change->proto);
	else
		put_span(w, m->proto);
	put(w, m->proto.text + m->proto.len, (size_t)(end - (m->proto.text + m->proto.len)));
	put_eol_of(w, m->line);
}

/* A section without c= of its own needs one when the session's no longer says the right thing. */
static void put_own_connection(struct writer *w, uint32_t media, const struct address *session)
{
	const struct sdp_media *m = &w->sdp->media[media];
	const struct sdp_rewrite_media *change = &w->rewrite->media[media];
	char text[ADDRESS_TEXT_MAX];

	if (m->connection_line != SDP_NO_LINE || !session)
		return;
	if (change->relay && !address_equal(&change->address, session)) {
		put_line(w, "c=IN %s %s", family_text(&change->address),
			 address_text(&change->address, text));
	} else if (!change->relay && m->port != 0) {
		struct sdp_span line = sdp_line_text(w->sdp, w->sdp->connection_line);

		put_missing_eol(w);
		put_span(w, line);
		put_text(w, w->eol);
	}
}

/* Whether a line of a relayed section was dealt with other than as it is. */
static bool put_changed(struct writer *w, uint32_t media, uint32_t line, bool *direction_done,
			bool *rtcp_done)
{
	const struct sdp_rewrite_media *change = &w->rewrite->media[media];
	uint8_t attribute = w->sdp->lines[line].attribute;

	if (line == w->sdp->media[media].connection_line) {
		put_connection(w, line, &change->address);
		return true;
	}
	if (!change->rtp)
		return false;
	if (is_direction(attribute) && !w->rewrite->keep_direction) {
		if (!*direction_done)
			put_line(w, "a=%s", direction_text(w, media));
		*direction_done = true;
		return true;
	}
	if (attribute == SDP_RTCP) {
		if (!*rtcp_done && change->rtcp_port != 0)
			put_rtcp(w, change);
		*rtcp_done = true;
		return true;
	}
	return (attribute == SDP_RTCP_MUX || attribute == SDP_RTCP_MUX_ONLY) && !change->rtcp_mux;
}

static const char *eol_of(const struct sdp *sdp, uint32_t line)
{
	return sdp->lines[line].eol_len == 1 ? "\n" : "\r\n";
}

static void put_media(struct writer *w, uint32_t media, const struct address *session)
{
	const struct sdp_media *m = &w->sdp->media[media];
	const struct sdp_rewrite_media *change = &w->rewrite->media[media];
	bool add = change->relay && change->rtp;
	bool direction_done = false, rtcp_done = false;
	struct places places;
	uint32_t line = m->line;

	find_places(w, media, &places);
	if (change->relay)
		put_media_line(w, media);
	else
		put_as_is(w, line);
	line++;
	for (; line < m->lines_end && w->sdp->lines[line].type == 'i'; line++)
		put_as_is(w, line);
	put_own_connection(w, media, session);
	for (; line < m->lines_end; line++) {
		if (add && line == places.codecs) {
			put_missing_codecs(w, media);
			if (places.extras == SDP_NO_LINE)
				put_extras(w, media, &places);
		}
		if (!(w->sdp->lines[line].type == 'a' && attribute_goes(w, line)) &&
		    !(change->relay && put_changed(w, media, line, &direction_done, &rtcp_done)))
			put_as_is(w, line);
		if (add && line == places.extras)
			put_extras(w, media, &places);
	}
	if (add && places.codecs == m->lines_end) {
		put_missing_codecs(w, media);
		put_extras(w, media, &places);
	}
}

int64_t sdp_rewrite(const struct sdp *sdp, const struct sdp_rewrite *rewrite, char *out, size_t max)
{
	struct writer w = {.sdp = sdp,
			   .rewrite = rewrite,
			   .out = out,
			   .max = max,
			   .eol = sdp->lines_count ? eol_of(sdp, 0) : "\r\n"};
	const struct address *session = session_address(&w);

	put_session(&w, session);
	for (uint32_t i = 0; i < sdp->media_count; i++)
		put_media(&w, i, session);
	return w.full ? -ENOSPC : (int64_t)w.n;
}

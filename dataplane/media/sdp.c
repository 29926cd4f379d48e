/* The index over an SDP text: one pass over the lines, then questions answered from the index. */
#include "dataplane/media/sdp.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

/* ---- spans ---- */

bool sdp_span_equal(struct sdp_span span, const char *text)
{
	return strlen(text) == span.len && memcmp(span.text, text, span.len) == 0;
}

bool sdp_span_equal_any(struct sdp_span span, const char *text)
{
	return strlen(text) == span.len && strncasecmp(span.text, text, span.len) == 0;
}

bool sdp_span_number(struct sdp_span span, uint64_t max, uint64_t *number)
{
	uint64_t n = 0;

	if (span.len == 0)
		return false;
	for (size_t i = 0; i < span.len; i++) {
		unsigned int digit = (unsigned int)((unsigned char)span.text[i] - '0');

		if (digit > 9 || n > (max - digit) / 10 || digit > max)
			return false;
		n = n * 10 + digit;
	}
	*number = n;
	return true;
}

struct sdp_span sdp_span_word(struct sdp_span *rest)
{
	struct sdp_span word;

	while (rest->len > 0 && *rest->text == ' ') {
		rest->text++;
		rest->len--;
	}
	word = (struct sdp_span){rest->text, 0};
	while (word.len < rest->len && rest->text[word.len] != ' ')
		word.len++;
	rest->text += word.len;
	rest->len -= word.len;
	return word;
}

/* Splits at the first `at`: returns what is before it, *rest becomes what is behind (empty if there
 * is none). */
static struct sdp_span span_split(struct sdp_span *rest, char at)
{
	const char *found = rest->len ? memchr(rest->text, at, rest->len) : NULL;
	struct sdp_span before = *rest;

	if (!found) {
		rest->text += rest->len;
		rest->len = 0;
		return before;
	}
	before.len = (size_t)(found - rest->text);
	rest->text = found + 1;
	rest->len -= before.len + 1;
	return before;
}

/* ---- lines ---- */

struct sdp_span sdp_line_text(const struct sdp *sdp, uint32_t line)
{
	assert(line < sdp->lines_count);
	return (struct sdp_span){sdp->text + sdp->lines[line].offset, sdp->lines[line].len};
}

struct sdp_span sdp_line_value(const struct sdp *sdp, uint32_t line)
{
	struct sdp_span span = sdp_line_text(sdp, line);

	if (span.len >= 2) {
		span.text += 2;
		span.len -= 2;
	}
	return span;
}

struct sdp_span sdp_attribute_value(const struct sdp *sdp, uint32_t line)
{
	struct sdp_span span = sdp_line_value(sdp, line);

	span_split(&span, ':');
	return span;
}

uint32_t sdp_find(const struct sdp *sdp, uint32_t from, uint32_t end, enum sdp_attribute attribute)
{
	for (uint32_t i = from; i < end && i < sdp->lines_count; i++) {
		if (sdp->lines[i].type == 'a' && sdp->lines[i].attribute == attribute)
			return i;
	}
	return SDP_NO_LINE;
}

static uint8_t attribute_of(struct sdp_span value)
{
	static const struct {
		const char *name;
		uint8_t attribute;
	} names[] = {
		{"rtpmap", SDP_RTPMAP},
		{"fmtp", SDP_FMTP},
		{"ptime", SDP_PTIME},
		{"maxptime", SDP_MAXPTIME},
		{"sendrecv", SDP_SENDRECV},
		{"sendonly", SDP_SENDONLY},
		{"recvonly", SDP_RECVONLY},
		{"inactive", SDP_INACTIVE},
		{"rtcp", SDP_RTCP},
		{"rtcp-mux", SDP_RTCP_MUX},
		{"rtcp-mux-only", SDP_RTCP_MUX_ONLY},
		{"candidate", SDP_ICE},
		{"remote-candidates", SDP_ICE},
		{"end-of-candidates", SDP_ICE},
		{"group", SDP_GROUP},
		{"mid", SDP_MID},
		{"bundle-only", SDP_BUNDLE_ONLY},
		{"label", SDP_LABEL},
		{"crypto", SDP_CRYPTO},
		{"fingerprint", SDP_FINGERPRINT},
		{"setup", SDP_SETUP},
		{"tls-id", SDP_TLS_ID},
	};
	struct sdp_span name = span_split(&value, ':');

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (sdp_span_equal_any(name, names[i].name))
			return names[i].attribute;
	}
	return name.len > 4 && strncasecmp(name.text, "ice-", 4) == 0 ? SDP_ICE : SDP_OTHER;
}

static int line_error(char *error, uint32_t line, const char *what)
{
	snprintf(error, SDP_ERROR_MAX, "line %u: %s", line + 1, what);
	return -EBADMSG;
}

/* ---- the pass ---- */

/* m=<media> <port>[/<number of ports>] <proto> <fmt> ... (RFC 8866 5.14) */
static int parse_media(struct sdp *sdp, uint32_t line, char *error)
{
	struct sdp_span rest = sdp_line_value(sdp, line);
	struct sdp_media *media;
	struct sdp_span word;
	uint64_t number;

	if (sdp->media_count == SDP_MEDIA_MAX) {
		snprintf(error, SDP_ERROR_MAX, "line %u: more than %u m= lines", line + 1,
			 SDP_MEDIA_MAX);
		return -E2BIG;
	}
	media = &sdp->media[sdp->media_count];
	*media = (struct sdp_media){.line = (uint16_t)line,
				    .connection_line = SDP_NO_LINE,
				    .rtcp_line = SDP_NO_LINE,
				    .ports_count = 1};
	media->type = sdp_span_word(&rest);
	word = sdp_span_word(&rest);
	if (!sdp_span_number(span_split(&word, '/'), UINT16_MAX, &number))
		return line_error(error, line, "m= has no port number of 0 to 65535");
	media->port = (uint16_t)number;
	if (word.len > 0) {
		if (!sdp_span_number(word, UINT16_MAX, &number) || number == 0)
			return line_error(error, line, "m= has a broken number of ports");
		media->ports_count = (uint16_t)number;
	}
	media->proto = sdp_span_word(&rest);
	if (media->proto.len == 0)
		return line_error(error, line, "m= has no protocol");
	while (rest.len > 0 && *rest.text == ' ') {
		rest.text++;
		rest.len--;
	}
	media->formats = rest;
	if (sdp->media_count == 0)
		sdp->session_end = (uint16_t)line;
	else
		sdp->media[sdp->media_count - 1].lines_end = (uint16_t)line;
	sdp->media_count++;
	return 0;
}

static void index_attribute(struct sdp *sdp, struct sdp_media *media, uint32_t line)
{
	struct sdp_line *l = &sdp->lines[line];

	l->attribute = attribute_of(sdp_line_value(sdp, line));
	if (l->attribute >= SDP_SENDRECV && l->attribute <= SDP_INACTIVE) {
		uint8_t direction = (uint8_t)(l->attribute - SDP_SENDRECV + SDP_DIRECTION_SENDRECV);

		if (media)
			media->direction = direction;
		else
			sdp->direction = direction;
	}
	if (!media)
		return;
	if (l->attribute == SDP_RTCP)
		media->rtcp_line = (uint16_t)line;
	else if (l->attribute == SDP_RTCP_MUX || l->attribute == SDP_RTCP_MUX_ONLY)
		media->rtcp_mux = true;
}

static int index_line(struct sdp *sdp, uint32_t line, char *error)
{
	struct sdp_media *media = sdp->media_count ? &sdp->media[sdp->media_count - 1] : NULL;

	switch (sdp->lines[line].type) {
	case 'm':
		return parse_media(sdp, line, error);
	case 'a':
		index_attribute(sdp, media, line);
		break;
	case 'c':
		if (!media && sdp->connection_line == SDP_NO_LINE)
			sdp->connection_line = (uint16_t)line;
		else if (media && media->connection_line == SDP_NO_LINE)
			media->connection_line = (uint16_t)line;
		break;
	case 'o':
		if (!media && sdp->origin_line == SDP_NO_LINE)
			sdp->origin_line = (uint16_t)line;
		break;
	case 's':
		if (!media && sdp->name_line == SDP_NO_LINE)
			sdp->name_line = (uint16_t)line;
		break;
	default:
		break;
	}
	return 0;
}

/* Cuts the line at `at` out of the text; returns where the next one begins. */
static size_t cut_line(const struct sdp *sdp, size_t at, struct sdp_line *line)
{
	const char *end = memchr(sdp->text + at, '\n', sdp->n - at);
	size_t len = end ? (size_t)(end - sdp->text) - at : sdp->n - at;
	size_t eol = end ? 1 : 0;

	if (len > 0 && sdp->text[at + len - 1] == '\r') {
		len--;
		eol++;
	}
	*line = (struct sdp_line){
		.offset = (uint16_t)at, .len = (uint16_t)len, .eol_len = (uint8_t)eol};
	return at + len + eol;
}

static bool line_is_sound(const struct sdp *sdp, const struct sdp_line *line)
{
	const char *text = sdp->text + line->offset;

	if (line->len < 2 || text[1] != '=' || text[0] < 'a' || text[0] > 'z')
		return false;
	return memchr(text, '\0', line->len) == NULL && memchr(text, '\r', line->len) == NULL;
}

int sdp_parse(struct sdp *sdp, const char *text, size_t n, char error[SDP_ERROR_MAX])
{
	int rc;

	sdp->text = text;
	sdp->n = n;
	sdp->lines_count = 0;
	sdp->media_count = 0;
	sdp->origin_line = SDP_NO_LINE;
	sdp->name_line = SDP_NO_LINE;
	sdp->connection_line = SDP_NO_LINE;
	sdp->direction = SDP_DIRECTION_NONE;
	if (n > SDP_BYTES_MAX) {
		snprintf(error, SDP_ERROR_MAX, "more than %u bytes", SDP_BYTES_MAX);
		return -E2BIG;
	}
	for (size_t at = 0; at < n;) {
		struct sdp_line *line = &sdp->lines[sdp->lines_count];

		if (sdp->lines_count == SDP_LINES_MAX) {
			snprintf(error, SDP_ERROR_MAX, "more than %u lines", SDP_LINES_MAX);
			return -E2BIG;
		}
		at = cut_line(sdp, at, line);
		sdp->lines_count++;
		if (line->len == 0)
			continue;
		if (!line_is_sound(sdp, line))
			return line_error(error, sdp->lines_count - 1,
					  "not of the form <letter>=<value>");
		line->type = text[line->offset];
		rc = index_line(sdp, sdp->lines_count - 1, error);
		if (rc != 0)
			return rc;
	}
	if (sdp->lines_count == 0 || sdp->lines[0].type != 'v')
		return line_error(error, 0, "v= is missing");
	if (sdp->media_count == 0)
		sdp->session_end = (uint16_t)sdp->lines_count;
	else
		sdp->media[sdp->media_count - 1].lines_end = (uint16_t)sdp->lines_count;
	return 0;
}

/* ---- questions ---- */

int sdp_origin(const struct sdp *sdp, struct sdp_origin *origin)
{
	struct sdp_span rest;

	if (sdp->origin_line == SDP_NO_LINE)
		return -ENOENT;
	rest = sdp_line_value(sdp, sdp->origin_line);
	origin->username = sdp_span_word(&rest);
	origin->session_id = sdp_span_word(&rest);
	origin->version = sdp_span_word(&rest);
	sdp_span_word(&rest); /* nettype */
	origin->family = sdp_span_word(&rest);
	origin->address = sdp_span_word(&rest);
	return origin->address.len == 0 ? -EBADMSG : 0;
}

/* "IN IP4 address": from spans that may have more behind them. */
static int parse_network_address(struct sdp_span rest, struct address *address)
{
	struct sdp_span network = sdp_span_word(&rest);
	struct sdp_span family = sdp_span_word(&rest);
	struct sdp_span word = sdp_span_word(&rest);
	struct sdp_span literal = span_split(&word, '/');

	if (literal.len == 0)
		return -EBADMSG;
	if (!sdp_span_equal_any(network, "IN"))
		return -EADDRNOTAVAIL;
	if (address_parse(address, literal.text, literal.len) != 0)
		return -EADDRNOTAVAIL;
	if (!sdp_span_equal_any(family, "IP4") && !sdp_span_equal_any(family, "IP6"))
		return -EBADMSG;
	return 0;
}

int sdp_connection_parse(const struct sdp *sdp, uint32_t line, struct address *address)
{
	return parse_network_address(sdp_line_value(sdp, line), address);
}

int sdp_media_address(const struct sdp *sdp, uint32_t media, struct address *address)
{
	uint16_t line;

	assert(media < sdp->media_count);
	line = sdp->media[media].connection_line;
	if (line == SDP_NO_LINE)
		line = sdp->connection_line;
	return line == SDP_NO_LINE ? -ENOENT : sdp_connection_parse(sdp, line, address);
}

enum sdp_direction sdp_media_direction(const struct sdp *sdp, uint32_t media)
{
	assert(media < sdp->media_count);
	if (sdp->media[media].direction != SDP_DIRECTION_NONE)
		return sdp->media[media].direction;
	return sdp->direction != SDP_DIRECTION_NONE ? sdp->direction : SDP_DIRECTION_SENDRECV;
}

bool sdp_media_is_held(const struct sdp *sdp, uint32_t media)
{
	enum sdp_direction direction = sdp_media_direction(sdp, media);
	struct address address;

	if (direction == SDP_DIRECTION_SENDONLY || direction == SDP_DIRECTION_INACTIVE)
		return true;
	return sdp_media_address(sdp, media, &address) == 0 && address_is_any(&address);
}

int sdp_media_rtcp(const struct sdp *sdp, uint32_t media, struct endpoint *rtcp)
{
	const struct sdp_media *m = &sdp->media[media];
	struct sdp_span rest;
	uint64_t port;
	int rc = sdp_media_address(sdp, media, &rtcp->address);

	if (rc != 0)
		return rc;
	rtcp->port = m->port == UINT16_MAX || m->port == 0 ? 0 : (uint16_t)(m->port + 1);
	if (m->port == 0)
		return 0;
	if (m->rtcp_mux) {
		rtcp->port = m->port;
		return 0;
	}
	if (m->rtcp_line == SDP_NO_LINE)
		return 0;
	rest = sdp_attribute_value(sdp, m->rtcp_line);
	if (!sdp_span_number(sdp_span_word(&rest), UINT16_MAX, &port))
		return 0; /* a broken a=rtcp is as good as none */
	rtcp->port = (uint16_t)port;
	if (rest.len > 0) {
		struct address address;

		if (parse_network_address(rest, &address) == 0)
			rtcp->address = address;
	}
	return 0;
}

uint32_t sdp_media_ptime_ms(const struct sdp *sdp, uint32_t media)
{
	uint32_t line =
		sdp_find(sdp, sdp->media[media].line, sdp->media[media].lines_end, SDP_PTIME);
	struct sdp_span value;
	uint64_t ptime_ms;

	if (line == SDP_NO_LINE)
		return 0;
	value = sdp_attribute_value(sdp, line);
	return sdp_span_number(sdp_span_word(&value), 10000, &ptime_ms) ? (uint32_t)ptime_ms : 0;
}

/* ---- codecs ---- */

/* RFC 3551 6, tables 4 and 5. */
static const struct {
	uint8_t pt;
	uint8_t channels;
	uint32_t rate;
	const char *name;
} static_codecs[] = {
	{0, 1, 8000, "PCMU"},   {3, 1, 8000, "GSM"},    {4, 1, 8000, "G723"},
	{5, 1, 8000, "DVI4"},   {6, 1, 16000, "DVI4"},  {7, 1, 8000, "LPC"},
	{8, 1, 8000, "PCMA"},   {9, 1, 8000, "G722"},   {10, 2, 44100, "L16"},
	{11, 1, 44100, "L16"},  {12, 1, 8000, "QCELP"}, {13, 1, 8000, "CN"},
	{14, 1, 90000, "MPA"},  {15, 1, 8000, "G728"},  {16, 1, 11025, "DVI4"},
	{17, 1, 22050, "DVI4"}, {18, 1, 8000, "G729"},  {25, 1, 90000, "CelB"},
	{26, 1, 90000, "JPEG"}, {28, 1, 90000, "nv"},   {31, 1, 90000, "H261"},
	{32, 1, 90000, "MPV"},  {33, 1, 90000, "MP2T"}, {34, 1, 90000, "H263"},
};

static void codec_default(struct sdp_codec *codec, uint8_t pt)
{
	*codec = (struct sdp_codec){.pt = pt, .channels = 1, .name = {"", 0}, .fmtp = {"", 0}};
	for (size_t i = 0; i < sizeof(static_codecs) / sizeof(static_codecs[0]); i++) {
		if (static_codecs[i].pt != pt)
			continue;
		codec->channels = static_codecs[i].channels;
		codec->rate = static_codecs[i].rate;
		codec->name =
			(struct sdp_span){static_codecs[i].name, strlen(static_codecs[i].name)};
	}
}

/* The list's entry for the payload type that *value begins with, which is taken off. */
static struct sdp_codec *codec_of_line(struct sdp_codec *codecs, uint32_t count,
				       struct sdp_span *value)
{
	uint64_t pt;

	if (!sdp_span_number(sdp_span_word(value), 127, &pt))
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		if (codecs[i].pt == pt)
			return &codecs[i];
	}
	return NULL;
}

/* rtpmap:<pt> <name>/<rate>[/<channels>] (RFC 8866 6.6) */
static void apply_rtpmap(struct sdp_codec *codec, struct sdp_span value)
{
	struct sdp_span rest = sdp_span_word(&value);
	struct sdp_span name = span_split(&rest, '/');
	struct sdp_span rate = span_split(&rest, '/');
	uint64_t number;

	if (name.len == 0 || !sdp_span_number(rate, UINT32_MAX, &number))
		return;
	codec->mapped = true;
	codec->name = name;
	codec->rate = (uint32_t)number;
	codec->channels = 1;
	if (sdp_span_number(rest, UINT8_MAX, &number) && number > 0)
		codec->channels = (uint8_t)number;
}

uint32_t sdp_media_codecs(const struct sdp *sdp, uint32_t media, struct sdp_codec *codecs,
			  uint32_t max)
{
	const struct sdp_media *m = &sdp->media[media];
	struct sdp_span rest = m->formats;
	uint32_t count = 0;

	while (rest.len > 0 && count < max) {
		struct sdp_span word = sdp_span_word(&rest);
		uint64_t pt;

		if (sdp_span_number(word, 127, &pt))
			codec_default(&codecs[count++], (uint8_t)pt);
	}
	for (uint32_t i = m->line + 1; i < m->lines_end; i++) {
		struct sdp_codec *codec;
		struct sdp_span value;

		if (sdp->lines[i].attribute != SDP_RTPMAP && sdp->lines[i].attribute != SDP_FMTP)
			continue;
		value = sdp_attribute_value(sdp, i);
		codec = codec_of_line(codecs, count, &value);
		if (!codec)
			continue;
		if (sdp->lines[i].attribute == SDP_RTPMAP) {
			apply_rtpmap(codec, value);
		} else {
			while (value.len > 0 && *value.text == ' ') {
				value.text++;
				value.len--;
			}
			codec->fmtp = value;
		}
	}
	return count;
}

const char *sdp_direction_text(enum sdp_direction direction)
{
	switch (direction) {
	case SDP_DIRECTION_SENDONLY:
		return "sendonly";
	case SDP_DIRECTION_RECVONLY:
		return "recvonly";
	case SDP_DIRECTION_INACTIVE:
		return "inactive";
	case SDP_DIRECTION_NONE:
	case SDP_DIRECTION_SENDRECV:
		break;
	}
	return "sendrecv";
}

enum sdp_direction sdp_direction_reverse(enum sdp_direction direction)
{
	if (direction == SDP_DIRECTION_SENDONLY)
		return SDP_DIRECTION_RECVONLY;
	if (direction == SDP_DIRECTION_RECVONLY)
		return SDP_DIRECTION_SENDONLY;
	return direction;
}

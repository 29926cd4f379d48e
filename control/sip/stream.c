/* Cutting messages out of a byte stream. */
#include "control/sip/chars.h"
#include "control/sip/message.h"

/* Position behind the CRLF CRLF at or behind from, 0 if there is none yet. */
static uint32_t head_end(const char *bytes, uint32_t n, uint32_t from)
{
	const char *p = bytes + from;
	const char *end = bytes + n;

	while (p < end) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			return 0;
		if (p - bytes >= 3 && memcmp(p - 3, "\r\n\r\n", 4) == 0)
			return (uint32_t)(p + 1 - bytes);
		p++;
	}
	return 0;
}

/* Value of a line "Content-Length: 5" or "l:5"; false if it is another header. */
static bool is_content_length(struct sip_text line, struct sip_text *value)
{
	uint32_t n = 0;
	struct sip_text name;

	while (n < line.n && sip_is_token(line.at[n]))
		n++;
	name = (struct sip_text){line.at, n};
	if (!sip_text_is(name, "l") && !sip_text_is(name, "Content-Length"))
		return false;
	while (n < line.n && sip_is_space(line.at[n]))
		n++;
	if (n == line.n || line.at[n] != ':')
		return false;
	*value = sip_text_trim((struct sip_text){line.at + n + 1, line.n - n - 1});
	return true;
}

/* Reads Content-Length from the head. A peer that leaves it out has no body (against RFC
 * 3261 20.14, but seen). Returns NULL or what is wrong. */
static const char *find_length(const char *head, uint32_t n, uint64_t *length)
{
	const char *p = head;
	const char *end = head + n;
	bool found = false;

	*length = 0;
	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		struct sip_text value;

		/* folded lines belong to the one before */
		while (newline && newline + 1 < end && (newline[1] == ' ' || newline[1] == '\t'))
			newline = memchr(newline + 1, '\n', (size_t)(end - newline - 1));
		if (!newline)
			newline = end - 1;
		if (is_content_length((struct sip_text){p, (uint32_t)(newline - p)}, &value)) {
			if (found)
				return "Multiple Content-Length";
			found = true;
			if (sip_text_number(value, SIP_MESSAGE_SIZE_MAX, length) < 0)
				return "Bad Content-Length";
		}
		p = newline + 1;
	}
	return NULL;
}

enum sip_stream_result sip_stream_next(const char *bytes, uint32_t n, uint32_t *scanned,
				       uint32_t *skip, uint32_t *size, const char **reason)
{
	uint32_t at = 0;
	uint32_t end;
	uint64_t length;

	*skip = 0;
	*size = 0;
	if (n >= 4 && memcmp(bytes, "\r\n\r\n", 4) == 0) {
		*size = 4;
		return SIP_STREAM_KEEPALIVE;
	}
	if (n >= 2 && bytes[0] == '\r' && bytes[1] == '\n') {
		if (n == 2 || (n == 3 && bytes[2] == '\r'))
			return SIP_STREAM_MORE;
		at = 2;
	} else if (n == 1 && bytes[0] == '\r') {
		return SIP_STREAM_MORE;
	}
	end = head_end(bytes + at, n - at, *scanned > at ? *scanned - at : 0);
	if (end == 0) {
		*scanned = n > 3 ? n - 3 : 0;
		*reason = "Message Too Large";
		return n - at > SIP_MESSAGE_SIZE_MAX ? SIP_STREAM_BROKEN : SIP_STREAM_MORE;
	}
	*scanned = at + end > 4 ? at + end - 4 : 0;
	*skip = at;
	*size = end;
	*reason = find_length(bytes + at, end, &length);
	if (*reason)
		return SIP_STREAM_BROKEN;
	if (end + length > SIP_MESSAGE_SIZE_MAX) {
		*reason = "Message Too Large";
		return SIP_STREAM_BROKEN;
	}
	if (n - at < end + length)
		return SIP_STREAM_MORE;
	*size = end + (uint32_t)length;
	return SIP_STREAM_MESSAGE;
}

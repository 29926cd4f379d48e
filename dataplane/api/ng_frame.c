/* Messages out of a stream of bytes; see the header. */
#include "dataplane/api/ng_frame.h"

#include <errno.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A cookie is printable, so that it can be logged and compared without surprises. */
static bool is_cookie(char c)
{
	return c > ' ' && c < 0x7f;
}

static int frame_error(const char **reason, const char *sentence)
{
	*reason = sentence;
	return -EBADMSG;
}

/* The byte at frame->at. 1 = was the last one of the message, 0 = go on, -EBADMSG. */
static int bencode_step(struct ng_frame *frame, char c, const char **reason)
{
	if (frame->in_integer) {
		frame->in_integer = c != 'e';
		return 0;
	}
	switch (c) {
	case '0' ... '9':
		frame->length = frame->length * 10 + (size_t)(c - '0');
		if (frame->length > NG_MESSAGE_MAX)
			return frame_error(reason, "Bencode string is longer than any message");
		return 0;
	case ':':
		frame->skip = frame->length;
		break;
	case 'd':
	case 'l':
		frame->depth++;
		break;
	case 'i':
		frame->in_integer = true;
		break;
	case 'e':
		if (--frame->depth == 0)
			return 1;
		break;
	default:
		return frame_error(reason, "Bencode value has an unknown type");
	}
	frame->length = 0;
	return 0;
}

static int json_step(struct ng_frame *frame, char c)
{
	if (frame->in_string) {
		if (frame->escaped)
			frame->escaped = false;
		else if (c == '\\')
			frame->escaped = true;
		else if (c == '"')
			frame->in_string = false;
		return 0;
	}
	if (c == '"')
		frame->in_string = true;
	else if (c == '{' || c == '[')
		frame->depth++;
	else if ((c == '}' || c == ']') && --frame->depth == 0)
		return 1;
	return 0;
}

static int cookie_step(struct ng_frame *frame, char c, const char **reason)
{
	if (frame->phase == NG_FRAME_SPACE) {
		if (is_space(c))
			return 0;
		frame->phase = NG_FRAME_COOKIE;
		frame->cookie_start = frame->at;
	}
	if (frame->cookie_len == 0) {
		if (is_cookie(c) && frame->at - frame->cookie_start < NG_COOKIE_MAX)
			return 0;
		if (c != ' ' || frame->at == frame->cookie_start)
			return frame_error(reason, "Message does not begin with a cookie");
		frame->cookie_len = frame->at - frame->cookie_start;
		return 0;
	}
	if (c != 'd' && c != '{')
		return frame_error(reason, "Message is neither a bencode nor a JSON dictionary");
	frame->phase = c == 'd' ? NG_FRAME_BENCODE : NG_FRAME_JSON;
	frame->depth = 1;
	return 0;
}

int64_t ng_frame_scan(struct ng_frame *frame, const char *text, size_t n, const char **reason)
{
	while (frame->at < n) {
		char c = text[frame->at];
		int step;

		if (frame->skip > 0) {
			size_t here = n - frame->at < frame->skip ? n - frame->at : frame->skip;

			frame->skip -= here;
			frame->at += here;
			continue;
		}
		if (frame->phase == NG_FRAME_BENCODE)
			step = bencode_step(frame, c, reason);
		else if (frame->phase == NG_FRAME_JSON)
			step = json_step(frame, c);
		else
			step = cookie_step(frame, c, reason);
		if (step < 0)
			return step;
		frame->at++;
		if (step > 0)
			return (int64_t)frame->at;
	}
	if (frame->at >= NG_MESSAGE_MAX + NG_COOKIE_MAX + 1)
		return frame_error(reason, "Message is too long");
	return -EAGAIN;
}

int ng_datagram_split(const char *text, size_t n, const char **cookie, size_t *cookie_len,
		      const char **dictionary, size_t *dictionary_len)
{
	size_t at = 0;

	while (at < n && at < NG_COOKIE_MAX && is_cookie(text[at]))
		at++;
	if (at == 0 || at == n || text[at] != ' ')
		return -EBADMSG;
	*cookie = text;
	*cookie_len = at;
	*dictionary = text + at + 1;
	*dictionary_len = n - at - 1;
	return 0;
}

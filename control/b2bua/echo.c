/*
 * The echo: a call that we answer ourselves. The dataplane sends the caller's media back to the
 * caller (ng media-echo); the other side of the session is an SDP of ours that nobody listens at.
 */
#include "control/b2bua/call.h"

#include <errno.h>
#include <string.h>

/* Next line of the SDP without its line end; false at the end. */
static bool line_next(struct sip_text *rest, struct sip_text *line)
{
	const char *end;

	if (!rest->n)
		return false;
	end = memchr(rest->at, '\n', rest->n);
	line->at = rest->at;
	line->n = end ? (uint32_t)(end - rest->at) : rest->n;
	rest->at += line->n + (end ? 1 : 0);
	rest->n -= line->n + (end ? 1 : 0);
	if (line->n && line->at[line->n - 1] == '\r')
		line->n--;
	return true;
}

static bool line_begins(struct sip_text line, const char *with)
{
	size_t n = strlen(with);

	return line.n >= n && memcmp(line.at, with, n) == 0;
}

static void put_line(struct sip_builder *b, struct sip_text line)
{
	sip_put_text(b, line);
	sip_put_string(b, "\r\n");
}

/* "m=audio 4000 RTP/AVP 0 8" with the port replaced; false when it is no m= line. */
static bool put_media(struct sip_builder *b, struct sip_text line, bool accepted)
{
	const char *end = line.at + line.n;
	const char *port = memchr(line.at, ' ', line.n);
	const char *rest = port ? memchr(port + 1, ' ', (size_t)(end - port - 1)) : NULL;

	if (!rest)
		return false;
	sip_put_text(b, (struct sip_text){.at = line.at, .n = (uint32_t)(port - line.at)});
	sip_put_string(b, accepted ? " 9" : " 0");
	put_line(b, (struct sip_text){.at = rest, .n = (uint32_t)(end - rest)});
	return true;
}

/* RFC 3264 6.1: the answer mirrors the direction. */
static const char *mirrored(struct sip_text line)
{
	if (sip_text_is(line, "a=sendonly"))
		return "a=recvonly\r\n";
	if (sip_text_is(line, "a=recvonly"))
		return "a=sendonly\r\n";
	if (sip_text_is(line, "a=inactive"))
		return "a=inactive\r\n";
	return NULL;
}

int echo_sdp(struct sip_text offer, char *out, size_t size)
{
	struct sip_builder b;
	struct sip_text line;
	bool audio = false, media = false, any = false;
	int err;

	sip_builder_init(&b, out, (uint32_t)size);
	sip_put_string(&b, "v=0\r\no=tandem 1 1 IN IP4 127.0.0.1\r\ns=-\r\n"
			   "c=IN IP4 127.0.0.1\r\nt=0 0\r\n");
	while (line_next(&offer, &line)) {
		const char *direction = mirrored(line);

		if (line_begins(line, "m=")) {
			media = true;
			audio = line_begins(line, "m=audio ") && !line_begins(line, "m=audio 0 ");
			any = any || audio;
			if (!put_media(&b, line, audio))
				return -EINVAL;
		} else if (direction && (audio || !media)) {
			sip_put_string(&b, direction);
		} else if (audio &&
			   (line_begins(line, "a=rtpmap:") || line_begins(line, "a=fmtp:") ||
			    line_begins(line, "a=ptime:"))) {
			put_line(&b, line);
		}
	}
	err = sip_builder_result(&b);
	if (err)
		return err;
	return any ? (int)b.n : -EINVAL;
}

static void echo_answered(struct call *call, struct leg *leg, const struct media_result *result)
{
	(void)leg;
	if (call->phase == CALL_UP)
		reinvite_echoed(call, result);
	else if (result->sdp.at)
		call_answer(call, result->sdp);
	else
		call_end(call, ENDED_BY_SYSTEM, result->status, "media refused");
}

static void echo_offered(struct call *call, struct leg *leg, const struct media_result *result)
{
	struct leg *caller = &call->caller;
	struct sip_text offer = {.at = caller->sdp_next, .n = caller->sdp_next_n};
	struct media_result refused = {.status = 488};
	char answer[B2BUA_SDP_MAX + 512];
	int n;

	if (!result->sdp.at) {
		echo_answered(call, leg, result);
		return;
	}
	n = echo_sdp(offer, answer, sizeof(answer));
	if (n < 0 || media_answer(call, caller, caller,
				  (struct sip_text){.at = answer, .n = (uint32_t)n}, echo_answered))
		echo_answered(call, leg, &refused);
}

static int offer(struct call *call)
{
	struct leg *caller = &call->caller;
	struct sip_text sdp = {.at = caller->sdp_next, .n = caller->sdp_next_n};

	return media_offer(call, caller, caller, sdp, echo_offered);
}

void echo_start(struct call *call)
{
	if (offer(call))
		call_end(call, ENDED_BY_SYSTEM, 503, "media unavailable");
}

void echo_restart(struct call *call)
{
	struct media_result refused = {.status = 503};

	if (offer(call))
		reinvite_echoed(call, &refused);
}

/* SDP: every question is asked of what parses; a rewritten text parses again and says what it was
 * told to. */
#include "dataplane/media/sdp_rewrite.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

static struct sdp before, after;
static struct sdp_rewrite rewrite;
static char text[SDP_REWRITE_ROOM(SDP_BYTES_MAX)];

static void ask_all(const struct sdp *sdp)
{
	struct sdp_codec codecs[16];
	struct sdp_origin origin;
	struct address address;
	struct endpoint rtcp;

	sdp_origin(sdp, &origin);
	for (uint32_t i = 0; i < sdp->media_count; i++) {
		if (sdp->media[i].lines_end > sdp->lines_count)
			abort();
		sdp_media_address(sdp, i, &address);
		sdp_media_direction(sdp, i);
		sdp_media_is_held(sdp, i);
		sdp_media_ptime_ms(sdp, i);
		sdp_media_rtcp(sdp, i, &rtcp);
		if (sdp_media_codecs(sdp, i, codecs, 16) > 16)
			abort();
	}
}

static void plan(const struct sdp *sdp)
{
	address_parse(&rewrite.origin_address, "203.0.113.1", 11);
	rewrite.origin = true;
	for (uint32_t i = 0; i < sdp->media_count; i++) {
		struct sdp_rewrite_media *media = &rewrite.media[i];

		media->relay = sdp->media[i].port != 0 && sdp->media[i].proto.text[0] != 'T';
		media->rtp = sdp->media[i].proto.text[0] == 'R';
		media->rtcp_mux = sdp->media[i].rtcp_mux;
		media->rtcp_full = i % 2;
		media->address = rewrite.origin_address;
		media->port = (uint16_t)(30000 + 2 * i);
		media->rtcp_port = (uint16_t)(media->port + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	char error[SDP_ERROR_MAX];
	int64_t length;

	if (sdp_parse(&before, (const char *)input, n, error) != 0)
		return 0;
	ask_all(&before);
	plan(&before);
	length = sdp_rewrite(&before, &rewrite, text, sizeof(text));
	if (length < 0)
		abort();
	if (sdp_parse(&after, text, (size_t)length, error) != 0) {
		/* Only because it grew beyond a limit. */
		if (length <= SDP_BYTES_MAX &&
		    before.lines_count < SDP_LINES_MAX - 20 * SDP_MEDIA_MAX)
			abort();
		return 0;
	}
	if (after.media_count != before.media_count)
		abort();
	for (uint32_t i = 0; i < after.media_count; i++) {
		if (rewrite.media[i].relay && after.media[i].port != rewrite.media[i].port)
			abort();
		if (!rewrite.media[i].relay && after.media[i].port != before.media[i].port)
			abort();
	}
	return 0;
}

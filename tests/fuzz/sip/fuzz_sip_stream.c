/*
 * Any bytes as a stream: cut at once and in pieces, both ways have to find the same messages. The
 * first byte is the size of the pieces.
 */
#include "control/sip/message.h"

#include <stdlib.h>

#define CUTS_MAX 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Sizes of what is cut out, and how it ended. */
static uint32_t cut(const char *bytes, uint32_t n, uint32_t piece, uint32_t cuts[CUTS_MAX])
{
	uint32_t at = 0;
	uint32_t count = 0;
	uint32_t scanned = 0;

	for (uint32_t held = 0; held < n || held == 0;) {
		held = n - held < piece ? n : held + piece;
		for (;;) {
			const char *reason;
			uint32_t skip;
			uint32_t found;
			enum sip_stream_result r = sip_stream_next(bytes + at, held - at, &scanned,
								   &skip, &found, &reason);

			if (r == SIP_STREAM_MORE)
				break;
			if (skip + found > held - at)
				abort();
			if (count == CUTS_MAX)
				return count;
			cuts[count++] = (skip + found) * 4 + r;
			if (r == SIP_STREAM_BROKEN)
				return count;
			at += skip + found;
			scanned = 0;
		}
		if (n == 0)
			break;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint32_t whole[CUTS_MAX];
	static uint32_t pieces[CUTS_MAX];
	const char *bytes = (const char *)data + 1;
	uint32_t count;

	if (size < 1 || size > SIP_MESSAGE_SIZE_MAX)
		return 0;
	count = cut(bytes, (uint32_t)size - 1, (uint32_t)size, whole);
	if (cut(bytes, (uint32_t)size - 1, data[0] % 16u + 1, pieces) != count ||
	    memcmp(whole, pieces, count * sizeof(whole[0])) != 0)
		abort();
	return 0;
}

/* The echo's answer to any offer: bounded, and of as many m= lines as the offer has. */
#include "control/b2bua/call.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

static uint32_t media_lines(const char *text, size_t n)
{
	uint32_t count_of = 0;

	for (size_t i = 0; i + 1 < n; i++)
		count_of += (i == 0 || text[i - 1] == '\n') && text[i] == 'm' && text[i + 1] == '=';
	return count_of;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	char out[4096];
	struct sip_text offer = {.at = (const char *)input, .n = (uint32_t)n};
	int len = echo_sdp(offer, out, sizeof(out));

	if (len > (int)sizeof(out))
		abort();
	if (len > 0 && media_lines(out, (size_t)len) != media_lines((const char *)input, n))
		abort();
	return 0;
}

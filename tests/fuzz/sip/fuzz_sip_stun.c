/* Any bytes as a STUN message on the SIP port: the answer is bounded and well formed. */
#include "control/sip/stun.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct endpoint from = {.port = 32853};
	char out[STUN_ANSWER_MAX];
	uint32_t n;

	if (size < 1 || size > 65536)
		return 0;
	/* the first byte chooses the family */
	if (address_parse(&from.address, data[0] & 1 ? "2001:db8::1" : "192.0.2.1",
			  data[0] & 1 ? 11 : 9) < 0)
		abort();
	n = stun_answer((const char *)data + 1, (uint32_t)size - 1, &from, out);
	if (n == 0)
		return 0;
	if (n > sizeof(out) || n < 20 || n % 4 != 0 || memcmp(out + 4, data + 5, 16) != 0 ||
	    (uint32_t)((uint8_t)out[2] << 8 | (uint8_t)out[3]) != n - 20)
		abort();
	return 0;
}

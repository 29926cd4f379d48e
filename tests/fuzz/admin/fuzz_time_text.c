/* Times in query parameters: any text is a time or refused. */
#include "control/admin/time_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	char text[129];
	uint64_t ns;

	if (n >= sizeof(text))
		return 0;
	memcpy(text, input, n);
	text[n] = '\0';
	if (time_text_parse(text, UINT64_C(1767322800000000000), &ns) == 0 && ns > INT64_MAX)
		abort();
	return 0;
}

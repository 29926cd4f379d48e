/* JSON objects: any bytes after a brace. */
#include "tests/fuzz/api/roundtrip.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	if (n > 0 && input[0] == '{')
		fuzz_parse((const char *)input, n);
	return 0;
}

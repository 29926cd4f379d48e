/* Changing a user's digests in any text: it stays a text of which only those digests differ. */
#include "tools/tandemctl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	char error[256] = "";
	bool missing;
	size_t len, len_again;
	char *text, *again;

	if (n > 65536)
		return 0;
	text = yaml_set_digests((const char *)input, n, "1001", "aaaa", "bbbb", &len, &missing,
				error);
	if (!text) {
		if (error[0] == '\0')
			abort();
		return 0;
	}
	/* doing it again changes nothing */
	again = yaml_set_digests(text, len, "1001", "aaaa", "bbbb", &len_again, &missing, error);
	if (again && (len != len_again || memcmp(text, again, len) != 0))
		abort();
	free(again);
	free(text);
	return 0;
}

/* Decoding journal records: no input may be read beyond its end, and what is accepted can be
 * written and read again with the same meaning. */
#include "control/tiers/journal_record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

/* First byte: the type. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	static uint8_t again[2 * JOURNAL_RECORD_MAX];
	struct journal_record record, second;
	int len;

	if (n < 1 || n > JOURNAL_RECORD_MAX)
		return 0;
	if (journal_record_decode(&record, input[0], JOURNAL_VERSION, input + 1, n - 1) < 0)
		return 0;
	len = journal_record_encode(&record, again, sizeof(again));
	if (len < 0)
		return 0; /* longer than what we write */
	if (journal_record_decode(&second, (uint16_t)record.type, JOURNAL_VERSION, again,
				  (size_t)len) != 0)
		abort();
	if (record.at_ns != second.at_ns)
		abort();
	return 0;
}

/* A line that a recorder may write: what is accepted has its texts and can be journaled. */
#include "control/tiers/receipt.h"

#include "control/tiers/journal_record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	static uint8_t body[JOURNAL_RECORD_MAX];
	struct journal_record record = {.type = JOURNAL_RECEIPT};
	const struct recording *recording;
	struct receipt *receipt;
	const char *reason;

	if (n > JOURNAL_RECEIPT_MAX || receipt_parse(&receipt, (const char *)input, n, &reason) < 0)
		return 0;
	recording = receipt_recording(receipt);
	if (!recording->id[0] || strlen(recording->sha256) != 64 || !recording->call_id ||
	    !recording->metadata || !recording->format || !recording->reason)
		abort();
	record.receipt.recording_id = recording->id;
	record.receipt.json = recording->receipt;
	if (journal_record_encode(&record, body, sizeof(body)) < 0)
		abort();
	receipt_free(receipt);
	return 0;
}

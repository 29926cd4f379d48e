/* Reading back what stands in the spool. */
#include "recorder/recording/spool_record.h"

#include <errno.h>
#include <string.h>

int spool_fork_parse(const uint8_t *bytes, uint32_t n, struct spool_fork *from,
		     struct td_fork_record *record, const uint8_t **payload)
{
	if (n < sizeof(*from) + sizeof(*record))
		return -EBADMSG;
	memcpy(from, bytes, sizeof(*from));
	memcpy(record, bytes + sizeof(*from), sizeof(*record));
	if (record->payload_len != n - sizeof(*from) - sizeof(*record))
		return -EBADMSG;
	*payload = bytes + sizeof(*from) + sizeof(*record);
	return 0;
}

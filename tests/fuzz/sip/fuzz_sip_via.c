/* Any bytes as the value of Via and of CSeq. */
#include "control/sip/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sip_text text = {(const char *)data, (uint32_t)size};
	struct sip_text rest = text;
	struct sip_text value;
	struct sip_cseq cseq;
	struct sip_via via;

	if (sip_via_parse(&via, text) == 0 && (via.host.n == 0 || via.transport.n == 0))
		abort();
	while (sip_value_split(&rest, &value))
		sip_via_parse(&via, value);
	if (sip_cseq_parse(&cseq, text) == 0 && cseq.method_text.n == 0)
		abort();
	return 0;
}

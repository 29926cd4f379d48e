/* Any bytes as a datagram: parsed, walked, copied, answered. What is valid stays valid when built
 * anew. */
#include "control/sip/builder.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sip_message m;
	static struct sip_message again;
	static char out[3 * SIP_MESSAGE_SIZE_MAX];
	struct sip_builder b;
	struct sip_message *copy;
	const char *reason;
	uint32_t status = sip_message_parse(&m, (const char *)data, (uint32_t)size, &reason);

	for (int id = 0; id < SIP_HEADER_COUNT; id++) {
		struct sip_values values;
		struct sip_text value;
		struct sip_address address;

		sip_values_begin(&values, &m, id);
		while (sip_values_next(&values, &value))
			sip_address_parse(&address, value);
		sip_message_number(&m, id, 0);
	}
	sip_message_content_type(&m);
	sip_builder_init(&b, out, sizeof(out));
	sip_put_response_begin(&b, &m, 200, NULL, "tag");
	sip_put_headers_other(&b, &m, NULL);
	sip_put_body(&b, "application/sdp", m.body);
	if (status == 0 && m.is_request && sip_builder_result(&b) == 0 &&
	    b.n <= SIP_MESSAGE_SIZE_MAX) {
		status = sip_message_parse(&again, out, b.n, &reason);
		if (status != 0 || again.cseq.number != m.cseq.number ||
		    !sip_text_equal(again.via.branch, m.via.branch) ||
		    !sip_text_equal(again.body, m.body))
			abort();
	}
	copy = sip_message_clone(&m);
	if (!copy || copy->headers_count != m.headers_count)
		abort();
	free(copy);
	return 0;
}

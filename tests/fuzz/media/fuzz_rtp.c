/* RTP: packets behind a length byte each. A packet that parses ends within itself; counts stay
 * possible. */
#include "dataplane/media/rtp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

static void check(const struct rtp_packet *p, size_t n)
{
	if ((size_t)p->payload_offset + p->payload_len + p->padding_len != n)
		abort();
	if (p->extension_offset &&
	    (size_t)p->extension_offset + p->extension_len > p->payload_offset)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	struct rtp_sequence sequence = {0};
	struct rtp_jitter jitter = {0};
	uint64_t packets = 0;

	for (size_t at = 0; at < n;) {
		size_t length = input[at++];
		struct rtp_packet p;

		if (length > n - at)
			length = n - at;
		rtp_demux(input + at, length);
		if (rtp_parse(&p, input + at, length) == 0) {
			check(&p, length);
			if (packets++ == 0)
				rtp_sequence_init(&sequence, p.seq);
			else
				rtp_sequence_update(&sequence, p.seq);
			rtp_jitter_update(&jitter, p.ts, (uint32_t)(at * 160));
			if (sequence.received + sequence.duplicates > packets)
				abort();
			if (rtp_sequence_lost(&sequence) > packets * 65536)
				abort();
		}
		at += length;
	}
	return 0;
}

/* RTCP: everything a compound holds is read; what is valid is walked to its last byte. */
#include "dataplane/media/rtcp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

static void read_packet(const struct rtcp_packet *packet)
{
	struct rtcp_sender sender;
	struct rtcp_report report;
	const char *text;
	uint32_t ssrc;
	size_t len;

	rtcp_sender_parse(packet, &sender);
	for (uint32_t i = 0; i < rtcp_reports_count(packet); i++)
		rtcp_report_parse(packet, i, &report);
	for (uint32_t i = 0; i < rtcp_bye_count(packet); i++)
		rtcp_bye_ssrc(packet, i);
	if (rtcp_cname(packet, packet->ssrc, &text, &len) == 0 &&
	    ((const uint8_t *)text < packet->body ||
	     (const uint8_t *)text + len > packet->body + packet->body_len))
		abort();
	rtcp_feedback_media(packet, &ssrc);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	struct rtcp_packet packet;
	struct rtcp_walk walk;
	int rc;

	rtcp_walk_init(&walk, input, n);
	while ((rc = rtcp_walk_next(&walk, &packet)) == 1) {
		if (packet.body + packet.body_len > input + n)
			abort();
		read_packet(&packet);
	}
	if (rtcp_is_valid(input, n, true) && (rc != 0 || n == 0))
		abort();
	if (rtcp_is_valid(input, n, false) && !rtcp_is_valid(input, n, true))
		abort();
	return 0;
}

/* The walk over an RTCP compound and readers of its packets. */
#include "dataplane/media/rtcp.h"

#include "dataplane/media/rtp.h"

#define HEADER_BYTES 4
#define SENDER_BYTES 24 /* SSRC and sender information of an SR */
#define REPORT_BYTES 24
#define SDES_CNAME   1

void rtcp_walk_init(struct rtcp_walk *walk, const uint8_t *bytes, size_t n)
{
	walk->next = bytes;
	walk->left = n;
}

int rtcp_walk_next(struct rtcp_walk *walk, struct rtcp_packet *packet)
{
	const uint8_t *at = walk->next;
	size_t bytes, padding = 0;

	if (walk->left == 0)
		return 0;
	if (walk->left < HEADER_BYTES || at[0] >> 6 != RTP_VERSION)
		goto broken;
	bytes = ((size_t)rtp_get16(at + 2) + 1) * 4;
	if (bytes > walk->left)
		goto broken;
	if (at[0] & 0x20) {
		/* Only the last one may be padded, by a multiple of four (RFC 3550 6.4.1). */
		padding = at[bytes - 1];
		if (bytes != walk->left || padding == 0 || padding % 4 != 0 ||
		    padding > bytes - HEADER_BYTES)
			goto broken;
	}
	packet->type = at[1];
	packet->count = at[0] & 0x1f;
	packet->body = at + HEADER_BYTES;
	packet->body_len = bytes - HEADER_BYTES - padding;
	packet->ssrc = packet->body_len >= 4 ? rtp_get32(packet->body) : 0;
	walk->next += bytes;
	walk->left -= bytes;
	return 1;
broken:
	walk->left = 0;
	return -EBADMSG;
}

bool rtcp_is_valid(const uint8_t *bytes, size_t n, bool reduced_size)
{
	struct rtcp_packet packet;
	struct rtcp_walk walk;
	bool first = true;
	int rc;

	rtcp_walk_init(&walk, bytes, n);
	while ((rc = rtcp_walk_next(&walk, &packet)) == 1) {
		if (packet.type < 192 || packet.type > 223)
			return false;
		if (first && !reduced_size && packet.type != RTCP_SR && packet.type != RTCP_RR)
			return false;
		first = false;
	}
	return rc == 0 && !first;
}

int rtcp_sender_parse(const struct rtcp_packet *packet, struct rtcp_sender *sender)
{
	if (packet->type != RTCP_SR || packet->body_len < SENDER_BYTES)
		return -EBADMSG;
	sender->ntp = (uint64_t)rtp_get32(packet->body + 4) << 32 | rtp_get32(packet->body + 8);
	sender->ts = rtp_get32(packet->body + 12);
	sender->packets = rtp_get32(packet->body + 16);
	sender->bytes = rtp_get32(packet->body + 20);
	return 0;
}

static size_t reports_offset(const struct rtcp_packet *packet)
{
	return packet->type == RTCP_SR ? SENDER_BYTES : 4;
}

uint32_t rtcp_reports_count(const struct rtcp_packet *packet)
{
	size_t offset = reports_offset(packet);
	size_t room;

	if ((packet->type != RTCP_SR && packet->type != RTCP_RR) || packet->body_len < offset)
		return 0;
	room = (packet->body_len - offset) / REPORT_BYTES;
	return room < packet->count ? (uint32_t)room : packet->count;
}

void rtcp_report_parse(const struct rtcp_packet *packet, uint32_t index, struct rtcp_report *report)
{
	const uint8_t *at = packet->body + reports_offset(packet) + (size_t)index * REPORT_BYTES;
	uint32_t word = rtp_get32(at + 4);

	report->ssrc = rtp_get32(at);
	report->fraction_lost = (uint8_t)(word >> 24);
	report->lost = (int32_t)(word << 8) >> 8; /* 24 bits with sign */
	report->highest_seq = rtp_get32(at + 8);
	report->jitter_ts = rtp_get32(at + 12);
	report->last_sr = rtp_get32(at + 16);
	report->since_sr_q16 = rtp_get32(at + 20);
}

/* Walks the items of one chunk from *at; 0 at its end, with *at behind its padding. */
static int sdes_item(const struct rtcp_packet *packet, size_t *at, uint8_t *type, const char **text,
		     size_t *len)
{
	const uint8_t *body = packet->body;

	if (*at >= packet->body_len)
		return -EBADMSG;
	*type = body[*at];
	if (*type == 0) {
		*at = (*at + 4) & ~(size_t)3;
		return 0;
	}
	if (*at + 2 > packet->body_len || *at + 2 + body[*at + 1] > packet->body_len)
		return -EBADMSG;
	*len = body[*at + 1];
	*text = (const char *)body + *at + 2;
	*at += 2 + *len;
	return 1;
}

int rtcp_cname(const struct rtcp_packet *packet, uint32_t ssrc, const char **text, size_t *len)
{
	size_t at = 0;
	int rc;

	if (packet->type != RTCP_SDES)
		return -EBADMSG;
	for (unsigned int chunk = 0; chunk < packet->count; chunk++) {
		uint32_t owner;
		uint8_t type;

		if (at + 4 > packet->body_len)
			return -EBADMSG;
		owner = rtp_get32(packet->body + at);
		at += 4;
		while ((rc = sdes_item(packet, &at, &type, text, len)) == 1) {
			if (type == SDES_CNAME && owner == ssrc)
				return 0;
		}
		if (rc < 0)
			return rc;
	}
	return -ENOENT;
}

uint32_t rtcp_bye_count(const struct rtcp_packet *packet)
{
	size_t room = packet->body_len / 4;

	if (packet->type != RTCP_BYE)
		return 0;
	return room < packet->count ? (uint32_t)room : packet->count;
}

uint32_t rtcp_bye_ssrc(const struct rtcp_packet *packet, uint32_t index)
{
	return rtp_get32(packet->body + (size_t)index * 4);
}

int rtcp_feedback_media(const struct rtcp_packet *packet, uint32_t *ssrc)
{
	if ((packet->type != RTCP_RTPFB && packet->type != RTCP_PSFB) || packet->body_len < 8)
		return -EBADMSG;
	*ssrc = rtp_get32(packet->body + 4);
	return 0;
}

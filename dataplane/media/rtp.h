/*
 * RTP (RFC 3550): the header, and what a receiver keeps of one source. All of it is pure state and
 * inline, for use on every packet: bounded, no division, no allocation.
 *
 *    0                   1                   2                   3
 *   |V=2|P|X|  CC   |M|     PT      |       sequence number         |
 *   |                           timestamp                           |
 *   |                             SSRC                              |
 *   |                CSRC (CC times)                                |
 *   |      profile                  |  length, words                |  if X, followed by the words
 *   |  payload ... padding, whose last byte is its length, if P     |
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTP_VERSION      2
#define RTP_HEADER_BYTES 12

/* A packet taken apart; offsets count from its first byte. */
struct rtp_packet {
	uint32_t ts;
	uint32_t ssrc;
	uint16_t seq;
	uint8_t pt;
	uint8_t marker; /* 0 or 1 */
	uint8_t csrc_count;
	uint8_t padding_len;
	uint16_t extension_profile;
	uint16_t extension_offset; /* of the words after profile and length; 0 = no extension */
	uint16_t extension_len;    /* bytes */
	uint16_t payload_offset;
	uint16_t payload_len; /* without padding; may be 0 */
};

static inline uint16_t rtp_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t rtp_get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void rtp_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void rtp_put32(uint8_t *at, uint32_t value)
{
	rtp_put16(at, (uint16_t)(value >> 16));
	rtp_put16(at + 2, (uint16_t)value);
}

/* Takes apart n bytes (a whole UDP payload). 0, or -EBADMSG for what is not RTP version 2 or whose
 * lengths exceed n (RFC 3550 A.1's validity checks), or n > 65535. */
static inline int rtp_parse(struct rtp_packet *packet, const uint8_t *bytes, size_t n)
{
	size_t offset = RTP_HEADER_BYTES;
	size_t padding = 0;

	if (n < RTP_HEADER_BYTES || n > UINT16_MAX || bytes[0] >> 6 != RTP_VERSION)
		return -EBADMSG;
	packet->csrc_count = bytes[0] & 0x0f;
	packet->marker = bytes[1] >> 7;
	packet->pt = bytes[1] & 0x7f;
	packet->seq = rtp_get16(bytes + 2);
	packet->ts = rtp_get32(bytes + 4);
	packet->ssrc = rtp_get32(bytes + 8);
	packet->extension_profile = 0;
	packet->extension_offset = 0;
	packet->extension_len = 0;
	offset += (size_t)packet->csrc_count * 4;
	if (bytes[0] & 0x10) {
		if (offset + 4 > n)
			return -EBADMSG;
		packet->extension_profile = rtp_get16(bytes + offset);
		if ((size_t)rtp_get16(bytes + offset + 2) * 4 > n)
			return -EBADMSG;
		packet->extension_len = (uint16_t)(rtp_get16(bytes + offset + 2) * 4);
		offset += 4;
		packet->extension_offset = (uint16_t)offset;
		offset += packet->extension_len;
	}
	if (offset > n)
		return -EBADMSG;
	if (bytes[0] & 0x20) {
		if (offset == n)
			return -EBADMSG;
		padding = bytes[n - 1];
		if (padding == 0 || offset + padding > n)
			return -EBADMSG;
	}
	packet->padding_len = (uint8_t)padding;
	packet->payload_offset = (uint16_t)offset;
	packet->payload_len = (uint16_t)(n - offset - padding);
	return 0;
}

/* Writes the 12 bytes of a header without CSRC, extension and padding. */
static inline void rtp_build(uint8_t out[RTP_HEADER_BYTES], const struct rtp_packet *packet)
{
	out[0] = RTP_VERSION << 6;
	out[1] = (uint8_t)((packet->marker ? 0x80 : 0) | (packet->pt & 0x7f));
	rtp_put16(out + 2, packet->seq);
	rtp_put32(out + 4, packet->ts);
	rtp_put32(out + 8, packet->ssrc);
}

/* ---- what a packet on a media port is ---- */

enum rtp_demux {
	RTP_DEMUX_OTHER,
	RTP_DEMUX_STUN,
	RTP_DEMUX_ZRTP,
	RTP_DEMUX_DTLS,
	RTP_DEMUX_TURN,
	RTP_DEMUX_RTP,
	RTP_DEMUX_RTCP
};

/* By the first byte (RFC 7983 7), and RTP from RTCP by the second (RFC 5761 4: 192 to 223). */
static inline enum rtp_demux rtp_demux(const uint8_t *bytes, size_t n)
{
	uint8_t first;

	if (n < 2)
		return RTP_DEMUX_OTHER;
	first = bytes[0];
	if (first >= 128 && first <= 191)
		return bytes[1] >= 192 && bytes[1] <= 223 ? RTP_DEMUX_RTCP : RTP_DEMUX_RTP;
	if (first <= 3)
		return RTP_DEMUX_STUN;
	if (first >= 16 && first <= 19)
		return RTP_DEMUX_ZRTP;
	if (first >= 20 && first <= 63)
		return RTP_DEMUX_DTLS;
	if (first >= 64 && first <= 79)
		return RTP_DEMUX_TURN;
	return RTP_DEMUX_OTHER;
}

/* ---- one source's sequence numbers (RFC 3550 A.1, A.3) ---- */

#define RTP_MAX_DROPOUT  3000
#define RTP_MAX_MISORDER 100

enum rtp_sequence_outcome {
	RTP_SEQUENCE_NEXT,      /* in order, perhaps after a gap */
	RTP_SEQUENCE_LATE,      /* older than the newest, not seen before */
	RTP_SEQUENCE_DUPLICATE, /* seen before */
	RTP_SEQUENCE_JUMP, /* a very large step: not counted, believed if the next one follows it */
	RTP_SEQUENCE_RESTART, /* the second one after a jump: the source has started anew */
};

/*
 *   window: bit i = (max_seq - i) has been seen; tells a late packet from a duplicate
 *
 * Counting begins with the first packet, without A.1's probation: a relay counts what it was sent.
 */
struct rtp_sequence {
	uint64_t window;
	uint64_t received;        /* without duplicates */
	uint64_t expected_before; /* of the stretches before the last restart */
	uint32_t ssrc;            /* whose numbers these are; the caller's */
	uint32_t duplicates;
	uint32_t cycles;  /* wraps of max_seq, times 65536 */
	int32_t base_seq; /* may go below 0 when packets from before the first one come late */
	uint32_t bad_seq; /* the one that would confirm a jump; above 65535 = none */
	uint16_t max_seq;
	uint16_t restarts;
};
_Static_assert(sizeof(struct rtp_sequence) == 48, "leaves room in its line");

#define RTP_SEQUENCE_NO_BAD UINT32_C(0x10001)

static inline void rtp_sequence_stretch(struct rtp_sequence *s, uint16_t seq)
{
	s->base_seq = seq;
	s->max_seq = seq;
	s->cycles = 0;
	s->window = 1;
	s->bad_seq = RTP_SEQUENCE_NO_BAD;
}

/* A new source begins with seq, which is counted. */
static inline void rtp_sequence_init(struct rtp_sequence *s, uint16_t seq)
{
	rtp_sequence_stretch(s, seq);
	s->received = 1;
	s->expected_before = 0;
	s->duplicates = 0;
	s->restarts = 0;
}

/* Packets expected since init (RFC 3550 A.3). */
static inline uint64_t rtp_sequence_expected(const struct rtp_sequence *s)
{
	return s->expected_before + (uint64_t)((int64_t)s->cycles + s->max_seq - s->base_seq + 1);
}

/* Lost since init, never below 0. */
static inline uint64_t rtp_sequence_lost(const struct rtp_sequence *s)
{
	uint64_t expected = rtp_sequence_expected(s);

	return expected > s->received ? expected - s->received : 0;
}

static inline enum rtp_sequence_outcome rtp_sequence_far(struct rtp_sequence *s, uint16_t seq)
{
	if (seq != s->bad_seq) {
		s->bad_seq = (uint16_t)(seq + 1);
		return RTP_SEQUENCE_JUMP;
	}
	s->expected_before = rtp_sequence_expected(s) + 1;
	rtp_sequence_stretch(s, seq);
	s->received += 2; /* with the one that announced the jump */
	s->restarts++;
	return RTP_SEQUENCE_RESTART;
}

static inline enum rtp_sequence_outcome rtp_sequence_update(struct rtp_sequence *s, uint16_t seq)
{
	uint16_t ahead = (uint16_t)(seq - s->max_seq);
	uint16_t behind = (uint16_t)(s->max_seq - seq);

	if (ahead != 0 && ahead < RTP_MAX_DROPOUT) {
		if (seq < s->max_seq)
			s->cycles += 65536;
		s->max_seq = seq;
		s->window = ahead < 64 ? s->window << ahead | 1 : 1;
		s->received++;
		return RTP_SEQUENCE_NEXT;
	}
	if (behind > RTP_MAX_MISORDER)
		return rtp_sequence_far(s, seq);
	if (behind < 64) {
		if (s->window >> behind & 1) {
			s->duplicates++;
			return RTP_SEQUENCE_DUPLICATE;
		}
		s->window |= UINT64_C(1) << behind;
	}
	if ((int64_t)s->cycles + s->max_seq - behind < s->base_seq)
		s->base_seq = (int32_t)s->max_seq - behind; /* cycles is 0 here */
	s->received++;
	return RTP_SEQUENCE_LATE;
}

/* ---- interarrival jitter (RFC 3550 A.8) ---- */

/* Factor that turns nanoseconds into ticks of a clock of rate_hz (1 to 10^9) by one multiplication;
 * computed when a stream is set up. */
static inline uint64_t rtp_clock_factor(uint32_t rate_hz)
{
	return (uint64_t)(((unsigned __int128)rate_hz << 64) / 1000000000u);
}

static inline uint32_t rtp_clock_ts(uint64_t time_ns, uint64_t factor)
{
	return (uint32_t)((unsigned __int128)time_ns * factor >> 64);
}

struct rtp_jitter {
	uint32_t transit;
	uint32_t jitter_x16; /* the estimate in timestamp units, times 16 */
	bool started;
};

/* arrival_ts: time of arrival in the stream's clock (rtp_clock_ts). */
static inline void rtp_jitter_update(struct rtp_jitter *jitter, uint32_t ts, uint32_t arrival_ts)
{
	uint32_t transit = arrival_ts - ts;
	int32_t d = (int32_t)(transit - jitter->transit);

	jitter->transit = transit;
	if (!jitter->started) {
		jitter->started = true;
		return;
	}
	if (d < 0)
		d = d == INT32_MIN ? INT32_MAX : -d;
	/* A step that no clock explains (a new timestamp base) is not jitter: at most 2^24 counts.
	 */
	if (d < 1 << 24)
		jitter->jitter_x16 += (uint32_t)d - ((jitter->jitter_x16 + 8) >> 4);
}

static inline uint32_t rtp_jitter_ts(const struct rtp_jitter *jitter)
{
	return jitter->jitter_x16 >> 4;
}

/*
 * RTCP (RFC 3550 6, RFC 4585 6): a walk over a compound packet, bounded by its length, and readers
 * of what it holds. Nothing is copied.
 *
 *   |V=2|P| count   |      type     | length, words - 1 |  body ...
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rtcp_type {
	RTCP_SR = 200,
	RTCP_RR = 201,
	RTCP_SDES = 202,
	RTCP_BYE = 203,
	RTCP_APP = 204,
	RTCP_RTPFB = 205, /* RFC 4585 */
	RTCP_PSFB = 206,  /* RFC 4585 */
	RTCP_XR = 207,    /* RFC 3611 */
};

/* One packet of a compound. */
struct rtcp_packet {
	uint8_t type;
	uint8_t count; /* reports, sources, subtype or FMT */
	const uint8_t *body;
	size_t body_len; /* without padding */
	uint32_t ssrc;   /* first word of the body; 0 when the body is empty */
};

struct rtcp_walk {
	const uint8_t *next;
	size_t left;
};

void rtcp_walk_init(struct rtcp_walk *walk, const uint8_t *bytes, size_t n);
/* 1 and *packet; 0 at the end; -EBADMSG for a broken one (nothing more follows). */
int rtcp_walk_next(struct rtcp_walk *walk, struct rtcp_packet *packet);

/* RFC 3550 A.2: whole and well-formed to the end, padding only in the last packet. With
 * reduced_size any type may come first (RFC 5506), else SR or RR. */
bool rtcp_is_valid(const uint8_t *bytes, size_t n, bool reduced_size);

/* Of an SR (RFC 3550 6.4.1). */
struct rtcp_sender {
	uint64_t ntp; /* seconds since 1900 in the upper half, fraction in the lower */
	uint32_t ts;
	uint32_t packets;
	uint32_t bytes;
};
/* -EBADMSG when the packet is no SR or too short. */
int rtcp_sender_parse(const struct rtcp_packet *packet, struct rtcp_sender *sender);

struct rtcp_report {
	uint32_t ssrc;
	uint8_t fraction_lost; /* of 256 */
	int32_t lost;          /* cumulative; negative with duplicates */
	uint32_t highest_seq;  /* with cycles */
	uint32_t jitter_ts;
	uint32_t last_sr;      /* middle 32 bits of its NTP time */
	uint32_t since_sr_q16; /* delay since last SR in 1/65536 s */
};
/* Reports of an SR or RR that are really there (at most 31). */
uint32_t rtcp_reports_count(const struct rtcp_packet *packet);
void rtcp_report_parse(const struct rtcp_packet *packet, uint32_t index,
		       struct rtcp_report *report);

/* The CNAME of the SDES chunk of an SSRC. -ENOENT, -EBADMSG. The text is not terminated. */
int rtcp_cname(const struct rtcp_packet *packet, uint32_t ssrc, const char **text, size_t *len);

/* Sources of a BYE that are really there, and each of them. */
uint32_t rtcp_bye_count(const struct rtcp_packet *packet);
uint32_t rtcp_bye_ssrc(const struct rtcp_packet *packet, uint32_t index);

/* Of RTPFB and PSFB: the media source that it is about. -EBADMSG when too short. */
int rtcp_feedback_media(const struct rtcp_packet *packet, uint32_t *ssrc);

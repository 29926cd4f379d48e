/*
 * Decoding of one RTP payload at a time to linear PCM, one channel. Stereo payloads are mixed down.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codec_kind {
	CODEC_UNKNOWN, /* counted, not heard */
	CODEC_PCMU,
	CODEC_PCMA,
	CODEC_G722,
	CODEC_L16,
	CODEC_OPUS,
	CODEC_SILENT, /* telephone-event (RFC 4733), CN (RFC 3389): known, not audible */
};

struct codec {
	enum codec_kind kind;
	uint32_t clock_hz;  /* of the RTP timestamp */
	uint32_t sample_hz; /* of what comes out of the decoder; 0 for UNKNOWN and SILENT */
	uint32_t channels;  /* in the payload */
};

#define CODEC_SAMPLES_MAX 65535 /* of one payload, per channel */

/* From an SDP encoding name (RFC 4855; any case), its clock rate and channels (0 = 1). */
struct codec codec_from_name(const char *name, uint32_t clock_hz, uint32_t channels);
/* The static payload types of RFC 3551 6 that we decode; others give CODEC_UNKNOWN. */
struct codec codec_from_payload_type(uint8_t pt);
/* Length of a payload in RTP timestamp units; 0 when it cannot be told. */
uint32_t codec_payload_ts(const struct codec *codec, const uint8_t *payload, uint32_t n);

struct decoder;

/* -ENOTSUP for UNKNOWN and SILENT; -ENOMEM. */
int decoder_create(struct decoder **decoder, const struct codec *codec);
/* Samples written to out (CODEC_SAMPLES_MAX have room), or -EBADMSG for a payload that is none. */
int decoder_run(struct decoder *decoder, const uint8_t *payload, uint32_t n, int16_t *out);
void decoder_destroy(struct decoder *decoder);

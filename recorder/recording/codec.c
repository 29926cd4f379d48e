/* Codecs as the recorder hears them: G.711, G.722 (spandsp), L16, Opus (libopus). */
#include "recorder/recording/codec.h"
#include "dataplane/media/g711.h"

#include <opus/opus.h>
#include <spandsp.h>

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#define OPUS_HZ        48000
#define OPUS_FRAME_MAX 5760 /* samples: 120 ms, the longest packet (RFC 6716 3.2.5) */

struct codec codec_from_name(const char *name, uint32_t clock_hz, uint32_t channels)
{
	static const struct {
		const char *name;
		enum codec_kind kind;
	} names[] = {
		{"PCMU", CODEC_PCMU}, {"PCMA", CODEC_PCMA}, {"G722", CODEC_G722},
		{"L16", CODEC_L16},   {"opus", CODEC_OPUS}, {"telephone-event", CODEC_SILENT},
		{"CN", CODEC_SILENT},
	};
	struct codec codec = {.clock_hz = clock_hz ? clock_hz : 8000,
			      .channels = channels ? channels : 1};

	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		if (strcasecmp(name, names[k].name) == 0)
			codec.kind = names[k].kind;
	}
	switch (codec.kind) {
	case CODEC_PCMU:
	case CODEC_PCMA:
		codec.sample_hz = codec.clock_hz;
		break;
	case CODEC_G722:
		codec.clock_hz = 8000; /* RFC 3551 4.5.2: by mistake, for ever */
		codec.sample_hz = 16000;
		break;
	case CODEC_L16:
		codec.sample_hz = codec.clock_hz;
		break;
	case CODEC_OPUS:
		codec.clock_hz = OPUS_HZ; /* RFC 7587 4.1 */
		codec.sample_hz = OPUS_HZ;
		codec.channels = 1; /* the decoder mixes down */
		break;
	default:
		break;
	}
	/* what a hostile description could ask for */
	if (codec.clock_hz < 1000 || codec.clock_hz > 192000 || codec.channels > 8 ||
	    (codec.sample_hz > 0 && codec.sample_hz < 4000))
		codec = (struct codec){.kind = CODEC_UNKNOWN, .clock_hz = 8000, .channels = 1};
	if (codec.kind != CODEC_L16 && codec.channels > 1 && codec.sample_hz > 0)
		codec = (struct codec){
			.kind = CODEC_UNKNOWN, .clock_hz = codec.clock_hz, .channels = 1};
	return codec;
}

struct codec codec_from_payload_type(uint8_t pt)
{
	switch (pt) {
	case 0:
		return codec_from_name("PCMU", 8000, 1);
	case 8:
		return codec_from_name("PCMA", 8000, 1);
	case 9:
		return codec_from_name("G722", 8000, 1);
	case 10:
		return codec_from_name("L16", 44100, 2);
	case 11:
		return codec_from_name("L16", 44100, 1);
	case 13:
		return codec_from_name("CN", 8000, 1);
	default:
		return (struct codec){.clock_hz = 8000, .channels = 1};
	}
}

uint32_t codec_payload_ts(const struct codec *codec, const uint8_t *payload, uint32_t n)
{
	int samples;

	switch (codec->kind) {
	case CODEC_PCMU:
	case CODEC_PCMA:
	case CODEC_G722:
		return n;
	case CODEC_L16:
		return n / 2 / codec->channels;
	case CODEC_OPUS:
		samples = n > 0 ? opus_packet_get_nb_samples(payload, (opus_int32)n, OPUS_HZ) : 0;
		return samples > 0 ? (uint32_t)samples : 0;
	default:
		return 0;
	}
}

struct decoder {
	struct codec codec;
	g722_decode_state_t *g722;
	OpusDecoder *opus;
};

int decoder_create(struct decoder **out, const struct codec *codec)
{
	struct decoder *decoder;
	int error = 0;

	*out = NULL;
	if (codec->sample_hz == 0)
		return -ENOTSUP;
	decoder = calloc(1, sizeof(*decoder));
	if (!decoder)
		return -ENOMEM;
	decoder->codec = *codec;
	if (codec->kind == CODEC_G722) {
		decoder->g722 = g722_decode_init(NULL, 64000, 0);
		error = decoder->g722 ? 0 : -ENOMEM;
	} else if (codec->kind == CODEC_OPUS) {
		decoder->opus = opus_decoder_create(OPUS_HZ, 1, NULL);
		error = decoder->opus ? 0 : -ENOMEM;
	}
	if (error) {
		decoder_destroy(decoder);
		return error;
	}
	*out = decoder;
	return 0;
}

void decoder_destroy(struct decoder *decoder)
{
	if (!decoder)
		return;
	if (decoder->g722)
		g722_decode_free(decoder->g722);
	if (decoder->opus)
		opus_decoder_destroy(decoder->opus);
	free(decoder);
}

/* Network order; channels are averaged. */
static int l16_decode(int16_t *out, const uint8_t *payload, uint32_t n, uint32_t channels)
{
	uint32_t frames = n / 2 / channels;

	for (uint32_t k = 0; k < frames; k++) {
		int32_t sum = 0;

		for (uint32_t c = 0; c < channels; c++, payload += 2)
			sum += (int16_t)(payload[0] << 8 | payload[1]);
		out[k] = (int16_t)(sum / (int32_t)channels);
	}
	return (int)frames;
}

int decoder_run(struct decoder *decoder, const uint8_t *payload, uint32_t n, int16_t *out)
{
	int samples;

	if (n == 0 || n > CODEC_SAMPLES_MAX)
		return -EBADMSG;
	switch (decoder->codec.kind) {
	case CODEC_PCMU:
		g711_ulaw_decode(out, payload, n);
		return (int)n;
	case CODEC_PCMA:
		g711_alaw_decode(out, payload, n);
		return (int)n;
	case CODEC_L16:
		return l16_decode(out, payload, n, decoder->codec.channels);
	case CODEC_G722:
		if (n > CODEC_SAMPLES_MAX / 2)
			return -EBADMSG;
		return g722_decode(decoder->g722, out, payload, (int)n);
	case CODEC_OPUS:
		samples =
			opus_decode(decoder->opus, payload, (opus_int32)n, out, OPUS_FRAME_MAX, 0);
		return samples > 0 ? samples : -EBADMSG;
	default:
		return -EBADMSG;
	}
}

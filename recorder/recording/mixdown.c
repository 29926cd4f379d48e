/* Decoding, resampling and adding of placed packets, one window of frames after the other. */
#include "recorder/recording/mixdown.h"

#include <speex/speex_resampler.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_SECOND      INT64_C(1000000000)
#define WINDOW_MS          500
#define TAIL_S             17 /* the longest payload: 65535 samples at 4000 Hz */
#define JOIN_MS            3  /* a packet so close behind the one before continues it */
#define RESAMPLER_QUALITY  5
#define TRACK_DECODERS_MAX 8

/* A source while it is being decoded. */
struct voice {
	struct mixdown_track *track;
	size_t next;          /* packet */
	int64_t cursor;       /* frame at which the run under way goes on */
	int64_t heard;        /* frame after the last one placed: overlaps are cut */
	int64_t run_frame;    /* where the run under way began */
	uint64_t run_samples; /* decoded since, before resampling */
	bool started;
	uint16_t codec; /* of the run under way */
	struct {
		uint16_t codec;
		struct decoder *decoder;
		SpeexResamplerState *resampler; /* NULL: the rates are equal */
	} decoders[TRACK_DECODERS_MAX];
	uint32_t decoders_count;
};

struct mixer {
	const struct mixdown *mixdown;
	struct voice *voices;
	int32_t *sums; /* a ring of `size` frames of all channels */
	uint64_t size;
	int64_t floor; /* frames before are written out */
	int16_t *decoded;
	int16_t *resampled;
	uint32_t resampled_max;
	int16_t *window;
};

static void voice_fini(struct voice *voice)
{
	for (uint32_t k = 0; k < voice->decoders_count; k++) {
		decoder_destroy(voice->decoders[k].decoder);
		if (voice->decoders[k].resampler)
			speex_resampler_destroy(voice->decoders[k].resampler);
	}
}

/* Index of the voice's decoder for a codec, made on first use; -errno. */
static int voice_decoder(struct mixer *mixer, struct voice *voice, uint16_t codec)
{
	const struct codec *wanted = &mixer->mixdown->codecs[codec];
	uint32_t n = voice->decoders_count;
	int error;

	for (uint32_t k = 0; k < n; k++) {
		if (voice->decoders[k].codec == codec)
			return (int)k;
	}
	if (n == TRACK_DECODERS_MAX)
		return -ENOSPC;
	error = decoder_create(&voice->decoders[n].decoder, wanted);
	if (error)
		return error;
	voice->decoders[n].resampler = NULL;
	if (wanted->sample_hz != mixer->mixdown->rate_hz) {
		voice->decoders[n].resampler =
			speex_resampler_init(1, wanted->sample_hz, mixer->mixdown->rate_hz,
					     RESAMPLER_QUALITY, &error);
		if (!voice->decoders[n].resampler) {
			decoder_destroy(voice->decoders[n].decoder);
			return -ENOMEM;
		}
		speex_resampler_skip_zeros(voice->decoders[n].resampler);
	}
	voice->decoders[n].codec = codec;
	voice->decoders_count++;
	return (int)n;
}

/* Adds samples at `frame` of the channel; what lies before the window or behind the file is cut.
 * True when something is heard. */
static bool samples_add(struct mixer *mixer, uint32_t channel, int64_t frame,
			const int16_t *samples, int64_t n)
{
	uint32_t channels = mixer->mixdown->channels;
	int64_t last = (int64_t)mixer->mixdown->frames;

	if (frame < mixer->floor) {
		if (n <= mixer->floor - frame)
			return false;
		samples += mixer->floor - frame;
		n -= mixer->floor - frame;
		frame = mixer->floor;
	}
	if (frame >= last)
		return false;
	if (n > last - frame)
		n = last - frame;
	for (int64_t k = 0; k < n; k++)
		mixer->sums[((uint64_t)(frame + k) & (mixer->size - 1)) * channels + channel] +=
			samples[k];
	return n > 0;
}

/* Adds samples where the run goes on, without what overlaps with what is there already. */
static bool run_add(struct mixer *mixer, struct voice *voice, const int16_t *samples, int64_t n)
{
	int64_t skip =
		voice->started && voice->heard > voice->cursor ? voice->heard - voice->cursor : 0;
	bool heard = false;

	if (skip < n)
		heard = samples_add(mixer, voice->track->channel, voice->cursor + skip,
				    samples + skip, n - skip);
	voice->cursor += n;
	if (!voice->started || voice->cursor > voice->heard)
		voice->heard = voice->cursor;
	voice->started = true;
	return heard || n == 0;
}

/* What the resampler still holds back at the end of a run. */
static void run_drain(struct mixer *mixer, struct voice *voice, uint32_t index)
{
	SpeexResamplerState *resampler = voice->decoders[index].resampler;
	int16_t zeros[256] = {0};
	spx_uint32_t in, out = mixer->resampled_max;

	if (!resampler)
		return;
	in = (spx_uint32_t)speex_resampler_get_input_latency(resampler);
	if (in > 256)
		in = 256;
	speex_resampler_process_int(resampler, 0, zeros, &in, mixer->resampled, &out);
	run_add(mixer, voice, mixer->resampled, out);
	speex_resampler_reset_mem(resampler);
	speex_resampler_skip_zeros(resampler);
}

static void run_end(struct mixer *mixer, struct voice *voice)
{
	for (uint32_t k = 0; voice->started && k < voice->decoders_count; k++) {
		if (voice->decoders[k].codec == voice->codec)
			run_drain(mixer, voice, k);
	}
}

/* Ends the run under way unless the samples for `frame` continue it. */
static void run_continue(struct mixer *mixer, struct voice *voice, int64_t frame, uint16_t codec)
{
	uint32_t rate_hz = mixer->mixdown->rate_hz;
	int64_t join = (int64_t)rate_hz * JOIN_MS / 1000;

	if (voice->started) {
		/* what went in counts: the resampler holds some of it back */
		uint32_t sample_hz = mixer->mixdown->codecs[voice->codec].sample_hz;
		int64_t due =
			voice->run_frame + (int64_t)(voice->run_samples * rate_hz / sample_hz);

		if (voice->codec == codec && frame - due <= join && due - frame <= join)
			return;
		run_end(mixer, voice);
	}
	if (voice->started && frame > voice->heard) {
		voice->track->gaps++;
		voice->track->gap_ns +=
			(uint64_t)((frame - voice->heard) * NS_PER_SECOND / (int64_t)rate_hz);
	}
	voice->cursor = frame;
	voice->run_frame = frame;
	voice->run_samples = 0;
	voice->codec = codec;
}

static bool packet_place(struct mixer *mixer, struct voice *voice,
			 const struct timeline_packet *packet, int64_t frame)
{
	const uint8_t *payload;
	spx_uint32_t in, out;
	uint32_t n;
	int index, got;

	if (mixer->mixdown->fetch(mixer->mixdown->fetch_arg, packet->position, &payload, &n) < 0)
		return false;
	index = voice_decoder(mixer, voice, packet->codec);
	if (index < 0)
		return false;
	got = decoder_run(voice->decoders[index].decoder, payload, n, mixer->decoded);
	if (got < 0)
		return false;
	run_continue(mixer, voice, frame, packet->codec);
	voice->run_samples += (uint64_t)got;
	if (!voice->decoders[index].resampler)
		return run_add(mixer, voice, mixer->decoded, got);
	in = (spx_uint32_t)got;
	out = mixer->resampled_max;
	speex_resampler_process_int(voice->decoders[index].resampler, 0, mixer->decoded, &in,
				    mixer->resampled, &out);
	return run_add(mixer, voice, mixer->resampled, out);
}

/* Places every packet of the voice that begins before frame `until`. */
static void voice_advance(struct mixer *mixer, struct voice *voice, int64_t until)
{
	const struct mixdown *mixdown = mixer->mixdown;
	struct mixdown_track *track = voice->track;

	while (voice->next < track->count) {
		const struct timeline_packet *packet = &track->packets[voice->next];
		const struct codec *codec = &mixdown->codecs[packet->codec];
		int64_t frame;

		if (packet->duplicate) {
			voice->next++;
			continue;
		}
		if (codec->kind == CODEC_SILENT) {
			track->written++;
			voice->next++;
			continue;
		}
		/* in parts, so that days do not overflow; rounded to the nearest frame */
		frame = packet->start_ns / NS_PER_SECOND * mixdown->rate_hz +
			(packet->start_ns % NS_PER_SECOND * mixdown->rate_hz +
			 (packet->start_ns < 0 ? -NS_PER_SECOND / 2 : NS_PER_SECOND / 2)) /
				NS_PER_SECOND;
		if (frame >= until)
			return;
		if (packet_place(mixer, voice, packet, frame))
			track->written++;
		else
			track->undecoded++;
		voice->next++;
	}
	if (voice->started) {
		run_end(mixer, voice);
		voice->started = false;
	}
}

static int window_write(struct mixer *mixer, uint64_t from, uint32_t frames, struct wav_writer *wav)
{
	uint32_t channels = mixer->mixdown->channels;

	for (uint32_t k = 0; k < frames; k++) {
		int32_t *sums = mixer->sums + ((from + k) & (mixer->size - 1)) * channels;

		for (uint32_t c = 0; c < channels; c++) {
			int32_t sum = sums[c];

			sum = sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum;
			mixer->window[k * channels + c] = (int16_t)sum;
			sums[c] = 0;
		}
	}
	return wav_write(wav, mixer->window, frames);
}

static int mixer_init(struct mixer *mixer, const struct mixdown *mixdown, uint32_t window)
{
	uint64_t least = (uint64_t)mixdown->rate_hz * TAIL_S + window;

	*mixer = (struct mixer){.mixdown = mixdown, .size = 1024};
	while (mixer->size < least)
		mixer->size *= 2;
	/* 65535 samples of 4000 Hz at the highest file rate, and the filter's tail */
	mixer->resampled_max = mixdown->rate_hz * TAIL_S;
	mixer->voices = calloc(mixdown->tracks_count + 1, sizeof(*mixer->voices));
	mixer->sums = calloc(mixer->size * mixdown->channels, sizeof(*mixer->sums));
	mixer->decoded = malloc((CODEC_SAMPLES_MAX + 1) * sizeof(*mixer->decoded));
	mixer->resampled = malloc(mixer->resampled_max * sizeof(*mixer->resampled));
	mixer->window = malloc((size_t)window * mixdown->channels * sizeof(*mixer->window));
	if (!mixer->voices || !mixer->sums || !mixer->decoded || !mixer->resampled ||
	    !mixer->window)
		return -ENOMEM;
	for (size_t k = 0; k < mixdown->tracks_count; k++)
		mixer->voices[k].track = &mixdown->tracks[k];
	return 0;
}

static void mixer_fini(struct mixer *mixer)
{
	if (mixer->voices) {
		for (size_t k = 0; k < mixer->mixdown->tracks_count; k++)
			voice_fini(&mixer->voices[k]);
	}
	free(mixer->voices);
	free(mixer->sums);
	free(mixer->decoded);
	free(mixer->resampled);
	free(mixer->window);
}

int mixdown_run(struct mixdown *mixdown, struct wav_writer *wav)
{
	uint32_t window = mixdown->rate_hz * WINDOW_MS / 1000;
	struct mixer mixer;
	int error = mixer_init(&mixer, mixdown, window);

	for (uint64_t from = 0; !error && from < mixdown->frames; from += window) {
		uint64_t left = mixdown->frames - from;
		uint32_t frames = left < window ? (uint32_t)left : window;

		mixer.floor = (int64_t)from;
		for (size_t k = 0; k < mixdown->tracks_count; k++)
			voice_advance(&mixer, &mixer.voices[k], (int64_t)(from + frames));
		error = window_write(&mixer, from, frames, wav);
	}
	/* what begins behind the end is in no frame, but it was received */
	for (size_t k = 0; !error && k < mixdown->tracks_count; k++)
		voice_advance(&mixer, &mixer.voices[k], INT64_MAX);
	mixer_fini(&mixer);
	return error;
}

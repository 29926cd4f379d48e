/*
 * From placed packets to a file: decodes each source in order, brings it to the file's rate, adds
 * it to the channel of its leg at its place, and writes the frames out window by window, so that
 * memory does not grow with the length of a recording. Where nothing was placed there is silence.
 */
#pragma once

#include "recorder/format/wav.h"
#include "recorder/recording/codec.h"
#include "recorder/recording/timeline.h"

#include <stddef.h>
#include <stdint.h>

/* One source's packets, in order. */
struct mixdown_track {
	const struct timeline_packet *packets;
	size_t count;
	uint32_t channel;
	uint64_t written;   /* out: packets heard in the file (and silent ones) */
	uint64_t undecoded; /* out */
	uint64_t gaps;      /* out: places where the sound was not continuous */
	uint64_t gap_ns;    /* out: silence in them */
};

struct mixdown {
	const struct codec *codecs; /* packets[].codec is an index */
	struct mixdown_track *tracks;
	size_t tracks_count;
	uint32_t rate_hz;
	uint32_t channels;
	uint64_t frames; /* of the file */
	/* Brings the payload of a packet; valid until the next call. -errno: counted as undecoded.
	 */
	int (*fetch)(void *fetch_arg, uint64_t position, const uint8_t **payload, uint32_t *n);
	void *fetch_arg;
};

/* Writes all frames to wav. -ENOMEM or what wav_write says. */
int mixdown_run(struct mixdown *mixdown, struct wav_writer *wav);

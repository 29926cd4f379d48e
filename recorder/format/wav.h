/*
 * WAV files (RIFF, PCM, 16 bits), written front to back so that they can be hashed on the way: the
 * number of frames is told before the first one. A frame is one sample of each channel,
 * interleaved.
 */
#pragma once

#include "recorder/format/digest.h"

#include <stddef.h>
#include <stdint.h>

#define WAV_CHANNELS_MAX 16

struct wav_writer;

/* Most frames that fit: sizes in a RIFF header have 32 bits. */
uint64_t wav_frames_max(uint32_t channels);

/* Creates (or truncates) the file, mode 0640. -EFBIG: more than wav_frames_max; -EINVAL: channels
 * or rate; -errno. */
int wav_create(struct wav_writer **wav, const char *path, uint32_t rate_hz, uint32_t channels,
	       uint64_t frames);
/* Interleaved frames. Those beyond the number told at creation are refused with -EFBIG. */
int wav_write(struct wav_writer *wav, const int16_t *samples, size_t frames);
/* Fills up with silence what is missing, fsyncs and closes the file. */
int wav_finish(struct wav_writer *wav, struct digest_sums *sums);
/* After finish, or in its place (the unfinished file stays behind). NULL is fine. */
void wav_destroy(struct wav_writer *wav);

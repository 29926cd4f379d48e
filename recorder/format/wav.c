/* WAV files written front to back: RIFF header, "fmt " (extensible above two channels), "data". */
#include "recorder/format/wav.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAV_HEADER_MAX        68
#define WAV_FORMAT_PCM        1
#define WAV_FORMAT_EXTENSIBLE 0xfffe
#define WAV_BUFFER_BYTES      (64 * 1024)

struct wav_writer {
	int fd;
	uint32_t channels;
	uint64_t frames_left;
	struct digest *digest;
	uint32_t used;
	uint8_t buffer[WAV_BUFFER_BYTES];
};

static uint8_t *put_tag(uint8_t *at, const char *tag)
{
	memcpy(at, tag, 4);
	return at + 4;
}

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static uint8_t *put_u16(uint8_t *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

uint64_t wav_frames_max(uint32_t channels)
{
	return (UINT32_MAX - WAV_HEADER_MAX) / (2 * channels);
}

static int bytes_flush(struct wav_writer *wav)
{
	uint32_t done = 0;
	int error = digest_add(wav->digest, wav->buffer, wav->used);

	while (!error && done < wav->used) {
		ssize_t put = write(wav->fd, wav->buffer + done, wav->used - done);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			error = -errno;
		else
			done += (uint32_t)put;
	}
	wav->used = 0;
	return error;
}

static int bytes_put(struct wav_writer *wav, const uint8_t *bytes, size_t n)
{
	while (n > 0) {
		size_t part = WAV_BUFFER_BYTES - wav->used;

		if (part > n)
			part = n;
		memcpy(wav->buffer + wav->used, bytes, part);
		wav->used += (uint32_t)part;
		bytes += part;
		n -= part;
		if (wav->used == WAV_BUFFER_BYTES) {
			int error = bytes_flush(wav);

			if (error)
				return error;
		}
	}
	return 0;
}

static int header_put(struct wav_writer *wav, uint32_t rate_hz, uint64_t frames)
{
	/* KSDATAFORMAT_SUBTYPE_PCM behind its two bytes of format tag */
	static const uint8_t subtype_rest[14] = {0, 0, 0,    0, 0x10, 0,    0x80,
						 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71};
	bool extensible = wav->channels > 2;
	uint32_t format_bytes = extensible ? 40 : 16;
	uint32_t sample_bytes = (uint32_t)(frames * wav->channels * 2);
	uint8_t header[WAV_HEADER_MAX];
	uint8_t *at = header;

	at = put_tag(at, "RIFF");
	at = put_u32(at, 4 + 8 + format_bytes + 8 + sample_bytes);
	at = put_tag(at, "WAVE");
	at = put_tag(at, "fmt ");
	at = put_u32(at, format_bytes);
	at = put_u16(at, extensible ? WAV_FORMAT_EXTENSIBLE : WAV_FORMAT_PCM);
	at = put_u16(at, (uint16_t)wav->channels);
	at = put_u32(at, rate_hz);
	at = put_u32(at, rate_hz * wav->channels * 2);
	at = put_u16(at, (uint16_t)(wav->channels * 2));
	at = put_u16(at, 16);
	if (extensible) {
		at = put_u16(at, 22);
		at = put_u16(at, 16);
		at = put_u32(at, 0); /* no speaker is meant */
		at = put_u16(at, WAV_FORMAT_PCM);
		memcpy(at, subtype_rest, sizeof(subtype_rest));
		at += sizeof(subtype_rest);
	}
	at = put_tag(at, "data");
	at = put_u32(at, sample_bytes);
	return bytes_put(wav, header, (size_t)(at - header));
}

int wav_create(struct wav_writer **out, const char *path, uint32_t rate_hz, uint32_t channels,
	       uint64_t frames)
{
	struct wav_writer *wav;
	int error;

	*out = NULL;
	if (channels == 0 || channels > WAV_CHANNELS_MAX || rate_hz == 0 || rate_hz > 192000)
		return -EINVAL;
	if (frames > wav_frames_max(channels))
		return -EFBIG;
	wav = malloc(sizeof(*wav));
	if (!wav)
		return -ENOMEM;
	wav->channels = channels;
	wav->frames_left = frames;
	wav->used = 0;
	wav->digest = NULL;
	wav->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	error = wav->fd < 0 ? -errno : digest_create(&wav->digest);
	if (!error)
		error = header_put(wav, rate_hz, frames);
	if (error) {
		wav_destroy(wav);
		return error;
	}
	*out = wav;
	return 0;
}

int wav_write(struct wav_writer *wav, const int16_t *samples, size_t frames)
{
	if (frames > wav->frames_left)
		return -EFBIG;
	wav->frames_left -= frames;
#if __BYTE_ORDER == __LITTLE_ENDIAN
	return bytes_put(wav, (const uint8_t *)samples, frames * wav->channels * 2);
#else
	for (size_t k = 0; k < frames * wav->channels; k++) {
		uint8_t pair[2];
		int error;

		put_u16(pair, (uint16_t)samples[k]);
		error = bytes_put(wav, pair, sizeof(pair));
		if (error)
			return error;
	}
	return 0;
#endif
}

int wav_finish(struct wav_writer *wav, struct digest_sums *sums)
{
	static const int16_t silence[256 * WAV_CHANNELS_MAX];
	int error = 0, fd;

	while (!error && wav->frames_left > 0)
		error = wav_write(wav, silence, wav->frames_left < 256 ? wav->frames_left : 256);
	if (!error)
		error = bytes_flush(wav);
	if (!error)
		error = digest_finish(wav->digest, sums);
	if (!error && fsync(wav->fd) < 0)
		error = -errno;
	fd = wav->fd;
	wav->fd = -1;
	if (close(fd) < 0 && !error)
		error = -errno;
	return error;
}

void wav_destroy(struct wav_writer *wav)
{
	if (!wav)
		return;
	if (wav->fd >= 0)
		close(wav->fd);
	digest_destroy(wav->digest);
	free(wav);
}

/* WAV files byte by byte, and their digests. */
#include "recorder/format/wav.h"

#include <openssl/evp.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static char path[] = "/tmp/tandem-wav-XXXXXX";

static size_t file_read(uint8_t *bytes, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t got = read(fd, bytes, size);

	close(fd);
	assert_true(got >= 0);
	return (size_t)got;
}

static void a_stereo_file_is_as_the_format_says(void **state)
{
	static const uint8_t expected[] = {'R',  'I',  'F', 'F', 48,   0,    0,    0,    'W',  'A',
					   'V',  'E',  'f', 'm', 't',  ' ',  16,   0,    0,    0,
					   1,    0,    2,   0,   0x40, 0x1f, 0,    0,    0x00, 0x7d,
					   0,    0,    4,   0,   16,   0,    'd',  'a',  't',  'a',
					   12,   0,    0,   0,   1,    0,    0xff, 0xff, 0,    0x80,
					   0xff, 0x7f, 0,   0,   0,    0};
	static const int16_t samples[] = {1, -1, -32768, 32767};
	struct wav_writer *wav;
	struct digest_sums sums;
	uint8_t bytes[128];
	(void)state;

	assert_int_equal(wav_create(&wav, path, 8000, 2, 3), 0);
	assert_int_equal(wav_write(wav, samples, 2), 0);
	assert_int_equal(wav_finish(wav, &sums), 0); /* the third frame is silence */
	wav_destroy(wav);
	assert_int_equal(sums.bytes, sizeof(expected));
	assert_int_equal(file_read(bytes, sizeof(bytes)), sizeof(expected));
	/* RIFF size: all that follows it */
	assert_int_equal(bytes[4], sizeof(expected) - 8);
	assert_memory_equal(bytes, expected, sizeof(expected));
}

static void more_than_two_channels_use_the_extensible_format(void **state)
{
	struct wav_writer *wav;
	struct digest_sums sums;
	uint8_t bytes[128];
	(void)state;

	assert_int_equal(wav_create(&wav, path, 16000, 3, 1), 0);
	assert_int_equal(wav_finish(wav, &sums), 0);
	wav_destroy(wav);
	assert_int_equal(file_read(bytes, sizeof(bytes)), 68 + 6);
	assert_int_equal(bytes[20] | bytes[21] << 8, 0xfffe);
	assert_int_equal(bytes[22], 3);
	assert_int_equal(bytes[16], 40);
	assert_memory_equal(bytes + 60, "data", 4);
}

static void digests_are_those_of_the_file(void **state)
{
	struct digest_sums sums, again;
	struct wav_writer *wav;
	int16_t samples[2000];
	int fd;
	(void)state;

	for (int k = 0; k < 2000; k++)
		samples[k] = (int16_t)(k * 77);
	assert_int_equal(wav_create(&wav, path, 8000, 2, 100000), 0);
	for (int k = 0; k < 100; k++)
		assert_int_equal(wav_write(wav, samples, 1000), 0);
	assert_int_equal(wav_write(wav, samples, 1), -EFBIG);
	assert_int_equal(wav_finish(wav, &sums), 0);
	wav_destroy(wav);
	fd = open(path, O_RDONLY);
	assert_int_equal(digest_file(fd, &again), 0);
	close(fd);
	assert_int_equal(sums.bytes, 44 + 400000);
	assert_int_equal(again.bytes, sums.bytes);
	assert_string_equal(again.sha256, sums.sha256);
	assert_string_equal(again.md5, sums.md5);
}

static void digests_are_those_of_the_standards(void **state)
{
	struct digest *digest;
	struct digest_sums sums;
	(void)state;

	assert_int_equal(digest_create(&digest), 0);
	assert_int_equal(digest_add(digest, "a", 1), 0);
	assert_int_equal(digest_add(digest, "bc", 2), 0);
	assert_int_equal(digest_finish(digest, &sums), 0);
	digest_destroy(digest);
	/* FIPS 180-2 B.1, RFC 1321 A.5 */
	assert_string_equal(sums.sha256,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_string_equal(sums.md5, "900150983cd24fb0d6963f7d28e17f72");
}

static void files_beyond_four_gibibytes_are_refused(void **state)
{
	struct wav_writer *wav;
	(void)state;

	assert_true(wav_frames_max(2) * 4 < UINT64_C(1) << 32);
	assert_int_equal(wav_create(&wav, path, 8000, 2, wav_frames_max(2) + 1), -EFBIG);
	assert_int_equal(wav_create(&wav, path, 8000, 0, 1), -EINVAL);
	assert_int_equal(wav_create(&wav, path, 8000, WAV_CHANNELS_MAX + 1, 1), -EINVAL);
	assert_int_equal(wav_create(&wav, path, 0, 1, 1), -EINVAL);
	assert_int_equal(wav_create(&wav, "/nowhere/x.wav", 8000, 1, 1), -ENOENT);
	assert_null(wav);
}

static void a_full_disk_is_an_error_not_a_crash(void **state)
{
	struct wav_writer *wav;
	struct digest_sums sums;
	int16_t *samples = calloc(100000, 2);
	int error = wav_create(&wav, "/dev/full", 8000, 1, 100000);
	(void)state;

	if (!error)
		error = wav_write(wav, samples, 100000);
	assert_int_equal(error, -ENOSPC);
	assert_true(wav_finish(wav, &sums) <= 0);
	wav_destroy(wav);
	free(samples);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stereo_file_is_as_the_format_says),
		cmocka_unit_test(more_than_two_channels_use_the_extensible_format),
		cmocka_unit_test(digests_are_those_of_the_file),
		cmocka_unit_test(digests_are_those_of_the_standards),
		cmocka_unit_test(files_beyond_four_gibibytes_are_refused),
		cmocka_unit_test(a_full_disk_is_an_error_not_a_crash),
	};
	int fd = mkstemp(path);
	int failed;

	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}

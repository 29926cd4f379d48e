/* From spool records to samples: channels, alignment, codecs, mixing, what is counted. */
#include "recorder/recording/finalize.h"
#include "dataplane/base/clock.h"
#include "dataplane/media/g711.h"

#include <opus/opus.h>
#include <spandsp.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#define T0         UINT64_C(1767225600000000000)
#define FRAMES_MAX (48000 * 20)

struct finalize_fixture {
	char directory[64];
	char path[96];
	struct segment_log *spool;
	struct recording_table *table;
	struct recording *ended;
	struct finalize_result result;
	uint64_t ring;
	int16_t *samples; /* interleaved */
	size_t frames;
};

static int fixture_setup(void **state)
{
	struct finalize_fixture *f = calloc(1, sizeof(*f));
	struct segment_log_options options = {.directory = f->directory,
					      .segment_bytes = 1024 * 1024};

	strcpy(f->directory, "/tmp/tandem-final-XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/out.wav", f->directory);
	f->samples = malloc(FRAMES_MAX * 2 * 2);
	*state = f;
	return segment_log_open(&f->spool, &options) || recording_table_create(&f->table);
}

static int fixture_teardown(void **state)
{
	struct finalize_fixture *f = *state;
	DIR *directory = opendir(f->directory);
	struct dirent *entry;

	json_decref(f->result.streams);
	recording_table_destroy(f->table);
	segment_log_close(f->spool);
	while ((entry = readdir(directory)))
		unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(f->directory);
	free(f->samples);
	free(f);
	return 0;
}

/* ---- what the intake would do ---- */

static void record_put(struct finalize_fixture *f, struct td_fork_record record,
		       const void *payload, uint32_t n)
{
	struct spool_fork from = {.generation = 1, .ring_end = f->ring += 64};
	struct recording *ended;
	uint64_t position;

	record.recording = 1;
	record.payload_len = n;
	record.length = td_fork_record_length(n);
	while (segment_log_appendv(f->spool, SPOOL_FORK, SPOOL_VERSION,
				   (struct iovec[]){{&from, sizeof(from)},
						    {&record, sizeof(record)},
						    {(void *)(uintptr_t)payload, n}},
				   3, &position) < 0)
		assert_int_equal(segment_log_flush(f->spool, 10000), 0);
	ended = recording_table_feed(f->table, position, 0, &from, &record, payload);
	if (ended)
		f->ended = ended;
}

static void text_put(struct finalize_fixture *f, uint16_t type, uint32_t stream, uint16_t leg,
		     uint64_t ms, const char *text)
{
	record_put(f,
		   (struct td_fork_record){.type = type,
					   .stream = stream,
					   .leg = leg,
					   .arrival_ns = T0 + ms * NS_PER_MS},
		   text, (uint32_t)strlen(text));
}

static void call_start(struct finalize_fixture *f)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "{\"recording_id\":\"r\",\"call_id\":\"c\",\"metadata\":\"\",\"started_ns\":%llu}",
		 (unsigned long long)T0);
	text_put(f, TD_FORK_START, 0, 0, 0, text);
}

static void stream_put(struct finalize_fixture *f, uint32_t stream, uint16_t leg,
		       const char *codecs)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "{\"leg\":%u,\"media\":0,\"tag\":\"t\",\"label\":\"x\",\"type\":\"audio\","
		 "\"codecs\":%s}",
		 leg, codecs);
	text_put(f, TD_FORK_STREAM, stream, leg, 0, text);
}

/* One packet spoken at `ms`, arriving then. */
static void packet_put(struct finalize_fixture *f, uint32_t stream, uint16_t leg, uint8_t pt,
		       uint64_t ms, uint16_t seq, uint32_t ts, const void *payload, uint32_t n)
{
	record_put(f,
		   (struct td_fork_record){.type = TD_FORK_PACKET,
					   .stream = stream,
					   .leg = leg,
					   .pt = pt,
					   .ssrc = 100 + stream,
					   .seq = seq,
					   .ts = ts,
					   .arrival_ns = T0 + ms * NS_PER_MS},
		   payload, n);
}

static void call_end(struct finalize_fixture *f, uint64_t ms)
{
	const uint8_t *header;
	uint8_t *bytes;
	size_t size;
	int fd;
	struct stat status;

	text_put(f, TD_FORK_END, 0, 0, ms, "{\"reason\":\"stop\"}");
	assert_non_null(f->ended);
	assert_int_equal(segment_log_flush(f->spool, 10000), 0);
	assert_int_equal(finalize_run(f->ended, f->spool, f->path, &f->result), 0);
	assert_int_equal(f->result.packets.received,
			 f->result.packets.written + f->result.packets.overrun +
				 f->result.packets.duplicate + f->result.packets.undecoded);
	assert_int_equal(f->result.unreadable, 0);
	fd = open(f->path, O_RDONLY);
	assert_int_equal(fstat(fd, &status), 0);
	size = (size_t)status.st_size;
	bytes = malloc(size);
	assert_int_equal(read(fd, bytes, size), size);
	close(fd);
	header = bytes;
	assert_int_equal(header[22], f->result.channels);
	f->frames = (size - 44) / 2 / f->result.channels;
	assert_true(f->frames * f->result.channels <= FRAMES_MAX * 2);
	memcpy(f->samples, bytes + 44, size - 44);
	free(bytes);
}

/* n samples of a tone at `hz`, phase continuous from sample `from`. */
static void tone_make(int16_t *out, uint32_t n, uint64_t from, double hz, double rate)
{
	for (uint32_t k = 0; k < n; k++)
		out[k] = (int16_t)(10000 * sin(2 * M_PI * hz * (double)(from + k) / rate));
}

/* Strength of a tone in a stretch of a channel: 1 = the tone alone at full amplitude 10000. */
static double tone_measure(const struct finalize_fixture *f, uint32_t channel, size_t from,
			   size_t frames, double hz)
{
	double re = 0, im = 0;

	for (size_t k = from; k < from + frames; k++) {
		double sample = f->samples[k * f->result.channels + channel] / 10000.0;
		double angle = 2 * M_PI * hz * (double)k / f->result.rate_hz;

		re += sample * cos(angle);
		im += sample * sin(angle);
	}
	return 2 * sqrt(re * re + im * im) / (double)frames;
}

static bool is_silent(const struct finalize_fixture *f, uint32_t channel, size_t from, size_t to)
{
	for (size_t k = from; k < to; k++) {
		if (abs(f->samples[k * f->result.channels + channel]) > 8)
			return false;
	}
	return true;
}

static json_int_t stream_number(const struct finalize_fixture *f, size_t stream, const char *name)
{
	return json_integer_value(json_object_get(json_array_get(f->result.streams, stream), name));
}

static void tone_ulaw_put(struct finalize_fixture *f, uint32_t stream, uint16_t leg, uint64_t ms,
			  uint32_t k, double hz)
{
	int16_t linear[160];
	uint8_t payload[160];

	tone_make(linear, 160, k * 160, hz, 8000);
	g711_ulaw_encode(payload, linear, 160);
	packet_put(f, stream, leg, 0, ms, (uint16_t)k, k * 160, payload, 160);
}

#define PCMU "[{\"pt\":0,\"name\":\"PCMU\",\"rate\":8000,\"channels\":1}]"

/* ---- tests ---- */

static void each_leg_has_its_channel_and_its_time(void **state)
{
	struct finalize_fixture *f = *state;

	call_start(f);
	stream_put(f, 0, 0, PCMU);
	stream_put(f, 1, 1, PCMU);
	for (uint32_t k = 0; k < 100; k++) {
		tone_ulaw_put(f, 0, 0, 500 + k * 20, k, 400);
		tone_ulaw_put(f, 1, 1, 1000 + k * 20, k, 700);
	}
	call_end(f, 4000);
	assert_int_equal(f->result.channels, 2);
	assert_int_equal(f->result.rate_hz, 8000);
	assert_int_equal(f->result.duration_ms, 4000);
	assert_int_equal(f->frames, 32000);
	assert_true(is_silent(f, 0, 0, 4000) && is_silent(f, 0, 20000, 32000));
	assert_true(is_silent(f, 1, 0, 8000) && is_silent(f, 1, 24000, 32000));
	assert_false(is_silent(f, 0, 4000, 4010));
	assert_false(is_silent(f, 1, 8000, 8010));
	assert_true(tone_measure(f, 0, 4000, 16000, 400) > 0.97);
	assert_true(tone_measure(f, 1, 8000, 16000, 700) > 0.97);
	assert_true(tone_measure(f, 0, 4000, 16000, 700) < 0.02);
	assert_int_equal(f->result.packets.written, 200);
	assert_string_equal(f->result.key, "2026/01/01/r.wav");
}

static void every_sample_stands_in_its_place(void **state)
{
	struct finalize_fixture *f = *state;
	int16_t expected[160];
	uint8_t payload[160];

	call_start(f);
	stream_put(f, 0, 0, PCMU);
	for (uint32_t k = 0; k < 160; k++)
		payload[k] = (uint8_t)(k + 1);
	g711_ulaw_decode(expected, payload, 160);
	packet_put(f, 0, 0, 0, 100, 1, 1000, payload, 160);
	packet_put(f, 0, 0, 0, 140, 3, 1320, payload, 160); /* one lost between */
	call_end(f, 200);
	assert_int_equal(f->result.channels, 1);
	assert_int_equal(f->frames, 1600);
	assert_true(is_silent(f, 0, 0, 800));
	assert_memory_equal(f->samples + 800, expected, sizeof(expected));
	assert_true(is_silent(f, 0, 960, 1120));
	assert_memory_equal(f->samples + 1120, expected, sizeof(expected));
	assert_int_equal(f->result.packets.lost, 1);
	assert_int_equal(stream_number(f, 0, "gaps"), 1);
	assert_int_equal(stream_number(f, 0, "gap_ms"), 20);
}

static void streams_of_one_leg_are_added(void **state)
{
	struct finalize_fixture *f = *state;

	call_start(f);
	stream_put(f, 0, 0, PCMU);
	stream_put(f, 1, 0, PCMU);
	for (uint32_t k = 0; k < 50; k++) {
		tone_ulaw_put(f, 0, 0, k * 20, k, 400);
		tone_ulaw_put(f, 1, 0, k * 20, k, 700);
	}
	call_end(f, 1000);
	assert_int_equal(f->result.channels, 1);
	assert_true(tone_measure(f, 0, 0, 8000, 400) > 0.97);
	assert_true(tone_measure(f, 0, 0, 8000, 700) > 0.97);
}

static void sums_beyond_full_scale_are_clipped(void **state)
{
	struct finalize_fixture *f = *state;
	uint8_t loud[160];

	memset(loud, 0x80, sizeof(loud)); /* the largest positive value */
	call_start(f);
	stream_put(f, 0, 0, PCMU);
	stream_put(f, 1, 0, PCMU);
	packet_put(f, 0, 0, 0, 0, 1, 0, loud, 160);
	packet_put(f, 1, 0, 0, 0, 1, 0, loud, 160);
	call_end(f, 20);
	for (size_t k = 0; k < 160; k++)
		assert_int_equal(f->samples[k], 32767);
}

static void wideband_codecs_give_a_wideband_file_with_narrowband_in_place(void **state)
{
	struct finalize_fixture *f = *state;
	g722_encode_state_t *g722 = g722_encode_init(NULL, 64000, 0);

	call_start(f);
	stream_put(f, 0, 0, "[{\"pt\":9,\"name\":\"G722\",\"rate\":8000}]");
	stream_put(f, 1, 1, PCMU);
	for (uint32_t k = 0; k < 100; k++) {
		int16_t linear[320];
		uint8_t payload[160];

		tone_make(linear, 320, k * 320, 5000, 16000);
		assert_int_equal(g722_encode(g722, payload, linear, 320), 160);
		packet_put(f, 0, 0, 9, 200 + k * 20, (uint16_t)k, k * 160, payload, 160);
		tone_ulaw_put(f, 1, 1, 200 + k * 20, k, 700);
	}
	g722_encode_free(g722);
	call_end(f, 2500);
	assert_int_equal(f->result.rate_hz, 16000);
	assert_int_equal(f->frames, 40000);
	assert_true(tone_measure(f, 0, 3200, 32000, 5000) > 0.85);
	assert_true(tone_measure(f, 1, 3200, 32000, 700) > 0.95);
	assert_int_equal(stream_number(f, 1, "gaps"), 0);
	/* where it starts and ends, to 2 ms */
	assert_true(is_silent(f, 1, 0, 3200 - 32) && !is_silent(f, 1, 3200, 3200 + 32));
	assert_true(!is_silent(f, 1, 35200 - 64, 35200) && is_silent(f, 1, 35200 + 32, 40000));
}

static void opus_is_decoded(void **state)
{
	struct finalize_fixture *f = *state;
	int error;
	OpusEncoder *opus = opus_encoder_create(48000, 1, OPUS_APPLICATION_AUDIO, &error);

	assert_int_equal(error, OPUS_OK);
	call_start(f);
	stream_put(f, 0, 0, "[{\"pt\":96,\"name\":\"opus\",\"rate\":48000,\"channels\":2}]");
	for (uint32_t k = 0; k < 100; k++) {
		int16_t linear[960];
		uint8_t payload[1500];
		int n;

		tone_make(linear, 960, k * 960, 1000, 48000);
		n = opus_encode(opus, linear, 960, payload, sizeof(payload));
		assert_true(n > 0);
		packet_put(f, 0, 0, 96, k * 20, (uint16_t)k, k * 960, payload, (uint32_t)n);
	}
	opus_encoder_destroy(opus);
	call_end(f, 2000);
	assert_int_equal(f->result.rate_hz, 48000);
	assert_int_equal(f->result.packets.written, 100);
	assert_true(tone_measure(f, 0, 9600, 76800, 1000) > 0.9);
}

static void l16_is_decoded_and_stereo_mixed_down(void **state)
{
	struct finalize_fixture *f = *state;

	call_start(f);
	stream_put(f, 0, 0, "[{\"pt\":97,\"name\":\"L16\",\"rate\":16000,\"channels\":2}]");
	for (uint32_t k = 0; k < 10; k++) {
		uint8_t payload[320 * 4];

		for (uint32_t s = 0; s < 320; s++) {
			payload[s * 4] = 1000 >> 8;
			payload[s * 4 + 1] = 1000 & 0xff;
			payload[s * 4 + 2] = 3000 >> 8;
			payload[s * 4 + 3] = 3000 & 0xff;
		}
		packet_put(f, 0, 0, 97, k * 20, (uint16_t)k, k * 320, payload, sizeof(payload));
	}
	call_end(f, 200);
	assert_int_equal(f->result.rate_hz, 16000);
	assert_int_equal(f->frames, 3200);
	for (size_t k = 0; k < 3200; k++)
		assert_int_equal(f->samples[k], 2000);
}

static void codecs_may_change_within_a_stream(void **state)
{
	struct finalize_fixture *f = *state;
	uint8_t payload[160];

	call_start(f);
	stream_put(f, 0, 0, PCMU);
	for (uint32_t k = 0; k < 50; k++)
		tone_ulaw_put(f, 0, 0, k * 20, k, 400);
	stream_put(f, 0, 0, "[{\"pt\":8,\"name\":\"PCMA\",\"rate\":8000}]");
	for (uint32_t k = 50; k < 100; k++) {
		int16_t linear[160];

		tone_make(linear, 160, k * 160, 400, 8000);
		g711_alaw_encode(payload, linear, 160);
		packet_put(f, 0, 0, 8, k * 20, (uint16_t)k, k * 160, payload, 160);
	}
	call_end(f, 2000);
	assert_true(tone_measure(f, 0, 0, 16000, 400) > 0.97);
	assert_int_equal(f->result.packets.written, 100);
}

static void what_cannot_be_heard_is_counted(void **state)
{
	static const struct td_fork_totals totals = {60, 13, 0};
	struct finalize_fixture *f = *state;
	uint8_t junk[20] = {0};

	call_start(f);
	stream_put(f, 0, 0,
		   "[{\"pt\":0,\"name\":\"PCMU\",\"rate\":8000},{\"pt\":18,\"name\":\"G729\","
		   "\"rate\":8000},{\"pt\":101,\"name\":\"telephone-event\",\"rate\":8000}]");
	for (uint32_t k = 0; k < 20; k++)
		tone_ulaw_put(f, 0, 0, k * 20, k, 400);
	tone_ulaw_put(f, 0, 0, 19 * 20 + 5, 19, 400); /* a duplicate */
	for (uint32_t k = 20; k < 30; k++)
		packet_put(f, 0, 0, 18, k * 20, (uint16_t)k, k * 160, junk, sizeof(junk));
	for (uint32_t k = 30; k < 40; k++)
		packet_put(f, 0, 0, 101, k * 20, (uint16_t)k, 30 * 160, junk, 4);
	/* sequence gap of 23: 13 overrun in the ring, 10 lost before */
	packet_put(f, 0, 0, 0, 63 * 20, 63, 63 * 160, junk, 0); /* empty */
	for (uint32_t k = 64; k < 69; k++)
		tone_ulaw_put(f, 0, 0, k * 20, k, 400);
	record_put(f,
		   (struct td_fork_record){.type = TD_FORK_STREAM_END,
					   .arrival_ns = T0 + 1400 * NS_PER_MS},
		   &totals, sizeof(totals));
	call_end(f, 1400);
	assert_int_equal(f->result.packets.received, 60);
	assert_int_equal(f->result.packets.overrun, 13);
	assert_int_equal(f->result.packets.duplicate, 1);
	assert_int_equal(f->result.packets.undecoded, 11);
	assert_int_equal(f->result.packets.written, 20 + 10 + 5);
	assert_int_equal(f->result.packets.lost, 10);
	assert_true(is_silent(f, 0, 20 * 160, 64 * 160));
}

static void a_recording_without_packets_is_silence(void **state)
{
	struct finalize_fixture *f = *state;

	call_start(f);
	stream_put(f, 0, 0, PCMU);
	stream_put(f, 1, 1, PCMU);
	call_end(f, 3000);
	assert_int_equal(f->result.channels, 2);
	assert_int_equal(f->frames, 24000);
	assert_true(is_silent(f, 0, 0, 24000) && is_silent(f, 1, 0, 24000));
	assert_int_equal(f->result.packets.received, 0);
}

static void sound_outside_the_recording_is_cut(void **state)
{
	struct finalize_fixture *f = *state;
	uint8_t loud[160];

	memset(loud, 0x80, sizeof(loud));
	call_start(f);
	stream_put(f, 0, 0, PCMU);
	for (uint32_t k = 0; k < 20; k++)
		packet_put(f, 0, 0, 0, k * 20, (uint16_t)k, k * 160, loud, 160);
	call_end(f, 210);
	assert_int_equal(f->frames, 1680);
	assert_int_equal(f->samples[1679], 32124);
	assert_int_equal(f->result.packets.written, 11);
	assert_int_equal(f->result.packets.undecoded, 9);
}

static void nonsense_in_descriptions_is_survived(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"null",
		"{\"codecs\":7}",
		"{\"codecs\":[1,{},null]}",
		"{\"codecs\":[{\"pt\":-1,\"name\":\"PCMU\",\"rate\":8000}]}",
		"{\"codecs\":[{\"pt\":300,\"name\":\"PCMU\",\"rate\":8000}]}",
		"{\"codecs\":[{\"pt\":0,\"name\":\"PCMU\",\"rate\":1}]}",
		"{\"codecs\":[{\"pt\":0,\"name\":\"L16\",\"rate\":999999999,\"channels\":99}]}",
		"{\"leg\":\"x\",\"type\":\"video\",\"label\":7}",
	};
	struct finalize_fixture *f = *state;
	uint8_t payload[160] = {0};

	call_start(f);
	for (uint32_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
		text_put(f, TD_FORK_STREAM, k, 0, 0, texts[k]);
		packet_put(f, k, 0, 0, 0, 1, 0, payload, 160);
	}
	text_put(f, TD_FORK_STREAM, 70000, 0, 0, texts[0]);
	packet_put(f, 70000, 0, 0, 0, 1, 0, payload, 160);
	packet_put(f, 40, 500, 0, 0, 1, 0, payload, 160); /* a leg that has no channel */
	call_end(f, 100);
	assert_int_equal(f->result.packets.received, sizeof(texts) / sizeof(texts[0]) + 2);
}

int main(void)
{
#define FINALIZE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		FINALIZE_TEST(each_leg_has_its_channel_and_its_time),
		FINALIZE_TEST(every_sample_stands_in_its_place),
		FINALIZE_TEST(streams_of_one_leg_are_added),
		FINALIZE_TEST(sums_beyond_full_scale_are_clipped),
		FINALIZE_TEST(wideband_codecs_give_a_wideband_file_with_narrowband_in_place),
		FINALIZE_TEST(opus_is_decoded),
		FINALIZE_TEST(l16_is_decoded_and_stereo_mixed_down),
		FINALIZE_TEST(codecs_may_change_within_a_stream),
		FINALIZE_TEST(what_cannot_be_heard_is_counted),
		FINALIZE_TEST(a_recording_without_packets_is_silence),
		FINALIZE_TEST(sound_outside_the_recording_is_cut),
		FINALIZE_TEST(nonsense_in_descriptions_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

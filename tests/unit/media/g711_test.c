/* G.711 against the formulas of the Recommendation, and against itself. */
#include "dataplane/media/g711.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void decode_all(void (*decode)(int16_t *, const uint8_t *, size_t), int16_t values[256])
{
	uint8_t bytes[256];

	for (int i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	decode(values, bytes, 256);
}

static void ulaw_decodes_as_tables_2a_and_2b_say(void **state)
{
	/* Byte, value in 14-bit units (G.711 tables 2a and 2b, column 8). */
	static const struct {
		uint8_t byte;
		int value;
	} rows[] = {{0x80, 8031},  {0x8f, 4191}, {0x9f, 2079}, {0xaf, 1023}, {0xbf, 495},
		    {0xcf, 231},   {0xdf, 99},   {0xef, 33},   {0xfe, 2},    {0xff, 0},
		    {0x00, -8031}, {0x7e, -2},   {0x7f, 0},    {0x6f, -33}};
	int16_t values[256];

	(void)state;
	decode_all(g711_ulaw_decode, values);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(values[rows[i].byte], rows[i].value * 4);
}

static void alaw_decodes_as_tables_1a_and_1b_say(void **state)
{
	/* Byte with its even bits inverted, value in 13-bit units (G.711 tables 1a and 1b, column
	 * 8). */
	static const struct {
		uint8_t byte;
		int value;
	} rows[] = {{0xff ^ 0x55, 4032}, {0xf0 ^ 0x55, 2112}, {0xe0 ^ 0x55, 1056},
		    {0xd0 ^ 0x55, 528},  {0xc0 ^ 0x55, 264},  {0xb0 ^ 0x55, 132},
		    {0xa0 ^ 0x55, 66},   {0x90 ^ 0x55, 33},   {0x80 ^ 0x55, 1},
		    {0x00 ^ 0x55, -1},   {0x7f ^ 0x55, -4032}};
	int16_t values[256];

	(void)state;
	decode_all(g711_alaw_decode, values);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(values[rows[i].byte], rows[i].value * 8);
}

static void every_byte_survives_decoding_and_encoding(void **state)
{
	int16_t values[256];
	uint8_t bytes[256];

	(void)state;
	decode_all(g711_ulaw_decode, values);
	g711_ulaw_encode(bytes, values, 256);
	for (int i = 0; i < 256; i++)
		assert_int_equal(bytes[i], i == 0x7f ? 0xff : i); /* two zeros: the positive one */
	decode_all(g711_alaw_decode, values);
	g711_alaw_encode(bytes, values, 256);
	for (int i = 0; i < 256; i++)
		assert_int_equal(bytes[i], i);
}

/* Half the width of a byte's interval: the law's first step, doubled with each segment. */
static int ulaw_half_step(uint8_t byte)
{
	return 4 << (~byte >> 4 & 7);
}

static int alaw_half_step(uint8_t byte)
{
	int segment = (byte ^ 0x55) >> 4 & 7;

	return segment == 0 ? 8 : 8 << (segment - 1);
}

static void every_sample_falls_into_the_interval_of_its_byte(void **state)
{
	int16_t ulaw[256], alaw[256];

	(void)state;
	decode_all(g711_ulaw_decode, ulaw);
	decode_all(g711_alaw_decode, alaw);
	for (int sample = -32768; sample <= 32767; sample++) {
		int16_t in = (int16_t)sample;
		uint8_t byte;

		g711_ulaw_encode(&byte, &in, 1);
		if (abs(sample) < 32636) /* what is beyond the last interval is clipped */
			assert_true(abs(ulaw[byte] - sample) <= ulaw_half_step(byte));
		else
			assert_int_equal(abs(ulaw[byte]), 32124);
		g711_alaw_encode(&byte, &in, 1);
		assert_true(abs(alaw[byte] - sample) <= alaw_half_step(byte));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ulaw_decodes_as_tables_2a_and_2b_say),
		cmocka_unit_test(alaw_decodes_as_tables_1a_and_1b_say),
		cmocka_unit_test(every_byte_survives_decoding_and_encoding),
		cmocka_unit_test(every_sample_falls_into_the_interval_of_its_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

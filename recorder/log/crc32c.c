/* CRC32C, with the processor's instruction where there is one (SSE4.2), else from a table. */
#include "recorder/log/crc32c.h"

#include <string.h>

#define CRC32C_POLYNOMIAL 0x82f63b78u /* 0x1EDC6F41 with its bits reversed */

struct crc32c_tables {
	uint32_t entry[8][256];
};

/* Sarwate's table and seven more, each one byte further on, so that 8 bytes take 8 look-ups. */
static void tables_build(struct crc32c_tables *tables)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
		tables->entry[0][byte] = crc;
	}
	for (uint32_t byte = 0; byte < 256; byte++) {
		for (int k = 1; k < 8; k++) {
			uint32_t before = tables->entry[k - 1][byte];

			tables->entry[k][byte] = before >> 8 ^ tables->entry[0][before & 0xff];
		}
	}
}

static struct crc32c_tables tables; /* constant once the constructor has run */

__attribute__((constructor)) static void tables_start(void)
{
	tables_build(&tables);
}

uint32_t crc32c_table(uint32_t crc, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	crc = ~crc;
	for (; n >= 8; n -= 8, at += 8) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		word ^= crc;
		crc = 0;
		for (int k = 0; k < 8; k++)
			crc ^= tables.entry[7 - k][word >> (8 * k) & 0xff];
	}
	for (; n > 0; n--, at++)
		crc = crc >> 8 ^ tables.entry[0][(crc ^ *at) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *bytes,
							       size_t n)
{
	const uint8_t *at = bytes;
	uint64_t state = (uint32_t)~crc;

	for (; n >= 8; n -= 8, at += 8) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		state = _mm_crc32_u64(state, word);
	}
	for (; n > 0; n--, at++)
		state = _mm_crc32_u8((uint32_t)state, *at);
	return ~(uint32_t)state;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t n)
{
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, bytes, n);
	return crc32c_table(crc, bytes, n);
}
#else
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n)
{
	return crc32c_table(crc, bytes, n);
}
#endif

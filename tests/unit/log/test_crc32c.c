/* CRC32C against RFC 3720 B.4, and the instruction against the table. */
#include "recorder/log/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void crc32c_gives_the_values_of_rfc_3720(void **state)
{
	uint8_t bytes[32];
	(void)state;

	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
	for (uint8_t k = 0; k < 32; k++)
		bytes[k] = k;
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
	for (uint8_t k = 0; k < 32; k++)
		bytes[k] = 31 - k;
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x113fdb5c);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
}

static void instruction_and_table_agree_on_any_length_and_alignment(void **state)
{
	static uint8_t bytes[4096 + 8];
	uint32_t seed = 1;
	(void)state;

	for (size_t k = 0; k < sizeof(bytes); k++) {
		seed = seed * 1664525 + 1013904223;
		bytes[k] = (uint8_t)(seed >> 24);
	}
	for (size_t n = 0; n <= 4096; n += n < 300 ? 1 : 97) {
		size_t from = n % 8;

		assert_int_equal(crc32c(seed, bytes + from, n),
				 crc32c_table(seed, bytes + from, n));
	}
}

static void crc32c_of_two_parts_is_that_of_the_whole(void **state)
{
	static const char text[] = "a tandem is the exchange that connects other exchanges";
	(void)state;

	for (size_t cut = 0; cut < sizeof(text); cut++)
		assert_int_equal(crc32c(crc32c(0, text, cut), text + cut, sizeof(text) - cut),
				 crc32c(0, text, sizeof(text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_gives_the_values_of_rfc_3720),
		cmocka_unit_test(instruction_and_table_agree_on_any_length_and_alignment),
		cmocka_unit_test(crc32c_of_two_parts_is_that_of_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* CRC32C (Castagnoli, RFC 3720 B.4): polynomial 0x1EDC6F41, reflected, inverted in and out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to begin) over n bytes: crc32c(crc32c(0, a), b) is that of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);
/* The same from a table; crc32c() is this where the processor has no instruction for it. */
uint32_t crc32c_table(uint32_t crc, const void *bytes, size_t n);

/* The Internet checksum (RFC 1071) in the machine's byte order: sums are made of 16-bit words as
 * they lie in memory, and what comes out is stored the same way, so nothing is swapped. */
#pragma once

#include <stdint.h>
#include <string.h>

/* To at most 0xffff. */
static inline uint32_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum;
}

/* Adds n bytes (at most 64 KiB, any alignment) to a folded sum; an odd last byte is padded with 0.
 */
static inline uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, uint32_t n)
{
	uint32_t word;

	for (; n >= 4; n -= 4, bytes += 4) {
		memcpy(&word, bytes, 4);
		sum += word;
	}
	if (n > 0) {
		word = 0;
		memcpy(&word, bytes, n);
		sum += word;
	}
	return sum;
}

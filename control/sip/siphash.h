/*
 * SipHash-2-4 with 128 bits of output (Aumasson, Bernstein 2012): keys of the tables, which a peer
 * chooses and must not be able to make collide, and the source of tags and branches.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k[2];
};

struct siphash {
	uint64_t v[4];
	uint8_t tail[8];
	uint64_t n;
};

void siphash_init(struct siphash *hash, const struct siphash_key *key);
void siphash_add(struct siphash *hash, const void *bytes, size_t n);
/* Adds the length too, so that ("ab", "c") and ("a", "bc") differ. */
void siphash_add_part(struct siphash *hash, const void *bytes, size_t n);
void siphash_finish(struct siphash *hash, uint64_t out[2]);

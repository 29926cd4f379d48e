/* SipHash-2-4-128. */
#include "control/sip/siphash.h"

#include <string.h>

static inline uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static inline void siphash_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static inline void word_add(struct siphash *hash, uint64_t word)
{
	hash->v[3] ^= word;
	siphash_round(hash->v);
	siphash_round(hash->v);
	hash->v[0] ^= word;
}

void siphash_init(struct siphash *hash, const struct siphash_key *key)
{
	hash->v[0] = key->k[0] ^ UINT64_C(0x736f6d6570736575);
	hash->v[1] = key->k[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee;
	hash->v[2] = key->k[0] ^ UINT64_C(0x6c7967656e657261);
	hash->v[3] = key->k[1] ^ UINT64_C(0x7465646279746573);
	hash->n = 0;
}

void siphash_add(struct siphash *hash, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	size_t held = hash->n & 7;
	uint64_t word;

	hash->n += n;
	if (held > 0) {
		size_t take = n < 8 - held ? n : 8 - held;

		if (take > 0)
			memcpy(hash->tail + held, p, take);
		if (held + take < 8)
			return;
		memcpy(&word, hash->tail, 8);
		word_add(hash, word);
		p += take;
		n -= take;
	}
	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		word_add(hash, word);
	}
	if (n > 0)
		memcpy(hash->tail, p, n);
}

void siphash_add_part(struct siphash *hash, const void *bytes, size_t n)
{
	uint32_t length = (uint32_t)n;

	siphash_add(hash, &length, sizeof(length));
	siphash_add(hash, bytes, n);
}

void siphash_finish(struct siphash *hash, uint64_t out[2])
{
	uint64_t last = hash->n << 56;

	for (size_t i = 0; i < (hash->n & 7); i++)
		last |= (uint64_t)hash->tail[i] << (8 * i);
	word_add(hash, last);
	hash->v[2] ^= 0xee;
	for (int i = 0; i < 4; i++)
		siphash_round(hash->v);
	out[0] = hash->v[0] ^ hash->v[1] ^ hash->v[2] ^ hash->v[3];
	hash->v[1] ^= 0xdd;
	for (int i = 0; i < 4; i++)
		siphash_round(hash->v);
	out[1] = hash->v[0] ^ hash->v[1] ^ hash->v[2] ^ hash->v[3];
}

/* Binding requests in, Binding responses out; no state, no allocation. */
#include "control/sip/stun.h"

#include <string.h>

#define HEADER_SIZE      20
#define COOKIE           0x2112a442u
#define BINDING_REQUEST  0x0001
#define BINDING_SUCCESS  0x0101
#define BINDING_ERROR    0x0111
#define FINGERPRINT_XOR  0x5354554eu /* RFC 8489 14.7 */
#define FINGERPRINT_SIZE 8           /* with its head */
#define UNKNOWN_MAX      8

enum attribute {
	USERNAME = 0x0006,
	MESSAGE_INTEGRITY = 0x0008,
	ERROR_CODE = 0x0009,
	UNKNOWN_ATTRIBUTES = 0x000a,
	REALM = 0x0014,
	NONCE = 0x0015,
	MESSAGE_INTEGRITY_SHA256 = 0x001c,
	USERHASH = 0x001e,
	XOR_MAPPED_ADDRESS = 0x0020,
	FINGERPRINT = 0x8028,
};

struct request {
	bool fingerprint;
	uint16_t unknown[UNKNOWN_MAX];
	uint32_t unknown_count;
};

struct answer {
	uint8_t *bytes;
	uint32_t n;
};

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void put32(uint8_t *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p + 2, value & 0xffff);
}

/* CRC-32 of ITU V.42, bit by bit: a few dozen bytes per keep-alive. */
static uint32_t fingerprint_of(const uint8_t *bytes, uint32_t n)
{
	uint32_t crc = 0xffffffffu;

	for (uint32_t i = 0; i < n; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc ^ FINGERPRINT_XOR;
}

bool stun_is_message(const char *bytes, uint32_t n)
{
	return n >= HEADER_SIZE && ((uint8_t)bytes[0] & 0xc0) == 0 &&
	       get32((const uint8_t *)bytes + 4) == COOKIE;
}

/* Attributes that need no answer from a server that knows no users. */
static bool is_known(uint32_t type)
{
	switch (type) {
	case USERNAME:
	case MESSAGE_INTEGRITY:
	case REALM:
	case NONCE:
	case MESSAGE_INTEGRITY_SHA256:
	case USERHASH:
		return true;
	default:
		return type >= 0x8000; /* comprehension-optional */
	}
}

/* False if the attributes do not fill the message, or the fingerprint is wrong. */
static bool request_read(const uint8_t *bytes, uint32_t n, struct request *request)
{
	uint32_t at = HEADER_SIZE;

	while (at < n) {
		uint32_t type;
		uint32_t length;

		if (n - at < 4)
			return false;
		type = get16(bytes + at);
		length = get16(bytes + at + 2);
		if (length > n - at - 4)
			return false;
		if (type == FINGERPRINT) {
			/* the last one, by definition */
			request->fingerprint = true;
			return length == 4 && at + FINGERPRINT_SIZE == n &&
			       get32(bytes + at + 4) == fingerprint_of(bytes, at);
		}
		if (!is_known(type) && request->unknown_count < UNKNOWN_MAX)
			request->unknown[request->unknown_count++] = (uint16_t)type;
		at += 4 + ((length + 3) & ~3u);
	}
	return at == n;
}

static uint8_t *attribute_add(struct answer *answer, enum attribute type, uint32_t length)
{
	uint8_t *value = answer->bytes + answer->n + 4;
	uint32_t padded = (length + 3) & ~3u;

	put16(value - 4, type);
	put16(value - 2, length);
	memset(value, 0, padded);
	answer->n += 4 + padded;
	return value;
}

/* RFC 8489 14.2: hidden from NATs that rewrite addresses in the payload. */
static void mapped_address_add(struct answer *answer, const struct endpoint *from)
{
	bool v4 = address_is_v4(&from->address);
	uint32_t size = v4 ? 4 : 16;
	const uint8_t *ip = from->address.ip + 16 - size;
	uint8_t *value = attribute_add(answer, XOR_MAPPED_ADDRESS, 4 + size);

	value[1] = v4 ? 1 : 2;
	put16(value + 2, from->port ^ COOKIE >> 16);
	for (uint32_t i = 0; i < size; i++)
		value[4 + i] = ip[i] ^ answer->bytes[4 + i]; /* cookie, then transaction id */
}

static void error_add(struct answer *answer, const struct request *request)
{
	static const char reason[] = "Unknown Attribute";
	uint8_t *value = attribute_add(answer, ERROR_CODE, 4 + sizeof(reason) - 1);

	value[2] = 4;
	value[3] = 20;
	memcpy(value + 4, reason, sizeof(reason) - 1);
	value = attribute_add(answer, UNKNOWN_ATTRIBUTES, 2 * request->unknown_count);
	for (uint32_t i = 0; i < request->unknown_count; i++)
		put16(value + 2 * (size_t)i, request->unknown[i]);
}

uint32_t stun_answer(const char *bytes, uint32_t n, const struct endpoint *from,
		     char out[STUN_ANSWER_MAX])
{
	const uint8_t *p = (const uint8_t *)bytes;
	struct request request = {0};
	struct answer answer = {(uint8_t *)out, HEADER_SIZE};

	if (!stun_is_message(bytes, n) || get16(p) != BINDING_REQUEST ||
	    get16(p + 2) != n - HEADER_SIZE || n % 4 != 0 || !request_read(p, n, &request))
		return 0;
	memcpy(out, bytes, HEADER_SIZE);
	put16(answer.bytes, request.unknown_count > 0 ? BINDING_ERROR : BINDING_SUCCESS);
	if (request.unknown_count > 0)
		error_add(&answer, &request);
	else
		mapped_address_add(&answer, from);
	put16(answer.bytes + 2, answer.n - HEADER_SIZE);
	if (request.fingerprint) {
		uint32_t crc;

		put16(answer.bytes + 2, answer.n + FINGERPRINT_SIZE - HEADER_SIZE);
		crc = fingerprint_of(answer.bytes, answer.n);
		put32(attribute_add(&answer, FINGERPRINT, 4), crc);
	}
	return answer.n;
}

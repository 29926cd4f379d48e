/* Digest authentication, server side. */
#include "control/sip/auth.h"

#include "control/sip/chars.h"

#include "dataplane/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>

#define NONCE_TIME_SIZE   8
#define NONCE_RANDOM_SIZE 8
#define NONCE_MAC_SIZE    16
#define NONCE_SIZE        (NONCE_TIME_SIZE + NONCE_RANDOM_SIZE + NONCE_MAC_SIZE)
#define NONCE_TEXT_SIZE   43 /* base64url without padding */
#define REALM_SIZE_MAX    256
#define WINDOW            64 /* nonce counts below the highest that may still come */

/* What is known of a nonce that has been used. */
struct used_nonce {
	uint64_t random;
	uint64_t made_ms;
	uint32_t highest; /* nonce count seen */
	uint32_t next;    /* in the bucket, index + 1 */
	uint64_t seen;    /* bit i: highest - i was used */
};

static_assert(sizeof(struct used_nonce) == 32, "auth.h says 40 with the buckets");

struct sip_auth {
	char realm[REALM_SIZE_MAX];
	uint8_t key[32];
	uint32_t lifetime_ms;
	uint64_t forgotten_ms; /* nonces made until then may have been used and forgotten */
	uint32_t size;         /* of the table */
	uint32_t filled;
	uint32_t oldest; /* where the next one goes when it is full */
	uint32_t mask;
	uint32_t *buckets; /* index + 1 */
	struct used_nonce *used;
	bool hidden[SIP_AUTH_ALGORITHMS]; /* not named in challenges */
	struct sip_digest *digest;
};

int sip_auth_create(struct sip_auth **out, const char *realm, const uint8_t key[32],
		    uint32_t nonce_lifetime_ms, uint32_t remembered)
{
	struct sip_auth *auth = calloc(1, sizeof(*auth));
	uint32_t buckets = 16;

	if (!auth)
		return -ENOMEM;
	if (strlen(realm) >= sizeof(auth->realm) || remembered == 0) {
		free(auth);
		return -EINVAL;
	}
	strcpy(auth->realm, realm);
	memcpy(auth->key, key, sizeof(auth->key));
	auth->lifetime_ms = nonce_lifetime_ms;
	auth->size = remembered;
	while (buckets < remembered && buckets < 1u << 24)
		buckets *= 2;
	auth->mask = buckets - 1;
	auth->buckets = calloc(buckets, sizeof(uint32_t));
	auth->used = calloc(remembered, sizeof(struct used_nonce));
	if (!auth->buckets || !auth->used || sip_digest_create(&auth->digest) < 0) {
		sip_auth_destroy(auth);
		return -ENOMEM;
	}
	*out = auth;
	return 0;
}

void sip_auth_destroy(struct sip_auth *auth)
{
	if (!auth)
		return;
	sip_digest_destroy(auth->digest);
	free(auth->buckets);
	free(auth->used);
	OPENSSL_cleanse(auth->key, sizeof(auth->key));
	free(auth);
}

/* ---- nonces ---- */

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void nonce_encode(const uint8_t in[NONCE_SIZE], char out[NONCE_TEXT_SIZE + 1])
{
	uint32_t bits = 0;
	uint32_t held = 0;
	uint32_t n = 0;

	for (int i = 0; i < NONCE_SIZE; i++) {
		held = held << 8 | in[i];
		for (bits += 8; bits >= 6; bits -= 6)
			out[n++] = base64url[held >> (bits - 6) & 63];
	}
	out[n++] = base64url[held << (6 - bits) & 63];
	assert(n == NONCE_TEXT_SIZE);
	out[n] = '\0';
}

static bool nonce_decode(struct sip_text text, uint8_t out[NONCE_SIZE])
{
	uint32_t bits = 0;
	uint32_t held = 0;
	uint32_t n = 0;

	if (text.n != NONCE_TEXT_SIZE)
		return false;
	for (uint32_t i = 0; i < text.n; i++) {
		const char *at = text.at[i] != '\0' ? strchr(base64url, text.at[i]) : NULL;

		if (!at)
			return false;
		held = held << 6 | (uint32_t)(at - base64url);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[n++] = (uint8_t)(held >> bits);
		}
	}
	return n == NONCE_SIZE;
}

static void nonce_mac(const struct sip_auth *auth, const uint8_t nonce[NONCE_SIZE],
		      uint8_t mac[NONCE_MAC_SIZE])
{
	uint8_t input[NONCE_TIME_SIZE + NONCE_RANDOM_SIZE + REALM_SIZE_MAX];
	uint8_t output[SHA256_DIGEST_LENGTH];
	size_t realm_n = strlen(auth->realm);
	unsigned int n = sizeof(output);

	memcpy(input, nonce, NONCE_TIME_SIZE + NONCE_RANDOM_SIZE);
	memcpy(input + NONCE_TIME_SIZE + NONCE_RANDOM_SIZE, auth->realm, realm_n);
	HMAC(EVP_sha256(), auth->key, sizeof(auth->key), input,
	     NONCE_TIME_SIZE + NONCE_RANDOM_SIZE + realm_n, output, &n);
	memcpy(mac, output, NONCE_MAC_SIZE);
}

static void nonce_make(const struct sip_auth *auth, uint64_t now_ms, char out[NONCE_TEXT_SIZE + 1])
{
	uint8_t nonce[NONCE_SIZE];

	for (int i = 0; i < NONCE_TIME_SIZE; i++)
		nonce[i] = (uint8_t)(now_ms >> (56 - 8 * i));
	random_bytes(nonce + NONCE_TIME_SIZE, NONCE_RANDOM_SIZE);
	nonce_mac(auth, nonce, nonce + NONCE_TIME_SIZE + NONCE_RANDOM_SIZE);
	nonce_encode(nonce, out);
}

/* Ours and not too old. */
static bool nonce_is_fresh(const struct sip_auth *auth, struct sip_text text, uint64_t now_ms,
			   struct used_nonce *nonce)
{
	uint8_t bytes[NONCE_SIZE];
	uint8_t mac[NONCE_MAC_SIZE];

	memset(nonce, 0, sizeof(*nonce));
	if (!nonce_decode(text, bytes))
		return false;
	nonce_mac(auth, bytes, mac);
	for (int i = 0; i < NONCE_TIME_SIZE; i++)
		nonce->made_ms = nonce->made_ms << 8 | bytes[i];
	memcpy(&nonce->random, bytes + NONCE_TIME_SIZE, sizeof(nonce->random));
	return CRYPTO_memcmp(mac, bytes + NONCE_TIME_SIZE + NONCE_RANDOM_SIZE, sizeof(mac)) == 0 &&
	       nonce->made_ms <= now_ms && now_ms - nonce->made_ms <= auth->lifetime_ms;
}

static void used_remove(struct sip_auth *auth, uint32_t index)
{
	uint32_t *at = &auth->buckets[auth->used[index].random & auth->mask];

	while (*at != index + 1)
		at = &auth->used[*at - 1].next;
	*at = auth->used[index].next;
	if (auth->used[index].made_ms > auth->forgotten_ms)
		auth->forgotten_ms = auth->used[index].made_ms;
}

static void used_add(struct sip_auth *auth, const struct used_nonce *nonce, uint32_t count)
{
	uint32_t index = auth->filled;
	uint32_t *bucket = &auth->buckets[nonce->random & auth->mask];

	if (auth->filled == auth->size) {
		index = auth->oldest;
		auth->oldest = (auth->oldest + 1) % auth->size;
		used_remove(auth, index);
	} else {
		auth->filled++;
	}
	auth->used[index] = *nonce;
	auth->used[index].highest = count;
	auth->used[index].seen = 1;
	auth->used[index].next = *bucket;
	*bucket = index + 1;
}

/* True if this nonce count was not used before; it is from now on. Without qop the count is 0: such
 * a nonce works once. */
static bool used_note(struct sip_auth *auth, const struct used_nonce *nonce, uint32_t count)
{
	uint32_t at = auth->buckets[nonce->random & auth->mask];
	struct used_nonce *used;
	uint32_t behind;

	while (at != 0 && (auth->used[at - 1].random != nonce->random ||
			   auth->used[at - 1].made_ms != nonce->made_ms))
		at = auth->used[at - 1].next;
	if (at == 0) {
		if (nonce->made_ms <= auth->forgotten_ms)
			return false;
		used_add(auth, nonce, count);
		return true;
	}
	used = &auth->used[at - 1];
	if (count > used->highest) {
		behind = count - used->highest;
		used->seen = behind < WINDOW ? used->seen << behind | 1 : 1;
		used->highest = count;
		return true;
	}
	behind = used->highest - count;
	if (behind >= WINDOW || used->seen >> behind & 1)
		return false;
	used->seen |= UINT64_C(1) << behind;
	return true;
}

/* ---- digests ---- */

static bool response_equals(struct sip_text response, const char *expected)
{
	char lower[SIP_DIGEST_HEX_SIZE];
	size_t n = strlen(expected);

	if (response.n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		lower[i] = sip_lower(response.at[i]);
	return CRYPTO_memcmp(lower, expected, n) == 0;
}

enum sip_auth_result sip_auth_verify(struct sip_auth *auth, const struct sip_auth_credentials *c,
				     const struct sip_message *request,
				     const char *const ha1[SIP_AUTH_ALGORITHMS], uint64_t now_ms)
{
	/* nobody's: an unknown user costs what a wrong password costs */
	static const char *const dummy[SIP_AUTH_ALGORITHMS] = {
		[SIP_AUTH_MD5] = "00000000000000000000000000000000",
		[SIP_AUTH_SHA256] =
			"0000000000000000000000000000000000000000000000000000000000000000",
		[SIP_AUTH_SHA512_256] =
			"0000000000000000000000000000000000000000000000000000000000000000",
	};
	const char *its = ha1[c->algorithm];
	const struct sip_digest_input input = {
		.algorithm = c->algorithm,
		.session = c->session,
		.ha1 = sip_text_of(its ? its : dummy[c->algorithm]),
		.method = request->method_text,
		.uri = c->uri,
		.nonce = c->nonce,
		.qop = c->qop,
		.nc_text = c->nc_text,
		.cnonce = c->cnonce,
		.body = request->body,
	};
	char expected[SIP_DIGEST_HEX_SIZE];
	struct used_nonce nonce;
	bool fresh;
	bool equal;

	if (c->qop.n > 0 && ((!sip_text_is(c->qop, "auth") && !sip_text_is(c->qop, "auth-int")) ||
			     c->cnonce.n == 0 || c->nc == 0))
		return SIP_AUTH_INVALID;
	if (c->session && c->cnonce.n == 0)
		return SIP_AUTH_INVALID;
	sip_digest_response(auth->digest, &input, expected);
	equal = response_equals(c->response, expected);
	fresh = nonce_is_fresh(auth, c->nonce, now_ms, &nonce);
	if (!equal || !its)
		return SIP_AUTH_REFUSED;
	if (!fresh || !used_note(auth, &nonce, c->qop.n > 0 ? c->nc : 0))
		return SIP_AUTH_STALE;
	return SIP_AUTH_OK;
}

enum sip_auth_result sip_auth_find(const struct sip_auth *auth, const struct sip_message *request,
				   enum sip_header_id header, struct sip_auth_credentials *c)
{
	enum sip_auth_result result = SIP_AUTH_MISSING;
	uint16_t i = request->first[header];

	for (; i != SIP_HEADER_NONE; i = request->headers[i].next_same) {
		int rc = sip_auth_parse(c, sip_header_value_text(request, &request->headers[i]));

		if (rc == -EINVAL)
			result = SIP_AUTH_INVALID;
		if (rc == 0 && !c->algorithm_unknown &&
		    sip_text_equal(c->realm, sip_text_of(auth->realm)))
			return SIP_AUTH_OK;
	}
	return result;
}

void sip_auth_offer(struct sip_auth *auth, bool sha256, bool md5)
{
	auth->hidden[SIP_AUTH_SHA256] = !sha256 && md5;
	auth->hidden[SIP_AUTH_MD5] = !md5 && sha256;
}

void sip_auth_put_challenge(struct sip_auth *auth, struct sip_builder *b, enum sip_header_id header,
			    uint32_t algorithms, bool stale, uint64_t now_ms)
{
	char nonce[NONCE_TEXT_SIZE + 1];

	for (size_t i = 0; i < SIP_AUTH_ALGORITHMS; i++) {
		if (auth->hidden[i] || !(algorithms & (1u << i)))
			continue;
		nonce_make(auth, now_ms, nonce);
		sip_put_string(b, sip_header_name(header));
		sip_put_string(b, ": Digest realm=");
		sip_put_quoted(b, sip_text_of(auth->realm));
		sip_put_format(b, ", nonce=\"%s\", algorithm=%s, qop=\"auth\"%s", nonce,
			       sip_digest_name((enum sip_auth_algorithm)i),
			       stale ? ", stale=true" : "");
		sip_put_bytes(b, "\r\n", 2);
	}
}

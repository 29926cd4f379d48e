/* Digest sums. */
#include "control/sip/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

static const struct {
	const char *name;
	const char *openssl;
	uint32_t length;
} algorithms[SIP_AUTH_ALGORITHMS] = {
	[SIP_AUTH_MD5] = {"MD5", "MD5", 32},
	[SIP_AUTH_SHA256] = {"SHA-256", "SHA2-256", 64},
	[SIP_AUTH_SHA512_256] = {"SHA-512-256", "SHA2-512/256", 64},
};

struct sip_digest {
	EVP_MD *kinds[SIP_AUTH_ALGORITHMS];
	EVP_MD_CTX *hasher;
};

int sip_digest_create(struct sip_digest **out)
{
	struct sip_digest *digest = calloc(1, sizeof(*digest));
	bool all = digest != NULL;

	if (!digest)
		return -ENOMEM;
	digest->hasher = EVP_MD_CTX_new();
	for (int i = 0; i < SIP_AUTH_ALGORITHMS; i++) {
		digest->kinds[i] = EVP_MD_fetch(NULL, algorithms[i].openssl, NULL);
		all = all && digest->kinds[i];
	}
	if (!all || !digest->hasher) {
		sip_digest_destroy(digest);
		return -ENOMEM;
	}
	*out = digest;
	return 0;
}

void sip_digest_destroy(struct sip_digest *digest)
{
	if (!digest)
		return;
	for (int i = 0; i < SIP_AUTH_ALGORITHMS; i++)
		EVP_MD_free(digest->kinds[i]);
	EVP_MD_CTX_free(digest->hasher);
	free(digest);
}

void sip_digest_hex(struct sip_digest *digest, enum sip_auth_algorithm algorithm,
		    const struct sip_text *parts, int count, char out[SIP_DIGEST_HEX_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t sum[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	EVP_DigestInit_ex2(digest->hasher, digest->kinds[algorithm], NULL);
	for (int i = 0; i < count; i++) {
		if (i > 0)
			EVP_DigestUpdate(digest->hasher, ":", 1);
		if (parts[i].n > 0)
			EVP_DigestUpdate(digest->hasher, parts[i].at, parts[i].n);
	}
	EVP_DigestFinal_ex(digest->hasher, sum, &n);
	for (unsigned int i = 0; i < n; i++) {
		out[2 * i] = hex[sum[i] >> 4];
		out[2 * i + 1] = hex[sum[i] & 15];
	}
	out[2 * n] = '\0';
}

void sip_digest_response(struct sip_digest *digest, const struct sip_digest_input *in,
			 char out[SIP_DIGEST_HEX_SIZE])
{
	char a1[SIP_DIGEST_HEX_SIZE], a2[SIP_DIGEST_HEX_SIZE], body[SIP_DIGEST_HEX_SIZE];
	struct sip_text ha1 = in->ha1;
	struct sip_text parts[6];
	int a2_parts = 2;

	if (in->session) {
		parts[0] = in->ha1;
		parts[1] = in->nonce;
		parts[2] = in->cnonce;
		sip_digest_hex(digest, in->algorithm, parts, 3, a1);
		ha1 = sip_text_of(a1);
	}
	parts[0] = in->method;
	parts[1] = in->uri;
	if (sip_text_is(in->qop, "auth-int")) {
		sip_digest_hex(digest, in->algorithm, &in->body, 1, body);
		parts[2] = sip_text_of(body);
		a2_parts = 3;
	}
	sip_digest_hex(digest, in->algorithm, parts, a2_parts, a2);
	parts[0] = ha1;
	parts[1] = in->nonce;
	parts[2] = in->nc_text;
	parts[3] = in->cnonce;
	parts[4] = in->qop;
	parts[5] = sip_text_of(a2);
	if (in->qop.n == 0)
		parts[2] = parts[5]; /* RFC 2069 */
	sip_digest_hex(digest, in->algorithm, parts, in->qop.n > 0 ? 6 : 3, out);
}

bool sip_digest_algorithm_of(struct sip_text word, enum sip_auth_algorithm *algorithm,
			     bool *session)
{
	static const char suffix[] = "-sess";
	struct sip_text end = word;

	*session = false;
	if (word.n > sizeof(suffix) - 1) {
		end.at = word.at + word.n - (sizeof(suffix) - 1);
		end.n = sizeof(suffix) - 1;
		*session = sip_text_is(end, suffix);
		if (*session)
			word.n -= end.n;
	}
	for (int i = 0; i < SIP_AUTH_ALGORITHMS; i++) {
		if (!sip_text_is(word, algorithms[i].name))
			continue;
		*algorithm = (enum sip_auth_algorithm)i;
		return true;
	}
	return false;
}

const char *sip_digest_name(enum sip_auth_algorithm algorithm)
{
	return algorithms[algorithm].name;
}

uint32_t sip_digest_length(enum sip_auth_algorithm algorithm)
{
	return algorithms[algorithm].length;
}

/*
 * The sums of Digest authentication (RFC 7616 3.4, RFC 2617, RFC 2069), the same for who asks and
 * who answers.
 */
#pragma once

#include "control/sip/text.h"

/* Weakest first. */
enum sip_auth_algorithm { SIP_AUTH_MD5, SIP_AUTH_SHA256, SIP_AUTH_SHA512_256, SIP_AUTH_ALGORITHMS };

#define SIP_DIGEST_HEX_SIZE 65 /* 64 digits and NUL */

struct sip_digest;

struct sip_digest_input {
	enum sip_auth_algorithm algorithm;
	bool session;           /* -sess: A1 goes with nonce and cnonce */
	struct sip_text ha1;    /* hex of H(user:realm:password) */
	struct sip_text method; /* "INVITE" */
	struct sip_text uri;
	struct sip_text nonce;
	struct sip_text qop;     /* empty, "auth" or "auth-int" */
	struct sip_text nc_text; /* these two count with qop or -sess only */
	struct sip_text cnonce;
	struct sip_text body; /* counts with auth-int */
};

int sip_digest_create(struct sip_digest **digest);
void sip_digest_destroy(struct sip_digest *digest);

/* Lower-case hex of H(parts joined by colons). */
void sip_digest_hex(struct sip_digest *digest, enum sip_auth_algorithm algorithm,
		    const struct sip_text *parts, int count, char out[SIP_DIGEST_HEX_SIZE]);
/* The response that proves knowledge of ha1. */
void sip_digest_response(struct sip_digest *digest, const struct sip_digest_input *input,
			 char out[SIP_DIGEST_HEX_SIZE]);

/* "MD5", "SHA-256", "SHA-512-256", each perhaps with "-sess" behind. False: unknown. */
bool sip_digest_algorithm_of(struct sip_text word, enum sip_auth_algorithm *algorithm,
			     bool *session);
const char *sip_digest_name(enum sip_auth_algorithm algorithm);
/* Hex digits of its sums. */
uint32_t sip_digest_length(enum sip_auth_algorithm algorithm);

/*
 * Digest authentication, server side (RFC 7616, RFC 8760 for SIP): challenges name the
 * algorithms asked for and qop=auth; -sess and auth-int are taken too. Nonces carry their time and
 * an HMAC, so nothing is stored when a challenge is sent; what has been used is remembered in a
 * bounded table so that a nonce count works once.
 *
 *   nonce = base64url(milliseconds(8) | random(8) | HMAC-SHA256(key, realm, those)[16])
 */
#pragma once

#include "control/sip/builder.h"
#include "control/sip/digest.h"
#include "control/sip/message.h"

struct sip_auth;

enum sip_auth_result {
	SIP_AUTH_OK,
	SIP_AUTH_MISSING, /* no credentials for this realm: challenge */
	SIP_AUTH_STALE, /* right or wrong, the nonce is old or used up: challenge with stale=true */
	SIP_AUTH_REFUSED, /* wrong, or the user is unknown: 403, or challenge again */
	SIP_AUTH_INVALID, /* header broken or unsupported: 400 */
};

/* A Digest credentials header, pointing into the message. Quoted values are without quotes, escapes
 * kept. */
struct sip_auth_credentials {
	struct sip_text username;
	struct sip_text realm;
	struct sip_text nonce;
	struct sip_text uri;
	struct sip_text response;
	struct sip_text cnonce;
	struct sip_text opaque;
	struct sip_text qop;
	struct sip_text nc_text;
	uint32_t nc; /* 0 = absent */
	enum sip_auth_algorithm algorithm;
	bool session; /* -sess */
	bool algorithm_unknown;
};

/* realm is copied. key: 32 random bytes (the process's; a new key makes old nonces stale).
 * remembered: how many used nonces are tracked (memory: 40 bytes each). */
int sip_auth_create(struct sip_auth **auth, const char *realm, const uint8_t key[32],
		    uint32_t nonce_lifetime_ms, uint32_t remembered);
void sip_auth_destroy(struct sip_auth *auth);

/* "Digest username=..., ..." to c. -EINVAL if broken, -EPROTONOSUPPORT if another scheme. */
int sip_auth_parse(struct sip_auth_credentials *c, struct sip_text value);
/* The first Digest credentials for our realm among all lines of header (AUTHORIZATION or
 * PROXY_AUTHORIZATION). SIP_AUTH_OK: found (look the user up, then sip_auth_verify);
 * SIP_AUTH_MISSING; SIP_AUTH_INVALID. */
enum sip_auth_result sip_auth_find(const struct sip_auth *auth, const struct sip_message *request,
				   enum sip_header_id header, struct sip_auth_credentials *c);
/* ha1: lower-case hex of H(user:realm:password) by algorithm, NULL where there is none; an unknown
 * user has all NULL and takes the same work as a wrong password. now_ms: any clock, the same for
 * challenge and verify. */
enum sip_auth_result sip_auth_verify(struct sip_auth *auth, const struct sip_auth_credentials *c,
				     const struct sip_message *request,
				     const char *const ha1[SIP_AUTH_ALGORITHMS], uint64_t now_ms);
/* Which algorithms challenges name from now on; MD5
 * and SHA-256 unless told, and never none. What is verified
 * does not depend on it. */
void sip_auth_offer(struct sip_auth *auth, bool sha256, bool md5);
/* Puts one challenge header per algorithm in the set (bits 1 << enum sip_auth_algorithm):
 * WWW_AUTHENTICATE for 401, PROXY_AUTHENTICATE for 407. MD5 comes first: clients older than RFC
 * 8760 (SIPp 3.6, many desk phones) look at the first one only and give up when it is another. */
/* What users have digests of. */
#define SIP_AUTH_ALL ((1u << SIP_AUTH_MD5) | (1u << SIP_AUTH_SHA256))
void sip_auth_put_challenge(struct sip_auth *auth, struct sip_builder *b, enum sip_header_id header,
			    uint32_t algorithms, bool stale, uint64_t now_ms);

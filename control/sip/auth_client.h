/*
 * Digest authentication, client side (RFC 7616, RFC 8760, RFC 3261 22.2): what a 401 or 407 asked
 * for, and the credentials that answer it.
 *
 *   response --challenged--> challenge kept --put--> Authorization in the next request, nc counts
 */
#pragma once

#include "control/sip/builder.h"
#include "control/sip/digest.h"
#include "control/sip/message.h"

#define SIP_AUTH_TEXT_MAX 512 /* of realm, nonce and opaque; longer challenges are left alone */

/* Who we are. ha1 counts where its realm (which must be given then) is the challenge's; password
 * serves every realm, or only `realm` when that is given. Never logged. */
struct sip_auth_secret {
	const char *username;
	const char *password; /* or NULL */
	const char *realm;    /* or NULL = whichever */
	const char *ha1[SIP_AUTH_ALGORITHMS];
};

struct sip_auth_challenge {
	bool present;
	bool stale;
	bool session;
	bool algorithm_given;
	enum sip_auth_algorithm algorithm;
	const char *qop; /* literal: "auth", "auth-int" or "" */
	uint32_t nc;     /* last used */
	char realm[SIP_AUTH_TEXT_MAX];
	char nonce[SIP_AUTH_TEXT_MAX];
	char opaque[SIP_AUTH_TEXT_MAX];
};

/* Plain data: zero is the start; one for every conversation with a peer. */
struct sip_auth_client {
	struct sip_auth_challenge server; /* 401: Authorization */
	struct sip_auth_challenge proxy;  /* 407: Proxy-Authorization */
	uint32_t refusals;                /* challenges since the last success */
};

/* The strongest challenge in the response's header that the secret can answer. Returns 0,
 * -ENOTSUP (none that we can), -EINVAL (no challenge that could be read). */
int sip_auth_choose(struct sip_auth_challenge *challenge, const struct sip_message *response,
		    enum sip_header_id header, const struct sip_auth_secret *secret);

/* A 401 or 407 came. 0: send the request again, with sip_auth_put. -EACCES: the credentials were
 * refused; -ENOTSUP, -EINVAL as above. */
int sip_auth_challenged(struct sip_auth_client *client, const struct sip_message *response,
			const struct sip_auth_secret *secret);
/* Another final response came: the credentials are good, the nonce may be used again. */
void sip_auth_accepted(struct sip_auth_client *client);
/* Puts Authorization and Proxy-Authorization for what has been asked for so far; nothing when
 * nothing was. method and uri are the request's, body goes into auth-int. */
void sip_auth_put(struct sip_auth_client *client, struct sip_digest *digest,
		  const struct sip_auth_secret *secret, struct sip_builder *b,
		  struct sip_text method, struct sip_text uri, struct sip_text body);

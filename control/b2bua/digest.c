/* Who sends this request: digest credentials against the exchange's users (RFC 3261 22). */
#include "control/b2bua/call.h"

#include <string.h>

/* REGISTER is for us (401), calls go through us (407). */
static enum sip_header_id challenge_of(const struct sip_message *request, uint32_t *status)
{
	if (request->method == SIP_METHOD_REGISTER) {
		*status = 401;
		return SIP_HEADER_WWW_AUTHENTICATE;
	}
	*status = 407;
	return SIP_HEADER_PROXY_AUTHENTICATE;
}

/* Up to 2.x, libre (baresip and what is built on it) gives up when any of the challenges is not
 * MD5, wherever it stands. */
static uint32_t algorithms_for(const struct sip_message *request)
{
	struct sip_text agent = sip_message_header(request, SIP_HEADER_USER_AGENT);
	static const char *const md5_only[] = {"baresip v0.", "baresip v1.", "baresip v2."};

	for (size_t i = 0; i < sizeof(md5_only) / sizeof(md5_only[0]); i++)
		if (agent.n >= strlen(md5_only[i]) &&
		    memcmp(agent.at, md5_only[i], strlen(md5_only[i])) == 0)
			return 1u << SIP_AUTH_MD5;
	return SIP_AUTH_ALL;
}

static void challenge(struct b2bua *b2bua, struct sip_transaction *transaction,
		      const struct sip_message *request, bool stale)
{
	char buffer[B2BUA_BUFFER];
	struct sip_response response;
	uint32_t status;
	enum sip_header_id header = challenge_of(request, &status);

	if (!stale)
		guard_challenged(b2bua, request);

	sip_response_begin(&response, transaction, status, NULL, buffer, sizeof(buffer));
	sip_auth_put_challenge(b2bua->auth, &response.builder, header, algorithms_for(request),
			       stale, b2bua_now_ms(b2bua));
	if (sip_response_send(&response, NULL, (struct sip_text){0}))
		sip_reply(transaction, 500, NULL);
}

static void refuse(struct b2bua *b2bua, struct sip_transaction *transaction,
		   const struct sip_message *request, struct sip_text username)
{
	char source[ENDPOINT_TEXT_MAX];
	uint32_t suppressed;

	count(&b2bua->counters->auth_failed);
	guard_refused(b2bua, request);
	if (log_allowed(&b2bua->auth_log, 5, &suppressed))
		log_warn("credentials of %.*s for %s from %s refused (%u more lines held back)",
			 username.n > 64 ? 64 : (int)username.n, username.at ? username.at : "",
			 sip_method_name(request->method),
			 endpoint_text(&request->flow.remote, source), suppressed);
	reply(transaction, 403, NULL, NULL);
}

const struct exchange_user *digest_check(struct b2bua *b2bua, struct sip_transaction *transaction,
					 const struct sip_message *request, struct sip_text claimed)
{
	const char *ha1[SIP_AUTH_ALGORITHMS] = {NULL, NULL};
	struct exchange *exchange = b2bua->options.exchange;
	const struct exchange_user *user;
	struct sip_auth_credentials credentials;
	enum sip_auth_result result;
	char name[EXCHANGE_EXTENSION_MAX];
	int n = 0;

	result = sip_auth_find(b2bua->auth, request, SIP_HEADER_PROXY_AUTHORIZATION, &credentials);
	if (result == SIP_AUTH_MISSING)
		result =
			sip_auth_find(b2bua->auth, request, SIP_HEADER_AUTHORIZATION, &credentials);
	if (result == SIP_AUTH_MISSING) {
		challenge(b2bua, transaction, request, false);
		return NULL;
	}
	if (result != SIP_AUTH_OK) {
		guard_malformed(b2bua, request);
		reply(transaction, 400, "Bad Credentials Header", NULL);
		return NULL;
	}
	n = sip_unquote(credentials.username, name, sizeof(name));
	user = n > 0 ? exchange->find_user(exchange, name, (size_t)n) : NULL;
	if (user) {
		ha1[SIP_AUTH_MD5] = user->md5;
		ha1[SIP_AUTH_SHA256] = user->sha256;
	}
	/* An unknown user takes the same work and gets the same answer. */
	result = sip_auth_verify(b2bua->auth, &credentials, request, ha1, b2bua_now_ms(b2bua));
	if (result == SIP_AUTH_STALE || result == SIP_AUTH_MISSING) {
		challenge(b2bua, transaction, request, result == SIP_AUTH_STALE);
		return NULL;
	}
	if (result == SIP_AUTH_INVALID) {
		guard_malformed(b2bua, request);
		reply(transaction, 400, "Bad Credentials Header", NULL);
		return NULL;
	}
	if (result != SIP_AUTH_OK || !user || claimed.n != (uint32_t)n ||
	    memcmp(claimed.at, name, (size_t)n) != 0) {
		refuse(b2bua, transaction, request, credentials.username);
		return NULL;
	}
	guard_proved(b2bua, request);
	return user;
}

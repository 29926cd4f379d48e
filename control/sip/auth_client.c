/* Digest authentication, client side. */
#include "control/sip/auth_client.h"

#include "control/sip/chars.h"

#include "dataplane/base/clock.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>

#define REFUSALS_MAX  4
#define CNONCE_RANDOM 16

/* ---- reading challenges ---- */

/* What goes back into a quoted string as it is: nothing that could end it. */
static bool text_take(char out[SIP_AUTH_TEXT_MAX], struct sip_text value)
{
	bool escaped = false;

	if (value.n >= 2 && value.at[0] == '"') {
		value.at++;
		value.n -= 2;
	}
	if (value.n >= SIP_AUTH_TEXT_MAX)
		return false;
	for (uint32_t i = 0; i < value.n; i++) {
		uint8_t c = (uint8_t)value.at[i];

		if (c < 0x20 || c == 0x7f || (c == '"' && !escaped))
			return false;
		escaped = c == '\\' && !escaped;
		out[i] = (char)c;
	}
	out[value.n] = '\0';
	return !escaped;
}

static bool qop_take(struct sip_auth_challenge *challenge, struct sip_text value)
{
	struct sip_text word;

	if (value.n >= 2 && value.at[0] == '"') {
		value.at++;
		value.n -= 2;
	}
	while (sip_value_split(&value, &word)) {
		word = sip_text_trim(word);
		if (sip_text_is(word, "auth"))
			challenge->qop = "auth";
		else if (sip_text_is(word, "auth-int") && challenge->qop[0] == '\0')
			challenge->qop = "auth-int";
	}
	return challenge->qop[0] != '\0';
}

/* False: a challenge with this cannot be answered. */
static bool parameter_take(struct sip_auth_challenge *challenge, struct sip_text name,
			   struct sip_text value)
{
	if (sip_text_is(name, "realm"))
		return text_take(challenge->realm, value);
	if (sip_text_is(name, "nonce"))
		return text_take(challenge->nonce, value);
	if (sip_text_is(name, "opaque"))
		return text_take(challenge->opaque, value);
	if (sip_text_is(name, "qop"))
		return qop_take(challenge, value);
	if (value.n >= 2 && value.at[0] == '"') {
		value.at++;
		value.n -= 2;
	}
	if (sip_text_is(name, "stale"))
		challenge->stale = sip_text_is(value, "true");
	if (sip_text_is(name, "algorithm")) {
		challenge->algorithm_given = true;
		return sip_digest_algorithm_of(value, &challenge->algorithm, &challenge->session);
	}
	return true;
}

static bool can_answer(const struct sip_auth_challenge *challenge,
		       const struct sip_auth_secret *secret)
{
	bool ours = !secret->realm || strcmp(secret->realm, challenge->realm) == 0;

	return ours && (secret->password || (secret->realm && secret->ha1[challenge->algorithm]));
}

struct choice {
	struct sip_auth_challenge *best;
	const struct sip_auth_secret *secret;
	struct sip_auth_challenge current;
	bool open;     /* current has begun */
	bool unusable; /* with something that we do not do */
	bool seen;     /* any challenge that is one */
};

/* The challenge at hand is whole: better than the best? */
static void choice_close(struct choice *choice)
{
	struct sip_auth_challenge *current = &choice->current;

	if (choice->open && current->nonce[0] != '\0') {
		choice->seen = true;
		current->present = true;
		if (!choice->unusable && can_answer(current, choice->secret) &&
		    (!choice->best->present || current->algorithm > choice->best->algorithm))
			*choice->best = *current;
	}
	memset(current, 0, sizeof(*current));
	current->qop = "";
	choice->open = false;
	choice->unusable = false;
}

/* "Digest realm=..." begins a challenge, wherever in the list it stands (RFC 7235 2.1). */
static struct sip_text scheme_skip(struct choice *choice, struct sip_text item)
{
	uint32_t n = 0;
	struct sip_text rest = item;

	while (n < item.n && sip_is_token(item.at[n]))
		n++;
	rest.at += n;
	rest.n -= n;
	rest = sip_text_trim(rest);
	if (n == 0 || n == item.n || !sip_is_space(item.at[n]) || (rest.n > 0 && rest.at[0] == '='))
		return item;
	choice_close(choice);
	choice->open = sip_text_is((struct sip_text){item.at, n}, "Digest");
	return rest;
}

static void choose_from(struct choice *choice, struct sip_text rest)
{
	struct sip_text item;

	while (sip_value_split(&rest, &item)) {
		const char *equals;
		struct sip_text name;
		struct sip_text value;

		item = scheme_skip(choice, sip_text_trim(item));
		equals = item.n > 0 ? memchr(item.at, '=', item.n) : NULL;
		if (!equals || !choice->open)
			continue;
		name = (struct sip_text){item.at, (uint32_t)(equals - item.at)};
		value = (struct sip_text){equals + 1, item.n - name.n - 1};
		if (!parameter_take(&choice->current, sip_text_trim(name), sip_text_trim(value)))
			choice->unusable = true;
	}
	choice_close(choice);
}

int sip_auth_choose(struct sip_auth_challenge *challenge, const struct sip_message *response,
		    enum sip_header_id header, const struct sip_auth_secret *secret)
{
	struct choice choice = {.best = challenge, .secret = secret, .current.qop = ""};
	uint16_t i = response->first[header];

	memset(challenge, 0, sizeof(*challenge));
	challenge->qop = "";
	for (; i != SIP_HEADER_NONE; i = response->headers[i].next_same)
		choose_from(&choice, sip_header_value_text(response, &response->headers[i]));
	if (challenge->present)
		return 0;
	return choice.seen ? -ENOTSUP : -EINVAL;
}

/* ---- answering ---- */

int sip_auth_challenged(struct sip_auth_client *client, const struct sip_message *response,
			const struct sip_auth_secret *secret)
{
	bool proxy = response->status == 407;
	struct sip_auth_challenge *kept = proxy ? &client->proxy : &client->server;
	struct sip_auth_challenge asked;
	bool answered = kept->present && kept->nc > 0;
	int rc =
		sip_auth_choose(&asked, response,
				proxy ? SIP_HEADER_PROXY_AUTHENTICATE : SIP_HEADER_WWW_AUTHENTICATE,
				secret);

	if (rc < 0)
		return rc;
	/* A new nonce for credentials that were good before may come without "stale"; twice in a
	 * row it means no. */
	if (++client->refusals > REFUSALS_MAX)
		return -EACCES;
	if (answered && !asked.stale &&
	    (client->refusals > 1 || strcmp(asked.nonce, kept->nonce) == 0))
		return -EACCES;
	*kept = asked;
	return 0;
}

void sip_auth_accepted(struct sip_auth_client *client)
{
	client->refusals = 0;
}

static void put_one(struct sip_auth_challenge *challenge, struct sip_digest *digest,
		    const struct sip_auth_secret *secret, struct sip_builder *b, const char *header,
		    struct sip_digest_input *input)
{
	char ha1[SIP_DIGEST_HEX_SIZE], response[SIP_DIGEST_HEX_SIZE];
	char nc[9], cnonce[CNONCE_RANDOM + 1];
	const char *stored = secret->realm ? secret->ha1[challenge->algorithm] : NULL;
	const struct sip_text a1[] = {sip_text_of(secret->username), sip_text_of(challenge->realm),
				      sip_text_of(secret->password ? secret->password : "")};

	if (!challenge->present)
		return;
	if (!stored)
		sip_digest_hex(digest, challenge->algorithm, a1, 3, ha1);
	random_token(cnonce, CNONCE_RANDOM);
	snprintf(nc, sizeof(nc), "%08x", ++challenge->nc);
	input->algorithm = challenge->algorithm;
	input->session = challenge->session;
	input->ha1 = sip_text_of(stored ? stored : ha1);
	input->nonce = sip_text_of(challenge->nonce);
	input->qop = sip_text_of(challenge->qop);
	input->nc_text = sip_text_of(nc);
	input->cnonce = sip_text_of(cnonce);
	sip_digest_response(digest, input, response);
	OPENSSL_cleanse(ha1, sizeof(ha1));
	sip_put_string(b, header);
	sip_put_string(b, ": Digest username=");
	sip_put_quoted(b, a1[0]);
	/* both texts are the peer's own, quoted as they came */
	sip_put_format(b, ", realm=\"%s\", nonce=\"%s\", uri=\"", challenge->realm,
		       challenge->nonce);
	sip_put_text(b, input->uri);
	sip_put_format(b, "\", response=\"%s\"", response);
	if (challenge->algorithm_given)
		sip_put_format(b, ", algorithm=%s%s", sip_digest_name(challenge->algorithm),
			       challenge->session ? "-sess" : "");
	if (challenge->opaque[0] != '\0')
		sip_put_format(b, ", opaque=\"%s\"", challenge->opaque);
	if (challenge->qop[0] != '\0')
		sip_put_format(b, ", qop=%s, nc=%s, cnonce=\"%s\"", challenge->qop, nc, cnonce);
	else if (challenge->session)
		sip_put_format(b, ", cnonce=\"%s\"", cnonce);
	sip_put_bytes(b, "\r\n", 2);
}

void sip_auth_put(struct sip_auth_client *client, struct sip_digest *digest,
		  const struct sip_auth_secret *secret, struct sip_builder *b,
		  struct sip_text method, struct sip_text uri, struct sip_text body)
{
	struct sip_digest_input input = {.method = method, .uri = uri, .body = body};

	put_one(&client->server, digest, secret, b, "Authorization", &input);
	put_one(&client->proxy, digest, secret, b, "Proxy-Authorization", &input);
}

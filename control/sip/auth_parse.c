/* Reading the credentials of Authorization and Proxy-Authorization. */
#include "control/sip/auth.h"
#include "control/sip/chars.h"

#include <errno.h>

/* Without its quotes; escapes stay. */
static int strip_quotes(struct sip_text *value)
{
	if (value->n == 0 || value->at[0] != '"')
		return 0;
	if (value->n < 2 || value->at[value->n - 1] != '"')
		return -EINVAL;
	value->at++;
	value->n -= 2;
	return 0;
}

static int set_algorithm(struct sip_auth_credentials *c, struct sip_text value)
{
	c->algorithm_unknown = !sip_digest_algorithm_of(value, &c->algorithm, &c->session);
	return 0;
}

/* nc is eight hex digits (RFC 7616 3.4). */
static int set_nonce_count(struct sip_auth_credentials *c, struct sip_text value)
{
	uint32_t number = 0;

	if (value.n != 8)
		return -EINVAL;
	for (uint32_t i = 0; i < 8; i++) {
		char d = sip_lower(value.at[i]);

		if (sip_is_digit(d))
			number = number << 4 | (uint32_t)(d - '0');
		else if (d >= 'a' && d <= 'f')
			number = number << 4 | (uint32_t)(d - 'a' + 10);
		else
			return -EINVAL;
	}
	c->nc_text = value;
	c->nc = number;
	return 0;
}

static int set_parameter(struct sip_auth_credentials *c, struct sip_text name,
			 struct sip_text value)
{
	const struct {
		const char *name;
		struct sip_text *text;
	} texts[] = {
		{"username", &c->username}, {"realm", &c->realm},       {"nonce", &c->nonce},
		{"uri", &c->uri},           {"response", &c->response}, {"cnonce", &c->cnonce},
		{"opaque", &c->opaque},     {"qop", &c->qop},
	};

	if (strip_quotes(&value) < 0)
		return -EINVAL;
	if (sip_text_is(name, "algorithm"))
		return set_algorithm(c, value);
	if (sip_text_is(name, "nc"))
		return set_nonce_count(c, value);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (!sip_text_is(name, texts[i].name))
			continue;
		if (texts[i].text->at)
			return -EINVAL; /* which one would count? */
		*texts[i].text = value;
	}
	return 0;
}

int sip_auth_parse(struct sip_auth_credentials *c, struct sip_text value)
{
	struct sip_text rest = sip_text_trim(value);
	struct sip_text item;
	uint32_t n = 0;

	memset(c, 0, sizeof(*c));
	while (n < rest.n && !sip_is_space(rest.at[n]))
		n++;
	if (!sip_text_is((struct sip_text){rest.at, n}, "Digest"))
		return -EPROTONOSUPPORT;
	rest.at += n;
	rest.n -= n;
	while (sip_value_split(&rest, &item)) {
		const char *equals = memchr(item.at, '=', item.n);
		struct sip_text name;
		struct sip_text its;

		if (!equals)
			return -EINVAL;
		name = (struct sip_text){item.at, (uint32_t)(equals - item.at)};
		its = (struct sip_text){equals + 1, item.n - name.n - 1};
		if (set_parameter(c, sip_text_trim(name), sip_text_trim(its)) < 0)
			return -EINVAL;
	}
	if (!c->username.at || !c->realm.at || !c->nonce.at || !c->uri.at || !c->response.at)
		return -EINVAL;
	return 0;
}

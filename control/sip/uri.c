/* SIP, SIPS and tel URIs and name-addr. */
#include "control/sip/uri.h"

#include "control/sip/chars.h"

#include <errno.h>

static struct sip_text part(const char *from, const char *to)
{
	return (struct sip_text){from, (uint32_t)(to - from)};
}

static enum sip_scheme scheme_of(struct sip_text scheme)
{
	if (sip_text_is(scheme, "sip"))
		return SIP_SCHEME_SIP;
	if (sip_text_is(scheme, "sips"))
		return SIP_SCHEME_SIPS;
	if (sip_text_is(scheme, "tel"))
		return SIP_SCHEME_TEL;
	return SIP_SCHEME_OTHER;
}

/* ";a=b?headers" */
static void parse_tail(struct sip_uri *uri, const char *p, const char *end)
{
	const char *question = memchr(p, '?', (size_t)(end - p));

	uri->parameters = part(p, question ? question : end);
	if (question)
		uri->headers = part(question + 1, end);
}

/* host [":" port] tail */
static int parse_host(struct sip_uri *uri, const char *p, const char *end)
{
	const char *host = p;

	if (p < end && *p == '[') {
		const char *close = memchr(p, ']', (size_t)(end - p));
		struct address literal;

		if (!close || address_parse(&literal, p + 1, (size_t)(close - p - 1)) < 0 ||
		    address_is_v4(&literal))
			return -EINVAL;
		uri->host = part(p + 1, close);
		p = close + 1;
	} else {
		while (p < end && sip_char_is(*p, SIP_CHAR_HOST))
			p++;
		uri->host = part(host, p);
	}
	if (uri->host.n == 0)
		return -EINVAL;
	if (p < end && *p == ':') {
		const char *digits = ++p;
		uint64_t port;

		while (p < end && sip_is_digit(*p))
			p++;
		if (sip_text_number(part(digits, p), 65535, &port) < 0 || port == 0)
			return -EINVAL;
		uri->port = (uint16_t)port;
	}
	if (p < end && *p != ';' && *p != '?')
		return -EINVAL;
	parse_tail(uri, p, end);
	return 0;
}

static int parse_sip(struct sip_uri *uri, const char *p, const char *end)
{
	const char *at = memchr(p, '@', (size_t)(end - p));

	if (at) {
		const char *colon = memchr(p, ':', (size_t)(at - p));

		uri->user = part(p, colon ? colon : at);
		if (colon)
			uri->password = part(colon + 1, at);
		if (uri->user.n == 0)
			return -EINVAL;
		p = at + 1;
		if (memchr(p, '@', (size_t)(end - p)))
			return -EINVAL;
	}
	return parse_host(uri, p, end);
}

static int parse_tel(struct sip_uri *uri, const char *p, const char *end)
{
	const char *number = p;

	while (p < end && *p != ';' && *p != '?')
		p++;
	uri->user = part(number, p);
	if (uri->user.n == 0)
		return -EINVAL;
	parse_tail(uri, p, end);
	return 0;
}

int sip_uri_parse(struct sip_uri *uri, struct sip_text text)
{
	const char *p = text.at;
	const char *end = p + text.n;

	memset(uri, 0, sizeof(*uri));
	uri->text = text;
	if (text.n == 0 || !sip_char_is(*p, SIP_CHAR_ALPHA))
		return -EINVAL;
	for (uint32_t i = 0; i < text.n; i++) {
		if (!sip_char_is(text.at[i], SIP_CHAR_URI))
			return -EINVAL;
	}
	while (p < end && (sip_char_is(*p, SIP_CHAR_ALPHA | SIP_CHAR_DIGIT) || *p == '+' ||
			   *p == '-' || *p == '.'))
		p++;
	if (p == end || *p != ':' || p + 1 == end)
		return -EINVAL;
	uri->scheme_text = part(text.at, p);
	uri->scheme = scheme_of(uri->scheme_text);
	p++;
	switch (uri->scheme) {
	case SIP_SCHEME_SIP:
	case SIP_SCHEME_SIPS:
		return parse_sip(uri, p, end);
	case SIP_SCHEME_TEL:
		return parse_tel(uri, p, end);
	case SIP_SCHEME_OTHER:
		break;
	}
	return 0;
}

bool sip_uri_parameter(const struct sip_uri *uri, const char *name, struct sip_text *value)
{
	return sip_parameter_find(uri->parameters, name, value);
}

bool sip_uri_address(const struct sip_uri *uri, struct address *address)
{
	return uri->host.n > 0 && address_parse(address, uri->host.at, uri->host.n) == 0;
}

static int hex_digit(char c)
{
	if (sip_is_digit(c))
		return c - '0';
	c = sip_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next byte of t from *i on, escapes resolved; -1 for a broken escape. */
static int unescaped_at(struct sip_text t, uint32_t *i)
{
	int high;
	int low;

	if (t.at[*i] != '%')
		return (uint8_t)t.at[(*i)++];
	if (t.n - *i < 3)
		return -1;
	high = hex_digit(t.at[*i + 1]);
	low = hex_digit(t.at[*i + 2]);
	if (high < 0 || low < 0)
		return -1;
	*i += 3;
	return high << 4 | low;
}

int sip_unescape(struct sip_text t, char *out, size_t size)
{
	size_t n = 0;

	for (uint32_t i = 0; i < t.n;) {
		int c = unescaped_at(t, &i);

		if (c <= 0)
			return -EINVAL;
		if (n + 1 >= size)
			return -ENOSPC;
		out[n++] = (char)c;
	}
	if (size == 0)
		return -ENOSPC;
	out[n] = '\0';
	return (int)n;
}

int sip_escape_user(struct sip_text t, char *out, size_t size)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (uint32_t i = 0; i < t.n; i++) {
		bool plain = sip_char_is(t.at[i], SIP_CHAR_USER);

		if (n + (plain ? 1 : 3) >= size)
			return -ENOSPC;
		if (plain) {
			out[n++] = t.at[i];
		} else {
			out[n++] = '%';
			out[n++] = hex[(uint8_t)t.at[i] >> 4];
			out[n++] = hex[(uint8_t)t.at[i] & 15];
		}
	}
	if (size == 0)
		return -ENOSPC;
	out[n] = '\0';
	return (int)n;
}

static bool is_separator(char c)
{
	return c == '-' || c == '.' || c == '(' || c == ')';
}

int sip_uri_user(const struct sip_uri *uri, char *out, size_t size)
{
	int n = sip_unescape(uri->user, out, size);
	int kept = 0;

	if (n < 0 || uri->scheme != SIP_SCHEME_TEL)
		return n;
	for (int i = 0; i < n; i++) {
		if (!is_separator(out[i]))
			out[kept++] = out[i];
	}
	out[kept] = '\0';
	return kept;
}

/* Byte by byte with escapes resolved: "%61" equals "a". */
static bool equal_escaped(struct sip_text a, struct sip_text b, bool nocase)
{
	uint32_t i = 0;
	uint32_t j = 0;

	while (i < a.n && j < b.n) {
		int x = unescaped_at(a, &i);
		int y = unescaped_at(b, &j);

		if (x < 0 || y < 0)
			return false;
		if (nocase ? sip_lower((char)x) != sip_lower((char)y) : x != y)
			return false;
	}
	return i == a.n && j == b.n;
}

/* Each parameter of a, if b has it, has to match; those that change the meaning have to be in both
 * (RFC 3261 19.1.4). */
static bool parameters_match(const struct sip_uri *a, const struct sip_uri *b)
{
	static const char *const needed[] = {"transport", "user", "ttl", "method", "maddr"};
	struct sip_text rest = a->parameters;
	struct sip_text name;
	struct sip_text value;
	struct sip_text other;

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (sip_uri_parameter(a, needed[i], NULL) != sip_uri_parameter(b, needed[i], NULL))
			return false;
	}
	while (sip_parameter_next(&rest, &name, &value) > 0) {
		struct sip_text b_rest = b->parameters;
		struct sip_text b_name;

		while (sip_parameter_next(&b_rest, &b_name, &other) > 0) {
			if (equal_escaped(name, b_name, true) && !equal_escaped(value, other, true))
				return false;
		}
	}
	return true;
}

static bool header_next(struct sip_text *rest, struct sip_text *header)
{
	const char *end;

	if (rest->n == 0)
		return false;
	end = memchr(rest->at, '&', rest->n);
	*header = part(rest->at, end ? end : rest->at + rest->n);
	rest->n -= header->n + (end ? 1 : 0);
	rest->at += header->n + (end ? 1 : 0);
	return true;
}

/* Every header of a is in b. */
static bool headers_within(struct sip_text a, struct sip_text b)
{
	struct sip_text header;
	struct sip_text other;

	while (header_next(&a, &header)) {
		struct sip_text rest = b;
		bool found = false;

		while (!found && header_next(&rest, &other))
			found = equal_escaped(header, other, true);
		if (!found)
			return false;
	}
	return true;
}

static bool numbers_equal(struct sip_text a, struct sip_text b)
{
	uint32_t i = 0;
	uint32_t j = 0;

	for (;;) {
		while (i < a.n && is_separator(a.at[i]))
			i++;
		while (j < b.n && is_separator(b.at[j]))
			j++;
		if (i == a.n || j == b.n)
			return i == a.n && j == b.n;
		if (sip_lower(a.at[i++]) != sip_lower(b.at[j++]))
			return false;
	}
}

static bool hosts_equal(const struct sip_uri *a, const struct sip_uri *b)
{
	struct address x;
	struct address y;

	if (sip_uri_address(a, &x) && sip_uri_address(b, &y))
		return address_equal(&x, &y);
	return sip_text_equal_nocase(a->host, b->host);
}

bool sip_uri_equal(const struct sip_uri *a, const struct sip_uri *b)
{
	if (a->scheme != b->scheme)
		return false;
	if (a->scheme == SIP_SCHEME_OTHER)
		return sip_text_equal(a->text, b->text);
	if (a->scheme == SIP_SCHEME_TEL)
		return numbers_equal(a->user, b->user) && parameters_match(a, b) &&
		       parameters_match(b, a);
	return (a->user.at == NULL) == (b->user.at == NULL) &&
	       (a->password.at == NULL) == (b->password.at == NULL) &&
	       equal_escaped(a->user, b->user, false) &&
	       equal_escaped(a->password, b->password, false) && a->port == b->port &&
	       hosts_equal(a, b) && parameters_match(a, b) && parameters_match(b, a) &&
	       headers_within(a->headers, b->headers) && headers_within(b->headers, a->headers);
}

/* Checks the header's parameters and takes the tag out of them. */
static int parse_parameters(struct sip_address *address, struct sip_text parameters)
{
	struct sip_text rest = sip_text_trim(parameters);
	struct sip_text name;
	struct sip_text value;
	int rc;

	address->parameters = rest;
	while ((rc = sip_parameter_next(&rest, &name, &value)) > 0) {
		if (sip_text_is(name, "tag") && !address->tag.at)
			address->tag = value;
	}
	return rc;
}

/* Position of the '<' that opens the URI, t.n if there is none, or -EINVAL: a display name is a
 * quoted string or words (RFC 3261 25.1 display-name). */
static int find_open(struct sip_text t)
{
	uint32_t i = 0;

	if (t.n > 0 && t.at[0] == '"') {
		for (i = 1; i < t.n && t.at[i] != '"'; i++) {
			if (t.at[i] == '\\')
				i++;
		}
		if (i >= t.n)
			return -EINVAL;
		for (i++; i < t.n && sip_is_space(t.at[i]); i++)
			;
		return i < t.n && t.at[i] == '<' ? (int)i : -EINVAL;
	}
	for (; i < t.n && t.at[i] != '<'; i++) {
		if (t.at[i] == ';')
			return (int)t.n; /* addr-spec with parameters */
	}
	if (i < t.n && (memchr(t.at, ',', i) || memchr(t.at, '"', i) || memchr(t.at, '>', i)))
		return -EINVAL;
	return (int)i;
}

int sip_address_parse(struct sip_address *address, struct sip_text value)
{
	struct sip_text t = sip_text_trim(value);
	int open;
	const char *close;
	const char *end = t.at + t.n;

	memset(address, 0, sizeof(*address));
	if (t.n == 1 && t.at[0] == '*') {
		address->star = true;
		address->text = t;
		return 0;
	}
	open = t.n > SIP_ADDRESS_SIZE_MAX ? -EINVAL : find_open(t);
	if (open < 0)
		return open;
	if ((uint32_t)open == t.n) {
		/* addr-spec: no comma, question mark or semicolon inside (RFC 3261 20) */
		close = memchr(t.at, ';', t.n);
		address->text = sip_text_trim(part(t.at, close ? close : end));
		if (memchr(address->text.at, '?', address->text.n) ||
		    memchr(address->text.at, ',', address->text.n) ||
		    sip_uri_parse(&address->uri, address->text) < 0)
			return -EINVAL;
		return parse_parameters(address, part(close ? close : end, end));
	}
	close = memchr(t.at + open, '>', t.n - (uint32_t)open);
	if (!close)
		return -EINVAL;
	address->display = sip_text_trim(part(t.at, t.at + open));
	address->text = part(t.at, close + 1);
	if (sip_uri_parse(&address->uri, sip_text_trim(part(t.at + open + 1, close))) < 0)
		return -EINVAL;
	return parse_parameters(address, part(close + 1, end));
}

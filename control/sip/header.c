/* Reading headers out of an indexed message: values of lists, Via, CSeq, numbers, addresses. */
#include "control/sip/message.h"

#include "control/sip/chars.h"

#include <errno.h>

static struct sip_text part(const char *from, const char *to)
{
	return (struct sip_text){from, (uint32_t)(to - from)};
}

struct sip_text sip_header_name_text(const struct sip_message *m, const struct sip_header *h)
{
	return (struct sip_text){m->bytes + h->name_at, h->name_n};
}

struct sip_text sip_header_value_text(const struct sip_message *m, const struct sip_header *h)
{
	return (struct sip_text){m->bytes + h->value_at, h->value_n};
}

struct sip_text sip_message_header(const struct sip_message *m, enum sip_header_id id)
{
	if (m->first[id] == SIP_HEADER_NONE)
		return (struct sip_text){NULL, 0};
	return sip_header_value_text(m, &m->headers[m->first[id]]);
}

struct sip_text sip_message_header_named(const struct sip_message *m, const char *name)
{
	for (uint32_t i = 0; i < m->headers_count; i++) {
		if (sip_text_is(sip_header_name_text(m, &m->headers[i]), name))
			return sip_header_value_text(m, &m->headers[i]);
	}
	return (struct sip_text){NULL, 0};
}

int64_t sip_message_number(const struct sip_message *m, enum sip_header_id id, int64_t fallback)
{
	struct sip_text t = sip_message_header(m, id);
	uint64_t number;
	uint32_t n = 0;

	if (!t.at)
		return fallback;
	while (n < t.n && sip_is_digit(t.at[n]))
		n++;
	if (n < t.n && !sip_is_space(t.at[n]) && t.at[n] != ';' && t.at[n] != '(')
		return -EINVAL;
	if (sip_text_number((struct sip_text){t.at, n}, INT32_MAX, &number) == -EINVAL)
		return -EINVAL;
	return (int64_t)number;
}

bool sip_value_split(struct sip_text *rest, struct sip_text *value)
{
	const char *p = rest->at;
	const char *end;

	if (rest->n == 0)
		return false;
	end = p + rest->n;
	while (p < end && (sip_is_space(*p) || *p == ','))
		p++;
	if (p == end) {
		rest->n = 0;
		return false;
	}
	rest->at = p;
	for (bool quoted = false, angle = false; p < end; p++) {
		if (quoted) {
			if (*p == '\\' && p + 1 < end)
				p++;
			else if (*p == '"')
				quoted = false;
		} else if (*p == '"' && !angle) {
			quoted = true;
		} else if (*p == '<') {
			angle = true;
		} else if (*p == '>') {
			angle = false;
		} else if (*p == ',' && !angle) {
			break;
		}
	}
	*value = sip_text_trim(part(rest->at, p));
	*rest = p < end ? part(p + 1, end) : part(end, end);
	return true;
}

void sip_values_begin(struct sip_values *values, const struct sip_message *m, enum sip_header_id id)
{
	values->message = m;
	values->line = m->first[id];
	values->rest = sip_message_header(m, id);
}

bool sip_values_next(struct sip_values *values, struct sip_text *value)
{
	const struct sip_message *m = values->message;

	while (values->line != SIP_HEADER_NONE) {
		if (sip_value_split(&values->rest, value))
			return true;
		values->line = m->headers[values->line].next_same;
		if (values->line != SIP_HEADER_NONE)
			values->rest = sip_header_value_text(m, &m->headers[values->line]);
	}
	return false;
}

bool sip_message_has_token(const struct sip_message *m, enum sip_header_id id, const char *token)
{
	struct sip_values values;
	struct sip_text value;

	sip_values_begin(&values, m, id);
	while (sip_values_next(&values, &value)) {
		if (sip_text_is(value, token))
			return true;
	}
	return false;
}

/* From and To hold one address in which a bare comma has no place; the others are lists. */
int sip_message_address(const struct sip_message *m, enum sip_header_id id,
			struct sip_address *address)
{
	struct sip_values values;
	struct sip_text value;

	if (id == SIP_HEADER_FROM || id == SIP_HEADER_TO) {
		value = sip_message_header(m, id);
		return value.at ? sip_address_parse(address, value) : -ENOENT;
	}
	sip_values_begin(&values, m, id);
	if (!sip_values_next(&values, &value))
		return -ENOENT;
	return sip_address_parse(address, value);
}

struct sip_text sip_message_content_type(const struct sip_message *m)
{
	struct sip_text t = sip_message_header(m, SIP_HEADER_CONTENT_TYPE);
	const char *semicolon = t.n > 0 ? memchr(t.at, ';', t.n) : NULL;

	if (semicolon)
		t = sip_text_trim(part(t.at, semicolon));
	return t;
}

int sip_cseq_parse(struct sip_cseq *cseq, struct sip_text value)
{
	uint32_t n = 0;
	uint64_t number;
	struct sip_text method;

	while (n < value.n && sip_is_digit(value.at[n]))
		n++;
	/* less than 2^31 (RFC 3261 8.1.1.5) is what we send; what comes may have 32 bits (20.16) */
	if (sip_text_number((struct sip_text){value.at, n}, UINT32_MAX, &number) < 0)
		return -EINVAL;
	if (n == value.n || !sip_is_space(value.at[n]))
		return -EINVAL;
	method = sip_text_trim(part(value.at + n, value.at + value.n));
	if (method.n == 0)
		return -EINVAL;
	for (uint32_t i = 0; i < method.n; i++) {
		if (!sip_is_token(method.at[i]))
			return -EINVAL;
	}
	cseq->number = (uint32_t)number;
	cseq->method_text = method;
	cseq->method = sip_method_of(method);
	return 0;
}

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && sip_is_space(*p))
		p++;
	return p;
}

static const char *skip_token(const char *p, const char *end)
{
	while (p < end && sip_is_token(*p))
		p++;
	return p;
}

/* "SIP" "/" "2.0" "/" transport; NULL if broken, otherwise behind it. */
static const char *parse_sent_protocol(struct sip_via *via, const char *p, const char *end)
{
	struct sip_text words[3];

	for (int i = 0; i < 3; i++) {
		const char *word = p = skip_space(p, end);

		p = skip_token(p, end);
		words[i] = part(word, p);
		if (words[i].n == 0)
			return NULL;
		if (i < 2) {
			p = skip_space(p, end);
			if (p == end || *p != '/')
				return NULL;
			p++;
		}
	}
	if (!sip_text_is(words[0], "SIP") || !sip_text_is(words[1], "2.0"))
		return NULL;
	if (p == end || !sip_is_space(*p))
		return NULL;
	via->transport = words[2];
	return p;
}

/* host [":" port]; NULL if broken. */
static const char *parse_sent_by(struct sip_via *via, const char *p, const char *end)
{
	const char *host = p;

	if (p < end && *p == '[') {
		const char *close = memchr(p, ']', (size_t)(end - p));
		struct address literal;

		if (!close || address_parse(&literal, p + 1, (size_t)(close - p - 1)) < 0)
			return NULL;
		via->host = part(p + 1, close);
		p = close + 1;
	} else {
		while (p < end && sip_char_is(*p, SIP_CHAR_HOST))
			p++;
		via->host = part(host, p);
	}
	if (via->host.n == 0)
		return NULL;
	p = skip_space(p, end);
	if (p < end && *p == ':') {
		const char *digits = p = skip_space(p + 1, end);
		uint64_t port;

		while (p < end && sip_is_digit(*p))
			p++;
		if (sip_text_number(part(digits, p), 65535, &port) < 0 || port == 0)
			return NULL;
		via->port = (uint16_t)port;
	}
	return p;
}

static int parse_rport(struct sip_via *via, struct sip_text value)
{
	uint64_t port;

	via->rport = true;
	if (value.n == 0)
		return 0;
	if (sip_text_number(value, 65535, &port) < 0)
		return -EINVAL;
	via->rport_port = (uint16_t)port;
	return 0;
}

int sip_via_parse(struct sip_via *via, struct sip_text value)
{
	const char *end = value.at + value.n;
	const char *p;
	struct sip_text rest;
	struct sip_text name;
	struct sip_text its_value;
	int rc;

	memset(via, 0, sizeof(*via));
	p = parse_sent_protocol(via, value.at, end);
	if (p)
		p = parse_sent_by(via, skip_space(p, end), end);
	if (!p)
		return -EINVAL;
	rest = sip_text_trim(part(p, end));
	via->parameters = rest;
	while ((rc = sip_parameter_next(&rest, &name, &its_value)) > 0) {
		if (sip_text_is(name, "branch"))
			via->branch = its_value;
		else if (sip_text_is(name, "received"))
			via->received = its_value;
		else if (sip_text_is(name, "maddr"))
			via->maddr = its_value;
		else if (sip_text_is(name, "rport") && parse_rport(via, its_value) < 0)
			return -EINVAL;
	}
	return rc;
}

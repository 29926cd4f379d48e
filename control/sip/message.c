/*
 * The indexing parser: start line, header table, then the headers that every message needs. The
 * first error is kept and the rest still read, so that a 400 can carry the headers that are there.
 */
#include "control/sip/message.h"

#include "control/sip/chars.h"

#include <errno.h>
#include <stdlib.h>

/* The first error of a message under parse. */
struct fault {
	uint32_t status;
	const char *reason;
};

static void fault_set(struct fault *fault, uint32_t status, const char *reason)
{
	if (fault->status == 0) {
		fault->status = status;
		fault->reason = reason;
	}
}

static struct sip_text part(const char *from, const char *to)
{
	return (struct sip_text){from, (uint32_t)(to - from)};
}

/* "SIP/2.0": 0; another version of SIP: 505; no version at all: 400. */
static uint32_t version_check(struct sip_text t)
{
	uint32_t i = 4;

	if (t.n < 5 || !sip_text_equal_nocase((struct sip_text){t.at, 4}, sip_text_of("SIP/")))
		return 400;
	if (t.n == 7 && memcmp(t.at + 4, "2.0", 3) == 0)
		return 0;
	while (i < t.n && sip_is_digit(t.at[i]))
		i++;
	if (i == 4 || i == t.n || t.at[i] != '.' || i + 1 == t.n)
		return 400;
	for (i++; i < t.n; i++) {
		if (!sip_is_digit(t.at[i]))
			return 400;
	}
	return 505;
}

/* SIP-Version SP 3DIGIT SP Reason-Phrase */
static void parse_status_line(struct sip_message *m, const char *p, const char *end,
			      struct fault *fault)
{
	const char *version = p;
	uint32_t status;

	m->is_request = false;
	while (p < end && *p != ' ')
		p++;
	status = version_check(part(version, p));
	if (status != 0)
		fault_set(fault, status, "Unsupported SIP version");
	if (end - p < 4 || !sip_is_digit(p[1]) || !sip_is_digit(p[2]) || !sip_is_digit(p[3]) ||
	    p[1] == '0' || p[1] > '6' || (end - p > 4 && p[4] != ' ')) {
		fault_set(fault, 400, "Bad status line");
		return;
	}
	m->status = (uint16_t)((p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0'));
	m->reason = part(end - p > 4 ? p + 5 : end, end);
}

/* Method SP Request-URI SP SIP-Version */
static void parse_request_line(struct sip_message *m, const char *p, const char *end,
			       struct fault *fault)
{
	const char *start = p;
	const char *last = end;

	m->is_request = true;
	while (p < end && sip_is_token(*p))
		p++;
	if (p == start || p == end || *p != ' ') {
		fault_set(fault, 400, "Bad request line");
		return;
	}
	m->method_text = part(start, p);
	m->method = sip_method_of(m->method_text);
	p++;
	while (last > p && last[-1] != ' ')
		last--;
	if (last == p) {
		fault_set(fault, 400, "Bad request line");
		return;
	}
	switch (version_check(part(last, end))) {
	case 0:
		break;
	case 505:
		fault_set(fault, 505, "Version Not Supported");
		break;
	default:
		fault_set(fault, 400, "Bad SIP version in request line");
		break;
	}
	m->uri_text = part(p, last - 1);
	if (sip_uri_parse(&m->uri, m->uri_text) < 0)
		fault_set(fault, 400, "Bad Request-URI");
	else if (m->uri.scheme == SIP_SCHEME_OTHER)
		fault_set(fault, 416, "Unsupported URI Scheme");
	else if (m->uri.headers.n > 0)
		fault_set(fault, 400, "Headers in Request-URI");
}

/* End of the line that begins at p (its CR), NULL if there is no CRLF. With fold, lines that begin
 * with white space belong to it. */
static const char *line_end(const char *p, const char *end, bool fold)
{
	const char *newline;

	for (;;) {
		newline = memchr(p, '\n', (size_t)(end - p));
		if (!newline || newline == p || newline[-1] != '\r')
			return NULL;
		if (!fold || newline + 1 == end || (newline[1] != ' ' && newline[1] != '\t'))
			return newline - 1;
		p = newline + 1;
	}
}

static void header_add(struct sip_message *m, struct sip_text name, struct sip_text value,
		       uint16_t last[SIP_HEADER_COUNT])
{
	uint16_t index = m->headers_count++;
	struct sip_header *h = &m->headers[index];
	enum sip_header_id id = sip_header_id_of(name);

	*h = (struct sip_header){
		.name_at = (uint32_t)(name.at - m->bytes),
		.value_at = (uint32_t)(value.at - m->bytes),
		.value_n = value.n,
		.name_n = (uint16_t)name.n,
		.id = (uint8_t)id,
		.next_same = SIP_HEADER_NONE,
	};
	if (m->first[id] == SIP_HEADER_NONE)
		m->first[id] = index;
	else
		m->headers[last[id]].next_same = index;
	last[id] = index;
}

/* One header line without its CRLF. */
static void parse_header(struct sip_message *m, const char *p, const char *end,
			 uint16_t last[SIP_HEADER_COUNT], struct fault *fault)
{
	const char *name = p;
	const char *name_end;

	while (p < end && sip_is_token(*p))
		p++;
	name_end = p;
	while (p < end && sip_is_space(*p))
		p++;
	if (p == end || *p != ':' || name_end == name) {
		fault_set(fault, 400, "Bad header line");
		return;
	}
	if (m->headers_count == SIP_HEADERS_MAX) {
		fault_set(fault, 400, "Too many headers");
		return;
	}
	header_add(m, part(name, name_end), sip_text_trim(part(p + 1, end)), last);
}

/* Fills the table; returns where the body begins, NULL without an empty line. */
static const char *index_headers(struct sip_message *m, const char *p, const char *end,
				 struct fault *fault)
{
	uint16_t last[SIP_HEADER_COUNT];

	while (p < end) {
		const char *stop;

		if (p[0] == '\r' && end - p >= 2 && p[1] == '\n')
			return p + 2;
		stop = line_end(p, end, true);
		if (!stop) {
			fault_set(fault, 400, "Header line without CRLF");
			return NULL;
		}
		parse_header(m, p, stop, last, fault);
		p = stop + 2;
	}
	fault_set(fault, 400, "No empty line behind the headers");
	return NULL;
}

/* Headers that may stand only once (RFC 3261 table 2 and 7.3.1). */
static void check_single(const struct sip_message *m, struct fault *fault)
{
	static const struct {
		enum sip_header_id id;
		const char *reason;
	} single[] = {
		{SIP_HEADER_FROM, "Multiple From"},
		{SIP_HEADER_TO, "Multiple To"},
		{SIP_HEADER_CALL_ID, "Multiple Call-ID"},
		{SIP_HEADER_CSEQ, "Multiple CSeq"},
		{SIP_HEADER_MAX_FORWARDS, "Multiple Max-Forwards"},
		{SIP_HEADER_CONTENT_LENGTH, "Multiple Content-Length"},
		{SIP_HEADER_CONTENT_TYPE, "Multiple Content-Type"},
		{SIP_HEADER_EXPIRES, "Multiple Expires"},
	};

	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
		uint16_t first = m->first[single[i].id];

		if (first != SIP_HEADER_NONE && m->headers[first].next_same != SIP_HEADER_NONE)
			fault_set(fault, 400, single[i].reason);
	}
}

static void parse_via_and_cseq(struct sip_message *m, struct fault *fault)
{
	struct sip_values values;
	struct sip_text value;

	sip_values_begin(&values, m, SIP_HEADER_VIA);
	if (!sip_values_next(&values, &value)) {
		fault_set(fault, 400, "Missing Via");
	} else if (sip_via_parse(&m->via, value) < 0) {
		memset(&m->via, 0, sizeof(m->via));
		fault_set(fault, 400, "Bad Via");
	}
	value = sip_message_header(m, SIP_HEADER_CSEQ);
	if (!value.at) {
		fault_set(fault, 400, "Missing CSeq");
	} else if (sip_cseq_parse(&m->cseq, value) < 0) {
		fault_set(fault, 400, "Bad CSeq");
	} else if (!m->is_request) {
		m->method = m->cseq.method;
		m->method_text = m->cseq.method_text;
	} else if (m->method_text.n > 0 && !sip_text_equal(m->method_text, m->cseq.method_text)) {
		fault_set(fault, 400, "CSeq method does not match request line");
	}
}

static void parse_mandatory(struct sip_message *m, struct fault *fault)
{
	int rc;

	parse_via_and_cseq(m, fault);
	rc = sip_message_address(m, SIP_HEADER_FROM, &m->from);
	if (rc < 0)
		fault_set(fault, 400, rc == -ENOENT ? "Missing From" : "Bad From");
	rc = sip_message_address(m, SIP_HEADER_TO, &m->to);
	if (rc < 0)
		fault_set(fault, 400, rc == -ENOENT ? "Missing To" : "Bad To");
	m->call_id = sip_message_header(m, SIP_HEADER_CALL_ID);
	if (!m->call_id.at)
		fault_set(fault, 400, "Missing Call-ID");
	else if (m->call_id.n == 0)
		fault_set(fault, 400, "Bad Call-ID");
}

/* Numbers that are broken in a way that makes the message wrong (RFC 4475 3.1.2.4). */
static void check_numbers(const struct sip_message *m, struct fault *fault)
{
	uint64_t number;
	struct sip_text t = sip_message_header(m, SIP_HEADER_MAX_FORWARDS);

	if (t.at && m->is_request && sip_text_number(t, 255, &number) < 0)
		fault_set(fault, 400, "Bad Max-Forwards");
}

static void parse_body(struct sip_message *m, const char *body, struct fault *fault)
{
	struct sip_text t = sip_message_header(m, SIP_HEADER_CONTENT_LENGTH);
	uint64_t length;

	m->body = part(body, m->bytes + m->size);
	if (!t.at)
		return;
	if (sip_text_number(t, UINT32_MAX, &length) < 0) {
		fault_set(fault, 400, "Bad Content-Length");
		return;
	}
	if (length > m->body.n) {
		fault_set(fault, 400, "Content-Length beyond the end of the message");
		return;
	}
	m->size -= m->body.n - (uint32_t)length;
	m->body.n = (uint32_t)length;
}

static void message_clear(struct sip_message *m, const char *bytes, uint32_t n)
{
	memset(m, 0, offsetof(struct sip_message, first));
	memset(m->first, 0xff, sizeof(m->first)); /* SIP_HEADER_NONE */
	m->bytes = bytes;
	m->size = n;
}

uint32_t sip_message_parse(struct sip_message *m, const char *bytes, uint32_t n,
			   const char **reason)
{
	struct fault fault = {0, ""};
	const char *end = bytes + n;
	const char *body;
	const char *stop;

	message_clear(m, bytes, n);
	if (n > SIP_MESSAGE_SIZE_MAX) {
		*reason = "Message Too Large";
		return 513;
	}
	stop = n > 0 ? line_end(bytes, end, false) : NULL;
	if (!stop) {
		*reason = "No start line";
		return 400;
	}
	if (stop - bytes >= 4 &&
	    sip_text_equal_nocase((struct sip_text){bytes, 4}, sip_text_of("SIP/")))
		parse_status_line(m, bytes, stop, &fault);
	else
		parse_request_line(m, bytes, stop, &fault);
	body = index_headers(m, stop + 2, end, &fault);
	check_single(m, &fault);
	parse_mandatory(m, &fault);
	check_numbers(m, &fault);
	if (body)
		parse_body(m, body, &fault);
	*reason = fault.reason;
	return fault.status;
}

bool sip_message_is_answerable(const struct sip_message *m)
{
	return m->is_request && m->method != SIP_METHOD_ACK && m->via.host.n > 0;
}

/* Moves every text of the copy that points into the old bytes, From and To apart. */
static void texts_move(struct sip_message *m, ptrdiff_t move)
{
	struct sip_text *const texts[] = {
		&m->method_text,    &m->uri_text,         &m->uri.text,      &m->uri.scheme_text,
		&m->uri.user,       &m->uri.password,     &m->uri.host,      &m->uri.parameters,
		&m->uri.headers,    &m->reason,           &m->via.transport, &m->via.host,
		&m->via.parameters, &m->via.branch,       &m->via.received,  &m->via.maddr,
		&m->call_id,        &m->cseq.method_text, &m->body,
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i]->at)
			texts[i]->at += move;
	}
}

struct sip_message *sip_message_clone(const struct sip_message *m)
{
	size_t head = offsetof(struct sip_message, headers) +
		      m->headers_count * sizeof(struct sip_header);
	struct sip_message *copy = malloc(head + m->size);
	char *bytes;

	if (!copy)
		return NULL;
	memcpy(copy, m, head);
	bytes = (char *)copy + head;
	memcpy(bytes, m->bytes, m->size);
	copy->bytes = bytes;
	texts_move(copy, bytes - m->bytes);
	sip_message_address(copy, SIP_HEADER_FROM, &copy->from);
	sip_message_address(copy, SIP_HEADER_TO, &copy->to);
	return copy;
}

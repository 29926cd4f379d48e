/* Writing messages into a bounded buffer. */
#include "control/sip/builder.h"

#include "control/sip/chars.h"
#include "control/sip/transport.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void sip_builder_init(struct sip_builder *b, char *buffer, uint32_t size)
{
	*b = (struct sip_builder){.bytes = buffer, .size = size};
}

int sip_builder_result(const struct sip_builder *b)
{
	return b->overflow ? -ENOSPC : 0;
}

void sip_put_bytes(struct sip_builder *b, const void *bytes, uint32_t n)
{
	if (b->overflow || n > b->size - b->n) {
		b->overflow = true;
		return;
	}
	if (n > 0)
		memcpy(b->bytes + b->n, bytes, n);
	b->n += n;
}

void sip_put_string(struct sip_builder *b, const char *terminated)
{
	sip_put_bytes(b, terminated, (uint32_t)strlen(terminated));
}

void sip_put_text(struct sip_builder *b, struct sip_text t)
{
	const char *p = t.at;
	const char *end;

	if (t.n == 0)
		return;
	end = p + t.n;
	while (p < end) {
		const char *start = p;

		while (p < end && *p != '\r' && *p != '\n')
			p++;
		sip_put_bytes(b, start, (uint32_t)(p - start));
		if (p == end)
			break;
		while (p < end && sip_is_space(*p))
			p++;
		sip_put_bytes(b, " ", 1);
	}
}

void sip_put_number(struct sip_builder *b, uint64_t number)
{
	char digits[20];
	uint32_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	sip_put_bytes(b, digits + at, (uint32_t)sizeof(digits) - at);
}

/* The pieces of a format are cleaned like any other text. */
__attribute__((format(printf, 2, 0))) static void put_formatted(struct sip_builder *b,
								const char *format,
								va_list arguments)
{
	char text[2048];
	int n = vsnprintf(text, sizeof(text), format, arguments);

	if (n < 0 || (size_t)n >= sizeof(text)) {
		b->overflow = true;
		return;
	}
	sip_put_text(b, (struct sip_text){text, (uint32_t)n});
}

void sip_put_format(struct sip_builder *b, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	put_formatted(b, format, arguments);
	va_end(arguments);
}

void sip_put_quoted(struct sip_builder *b, struct sip_text t)
{
	sip_put_bytes(b, "\"", 1);
	for (uint32_t i = 0; i < t.n; i++) {
		if (t.at[i] == '"' || t.at[i] == '\\')
			sip_put_bytes(b, "\\", 1);
		if (t.at[i] != '\r' && t.at[i] != '\n')
			sip_put_bytes(b, &t.at[i], 1);
	}
	sip_put_bytes(b, "\"", 1);
}

void sip_put_host(struct sip_builder *b, const struct address *address, uint16_t port)
{
	char text[ADDRESS_TEXT_MAX];
	bool v6 = !address_is_v4(address);

	address_text(address, text);
	if (v6)
		sip_put_bytes(b, "[", 1);
	sip_put_string(b, text);
	if (v6)
		sip_put_bytes(b, "]", 1);
	if (port != 0) {
		sip_put_bytes(b, ":", 1);
		sip_put_number(b, port);
	}
}

void sip_put_header(struct sip_builder *b, const char *name, struct sip_text value)
{
	sip_put_string(b, name);
	sip_put_bytes(b, ": ", 2);
	sip_put_text(b, value);
	sip_put_bytes(b, "\r\n", 2);
}

void sip_put_header_format(struct sip_builder *b, const char *name, const char *format, ...)
{
	va_list arguments;

	sip_put_string(b, name);
	sip_put_bytes(b, ": ", 2);
	va_start(arguments, format);
	put_formatted(b, format, arguments);
	va_end(arguments);
	sip_put_bytes(b, "\r\n", 2);
}

void sip_put_header_copy(struct sip_builder *b, const struct sip_message *m, enum sip_header_id id)
{
	uint16_t i = m->first[id];

	while (i != SIP_HEADER_NONE) {
		sip_put_header(b, sip_header_name(id), sip_header_value_text(m, &m->headers[i]));
		i = m->headers[i].next_same;
	}
}

static bool is_listed(struct sip_text name, const char *const *list)
{
	for (; list && *list; list++) {
		if (sip_text_is(name, *list))
			return true;
	}
	return false;
}

void sip_put_headers_other(struct sip_builder *b, const struct sip_message *m,
			   const char *const *except)
{
	uint16_t i = m->first[SIP_HEADER_OTHER];

	for (; i != SIP_HEADER_NONE; i = m->headers[i].next_same) {
		struct sip_text name = sip_header_name_text(m, &m->headers[i]);

		if (is_listed(name, except))
			continue;
		sip_put_text(b, name);
		sip_put_bytes(b, ": ", 2);
		sip_put_text(b, sip_header_value_text(m, &m->headers[i]));
		sip_put_bytes(b, "\r\n", 2);
	}
}

void sip_put_contact(struct sip_builder *b, const struct sip_flow *flow, struct sip_text user,
		     const char *parameters)
{
	/* URIs know "ws" only: the scheme tells whether it is over TLS (RFC 7118 5.2) */
	enum sip_transport_kind kind =
		flow->transport == SIP_TRANSPORT_WSS ? SIP_TRANSPORT_WS : flow->transport;

	sip_put_string(b, b->sips ? "Contact: <sips:" : "Contact: <sip:");
	if (user.n > 0) {
		sip_put_text(b, user);
		sip_put_bytes(b, "@", 1);
	}
	sip_put_host(b, &flow->local.address, flow->local.port);
	if (kind != SIP_TRANSPORT_UDP && !(b->sips && kind == SIP_TRANSPORT_TLS)) {
		sip_put_string(b, ";transport=");
		sip_put_string(b, sip_transport_parameter(kind));
	}
	sip_put_bytes(b, ">", 1);
	if (parameters)
		sip_put_text(b, sip_text_of(parameters));
	sip_put_bytes(b, "\r\n", 2);
}

void sip_put_body(struct sip_builder *b, const char *content_type, struct sip_text body)
{
	if (body.n > 0 && content_type)
		sip_put_header(b, "Content-Type", sip_text_of(content_type));
	sip_put_string(b, "Content-Length: ");
	sip_put_number(b, body.n);
	sip_put_bytes(b, "\r\n\r\n", 4);
	sip_put_bytes(b, body.at, body.n);
}

static const struct {
	uint16_t status;
	const char *reason;
} reasons[] = {
	{100, "Trying"},
	{180, "Ringing"},
	{181, "Call Is Being Forwarded"},
	{182, "Queued"},
	{183, "Session Progress"},
	{199, "Early Dialog Terminated"},
	{200, "OK"},
	{202, "Accepted"},
	{204, "No Notification"},
	{300, "Multiple Choices"},
	{301, "Moved Permanently"},
	{302, "Moved Temporarily"},
	{305, "Use Proxy"},
	{380, "Alternative Service"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{407, "Proxy Authentication Required"},
	{408, "Request Timeout"},
	{410, "Gone"},
	{412, "Conditional Request Failed"},
	{413, "Request Entity Too Large"},
	{414, "Request-URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Unsupported URI Scheme"},
	{420, "Bad Extension"},
	{421, "Extension Required"},
	{422, "Session Interval Too Small"},
	{423, "Interval Too Brief"},
	{429, "Provide Referrer Identity"},
	{430, "Flow Failed"},
	{433, "Anonymity Disallowed"},
	{439, "First Hop Lacks Outbound Support"},
	{480, "Temporarily Unavailable"},
	{481, "Call/Transaction Does Not Exist"},
	{482, "Loop Detected"},
	{483, "Too Many Hops"},
	{484, "Address Incomplete"},
	{485, "Ambiguous"},
	{486, "Busy Here"},
	{487, "Request Terminated"},
	{488, "Not Acceptable Here"},
	{489, "Bad Event"},
	{491, "Request Pending"},
	{493, "Undecipherable"},
	{494, "Security Agreement Required"},
	{500, "Server Internal Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Server Time-out"},
	{505, "Version Not Supported"},
	{513, "Message Too Large"},
	{580, "Precondition Failure"},
	{600, "Busy Everywhere"},
	{603, "Decline"},
	{604, "Does Not Exist Anywhere"},
	{606, "Not Acceptable"},
	{607, "Unwanted"},
};

const char *sip_status_reason(uint32_t status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return "Unknown";
}

void sip_put_status_line(struct sip_builder *b, uint32_t status, const char *reason)
{
	sip_put_string(b, "SIP/2.0 ");
	sip_put_number(b, status);
	sip_put_bytes(b, " ", 1);
	sip_put_text(b, sip_text_of(reason ? reason : sip_status_reason(status)));
	sip_put_bytes(b, "\r\n", 2);
}

/* The parameters but received, which is ours to say, and rport, filled in. */
static void put_via_parameters(struct sip_builder *b, const struct sip_via *via, uint16_t port)
{
	struct sip_text rest = via->parameters;
	struct sip_text name;
	struct sip_text value;

	while (sip_parameter_next(&rest, &name, &value) > 0) {
		if (sip_text_is(name, "received"))
			continue;
		sip_put_bytes(b, ";", 1);
		sip_put_text(b, name);
		if (sip_text_is(name, "rport")) {
			sip_put_bytes(b, "=", 1);
			sip_put_number(b, port);
		} else if (value.at) {
			sip_put_bytes(b, "=", 1);
			sip_put_text(b, value);
		}
	}
}

static void put_top_via(struct sip_builder *b, const struct sip_via *via,
			const struct endpoint *source)
{
	bool v6 = memchr(via->host.at, ':', via->host.n) != NULL;
	struct address sent_by;
	bool differs = address_parse(&sent_by, via->host.at, via->host.n) < 0 ||
		       !address_equal(&sent_by, &source->address);
	char text[ADDRESS_TEXT_MAX];

	sip_put_string(b, "Via: SIP/2.0/");
	sip_put_text(b, via->transport);
	sip_put_string(b, v6 ? " [" : " ");
	sip_put_text(b, via->host);
	if (v6)
		sip_put_bytes(b, "]", 1);
	if (via->port != 0) {
		sip_put_bytes(b, ":", 1);
		sip_put_number(b, via->port);
	}
	put_via_parameters(b, via, source->port);
	if (source->port != 0 && (differs || via->rport)) {
		sip_put_string(b, ";received=");
		sip_put_string(b, address_text(&source->address, text));
	}
}

void sip_put_vias(struct sip_builder *b, const struct sip_message *request)
{
	uint16_t i = request->first[SIP_HEADER_VIA];
	struct sip_text rest;
	struct sip_text top;

	if (i == SIP_HEADER_NONE || request->via.host.n == 0)
		return;
	rest = sip_header_value_text(request, &request->headers[i]);
	/* empty lines before the top value do not count */
	while (!sip_value_split(&rest, &top)) {
		i = request->headers[i].next_same;
		if (i == SIP_HEADER_NONE)
			return;
		rest = sip_header_value_text(request, &request->headers[i]);
	}
	put_top_via(b, &request->via, &request->flow.remote);
	rest = sip_text_trim(rest);
	if (rest.n > 0) {
		sip_put_bytes(b, ", ", 2);
		sip_put_text(b, rest);
	}
	sip_put_bytes(b, "\r\n", 2);
	while ((i = request->headers[i].next_same) != SIP_HEADER_NONE)
		sip_put_header(b, "Via", sip_header_value_text(request, &request->headers[i]));
}

static bool forms_dialog(enum sip_method method)
{
	return method == SIP_METHOD_INVITE || method == SIP_METHOD_SUBSCRIBE ||
	       method == SIP_METHOD_REFER || method == SIP_METHOD_NOTIFY;
}

static void put_first(struct sip_builder *b, const struct sip_message *m, enum sip_header_id id)
{
	struct sip_text value = sip_message_header(m, id);

	if (value.at)
		sip_put_header(b, sip_header_name(id), value);
}

void sip_put_response_begin(struct sip_builder *b, const struct sip_message *request,
			    uint32_t status, const char *reason, const char *to_tag)
{
	struct sip_text to = sip_message_header(request, SIP_HEADER_TO);

	sip_put_status_line(b, status, reason);
	sip_put_vias(b, request);
	if (status > 100 && status < 300 && forms_dialog(request->method))
		sip_put_header_copy(b, request, SIP_HEADER_RECORD_ROUTE);
	put_first(b, request, SIP_HEADER_FROM);
	if (to.at) {
		sip_put_string(b, "To: ");
		sip_put_text(b, to);
		if (to_tag && status > 100 && request->to.uri.text.at && !request->to.tag.at) {
			sip_put_string(b, ";tag=");
			sip_put_string(b, to_tag);
		}
		sip_put_bytes(b, "\r\n", 2);
	}
	put_first(b, request, SIP_HEADER_CALL_ID);
	put_first(b, request, SIP_HEADER_CSEQ);
}

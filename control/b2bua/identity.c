/* Who the caller says to be, who asserts it, and who may know (RFC 3323, RFC 3325). */
#include "control/b2bua/call.h"

#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 4096

struct identity {
	bool private;
	uint32_t headers_n;
	char headers[]; /* Diversion and History-Info lines */
};

/* priv-values are separated by ";" (RFC 3323 4.2); "none" asks for nothing. */
static bool privacy_is_wanted(const struct sip_message *request)
{
	static const char *const wanted[] = {"id", "user", "header"};
	struct sip_text value = sip_message_header(request, SIP_HEADER_PRIVACY);

	while (value.n > 0) {
		uint32_t n = 0;
		struct sip_text word;

		while (n < value.n && value.at[n] != ';' && value.at[n] != ',')
			n++;
		word = sip_text_trim((struct sip_text){value.at, n});
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			if (sip_text_is(word, wanted[i]))
				return true;
		n += n < value.n;
		value.at += n;
		value.n -= n;
	}
	return false;
}

void identity_take(struct call *call, const struct sip_message *request)
{
	char headers[HEADERS_MAX];
	struct sip_builder b;
	bool private = privacy_is_wanted(request);

	sip_builder_init(&b, headers, sizeof(headers));
	/* a trunk that is not trusted says nothing that we pass on */
	if (!call->trunk || call->trunk->trusted) {
		sip_put_header_copy(&b, request, SIP_HEADER_DIVERSION);
		sip_put_header_copy(&b, request, SIP_HEADER_HISTORY_INFO);
	}
	if (sip_builder_result(&b) < 0)
		b.n = 0;
	if (!private && b.n == 0)
		return;
	call->identity = malloc(sizeof(*call->identity) + b.n);
	if (!call->identity)
		return;
	call->identity->private = private;
	call->identity->headers_n = b.n;
	memcpy(call->identity->headers, headers, b.n);
}

void identity_of(const struct sip_message *request, bool trusted, char user[EXCHANGE_EXTENSION_MAX],
		 char name[BOARD_NAME_MAX])
{
	const struct sip_address *who = &request->from;
	struct sip_address asserted;

	if (trusted && sip_message_address(request, SIP_HEADER_P_ASSERTED_IDENTITY, &asserted) == 0)
		who = &asserted;
	if (sip_uri_user(&who->uri, user, EXCHANGE_EXTENSION_MAX) <= 0)
		strcpy(user, "anonymous");
	if (who->display.n == 0 || sip_unquote(who->display, name, BOARD_NAME_MAX) < 0)
		strcpy(name, user);
}

bool identity_is_private(const struct call *call)
{
	return call->identity && call->identity->private;
}

void identity_put(const struct call *call, struct sip_builder *b, const struct endpoint *local)
{
	char escaped[3 * EXCHANGE_EXTENSION_MAX];

	if (sip_escape_user(sip_text_of(call->caller_user), escaped, sizeof(escaped)) >= 0) {
		sip_put_string(b, "P-Asserted-Identity: ");
		sip_put_quoted(b, sip_text_of(call->caller_name));
		sip_put_format(b, " <sip:%s@", escaped);
		sip_put_host(b, &local->address, local->port);
		sip_put_string(b, ">\r\n");
	}
	if (identity_is_private(call))
		sip_put_string(b, "Privacy: id\r\n");
	if (call->identity)
		sip_put_bytes(b, call->identity->headers, call->identity->headers_n);
}

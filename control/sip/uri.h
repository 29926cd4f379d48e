/*
 * SIP, SIPS and tel URIs (RFC 3261 19.1, RFC 3966) and the name-addr that carries them in From, To,
 * Contact, Route (RFC 3261 20.10). Everything points into the text given.
 */
#pragma once

#include "control/sip/text.h"

#include "dataplane/base/address.h"

enum sip_scheme { SIP_SCHEME_SIP, SIP_SCHEME_SIPS, SIP_SCHEME_TEL, SIP_SCHEME_OTHER };

struct sip_uri {
	enum sip_scheme scheme;
	struct sip_text text;        /* the whole URI */
	struct sip_text scheme_text; /* "sip" */
	struct sip_text user;        /* with its %-escapes; tel: the number; absent: at == NULL */
	struct sip_text password;    /* likewise */
	struct sip_text host;        /* IPv6 without brackets; other schemes: empty */
	uint16_t port;               /* 0 = not given */
	struct sip_text parameters;  /* from the first ';' (included) to '?' */
	struct sip_text headers;     /* behind '?' */
};

/* The whole text has to be one URI. A scheme that is not known parses as SIP_SCHEME_OTHER with only
 * text and scheme_text. -EINVAL otherwise. */
int sip_uri_parse(struct sip_uri *uri, struct sip_text text);
bool sip_uri_parameter(const struct sip_uri *uri, const char *name, struct sip_text *value);
/* Equality by RFC 3261 19.1.4. */
bool sip_uri_equal(const struct sip_uri *a, const struct sip_uri *b);
/* Host as a literal address; false if it is a name. */
bool sip_uri_address(const struct sip_uri *uri, struct address *address);

/* Resolves %HH; terminated. NUL bytes and broken escapes are -EINVAL, too small -ENOSPC. Returns
 * the length. */
int sip_unescape(struct sip_text t, char *out, size_t size);
/* Writes t with what a user part may not hold escaped (RFC 3261 25.1 user); terminated, returns the
 * length or -ENOSPC. */
int sip_escape_user(struct sip_text t, char *out, size_t size);
/* The user part without tel's visual separators and with escapes resolved: what a dial plan looks
 * at. Returns the length, -EINVAL, -ENOSPC. */
int sip_uri_user(const struct sip_uri *uri, char *out, size_t size);

#define SIP_ADDRESS_SIZE_MAX 65535

/* name-addr or addr-spec with the header's parameters behind it. */
struct sip_address {
	struct sip_text text;       /* without parameters: what a dialog copies */
	struct sip_text display;    /* as written, quotes included; sip_unquote() */
	struct sip_uri uri;         /* star: empty */
	struct sip_text parameters; /* header parameters, from the first ';' */
	struct sip_text tag;        /* From and To */
	bool star;                  /* Contact: * */
};

/* One value (see sip_values_next) of From, To, Contact, Route, Record-Route, Refer-To ...
 * -EINVAL if it is none. Without < >, parameters belong to the header (RFC 3261 20). */
int sip_address_parse(struct sip_address *address, struct sip_text value);

/* Names of methods and headers, both ways. */
#include "control/sip/chars.h"
#include "control/sip/message.h"

#include <errno.h>

struct name {
	const char *text;
	uint8_t n;
	char compact;
};

#define NAME(id, name, compact) [SIP_HEADER_##id] = {name, sizeof(name) - 1, compact},
static const struct name headers[SIP_HEADER_COUNT] = {[SIP_HEADER_OTHER] = {"", 0, 0},
						      SIP_HEADERS(NAME)};
#undef NAME

#define NAME(name) [SIP_METHOD_##name] = {#name, sizeof(#name) - 1, 0},
static const struct name methods[SIP_METHOD_COUNT] = {[SIP_METHOD_UNKNOWN] = {"UNKNOWN", 7, 0},
						      SIP_METHODS(NAME)};
#undef NAME

/* Headers by first letter, those of every message first; 0 ends a row. */
#define LETTER_MAX 9
static const uint8_t by_letter[26][LETTER_MAX] = {
	['a' - 'a'] = {SIP_HEADER_ALLOW, SIP_HEADER_AUTHORIZATION, SIP_HEADER_ACCEPT,
		       SIP_HEADER_ALLOW_EVENTS, SIP_HEADER_ALERT_INFO,
		       SIP_HEADER_AUTHENTICATION_INFO, SIP_HEADER_ACCEPT_CONTACT},
	['c' - 'a'] = {SIP_HEADER_CALL_ID, SIP_HEADER_CSEQ, SIP_HEADER_CONTACT,
		       SIP_HEADER_CONTENT_LENGTH, SIP_HEADER_CONTENT_TYPE, SIP_HEADER_CALL_INFO,
		       SIP_HEADER_CONTENT_DISPOSITION, SIP_HEADER_CONTENT_ENCODING,
		       SIP_HEADER_CONTENT_LANGUAGE},
	['d' - 'a'] = {SIP_HEADER_DATE, SIP_HEADER_DIVERSION},
	['e' - 'a'] = {SIP_HEADER_EXPIRES, SIP_HEADER_EVENT},
	['f' - 'a'] = {SIP_HEADER_FROM},
	['h' - 'a'] = {SIP_HEADER_HISTORY_INFO},
	['i' - 'a'] = {SIP_HEADER_IDENTITY},
	['m' - 'a'] = {SIP_HEADER_MAX_FORWARDS, SIP_HEADER_MIN_SE, SIP_HEADER_MIN_EXPIRES,
		       SIP_HEADER_MIME_VERSION},
	['o' - 'a'] = {SIP_HEADER_ORGANIZATION},
	['p' - 'a'] = {SIP_HEADER_P_ASSERTED_IDENTITY, SIP_HEADER_P_PREFERRED_IDENTITY,
		       SIP_HEADER_PRIVACY, SIP_HEADER_PROXY_AUTHORIZATION,
		       SIP_HEADER_PROXY_AUTHENTICATE, SIP_HEADER_PROXY_REQUIRE, SIP_HEADER_PATH,
		       SIP_HEADER_PRIORITY},
	['r' - 'a'] = {SIP_HEADER_ROUTE, SIP_HEADER_RECORD_ROUTE, SIP_HEADER_REQUIRE,
		       SIP_HEADER_REASON, SIP_HEADER_RETRY_AFTER, SIP_HEADER_REFER_TO,
		       SIP_HEADER_REFERRED_BY, SIP_HEADER_REPLACES, SIP_HEADER_RSEQ},
	['s' - 'a'] = {SIP_HEADER_SUPPORTED, SIP_HEADER_SESSION_EXPIRES, SIP_HEADER_SERVER,
		       SIP_HEADER_SUBJECT, SIP_HEADER_SUBSCRIPTION_STATE, SIP_HEADER_SERVICE_ROUTE},
	['t' - 'a'] = {SIP_HEADER_TO, SIP_HEADER_TIMESTAMP},
	['u' - 'a'] = {SIP_HEADER_USER_AGENT, SIP_HEADER_UNSUPPORTED},
	['v' - 'a'] = {SIP_HEADER_VIA},
	['w' - 'a'] = {SIP_HEADER_WWW_AUTHENTICATE, SIP_HEADER_WARNING},
};

/* What did not fit into its letter's row. */
static const uint8_t rest[] = {SIP_HEADER_RACK, SIP_HEADER_REJECT_CONTACT,
			       SIP_HEADER_REQUEST_DISPOSITION};

static enum sip_header_id compact_id_of(char letter)
{
	for (int id = 1; id < SIP_HEADER_COUNT; id++) {
		if (headers[id].compact == letter)
			return id;
	}
	return SIP_HEADER_OTHER;
}

static bool is_named(struct sip_text name, enum sip_header_id id)
{
	struct sip_text its = {headers[id].text, headers[id].n};

	return its.n == name.n && sip_text_equal_nocase(its, name);
}

enum sip_header_id sip_header_id_of(struct sip_text name)
{
	char letter;
	const uint8_t *row;

	if (name.n == 0)
		return SIP_HEADER_OTHER;
	letter = sip_lower(name.at[0]);
	if (letter < 'a' || letter > 'z')
		return SIP_HEADER_OTHER;
	if (name.n == 1)
		return compact_id_of(letter);
	row = by_letter[letter - 'a'];
	for (int i = 0; i < LETTER_MAX && row[i] != 0; i++) {
		if (is_named(name, row[i]))
			return row[i];
	}
	for (size_t i = 0; letter == 'r' && i < sizeof(rest); i++) {
		if (is_named(name, rest[i]))
			return rest[i];
	}
	return SIP_HEADER_OTHER;
}

const char *sip_header_name(enum sip_header_id id)
{
	return headers[id].text;
}

enum sip_method sip_method_of(struct sip_text name)
{
	for (int method = 1; method < SIP_METHOD_COUNT; method++) {
		if (methods[method].n == name.n &&
		    memcmp(methods[method].text, name.at, name.n) == 0)
			return method;
	}
	return SIP_METHOD_UNKNOWN;
}

const char *sip_method_name(enum sip_method method)
{
	return methods[method].text;
}

/*
 * A received SIP message, indexed where it lies: nothing is copied, nothing allocated.
 *
 *   bytes   INVITE sip:1002@h SIP/2.0\r\nVia: ...\r\n f: <sip:...>\r\n ...\r\n\r\nv=0...
 *            |method |uri                |headers[0]   |headers[1]           |body
 *   first[SIP_HEADER_VIA] -> 0, headers[0].next_same -> next Via line or none
 *
 * Folded values keep their line breaks: every parser here takes CR LF as white space, and the
 * builder unfolds what it copies. A message lives as long as its bytes do; sip_message_clone()
 * makes one that owns them.
 */
#pragma once

#include "control/sip/text.h"
#include "control/sip/uri.h"

#include "dataplane/base/address.h"

#define SIP_MESSAGE_SIZE_MAX 65535
#define SIP_HEADERS_MAX      256

enum sip_transport_kind {
	SIP_TRANSPORT_UDP,
	SIP_TRANSPORT_TCP,
	SIP_TRANSPORT_TLS,
	SIP_TRANSPORT_WS,
	SIP_TRANSPORT_WSS,
	SIP_TRANSPORTS
};

/* How a message came, or goes: transport, both ends and, for streams, the connection (RFC 5626's
 * flow). Plain data: may be kept, compared and written to disk (a connection id that is gone just
 * means that a new one is opened). */
struct sip_flow {
	enum sip_transport_kind transport;
	struct endpoint local;
	struct endpoint remote;
	uint64_t connection; /* 0 = none or any */
};

/* clang-format off */
#define SIP_METHODS(X) \
	X(INVITE) X(ACK) X(BYE) X(CANCEL) X(REGISTER) X(OPTIONS) X(PRACK) X(UPDATE) X(INFO) \
	X(SUBSCRIBE) X(NOTIFY) X(REFER) X(MESSAGE) X(PUBLISH)
/* clang-format on */

#define SIP_METHOD_ENUM(name) SIP_METHOD_##name,
enum sip_method { SIP_METHOD_UNKNOWN, SIP_METHODS(SIP_METHOD_ENUM) SIP_METHOD_COUNT };
#undef SIP_METHOD_ENUM

/* Method names are case-sensitive (RFC 3261 7.1). name of UNKNOWN is "UNKNOWN". */
enum sip_method sip_method_of(struct sip_text name);
const char *sip_method_name(enum sip_method method);

/* X(id, name, compact form or 0). Names that are not here are SIP_HEADER_OTHER and found by name.
 */
#define SIP_HEADERS(X)                                                                             \
	X(VIA, "Via", 'v')                                                                         \
	X(FROM, "From", 'f')                                                                       \
	X(TO, "To", 't')                                                                           \
	X(CALL_ID, "Call-ID", 'i')                                                                 \
	X(CSEQ, "CSeq", 0)                                                                         \
	X(MAX_FORWARDS, "Max-Forwards", 0)                                                         \
	X(CONTACT, "Contact", 'm')                                                                 \
	X(ROUTE, "Route", 0)                                                                       \
	X(RECORD_ROUTE, "Record-Route", 0)                                                         \
	X(CONTENT_LENGTH, "Content-Length", 'l')                                                   \
	X(CONTENT_TYPE, "Content-Type", 'c')                                                       \
	X(CONTENT_ENCODING, "Content-Encoding", 'e')                                               \
	X(CONTENT_DISPOSITION, "Content-Disposition", 0)                                           \
	X(CONTENT_LANGUAGE, "Content-Language", 0)                                                 \
	X(MIME_VERSION, "MIME-Version", 0)                                                         \
	X(EXPIRES, "Expires", 0)                                                                   \
	X(MIN_EXPIRES, "Min-Expires", 0)                                                           \
	X(AUTHORIZATION, "Authorization", 0)                                                       \
	X(PROXY_AUTHORIZATION, "Proxy-Authorization", 0)                                           \
	X(WWW_AUTHENTICATE, "WWW-Authenticate", 0)                                                 \
	X(PROXY_AUTHENTICATE, "Proxy-Authenticate", 0)                                             \
	X(AUTHENTICATION_INFO, "Authentication-Info", 0)                                           \
	X(REQUIRE, "Require", 0)                                                                   \
	X(PROXY_REQUIRE, "Proxy-Require", 0)                                                       \
	X(SUPPORTED, "Supported", 'k')                                                             \
	X(UNSUPPORTED, "Unsupported", 0)                                                           \
	X(ALLOW, "Allow", 0)                                                                       \
	X(ALLOW_EVENTS, "Allow-Events", 'u')                                                       \
	X(EVENT, "Event", 'o')                                                                     \
	X(SUBSCRIPTION_STATE, "Subscription-State", 0)                                             \
	X(REFER_TO, "Refer-To", 'r')                                                               \
	X(REFERRED_BY, "Referred-By", 'b')                                                         \
	X(REPLACES, "Replaces", 0)                                                                 \
	X(REASON, "Reason", 0)                                                                     \
	X(RETRY_AFTER, "Retry-After", 0)                                                           \
	X(SESSION_EXPIRES, "Session-Expires", 'x')                                                 \
	X(MIN_SE, "Min-SE", 0)                                                                     \
	X(RSEQ, "RSeq", 0)                                                                         \
	X(RACK, "RAck", 0)                                                                         \
	X(USER_AGENT, "User-Agent", 0)                                                             \
	X(SERVER, "Server", 0)                                                                     \
	X(SUBJECT, "Subject", 's')                                                                 \
	X(DATE, "Date", 0)                                                                         \
	X(TIMESTAMP, "Timestamp", 0)                                                               \
	X(WARNING, "Warning", 0)                                                                   \
	X(ACCEPT, "Accept", 0)                                                                     \
	X(ACCEPT_CONTACT, "Accept-Contact", 'a')                                                   \
	X(REJECT_CONTACT, "Reject-Contact", 'j')                                                   \
	X(REQUEST_DISPOSITION, "Request-Disposition", 'd')                                         \
	X(ALERT_INFO, "Alert-Info", 0)                                                             \
	X(CALL_INFO, "Call-Info", 0)                                                               \
	X(PATH, "Path", 0)                                                                         \
	X(SERVICE_ROUTE, "Service-Route", 0)                                                       \
	X(P_ASSERTED_IDENTITY, "P-Asserted-Identity", 0)                                           \
	X(P_PREFERRED_IDENTITY, "P-Preferred-Identity", 0)                                         \
	X(PRIVACY, "Privacy", 0)                                                                   \
	X(DIVERSION, "Diversion", 0)                                                               \
	X(HISTORY_INFO, "History-Info", 0)                                                         \
	X(IDENTITY, "Identity", 'y')                                                               \
	X(ORGANIZATION, "Organization", 0)                                                         \
	X(PRIORITY, "Priority", 0)

#define SIP_HEADER_ENUM(id, name, compact) SIP_HEADER_##id,
enum sip_header_id { SIP_HEADER_OTHER, SIP_HEADERS(SIP_HEADER_ENUM) SIP_HEADER_COUNT };
#undef SIP_HEADER_ENUM

enum sip_header_id sip_header_id_of(struct sip_text name);
const char *sip_header_name(enum sip_header_id id); /* long form */

#define SIP_HEADER_NONE UINT16_MAX

struct sip_header {
	uint32_t name_at; /* offsets from the message's bytes */
	uint32_t value_at;
	uint32_t value_n; /* white space around it is not counted */
	uint16_t name_n;
	uint8_t id; /* enum sip_header_id */
	uint8_t unused;
	uint16_t next_same; /* index of the next line of the same id, SIP_HEADER_NONE at the end */
	uint16_t unused2;
};

/* One value of a Via header (RFC 3261 20.42). */
struct sip_via {
	struct sip_text transport; /* "UDP" */
	struct sip_text host;      /* IPv6 without brackets */
	uint16_t port;             /* 0 = not given */
	struct sip_text parameters;
	struct sip_text branch;
	struct sip_text received;
	struct sip_text maddr;
	bool rport; /* parameter present */
	uint16_t rport_port;
};

struct sip_cseq {
	uint32_t number;
	enum sip_method method;
	struct sip_text method_text;
};

struct sip_message {
	const char *bytes;
	uint32_t size; /* of the whole message, body included */

	/* Start line. */
	bool is_request;
	enum sip_method method; /* responses: CSeq's */
	struct sip_text method_text;
	struct sip_text uri_text; /* Request-URI */
	struct sip_uri uri;
	uint16_t status; /* responses */
	struct sip_text reason;

	/* What every message has and every message needs. Texts of absent ones have at == NULL. */
	struct sip_via via; /* topmost */
	struct sip_address from;
	struct sip_address to;
	struct sip_text call_id;
	struct sip_cseq cseq;
	struct sip_text body;

	struct sip_flow flow; /* how it was received: set by the stack, zero after parsing */
	uint64_t received_ms; /* likewise, the loop's time */
	uint16_t headers_count;
	uint16_t first[SIP_HEADER_COUNT];           /* first line of an id, or SIP_HEADER_NONE */
	struct sip_header headers[SIP_HEADERS_MAX]; /* only headers_count are set */
};

/*
 * Parses n bytes that are one message (a datagram or what sip_stream_next() cut out). 0 = valid.
 * Otherwise the status that a request gets (400, 414, 416, 505, 513 ...) and *reason (a literal
 * that names the cause); what could be read is in the message then, so that
 * sip_message_is_answerable() can tell whether an answer can be built. A datagram longer than
 * Content-Length says is cut there, a shorter one is 400 (RFC 3261 18.3). m needs no
 * initialization.
 */
uint32_t sip_message_parse(struct sip_message *m, const char *bytes, uint32_t n,
			   const char **reason);
/* A request with Via, From, To, Call-ID and CSeq enough for a response (RFC 3261 8.2.6); never an
 * ACK. */
bool sip_message_is_answerable(const struct sip_message *m);

/* A copy in one allocation, header table cut to size, freed with free(). NULL without memory. */
struct sip_message *sip_message_clone(const struct sip_message *m);

/* Value of the first line of that header; at == NULL if absent. */
struct sip_text sip_message_header(const struct sip_message *m, enum sip_header_id id);
/* Likewise by name, for headers outside SIP_HEADERS (X-...). */
struct sip_text sip_message_header_named(const struct sip_message *m, const char *name);
struct sip_text sip_header_name_text(const struct sip_message *m, const struct sip_header *h);
struct sip_text sip_header_value_text(const struct sip_message *m, const struct sip_header *h);
/* Delta-seconds and the like (Expires, Max-Forwards, Retry-After): the number, fallback if absent,
 * -EINVAL if it is no number. Beyond 2^31 - 1 counts as 2^31 - 1. Text behind it (comment,
 * parameters) is ignored. */
int64_t sip_message_number(const struct sip_message *m, enum sip_header_id id, int64_t fallback);
/* True if a comma-separated header (Require, Supported, Allow ...) names the token. */
bool sip_message_has_token(const struct sip_message *m, enum sip_header_id id, const char *token);

/* Walks the values of a header over all its lines, split at commas outside of quotes and < >. */
struct sip_values {
	const struct sip_message *message;
	uint16_t line;
	struct sip_text rest;
};
void sip_values_begin(struct sip_values *values, const struct sip_message *m,
		      enum sip_header_id id);
bool sip_values_next(struct sip_values *values, struct sip_text *value);
/* First value of a list in `rest`; moves rest past the comma. False at the end. */
bool sip_value_split(struct sip_text *rest, struct sip_text *value);

/* First value of an address header; -ENOENT if absent, -EINVAL if broken. */
int sip_message_address(const struct sip_message *m, enum sip_header_id id,
			struct sip_address *address);
int sip_via_parse(struct sip_via *via, struct sip_text value);
int sip_cseq_parse(struct sip_cseq *cseq, struct sip_text value);
/* Media type of the body, lower case not guaranteed, parameters cut: "application/sdp"; absent:
 * at == NULL. */
struct sip_text sip_message_content_type(const struct sip_message *m);

/* Cuts messages out of a byte stream (RFC 3261 18.3, RFC 5626 4.4.1). */
enum sip_stream_result {
	SIP_STREAM_MORE,      /* incomplete: read on */
	SIP_STREAM_MESSAGE,   /* *skip bytes of CRLFs, then *size bytes are one message */
	SIP_STREAM_KEEPALIVE, /* *size bytes are a double CRLF: answer with one CRLF */
	SIP_STREAM_BROKEN,    /* no framing possible (Content-Length broken, too long): close. If
			       *size is not 0 the head is complete and can be answered first */
};
/* scanned: 0 at first; kept by the caller between calls on a growing buffer so that bytes are
 * looked at once; reset to 0 when bytes are taken out. *reason names the cause of BROKEN. */
enum sip_stream_result sip_stream_next(const char *bytes, uint32_t n, uint32_t *scanned,
				       uint32_t *skip, uint32_t *size, const char **reason);

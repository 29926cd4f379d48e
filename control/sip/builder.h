/*
 * Writes SIP messages into a caller's bounded buffer. Every put function may be called after the
 * buffer is full: it does nothing then and `overflow` stays set, so only the end needs a check.
 * Values are kept clean of CR and LF (folds become one space), so that no text from a message or
 * the configuration can start a header of its own.
 */
#pragma once

#include "control/sip/message.h"

struct sip_builder {
	char *bytes;
	uint32_t n;
	uint32_t size;
	bool overflow;
	bool sips; /* our Contact has to be a SIPS URI (RFC 3261 8.1.1.8, 12.1.1) */
};

void sip_builder_init(struct sip_builder *b, char *buffer, uint32_t size);
/* 0, or -ENOSPC after an overflow. */
int sip_builder_result(const struct sip_builder *b);

/* Raw pieces. sip_put_text unfolds and cleans, sip_put_bytes does not. */
void sip_put_bytes(struct sip_builder *b, const void *bytes, uint32_t n);
void sip_put_string(struct sip_builder *b, const char *terminated);
void sip_put_text(struct sip_builder *b, struct sip_text t);
void sip_put_number(struct sip_builder *b, uint64_t number);
void sip_put_format(struct sip_builder *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Quoted string with escapes. */
void sip_put_quoted(struct sip_builder *b, struct sip_text t);
/* "192.0.2.1" or "[2001:db8::1]"; with the port if it is not 0. */
void sip_put_host(struct sip_builder *b, const struct address *address, uint16_t port);

/* Whole lines. */
void sip_put_header(struct sip_builder *b, const char *name, struct sip_text value);
void sip_put_header_format(struct sip_builder *b, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* All lines of that header as they are in m (long name, unfolded); nothing if absent. */
void sip_put_header_copy(struct sip_builder *b, const struct sip_message *m, enum sip_header_id id);
/* Passes every header on that is neither in SIP_HEADERS nor named in except (NULL-terminated list,
 * may be NULL). */
void sip_put_headers_other(struct sip_builder *b, const struct sip_message *m,
			   const char *const *except);
/* "Contact: <sip:user@local:port;transport=tcp>parameters" for messages over that flow; a SIPS URI
 * if b->sips says so. user is in
 * URI form (sip_escape_user) and may be empty; parameters (";expires=60") may be NULL. */
void sip_put_contact(struct sip_builder *b, const struct sip_flow *flow, struct sip_text user,
		     const char *parameters);

/* Content-Type (if there is a body), Content-Length, the empty line and the body: the end of every
 * message. */
void sip_put_body(struct sip_builder *b, const char *content_type, struct sip_text body);

/* The standard phrase of a status; "Unknown" for those without one. */
const char *sip_status_reason(uint32_t status);

/* Via, From, To (with to_tag if it has none and to_tag is not NULL), Call-ID, CSeq and for 1xx/2xx
 * of dialog-forming requests Record-Route, behind a status line: the begin of a response (RFC 3261
 * 8.2.6.2). The top Via gets received and rport (RFC 3581 4) from request->flow. reason NULL =
 * standard. */
void sip_put_response_begin(struct sip_builder *b, const struct sip_message *request,
			    uint32_t status, const char *reason, const char *to_tag);

/* Parts of the above. Vias: all of the request's Via lines, the top one with received and rport
 * (RFC 3261 18.2.1, RFC 3581 4): received when the sent-by is not the source address or rport was
 * asked for. */
void sip_put_status_line(struct sip_builder *b, uint32_t status, const char *reason);
void sip_put_vias(struct sip_builder *b, const struct sip_message *request);

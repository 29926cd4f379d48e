/*
 * A piece of text inside a buffer that somebody else owns: not terminated, never copied by the
 * parsers. Comparisons of SIP words ignore ASCII case (RFC 3261 7.3.1).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sip_text {
	const char *at; /* NULL = absent */
	uint32_t n;
};

/* For printf: SIP_TEXT_FORMAT with SIP_TEXT_ARG(text). */
#define SIP_TEXT_FORMAT    "%.*s"
#define SIP_TEXT_ARG(text) (int)(text).n, (text).at != NULL ? (text).at : ""

static inline struct sip_text sip_text_of(const char *terminated)
{
	return (struct sip_text){.at = terminated, .n = (uint32_t)strlen(terminated)};
}

static inline bool sip_text_is_empty(struct sip_text t)
{
	return t.n == 0;
}

/* Byte for byte. */
static inline bool sip_text_equal(struct sip_text a, struct sip_text b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0);
}

/* Without regard to ASCII case. */
bool sip_text_equal_nocase(struct sip_text a, struct sip_text b);
bool sip_text_is(struct sip_text t, const char *word); /* likewise, against a terminated word */

/* Without the white space (SP HTAB CR LF) around it. */
struct sip_text sip_text_trim(struct sip_text t);

/* Digits only, no sign, no white space; -EINVAL, or -ERANGE beyond max (*value is max then). */
int sip_text_number(struct sip_text t, uint64_t max, uint64_t *value);

/* Copies, terminated, at most size - 1 bytes; returns what the whole needs (snprintf's way). */
size_t sip_text_copy(struct sip_text t, char *out, size_t size);

/* Next parameter of a list ";name=value;name" (RFC 3261 25.1 generic-param): rest starts at a ';'
 * or is empty and is moved past the parameter. A value in quotes keeps its quotes. value.at is NULL
 * when there is no '='. 1 = found, 0 = end, -EINVAL = broken. */
int sip_parameter_next(struct sip_text *rest, struct sip_text *name, struct sip_text *value);
/* The named parameter of such a list; false if absent (or the list is broken before it). */
bool sip_parameter_find(struct sip_text list, const char *name, struct sip_text *value);

/* Text of a quoted-string without quotes and escapes; of anything else a copy. Terminated.
 * -ENOSPC if it does not fit, -EINVAL for broken quotes. Returns the length. */
int sip_unquote(struct sip_text t, char *out, size_t size);

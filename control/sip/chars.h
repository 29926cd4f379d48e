/* Character classes of RFC 3261 25.1, from one constant table. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SIP_CHAR_TOKEN     0x01 /* token */
#define SIP_CHAR_PARAMETER 0x02 /* token and paramchar: names of header and URI parameters */
#define SIP_CHAR_HOST      0x04 /* hostname; '_' as the world has it */
#define SIP_CHAR_URI       0x08 /* anything a URI may hold; UTF-8 is let through */
#define SIP_CHAR_USER      0x10 /* unreserved and user-unreserved: no escape needed */
#define SIP_CHAR_DIGIT     0x20
#define SIP_CHAR_ALPHA     0x40

extern const uint8_t sip_chars[256];

static inline bool sip_char_is(char c, uint8_t class)
{
	return (sip_chars[(uint8_t)c] & class) != 0;
}

static inline bool sip_is_token(char c)
{
	return sip_char_is(c, SIP_CHAR_TOKEN);
}

static inline bool sip_is_parameter(char c)
{
	return sip_char_is(c, SIP_CHAR_PARAMETER);
}

static inline bool sip_is_digit(char c)
{
	return sip_char_is(c, SIP_CHAR_DIGIT);
}

static inline bool sip_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static inline char sip_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

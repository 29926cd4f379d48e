/* The table behind chars.h. */
#include "control/sip/chars.h"

#define T SIP_CHAR_TOKEN
#define P SIP_CHAR_PARAMETER
#define H SIP_CHAR_HOST
#define U SIP_CHAR_URI
#define N SIP_CHAR_USER
#define D SIP_CHAR_DIGIT
#define A SIP_CHAR_ALPHA

const uint8_t sip_chars[256] = {
	['0' ... '9'] = T | P | H | U | N | D,
	['A' ... 'Z'] = T | P | H | U | N | A,
	['a' ... 'z'] = T | P | H | U | N | A,
	['-'] = T | P | H | U | N,
	['.'] = T | P | H | U | N,
	['!'] = T | P | U | N,
	['%'] = T | P | U,
	['*'] = T | P | U | N,
	['_'] = T | P | H | U | N,
	['+'] = T | P | U | N,
	['`'] = T | P | U,
	['\''] = T | P | U | N,
	['~'] = T | P | U | N,
	['('] = P | U | N,
	[')'] = P | U | N,
	['['] = P | U,
	[']'] = P | U,
	['/'] = P | U | N,
	[':'] = P | U,
	['&'] = P | U | N,
	['$'] = P | U | N,
	['='] = U | N,
	[','] = U | N,
	[';'] = U | N,
	['?'] = U | N,
	['@'] = U,
	['#'] = U,
	['^'] = U,
	['{'] = U,
	['|'] = U,
	['}'] = U,
	['\\'] = U,
	[0x80 ... 0xff] = U,
};

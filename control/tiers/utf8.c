/* Checks UTF-8 by the table of RFC 3629 clause 4. */
#include "control/tiers/utf8.h"

#include <stdint.h>

/* Length of the valid sequence at text (n > 0 bytes), 0 when there is none. */
static size_t sequence_length(const uint8_t *text, size_t n)
{
	uint8_t low = 0x80, high = 0xbf; /* of the second byte */
	size_t len;

	if (text[0] < 0x80)
		return 1;
	if (text[0] >= 0xc2 && text[0] <= 0xdf)
		len = 2;
	else if (text[0] >= 0xe0 && text[0] <= 0xef)
		len = 3;
	else if (text[0] >= 0xf0 && text[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (text[0] == 0xe0)
		low = 0xa0;
	else if (text[0] == 0xed)
		high = 0x9f;
	else if (text[0] == 0xf0)
		low = 0x90;
	else if (text[0] == 0xf4)
		high = 0x8f;
	if (len > n || text[1] < low || text[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

/* Length of the sequence at text that may stay as it is, 0 when its first byte may not. */
static size_t clean_length(const uint8_t *text, size_t n)
{
	if (text[0] < 0x20 || text[0] == 0x7f)
		return 0;
	return sequence_length(text, n);
}

bool utf8_is_clean(const char *text, size_t n)
{
	size_t len;

	for (size_t i = 0; i < n; i += len) {
		len = clean_length((const uint8_t *)text + i, n - i);
		if (len == 0)
			return false;
	}
	return true;
}

void utf8_repair(char *text, size_t n)
{
	uint8_t *bytes = (uint8_t *)text;

	for (size_t i = 0; i < n;) {
		size_t len = clean_length(bytes + i, n - i);

		if (len == 0) {
			bytes[i] = '?';
			len = 1;
		}
		i += len;
	}
}

size_t utf8_cut(const char *text, size_t most)
{
	while (most > 0 && ((uint8_t)text[most] & 0xc0) == 0x80)
		most--;
	return most;
}

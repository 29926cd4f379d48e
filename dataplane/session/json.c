/* Writing JSON (RFC 8259). */
#include "dataplane/session/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void json_begin(struct json *json, char *text, size_t max)
{
	*json = (struct json){.text = text, .max = max};
}

static void put(struct json *json, const char *text, size_t n)
{
	if (json->full || n > json->max - json->n) {
		json->full = true;
		return;
	}
	memcpy(json->text + json->n, text, n);
	json->n += n;
}

/* Length of the UTF-8 sequence at text (RFC 3629 4), 0 when it is none. */
static size_t utf8_length(const unsigned char *text, size_t n)
{
	size_t length = 0;

	if (text[0] < 0x80)
		length = 1;
	else if (text[0] >= 0xc2 && text[0] <= 0xdf)
		length = 2;
	else if (text[0] >= 0xe0 && text[0] <= 0xef)
		length = 3;
	else if (text[0] >= 0xf0 && text[0] <= 0xf4)
		length = 4;
	if (length == 0 || length > n)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

static void put_quoted(struct json *json, const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text;
	const unsigned char *end = at + len;

	put(json, "\"", 1);
	while (at < end) {
		size_t length = utf8_length(at, (size_t)(end - at));
		char escape[8];

		if (length == 0) {
			put(json, "\\ufffd", 6);
			length = 1;
		} else if (*at == '"' || *at == '\\') {
			put(json, "\\", 1);
			put(json, (const char *)at, 1);
		} else if (*at < 0x20 || *at == 0x7f) {
			snprintf(escape, sizeof(escape), "\\u%04x", *at);
			put(json, escape, 6);
		} else {
			put(json, (const char *)at, length);
		}
		at += length;
	}
	put(json, "\"", 1);
}

static void put_key(struct json *json, const char *key)
{
	if (json->comma)
		put(json, ",", 1);
	json->comma = true;
	if (!key)
		return;
	put_quoted(json, key, strlen(key));
	put(json, ":", 1);
}

void json_open(struct json *json, const char *key, char bracket)
{
	put_key(json, key);
	put(json, &bracket, 1);
	json->comma = false;
}

void json_close(struct json *json, char bracket)
{
	put(json, &bracket, 1);
	json->comma = true;
}

void json_text(struct json *json, const char *key, const char *text, size_t len)
{
	put_key(json, key);
	put_quoted(json, text, len);
}

void json_integer(struct json *json, const char *key, int64_t integer)
{
	char number[24];

	put_key(json, key);
	snprintf(number, sizeof(number), "%" PRId64, integer);
	put(json, number, strlen(number));
}

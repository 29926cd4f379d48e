/*
 * JSON (RFC 8259) to and from the value tree. The tree knows only strings and integers: true and
 * false become 1 and 0, null becomes an empty string, the fraction of a number is cut off. Strings
 * without escapes point into the message, others are decoded into the arena.
 */
#include "dataplane/api/ng.h"

#include "dataplane/api/ng_internal.h"

#include <errno.h>
#include <string.h>

static int value_parse(struct ng_parser *parser, struct ng_value *value, unsigned int depth);

/* Skips white space; -EAGAIN when nothing follows it. */
static int space_skip(struct ng_parser *parser)
{
	while (parser->at < parser->n) {
		char c = parser->text[parser->at];

		if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
			return 0;
		parser->at++;
	}
	return -EAGAIN;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const char *text)
{
	int32_t unit = 0;

	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(text[i]);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

/* RFC 3629 3; returns bytes written, at most 4. */
static size_t utf8_put(char *out, uint32_t code)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

/* The escape "\uXXXX" at text (n bytes follow the u), or two of them for a surrogate pair (RFC 8259
 * 7). Returns characters used after the u, 0 when it is broken. */
static size_t unicode_unescape(const char *text, size_t n, uint32_t *code)
{
	int32_t high = n >= 4 ? hex4(text) : -1;
	int32_t low;

	if (high < 0)
		return 0;
	*code = (uint32_t)high;
	if (high < 0xd800 || high > 0xdfff)
		return 4;
	if (high > 0xdbff || n < 10 || text[4] != '\\' || text[5] != 'u')
		return 0;
	low = hex4(text + 6);
	if (low < 0xdc00 || low > 0xdfff)
		return 0;
	*code = 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
	return 10;
}

/* Decodes n bytes between the quotes, which hold whole escapes only as far as the closing quote was
 * found. The result is never longer than its source. */
static int string_unescape(struct ng_parser *parser, const char *from, size_t n, const char **text,
			   size_t *len)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	char *out = ng_arena_alloc(parser->arena, n);
	size_t used = 0;

	if (!out)
		return -ENOMEM;
	*text = out;
	for (size_t i = 0; i < n; i++) {
		const char *letter;
		uint32_t code;
		size_t step;

		if (from[i] != '\\') {
			out[used++] = from[i];
			continue;
		}
		i++;
		if (from[i] == 'u') {
			step = unicode_unescape(from + i + 1, n - i - 1, &code);
			if (step == 0)
				return ng_parse_error(parser,
						      "JSON string has a broken \\u escape");
			used += utf8_put(out + used, code);
			i += step;
			continue;
		}
		letter = from[i] ? strchr(letters, from[i]) : NULL;
		if (!letter)
			return ng_parse_error(parser, "JSON string has an unknown escape");
		out[used++] = meanings[letter - letters];
	}
	*len = used;
	return 0;
}

/* At the opening quote. */
static int string_parse(struct ng_parser *parser, const char **text, size_t *len)
{
	size_t start = ++parser->at;
	bool escaped = false;

	for (;; parser->at++) {
		char c;

		if (parser->at == parser->n)
			return -EAGAIN;
		c = parser->text[parser->at];
		if (c == '"')
			break;
		if ((unsigned char)c < 0x20)
			return ng_parse_error(parser, "JSON string has a bare control character");
		if (c != '\\')
			continue;
		escaped = true;
		parser->at++; /* what it escapes, perhaps a quote */
		if (parser->at == parser->n)
			return -EAGAIN;
	}
	*text = parser->text + start;
	*len = parser->at - start;
	parser->at++;
	return escaped ? string_unescape(parser, *text, *len, text, len) : 0;
}

static int number_parse(struct ng_parser *parser, int64_t *integer)
{
	bool negative = parser->text[parser->at] == '-';
	bool fraction = false;
	size_t digits = 0;
	int64_t value = 0;

	if (negative)
		parser->at++;
	for (;; parser->at++) {
		char c;

		if (parser->at == parser->n)
			return -EAGAIN;
		c = parser->text[parser->at];
		if (c == '.' && digits > 0 && !fraction) {
			fraction = true;
			digits = 0;
			continue;
		}
		if (c == 'e' || c == 'E')
			return ng_parse_error(parser, "JSON number has an exponent");
		if (c < '0' || c > '9')
			break;
		digits++;
		if (fraction)
			continue;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, c - '0', &value))
			return ng_parse_error(parser, "JSON number is out of range");
	}
	if (digits == 0)
		return ng_parse_error(parser, "JSON number has no digits");
	if (!negative && __builtin_sub_overflow(0, value, &value))
		return ng_parse_error(parser, "JSON number is out of range");
	*integer = value;
	return 0;
}

static int literal_parse(struct ng_parser *parser, struct ng_value *value)
{
	static const struct {
		const char *word;
		size_t len;
		enum ng_type type;
		int64_t integer;
	} literals[] = {
		{"true", 4, NG_INTEGER, 1},
		{"false", 5, NG_INTEGER, 0},
		{"null", 4, NG_STRING, 0},
	};
	size_t left = parser->n - parser->at;

	for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
		size_t len = literals[i].len;

		if (memcmp(parser->text + parser->at, literals[i].word, left < len ? left : len) !=
		    0)
			continue;
		if (left < len)
			return -EAGAIN;
		parser->at += len;
		value->type = literals[i].type;
		if (value->type == NG_INTEGER) {
			value->integer = literals[i].integer;
		} else {
			value->text = "";
			value->len = 0;
		}
		return 0;
	}
	return ng_parse_error(parser, "JSON value has an unknown type");
}

/* One member of a dictionary with its key, or of a list. */
static int member_parse(struct ng_parser *parser, struct ng_value *parent, unsigned int depth)
{
	const char *key_text = NULL;
	struct ng_value *value;
	size_t key_len = 0;
	int error;

	if (parent->type == NG_DICT) {
		if (parser->text[parser->at] != '"')
			return ng_parse_error(parser, "JSON object has a key that is no string");
		error = string_parse(parser, &key_text, &key_len);
		if (!error)
			error = space_skip(parser);
		if (error)
			return error;
		if (parser->text[parser->at] != ':')
			return ng_parse_error(parser, "JSON object has a key without a value");
		parser->at++;
		error = space_skip(parser);
		if (error)
			return error;
	}
	value = ng_append(parser->arena, parent);
	if (!value)
		return -ENOMEM;
	value->key_text = key_text;
	value->key_len = key_len;
	return value_parse(parser, value, depth + 1);
}

/* At the opening bracket. */
static int members_parse(struct ng_parser *parser, struct ng_value *parent, unsigned int depth)
{
	char end = parent->type == NG_DICT ? '}' : ']';
	int error;

	if (depth >= NG_DEPTH_MAX)
		return ng_parse_error(parser, "Message is nested too deeply");
	parser->at++;
	error = space_skip(parser);
	if (error)
		return error;
	if (parser->text[parser->at] == end) {
		parser->at++;
		return 0;
	}
	for (;;) {
		char c;

		error = member_parse(parser, parent, depth);
		if (!error)
			error = space_skip(parser);
		if (error)
			return error;
		c = parser->text[parser->at++];
		if (c == end)
			return 0;
		if (c != ',')
			return ng_parse_error(parser, "JSON members are not separated by commas");
		error = space_skip(parser);
		if (error)
			return error;
	}
}

static int value_parse(struct ng_parser *parser, struct ng_value *value, unsigned int depth)
{
	switch (parser->text[parser->at]) {
	case '{':
		value->type = NG_DICT;
		return members_parse(parser, value, depth);
	case '[':
		value->type = NG_LIST;
		return members_parse(parser, value, depth);
	case '"':
		value->type = NG_STRING;
		return string_parse(parser, &value->text, &value->len);
	case '-':
	case '0' ... '9':
		value->type = NG_INTEGER;
		return number_parse(parser, &value->integer);
	default:
		return literal_parse(parser, value);
	}
}

int ng_json_parse(struct ng_parser *parser, struct ng_value **root)
{
	*root = ng_dict(parser->arena);
	if (!*root)
		return -ENOMEM;
	return value_parse(parser, *root, 0);
}

/* Length of the well-formed UTF-8 sequence at text (RFC 3629 4), 0 when it is none. */
static size_t utf8_length(const unsigned char *text, size_t n)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t length;

	if (text[0] < 0x80)
		return 1;
	if (text[0] < 0xc2 || text[0] > 0xf4)
		return 0;
	length = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	if (length > n)
		return 0;
	if (text[0] == 0xe0)
		low = 0xa0;
	else if (text[0] == 0xed)
		high = 0x9f;
	else if (text[0] == 0xf0)
		low = 0x90;
	else if (text[0] == 0xf4)
		high = 0x8f;
	if (text[1] < low || text[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

/* Bytes that are not UTF-8 go out as the character of that number, so that the message stays valid.
 */
static void string_build(struct ng_writer *writer, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t plain = 0; /* start of what needs no escape */

	ng_write(writer, "\"", 1);
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)text[i];
		size_t length = utf8_length((const unsigned char *)text + i, len - i);
		char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

		if (length > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
			i += length;
			continue;
		}
		ng_write(writer, text + plain, i - plain);
		if (c == '\r' || c == '\n' || c == '\t' || c == '"' || c == '\\') {
			escape[1] = c == '\r' ? 'r' : c == '\n' ? 'n' : c == '\t' ? 't' : (char)c;
			ng_write(writer, escape, 2);
		} else {
			ng_write(writer, escape, 6);
		}
		plain = ++i;
	}
	ng_write(writer, text + plain, len - plain);
	ng_write(writer, "\"", 1);
}

void ng_json_build(struct ng_writer *writer, const struct ng_value *value)
{
	switch (value->type) {
	case NG_STRING:
		string_build(writer, value->text, value->len);
		return;
	case NG_INTEGER:
		ng_write_integer(writer, value->integer);
		return;
	case NG_LIST:
	case NG_DICT:
		ng_write(writer, value->type == NG_DICT ? "{" : "[", 1);
		for (const struct ng_value *member = value->first; member; member = member->next) {
			if (member != value->first)
				ng_write(writer, ",", 1);
			if (value->type == NG_DICT) {
				string_build(writer, member->key_text, member->key_len);
				ng_write(writer, ":", 1);
			}
			ng_json_build(writer, member);
		}
		ng_write(writer, value->type == NG_DICT ? "}" : "]", 1);
		return;
	}
}

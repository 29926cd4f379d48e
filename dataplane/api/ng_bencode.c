/*
 * Bencode (BEP 3) to and from the value tree. Read more liberally than BEP 3 asks, as rtpengine's
 * clients rely on it: keys in any order, leading zeros in numbers.
 */
#include "dataplane/api/ng.h"

#include "dataplane/api/ng_internal.h"

#include <errno.h>

static int value_parse(struct ng_parser *parser, struct ng_value *value, unsigned int depth);

/* "LENGTH:BYTES" */
static int string_parse(struct ng_parser *parser, const char **text, size_t *len)
{
	size_t length = 0, digits = 0;

	for (;; parser->at++, digits++) {
		char c;

		if (parser->at == parser->n)
			return -EAGAIN;
		c = parser->text[parser->at];
		if (c == ':' && digits > 0)
			break;
		if (c < '0' || c > '9')
			return ng_parse_error(parser, "Bencode string has no valid length");
		length = length * 10 + (size_t)(c - '0');
		if (length > NG_MESSAGE_MAX || digits >= 10)
			return ng_parse_error(parser, "Bencode string is longer than any message");
	}
	parser->at++;
	if (length > parser->n - parser->at)
		return -EAGAIN;
	*text = parser->text + parser->at;
	*len = length;
	parser->at += length;
	return 0;
}

/* "iDIGITSe", at the i */
static int integer_parse(struct ng_parser *parser, int64_t *integer)
{
	bool negative = false;
	size_t digits = 0;
	int64_t value = 0;

	for (parser->at++;; parser->at++) {
		char c;

		if (parser->at == parser->n)
			return -EAGAIN;
		c = parser->text[parser->at];
		if (c == 'e' && digits > 0)
			break;
		if (c == '-' && digits == 0 && !negative) {
			negative = true;
			continue;
		}
		if (c < '0' || c > '9')
			return ng_parse_error(parser, "Bencode integer is not a number");
		/* Counted down, so that the smallest one fits. */
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, c - '0', &value))
			return ng_parse_error(parser, "Bencode integer is out of range");
		digits++;
	}
	parser->at++;
	if (!negative && __builtin_sub_overflow(0, value, &value))
		return ng_parse_error(parser, "Bencode integer is out of range");
	*integer = value;
	return 0;
}

/* "l...e" or "d...e", at the letter */
static int members_parse(struct ng_parser *parser, struct ng_value *parent, unsigned int depth)
{
	if (depth >= NG_DEPTH_MAX)
		return ng_parse_error(parser, "Message is nested too deeply");
	parser->at++;
	for (;;) {
		const char *key_text = NULL;
		struct ng_value *value;
		size_t key_len = 0;
		int error;

		if (parser->at == parser->n)
			return -EAGAIN;
		if (parser->text[parser->at] == 'e')
			break;
		if (parent->type == NG_DICT) {
			error = string_parse(parser, &key_text, &key_len);
			if (error)
				return error;
		}
		value = ng_append(parser->arena, parent);
		if (!value)
			return -ENOMEM;
		value->key_text = key_text;
		value->key_len = key_len;
		error = value_parse(parser, value, depth + 1);
		if (error)
			return error;
	}
	parser->at++;
	return 0;
}

static int value_parse(struct ng_parser *parser, struct ng_value *value, unsigned int depth)
{
	if (parser->at == parser->n)
		return -EAGAIN;
	switch (parser->text[parser->at]) {
	case 'd':
		value->type = NG_DICT;
		return members_parse(parser, value, depth);
	case 'l':
		value->type = NG_LIST;
		return members_parse(parser, value, depth);
	case 'i':
		value->type = NG_INTEGER;
		return integer_parse(parser, &value->integer);
	case '0' ... '9':
		value->type = NG_STRING;
		return string_parse(parser, &value->text, &value->len);
	case 'e':
		return ng_parse_error(parser, "Bencode dictionary has a key without a value");
	default:
		return ng_parse_error(parser, "Bencode value has an unknown type");
	}
}

int ng_bencode_parse(struct ng_parser *parser, struct ng_value **root)
{
	*root = ng_dict(parser->arena);
	if (!*root)
		return -ENOMEM;
	return value_parse(parser, *root, 0);
}

static void string_build(struct ng_writer *writer, const char *text, size_t len)
{
	ng_write_integer(writer, (int64_t)len);
	ng_write(writer, ":", 1);
	ng_write(writer, text, len);
}

void ng_bencode_build(struct ng_writer *writer, const struct ng_value *value)
{
	switch (value->type) {
	case NG_STRING:
		string_build(writer, value->text, value->len);
		return;
	case NG_INTEGER:
		ng_write(writer, "i", 1);
		ng_write_integer(writer, value->integer);
		break;
	case NG_LIST:
	case NG_DICT:
		ng_write(writer, value->type == NG_DICT ? "d" : "l", 1);
		for (const struct ng_value *member = value->first; member; member = member->next) {
			if (value->type == NG_DICT)
				string_build(writer, member->key_text, member->key_len);
			ng_bencode_build(writer, member);
		}
		break;
	}
	ng_write(writer, "e", 1);
}

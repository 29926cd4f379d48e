/* The value tree of ng messages: entry points of parsing and building, look-ups, and putting
 * together of replies. */
#include "dataplane/api/ng.h"

#include "dataplane/api/ng_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- parse and build ---- */

int64_t ng_parse(struct ng_arena *arena, const char *text, size_t n, struct ng_value **root,
		 enum ng_encoding *encoding, const char **reason)
{
	struct ng_parser parser = {.arena = arena, .text = text, .n = n};
	int error;

	*root = NULL;
	*reason = NULL;
	*encoding = NG_BENCODE;
	if (n == 0)
		return -EAGAIN;
	if (n > NG_MESSAGE_MAX)
		parser.n = NG_MESSAGE_MAX;
	switch (text[0]) {
	case 'd':
		error = ng_bencode_parse(&parser, root);
		break;
	case '{':
		*encoding = NG_JSON;
		error = ng_json_parse(&parser, root);
		break;
	default:
		error = ng_parse_error(&parser,
				       "Message is neither a bencode nor a JSON dictionary");
	}
	if (error == -EAGAIN && n >= NG_MESSAGE_MAX)
		error = ng_parse_error(&parser, "Message is too long");
	if (error == -ENOMEM)
		parser.reason = "Message holds too many values";
	*reason = parser.reason;
	return error ? error : (int64_t)parser.at;
}

void ng_write(struct ng_writer *writer, const char *text, size_t len)
{
	if (len && writer->len < writer->n && len <= writer->n - writer->len)
		memcpy(writer->out + writer->len, text, len);
	writer->len += len;
}

void ng_write_integer(struct ng_writer *writer, int64_t integer)
{
	char digits[24];

	ng_write(writer, digits, (size_t)snprintf(digits, sizeof(digits), "%" PRId64, integer));
}

int64_t ng_build(const struct ng_value *root, enum ng_encoding encoding, char *out, size_t n)
{
	struct ng_writer writer = {.out = out, .n = n};

	if (encoding == NG_JSON)
		ng_json_build(&writer, root);
	else
		ng_bencode_build(&writer, root);
	return writer.len <= n ? (int64_t)writer.len : -ENOSPC;
}

/* ---- reading ---- */

static char word_break(char c)
{
	return c == '-' || c == '_' ? ' ' : c;
}

/* Equal but for which of space, hyphen and underscore stands between words. */
static bool words_equal(const char *text, size_t len, const char *word)
{
	for (size_t i = 0; i < len; i++) {
		if (word[i] == '\0' || word_break(text[i]) != word_break(word[i]))
			return false;
	}
	return word[len] == '\0';
}

const struct ng_value *ng_get(const struct ng_value *dict, const char *key)
{
	if (!dict || dict->type != NG_DICT)
		return NULL;
	for (const struct ng_value *value = dict->first; value; value = value->next) {
		if (words_equal(value->key_text, value->key_len, key))
			return value;
	}
	return NULL;
}

const char *ng_get_text(const struct ng_value *dict, const char *key, size_t *len)
{
	const struct ng_value *value = ng_get(dict, key);

	*len = 0;
	if (!value || value->type != NG_STRING)
		return NULL;
	*len = value->len;
	return value->text;
}

/* Digits with an optional sign. */
static bool text_to_integer(const char *text, size_t len, int64_t *integer)
{
	bool negative = len > 0 && text[0] == '-';
	int64_t value = 0;
	size_t i = negative ? 1 : 0;

	if (i == len)
		return false;
	for (; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, text[i] - '0', &value))
			return false;
	}
	*integer = negative ? -value : value;
	return true;
}

int64_t ng_get_integer(const struct ng_value *dict, const char *key, int64_t fallback)
{
	const struct ng_value *value = ng_get(dict, key);
	int64_t integer = fallback;

	if (!value)
		return fallback;
	if (value->type == NG_INTEGER)
		return value->integer;
	if (value->type == NG_STRING && text_to_integer(value->text, value->len, &integer))
		return integer;
	return fallback;
}

bool ng_text_equal(const struct ng_value *value, const char *text)
{
	return value && value->type == NG_STRING && value->len == strlen(text) &&
	       memcmp(value->text, text, value->len) == 0;
}

bool ng_has_flag(const struct ng_value *dict, const char *key, const char *text)
{
	const struct ng_value *value = ng_get(dict, key);

	if (!value)
		return false;
	if (value->type == NG_STRING)
		return words_equal(value->text, value->len, text);
	if (value->type != NG_LIST)
		return false;
	for (value = value->first; value; value = value->next) {
		if (value->type == NG_STRING && words_equal(value->text, value->len, text))
			return true;
	}
	return false;
}

/* ---- building ---- */

struct ng_value *ng_dict(struct ng_arena *arena)
{
	struct ng_value *value = ng_arena_alloc(arena, sizeof(*value));

	if (value)
		value->type = NG_DICT;
	return value;
}

struct ng_value *ng_list(struct ng_arena *arena)
{
	struct ng_value *value = ng_arena_alloc(arena, sizeof(*value));

	if (value)
		value->type = NG_LIST;
	return value;
}

struct ng_value *ng_append(struct ng_arena *arena, struct ng_value *to)
{
	struct ng_value *value = ng_arena_alloc(arena, sizeof(*value));

	if (!value)
		return NULL;
	if (to->last)
		to->last->next = value;
	else
		to->first = value;
	to->last = value;
	to->count++;
	return value;
}

/* A new member of `to`, with its key when that is a dictionary. */
static struct ng_value *member_add(struct ng_arena *arena, struct ng_value *to, const char *key,
				   enum ng_type type)
{
	struct ng_value *value;

	if (!to || (to->type != NG_DICT && to->type != NG_LIST) ||
	    (to->type == NG_DICT) != (key != NULL))
		return NULL;
	value = ng_append(arena, to);
	if (!value)
		return NULL;
	value->type = type;
	if (key) {
		value->key_text = key;
		value->key_len = strlen(key);
	}
	return value;
}

struct ng_value *ng_put_text(struct ng_arena *arena, struct ng_value *to, const char *key,
			     const char *text, size_t len)
{
	char *copy = ng_arena_alloc(arena, len + 1);
	struct ng_value *value;

	if (!copy)
		return NULL;
	value = member_add(arena, to, key, NG_STRING);
	if (!value)
		return NULL;
	if (len)
		memcpy(copy, text, len);
	value->text = copy;
	value->len = len;
	return value;
}

struct ng_value *ng_put_string(struct ng_arena *arena, struct ng_value *to, const char *key,
			       const char *text)
{
	return ng_put_text(arena, to, key, text, strlen(text));
}

struct ng_value *ng_put_integer(struct ng_arena *arena, struct ng_value *to, const char *key,
				int64_t integer)
{
	struct ng_value *value = member_add(arena, to, key, NG_INTEGER);

	if (value)
		value->integer = integer;
	return value;
}

struct ng_value *ng_put_dict(struct ng_arena *arena, struct ng_value *to, const char *key)
{
	return member_add(arena, to, key, NG_DICT);
}

struct ng_value *ng_put_list(struct ng_arena *arena, struct ng_value *to, const char *key)
{
	return member_add(arena, to, key, NG_LIST);
}

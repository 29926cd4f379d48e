/* What the two encodings share; for the files ng_*.c of this folder only. */
#pragma once

#include "dataplane/api/ng.h"

#include <errno.h>
#include <stdint.h>

/* Input of one parse. reason is set with every -EBADMSG. */
struct ng_parser {
	struct ng_arena *arena;
	const char *text;
	size_t n;
	size_t at;
	const char *reason;
};

static inline int ng_parse_error(struct ng_parser *parser, const char *reason)
{
	parser->reason = reason;
	return -EBADMSG;
}

/* Output of one build; len goes on growing past n, so that the caller learns that it did not fit.
 */
struct ng_writer {
	char *out;
	size_t n;
	size_t len;
};

void ng_write(struct ng_writer *writer, const char *text, size_t len);
void ng_write_integer(struct ng_writer *writer, int64_t integer);

/* Appends an empty value to a list or dictionary. */
struct ng_value *ng_append(struct ng_arena *arena, struct ng_value *to);

/* Parse a dictionary at parser->at, which is left after it. 0, -EAGAIN, -EBADMSG, -ENOMEM. */
int ng_bencode_parse(struct ng_parser *parser, struct ng_value **root);
int ng_json_parse(struct ng_parser *parser, struct ng_value **root);

void ng_bencode_build(struct ng_writer *writer, const struct ng_value *value);
void ng_json_build(struct ng_writer *writer, const struct ng_value *value);

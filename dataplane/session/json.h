/* A writer of small JSON texts into a buffer of the caller's. Text of unknown encoding goes in
 * safely: bytes that are not UTF-8 come out as U+FFFD. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
	char *text;
	size_t n;
	size_t max;
	bool full;  /* something did not fit: the text is broken */
	bool comma; /* the next value is not the first of its container */
};

void json_begin(struct json *json, char *text, size_t max);
/* key is NULL within a list and at the top; bracket is '{' or '['. */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);
void json_text(struct json *json, const char *key, const char *text, size_t len);
void json_integer(struct json *json, const char *key, int64_t integer);

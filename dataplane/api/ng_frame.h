/*
 * Finds the end of a message in a stream ("COOKIE SP DICTIONARY", back to back, white space between
 * them allowed) without parsing it, going on where it stopped: each byte is looked at once, however
 * small the pieces it comes in.
 */
#pragma once

#include "dataplane/api/ng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NG_COOKIE_MAX 255

enum ng_frame_phase { NG_FRAME_SPACE, NG_FRAME_COOKIE, NG_FRAME_BENCODE, NG_FRAME_JSON };

/* Zero is the start of a message. */
struct ng_frame {
	enum ng_frame_phase phase;
	size_t at;
	size_t cookie_start;
	size_t cookie_len; /* set once the space after it was seen */
	size_t length;     /* bencode: digits of a string's length */
	size_t skip;       /* bencode: bytes of a string still to pass over */
	uint32_t depth;
	bool in_integer; /* bencode */
	bool in_string;  /* JSON */
	bool escaped;    /* JSON */
};

/* text[0..n) is all that arrived from the start of the message. Returns the length of the message
 * with all before it
 * (> 0; the frame is to be zeroed for the next one), -EAGAIN, or -EBADMSG with *reason set to a
 * static sentence: then the stream cannot be followed any further. The dictionary begins at
 * cookie_start + cookie_len + 1. */
int64_t ng_frame_scan(struct ng_frame *frame, const char *text, size_t n, const char **reason);

/* The same split for a datagram: 0 with cookie and dictionary set, or -EBADMSG when there is no
 * cookie. */
int ng_datagram_split(const char *text, size_t n, const char **cookie, size_t *cookie_len,
		      const char **dictionary, size_t *dictionary_len);

/*
 * The opening handshake of a WebSocket (RFC 6455 4.2, RFC 7118 4), server side: one HTTP request
 * in, 101 or one error out.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define WS_HANDSHAKE_SIZE_MAX    8192
#define WS_HANDSHAKE_HEADERS_MAX 64
#define WS_ANSWER_MAX            512

enum ws_handshake_result {
	WS_HANDSHAKE_MORE,    /* incomplete: read on */
	WS_HANDSHAKE_OPEN,    /* answer is the 101; frames begin behind size */
	WS_HANDSHAKE_REFUSED, /* answer is the error; then the connection ends */
};

struct ws_handshake {
	uint32_t size;   /* of the request, when OPEN */
	uint32_t status; /* 101, 400, 405, 426, 431, 505 */
	bool has_origin; /* it is a browser's */
	uint32_t answer_n;
	char answer[WS_ANSWER_MAX];
};

/* bytes: all that came since the connection was made. scanned is 0 at first and kept by the caller,
 * so that bytes are looked at once. */
enum ws_handshake_result ws_handshake_read(const char *bytes, uint32_t n, uint32_t *scanned,
					   struct ws_handshake *out);

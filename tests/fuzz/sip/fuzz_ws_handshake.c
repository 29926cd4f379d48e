/*
 * Any bytes as a WebSocket's opening handshake: at once and byte by byte the outcome is the same,
 * and the answer is one whole HTTP response.
 */
#include "control/sip/ws_handshake.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	struct ws_handshake whole;
	struct ws_handshake pieces;
	enum ws_handshake_result first;
	enum ws_handshake_result last = WS_HANDSHAKE_MORE;
	uint32_t scanned = 0;

	if (size > WS_HANDSHAKE_SIZE_MAX + 100)
		return 0;
	first = ws_handshake_read(bytes, (uint32_t)size, &scanned, &whole);
	scanned = 0;
	for (uint32_t n = 0; n <= size && last == WS_HANDSHAKE_MORE; n++)
		last = ws_handshake_read(bytes, n, &scanned, &pieces);
	if (first != last || whole.status != pieces.status || whole.answer_n != pieces.answer_n ||
	    memcmp(whole.answer, pieces.answer, whole.answer_n) != 0)
		abort();
	if (first == WS_HANDSHAKE_MORE)
		return 0;
	if (whole.answer_n >= WS_ANSWER_MAX || whole.size > size ||
	    memcmp(whole.answer, "HTTP/1.1 ", 9) != 0 ||
	    memcmp(whole.answer + whole.answer_n - 4, "\r\n\r\n", 4) != 0)
		abort();
	if ((first == WS_HANDSHAKE_OPEN) != (whole.status == 101))
		abort();
	return 0;
}

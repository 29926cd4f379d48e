/*
 * Whole messages with their cookie, as a datagram and as a stream in pieces of any size: both ways
 * must agree on where the message ends.
 */
#include "dataplane/api/ng_frame.h"
#include "tests/fuzz/api/roundtrip.h"

#include <errno.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

/* Feeds the stream `step` bytes more at a time. */
static int64_t scan(const char *text, size_t n, size_t step, struct ng_frame *frame)
{
	int64_t used = -EAGAIN;
	const char *reason;

	memset(frame, 0, sizeof(*frame));
	for (size_t have = step < n ? step : n; used == -EAGAIN; have += step) {
		used = ng_frame_scan(frame, text, have < n ? have : n, &reason);
		if (have >= n)
			break;
	}
	return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	const char *text = (const char *)input, *cookie, *dictionary, *reason;
	size_t cookie_len, dictionary_len;
	struct ng_frame frame, other;
	enum ng_encoding encoding;
	struct ng_arena *arena;
	struct ng_value *root;
	int64_t framed, used;

	framed = scan(text, n, n ? n : 1, &frame);
	if (framed > (int64_t)n || (framed < 0 && framed != -EAGAIN && framed != -EBADMSG))
		abort();
	if (scan(text, n, 1, &other) != framed || scan(text, n, 7, &other) != framed)
		abort();
	if (ng_datagram_split(text, n, &cookie, &cookie_len, &dictionary, &dictionary_len) < 0)
		return 0;
	fuzz_parse(dictionary, dictionary_len);
	if (ng_arena_create(&arena, FUZZ_ARENA_BYTES) < 0)
		abort();
	used = ng_parse(arena, dictionary, dictionary_len, &root, &encoding, &reason);
	if (used > 0 && (framed != used + (int64_t)cookie_len + 1 || frame.cookie_start != 0 ||
			 frame.cookie_len != cookie_len))
		abort();
	ng_arena_destroy(arena);
	return 0;
}

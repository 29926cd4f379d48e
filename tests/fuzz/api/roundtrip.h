/* What holds for every message that was accepted, in either encoding. */
#pragma once

#include "dataplane/api/ng.h"

#include <stdlib.h>
#include <string.h>

#define FUZZ_ARENA_BYTES (8 << 20)
#define FUZZ_OUT_BYTES   (8 << 20)

/* Parses what was built (it must be accepted whole) and builds it again; the new length. */
static inline int64_t rebuild(const char *text, int64_t n, enum ng_encoding encoding, char *out)
{
	enum ng_encoding seen;
	struct ng_arena *arena;
	struct ng_value *root;
	const char *reason;
	int64_t built;

	if (ng_arena_create(&arena, FUZZ_ARENA_BYTES) < 0)
		abort();
	if (ng_parse(arena, text, (size_t)n, &root, &seen, &reason) != n || seen != encoding)
		abort();
	built = ng_build(root, encoding, out, FUZZ_OUT_BYTES);
	ng_arena_destroy(arena);
	return built;
}

/* What is built from an accepted message is accepted, and building from that changes nothing more
 * (the first round may: JSON shows bytes that are not UTF-8 as characters). */
static inline void roundtrip(const struct ng_value *root, enum ng_encoding encoding)
{
	static char out[3][FUZZ_OUT_BYTES];
	int64_t n[3] = {ng_build(root, encoding, out[0], FUZZ_OUT_BYTES)};

	for (int i = 0; i < 2; i++) {
		if (n[i] < 0 || n[i] > NG_MESSAGE_MAX)
			return;
		n[i + 1] = rebuild(out[i], n[i], encoding, out[i + 1]);
	}
	if (n[1] != n[2] || memcmp(out[1], out[2], (size_t)n[1]) != 0)
		abort();
}

static inline void fuzz_parse(const char *text, size_t n)
{
	enum ng_encoding encoding;
	struct ng_arena *arena;
	struct ng_value *root;
	const char *reason;
	int64_t used;

	if (ng_arena_create(&arena, FUZZ_ARENA_BYTES) < 0)
		abort();
	used = ng_parse(arena, text, n, &root, &encoding, &reason);
	if (used == 0 || used > (int64_t)n)
		abort();
	if (used > 0) {
		roundtrip(root, NG_BENCODE);
		roundtrip(root, NG_JSON);
		ng_get(root, "from-tag");
		ng_get_integer(root, "media-port", 0);
		ng_has_flag(root, "flags", "trust address");
	}
	ng_arena_destroy(arena);
}

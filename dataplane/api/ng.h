/*
 * ng messages: "COOKIE SP DICTIONARY", the dictionary in bencode or JSON (rtpengine's ng protocol).
 * One tree type serves both encodings; values live in an arena, strings point into the message they
 * were parsed from.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ng_type { NG_STRING, NG_INTEGER, NG_LIST, NG_DICT };
enum ng_encoding { NG_BENCODE, NG_JSON };

struct ng_value {
	enum ng_type type;
	union {
		struct {
			const char *text; /* not terminated; may hold any byte */
			size_t len;
		};
		int64_t integer;
		struct {
			struct ng_value *first; /* NG_LIST: items. NG_DICT: values, key_text set */
			struct ng_value *last;
			uint32_t count;
		};
	};
	const char *key_text; /* within a dictionary */
	size_t key_len;
	struct ng_value *next;
};

#define NG_DEPTH_MAX   16
#define NG_MESSAGE_MAX (256 * 1024)

/* Bump allocator for one message; everything goes at once. */
struct ng_arena;
int ng_arena_create(struct ng_arena **arena, size_t limit_bytes);
void ng_arena_reset(struct ng_arena *arena);
void ng_arena_destroy(struct ng_arena *arena);
void *ng_arena_alloc(struct ng_arena *arena, size_t n); /* zeroed; NULL at the limit */
/* True when something did not fit since the last reset: what was put together is incomplete. */
bool ng_arena_is_full(const struct ng_arena *arena);

/* Parses n bytes, telling the encoding from the first byte. Returns bytes used (> 0), -EAGAIN when
 * text ends inside a well-formed message (for streams), -EBADMSG with *reason set to a static
 * sentence, -ENOMEM. */
int64_t ng_parse(struct ng_arena *arena, const char *text, size_t n, struct ng_value **root,
		 enum ng_encoding *encoding, const char **reason);

/* Writes the tree; returns its length, or -ENOSPC. Dictionary order is the order of insertion. */
int64_t ng_build(const struct ng_value *root, enum ng_encoding encoding, char *out, size_t n);

/* ---- reading. Keys match with spaces, hyphens and underscores alike ("from-tag" = "from tag").
 * ---- */
const struct ng_value *ng_get(const struct ng_value *dict, const char *key);
/* The string at key, or NULL; *len is set. An integer is not a string. */
const char *ng_get_text(const struct ng_value *dict, const char *key, size_t *len);
/* The integer at key (also a string of digits), or fallback. */
int64_t ng_get_integer(const struct ng_value *dict, const char *key, int64_t fallback);
bool ng_text_equal(const struct ng_value *value, const char *text);
/* True when the list (or the single string) at key holds text, spaces and hyphens alike. */
bool ng_has_flag(const struct ng_value *dict, const char *key, const char *text);

/* ---- building: new values in the arena; NULL at its limit, which every function here passes on
 * ---- */
struct ng_value *ng_dict(struct ng_arena *arena);
struct ng_value *ng_list(struct ng_arena *arena);
/* Adds to a dictionary under key (which must outlive the message) or, with key NULL, to a list.
 * put_text copies its text into the arena. */
struct ng_value *ng_put_text(struct ng_arena *arena, struct ng_value *to, const char *key,
			     const char *text, size_t len);
struct ng_value *ng_put_string(struct ng_arena *arena, struct ng_value *to, const char *key,
			       const char *text);
struct ng_value *ng_put_integer(struct ng_arena *arena, struct ng_value *to, const char *key,
				int64_t integer);
struct ng_value *ng_put_dict(struct ng_arena *arena, struct ng_value *to, const char *key);
struct ng_value *ng_put_list(struct ng_arena *arena, struct ng_value *to, const char *key);

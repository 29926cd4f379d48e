/* ng messages: both encodings to the tree and back, hostile input, look-ups, the arena's limit. */
#include "dataplane/api/ng.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int arena_setup(void **state)
{
	return ng_arena_create((struct ng_arena **)state, 1 << 20);
}

static int arena_teardown(void **state)
{
	ng_arena_destroy(*state);
	return 0;
}

/* Parses a copy of exactly n bytes, so that the sanitizer sees a read past its end. */
static int64_t parse_copy(struct ng_arena *arena, const char *text, size_t n,
			  enum ng_encoding encoding_again, char *again, size_t again_n,
			  const char **reason)
{
	char *copy = malloc(n ? n : 1);
	enum ng_encoding encoding;
	struct ng_value *root;
	int64_t used;

	assert_non_null(copy);
	memcpy(copy, text, n);
	ng_arena_reset(arena);
	used = ng_parse(arena, copy, n, &root, &encoding, reason);
	if (used > 0 && again)
		assert_true(ng_build(root, encoding_again, again, again_n) > 0);
	free(copy);
	return used;
}

static void both_encodings_carry_the_same_tree(void **state)
{
	static const struct {
		const char *bencode;
		const char *json;
	} pairs[] = {
		{"de", "{}"},
		{"d7:command4:pinge", "{\"command\":\"ping\"}"},
		{"d1:ai0e1:bi-1ee", "{\"a\":0,\"b\":-1}"},
		{"d1:ai9223372036854775807e1:bi-9223372036854775808ee",
		 "{\"a\":9223372036854775807,\"b\":-9223372036854775808}"},
		{"d1:lle1:ml0:lede1:ai1eee", "{\"l\":[],\"m\":[\"\",[],{},\"a\",1]}"},
		{"d5:flagsl13:trust address9:symmetrice3:sdp8:v=0\r\no=\ne",
		 "{\"flags\":[\"trust address\",\"symmetric\"],\"sdp\":\"v=0\\r\\no=\\n\"}"},
		{"d1:q6:\"\\\t\x01\x7f/e", "{\"q\":\"\\\"\\\\\\t\\u0001\\u007f/\"}"},
		{"d1:u9:\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"
		 "e",
		 "{\"u\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}"},
	};
	const char *reason;
	char out[256];

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const char *bencode = pairs[i].bencode, *json = pairs[i].json;
		size_t bencode_n = strlen(bencode), json_n = strlen(json);

		memset(out, 0, sizeof(out));
		assert_int_equal(parse_copy(*state, bencode, bencode_n, NG_JSON, out, sizeof(out),
					    &reason),
				 bencode_n);
		assert_string_equal(out, json);
		memset(out, 0, sizeof(out));
		assert_int_equal(parse_copy(*state, json, json_n, NG_BENCODE, out, sizeof(out),
					    &reason),
				 json_n);
		assert_string_equal(out, bencode);
	}
}

static void json_is_read_liberally_in_types_and_space(void **state)
{
	static const struct {
		const char *json;
		const char *bencode;
	} table[] = {
		{"{ \"a\" : true ,\r\n\t\"b\":false,\"c\":null }", "d1:ai1e1:bi0e1:c0:e"},
		{"{\"a\":[ 1 , 2.75 , -3.5 ]}", "d1:ali1ei2ei-3eee"},
		{"{\"a\":\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\/\\b\\f\"}",
		 "d1:a13:A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/\b\fe"},
	};
	const char *reason;
	char out[256];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memset(out, 0, sizeof(out));
		assert_int_equal(parse_copy(*state, table[i].json, strlen(table[i].json),
					    NG_BENCODE, out, sizeof(out), &reason),
				 strlen(table[i].json));
		assert_string_equal(out, table[i].bencode);
	}
}

static void every_prefix_of_a_message_asks_for_more(void **state)
{
	static const char *const messages[] = {
		"d7:command5:offer3:sdp4:v=0\n5:flagsl5:trusti-12ed1:a0:eee",
		"{\"command\": \"offer\", \"sdp\":\"v=0\\r\\n\\ud83d\\ude00\", \"n\":[-12.5,true,"
		"false,null, {}]}",
	};
	const char *reason;

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		size_t n = strlen(messages[i]);

		for (size_t prefix = 0; prefix < n; prefix++)
			assert_int_equal(parse_copy(*state, messages[i], prefix, 0, NULL, 0,
						    &reason),
					 -EAGAIN);
		assert_int_equal(parse_copy(*state, messages[i], n, 0, NULL, 0, &reason), n);
	}
}

static void broken_messages_give_a_reason(void **state)
{
	static const char *const broken[] = {
		"x",
		" ",
		"le",
		"i1e",
		"[]",
		"\"a\"",
		"4:abcd",
		"di1e1:ae", /* key that is no string */
		"d1:ae",    /* key without value */
		"d1:aiee",
		"d1:ai-ee",
		"d1:ai--1ee",
		"d1:ai1-ee",
		"d1:ai9223372036854775808ee",
		"d1:ai-9223372036854775809ee",
		"d999999999:ae",
		"d00000000000000001:a1:be",
		"d1x:a1:be",
		"d-1:a1:be",
		"d1:ax",
		"{1:2}",
		"{\"a\" 1}",
		"{\"a\":1 \"b\":2}",
		"{\"a\":1,}",
		"{,}",
		"{\"a\":}",
		"{\"a\":[1,]}",
		"{\"a\":[1}",
		"{\"a\":tru}",
		"{\"a\":nil}",
		"{\"a\":-}",
		"{\"a\":1e5}",
		"{\"a\":1.}",
		"{\"a\":.5}",
		"{\"a\":9223372036854775808}",
		"{\"a\":\"\n\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12g4\"}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\ud800\\u0041\"}",
		"{\"a\":\"\\udc00\"}",
		"{\"a\":\"\\u12\"}",
		"{\"a\":'b'}",
		"{a:1}",
	};
	const char *reason;

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		int64_t used;

		used = parse_copy(*state, broken[i], strlen(broken[i]), 0, NULL, 0, &reason);
		if (used != -EBADMSG)
			fail_msg("%s: %d", broken[i], (int)used);
		assert_non_null(reason);
	}
}

/* `depth` dictionaries, one within the other. */
static size_t nested(char *out, unsigned int depth, enum ng_encoding encoding)
{
	char *at = out;

	for (unsigned int i = 0; i < depth; i++)
		at += sprintf(at, encoding == NG_JSON ? "{%s" : "d%s",
			      i + 1 == depth        ? ""
			      : encoding == NG_JSON ? "\"k\":"
						    : "1:k");
	for (unsigned int i = 0; i < depth; i++)
		*at++ = encoding == NG_JSON ? '}' : 'e';
	*at = '\0';
	return (size_t)(at - out);
}

static void nesting_is_limited(void **state)
{
	const char *reason;
	char text[512];
	size_t n;

	for (enum ng_encoding encoding = NG_BENCODE; encoding <= NG_JSON; encoding++) {
		n = nested(text, NG_DEPTH_MAX, encoding);
		assert_int_equal(parse_copy(*state, text, n, 0, NULL, 0, &reason), n);
		n = nested(text, NG_DEPTH_MAX + 1, encoding);
		assert_int_equal(parse_copy(*state, text, n, 0, NULL, 0, &reason), -EBADMSG);
		assert_string_equal(reason, "Message is nested too deeply");
	}
}

static void message_length_is_limited(void **state)
{
	static char text[NG_MESSAGE_MAX + 16];
	const char *reason;
	int head;

	memset(text, 'x', sizeof(text));
	/* d1:aNNNNNN:...e of just the longest length */
	head = sprintf(text, "d1:a%u:", NG_MESSAGE_MAX - 12);
	assert_int_equal(head, 11);
	text[head] = 'x';
	text[NG_MESSAGE_MAX - 1] = 'e';
	assert_int_equal(parse_copy(*state, text, NG_MESSAGE_MAX, 0, NULL, 0, &reason),
			 NG_MESSAGE_MAX);
	sprintf(text, "d1:a%u", NG_MESSAGE_MAX - 11);
	text[head - 1] = ':';
	assert_int_equal(parse_copy(*state, text, NG_MESSAGE_MAX - 1, 0, NULL, 0, &reason),
			 -EAGAIN);
	assert_int_equal(parse_copy(*state, text, NG_MESSAGE_MAX, 0, NULL, 0, &reason), -EBADMSG);
	assert_int_equal(parse_copy(*state, text, NG_MESSAGE_MAX + 1, 0, NULL, 0, &reason),
			 -EBADMSG);
}

static void values_beyond_the_arena_are_refused(void **state)
{
	struct ng_arena *arena;
	const char *reason;
	char text[4096];
	size_t n = 5;

	(void)state;
	assert_int_equal(ng_arena_create(&arena, 2048), 0);
	memcpy(text, "d1:al", n);
	for (int i = 0; i < 1000; i++, n += 2)
		memcpy(text + n, "le", 2);
	memcpy(text + n, "ee", 2);
	n += 2;
	assert_int_equal(parse_copy(arena, text, n, 0, NULL, 0, &reason), -ENOMEM);
	assert_string_equal(reason, "Message holds too many values");
	assert_true(ng_arena_is_full(arena));
	ng_arena_reset(arena);
	assert_false(ng_arena_is_full(arena));
	ng_arena_destroy(arena);
}

static void arena_gives_all_of_its_limit_and_no_more(void **state)
{
	struct ng_arena *arena;

	(void)state;
	assert_int_equal(ng_arena_create(&arena, 64 * 1024), 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 64 * 1024 / 64; i++) {
			unsigned char *piece = ng_arena_alloc(arena, 50);

			assert_non_null(piece);
			for (int at = 0; at < 50; at++)
				assert_int_equal(piece[at], 0);
			memset(piece, 0xff, 50);
		}
		assert_null(ng_arena_alloc(arena, 1));
		assert_null(ng_arena_alloc(arena, SIZE_MAX));
		ng_arena_reset(arena);
	}
	assert_non_null(ng_arena_alloc(arena, 40 * 1024));
	ng_arena_destroy(arena);
	ng_arena_destroy(NULL);
}

static void look_ups_forgive_word_breaks_and_types(void **state)
{
	static const char text[] =
		"d8:from-tag3:abc7:call id2:id10:media_port4:40005:delayi20e4:junk3:12x"
		"7:replacel6:origin18:session-connectione5:flags13:trust-address3:minl0:ee";
	enum ng_encoding encoding;
	struct ng_value *root;
	const char *reason, *found;
	size_t len;

	assert_int_equal(ng_parse(*state, text, strlen(text), &root, &encoding, &reason),
			 strlen(text));
	assert_int_equal(encoding, NG_BENCODE);
	found = ng_get_text(root, "from tag", &len);
	assert_int_equal(len, 3);
	assert_memory_equal(found, "abc", 3);
	assert_non_null(ng_get_text(root, "from-tag", &len));
	assert_non_null(ng_get_text(root, "call-id", &len));
	assert_null(ng_get_text(root, "call-i", &len));
	assert_null(ng_get_text(root, "call-id2", &len));
	assert_null(ng_get_text(root, "delay", &len));
	assert_int_equal(len, 0);
	assert_int_equal(ng_get_integer(root, "media port", 0), 4000);
	assert_int_equal(ng_get_integer(root, "delay", 0), 20);
	assert_int_equal(ng_get_integer(root, "junk", -7), -7);
	assert_int_equal(ng_get_integer(root, "absent", -7), -7);
	assert_int_equal(ng_get_integer(root, "replace", -7), -7);
	assert_true(ng_has_flag(root, "replace", "origin"));
	assert_true(ng_has_flag(root, "replace", "session connection"));
	assert_false(ng_has_flag(root, "replace", "session"));
	assert_true(ng_has_flag(root, "flags", "trust address"));
	assert_false(ng_has_flag(root, "absent", "origin"));
	assert_false(ng_has_flag(root, "delay", "20"));
	assert_true(ng_text_equal(ng_get(root, "call-id"), "id"));
	assert_false(ng_text_equal(ng_get(root, "call-id"), "idx"));
	assert_false(ng_text_equal(NULL, ""));
	assert_null(ng_get(NULL, "a"));
	assert_null(ng_get(ng_get(root, "replace"), "a"));
}

static void replies_are_built_in_order_and_pass_failure_on(void **state)
{
	struct ng_value *reply = ng_dict(*state), *list, *dict;
	struct ng_arena *tiny;
	char out[128];
	int64_t n;

	ng_put_string(*state, reply, "result", "ok");
	list = ng_put_list(*state, reply, "tags");
	ng_put_text(*state, list, NULL, "abc", 2);
	ng_put_integer(*state, list, NULL, 7);
	dict = ng_put_dict(*state, list, NULL);
	ng_put_integer(*state, dict, "x", -1);
	/* a key for a list's member, none for a dictionary's, a member of a string */
	assert_null(ng_put_integer(*state, list, "key", 1));
	assert_null(ng_put_integer(*state, reply, NULL, 1));
	assert_null(ng_put_integer(*state, ng_get(reply, "result") ? list->first : NULL, "k", 1));
	n = ng_build(reply, NG_BENCODE, out, sizeof(out));
	assert_int_equal(n, 38);
	assert_memory_equal(out, "d6:result2:ok4:tagsl2:abi7ed1:xi-1eeee", 38);
	assert_int_equal(ng_build(reply, NG_BENCODE, out, 37), -ENOSPC);
	assert_int_equal(ng_build(reply, NG_BENCODE, NULL, 0), -ENOSPC);

	assert_int_equal(ng_arena_create(&tiny, 80), 0);
	dict = ng_dict(tiny);
	assert_non_null(dict);
	list = ng_put_list(tiny, dict, "l");
	assert_null(list);
	assert_null(ng_put_dict(tiny, list, NULL));
	assert_null(ng_put_string(tiny, list, NULL, "x"));
	assert_true(ng_arena_is_full(tiny));
	assert_int_equal(ng_build(dict, NG_JSON, out, sizeof(out)), 2);
	ng_arena_destroy(tiny);
}

static void json_output_is_valid_whatever_the_bytes(void **state)
{
	struct ng_value *reply = ng_dict(*state);
	static const char hostile[] = "\xff\xc3\xc3\xa9\xed\xa0\x80\xf5\x00\x1f";
	static const char expected[] =
		"{\"k\":\"\\u00ff\\u00c3\xc3\xa9\\u00ed\\u00a0\\u0080\\u00f5\\u0000\\u001f\"}";
	char out[128];
	int64_t n;

	ng_put_text(*state, reply, "k", hostile, sizeof(hostile) - 1);
	n = ng_build(reply, NG_JSON, out, sizeof(out));
	assert_int_equal(n, sizeof(expected) - 1);
	assert_memory_equal(out, expected, sizeof(expected) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_encodings_carry_the_same_tree, arena_setup,
						arena_teardown),
		cmocka_unit_test_setup_teardown(json_is_read_liberally_in_types_and_space,
						arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(every_prefix_of_a_message_asks_for_more,
						arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(broken_messages_give_a_reason, arena_setup,
						arena_teardown),
		cmocka_unit_test_setup_teardown(nesting_is_limited, arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(message_length_is_limited, arena_setup,
						arena_teardown),
		cmocka_unit_test(values_beyond_the_arena_are_refused),
		cmocka_unit_test(arena_gives_all_of_its_limit_and_no_more),
		cmocka_unit_test_setup_teardown(look_ups_forgive_word_breaks_and_types, arena_setup,
						arena_teardown),
		cmocka_unit_test_setup_teardown(replies_are_built_in_order_and_pass_failure_on,
						arena_setup, arena_teardown),
		cmocka_unit_test_setup_teardown(json_output_is_valid_whatever_the_bytes,
						arena_setup, arena_teardown),
	};

	return cmocka_run_group_tests_name("ng", tests, NULL, NULL);
}

/* Journal records: what is written is read, and nothing else is. */
#include "control/tiers/journal_record.h"

#include "control/tiers/utf8.h"
#include "tests/unit/tiers/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const id = "01890a5d-ac96-774b-bcce-b302099a8057";

static struct journal_record record_of(enum journal_type type)
{
	struct journal_record record = {.type = type, .at_ns = 1234567890123456789};

	switch (type) {
	case JOURNAL_CALL:
		record.call.state = JOURNAL_CALL_ANSWERED;
		record.call.cdr = sample_cdr(id, "1001");
		break;
	case JOURNAL_CDR:
		record.cdr = sample_cdr(id, "1001");
		break;
	case JOURNAL_BINDING_ADD:
	case JOURNAL_BINDING_DEL:
		record.binding = sample_binding("1001", "sip:1001@192.0.2.7:5060");
		break;
	default:
		record.receipt.recording_id = id;
		record.receipt.json = "{\"v\":1}";
	}
	return record;
}

static void cdr_equal(const struct cdr *a, const struct cdr *b)
{
	assert_string_equal(a->id, b->id);
	assert_string_equal(a->caller, b->caller);
	assert_string_equal(a->caller_name, b->caller_name);
	assert_string_equal(a->callee, b->callee);
	assert_string_equal(a->destination, b->destination);
	assert_string_equal(a->source, b->source);
	assert_string_equal(a->caller_call_id, b->caller_call_id);
	assert_string_equal(a->callee_call_id, b->callee_call_id);
	assert_string_equal(a->recording_id, b->recording_id);
	assert_string_equal(a->cause, b->cause);
	assert_true(a->started_ns == b->started_ns && a->ringing_ns == b->ringing_ns &&
		    a->answered_ns == b->answered_ns && a->ended_ns == b->ended_ns);
	assert_int_equal(a->sip_status, b->sip_status);
	assert_int_equal(a->ended_by, b->ended_by);
	assert_memory_equal(&a->from_caller, &b->from_caller, sizeof(a->from_caller));
	assert_memory_equal(&a->from_callee, &b->from_callee, sizeof(a->from_callee));
}

static void every_type_is_read_as_it_was_written(void **state)
{
	uint8_t body[JOURNAL_RECORD_MAX];
	struct journal_record in, out;
	int n;

	(void)state;
	in = record_of(JOURNAL_CALL);
	n = journal_record_encode(&in, body, sizeof(body));
	assert_int_equal(journal_record_decode(&out, JOURNAL_CALL, 1, body, (size_t)n), 0);
	assert_true(out.at_ns == in.at_ns);
	assert_int_equal(out.call.state, JOURNAL_CALL_ANSWERED);
	cdr_equal(&in.call.cdr, &out.call.cdr);

	in = record_of(JOURNAL_CDR);
	n = journal_record_encode(&in, body, sizeof(body));
	assert_int_equal(journal_record_decode(&out, JOURNAL_CDR, 1, body, (size_t)n), 0);
	assert_int_equal(out.version, 1);
	cdr_equal(&in.cdr, &out.cdr);
	assert_in_range(n, 1, 320); /* compact */

	in = record_of(JOURNAL_BINDING_ADD);
	n = journal_record_encode(&in, body, sizeof(body));
	assert_int_equal(journal_record_decode(&out, JOURNAL_BINDING_ADD, 1, body, (size_t)n), 0);
	assert_string_equal(out.binding.aor, in.binding.aor);
	assert_string_equal(out.binding.contact, in.binding.contact);
	assert_string_equal(out.binding.call_id, in.binding.call_id);
	assert_string_equal(out.binding.user_agent, in.binding.user_agent);
	assert_string_equal(out.binding.transport, in.binding.transport);
	assert_string_equal(out.binding.instance, in.binding.instance);
	assert_string_equal(out.binding.path, "");
	assert_true(endpoint_equal(&out.binding.received, &in.binding.received));
	assert_true(endpoint_equal(&out.binding.local, &in.binding.local));
	assert_int_equal(out.binding.cseq, 4711);
	assert_int_equal(out.binding.reg_id, 1);
	assert_int_equal(out.binding.q_milli, 1000);
	assert_true(out.binding.registered_ns == in.binding.registered_ns);
	assert_true(out.binding.expires_ns == in.binding.expires_ns);

	in = record_of(JOURNAL_RECEIPT);
	n = journal_record_encode(&in, body, sizeof(body));
	assert_int_equal(journal_record_decode(&out, JOURNAL_RECEIPT, 1, body, (size_t)n), 0);
	assert_string_equal(out.receipt.recording_id, id);
	assert_string_equal(out.receipt.json, "{\"v\":1}");
}

static void no_prefix_is_read_beyond_its_end(void **state)
{
	(void)state;
	for (int type = JOURNAL_CALL; type < JOURNAL_TYPES; type++) {
		struct journal_record in = record_of((enum journal_type)type), out;
		uint8_t body[1024];
		int n = journal_record_encode(&in, body, sizeof(body));

		assert_true(n > 0);
		for (int prefix = 0; prefix < n; prefix++) {
			uint8_t *copy = malloc((size_t)prefix + 1);
			int rc;

			memcpy(copy, body, (size_t)prefix);
			/* a cut between two fields is a shorter record; anything else is none */
			rc = journal_record_decode(&out, (uint16_t)type, 1, copy, (size_t)prefix);
			assert_true(rc == 0 || rc == -EBADMSG);
			free(copy);
		}
		for (size_t size = 0; size < (size_t)n; size++)
			assert_int_equal(journal_record_encode(&in, body, size), -ENOSPC);
	}
}

static void damaged_fields_are_refused(void **state)
{
	static const struct {
		const char *what;
		int rc;
		size_t n;
		uint8_t body[16];
	} cases[] = {
		{"no key", -EBADMSG, 0, {0}},
		{"length beyond the end", -EBADMSG, 4, {2, 9, 'x', 0}},
		{"text without NUL", -EBADMSG, 4, {2, 2, 'x', 'y'}},
		{"text with NUL inside", -EBADMSG, 6, {2, 4, 'x', 0, 'y', 0}},
		{"empty text", -EBADMSG, 3, {2, 1, 0}},
		{"length of four bytes", -EBADMSG, 7, {2, 0x80, 0x80, 0x80, 1, 'x', 0}},
		{"number of nine bytes",
		 -EBADMSG,
		 15,
		 {2, 2, 'x', 0, 12, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{"number with a leading zero", -EBADMSG, 8, {2, 2, 'x', 0, 12, 2, 1, 0}},
		{"number without bytes", -EBADMSG, 6, {2, 2, 'x', 0, 12, 0}},
		{"field twice", -EBADMSG, 10, {2, 2, 'x', 0, 12, 1, 1, 12, 1, 1}},
		{"enum from the future", -EPROTO, 7, {2, 2, 'x', 0, 17, 1, 99}},
		{"unknown tag is skipped", 0, 8, {2, 2, 'x', 0, 200, 2, 1, 2}},
		{"tag 0 is unknown", 0, 7, {2, 2, 'x', 0, 0, 1, 7}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct journal_record record;
		int rc = journal_record_decode(&record, JOURNAL_CDR, 1, cases[i].body, cases[i].n);

		if (rc != cases[i].rc)
			print_error("%s: %d\n", cases[i].what, rc);
		assert_int_equal(rc, cases[i].rc);
	}
}

static void other_versions_and_types_are_told_apart(void **state)
{
	static const uint8_t body[] = {2, 2, 'x', 0};
	struct journal_record record;

	(void)state;
	assert_int_equal(journal_record_decode(&record, 0, 1, body, 4), -EBADMSG);
	assert_int_equal(journal_record_decode(&record, JOURNAL_CDR, 0, body, 4), -EBADMSG);
	assert_int_equal(journal_record_decode(&record, JOURNAL_CDR, 2, body, 4), -EPROTO);
	assert_int_equal(journal_record_decode(&record, JOURNAL_TYPES, 1, body, 4), -EPROTO);
}

static void records_without_their_keys_are_not_written(void **state)
{
	struct journal_record record = record_of(JOURNAL_CDR);
	uint8_t body[1024];

	(void)state;
	record.cdr.id = "";
	assert_int_equal(journal_record_encode(&record, body, sizeof(body)), -EINVAL);
	record.cdr.id = NULL;
	assert_int_equal(journal_record_encode(&record, body, sizeof(body)), -EINVAL);
	record = record_of(JOURNAL_BINDING_ADD);
	record.binding.contact = "";
	assert_int_equal(journal_record_encode(&record, body, sizeof(body)), -EINVAL);
	record.type = JOURNAL_TYPES;
	assert_int_equal(journal_record_encode(&record, body, sizeof(body)), -EINVAL);
}

static void long_texts_are_cut_and_long_receipts_refused(void **state)
{
	struct journal_record record = record_of(JOURNAL_CDR), out;
	static uint8_t body[JOURNAL_RECORD_MAX];
	static char text[JOURNAL_RECEIPT_MAX + 2];
	int n;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	memcpy(text + JOURNAL_TEXT_MAX - 1, "é", 2); /* across the limit */
	record.cdr.caller = text;
	n = journal_record_encode(&record, body, sizeof(body));
	assert_true(n > 0);
	assert_int_equal(journal_record_decode(&out, JOURNAL_CDR, 1, body, (size_t)n), 0);
	assert_int_equal(strlen(out.cdr.caller), JOURNAL_TEXT_MAX - 1);

	record = record_of(JOURNAL_RECEIPT);
	record.receipt.json = text;
	assert_int_equal(journal_record_encode(&record, body, sizeof(body)), -EMSGSIZE);
	record.receipt.json = text + 1; /* just the limit */
	n = journal_record_encode(&record, body, sizeof(body));
	assert_true(n > JOURNAL_RECEIPT_MAX);
	assert_int_equal(journal_record_decode(&out, JOURNAL_RECEIPT, 1, body, (size_t)n), 0);
	assert_int_equal(strlen(out.receipt.json), JOURNAL_RECEIPT_MAX);
}

static void texts_become_utf8(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"plain", "plain"},
		{"Zo\xc3\xab", "Zo\xc3\xab"},
		{"Zo\xeb", "Zo?"},            /* Latin-1 */
		{"\xc0\xaf", "??"},           /* overlong */
		{"\xed\xa0\x80", "???"},      /* surrogate */
		{"\xf4\x90\x80\x80", "????"}, /* beyond U+10FFFF */
		{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
		{"\xe2\x82", "??"}, /* cut */
		{"a\tb\x1b[2J\x7f", "a?b?[2J?"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[32];

		strcpy(text, cases[i].in);
		assert_int_equal(utf8_is_clean(text, strlen(text)),
				 strcmp(cases[i].in, cases[i].out) == 0);
		utf8_repair(text, strlen(text));
		assert_string_equal(text, cases[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_read_as_it_was_written),
		cmocka_unit_test(no_prefix_is_read_beyond_its_end),
		cmocka_unit_test(damaged_fields_are_refused),
		cmocka_unit_test(other_versions_and_types_are_told_apart),
		cmocka_unit_test(records_without_their_keys_are_not_written),
		cmocka_unit_test(long_texts_are_cut_and_long_receipts_refused),
		cmocka_unit_test(texts_become_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Reads receipts. The table says which member of the JSON is which of the row, and what must be
 * there. */
#include "control/tiers/receipt.h"

#include <jansson.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define RECEIPT_VERSION   1
#define RECEIPT_TEXT_MAX  65536 /* bytes of one text */
#define RECEIPT_DEPTH_MAX 8     /* of arrays and objects */

struct receipt {
	struct recording recording;
	json_t *root; /* owns the texts */
	char text[];  /* as received */
};

enum member_kind { MEMBER_TEXT, MEMBER_NUMBER };

struct member {
	const char *object; /* NULL = the root */
	const char *key;
	enum member_kind kind;
	bool required;
	size_t offset;
};

#define ROW(member) offsetof(struct recording, member)
static const struct member members[] = {
	{NULL, "recording_id", MEMBER_TEXT, true, ROW(id)},
	{NULL, "call_id", MEMBER_TEXT, false, ROW(call_id)},
	{NULL, "metadata", MEMBER_TEXT, false, ROW(metadata)},
	{NULL, "object", MEMBER_TEXT, true, ROW(object)},
	{NULL, "sha256", MEMBER_TEXT, true, ROW(sha256)},
	{NULL, "format", MEMBER_TEXT, false, ROW(format)},
	{NULL, "reason", MEMBER_TEXT, false, ROW(reason)},
	{NULL, "bytes", MEMBER_NUMBER, true, ROW(bytes)},
	{NULL, "channels", MEMBER_NUMBER, true, ROW(channels)},
	{NULL, "duration_ms", MEMBER_NUMBER, true, ROW(duration_ms)},
	{NULL, "started_ns", MEMBER_NUMBER, true, ROW(started_ns)},
	{NULL, "ended_ns", MEMBER_NUMBER, true, ROW(ended_ns)},
	{"packets", "received", MEMBER_NUMBER, true, ROW(packets_received)},
	{"packets", "written", MEMBER_NUMBER, true, ROW(packets_written)},
	{"packets", "lost", MEMBER_NUMBER, true, ROW(packets_lost)},
	{"packets", "overrun", MEMBER_NUMBER, true, ROW(packets_overrun)},
	{"packets", "duplicate", MEMBER_NUMBER, false, ROW(packets_duplicate)},
	{"packets", "undecoded", MEMBER_NUMBER, false, ROW(packets_undecoded)},
};

/* Letters, digits, '-', '_' and '.': it goes into file names, URLs and log lines. */
static bool is_id(const char *text)
{
	size_t n =
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");

	return n > 0 && n <= RECEIPT_ID_MAX && text[n] == '\0';
}

static bool is_sha256(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* The parser's own stack is the limit otherwise; brackets in texts count too, which is harmless. */
static bool is_shallow(const char *json, size_t n)
{
	int depth = 0;

	for (size_t i = 0; i < n; i++) {
		if (json[i] == '{' || json[i] == '[')
			depth++;
		else if (json[i] == '}' || json[i] == ']')
			depth--;
		if (depth > RECEIPT_DEPTH_MAX)
			return false;
	}
	return true;
}

static int read_member(struct recording *recording, const struct member *member,
		       const json_t *value, const char **reason)
{
	char *place = (char *)recording + member->offset;
	const char *text = "";
	uint64_t number;

	if (!value || json_is_null(value)) {
		*reason = "a required member is missing";
		if (member->required)
			return -EBADMSG;
		if (member->kind == MEMBER_TEXT)
			memcpy(place, &text, sizeof(text));
		return 0;
	}
	*reason = "a member has the wrong type or is too large";
	if (member->kind == MEMBER_TEXT) {
		text = json_string_value(value);
		if (!text || json_string_length(value) > RECEIPT_TEXT_MAX)
			return -EBADMSG;
		memcpy(place, &text, sizeof(text));
		return 0;
	}
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return -EBADMSG;
	number = (uint64_t)json_integer_value(value);
	memcpy(place, &number, sizeof(number));
	return 0;
}

static int read_members(struct receipt *receipt, const char **reason)
{
	const json_t *version = json_object_get(receipt->root, "v");
	struct recording *recording = &receipt->recording;

	if (!json_is_integer(version) || json_integer_value(version) < 1) {
		*reason = "no version";
		return -EBADMSG;
	}
	if (json_integer_value(version) > RECEIPT_VERSION) {
		*reason = "version is newer than this program";
		return -EPROTO;
	}
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		const json_t *object = receipt->root;
		int rc;

		if (members[i].object)
			object = json_object_get(object, members[i].object);
		rc = read_member(recording, &members[i], json_object_get(object, members[i].key),
				 reason);
		if (rc < 0)
			return rc;
	}
	*reason = "recording_id is no id";
	if (!is_id(recording->id))
		return -EBADMSG;
	*reason = "sha256 is no hash";
	if (!is_sha256(recording->sha256))
		return -EBADMSG;
	recording->receipt = receipt->text;
	return 0;
}

int receipt_parse(struct receipt **out, const char *json, size_t n, const char **reason)
{
	struct receipt *receipt;
	json_error_t error;
	int rc;

	if (!is_shallow(json, n)) {
		*reason = "nested too deeply";
		return -EBADMSG;
	}
	receipt = calloc(1, sizeof(*receipt) + n + 1);
	if (!receipt)
		return -ENOMEM;
	memcpy(receipt->text, json, n);
	receipt->root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(receipt->root)) {
		rc = read_members(receipt, reason);
	} else {
		*reason = "no JSON object";
		rc = -EBADMSG;
	}
	if (rc < 0) {
		receipt_free(receipt);
		return rc;
	}
	*out = receipt;
	return 0;
}

const struct recording *receipt_recording(const struct receipt *receipt)
{
	return &receipt->recording;
}

void receipt_free(struct receipt *receipt)
{
	if (!receipt)
		return;
	json_decref(receipt->root);
	free(receipt);
}

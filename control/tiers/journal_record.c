/*
 * Encoding and decoding of journal records. One table per type says which member is which field;
 * writer, reader and limits all follow it.
 */
#include "control/tiers/journal_record.h"

#include "control/tiers/utf8.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define TAG_AT         1         /* at_ns, in every record */
#define TAGS_MAX       64        /* known tags are below */
#define ENDPOINT_BYTES 18        /* address and port */
#define VALUE_MAX      (1 << 21) /* what three varint bytes can say */

enum field_kind {
	FIELD_TEXT,     /* const char * */
	FIELD_KEY,      /* const char *, must not be empty */
	FIELD_JSON,     /* const char *, long */
	FIELD_U64,      /* uint64_t */
	FIELD_U32,      /* uint32_t or an enum */
	FIELD_ENDPOINT, /* struct endpoint */
};

struct field {
	uint8_t tag;
	uint8_t kind;
	uint16_t offset; /* from the table's base */
	uint32_t values; /* FIELD_U32: number of values of an enum, 0 = any */
};

/* Of struct cdr, in JOURNAL_CALL and JOURNAL_CDR. */
#define CDR(member) offsetof(struct cdr, member)
static const struct field cdr_fields[] = {
	{2, FIELD_KEY, CDR(id), 0},
	{3, FIELD_TEXT, CDR(caller), 0},
	{4, FIELD_TEXT, CDR(caller_name), 0},
	{5, FIELD_TEXT, CDR(callee), 0},
	{6, FIELD_TEXT, CDR(destination), 0},
	{7, FIELD_TEXT, CDR(source), 0},
	{8, FIELD_TEXT, CDR(caller_call_id), 0},
	{9, FIELD_TEXT, CDR(callee_call_id), 0},
	{10, FIELD_TEXT, CDR(recording_id), 0},
	{11, FIELD_TEXT, CDR(cause), 0},
	{12, FIELD_U64, CDR(started_ns), 0},
	{13, FIELD_U64, CDR(ringing_ns), 0},
	{14, FIELD_U64, CDR(answered_ns), 0},
	{15, FIELD_U64, CDR(ended_ns), 0},
	{16, FIELD_U32, CDR(sip_status), 0},
	{17, FIELD_U32, CDR(ended_by), ENDED_BYS},
	{18, FIELD_U64, CDR(from_caller.packets), 0},
	{19, FIELD_U64, CDR(from_caller.bytes), 0},
	{20, FIELD_U64, CDR(from_caller.lost), 0},
	{21, FIELD_U64, CDR(from_callee.packets), 0},
	{22, FIELD_U64, CDR(from_callee.bytes), 0},
	{23, FIELD_U64, CDR(from_callee.lost), 0},
	{0, 0, 0, 0},
};

/* Of struct journal_record. */
#define RECORD(member) offsetof(struct journal_record, member)
static const struct field call_fields[] = {
	{TAG_AT, FIELD_U64, RECORD(at_ns), 0},
	{32, FIELD_U32, RECORD(call.state), JOURNAL_CALL_STATES},
	{0, 0, 0, 0},
};

static const struct field time_fields[] = {
	{TAG_AT, FIELD_U64, RECORD(at_ns), 0},
	{0, 0, 0, 0},
};

static const struct field binding_fields[] = {
	{TAG_AT, FIELD_U64, RECORD(at_ns), 0},
	{2, FIELD_KEY, RECORD(binding.aor), 0},
	{3, FIELD_KEY, RECORD(binding.contact), 0},
	{4, FIELD_TEXT, RECORD(binding.call_id), 0},
	{5, FIELD_TEXT, RECORD(binding.user_agent), 0},
	{6, FIELD_TEXT, RECORD(binding.transport), 0},
	{7, FIELD_TEXT, RECORD(binding.instance), 0},
	{8, FIELD_TEXT, RECORD(binding.path), 0},
	{9, FIELD_ENDPOINT, RECORD(binding.received), 0},
	{10, FIELD_ENDPOINT, RECORD(binding.local), 0},
	{11, FIELD_U32, RECORD(binding.cseq), 0},
	{12, FIELD_U32, RECORD(binding.reg_id), 0},
	{13, FIELD_U32, RECORD(binding.q_milli), 0},
	{14, FIELD_U64, RECORD(binding.registered_ns), 0},
	{15, FIELD_U64, RECORD(binding.expires_ns), 0},
	{0, 0, 0, 0},
};

static const struct field receipt_fields[] = {
	{TAG_AT, FIELD_U64, RECORD(at_ns), 0},
	{2, FIELD_KEY, RECORD(receipt.recording_id), 0},
	{3, FIELD_JSON, RECORD(receipt.json), 0},
	{0, 0, 0, 0},
};

/* What each type's record holds: one or two tables, and where in struct journal_record they count
 * from. */
#define PARTS 2
struct layout {
	struct {
		const struct field *fields;
		size_t base;
	} parts[PARTS];
};

static const struct layout layouts[JOURNAL_TYPES] = {
	[JOURNAL_CALL] = {{{call_fields, 0}, {cdr_fields, RECORD(call.cdr)}}},
	[JOURNAL_CDR] = {{{time_fields, 0}, {cdr_fields, RECORD(cdr)}}},
	[JOURNAL_BINDING_ADD] = {{{binding_fields, 0}}},
	[JOURNAL_BINDING_DEL] = {{{binding_fields, 0}}},
	[JOURNAL_RECEIPT] = {{{receipt_fields, 0}}},
};

/* For each field of layout: `field`, and its place in struct journal_record `offset`. */
#define each_field(layout, part, field)                                                            \
	for (unsigned int part = 0; part < PARTS && (layout)->parts[part].fields; part++)          \
		for (const struct field *field = (layout)->parts[part].fields; field->tag != 0;    \
		     field++)

const char *journal_call_state_text(enum journal_call_state state)
{
	static const char *const texts[JOURNAL_CALL_STATES] = {"started", "ringing", "answered"};

	return state < JOURNAL_CALL_STATES ? texts[state] : "";
}

const char *ended_by_text(enum ended_by ended_by)
{
	static const char *const texts[ENDED_BYS] = {"", "caller", "callee", "system", "admin"};

	return ended_by < ENDED_BYS ? texts[ended_by] : "";
}

/* ---- writing ---- */

struct writer {
	uint8_t *at;
	uint8_t *end;
};

static int write_head(struct writer *w, uint8_t tag, size_t len)
{
	uint8_t head[4] = {tag};
	size_t n = 1;

	assert(len < VALUE_MAX);
	do {
		head[n++] = (uint8_t)((len & 0x7f) | (len > 0x7f ? 0x80 : 0));
		len >>= 7;
	} while (len > 0);
	if ((size_t)(w->end - w->at) < n)
		return -ENOSPC;
	memcpy(w->at, head, n);
	w->at += n;
	return 0;
}

static int write_number(struct writer *w, uint8_t tag, uint64_t value)
{
	uint8_t bytes[8];
	size_t n = 0;
	int rc;

	for (; value > 0; value >>= 8)
		bytes[n++] = (uint8_t)value;
	if (n == 0)
		return 0;
	rc = write_head(w, tag, n);
	if (rc < 0)
		return rc;
	if ((size_t)(w->end - w->at) < n)
		return -ENOSPC;
	memcpy(w->at, bytes, n);
	w->at += n;
	return 0;
}

/* Whatever a stranger put into a header leaves here as valid UTF-8: the databases insist. */
static int write_text(struct writer *w, uint8_t tag, const char *text, size_t most, bool repair)
{
	size_t len = strnlen(text, most + 1);
	int rc;

	if (len > most)
		len = utf8_cut(text, most);
	rc = write_head(w, tag, len + 1);
	if (rc < 0)
		return rc;
	if ((size_t)(w->end - w->at) < len + 1)
		return -ENOSPC;
	memcpy(w->at, text, len);
	w->at[len] = '\0';
	if (repair)
		utf8_repair((char *)w->at, len);
	w->at += len + 1;
	return 0;
}

static int write_endpoint(struct writer *w, uint8_t tag, const struct endpoint *endpoint)
{
	int rc;

	if (endpoint->port == 0 && address_is_any(&endpoint->address))
		return 0;
	rc = write_head(w, tag, ENDPOINT_BYTES);
	if (rc < 0)
		return rc;
	if (w->end - w->at < ENDPOINT_BYTES)
		return -ENOSPC;
	memcpy(w->at, endpoint->address.ip, 16);
	w->at[16] = (uint8_t)(endpoint->port >> 8);
	w->at[17] = (uint8_t)endpoint->port;
	w->at += ENDPOINT_BYTES;
	return 0;
}

static int write_field(struct writer *w, const struct field *field, const void *member)
{
	const char *text;
	uint64_t u64;
	uint32_t u32;

	switch ((enum field_kind)field->kind) {
	case FIELD_KEY:
	case FIELD_TEXT:
	case FIELD_JSON:
		memcpy(&text, member, sizeof(text));
		if (!text || text[0] == '\0')
			return field->kind == FIELD_TEXT ? 0 : -EINVAL;
		if (field->kind == FIELD_JSON &&
		    strnlen(text, JOURNAL_RECEIPT_MAX + 1) > JOURNAL_RECEIPT_MAX)
			return -EMSGSIZE;
		if (field->kind == FIELD_JSON)
			return write_text(w, field->tag, text, JOURNAL_RECEIPT_MAX, false);
		return write_text(w, field->tag, text, JOURNAL_TEXT_MAX, true);
	case FIELD_U64:
		memcpy(&u64, member, sizeof(u64));
		return write_number(w, field->tag, u64);
	case FIELD_U32:
		memcpy(&u32, member, sizeof(u32));
		return write_number(w, field->tag, u32);
	case FIELD_ENDPOINT:
		return write_endpoint(w, field->tag, member);
	}
	return -EINVAL;
}

int journal_record_encode(const struct journal_record *record, void *out, size_t n)
{
	struct writer w = {out, (uint8_t *)out + n};
	const struct layout *layout;

	if (record->type < JOURNAL_CALL || record->type >= JOURNAL_TYPES)
		return -EINVAL;
	layout = &layouts[record->type];
	each_field(layout, part, field)
	{
		const char *base = (const char *)record + layout->parts[part].base;
		int rc = write_field(&w, field, base + field->offset);

		if (rc < 0)
			return rc;
	}
	return (int)(w.at - (uint8_t *)out);
}

/* ---- reading ---- */

struct reader {
	const uint8_t *at;
	const uint8_t *end;
};

static int read_head(struct reader *r, uint8_t *tag, size_t *len)
{
	size_t value = 0;

	if (r->end - r->at < 2)
		return -EBADMSG;
	*tag = *r->at++;
	for (unsigned int shift = 0; shift < 21; shift += 7) {
		if (r->at == r->end)
			return -EBADMSG;
		value |= (size_t)(*r->at & 0x7f) << shift;
		if ((*r->at++ & 0x80) == 0) {
			*len = value;
			return value <= (size_t)(r->end - r->at) ? 0 : -EBADMSG;
		}
	}
	return -EBADMSG;
}

static int read_number(const uint8_t *value, size_t len, size_t most, uint64_t *number)
{
	if (len == 0 || len > most || value[len - 1] == 0)
		return -EBADMSG;
	*number = 0;
	for (size_t i = 0; i < len; i++)
		*number |= (uint64_t)value[i] << (8 * i);
	return 0;
}

static int read_field(const struct field *field, const uint8_t *value, size_t len, void *member)
{
	const char *text = (const char *)value;
	struct endpoint endpoint;
	uint64_t number;
	uint32_t u32;
	int rc;

	switch ((enum field_kind)field->kind) {
	case FIELD_KEY:
	case FIELD_TEXT:
	case FIELD_JSON:
		if (len < 2 || memchr(text, '\0', len) != text + len - 1)
			return -EBADMSG;
		memcpy(member, &text, sizeof(text));
		return 0;
	case FIELD_U64:
		rc = read_number(value, len, 8, &number);
		if (rc == 0)
			memcpy(member, &number, sizeof(number));
		return rc;
	case FIELD_U32:
		rc = read_number(value, len, 4, &number);
		if (rc < 0)
			return rc;
		if (field->values > 0 && number >= field->values)
			return -EPROTO;
		u32 = (uint32_t)number;
		memcpy(member, &u32, sizeof(u32));
		return 0;
	case FIELD_ENDPOINT:
		if (len != ENDPOINT_BYTES)
			return -EBADMSG;
		memcpy(endpoint.address.ip, value, 16);
		endpoint.port = (uint16_t)(value[16] << 8 | value[17]);
		memcpy(member, &endpoint, sizeof(endpoint));
		return 0;
	}
	return -EBADMSG;
}

static const struct field *find_field(const struct layout *layout, uint8_t tag, size_t *base)
{
	each_field(layout, part, field)
	{
		if (field->tag != tag)
			continue;
		*base = layout->parts[part].base;
		return field;
	}
	return NULL;
}

/* Absent texts read as "", and a key must have been there. */
static int finish(struct journal_record *record, const struct layout *layout, uint64_t seen)
{
	static const char *const empty = "";

	each_field(layout, part, field)
	{
		char *member = (char *)record + layout->parts[part].base + field->offset;

		if (seen & UINT64_C(1) << field->tag)
			continue;
		if (field->kind == FIELD_KEY || field->kind == FIELD_JSON)
			return -EBADMSG;
		if (field->kind == FIELD_TEXT)
			memcpy(member, &empty, sizeof(empty));
	}
	return 0;
}

int journal_record_decode(struct journal_record *record, uint16_t type, uint16_t version,
			  const void *body, size_t n)
{
	struct reader r = {body, (const uint8_t *)body + n};
	const struct layout *layout;
	uint64_t seen = 0;

	memset(record, 0, sizeof(*record));
	if (type == 0 || version == 0)
		return -EBADMSG;
	if (type >= JOURNAL_TYPES || version > JOURNAL_VERSION)
		return -EPROTO;
	record->type = (enum journal_type)type;
	record->version = version;
	layout = &layouts[type];
	while (r.at < r.end) {
		const struct field *field;
		size_t base, len;
		uint8_t tag;
		int rc;

		rc = read_head(&r, &tag, &len);
		if (rc < 0)
			return rc;
		field = find_field(layout, tag, &base);
		if (field) {
			if (seen & UINT64_C(1) << tag)
				return -EBADMSG;
			seen |= UINT64_C(1) << tag;
			rc = read_field(field, r.at, len, (char *)record + base + field->offset);
			if (rc < 0)
				return rc;
		}
		r.at += len;
	}
	return finish(record, layout, seen);
}

static_assert(TAGS_MAX <= 64, "seen tags are bits of a word");
static_assert(sizeof(enum journal_call_state) == 4 && sizeof(enum ended_by) == 4,
	      "enums are read as U32");
static_assert(sizeof(struct endpoint) == ENDPOINT_BYTES, "endpoint is address and port");

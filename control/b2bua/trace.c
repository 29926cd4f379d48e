/* The ring of messages. */
#include "control/b2bua/trace.h"

#include "control/sip/siphash.h"
#include "dataplane/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum record_kind { RECORD_MESSAGE, RECORD_LINK, RECORD_FILLER };

struct record {
	uint32_t size; /* with text and padding: a multiple of 8 */
	uint8_t record_kind;
	uint8_t kind;  /* enum trace_kind */
	uint8_t party; /* of a link */
	uint8_t transport;
	uint64_t name; /* hash of the Call-ID; ng: of the call's id */
	uint64_t call; /* link: hash of the call's id */
	uint64_t time_ns;
	uint32_t whole_n;
	uint32_t text_n;
	struct endpoint local;
	struct endpoint remote;
	char text[];
};

#define RECORD_ALIGN 8
#define RECORD_MAX   (sizeof(struct record) + TRACE_TEXT_MAX + RECORD_ALIGN)

struct trace {
	char *ring;
	uint64_t size; /* a multiple of 8 */
	uint64_t head; /* free-running */
	uint64_t tail;
	struct siphash_key key;
};

int trace_create(struct trace **out, size_t bytes)
{
	struct trace *trace;

	*out = NULL;
	if (bytes == 0)
		return 0;
	trace = calloc(1, sizeof(*trace));
	if (!trace)
		return -ENOMEM;
	trace->size = bytes < 4 * RECORD_MAX ? 4 * RECORD_MAX : bytes;
	trace->size -= trace->size % RECORD_ALIGN;
	trace->ring = calloc(1, trace->size); /* pages that were never reached cost nothing */
	if (!trace->ring) {
		free(trace);
		return -ENOMEM;
	}
	random_bytes(&trace->key, sizeof(trace->key));
	*out = trace;
	return 0;
}

void trace_destroy(struct trace *trace)
{
	if (!trace)
		return;
	free(trace->ring);
	free(trace);
}

/* ---- writing ---- */

static struct record *record_at(const struct trace *trace, uint64_t at)
{
	return (struct record *)(void *)(trace->ring + at % trace->size);
}

static void make_room(struct trace *trace, uint64_t n)
{
	while (trace->head + n - trace->tail > trace->size)
		trace->tail += record_at(trace, trace->tail)->size;
}

static uint64_t name_hash(const struct trace *trace, const char *text, size_t n)
{
	struct siphash hash;
	uint64_t word[2];

	siphash_init(&hash, &trace->key);
	siphash_add(&hash, text, n);
	siphash_finish(&hash, word);
	return word[0];
}

/* A record whose text the caller fills in. */
static struct record *record_add(struct trace *trace, enum record_kind kind, uint32_t text_n)
{
	uint64_t size = sizeof(struct record) + text_n;
	uint64_t left = trace->size - trace->head % trace->size;
	struct record *record;

	size += (RECORD_ALIGN - size % RECORD_ALIGN) % RECORD_ALIGN;
	if (left < size) {
		make_room(trace, left);
		record = record_at(trace, trace->head);
		record->size = (uint32_t)left; /* there are 8 bytes at least */
		record->record_kind = RECORD_FILLER;
		trace->head += left;
	}
	make_room(trace, size);
	record = record_at(trace, trace->head);
	record->size = (uint32_t)size;
	record->record_kind = (uint8_t)kind;
	record->text_n = text_n;
	trace->head += size;
	return record;
}

/* The Call-ID's value, compact form too; empty when there is none. */
static struct sip_text call_id_of(const char *bytes, uint32_t n)
{
	const char *end = bytes + n, *line = bytes;
	struct sip_text value = {0};

	while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
		const char *at = ++line;
		size_t left = (size_t)(end - line);

		if (left > 8 && strncasecmp(line, "call-id", 7) == 0)
			at += 7;
		else if (left > 2 && (*line == 'i' || *line == 'I'))
			at += 1;
		else
			continue;
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		if (at == end || *at != ':')
			continue;
		at++;
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		value.at = at;
		while (at < end && *at != '\r' && *at != '\n' && *at != ' ' && *at != '\t')
			at++;
		value.n = (uint32_t)(at - value.at);
		return value;
	}
	return value;
}

void trace_message(struct trace *trace, enum trace_kind kind, const struct sip_flow *flow,
		   const char *bytes, uint32_t n, uint64_t time_ns)
{
	uint32_t kept = n < TRACE_TEXT_MAX ? n : TRACE_TEXT_MAX;
	struct sip_text call_id;
	struct record *record;

	if (!trace)
		return;
	call_id = call_id_of(bytes, n);
	record = record_add(trace, RECORD_MESSAGE, kept);
	record->kind = (uint8_t)kind;
	record->transport = (uint8_t)flow->transport;
	record->name = name_hash(trace, call_id.at, call_id.n);
	record->time_ns = time_ns;
	record->whole_n = n;
	record->local = flow->local;
	record->remote = flow->remote;
	memcpy(record->text, bytes, kept);
}

struct ng_text {
	char at[TRACE_TEXT_MAX];
	uint32_t n;
	uint32_t whole_n;
};

static void put(struct ng_text *out, const char *text, size_t n)
{
	size_t room = sizeof(out->at) - out->n;

	out->whole_n += (uint32_t)n;
	memcpy(out->at + out->n, text, n < room ? n : room);
	out->n += (uint32_t)(n < room ? n : room);
}

static void put_value(struct ng_text *out, const struct ng_value *value, int depth)
{
	char number[32];

	switch (value->type) {
	case NG_STRING:
		put(out, value->text, value->len);
		break;
	case NG_INTEGER:
		put(out, number,
		    (size_t)snprintf(number, sizeof(number), "%lld", (long long)value->integer));
		break;
	default:
		for (const struct ng_value *one = value->first; one && depth < 3; one = one->next) {
			if (one->key_text) {
				put(out, one->key_text, one->key_len);
				put(out, "=", 1);
			}
			put_value(out, one, depth + 1);
			put(out, " ", 1);
		}
		break;
	}
}

/* One line for each key, the SDP last. */
static void ng_write(struct ng_text *out, const struct ng_value *message)
{
	const struct ng_value *sdp = ng_get(message, "sdp");

	for (const struct ng_value *one = message->first; one; one = one->next) {
		if (one == sdp)
			continue;
		put(out, one->key_text, one->key_len);
		put(out, ": ", 2);
		put_value(out, one, 0);
		put(out, "\r\n", 2);
	}
	if (!sdp)
		return;
	put(out, "\r\n", 2);
	put_value(out, sdp, 0);
}

void trace_ng(struct trace *trace, enum trace_kind kind, const char *call_id,
	      const struct ng_value *message, int error, uint64_t time_ns)
{
	struct ng_text text;
	struct record *record;

	if (!trace)
		return;
	text.n = 0;
	text.whole_n = 0;
	if (message && message->type == NG_DICT)
		ng_write(&text, message);
	else
		put(&text, strerror(-error), strlen(strerror(-error)));
	record = record_add(trace, RECORD_MESSAGE, text.n);
	record->kind = (uint8_t)kind;
	record->transport = 0;
	record->name = name_hash(trace, call_id, strlen(call_id));
	record->time_ns = time_ns;
	record->whole_n = text.whole_n;
	memset(&record->local, 0, sizeof(record->local));
	memset(&record->remote, 0, sizeof(record->remote));
	memcpy(record->text, text.at, text.n);
}

void trace_link(struct trace *trace, const char *call_id, enum trace_party party,
		struct sip_text sip_call_id)
{
	struct record *record;

	if (!trace)
		return;
	record = record_add(trace, RECORD_LINK, 0);
	record->party = (uint8_t)party;
	record->name = name_hash(trace, sip_call_id.at, sip_call_id.n);
	record->call = name_hash(trace, call_id, strlen(call_id));
}

/* ---- reading ---- */

struct legs {
	uint64_t call; /* 0 = the key is of no call */
	uint32_t count;
	uint64_t name[TRACE_LEGS_MAX];
	enum trace_party party[TRACE_LEGS_MAX];
};

static const struct record *record_next(const struct trace *trace, uint64_t *at)
{
	const struct record *record;

	do {
		if (*at == trace->head)
			return NULL;
		record = record_at(trace, *at);
		*at += record->size;
	} while (record->record_kind == RECORD_FILLER);
	return record;
}

static void legs_find(const struct trace *trace, uint64_t key, struct legs *legs)
{
	const struct record *record;

	memset(legs, 0, sizeof(*legs));
	for (uint64_t at = trace->tail; (record = record_next(trace, &at)) != NULL;)
		if (record->record_kind == RECORD_LINK &&
		    (record->call == key || record->name == key))
			legs->call = record->call;
	for (uint64_t at = trace->tail; (record = record_next(trace, &at)) != NULL;) {
		if (record->record_kind != RECORD_LINK || !legs->call ||
		    record->call != legs->call || legs->count == TRACE_LEGS_MAX)
			continue;
		legs->name[legs->count] = record->name;
		legs->party[legs->count++] = (enum trace_party)record->party;
	}
	if (!legs->call) { /* a request that made no call, or a call whose beginning is gone */
		legs->name[0] = key;
		legs->party[0] = TRACE_CALLER;
		legs->count = 1;
		legs->call = key;
	}
}

static bool legs_have(const struct legs *legs, const struct record *record, enum trace_party *party)
{
	if (record->record_kind != RECORD_MESSAGE)
		return false;
	if (record->kind == TRACE_NG_REQUEST || record->kind == TRACE_NG_REPLY) {
		*party = TRACE_DATAPLANE;
		return record->name == legs->call;
	}
	for (uint32_t i = 0; i < legs->count; i++) {
		if (legs->name[i] == record->name) {
			*party = legs->party[i];
			return true;
		}
	}
	return false;
}

static int view_fill(struct trace_view *view, const struct record *record, enum trace_party party)
{
	char clean[TRACE_CLEAN_MAX(TRACE_TEXT_MAX)];
	uint32_t n = trace_clean(record->text, record->text_n, clean);

	*view = (struct trace_view){
		.kind = (enum trace_kind)record->kind,
		.party = party,
		.transport = (enum sip_transport_kind)record->transport,
		.local = record->local,
		.remote = record->remote,
		.time_ns = record->time_ns,
		.whole_n = record->whole_n,
		.text_n = n,
		.text = malloc(n + 1),
	};
	if (!view->text)
		return -ENOMEM;
	memcpy(view->text, clean, n);
	view->text[n] = '\0';
	return 0;
}

int trace_read(const struct trace *trace, const char *key, size_t key_n, struct trace_view **out)
{
	const struct record *record;
	struct trace_view *views;
	enum trace_party party;
	struct legs legs;
	int count = 0;

	*out = NULL;
	if (!trace || key_n == 0)
		return 0;
	views = calloc(TRACE_VIEWS_MAX, sizeof(*views));
	if (!views)
		return -ENOMEM;
	legs_find(trace, name_hash(trace, key, key_n), &legs);
	for (uint64_t at = trace->tail;
	     count < TRACE_VIEWS_MAX && (record = record_next(trace, &at)) != NULL;) {
		if (!legs_have(&legs, record, &party))
			continue;
		if (view_fill(&views[count], record, party)) {
			trace_views_free(views, count);
			return -ENOMEM;
		}
		count++;
	}
	*out = views;
	return count;
}

void trace_views_free(struct trace_view *views, int count)
{
	for (int i = 0; i < count; i++)
		free(views[i].text);
	free(views);
}

/* Live recordings by (generation, number), fed from the spool. */
#include "recorder/recording/table.h"

#include <jansson.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_BUCKETS      4096
#define START_APART_MAX_NS INT64_C(60000000000)

struct recording_table {
	struct list all;
	struct recording *buckets[TABLE_BUCKETS];
	uint32_t count;
	struct recording_table_counters counters;
};

int recording_table_create(struct recording_table **out)
{
	struct recording_table *table = calloc(1, sizeof(*table));

	*out = table;
	if (!table)
		return -ENOMEM;
	list_init(&table->all);
	return 0;
}

void recording_table_destroy(struct recording_table *table)
{
	if (!table)
		return;
	while (!list_is_empty(&table->all))
		recording_table_remove(table, list_entry(table->all.next, struct recording, node));
	free(table);
}

bool recording_id_is_valid(const char *id)
{
	size_t n = strlen(id);

	return n > 0 && n < RECORDING_ID_MAX && id[0] != '.' && id[0] != '-' &&
	       strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static struct recording **bucket_of(struct recording_table *table, uint64_t generation,
				    uint64_t number)
{
	uint64_t hash =
		(generation ^ number * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);

	return &table->buckets[hash >> 52 & (TABLE_BUCKETS - 1)];
}

struct recording *recording_table_find(struct recording_table *table, uint64_t generation,
				       uint64_t number)
{
	struct recording *recording = *bucket_of(table, generation, number);

	while (recording && (recording->generation != generation || recording->number != number))
		recording = recording->chain;
	return recording;
}

static char *text_take(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);

	return strndup(text ? text : "", RECORDING_TEXT_MAX);
}

static bool id_is_in_use(const struct recording_table *table, const char *id)
{
	struct list *node;

	list_each (node, &table->all) {
		if (strcmp(list_entry(node, struct recording, node)->id, id) == 0)
			return true;
	}
	return false;
}

/* Reads START's JSON. What is missing or makes no sense is replaced, so that nothing that was
 * said is lost for it. */
static void start_read(struct recording_table *table, struct recording *recording,
		       const struct td_fork_record *record, const uint8_t *payload)
{
	json_t *start = json_loadb((const char *)payload, record->payload_len, 0, NULL);
	const char *id = json_string_value(json_object_get(start, "recording_id"));
	json_int_t started_ns = json_integer_value(json_object_get(start, "started_ns"));

	if (id && recording_id_is_valid(id) && !id_is_in_use(table, id)) {
		snprintf(recording->id, sizeof(recording->id), "%s", id);
	} else {
		table->counters.start_broken++;
		snprintf(recording->id, sizeof(recording->id), "unnamed-%" PRIx64 "-%" PRIx64,
			 recording->generation, recording->number);
	}
	recording->call_id = text_take(start, "call_id");
	recording->metadata = text_take(start, "metadata");
	recording->started_ns = started_ns > 0 ? (uint64_t)started_ns : record->arrival_ns;
	/* a start that is far from the moment it was told would be hours of silence, or none */
	if (record->arrival_ns &&
	    llabs((long long)(recording->started_ns - record->arrival_ns)) > START_APART_MAX_NS)
		recording->started_ns = record->arrival_ns;
	json_decref(start);
}

static struct recording *recording_start(struct recording_table *table, uint64_t position,
					 const struct spool_fork *from,
					 const struct td_fork_record *record,
					 const uint8_t *payload)
{
	struct recording **bucket = bucket_of(table, from->generation, record->recording);
	struct recording *recording;

	if (table->count >= RECORDINGS_MAX) {
		table->counters.refused_full++;
		return NULL;
	}
	recording = calloc(1, sizeof(*recording));
	if (!recording) {
		table->counters.refused_full++;
		return NULL;
	}
	recording->generation = from->generation;
	recording->number = record->recording;
	recording->first_position = position;
	start_read(table, recording, record, payload);
	recording->last_ns = recording->started_ns;
	recording->chain = *bucket;
	*bucket = recording;
	list_append(&table->all, &recording->node);
	table->count++;
	table->counters.started++;
	table->counters.live++;
	return recording;
}

static void recording_end(struct recording_table *table, struct recording *recording,
			  uint64_t ended_ns, const char *reason)
{
	if (recording->state != RECORDING_LIVE)
		return;
	recording->state = RECORDING_ENDED;
	recording->ended_ns = ended_ns;
	snprintf(recording->reason, sizeof(recording->reason), "%s", reason);
	table->counters.live--;
	table->counters.ended++;
}

/* The reason is shown to people and machines: plain text only. */
static void end_read(struct recording_table *table, struct recording *recording,
		     const struct td_fork_record *record, const uint8_t *payload)
{
	json_t *end = json_loadb((const char *)payload, record->payload_len, 0, NULL);
	const char *reason = json_string_value(json_object_get(end, "reason"));
	char text[RECORDING_REASON_MAX];
	size_t n = 0;

	for (; reason && reason[n] && n < sizeof(text) - 1; n++)
		text[n] = reason[n] >= ' ' && reason[n] < 0x7f ? reason[n] : '?';
	text[n] = '\0';
	recording_end(table, recording,
		      record->arrival_ns ? record->arrival_ns : recording->last_ns,
		      n > 0 ? text : "unknown");
	json_decref(end);
}

struct recording *recording_table_feed(struct recording_table *table, uint64_t position,
				       uint64_t now_ms, const struct spool_fork *from,
				       const struct td_fork_record *record, const uint8_t *payload)
{
	struct recording *recording =
		recording_table_find(table, from->generation, record->recording);

	if (record->type == TD_FORK_START) {
		if (recording)
			table->counters.start_again++;
		else
			recording = recording_start(table, position, from, record, payload);
	}
	if (!recording || recording->state != RECORDING_LIVE) {
		table->counters.orphans++;
		return NULL;
	}
	recording->last_position = position;
	recording->active_ms = now_ms;
	if (record->arrival_ns > recording->last_ns)
		recording->last_ns = record->arrival_ns;
	if (position_index_add(&recording->index, position) < 0)
		table->counters.unindexed++;
	if (record->type != TD_FORK_END)
		return NULL;
	end_read(table, recording, record, payload);
	return recording;
}

void recording_table_close(struct recording_table *table, struct recording *recording,
			   uint64_t ended_ns, const char *reason)
{
	recording_end(table, recording, ended_ns, reason);
}

void recording_table_remove(struct recording_table *table, struct recording *recording)
{
	struct recording **link = bucket_of(table, recording->generation, recording->number);

	while (*link && *link != recording)
		link = &(*link)->chain;
	if (*link)
		*link = recording->chain;
	if (recording->state == RECORDING_LIVE)
		table->counters.live--;
	list_remove(&recording->node);
	table->count--;
	position_index_fini(&recording->index);
	free(recording->call_id);
	free(recording->metadata);
	free(recording);
}

struct list *recording_table_all(struct recording_table *table)
{
	return &table->all;
}

struct recording *recording_table_silent(struct recording_table *table, uint64_t before_ms)
{
	struct list *node;

	list_each (node, &table->all) {
		struct recording *recording = list_entry(node, struct recording, node);

		if (recording->state == RECORDING_LIVE && recording->active_ms < before_ms)
			return recording;
	}
	return NULL;
}

struct recording *recording_table_of_generation(struct recording_table *table, uint64_t generation,
						bool same)
{
	struct list *node;

	list_each (node, &table->all) {
		struct recording *recording = list_entry(node, struct recording, node);

		if (recording->state == RECORDING_LIVE &&
		    (recording->generation == generation) == same)
			return recording;
	}
	return NULL;
}

const struct recording_table_counters *recording_table_counters(const struct recording_table *table)
{
	return &table->counters;
}

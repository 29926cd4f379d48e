/* From finished file to acknowledged receipt, through spool records. */
#include "recorder/upload/delivery.h"
#include "dataplane/base/log.h"
#include "recorder/recording/spool_record.h"

#include <jansson.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CARRY_SEGMENTS 3 /* a FINISHED record that is so far behind is written again */

struct delivery {
	struct list node;
	struct deliveries *all;
	struct spool_key key;
	char id[RECORDING_ID_MAX];
	char object[STORE_KEY_MAX];
	char *path; /* of the local file */
	struct digest_sums sums;
	char *line; /* the receipt */
	size_t line_len;
	uint64_t position;      /* of FINISHED; 0 = still to be appended */
	uint64_t position_next; /* behind it */
	uint64_t uploaded_next; /* behind UPLOADED; 0 = still to be appended */
	bool stored;            /* the store has it, verified */
	bool file_deleted;
	bool acknowledged;
	bool uploading;
	struct upload upload;
	struct receipt receipt;
};

struct deliveries {
	struct segment_log *spool;
	struct uploader *uploader;
	struct receipts *receipts;
	char *files;
	struct list all;
	struct delivery_counters counters;
};

/* ---- entries ---- */

static void delivery_destroy(struct delivery *delivery)
{
	if (!delivery)
		return;
	list_remove(&delivery->node);
	free(delivery->path);
	free(delivery->line);
	free(delivery);
}

static struct delivery *delivery_find(const struct deliveries *all, const char *id, size_t n)
{
	struct list *node;

	list_each (node, &all->all) {
		struct delivery *delivery = list_entry(node, struct delivery, node);

		if (strlen(delivery->id) == n && memcmp(delivery->id, id, n) == 0)
			return delivery;
	}
	return NULL;
}

static struct delivery *delivery_create(struct deliveries *all, const char *id)
{
	struct delivery *delivery = calloc(1, sizeof(*delivery));

	if (!delivery)
		return NULL;
	list_init(&delivery->node);
	delivery->all = all;
	snprintf(delivery->id, sizeof(delivery->id), "%s", id);
	if (asprintf(&delivery->path, "%s/%s.wav", all->files, delivery->id) < 0) {
		delivery->path = NULL;
		delivery_destroy(delivery);
		return NULL;
	}
	return delivery;
}

/* ---- spool records ---- */

/* The receipt and what is needed to go on, in one object. */
static char *finished_text(const struct delivery *delivery)
{
	json_t *receipt = json_loadb(delivery->line, delivery->line_len, 0, NULL);
	json_t *finished = json_pack("{so ss sb}", "receipt", receipt, "md5", delivery->sums.md5,
				     "stored", delivery->stored ? 1 : 0);
	char *text = finished ? json_dumps(finished, JSON_COMPACT) : NULL;

	json_decref(finished);
	return text;
}

static int finished_append(struct delivery *delivery)
{
	struct segment_log *spool = delivery->all->spool;
	char *text = finished_text(delivery);
	int error;

	if (!text)
		return -ENOMEM;
	error = segment_log_appendv(spool, SPOOL_FINISHED, SPOOL_VERSION,
				    (struct iovec[]){{&delivery->key, sizeof(delivery->key)},
						     {text, strlen(text)}},
				    2, &delivery->position);
	free(text);
	if (error) {
		delivery->all->counters.held_back++;
		return error;
	}
	delivery->position_next = segment_log_appended(spool);
	return 0;
}

static int step_append(struct delivery *delivery, enum spool_type type)
{
	int error = segment_log_append(delivery->all->spool, (uint16_t)type, SPOOL_VERSION,
				       delivery->id, (uint32_t)strlen(delivery->id), NULL);

	if (error)
		delivery->all->counters.held_back++;
	return error;
}

/* ---- steps ---- */

static void upload_done(struct upload *upload)
{
	struct delivery *delivery = list_entry(upload, struct delivery, upload);

	delivery->uploading = false;
	delivery->stored = true;
	deliveries_tick(delivery->all, 0);
}

static void receipt_acknowledged(void *arg, struct receipt *receipt)
{
	struct delivery *delivery = list_entry(receipt, struct delivery, receipt);

	(void)arg;
	delivery->acknowledged = true;
}

static void upload_start(struct delivery *delivery)
{
	delivery->upload = (struct upload){
		.key = delivery->object,
		.path = delivery->path,
		.sums = &delivery->sums,
		.done = upload_done,
	};
	delivery->uploading = true;
	uploader_add(delivery->all->uploader, &delivery->upload);
}

static void receipt_start(struct delivery *delivery)
{
	delivery->receipt = (struct receipt){
		.id = delivery->id,
		.line = delivery->line,
		.len = delivery->line_len,
	};
	receipts_add(delivery->all->receipts, &delivery->receipt);
}

/* Takes the steps that are possible now; frees the delivery after the last one. */
static void delivery_step(struct delivery *delivery)
{
	struct deliveries *all = delivery->all;

	if (!delivery->position && finished_append(delivery) < 0)
		return;
	if (!delivery->stored)
		return;
	if (!delivery->uploaded_next) {
		if (step_append(delivery, SPOOL_UPLOADED) < 0)
			return;
		delivery->uploaded_next = segment_log_appended(all->spool);
		receipt_start(delivery);
	}
	if (!delivery->file_deleted && segment_log_durable(all->spool) >= delivery->uploaded_next) {
		if (unlink(delivery->path) < 0 && errno != ENOENT)
			log_warn("file %s not deleted: %s", delivery->path, strerror(errno));
		delivery->file_deleted = true;
	}
	if (!delivery->acknowledged || !delivery->file_deleted ||
	    step_append(delivery, SPOOL_ACKED) < 0)
		return;
	delivery_destroy(delivery);
	all->counters.entries--;
}

/* Old records at the tail would keep all segments since: write them again at the front. */
static void delivery_carry(struct delivery *delivery)
{
	uint32_t front = segment_log_segment(segment_log_appended(delivery->all->spool));

	if (!delivery->position || delivery->acknowledged ||
	    segment_log_segment(delivery->position) + CARRY_SEGMENTS > front)
		return;
	if (finished_append(delivery) == 0)
		delivery->all->counters.carried++;
}

void deliveries_tick(struct deliveries *all, uint64_t now_ms)
{
	struct list *node, *after;

	list_each_safe (node, after, &all->all) {
		struct delivery *delivery = list_entry(node, struct delivery, node);

		delivery_carry(delivery);
		delivery_step(delivery);
	}
	if (now_ms)
		receipts_tick(all->receipts, now_ms);
}

/* ---- the receipt ---- */

static json_t *receipt_build(const struct delivery *delivery, const struct recording *recording,
			     const struct finalize_result *result)
{
	const struct finalize_packets *packets = &result->packets;
	json_t *counts =
		json_pack("{sI sI sI sI sI sI}", "received", (json_int_t)packets->received,
			  "written", (json_int_t)packets->written, "lost",
			  (json_int_t)packets->lost, "overrun", (json_int_t)packets->overrun,
			  "duplicate", (json_int_t)packets->duplicate, "undecoded",
			  (json_int_t)packets->undecoded);

	return json_pack("{si ss ss ss ss ss sI ss si si sI sI sI ss so sO}", "v", 1,
			 "recording_id", delivery->id, "call_id", recording->call_id, "metadata",
			 recording->metadata, "object", delivery->object, "sha256",
			 delivery->sums.sha256, "bytes", (json_int_t)delivery->sums.bytes, "format",
			 "wav", "channels", (int)result->channels, "rate", (int)result->rate_hz,
			 "duration_ms", (json_int_t)result->duration_ms, "started_ns",
			 (json_int_t)recording->started_ns, "ended_ns",
			 (json_int_t)recording->ended_ns, "reason", recording->reason, "packets",
			 counts, "streams", result->streams);
}

/* A line that is too long for control goes without what describes, never without what proves. */
static char *receipt_text(json_t *receipt)
{
	static const char *const optional[] = {"streams", "metadata"};
	char *text = json_dumps(receipt, JSON_COMPACT);

	for (size_t k = 0; text && strlen(text) > RECEIPT_LINE_MAX && k < 2; k++) {
		free(text);
		json_object_del(receipt, optional[k]);
		json_object_set_new(receipt, "truncated", json_true());
		text = json_dumps(receipt, JSON_COMPACT);
	}
	return text;
}

int deliveries_finish(struct deliveries *all, const struct recording *recording,
		      struct finalize_result *result)
{
	struct delivery *delivery = delivery_create(all, recording->id);
	json_t *receipt;

	if (!delivery) {
		json_decref(result->streams);
		return -ENOMEM;
	}
	delivery->key = (struct spool_key){recording->generation, recording->number, 0};
	snprintf(delivery->object, sizeof(delivery->object), "%s", result->key);
	delivery->sums = result->sums;
	receipt = receipt_build(delivery, recording, result);
	delivery->line = receipt ? receipt_text(receipt) : NULL;
	json_decref(receipt);
	json_decref(result->streams);
	result->streams = NULL;
	if (!delivery->line) {
		delivery_destroy(delivery);
		return -ENOMEM;
	}
	delivery->line_len = strlen(delivery->line);
	list_append(&all->all, &delivery->node);
	all->counters.entries++;
	all->counters.finished++;
	upload_start(delivery);
	delivery_step(delivery);
	return 0;
}

uint64_t deliveries_position(const struct deliveries *all, uint64_t generation, uint64_t number)
{
	struct list *node;

	list_each (node, &all->all) {
		const struct delivery *delivery = list_entry(node, struct delivery, node);

		if (delivery->key.generation == generation && delivery->key.recording == number)
			return delivery->position ? delivery->position_next : 0;
	}
	return SEGMENT_LOG_NEVER;
}

/* ---- recovery ---- */

/* Fills the delivery from a FINISHED record's JSON; false when it makes no sense. */
static bool finished_read(struct delivery *delivery, json_t *finished)
{
	json_t *receipt = json_object_get(finished, "receipt");
	const char *object = json_string_value(json_object_get(receipt, "object"));
	const char *sha256 = json_string_value(json_object_get(receipt, "sha256"));
	const char *md5 = json_string_value(json_object_get(finished, "md5"));

	if (!object || !store_key_is_valid(object) || !sha256 || !md5 ||
	    strlen(sha256) != DIGEST_SHA256_TEXT - 1 || strlen(md5) != DIGEST_MD5_TEXT - 1)
		return false;
	strcpy(delivery->object, object);
	strcpy(delivery->sums.sha256, sha256);
	strcpy(delivery->sums.md5, md5);
	delivery->sums.bytes = (uint64_t)json_integer_value(json_object_get(receipt, "bytes"));
	delivery->stored = json_is_true(json_object_get(finished, "stored"));
	free(delivery->line);
	delivery->line = json_dumps(receipt, JSON_COMPACT);
	delivery->line_len = delivery->line ? strlen(delivery->line) : 0;
	return delivery->line != NULL;
}

static bool finished_recover(struct deliveries *all, const struct segment_log_entry *entry,
			     struct spool_key *key)
{
	struct delivery *delivery;
	json_t *finished;
	const char *id;
	bool fresh;

	if (entry->payload_len < sizeof(*key)) {
		all->counters.broken++;
		return false;
	}
	memcpy(key, entry->payload, sizeof(*key));
	finished = json_loadb((const char *)entry->payload + sizeof(*key),
			      entry->payload_len - sizeof(*key), 0, NULL);
	id = json_string_value(
		json_object_get(json_object_get(finished, "receipt"), "recording_id"));
	if (!id || !recording_id_is_valid(id)) {
		all->counters.broken++;
		json_decref(finished);
		return true;
	}
	delivery = delivery_find(all, id, strlen(id));
	fresh = !delivery;
	if (fresh)
		delivery = delivery_create(all, id);
	if (!delivery || !finished_read(delivery, finished)) {
		all->counters.broken++;
		if (delivery && !fresh)
			all->counters.entries--;
		delivery_destroy(delivery);
		json_decref(finished);
		return true;
	}
	json_decref(finished);
	delivery->key = *key;
	delivery->position = entry->position;
	delivery->position_next = entry->next;
	if (delivery->stored)
		delivery->uploaded_next = entry->next;
	if (fresh) {
		list_append(&all->all, &delivery->node);
		all->counters.entries++;
	}
	return true;
}

bool deliveries_recover(struct deliveries *all, const struct segment_log_entry *entry,
			struct spool_key *finished)
{
	struct delivery *delivery;

	if (entry->type == SPOOL_FINISHED)
		return finished_recover(all, entry, finished);
	delivery = delivery_find(all, (const char *)entry->payload, entry->payload_len);
	if (!delivery)
		return false;
	if (entry->type == SPOOL_UPLOADED) {
		delivery->stored = true;
		delivery->uploaded_next = entry->next;
	} else if (entry->type == SPOOL_ACKED) {
		delivery_destroy(delivery);
		all->counters.entries--;
	}
	return false;
}

void deliveries_start(struct deliveries *all)
{
	struct list *node;

	list_each (node, &all->all) {
		struct delivery *delivery = list_entry(node, struct delivery, node);

		if (delivery->stored && delivery->uploaded_next)
			receipt_start(delivery);
		else if (!delivery->stored)
			upload_start(delivery);
	}
}

uint64_t deliveries_least(const struct deliveries *all)
{
	uint64_t least = SEGMENT_LOG_NEVER;
	struct list *node;

	list_each (node, &all->all) {
		const struct delivery *delivery = list_entry(node, struct delivery, node);

		if (delivery->position < least)
			least = delivery->position;
	}
	return least;
}

/* ---- life ---- */

int deliveries_create(struct deliveries **out, struct segment_log *spool, struct uploader *uploader,
		      struct loop *loop, const char *receipt_socket, const char *files)
{
	struct deliveries *all = calloc(1, sizeof(*all));
	int error;

	*out = NULL;
	if (!all)
		return -ENOMEM;
	list_init(&all->all);
	all->spool = spool;
	all->uploader = uploader;
	all->files = strdup(files);
	error = all->files ? receipts_create(&all->receipts, loop, receipt_socket,
					     receipt_acknowledged, all)
			   : -ENOMEM;
	if (error) {
		deliveries_destroy(all);
		return error;
	}
	*out = all;
	return 0;
}

void deliveries_destroy(struct deliveries *all)
{
	if (!all)
		return;
	receipts_destroy(all->receipts);
	while (!list_is_empty(&all->all))
		delivery_destroy(list_entry(all->all.next, struct delivery, node));
	free(all->files);
	free(all);
}

void deliveries_counters(const struct deliveries *all, struct delivery_counters *counters,
			 struct receipt_counters *receipts)
{
	*counters = all->counters;
	receipts_counters(all->receipts, receipts);
}

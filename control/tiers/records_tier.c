/*
 * The records tier's sink. A batch keeps copies of its records' bodies, because the log's reader
 * gives them only until its next call; the rows' texts point into those.
 */
#include "control/tiers/records_tier.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_COUNT 1000
#define BATCH_MS    50
#define BATCH_BYTES (2u * 1024 * 1024)
#define FLUSH_MS    2000
#define DRAIN_MS    3000

struct row {
	union {
		struct cdr cdr;
		struct recording recording;
	};
	struct receipt *receipt; /* owns the recording's texts */
};

struct records_tier {
	struct journal *journal;
	struct follower *follower;
	const struct records_ops *ops;
	char *target;
	/* the follower's thread */
	struct records *records; /* NULL while it is away */
	struct row rows[BATCH_COUNT];
	struct records_row shown[BATCH_COUNT];
	uint32_t count;
	uint32_t used; /* of bodies */
	struct log_limit refused_log;
	/* read by any thread */
	_Atomic uint64_t refused;
	pthread_mutex_t lock; /* of error */
	char error[RECORDS_ERROR_MAX];
	char bodies[BATCH_BYTES + JOURNAL_RECORD_MAX];
};

static bool must_end(void *arg)
{
	const struct records_tier *tier = arg;

	return follower_must_end(tier->follower);
}

static void note_error(struct records_tier *tier, const char *text)
{
	pthread_mutex_lock(&tier->lock);
	snprintf(tier->error, sizeof(tier->error), "%s", text);
	pthread_mutex_unlock(&tier->lock);
}

/* ---- the batch ---- */

static void refuse(struct records_tier *tier, const char *id, const char *reason)
{
	uint32_t suppressed;

	atomic_fetch_add_explicit(&tier->refused, 1, memory_order_relaxed);
	if (log_allowed(&tier->refused_log, 5, &suppressed))
		log_error("record %s refused by the records tier: %s (%u more)", id, reason,
			  suppressed);
}

static void reset(void *arg)
{
	struct records_tier *tier = arg;

	for (uint32_t i = 0; i < tier->count; i++)
		receipt_free(tier->rows[i].receipt);
	tier->count = 0;
	tier->used = 0;
}

static int add_receipt(struct records_tier *tier, const struct journal_receipt *journaled)
{
	struct row *row = &tier->rows[tier->count];
	const char *reason;
	int rc = receipt_parse(&row->receipt, journaled->json, strlen(journaled->json), &reason);

	if (rc == -ENOMEM)
		return rc;
	if (rc < 0) {
		refuse(tier, journaled->recording_id, reason);
		return 0;
	}
	row->recording = *receipt_recording(row->receipt);
	tier->shown[tier->count].table = RECORDS_RECORDING;
	tier->shown[tier->count].row = &row->recording;
	tier->count++;
	return 0;
}

static int add_cdr(struct records_tier *tier, uint16_t version, const void *body, size_t n)
{
	struct row *row = &tier->rows[tier->count];
	char *copy = tier->bodies + tier->used;
	struct journal_record record;
	int rc;

	memcpy(copy, body, n);
	rc = journal_record_decode(&record, JOURNAL_CDR, version, copy, n);
	if (rc < 0)
		return rc;
	tier->used += (uint32_t)n;
	row->cdr = record.cdr;
	row->receipt = NULL;
	tier->shown[tier->count].table = RECORDS_CDR;
	tier->shown[tier->count].row = &row->cdr;
	tier->count++;
	return 0;
}

static int apply(void *arg, const struct journal_record *record, const void *body, size_t n)
{
	struct records_tier *tier = arg;
	int rc;

	if (record->type == JOURNAL_CDR)
		rc = add_cdr(tier, record->version, body, n);
	else
		rc = add_receipt(tier, &record->receipt);
	if (rc < 0)
		return rc;
	return tier->count == BATCH_COUNT || tier->used > BATCH_BYTES ? FOLLOWER_BATCH_FULL : 0;
}

/* ---- the store ---- */

static int reach(struct records_tier *tier)
{
	struct records_options options = {
		.target = tier->target,
		.is_interrupted = must_end,
		.interrupted_arg = tier,
	};
	char error[RECORDS_ERROR_MAX];
	int rc;

	if (tier->records)
		return 0;
	rc = records_open(&tier->records, &options, error);
	if (rc < 0)
		note_error(tier, error);
	return rc;
}

static void leave(struct records_tier *tier)
{
	note_error(tier, tier->records->error);
	records_close(tier->records);
	tier->records = NULL;
}

static const char *row_id(const struct records_row *row)
{
	if (row->table == RECORDS_CDR)
		return ((const struct cdr *)row->row)->id;
	return ((const struct recording *)row->row)->id;
}

/* Somewhere in the batch is a row that the store will never take: each alone, and that one is left
 * out, so that one bad row holds nobody up. */
static int write_singly(struct records_tier *tier)
{
	for (uint32_t i = 0; i < tier->count; i++) {
		int rc = tier->ops->write(tier->records, &tier->shown[i], 1);

		if (rc == -EBADMSG)
			refuse(tier, row_id(&tier->shown[i]), tier->records->error);
		else if (rc < 0)
			return rc;
	}
	return 0;
}

static int commit(void *arg, uint64_t next)
{
	struct records_tier *tier = arg;
	int rc = reach(tier);

	(void)next;
	if (rc < 0)
		return rc;
	if (tier->count > 0)
		rc = tier->ops->write(tier->records, tier->shown, tier->count);
	if (rc == -EBADMSG)
		rc = write_singly(tier);
	if (rc < 0) {
		leave(tier);
		return rc;
	}
	note_error(tier, "");
	reset(tier);
	return 0;
}

static int probe(void *arg)
{
	struct records_tier *tier = arg;
	int rc = reach(tier);

	if (rc < 0)
		return rc;
	rc = tier->ops->ping(tier->records);
	if (rc < 0)
		leave(tier);
	else
		note_error(tier, "");
	return rc;
}

/* ---- open and close ---- */

int records_tier_open(struct records_tier **out, struct journal *journal, const char *target)
{
	struct records_tier *tier = calloc(1, sizeof(*tier));
	struct follower_sink sink = {
		.name = JOURNAL_CURSOR_RECORDS,
		.types = 1u << JOURNAL_CDR | 1u << JOURNAL_RECEIPT,
		.batch_count = BATCH_COUNT,
		.batch_ms = BATCH_MS,
		.apply = apply,
		.commit = commit,
		.reset = reset,
		.probe = probe,
		.arg = tier,
	};
	int rc;

	if (!tier)
		return -ENOMEM;
	pthread_mutex_init(&tier->lock, NULL);
	tier->journal = journal;
	tier->ops = records_ops_for(target);
	tier->target = strdup(target);
	if (!tier->ops) {
		log_error("records tier: target is neither sqlite:PATH nor postgresql://...");
		rc = -EINVAL;
	} else if (!tier->target) {
		rc = -ENOMEM;
	} else {
		rc = follower_start(&tier->follower, journal_log(journal), &sink);
		if (rc < 0)
			log_error("records tier not started: %s", strerror(-rc));
	}
	if (rc < 0) {
		records_tier_close(tier);
		return rc;
	}
	*out = tier;
	return 0;
}

void records_tier_close(struct records_tier *tier)
{
	if (!tier)
		return;
	if (tier->follower) {
		journal_flush(tier->journal, FLUSH_MS);
		follower_stop(tier->follower, DRAIN_MS);
	}
	reset(tier);
	records_close(tier->records);
	pthread_mutex_destroy(&tier->lock);
	free(tier->target);
	free(tier);
}

void records_tier_status(struct records_tier *tier, uint64_t now_ns,
			 struct records_tier_status *status)
{
	memset(status, 0, sizeof(*status));
	status->kind = tier->ops->kind;
	follower_status(tier->follower, now_ns, &status->follower);
	status->refused = atomic_load_explicit(&tier->refused, memory_order_relaxed);
	pthread_mutex_lock(&tier->lock);
	memcpy(status->error, tier->error, sizeof(status->error));
	pthread_mutex_unlock(&tier->lock);
}

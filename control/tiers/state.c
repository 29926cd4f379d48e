/*
 * The state tier. The live set belongs to the follower's thread; a commit is a checkpoint when
 * enough of the journal has gone by, else the cursor stays where the last checkpoint was.
 */
#include "control/tiers/state.h"

#include "control/tiers/journal.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STATE_BATCH_COUNT 4096
#define STATE_BATCH_MS    1000
#define STATE_TYPES                                                                                \
	(1u << JOURNAL_CALL | 1u << JOURNAL_CDR | 1u << JOURNAL_BINDING_ADD |                      \
	 1u << JOURNAL_BINDING_DEL)
#define DRAIN_MS 2000

struct state_tier {
	struct live_set *set;
	struct follower *follower;
	char *directory;
	uint64_t saved;  /* position of the last checkpoint */
	uint64_t passed; /* bytes applied since then */
	uint64_t next;   /* position that the set stands for */
	struct log_limit full_log;
};

/* ---- at start ---- */

static int read_on(struct live_set *set, struct segment_log_reader *reader)
{
	for (;;) {
		struct segment_log_entry entry;
		struct journal_record record;
		int rc = segment_log_reader_next(reader, &entry);

		if (rc == 0)
			return 0;
		if (rc == -EBADMSG)
			continue; /* counted by the reader */
		if (rc < 0)
			return rc;
		rc = journal_record_decode(&record, entry.type, entry.version, entry.payload,
					   entry.payload_len);
		if (rc == 0)
			rc = live_set_apply(set, &record, entry.payload, entry.payload_len);
		if (rc == -ENOMEM)
			return rc;
	}
}

int state_load(struct live_set **out, struct segment_log *log, const char *directory)
{
	struct segment_log_reader *reader;
	struct live_set *set;
	uint64_t position;
	int rc;

	rc = live_set_create(&set, STATE_ENTRIES_MAX);
	if (rc < 0)
		return rc;
	rc = live_set_load(set, directory, &position);
	if (rc < 0 && rc != -ENOENT)
		log_error("checkpoint in %s not read: %s; the journal is read from its beginning",
			  directory, strerror(-rc));
	rc = segment_log_reader_open(&reader, log, NULL, position);
	if (rc == 0) {
		rc = read_on(set, reader);
		if (segment_log_reader_damaged(reader) > 0)
			log_error("journal %s: %llu damaged places skipped", directory,
				  (unsigned long long)segment_log_reader_damaged(reader));
		segment_log_reader_close(reader);
	}
	if (rc < 0) {
		live_set_destroy(set);
		return rc;
	}
	*out = set;
	return 0;
}

/* ---- the follower ---- */

static int state_apply(void *arg, const struct journal_record *record, const void *body, size_t n)
{
	struct state_tier *tier = arg;
	int rc = live_set_apply(tier->set, record, body, n);
	uint32_t suppressed;

	tier->passed += n;
	if (rc == -ENOSPC && log_allowed(&tier->full_log, 1, &suppressed))
		log_error("live set full at %u entries: a restart will not know all (%u more)",
			  live_set_count(tier->set), suppressed);
	return rc == -ENOSPC ? 0 : rc;
}

static int save(struct state_tier *tier)
{
	int rc;

	live_set_expire(tier->set, clock_real_ns());
	rc = live_set_save(tier->set, tier->directory, tier->next);
	if (rc < 0)
		return rc;
	tier->saved = tier->next;
	tier->passed = 0;
	return 0;
}

static int state_commit(void *arg, uint64_t next)
{
	struct state_tier *tier = arg;

	tier->next = next;
	if (tier->passed < STATE_CHECKPOINT_BYTES)
		return FOLLOWER_CURSOR_STAYS;
	return save(tier);
}

/* What was applied may stay: it will be applied again. */
static void state_reset(void *arg)
{
	(void)arg;
}

int state_tier_start(struct state_tier **out, struct segment_log *log, const char *directory,
		     struct live_set *set)
{
	struct state_tier *tier = calloc(1, sizeof(*tier));
	struct follower_sink sink = {
		.name = JOURNAL_CURSOR_STATE,
		.types = STATE_TYPES,
		.batch_count = STATE_BATCH_COUNT,
		.batch_ms = STATE_BATCH_MS,
		.apply = state_apply,
		.commit = state_commit,
		.reset = state_reset,
		.arg = tier,
	};
	int rc = -ENOMEM;

	if (!tier) {
		live_set_destroy(set);
		return -ENOMEM;
	}
	tier->set = set;
	tier->directory = strdup(directory);
	if (tier->directory)
		rc = follower_start(&tier->follower, log, &sink);
	if (rc < 0) {
		state_tier_stop(tier);
		return rc;
	}
	*out = tier;
	return 0;
}

void state_tier_stop(struct state_tier *tier)
{
	if (!tier)
		return;
	if (tier->follower) {
		follower_stop(tier->follower, DRAIN_MS);
		if (tier->next > tier->saved) {
			int rc = save(tier);

			if (rc < 0)
				log_error("checkpoint in %s not written: %s", tier->directory,
					  strerror(-rc));
		}
	}
	live_set_destroy(tier->set);
	free(tier->directory);
	free(tier);
}

void state_tier_status(const struct state_tier *tier, uint64_t now_ns,
		       struct follower_status *status)
{
	follower_status(tier->follower, now_ns, status);
}

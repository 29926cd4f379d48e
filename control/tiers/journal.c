/*
 * The journal's writer side, on the SIP thread's loop. What was appended in a round goes to the
 * kernel at its end; the log's eventfd and deadline drive the rest.
 *
 *   append ... append | round end: submit | event: tick -> durable moves -> waits are called
 */
#include "control/tiers/journal.h"

#include "control/tiers/state.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"
#include "recorder/log/segment_log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_DEFAULT_MS  10
#define SEGMENT_DEFAULT_MB 16
#define BUFFERS            32   /* of 512 KiB: what a disk that hangs may hold up */
#define SUBMIT_WAIT_US     2000 /* for the kernel to have taken a round's records */
#define FLUSH_MS           5000

struct journal {
	struct loop *loop;
	struct segment_log *log;
	struct loop_fd event;
	struct timer deadline;
	struct list waits; /* by position */
	char *directory;
	struct live_set *live; /* from open to restore; then the state tier's */
	struct state_tier *state;
	bool dirty;   /* appended in this round */
	bool lagging; /* the kernel did not take a round in time: no wait until it has */
	struct log_limit refused_log;
	_Atomic uint64_t appended; /* written by the loop's thread, read by any, relaxed */
	_Atomic uint64_t refused;
	uint8_t body[JOURNAL_RECORD_MAX];
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

/* ---- durability ---- */

static void call_waits(struct journal *journal, uint64_t durable, int error)
{
	/* from the head each time: a callback may cancel others */
	while (!list_is_empty(&journal->waits)) {
		struct journal_wait *wait =
			list_entry(journal->waits.next, struct journal_wait, node);

		if (wait->position > durable && error == 0)
			break;
		list_remove(&wait->node);
		wait->durable(wait, error);
	}
}

/* After each submit or tick: the timer follows the log's deadline. */
static void follow_log(struct journal *journal)
{
	uint64_t deadline = segment_log_deadline_ms(journal->log);

	if (deadline == SEGMENT_LOG_NEVER)
		timer_stop(loop_timers(journal->loop), &journal->deadline);
	else
		timer_start(loop_timers(journal->loop), &journal->deadline, deadline);
	if (!list_is_empty(&journal->waits))
		call_waits(journal, segment_log_durable(journal->log), 0);
}

static void log_event(struct loop_fd *watch, uint32_t events)
{
	struct journal *journal = list_entry(watch, struct journal, event);

	(void)events;
	segment_log_tick(journal->log, now_ms());
	follow_log(journal);
}

static void deadline_expired(struct timer *timer, uint64_t now)
{
	struct journal *journal = list_entry(timer, struct journal, deadline);

	segment_log_tick(journal->log, now);
	follow_log(journal);
}

void journal_round_end(struct journal *journal)
{
	int rc;

	if (!journal->dirty)
		return;
	journal->dirty = false;
	rc = segment_log_submit(journal->log, now_ms(), journal->lagging ? 0 : SUBMIT_WAIT_US);
	journal->lagging = rc != 0;
	follow_log(journal);
}

/* ---- open, restore, close ---- */

/* A tier that has never been open has a claim on every record all the same: a cursor that exists
 * keeps segments from being trimmed, whether its follower runs or not. */
static int reserve_cursors(struct journal *journal)
{
	static const char *const names[] = {JOURNAL_CURSOR_STATE, JOURNAL_CURSOR_RECORDS};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct segment_log_cursor *cursor;
		int rc = segment_log_cursor_open(&cursor, journal->log, names[i]);

		if (rc < 0)
			return rc;
		segment_log_cursor_close(cursor);
	}
	return 0;
}

static int open_log(struct journal *journal, const struct journal_options *options)
{
	struct segment_log_options log_options = {
		.directory = options->directory,
		.segment_bytes = (options->segment_mb ? options->segment_mb : SEGMENT_DEFAULT_MB)
				 << 20,
		.buffers = BUFFERS,
		.commit_ms = options->commit_ms ? options->commit_ms : COMMIT_DEFAULT_MS,
	};
	int rc;

	if (options->segment_mb > SEGMENT_LOG_SEGMENT_MAX >> 20)
		return -EINVAL;
	rc = segment_log_open(&journal->log, &log_options);
	if (rc < 0)
		return rc;
	rc = reserve_cursors(journal);
	if (rc < 0)
		return rc;
	rc = state_load(&journal->live, journal->log, options->directory);
	if (rc < 0)
		return rc;
	journal->event.fd = segment_log_event_fd(journal->log);
	journal->event.ready = log_event;
	return loop_fd_add(journal->loop, &journal->event, EPOLLIN);
}

int journal_open(struct journal **out, struct loop *loop, const struct journal_options *options)
{
	struct journal *journal = calloc(1, sizeof(*journal));
	struct segment_log_stats stats;
	int rc = -ENOMEM;

	if (!journal)
		return -ENOMEM;
	journal->loop = loop;
	journal->event.fd = -1;
	list_init(&journal->waits);
	timer_init(&journal->deadline, deadline_expired);
	journal->directory = strdup(options->directory);
	if (journal->directory)
		rc = open_log(journal, options);
	if (rc < 0) {
		log_error("journal %s not opened: %s", options->directory, strerror(-rc));
		journal_close(journal);
		return rc;
	}
	segment_log_stats(journal->log, &stats);
	if (stats.torn_tails > 0 || stats.segments_lost > 0)
		log_warn("journal %s: %llu bytes of a torn tail cut off, %llu segments lost",
			 options->directory, (unsigned long long)stats.torn_bytes,
			 (unsigned long long)stats.segments_lost);
	*out = journal;
	return 0;
}

struct restore {
	const struct journal_restore *callbacks;
	struct journal_restored count;
};

static int restore_entry(void *arg, const struct live_entry *entry)
{
	struct restore *restore = arg;
	const struct journal_restore *callbacks = restore->callbacks;
	struct journal_record record;

	if (journal_record_decode(&record, entry->type, entry->version, entry->body,
				  entry->body_len) < 0)
		return 0;
	if (record.type == JOURNAL_CALL) {
		restore->count.calls++;
		if (callbacks->call)
			callbacks->call(callbacks->arg, record.call.state, &record.call.cdr);
	} else if (record.type == JOURNAL_BINDING_ADD) {
		restore->count.bindings++;
		if (callbacks->binding)
			callbacks->binding(callbacks->arg, &record.binding);
	}
	return 0;
}

int journal_restore(struct journal *journal, uint64_t now_ns,
		    const struct journal_restore *callbacks, struct journal_restored *restored)
{
	struct restore restore = {.callbacks = callbacks};
	struct live_set *live = journal->live;
	int rc;

	if (!live)
		return -EALREADY;
	live_set_expire(live, now_ns);
	live_set_each(live, restore_entry, &restore);
	journal->live = NULL;
	rc = state_tier_start(&journal->state, journal->log, journal->directory, live);
	if (rc < 0) {
		log_error("state tier not started: %s", strerror(-rc));
		return rc;
	}
	segment_log_trim(journal->log, SEGMENT_LOG_NEVER);
	if (restored)
		*restored = restore.count;
	return 0;
}

int journal_flush(struct journal *journal, uint32_t timeout_ms)
{
	int rc = segment_log_flush(journal->log, timeout_ms);

	journal->dirty = false;
	follow_log(journal);
	return rc;
}

void journal_close(struct journal *journal)
{
	if (!journal)
		return;
	if (journal->log) {
		int rc = segment_log_flush(journal->log, FLUSH_MS);

		if (rc < 0)
			log_error("journal %s not flushed: %s", journal->directory, strerror(-rc));
		timer_stop(loop_timers(journal->loop), &journal->deadline);
		loop_fd_del(journal->loop, &journal->event);
		call_waits(journal, segment_log_durable(journal->log), 0);
		call_waits(journal, 0, -ECANCELED);
		state_tier_stop(journal->state);
		segment_log_close(journal->log);
	}
	live_set_destroy(journal->live);
	free(journal->directory);
	free(journal);
}

struct segment_log *journal_log(struct journal *journal)
{
	return journal->log;
}

/* ---- append ---- */

static int refuse(struct journal *journal, const char *what, int error)
{
	uint32_t suppressed;

	atomic_fetch_add_explicit(&journal->refused, 1, memory_order_relaxed);
	if (log_allowed(&journal->refused_log, 1, &suppressed))
		log_error("journal record %s refused: %s (%u more)", what, strerror(-error),
			  suppressed);
	return error;
}

/* what: an id for the log line. */
static int append(struct journal *journal, struct journal_record *record, const char *what)
{
	int rc;

	record->at_ns = clock_real_ns();
	rc = journal_record_encode(record, journal->body, sizeof(journal->body));
	if (rc < 0)
		return refuse(journal, what, rc);
	rc = segment_log_append(journal->log, (uint16_t)record->type, JOURNAL_VERSION,
				journal->body, (uint32_t)rc, NULL);
	if (rc < 0)
		return refuse(journal, what, rc);
	journal->dirty = true;
	atomic_fetch_add_explicit(&journal->appended, 1, memory_order_relaxed);
	return 0;
}

int journal_call(struct journal *journal, enum journal_call_state state, const struct cdr *so_far)
{
	struct journal_record record = {.type = JOURNAL_CALL};

	record.call.state = state;
	record.call.cdr = *so_far;
	return append(journal, &record, so_far->id);
}

int journal_cdr(struct journal *journal, const struct cdr *cdr)
{
	struct journal_record record = {.type = JOURNAL_CDR, .cdr = *cdr};

	return append(journal, &record, cdr->id);
}

int journal_binding_add(struct journal *journal, const struct journal_binding *binding)
{
	struct journal_record record = {.type = JOURNAL_BINDING_ADD, .binding = *binding};

	return append(journal, &record, binding->aor);
}

int journal_binding_del(struct journal *journal, const char *aor, const char *contact)
{
	struct journal_record record = {.type = JOURNAL_BINDING_DEL};

	record.binding.aor = aor;
	record.binding.contact = contact;
	return append(journal, &record, aor);
}

int journal_receipt(struct journal *journal, const char *recording_id, const char *json,
		    struct journal_wait *wait)
{
	struct journal_record record = {.type = JOURNAL_RECEIPT};
	int rc;

	record.receipt.recording_id = recording_id;
	record.receipt.json = json;
	rc = append(journal, &record, recording_id);
	if (rc == 0 && wait) {
		wait->position = segment_log_appended(journal->log);
		list_append(&journal->waits, &wait->node);
	}
	return rc;
}

void journal_wait_cancel(struct journal_wait *wait)
{
	list_remove(&wait->node);
}

/* ---- status ---- */

void journal_status(const struct journal *journal, struct journal_status *status)
{
	struct segment_log_stats stats;

	segment_log_stats(journal->log, &stats);
	memset(status, 0, sizeof(*status));
	status->appended = atomic_load_explicit(&journal->appended, memory_order_relaxed);
	status->refused = atomic_load_explicit(&journal->refused, memory_order_relaxed);
	status->end = segment_log_appended(journal->log);
	status->durable = segment_log_durable(journal->log);
	status->oldest = segment_log_oldest(journal->log);
	status->disk_bytes = stats.disk_bytes;
	status->error = stats.last_error;
	if (journal->state)
		state_tier_status(journal->state, clock_real_ns(), &status->state);
}

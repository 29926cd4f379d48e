/*
 * The follower's thread. It alone reads, applies and moves the cursor; what others may know of it
 * are a few atomics.
 */
#include "control/tiers/follower.h"

#include "dataplane/base/clock.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   5000
#define IDLE_WAIT_MS     1000
#define PROBE_EVERY_MS   3000
#define SKIP_CURSOR_MS   1000 /* a cursor past records of no interest moves this often */

struct follower {
	struct segment_log *log;
	struct follower_sink sink;
	struct segment_log_cursor *cursor;
	struct segment_log_reader *reader;
	pthread_t thread;
	/* the thread's own */
	uint64_t committed;      /* where a retry begins */
	uint64_t next;           /* after the last record read */
	uint64_t sequence;       /* of the last record read */
	uint64_t cursor_set_ms;  /* when the cursor was last moved */
	uint64_t batch_began_ms; /* valid while pending > 0 */
	uint64_t probed_ms;
	uint32_t pending;  /* applied and not committed */
	bool cursor_stays; /* so said the last commit */
	uint32_t backoff_ms;
	struct log_limit skip_log;
	/* for the thread's naps */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* read by any thread, relaxed */
	_Atomic uint64_t position;
	_Atomic uint64_t done_sequence;
	_Atomic uint64_t waiting_since_ns; /* at_ns of the oldest record not done; 0 = none */
	_Atomic uint64_t applied;
	_Atomic uint64_t skipped;
	_Atomic uint64_t failures;
	_Atomic int error;
	/* set by follower_stop: monotonic ms until which it may drain; 0 = go on */
	_Atomic uint64_t stop_at_ms;
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

static void set(_Atomic uint64_t *field, uint64_t value)
{
	atomic_store_explicit(field, value, memory_order_relaxed);
}

static void add(_Atomic uint64_t *field, uint64_t value)
{
	atomic_fetch_add_explicit(field, value, memory_order_relaxed);
}

static bool is_stopping(const struct follower *follower)
{
	return atomic_load_explicit(&follower->stop_at_ms, memory_order_acquire) != 0;
}

/* Sleeps, but not through a stop. */
static void nap(struct follower *follower, uint32_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&follower->lock);
	while (!is_stopping(follower)) {
		if (pthread_cond_timedwait(&follower->wake, &follower->lock, &until) == ETIMEDOUT)
			break;
	}
	pthread_mutex_unlock(&follower->lock);
}

static void note_error(struct follower *follower, int error)
{
	int before = atomic_exchange_explicit(&follower->error, error, memory_order_relaxed);

	if (error == before)
		return;
	if (error < 0)
		log_warn("tier %s is away: %s", follower->sink.name, strerror(-error));
	else
		log_info("tier %s is back", follower->sink.name);
}

/* The tier did not take the batch: all of it again, later and later. */
static void fail(struct follower *follower, int error)
{
	uint32_t jitter;

	note_error(follower, error);
	add(&follower->failures, 1);
	follower->sink.reset(follower->sink.arg);
	follower->pending = 0;
	follower->next = follower->committed;
	segment_log_reader_seek(follower->reader, follower->committed);
	random_bytes(&jitter, sizeof(jitter));
	nap(follower, follower->backoff_ms + jitter % (follower->backoff_ms / 2));
	follower->backoff_ms *= 2;
	if (follower->backoff_ms > BACKOFF_MAX_MS)
		follower->backoff_ms = BACKOFF_MAX_MS;
}

static void move_cursor(struct follower *follower)
{
	int rc;

	if (follower->cursor_stays ||
	    segment_log_cursor_position(follower->cursor) == follower->next)
		return;
	rc = segment_log_cursor_set(follower->cursor, follower->next);
	if (rc < 0)
		log_error("cursor %s not moved: %s", follower->sink.name, strerror(-rc));
	follower->cursor_set_ms = now_ms();
}

static void done(struct follower *follower)
{
	follower->committed = follower->next;
	set(&follower->position, follower->next);
	set(&follower->done_sequence, follower->sequence);
	set(&follower->waiting_since_ns, 0);
}

static void commit(struct follower *follower)
{
	int rc = follower->sink.commit(follower->sink.arg, follower->next);

	if (rc < 0) {
		fail(follower, rc);
		return;
	}
	note_error(follower, 0);
	follower->backoff_ms = BACKOFF_FIRST_MS;
	add(&follower->applied, follower->pending);
	follower->pending = 0;
	done(follower);
	follower->cursor_stays = rc == FOLLOWER_CURSOR_STAYS;
	move_cursor(follower);
}

static void skip(struct follower *follower, const struct segment_log_entry *entry, int error)
{
	uint32_t suppressed;

	add(&follower->skipped, 1);
	if (log_allowed(&follower->skip_log, 5, &suppressed))
		log_error("journal record %llu of type %u skipped by %s: %s (%u more)",
			  (unsigned long long)entry->sequence, entry->type, follower->sink.name,
			  error == -EPROTO ? "newer than this program" : "unreadable", suppressed);
}

static void take(struct follower *follower, const struct segment_log_entry *entry)
{
	struct journal_record record;
	int rc;

	if (follower->sequence == 0)
		set(&follower->done_sequence, entry->sequence - 1);
	follower->sequence = entry->sequence;
	follower->next = entry->next;
	if (entry->type >= 32 || !(follower->sink.types & UINT32_C(1) << entry->type)) {
		if (entry->type == 0 || entry->type >= JOURNAL_TYPES)
			skip(follower, entry, -EPROTO);
		return;
	}
	rc = journal_record_decode(&record, entry->type, entry->version, entry->payload,
				   entry->payload_len);
	if (rc < 0) {
		skip(follower, entry, rc);
		return;
	}
	if (follower->pending == 0) {
		follower->batch_began_ms = now_ms();
		if (atomic_load_explicit(&follower->waiting_since_ns, memory_order_relaxed) == 0)
			set(&follower->waiting_since_ns, record.at_ns);
	}
	rc = follower->sink.apply(follower->sink.arg, &record, entry->payload, entry->payload_len);
	if (rc < 0) {
		fail(follower, rc);
		return;
	}
	if (++follower->pending >= follower->sink.batch_count || rc == FOLLOWER_BATCH_FULL ||
	    now_ms() - follower->batch_began_ms >= follower->sink.batch_ms)
		commit(follower);
}

static void probe(struct follower *follower, uint64_t now)
{
	if (!follower->sink.probe || now - follower->probed_ms < PROBE_EVERY_MS)
		return;
	follower->probed_ms = now;
	note_error(follower, follower->sink.probe(follower->sink.arg));
}

/* Nothing to read up to `written`. That may be more than follower->next: a segment's header is no
 * record. */
static void rest(struct follower *follower, uint64_t written)
{
	uint64_t now = now_ms();

	if (follower->pending > 0) {
		uint64_t age_ms = now - follower->batch_began_ms;

		if (age_ms >= follower->sink.batch_ms || is_stopping(follower))
			commit(follower);
		else
			segment_log_wait(follower->log, written,
					 (uint32_t)(follower->sink.batch_ms - age_ms));
		return;
	}
	if (follower->next != follower->committed) {
		/* only records of no interest since then */
		done(follower);
		if (now - follower->cursor_set_ms >= SKIP_CURSOR_MS)
			move_cursor(follower);
	}
	probe(follower, now);
	if (!is_stopping(follower))
		segment_log_wait(follower->log, written, IDLE_WAIT_MS);
}

/* True when the thread is to end: told so, and nothing left that it can do in time. */
static bool is_over(struct follower *follower, bool drained)
{
	uint64_t stop_at = atomic_load_explicit(&follower->stop_at_ms, memory_order_relaxed);

	if (stop_at == 0)
		return false;
	if (atomic_load_explicit(&follower->error, memory_order_relaxed) != 0 ||
	    now_ms() >= stop_at)
		return true;
	return drained && follower->pending == 0;
}

static void *follow(void *arg)
{
	struct follower *follower = arg;
	bool drained = false; /* nothing was left to read after the order to stop */

	while (!is_over(follower, drained)) {
		bool stopping = is_stopping(follower);
		uint64_t written = segment_log_written(follower->log);
		struct segment_log_entry entry;
		int rc = segment_log_reader_next(follower->reader, &entry);

		drained = stopping && rc == 0;
		if (rc == 1) {
			take(follower, &entry);
		} else if (rc == 0) {
			rest(follower, written);
		} else {
			add(&follower->skipped, 1);
			log_error("journal read by %s: %s", follower->sink.name, strerror(-rc));
			nap(follower, BACKOFF_FIRST_MS);
		}
	}
	return NULL;
}

static int prepare(struct follower *follower)
{
	pthread_condattr_t attributes;
	int rc;

	pthread_mutex_init(&follower->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&follower->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	rc = segment_log_cursor_open(&follower->cursor, follower->log, follower->sink.name);
	if (rc < 0)
		return rc;
	follower->committed = segment_log_cursor_position(follower->cursor);
	follower->next = follower->committed;
	set(&follower->position, follower->committed);
	return segment_log_reader_open(&follower->reader, follower->log, NULL, follower->committed);
}

static void release(struct follower *follower)
{
	if (follower->reader)
		segment_log_reader_close(follower->reader);
	if (follower->cursor)
		segment_log_cursor_close(follower->cursor);
	pthread_cond_destroy(&follower->wake);
	pthread_mutex_destroy(&follower->lock);
	free(follower);
}

int follower_start(struct follower **out, struct segment_log *log, const struct follower_sink *sink)
{
	struct follower *follower = calloc(1, sizeof(*follower));
	int rc;

	if (!follower)
		return -ENOMEM;
	follower->log = log;
	follower->sink = *sink;
	follower->backoff_ms = BACKOFF_FIRST_MS;
	rc = prepare(follower);
	if (rc == 0) {
		*out = follower; /* the sink may ask for it from its thread */
		rc = -pthread_create(&follower->thread, NULL, follow, follower);
	}
	if (rc < 0) {
		*out = NULL;
		release(follower);
		return rc;
	}
	pthread_setname_np(follower->thread, sink->name);
	return 0;
}

void follower_stop(struct follower *follower, uint32_t drain_ms)
{
	if (!follower)
		return;
	pthread_mutex_lock(&follower->lock);
	/* release; pairs with the acquire in is_stopping: what was written before is seen after */
	atomic_store_explicit(&follower->stop_at_ms, now_ms() + drain_ms, memory_order_release);
	pthread_cond_signal(&follower->wake);
	pthread_mutex_unlock(&follower->lock);
	segment_log_wake(follower->log);
	pthread_join(follower->thread, NULL);
	if (follower->pending == 0)
		move_cursor(follower);
	release(follower);
}

bool follower_must_end(const struct follower *follower)
{
	uint64_t stop_at;

	if (!follower)
		return false;
	stop_at = atomic_load_explicit(&follower->stop_at_ms, memory_order_relaxed);
	return stop_at != 0 && now_ms() >= stop_at;
}

static uint64_t get(const _Atomic uint64_t *field)
{
	return atomic_load_explicit(field, memory_order_relaxed);
}

void follower_status(const struct follower *follower, uint64_t now_ns,
		     struct follower_status *status)
{
	uint64_t since = get(&follower->waiting_since_ns);
	uint64_t last = segment_log_sequence(follower->log);
	uint64_t done_sequence = get(&follower->done_sequence);

	memset(status, 0, sizeof(*status));
	status->position = get(&follower->position);
	if (status->position < segment_log_appended(follower->log) && last > done_sequence)
		status->lag_records = last - done_sequence;
	if (since != 0 && now_ns > since)
		status->lag_ms = (now_ns - since) / NS_PER_MS;
	status->applied = get(&follower->applied);
	status->skipped = get(&follower->skipped);
	status->failures = get(&follower->failures);
	status->error = atomic_load_explicit(&follower->error, memory_order_relaxed);
}

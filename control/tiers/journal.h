/*
 * Control's journal: every state change that must outlive the process, as typed records in a
 * segment log (recorder/log). The SIP thread appends and goes on; the log makes what was appended
 * in one round of the loop durable with one commit; followers (control/tiers/follower.h) carry the
 * records to the tiers.
 *
 *   SIP thread --append--> segment log --> records follower --> SQLite / PostgreSQL
 *                              |
 *                              +--> state follower --> checkpoint of live bindings and calls
 *
 * A journal that cannot take a record (disk full, EIO) counts it and says so in its status; calls
 * go on. All functions here are for the loop's thread unless said otherwise.
 */
#pragma once

#include "control/tiers/follower.h"
#include "control/tiers/journal_record.h"
#include "dataplane/base/list.h"
#include "dataplane/base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal;

/* The followers' cursors; made with the journal, so that nothing goes before they have passed. */
#define JOURNAL_CURSOR_STATE   "state"
#define JOURNAL_CURSOR_RECORDS "records"

/* Waits until a record is durable. Embedded in its owner; durable() is called once, from the loop,
 * with 0 or -errno (the record may be lost). */
struct journal_wait {
	struct list node;  /* the journal's */
	uint64_t position; /* the journal's */
	void (*durable)(struct journal_wait *wait, int error);
};

struct journal_options {
	const char *directory; /* made when absent */
	uint32_t commit_ms;    /* group commit at most this much later; 0 = 10 */
	uint32_t segment_mb;   /* 0 = 16 */
};

/* Opens or makes the journal, repairs a torn tail, reads the live state (checkpoint and what came
 * after it). 0 or -errno, logged. */
int journal_open(struct journal **journal, struct loop *loop,
		 const struct journal_options *options);
/* Waits until everything appended is durable: 0, -ETIMEDOUT or the last error. For shutdown. */
int journal_flush(struct journal *journal, uint32_t timeout_ms);
/* Commits what was appended, waits for it, writes a checkpoint, closes. Waits still pending are
 * called with -ECANCELED. Followers of others are stopped before. NULL is fine. */
void journal_close(struct journal *journal);

/* ---- restore: once, after journal_open, before the first append; without it nothing is ever
 * trimmed ----
 * Calls binding() for every binding that has not been removed nor expired at now_ns (ns since
 * 1970), and call() for every call that began and has no CDR: its last state and its CDR so far,
 * from which the caller makes the CDR that ends it. The arguments live until the callback returns.
 * Either may be NULL. The callbacks may append. */
struct journal_restore {
	void (*binding)(void *arg, const struct journal_binding *binding);
	void (*call)(void *arg, enum journal_call_state state, const struct cdr *so_far);
	void *arg;
};
struct journal_restored {
	uint32_t bindings;
	uint32_t calls;
};
/* restored may be NULL. 0, -EALREADY, or -errno when the state tier did not start (fatal: logged).
 */
int journal_restore(struct journal *journal, uint64_t now_ns, const struct journal_restore *restore,
		    struct journal_restored *restored);

/* ---- append. 0, or -errno and the record is counted as refused; callers need not look. ---- */

/* The call's state and everything its CDR would say now. */
int journal_call(struct journal *journal, enum journal_call_state state, const struct cdr *so_far);
/* The call is over: exactly once per id. */
int journal_cdr(struct journal *journal, const struct cdr *cdr);
int journal_binding_add(struct journal *journal, const struct journal_binding *binding);
/* Removed by the phone, or expired. */
int journal_binding_del(struct journal *journal, const char *aor, const char *contact);
/* A receipt as received: JSON text, terminated, one line. wait may be NULL; when this fails it is
 * not called. */
int journal_receipt(struct journal *journal, const char *recording_id, const char *json,
		    struct journal_wait *wait);
/* Its owner goes away: it will not be called. Harmless when it was called already. */
void journal_wait_cancel(struct journal_wait *wait);

/* To be called from the loop's after-round hook, before what the round sends goes out: hands what
 * it appended to the kernel, so that a killed process loses none of it. That is a copy into the
 * page cache and takes microseconds; a disk that hangs is waited for once, for 2 ms, and then not
 * until it has caught up. A round that appended nothing costs a comparison. */
void journal_round_end(struct journal *journal);

/* Any thread. Positions are the log's; lag is counted by the followers. */
struct journal_status {
	uint64_t appended; /* records, since start */
	uint64_t refused;  /* records that could not be taken, since start */
	uint64_t end;      /* position after the last record appended */
	uint64_t durable;  /* everything before it is on disk */
	uint64_t oldest;   /* position of the oldest segment that is kept */
	uint64_t disk_bytes;
	int error;                    /* -errno of the last failed step; 0 after a success */
	struct follower_status state; /* the state tier's */
};
void journal_status(const struct journal *journal, struct journal_status *status);

/* The log beneath, for followers. */
struct segment_log *journal_log(struct journal *journal);

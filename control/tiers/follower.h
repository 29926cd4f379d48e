/*
 * A follower: a thread that carries the journal's records to one tier, with a durable cursor.
 *
 *   log --read--> apply --(batch full, or old enough)--> commit --> cursor moves
 *                   ^                                      |
 *                   `--- everything since the last commit <+- failed: reset, back off, again
 *
 * So each record reaches the tier at least once, and the tier makes that exactly once in effect by
 * the record's id.
 */
#pragma once

#include "control/tiers/journal_record.h"
#include "recorder/log/segment_log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct follower;

#define FOLLOWER_CURSOR_STAYS 1 /* outcome of commit */
#define FOLLOWER_BATCH_FULL   1 /* outcome of apply */

/* The tier's side; all of it is called in the follower's thread. */
struct follower_sink {
	const char *name;     /* of the cursor and the thread; a literal */
	uint32_t types;       /* bits 1 << enum journal_type: what apply() wants to see */
	uint32_t batch_count; /* most records of a batch */
	uint32_t batch_ms;    /* its first record waits at most this long for others */
	/* Takes the record into the batch; body (n bytes) is what it was decoded from. 0,
	 * FOLLOWER_BATCH_FULL to have it committed now, or -errno: reset and again later. */
	int (*apply)(void *arg, const struct journal_record *record, const void *body, size_t n);
	/* Makes the batch safe; next is the position after it. 0, FOLLOWER_CURSOR_STAYS when it
	 * counts as done but a restart must read it again, or -errno: reset and again later. */
	int (*commit)(void *arg, uint64_t next);
	/* Forgets what was applied since the last commit. */
	void (*reset)(void *arg);
	/* Called now and then while there is nothing to do; -errno when the tier is away. May be
	 * NULL. */
	int (*probe)(void *arg);
	void *arg;
};

struct follower_status {
	uint64_t position;    /* everything before it is done with */
	uint64_t lag_records; /* in the journal and not yet done with */
	uint64_t lag_ms;      /* age of the oldest of them that this tier wants */
	uint64_t applied;     /* records committed since start */
	uint64_t skipped;     /* unreadable or too new, since start */
	uint64_t failures;    /* commits that failed, since start */
	int error;            /* -errno of the last try; 0 when the tier is there */
};

/* Starts the thread at the cursor (made when absent). The log and the sink's arg outlive it. 0 or
 * -errno. */
int follower_start(struct follower **follower, struct segment_log *log,
		   const struct follower_sink *sink);
/* Lets it finish what is written so far unless its tier is away (at most drain_ms), then joins. */
void follower_stop(struct follower *follower, uint32_t drain_ms);
/* Any thread. True when the thread must end now, drained or not: for a sink that waits inside
 * commit. NULL is not. */
bool follower_must_end(const struct follower *follower);
/* Any thread; now_ns since 1970. */
void follower_status(const struct follower *follower, uint64_t now_ns,
		     struct follower_status *status);

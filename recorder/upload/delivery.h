/*
 * The durable queue from finished file to acknowledged receipt. Each step is a record in the spool
 * before the next one relies on it:
 *
 *   FINISHED -> (uploader) -> UPLOADED -> (durable: the local file goes) -> (control) -> ACKED
 *
 * After a restart delivery_recover() gets these records again, in order, and everything goes on
 * where it was. The loop's thread.
 */
#pragma once

#include "recorder/log/segment_log.h"
#include "recorder/recording/finalize.h"
#include "recorder/upload/receipts.h"
#include "recorder/upload/uploader.h"

#include <stdint.h>

struct deliveries;

struct delivery_counters {
	uint64_t entries;   /* now: finished, not acknowledged */
	uint64_t finished;  /* since start */
	uint64_t carried;   /* FINISHED records written again so that old segments can go */
	uint64_t held_back; /* spool records that had to wait because the spool took no more */
	uint64_t broken;    /* FINISHED records that could not be read at start-up */
};

/* All of these outlive the deliveries. files: directory of the finished files. */
int deliveries_create(struct deliveries **deliveries, struct segment_log *spool,
		      struct uploader *uploader, struct loop *loop, const char *receipt_socket,
		      const char *files);
void deliveries_destroy(struct deliveries *deliveries);

/*
 * The file FILES/ID.wav of an ended recording is built. Takes a copy of all it needs, and
 * result->streams. *position is set to where the FINISHED record ends up, 0 while the spool takes
 * nothing: then it is tried again with each tick (delivery_position). -ENOMEM.
 */
int deliveries_finish(struct deliveries *deliveries, const struct recording *recording,
		      struct finalize_result *result);
/* Position behind the FINISHED record of this recording; 0 = not in the spool yet; NEVER = no such
 * delivery (any more). */
uint64_t deliveries_position(const struct deliveries *deliveries, uint64_t generation,
			     uint64_t number);

/* A record of type FINISHED, UPLOADED or ACKED met by the opening scan. Returns true and the key of
 * the recording that is done with for FINISHED. */
bool deliveries_recover(struct deliveries *deliveries, const struct segment_log_entry *entry,
			struct spool_key *finished);
/* After the scan: starts what is left to do. */
void deliveries_start(struct deliveries *deliveries);

/* Writes what the spool did not take, deletes files, sends receipts. */
void deliveries_tick(struct deliveries *deliveries, uint64_t now_ms);

/* The spool position that everything below is done with, for deliveries; NEVER when there are none.
 */
uint64_t deliveries_least(const struct deliveries *deliveries);

void deliveries_counters(const struct deliveries *deliveries, struct delivery_counters *counters,
			 struct receipt_counters *receipts);

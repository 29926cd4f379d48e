/*
 * The records tier: follows the journal and writes CDRs and recordings into the store. The store
 * may be away, slow or full: the journal holds what is to be written, calls don't notice.
 */
#pragma once

#include "control/tiers/journal.h"
#include "control/tiers/records.h"

struct records_tier;

struct records_tier_status {
	const char *kind; /* "sqlite" or "postgresql" */
	struct follower_status follower;
	uint64_t refused;              /* rows that the store refuses for what they say */
	char error[RECORDS_ERROR_MAX]; /* sentence to the error of follower; "" = none */
};

/* Starts the follower; opens nothing yet, so a store that is away is no error. -EINVAL (logged)
 * when target names no store. target is copied. */
int records_tier_open(struct records_tier **tier, struct journal *journal, const char *target);
/* Makes the journal durable, gives the store a moment to take the rest, ends. NULL is fine. From
 * the loop's thread, before journal_close. */
void records_tier_close(struct records_tier *tier);
/* Any thread. */
void records_tier_status(struct records_tier *tier, uint64_t now_ns,
			 struct records_tier_status *status);

/*
 * The state tier: follows the journal, keeps the live set that its records add up to, and writes it
 * to a checkpoint now and then, so that old segments may go and a restart reads little.
 */
#pragma once

#include "control/tiers/follower.h"
#include "control/tiers/live_set.h"

struct state_tier;

#define STATE_CHECKPOINT_BYTES (8u * 1024 * 1024) /* of journal between two checkpoints */
#define STATE_ENTRIES_MAX      (1u << 20)

/* Reads checkpoint and journal into a new live set: everything that was written when it was
 * called. A damaged checkpoint is logged, and the journal alone tells what it can. 0 or -errno. */
int state_load(struct live_set **set, struct segment_log *log, const char *directory);

/* Starts the follower; takes the set over, also when it fails. directory is copied. */
int state_tier_start(struct state_tier **tier, struct segment_log *log, const char *directory,
		     struct live_set *set);
/* Writes a last checkpoint. NULL is fine. */
void state_tier_stop(struct state_tier *tier);
void state_tier_status(const struct state_tier *tier, uint64_t now_ns,
		       struct follower_status *status);

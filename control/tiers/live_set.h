/*
 * The live state that a journal's records add up to: bindings that stand and calls that have no CDR
 * yet, each as the body of the record that said so last.
 *
 *   CALL         id            -> body        CDR          id            -> gone
 *   BINDING_ADD  aor, contact  -> body        BINDING_DEL  aor, contact  -> gone
 *
 * Applying a record twice, or a run of records again from an earlier point, gives the same set.
 */
#pragma once

#include "control/tiers/journal_record.h"

#include <stddef.h>
#include <stdint.h>

struct live_set;

struct live_entry {
	enum journal_type type;
	uint16_t version;
	const void *body;
	size_t body_len;
};

/* Holds up to entries_max entries; -ENOMEM. */
int live_set_create(struct live_set **set, uint32_t entries_max);
void live_set_destroy(struct live_set *set);
void live_set_clear(struct live_set *set);

/* Applies a decoded record; body (n bytes) is what it was decoded from. Types that don't matter
 * here are fine. -ENOMEM, or -ENOSPC when the set is full: the entry is not in it. */
int live_set_apply(struct live_set *set, const struct journal_record *record, const void *body,
		   size_t n);

/* Drops bindings that expired before now_ns (ns since 1970); returns how many. */
uint32_t live_set_expire(struct live_set *set, uint64_t now_ns);

uint32_t live_set_count(const struct live_set *set);

/* Calls each() for every entry, calls in the order they began; stops at the first that is not 0
 * and returns it. each() must not change the set. */
int live_set_each(const struct live_set *set,
		  int (*each)(void *arg, const struct live_entry *entry), void *arg);

/* ---- the checkpoint: the set in a file, with the log position that it stands for ----
 *   magic u32 | version u32 | position u64 | count u32 | { type u16, version u16, length u32, body
 * } | CRC32C u32 of all before
 */

/* Writes directory/state.checkpoint through a temporary file; durable when it returns 0. */
int live_set_save(const struct live_set *set, const char *directory, uint64_t position);
/* Fills the empty set and *position. -ENOENT when there is none (position 0), -EBADMSG when it is
 * damaged, -errno; the set is empty then. */
int live_set_load(struct live_set *set, const char *directory, uint64_t *position);

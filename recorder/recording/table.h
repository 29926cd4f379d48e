/*
 * The recordings that are under way, built from the spool: fed with each record as it is appended,
 * or as the opening scan reads it. One thread.
 *
 *   START -> live -> END, CLOSED, silence -> ended -> (a finalizer builds the file) -> removed
 */
#pragma once

#include "dataplane/base/list.h"
#include "recorder/recording/position_index.h"
#include "recorder/recording/spool_record.h"

#include <stdbool.h>
#include <stdint.h>

#define RECORDING_ID_MAX     65 /* 64 characters of [A-Za-z0-9._-] and NUL */
#define RECORDING_REASON_MAX 32
#define RECORDINGS_MAX       20000 /* at once */
#define RECORDING_TEXT_MAX   8192  /* of call id and of metadata, each */

enum recording_state { RECORDING_LIVE, RECORDING_ENDED, RECORDING_FINALIZING };

struct recording {
	struct list node;        /* of the table's list */
	struct recording *chain; /* of its hash bucket */
	enum recording_state state;
	uint64_t generation;
	uint64_t number; /* unique within the generation */
	char id[RECORDING_ID_MAX];
	char *call_id;
	char *metadata;
	uint64_t started_ns; /* CLOCK_REALTIME */
	uint64_t ended_ns;
	uint64_t last_ns; /* arrival of the last record */
	char reason[RECORDING_REASON_MAX];
	uint64_t first_position; /* in the spool, of START */
	uint64_t last_position;
	uint64_t active_ms; /* monotonic: last time a record came */
	struct position_index index;
	uint32_t failures; /* of building the file */
	void *owner;       /* the daemon's */
};

struct recording_table_counters {
	uint64_t started;
	uint64_t ended;
	uint64_t live;
	uint64_t refused_full; /* START beyond RECORDINGS_MAX */
	uint64_t start_broken; /* START that could not be read: an id was made up */
	uint64_t start_again;  /* START of a recording that is there already */
	uint64_t orphans;      /* records of a recording that is not there (any more) */
	uint64_t unindexed;    /* records that found no memory, or an index that is full */
};

struct recording_table;

int recording_table_create(struct recording_table **table);
void recording_table_destroy(struct recording_table *table);

/* Feeds the fork record that stands at `position` of the spool. Returns the recording when this
 * record ended it (state RECORDING_ENDED), else NULL. */
struct recording *recording_table_feed(struct recording_table *table, uint64_t position,
				       uint64_t now_ms, const struct spool_fork *from,
				       const struct td_fork_record *record, const uint8_t *payload);

struct recording *recording_table_find(struct recording_table *table, uint64_t generation,
				       uint64_t number);
/* Ends it as of ended_ns: for CLOSED records. */
void recording_table_close(struct recording_table *table, struct recording *recording,
			   uint64_t ended_ns, const char *reason);
/* Takes it out and frees it. */
void recording_table_remove(struct recording_table *table, struct recording *recording);

/* All of them: list_each over recording->node. */
struct list *recording_table_all(struct recording_table *table);
/* The first live recording without a record since `before_ms`, or NULL. */
struct recording *recording_table_silent(struct recording_table *table, uint64_t before_ms);
/* The first live recording of the generation (same = true) or of any other one (false), or NULL. */
struct recording *recording_table_of_generation(struct recording_table *table, uint64_t generation,
						bool same);
const struct recording_table_counters *recording_table_counters(
	const struct recording_table *table);

/* True for 1 to 64 characters of [A-Za-z0-9._-] that begin with none of "." and "-". */
bool recording_id_is_valid(const char *id);

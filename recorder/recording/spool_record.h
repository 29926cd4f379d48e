/*
 * What stands in the recorder's spool (a segment log): every fork record as it came out of the
 * ring, and the steps of each recording's life after it. After a crash the spool alone tells what
 * is left to do:
 *
 *   FORK START .. FORK packets .. FORK END | CLOSED      the recording is complete, build its file
 *   FINISHED                                             the file is built and queued for upload
 *   UPLOADED                                             verified in the store, receipt on its way
 *   ACKED                                                control has it: nothing left to do
 */
#pragma once

#include "dataplane/api/fork.h"

#include <stdint.h>

#define SPOOL_VERSION 1

enum spool_type {
	SPOOL_FORK = 1,     /* struct spool_fork, struct td_fork_record, its payload */
	SPOOL_CLOSED = 2,   /* struct spool_key, reason as text: ended without an END record */
	SPOOL_FINISHED = 3, /* struct spool_key, receipt as JSON (upload/receipt.h); again when an
			       old one is carried to the front so that its segment can go */
	SPOOL_UPLOADED = 4, /* recording id as text */
	SPOOL_ACKED = 5,    /* recording id as text */
};

/* Where a fork record came from: after a restart the ring is read on from behind the last one. */
struct spool_fork {
	uint64_t generation; /* of the ring */
	uint64_t ring_end;   /* ring position after the record */
	uint32_t worker;
	uint32_t reserved;
};
_Static_assert(sizeof(struct spool_fork) == 24, "as on disk");

struct spool_key {
	uint64_t generation;
	uint64_t recording;
	uint64_t ended_ns; /* CLOCK_REALTIME; CLOSED only */
};
_Static_assert(sizeof(struct spool_key) == 24, "as on disk");

/* A fork record found in a spool record's payload; -EBADMSG when it is not one. *payload points
 * into `bytes`. */
int spool_fork_parse(const uint8_t *bytes, uint32_t n, struct spool_fork *from,
		     struct td_fork_record *record, const uint8_t **payload);

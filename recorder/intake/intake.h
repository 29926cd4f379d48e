/*
 * From the fork rings into the spool. Connects to the dataplane's fork socket, receives the rings,
 * turns each fork record into a spool record, and gives ring space back only when the kernel has
 * what was in it: a recorder that is killed finds the rest in the ring when it comes back.
 *
 *   ring:  tail ..... next ..... head        tail moves behind next when segment_log_written()
 *          |  being    |  not yet            has passed the record's place in the spool
 *          |  written  |  read
 *
 * Rings of a dataplane that went away are read to the end first. One thread.
 */
#pragma once

#include "dataplane/base/loop.h"
#include "recorder/log/segment_log.h"
#include "recorder/recording/table.h"

#include <stdbool.h>
#include <stdint.h>

#define INTAKE_GONE_MS 10000 /* without connection and heartbeat: the dataplane is gone */

struct intake;

struct intake_events {
	void *arg;
	/* The table says that this recording ended. */
	void (*recording_ended)(void *arg, struct recording *recording);
	/* The set of generations that intake_holds() says yes to has changed: live recordings of
	 * others get no more records. */
	void (*generations_changed)(void *arg);
};

struct intake_counters {
	uint64_t records;   /* into the spool */
	uint64_t bytes;     /* of them, payload and header */
	uint64_t again;     /* found in the ring and in the spool: read before a restart */
	uint64_t unknown;   /* of a type that we do not know; skipped */
	uint64_t held_back; /* rounds in which the spool took no more; the rest stays in the ring */
	uint64_t broken;    /* rings given up because their content made no sense */
	uint64_t connects;
	uint64_t refused;    /* hello messages or descriptors that made no sense */
	uint64_t rings;      /* attached now */
	uint64_t ring_bytes; /* waiting in them now */
	uint64_t overruns;   /* as the producers count them, of the rings attached now */
	bool connected;
	uint64_t generation; /* of the dataplane connected last */
};

/* The log, loop and table outlive the intake. path is copied. -ENOMEM. */
int intake_create(struct intake **intake, struct loop *loop, struct segment_log *spool,
		  struct recording_table *table, const char *socket_path,
		  const struct intake_events *events);
/* Does not drain. NULL is fine. */
void intake_destroy(struct intake *intake);

/* Tells what the spool held at start-up, record by record, before the first poll. */
void intake_resume(struct intake *intake, const struct spool_fork *from);

/* Connects, or connects again. Called by itself later on. */
void intake_start(struct intake *intake);

/*
 * Reads what is in the rings, at most a bounded number of records, and gives back what is written.
 * now_ms: CLOCK_MONOTONIC, real_ns: CLOCK_REALTIME. Returns how many records were read.
 */
uint32_t intake_poll(struct intake *intake, uint64_t now_ms, uint64_t real_ns);

/* True when records of this generation may still come. */
bool intake_holds(const struct intake *intake, uint64_t generation);
/* True once a dataplane was met in this run: before, nothing is known about who is gone. */
bool intake_has_attached(const struct intake *intake);
/* True when all rings are empty and given back. */
bool intake_is_drained(const struct intake *intake);

void intake_counters(const struct intake *intake, struct intake_counters *counters);

/* Attaches rings as if they had come over the socket; takes the descriptors. For tests, and what
 * the socket's reader does. -EPROTO, -errno. */
int intake_attach(struct intake *intake, uint64_t generation, const int *fds, uint32_t count);

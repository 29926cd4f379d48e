/*
 * Builds the file of one ended recording from the spool: reads its records back, places them on one
 * time line, writes the WAV and tells what became of every packet. Runs in a finalizer thread;
 * touches nothing but the request and the file.
 */
#pragma once

#include "recorder/format/digest.h"
#include "recorder/log/segment_log.h"
#include "recorder/recording/table.h"

#include <jansson.h>

#include <stdint.h>

#define FINALIZE_KEY_MAX (RECORDING_ID_MAX + 20) /* "YYYY/MM/DD/ID.wav" */

/* received = written + overrun + duplicate + undecoded; lost never arrived and comes on top. */
struct finalize_packets {
	uint64_t received; /* by the dataplane */
	uint64_t written;  /* in the file */
	uint64_t lost;     /* on the way to the dataplane: sequence numbers never seen */
	uint64_t overrun;  /* between dataplane and recorder: the ring was full */
	uint64_t duplicate;
	uint64_t undecoded; /* unknown codec, broken payload, or placed outside the recording */
};

struct finalize_result {
	struct digest_sums sums;
	char key[FINALIZE_KEY_MAX]; /* in the object store */
	uint32_t channels;
	uint32_t rate_hz;
	uint64_t duration_ms;
	struct finalize_packets packets;
	json_t *streams;     /* array of objects; the caller's to json_decref */
	uint64_t unreadable; /* spool records that could not be read back */
};

/* recording is not changed by anybody meanwhile. path is created or overwritten. -errno: of writing
 * the file; broken or missing input is counted, never an error. */
int finalize_run(const struct recording *recording, const struct segment_log *spool,
		 const char *path, struct finalize_result *result);

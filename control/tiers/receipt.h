/* A receipt: what the recorder says of a recording that is in the object store (JSON, version 1).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define RECEIPT_ID_MAX 64 /* bytes of a recording id */

/* The row of a recording. Times are ns since 1970. */
struct recording {
	const char *id;
	const char *call_id; /* of the CDR; "" = not from a call of ours */
	const char *metadata;
	const char *object;  /* key in the object store */
	const char *sha256;  /* of the stored file, hex */
	const char *format;  /* "wav" */
	const char *reason;  /* why it ended */
	const char *receipt; /* as received */
	uint64_t bytes;
	uint64_t channels;
	uint64_t duration_ms;
	uint64_t started_ns;
	uint64_t ended_ns;
	uint64_t packets_received;
	uint64_t packets_written;
	uint64_t packets_lost;
	uint64_t packets_overrun;
	uint64_t packets_duplicate;
	uint64_t packets_undecoded;
};

struct receipt;

/*
 * Parses n bytes (one line, without its end). Returns 0 and *receipt, -EBADMSG with *reason set to
 * a static sentence when it is no receipt, -EPROTO when its version is newer (reason set), -ENOMEM.
 */
int receipt_parse(struct receipt **receipt, const char *json, size_t n, const char **reason);
/* What it says; texts live as long as the receipt. */
const struct recording *receipt_recording(const struct receipt *receipt);
void receipt_free(struct receipt *receipt);

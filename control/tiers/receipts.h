/*
 * The receipts listener: the recorder connects, writes one receipt a line (receipt.h), and gets
 * {"ack":"RECORDING_ID"} for each once it is durable in the journal. What is not acknowledged comes
 * again; the records tier knows a recording by its id.
 *
 *   line --parse--> journal --durable--> ack          bad line --> {"error":"..."}, counted
 *
 * A line that is too long ends its connection. A connection with RECEIPTS_PENDING_MAX receipts
 * under way is not read until one is acknowledged.
 */
#pragma once

#include "control/tiers/journal.h"

#include <stdint.h>

#define RECEIPTS_CONNECTIONS_MAX 8
#define RECEIPTS_PENDING_MAX     32 /* per connection */

struct receipts;

struct receipts_status {
	uint64_t received; /* well-formed receipts */
	uint64_t acked;
	uint64_t bad;         /* lines that are no receipt, or too long */
	uint64_t refused;     /* the journal did not take it: no ack */
	uint64_t connections; /* now */
	uint64_t turned_away; /* connections beyond the limit */
};

/* Listens on the Unix socket at path (mode 0660). 0 or -errno, logged. */
int receipts_open(struct receipts **receipts, struct loop *loop, struct journal *journal,
		  const char *path);
/* Before journal_close. NULL is fine. */
void receipts_close(struct receipts *receipts);
/* Any thread. */
void receipts_status(const struct receipts *receipts, struct receipts_status *status);

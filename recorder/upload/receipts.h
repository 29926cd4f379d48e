/*
 * Receipts to control: one JSON line each over a Unix stream socket on which control listens; it
 * answers {"ack":"RECORDING_ID"} when the receipt is in its journal. What is not acknowledged is
 * sent again, after RECEIPT_AGAIN_MS or a new connection, for as long as it takes. The loop's
 * thread.
 */
#pragma once

#include "dataplane/base/list.h"
#include "dataplane/base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECEIPT_AGAIN_MS     5000
#define RECEIPT_RECONNECT_MS 1000
#define RECEIPT_LINE_MAX     65536
#define RECEIPT_WINDOW       64 /* sent and not acknowledged */

struct receipts;

/* Embedded in its owner. */
struct receipt {
	const char *id;   /* recording id */
	const char *line; /* JSON without the newline, at most RECEIPT_LINE_MAX */
	size_t len;
	/* the receipts' */
	struct list node;
	uint64_t sent_ms; /* 0 = not sent over this connection */
};

struct receipt_counters {
	uint64_t waiting; /* not acknowledged */
	uint64_t sent;
	uint64_t acknowledged;
	uint64_t unknown; /* lines from control that acknowledge nothing we wait for */
	bool connected;
};

int receipts_create(struct receipts **receipts, struct loop *loop, const char *socket_path,
		    void (*acknowledged)(void *arg, struct receipt *receipt), void *arg);
void receipts_destroy(struct receipts *receipts);
/* Stays queued until acknowledged(), which gets it back, or receipts_remove. */
void receipts_add(struct receipts *receipts, struct receipt *receipt);
void receipts_remove(struct receipts *receipts, struct receipt *receipt);
/* (Re)connects, sends, sends again; called at least once a second. */
void receipts_tick(struct receipts *receipts, uint64_t now_ms);
void receipts_counters(const struct receipts *receipts, struct receipt_counters *counters);

/*
 * Threads that put files into the store until it has them: put, verify, and again after a pause
 * that doubles up to a minute, with jitter, for as long as it takes.
 */
#pragma once

#include "dataplane/base/loop.h"
#include "recorder/upload/store.h"

#include <stdint.h>

#define UPLOAD_RETRY_MIN_MS 1000
#define UPLOAD_RETRY_MAX_MS 60000

struct uploader;

/* Embedded in its owner, who keeps it until done() was called. */
struct upload {
	/* the owner's, constant while it is queued */
	const char *key;
	const char *path;
	const struct digest_sums *sums;
	void (*done)(struct upload *upload); /* in the loop's thread: the store has it, verified */
	/* the uploader's */
	struct upload *next;
	uint64_t due_ms;
	uint32_t attempts;
	struct loop_work work;
};

struct uploader_counters {
	uint64_t queued; /* now, the one under way included */
	uint64_t uploaded;
	uint64_t failures; /* attempts */
	uint64_t bytes;
	char last_error[STORE_ERROR_MAX]; /* of the last attempt that failed; "" after a success */
};

/* threads: 1 to 8. */
int uploader_create(struct uploader **uploader, struct loop *loop, struct store *store,
		    uint32_t threads);
void uploader_add(struct uploader *uploader, struct upload *upload);
/* Stops the threads; attempts under way are given up. What is queued stays the owner's; done() may
 * still be waiting in the loop. */
void uploader_stop(struct uploader *uploader);
void uploader_destroy(struct uploader *uploader);
void uploader_counters(struct uploader *uploader, struct uploader_counters *counters);

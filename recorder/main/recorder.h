/*
 * tandem-recorder: the root of the process, and what its parts ask of each other.
 *
 *   main loop    intake -> spool (segment log) -> table -> ended -> finalizer -> deliveries
 *   finalizer    one thread: spool -> file
 *   uploader     two threads: file -> store
 *   http         a thread per connection: status (asked of the main loop), objects (from the store)
 */
#pragma once

#include "dataplane/base/config.h"
#include "dataplane/base/loop.h"
#include "recorder/intake/intake.h"
#include "recorder/log/segment_log.h"
#include "recorder/recording/finalize.h"
#include "recorder/recording/table.h"
#include "recorder/upload/delivery.h"
#include "recorder/upload/store.h"
#include "recorder/upload/uploader.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

struct finalizer;
struct http;

struct recorder {
	const struct config *config;
	struct loop *loop;
	struct segment_log *spool;
	struct loop_fd spool_watch;
	struct recording_table *table;
	struct intake *intake;
	struct store *store;
	struct uploader *uploader;
	struct deliveries *deliveries;
	struct finalizer *finalizer;
	struct http *http;
	char *files; /* finished files wait here for upload */
	uint64_t started_ns;
	uint64_t tick_at_ms;  /* deliveries, at least every TICK_MS */
	uint64_t check_at_ms; /* silence, trimming: every second */
	uint64_t orphans_of_scan;
	struct {
		uint64_t finished;
		uint64_t failed; /* attempts to build a file */
		uint64_t closed_silent;
		uint64_t closed_gone; /* their dataplane is gone */
		uint64_t scanned;     /* spool records read at start-up */
		uint64_t damaged;     /* places in the spool that could not be read at start-up */
		uint64_t unreadable;  /* spool records that could not be read back for a file */
	} counters;
	char last_error[256];
};

/* recorder.c */
int recorder_start(struct recorder *recorder, const struct config *config);
/* One round: waits for events or the next poll, then moves everything on. */
void recorder_round(struct recorder *recorder);
/* Takes no more from the rings than is there now, makes the spool durable, stops the threads. */
void recorder_stop(struct recorder *recorder);
void recorder_error(struct recorder *recorder, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* scan.c: rebuilds table and deliveries from the spool. */
int recorder_scan(struct recorder *recorder);

/* status.c: the caller's to json_decref; NULL without memory. In the main loop. */
json_t *recorder_status(struct recorder *recorder);

/* finalizer.c */
struct finalizer_job {
	struct finalizer_job *next;
	struct finalizer *finalizer;
	struct recording *recording;
	uint64_t spool_end; /* behind the recording's last record */
	struct finalize_result result;
	int outcome;
	uint64_t due_ms; /* main loop: when to try again */
	bool built;      /* main loop: its delivery has it */
	struct loop_work work;
};

/* done() is called in the main loop for each job; jobs stay the caller's. */
int finalizer_create(struct finalizer **finalizer, struct loop *loop,
		     const struct segment_log *spool, const char *files,
		     void (*done)(void *arg, struct finalizer_job *job), void *arg);
void finalizer_add(struct finalizer *finalizer, struct finalizer_job *job);
uint64_t finalizer_queued(struct finalizer *finalizer);
/* Finishes the job under way; the others are forgotten (the spool knows them). */
void finalizer_destroy(struct finalizer *finalizer);

/* http.c: takes over the listening socket. */
int http_create(struct http **http, struct recorder *recorder, int listen_fd);
/* In the main loop, which goes on running rounds inside until all answers are out. */
void http_destroy(struct http *http);
/* A listening Unix socket at path (an old one is replaced), mode 0660; or -errno. */
int http_listen(const char *path);

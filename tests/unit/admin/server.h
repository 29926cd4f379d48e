/* A whole HTTP API in the test's process: board, journal, records in SQLite, a loop in a thread. */
#pragma once

#include "control/admin/admin.h"
#include "tests/unit/tiers/fixture.h"

#include <pthread.h>

#define SECRET "correct horse battery staple"

struct server {
	struct bench bench;
	struct admin *admin;
	struct board *board;
	struct bans *bans;
	struct trace *trace;
	struct records_tier *records;
	struct receipts *receipts;
	pthread_t thread;
	bool connected; /* what is told of the dataplane */
	int reload_rc;  /* what a reload gives */
	int reloads;
	char hung_up[64]; /* last id */
	char directory[SCRATCH_MAX];
	char socket[128];
	char target[160]; /* of the records tier */
	char http[32];    /* address of the TCP side */
};

/* One call and one registration are on the board, two CDRs and a recording in the records. */
void server_start(struct server *server);
void server_stop(struct server *server);

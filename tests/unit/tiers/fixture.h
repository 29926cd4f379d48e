/* What the tests of the tiers share: a scratch directory, records to write, a loop to turn. */
#pragma once

#include "control/tiers/journal.h"
#include "dataplane/base/loop.h"

#include <stdbool.h>

#define SCRATCH_MAX 64

/* A directory of its own under /tmp, and its removal with everything in it. */
void scratch_make(char path[SCRATCH_MAX]);
void scratch_remove(const char *path);

/* A CDR with every field set; id and caller as given. */
struct cdr sample_cdr(const char *id, const char *caller);
struct journal_binding sample_binding(const char *aor, const char *contact);
/* A receipt as the recorder writes it (malloced). */
char *sample_receipt(const char *recording_id, const char *call_id);

/* A journal in `directory` on a loop of its own. */
struct bench {
	struct loop *loop;
	struct journal *journal;
	uint32_t restored_bindings;
	uint32_t restored_calls;
	char last_binding[256]; /* "aor contact" of the last one restored */
	char last_call[64];
	enum journal_call_state last_state;
};
void bench_open(struct bench *bench, const char *directory);
void bench_close(struct bench *bench);
/* Turns the loop until ready(arg) says so; false after five seconds. */
bool bench_until(struct bench *bench, bool (*ready)(void *arg), void *arg);

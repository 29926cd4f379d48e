/*
 * The ng commands: from a request's dictionary to a reply's. One table holds them all; what is not
 * in it gets "Unrecognized command".
 *
 * Beyond rtpengine's keys: `recording-id` in `start recording` (and in its reply, and in `offer` or
 * `answer` with `record call`) names the recording; `query` shows it while it runs.
 */
#pragma once

#include "dataplane/api/ng.h"
#include "dataplane/session/session.h"

#define NG_COMMANDS_MAX 16

struct ng_commands {
	struct session_table *table;
	/* The time of a command; NULL = the system's clocks. */
	void (*clock)(struct session_time *now);
	/* counted by ng_command_handle */
	uint64_t counts[NG_COMMANDS_MAX];
	uint64_t errors;
};

void ng_commands_init(struct ng_commands *commands, struct session_table *table);

/* Carries out one request and fills the (empty) reply dictionary. arg is a struct ng_commands. */
void ng_command_handle(void *arg, const struct ng_value *request, struct ng_arena *arena,
		       struct ng_value *reply);

/* The system's clocks. */
void session_time_read(struct session_time *now);

/* Replies that describe sessions: `query` and the statistics of `delete`, `list`, `statistics`. The
 * keys are rtpengine's, so that its users' scripts find them. */
#pragma once

#include "dataplane/api/ng.h"
#include "dataplane/session/session.h"

/* created, last signal, SSRC, tags, totals. */
void query_session(const struct session_table *table, const struct session *session,
		   struct ng_arena *arena, struct ng_value *reply);
/* calls: the call-ids of at most limit sessions, oldest first. */
void query_list(const struct session_table *table, int64_t limit, struct ng_arena *arena,
		struct ng_value *reply);
/* currentstatistics, totalstatistics, interfaces, drops; returns the dictionary for more. */
struct ng_value *query_statistics(const struct session_table *table, const struct session_time *now,
				  struct ng_arena *arena, struct ng_value *reply);

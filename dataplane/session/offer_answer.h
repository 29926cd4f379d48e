/* Offer and answer (RFC 3264) through the dataplane: the SDP of one party updates the model, and
 * the other party gets it with our addresses and ports. */
#pragma once

#include "dataplane/session/ng_flags.h"
#include "dataplane/session/session.h"

#define OFFER_ANSWER_REASON_MAX (SDP_ERROR_MAX + 64)

struct offer_answer_result {
	struct session *session;
	struct sdp_span sdp; /* the rewritten text, in table->text, until the next command */
	bool limit;          /* refused for a limit: `load limit` to those who know it */
	char reason[OFFER_ANSWER_REASON_MAX];
};

/* 0, or a negative errno with result->reason set. A session that came into being with a refused
 * offer is gone again. `flags` has call-id, from-tag (and to-tag for an answer) and sdp. */
int offer_answer_offer(struct session_table *table, const struct ng_flags *flags,
		       const struct session_time *now, struct offer_answer_result *result);
int offer_answer_answer(struct session_table *table, const struct ng_flags *flags,
			const struct session_time *now, struct offer_answer_result *result);

/*
 * The last SIP messages and ng commands, in a ring in memory: what a ladder is drawn from while a
 * call is up or when it has just ended. Nothing is written anywhere, and what is read from it has
 * its secrets removed.
 *
 *   | record | record | ... | head        each: header, text (at most TRACE_TEXT_MAX), padding
 *   tail is moved on when the head needs room; a record is never split
 *
 * One thread. Every function takes NULL for "no trace".
 */
#pragma once

#include "control/sip/message.h"
#include "dataplane/api/ng.h"

#include <stddef.h>
#include <stdint.h>

#define TRACE_TEXT_MAX  2048 /* of each message; the rest is left out */
#define TRACE_VIEWS_MAX 512
#define TRACE_LEGS_MAX  32

struct trace;

enum trace_kind {
	TRACE_RECEIVED,
	TRACE_SENT,
	TRACE_NG_REQUEST,
	TRACE_NG_REPLY,
};

enum trace_party { TRACE_CALLER, TRACE_CALLEE, TRACE_DATAPLANE };

struct trace_view {
	enum trace_kind kind;
	enum trace_party party; /* the other end; we are the one */
	enum sip_transport_kind transport;
	struct endpoint local;
	struct endpoint remote;
	uint64_t time_ns; /* CLOCK_REALTIME */
	uint32_t whole_n; /* length on the wire */
	uint32_t text_n;
	char *text;
};

/* bytes 0: *trace is NULL. -ENOMEM. */
int trace_create(struct trace **trace, size_t bytes);
void trace_destroy(struct trace *trace);

void trace_message(struct trace *trace, enum trace_kind kind, const struct sip_flow *flow,
		   const char *bytes, uint32_t n, uint64_t time_ns);
void trace_ng(struct trace *trace, enum trace_kind kind, const char *call_id,
	      const struct ng_value *message, int error, uint64_t time_ns);
/* Messages with this Call-ID belong to the call. */
void trace_link(struct trace *trace, const char *call_id, enum trace_party party,
		struct sip_text sip_call_id);

/* What is there of a call, oldest first: key is its id or the Call-ID of any of its dialogs. Number
 * of views (TRACE_VIEWS_MAX at most: the first ones), 0 = nothing; -ENOMEM. The caller frees with
 * trace_views_free. */
int trace_read(const struct trace *trace, const char *key, size_t key_n, struct trace_view **views);
void trace_views_free(struct trace_view *views, int count);

/* Replaces the values of credentials, keys and passwords; out has TRACE_CLEAN_MAX(n) bytes. Returns
 * the length. */
#define TRACE_CLEAN_MAX(n) ((n)*6 + 16)
uint32_t trace_clean(const char *text, uint32_t n, char *out);

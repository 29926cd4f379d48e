/* Inside the HTTP API: the server, a request, and the functions of the files beside admin.c. Nobody
 * outside of this folder includes it. */
#pragma once

#include "control/admin/admin.h"
#include "control/admin/auth.h"

#include <jansson.h>
#include <microhttpd.h>

#include <pthread.h>

#define PROBLEM_DETAIL_MAX 512
#define ASK_WAIT_MS        1000 /* for the SIP thread */
#define RECORDS_WAIT_MS    3000 /* for the records tier */

struct admin {
	struct admin_options options;
	uint64_t started_ns;
	struct MHD_Daemon *unix_server;
	struct MHD_Daemon *tcp_server;
	int unix_fd; /* -1 once the server owns it */
	struct auth auth;
	bool has_auth;
	/* the records tier's connection for reading; lock serves one query at a time */
	pthread_mutex_t records_lock;
	struct records *records;
};

/* What an endpoint is given and what it gives back. */
struct request {
	struct admin *admin;
	struct MHD_Connection *connection;
	const char *id; /* last part of the path; "" = none */
	/* the answer: status, and a body (owned) or, for an error, a detail */
	unsigned int status;
	json_t *body;
	uint32_t retry_after_s;
	char detail[PROBLEM_DETAIL_MAX];
};

/* Sets an error: the HTTP status and a sentence. */
void request_fail(struct request *request, unsigned int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The problem document for a status and detail (RFC 9457 3); NULL without memory. */
json_t *problem_json(unsigned int status, const char *detail);

/*
 * Runs fn(arg) in the loop's thread and waits for it, at most wait_ms. 0, or -ETIMEDOUT: it was not
 * run and will not be. Any thread but the loop's.
 */
int loop_ask(struct loop *loop, void (*fn)(void *arg), void *arg, uint32_t wait_ms);

/* The endpoints. */
void get_status(struct request *request);
void get_calls(struct request *request);
void delete_call(struct request *request);
void get_trace(struct request *request);
void get_bans(struct request *request);
void put_ban(struct request *request);
void delete_ban(struct request *request);
void get_registrations(struct request *request);
void get_trunks(struct request *request);
void post_reload(struct request *request);
void get_cdrs(struct request *request);
void get_cdr(struct request *request);
void get_recordings(struct request *request);
void get_recording(struct request *request);

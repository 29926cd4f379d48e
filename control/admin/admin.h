/*
 * The HTTP API: on a Unix socket, whose permissions are the access rule, and on TCP with the admin
 * secret. It has threads of its own, reads calls and registrations from the board and records
 * through a connection of its own, so that nothing it does makes a call wait.
 *
 *   GET    /v1/status              GET /v1/registrations
 *   GET    /v1/calls               GET /v1/cdrs?limit=&from=&to=&number=      GET /v1/cdrs/ID
 *   DELETE /v1/calls/ID            GET /v1/recordings?limit=&from=&to=&number=&call=
 *   GET    /v1/bans                PUT /v1/bans/ADDRESS?for_s=             DELETE /v1/bans/ADDRESS
 *   GET    /v1/trunks
 *   GET    /v1/trace?call=
 *   POST   /v1/reload              GET /v1/recordings/ID
 *
 * Answers are JSON; errors are problem documents (RFC 9457).
 */
#pragma once

#include "control/b2bua/bans.h"
#include "control/b2bua/board.h"
#include "control/b2bua/exchange.h"
#include "control/b2bua/trace.h"
#include "control/b2bua/trunk_view.h"
#include "control/tiers/receipts.h"
#include "control/tiers/records_tier.h"
#include "dataplane/base/loop.h"

#include <stdbool.h>
#include <stdint.h>

#define ADMIN_ERROR_MAX   512
#define ADMIN_CONNECTIONS 64 /* at once, per socket */

struct admin;

/* Everything pointed at outlives the server. Callbacks may be NULL. */
struct admin_options {
	const char *version;
	const char *socket_path;  /* Unix socket, mode 0660 */
	const char *http;         /* "127.0.0.1:8088"; NULL = off */
	const char *admin_sha256; /* of the secret, 64 hex digits; NULL = off on TCP */
	const char *records_target;
	struct loop *loop;
	struct board *board;
	struct journal *journal;
	struct records_tier *records;
	struct receipts *receipts;
	/* Called in an HTTP thread: 0, -ENOENT, -ETIMEDOUT (command_hangup of the B2BUA). */
	int (*hangup)(void *arg, const char *call_id, uint32_t wait_ms);
	/* Called in the loop's thread. reload: 0, or -errno and a sentence in error. */
	void (*each_counter)(void *arg,
			     void (*each)(void *each_arg, const char *name, uint64_t value),
			     void *each_arg);
	void (*each_trunk)(void *arg, trunk_view_fn *each, void *each_arg);
	bool (*is_dataplane_connected)(void *arg);
	int (*trace)(void *arg, const char *key, struct trace_view **views);
	/* All three or none: control/b2bua/b2bua.h. */
	void (*each_ban)(void *arg, void (*each)(void *each_arg, const struct bans_view *view),
			 void *each_arg);
	int (*ban)(void *arg, const struct address *source, uint64_t for_s);
	int (*ban_lift)(void *arg, const struct address *source);
	int (*reload)(void *arg, char error[ADMIN_ERROR_MAX]);
	void *arg;
};

/* 0 or -errno, logged. TCP is off, with a line in the log, when there is no secret. */
int admin_start(struct admin **admin, const struct admin_options *options);
/* Ends all requests. While it runs, the loop's thread is not needed by them for longer than their
 * own time limit. Before anything of the options goes away. NULL is fine. */
void admin_stop(struct admin *admin);

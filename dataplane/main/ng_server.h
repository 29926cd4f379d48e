/*
 * The ng server: takes messages from datagrams and streams, hands each to one function and sends
 * back what that wrote, in the encoding of the request. It knows cookies, encodings, connections
 * and repeated requests, but no command.
 *
 *   udp ----+                          +-- same cookie, same bytes, not older than 10 s: the same
 * reply again tcp ----+--> cookie, dictionary ---+ unix ---+                          +--
 * ng_command_fn --> reply --> kept --> sent
 */
#pragma once

#include "dataplane/api/ng.h"
#include "dataplane/base/loop.h"

#include <stdint.h>
#include <sys/types.h>

struct ng_server;

/* Carries out one request ("command" is there and is text) and fills the empty dictionary reply. A
 * reply left empty says that there is no such command. Values live in arena until the function
 * returns to its caller. */
typedef void ng_command_fn(void *arg, const struct ng_value *request, struct ng_arena *arena,
			   struct ng_value *reply);

struct ng_server_config {
	const char *unix_path; /* NULL = off; a socket left behind there is replaced */
	gid_t unix_gid;        /* group of the socket (mode 0660); (gid_t)-1 = leave */
	const char *udp;       /* "ADDRESS:PORT" or NULL = off */
	const char *tcp;       /* likewise */
	ng_command_fn *command;
	void *arg;
};

#define NG_SERVER_CONNECTIONS_MAX 64 /* of each listener; more are closed at once */
#define NG_SERVER_OUTPUT_MAX                                                                       \
	(1024 * 1024) /* a peer that owes us this much reading is not read from */
#define NG_SERVER_ARENA_MAX    (16 * 1024 * 1024) /* of one request and its reply */
#define NG_SERVER_CACHE_MAX    16384              /* replies kept at most ... */
#define NG_SERVER_CACHE_BYTES  (32 * 1024 * 1024) /* ... and their bytes ... */
#define NG_SERVER_CACHE_AGE_MS 10000              /* ... and for how long */

enum ng_server_counter {
	NG_SERVER_REQUESTS,         /* handed to the command function */
	NG_SERVER_REPEATED,         /* answered from the kept replies */
	NG_SERVER_ERRORS,           /* replies with "result":"error", all reasons */
	NG_SERVER_BROKEN,           /* messages that could not be parsed */
	NG_SERVER_NO_COOKIE,        /* messages without a cookie to answer to */
	NG_SERVER_NO_COMMAND,       /* dictionaries without a command */
	NG_SERVER_REPLY_TOO_LONG,   /* replies that did not fit; an error went out in their place */
	NG_SERVER_SEND_FAILED,      /* replies that the kernel did not take */
	NG_SERVER_CONNECTIONS,      /* streams accepted */
	NG_SERVER_CONNECTIONS_FULL, /* streams closed at once as there were too many */
	NG_SERVER_STALLED,          /* times a stream was not read from as its peer does not read */
	NG_SERVER_COUNTERS
};

/* Opens all that the configuration names. -EINVAL for an address that makes no sense, -errno; what
 * was wrong has been logged. The loop's thread owns the server. */
int ng_server_create(struct ng_server **server, struct loop *loop,
		     const struct ng_server_config *config);
/* Closes everything and removes the Unix socket. Not from within the command function. */
void ng_server_destroy(struct ng_server *server);

uint64_t ng_server_count(const struct ng_server *server, enum ng_server_counter counter);
/* Name for statistics, e.g. "ng.requests". */
const char *ng_server_counter_name(enum ng_server_counter counter);

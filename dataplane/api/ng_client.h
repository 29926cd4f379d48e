/*
 * The ng client: requests go out without waiting, replies come back through a callback. Runs on a
 * struct loop. "unix:PATH" and "tcp:HOST:PORT" are streams and reconnect by themselves;
 * "udp:HOST:PORT" repeats a request with the same cookie (rtpengine's cache makes that harmless); a
 * stream that comes back gets all requests without an answer again in the same way. A request that
 * had no answer within the time limit gets its callback with error = -ETIMEDOUT, or with what
 * connecting said last (-ECONNREFUSED, -ENOENT, ...) when the server is away. HOST is an address.
 */
#pragma once

#include "dataplane/api/ng.h"
#include "dataplane/base/loop.h"

struct ng_client;

/* reply is NULL when error is not 0; it and its strings live until the callback returns. A reply
 * with "result":"error" comes as error 0: look at ng_get_text(reply, "result"). */
typedef void ng_reply_fn(void *arg, int error, const struct ng_value *reply);

#define NG_CLIENT_PENDING_MAX 65536

/* timeout_ms per request (0 = 3000). -EINVAL for an address that makes no sense; an absent server
 * is no error. */
int ng_client_create(struct ng_client **client, struct loop *loop, const char *address,
		     uint32_t timeout_ms);
/* Pending requests get their callback with -ECANCELED. */
void ng_client_destroy(struct ng_client *client);

/* Sends the dictionary (bencode). 0, and replied() will be called exactly once, later, from the
 * loop; or -ENOSPC when NG_CLIENT_PENDING_MAX requests (or 64 MiB of them) wait, -EMSGSIZE,
 * -ENOMEM, and it will not be called. A callback may send and forget, but not destroy. */
int ng_client_send(struct ng_client *client, const struct ng_value *request, ng_reply_fn *replied,
		   void *arg);
/* Forgets all requests with this arg (the owner goes away); their callbacks are not called. */
void ng_client_forget(struct ng_client *client, void *arg);

bool ng_client_is_connected(const struct ng_client *client);

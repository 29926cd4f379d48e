/* The ng server: what becomes of one message, and opening and closing of the whole. */
#include "dataplane/main/ng_server.h"

#include "dataplane/main/ng_server_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char *const counter_names[NG_SERVER_COUNTERS] = {
	[NG_SERVER_REQUESTS] = "ng.requests",
	[NG_SERVER_REPEATED] = "ng.repeated",
	[NG_SERVER_ERRORS] = "ng.errors",
	[NG_SERVER_BROKEN] = "ng.broken",
	[NG_SERVER_NO_COOKIE] = "ng.no_cookie",
	[NG_SERVER_NO_COMMAND] = "ng.no_command",
	[NG_SERVER_REPLY_TOO_LONG] = "ng.reply_too_long",
	[NG_SERVER_SEND_FAILED] = "ng.send_failed",
	[NG_SERVER_CONNECTIONS] = "ng.connections",
	[NG_SERVER_CONNECTIONS_FULL] = "ng.connections_full",
	[NG_SERVER_STALLED] = "ng.stalled",
};

uint64_t ng_server_count(const struct ng_server *server, enum ng_server_counter counter)
{
	return server->counters[counter];
}

const char *ng_server_counter_name(enum ng_server_counter counter)
{
	return counter_names[counter];
}

/* ---- one message ---- */

/* Writes "COOKIE SP DICTIONARY" into server->reply; its length, or -ENOSPC. */
static int64_t reply_write(struct ng_server *server, const struct ng_request_id *request,
			   const struct ng_value *reply, enum ng_encoding encoding, size_t limit)
{
	size_t head = request->cookie_len + 1;
	int64_t n;

	if (limit > head + NG_MESSAGE_MAX)
		limit = head + NG_MESSAGE_MAX;
	if (head > limit)
		return -ENOSPC;
	memcpy(server->reply, request->cookie, request->cookie_len);
	server->reply[request->cookie_len] = ' ';
	n = ng_build(reply, encoding, server->reply + head, limit - head);
	return n < 0 ? n : n + (int64_t)head;
}

static size_t error_write(struct ng_server *server, const struct ng_request_id *request,
			  enum ng_encoding encoding, const char *reason)
{
	struct ng_value *reply;

	ng_arena_reset(server->arena);
	reply = ng_dict(server->arena);
	if (!reply) /* not even this: no memory at all */
		return 0;
	ng_put_string(server->arena, reply, "result", "error");
	ng_put_string(server->arena, reply, "error-reason", reason);
	server->counters[NG_SERVER_ERRORS]++;
	return (size_t)reply_write(server, request, reply, encoding, SIZE_MAX);
}

static void refusal_log(struct ng_server *server, const struct ng_request_id *request,
			const char *reason)
{
	uint32_t suppressed;

	if (log_allowed(&server->log_limit, 5, &suppressed))
		log_warn("ng message %.*s refused: %s (%u more not shown)",
			 (int)request->cookie_len, request->cookie, reason, suppressed);
}

const char *ng_server_refuse(struct ng_server *server, const struct ng_request_id *request,
			     const char *reason, size_t *len)
{
	enum ng_encoding encoding = NG_BENCODE;

	server->counters[NG_SERVER_BROKEN]++;
	refusal_log(server, request, reason);
	if (request->dictionary_len > 0 && request->dictionary[0] == '{')
		encoding = NG_JSON;
	*len = error_write(server, request, encoding, reason);
	return server->reply;
}

/* Whether nothing but white space follows the dictionary in its datagram. */
static bool only_space(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] != '\0' && !strchr(" \t\r\n", text[i]))
			return false;
	}
	return true;
}

static void cache_expired(struct timer *timer, uint64_t now_ms)
{
	struct ng_server *server = list_entry(timer, struct ng_server, cache_expiry);
	uint64_t next_ms = ng_reply_cache_expire(server->cache, now_ms);

	if (next_ms) /* in steps of a second: it is only about giving memory back */
		timer_start(loop_timers(server->loop), timer,
			    next_ms < now_ms + 1000 ? now_ms + 1000 : next_ms);
}

static size_t command_run(struct ng_server *server, const struct ng_request_id *request,
			  const struct ng_value *message, enum ng_encoding encoding, size_t limit)
{
	struct ng_value *reply = ng_dict(server->arena);
	const struct ng_value *command = ng_get(message, "command");
	int64_t len = -ENOSPC;

	if (!command || command->type != NG_STRING) {
		server->counters[NG_SERVER_NO_COMMAND]++;
		return error_write(server, request, encoding, "Message names no command");
	}
	server->counters[NG_SERVER_REQUESTS]++;
	if (reply)
		server->command(server->arg, message, server->arena, reply);
	if (reply && reply->count == 0 && !ng_arena_is_full(server->arena))
		return error_write(server, request, encoding, "Command is not known");
	if (!ng_arena_is_full(server->arena))
		len = reply_write(server, request, reply, encoding, limit);
	if (len < 0) {
		server->counters[NG_SERVER_REPLY_TOO_LONG]++;
		return error_write(server, request, encoding, "Reply is too long");
	}
	if (ng_text_equal(ng_get(reply, "result"), "error"))
		server->counters[NG_SERVER_ERRORS]++;
	return (size_t)len;
}

const char *ng_server_answer(struct ng_server *server, const struct ng_request_id *request,
			     size_t limit, size_t *len)
{
	uint64_t now_ms = loop_now_ms(server->loop);
	enum ng_encoding encoding;
	struct ng_value *message;
	const char *kept, *reason;
	int64_t used;

	kept = ng_reply_cache_find(server->cache, request, now_ms, len);
	if (kept) {
		server->counters[NG_SERVER_REPEATED]++;
		return kept;
	}
	ng_arena_reset(server->arena);
	used = ng_parse(server->arena, request->dictionary, request->dictionary_len, &message,
			&encoding, &reason);
	if (used < 0)
		return ng_server_refuse(server, request, reason ? reason : "Message ends too early",
					len);
	if (!only_space(request->dictionary + used, request->dictionary_len - (size_t)used))
		return ng_server_refuse(server, request, "Message goes on after its dictionary",
					len);
	*len = command_run(server, request, message, encoding, limit);
	if (*len > 0)
		ng_reply_cache_put(server->cache, request, now_ms, server->reply, *len);
	if (!timer_is_running(&server->cache_expiry))
		timer_start(loop_timers(server->loop), &server->cache_expiry,
			    now_ms + NG_SERVER_CACHE_AGE_MS);
	return server->reply;
}

/* ---- opening and closing ---- */

static int unix_bind(int fd, const struct sockaddr_un *path, gid_t gid)
{
	const struct sockaddr *sa = (const struct sockaddr *)path;
	struct stat st;

	/* Left behind by a process that died: nobody answers. */
	if (lstat(path->sun_path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		if (connect(fd, sa, sizeof(*path)) == 0 || errno == EAGAIN)
			return -EADDRINUSE;
		unlink(path->sun_path);
	}
	/* Nobody can connect before listen(), so its rights are set in time. */
	if (bind(fd, sa, sizeof(*path)) < 0)
		return -errno;
	if (chmod(path->sun_path, 0660) < 0 ||
	    (gid != (gid_t)-1 && chown(path->sun_path, (uid_t)-1, gid) < 0)) {
		int rc = -errno;

		unlink(path->sun_path);
		return rc;
	}
	return 0;
}

static int unix_open(struct ng_server *server, const char *path, gid_t gid)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd, rc;

	if (len == 0 || len >= sizeof(sun.sun_path))
		return -EINVAL;
	memcpy(sun.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = unix_bind(fd, &sun, gid);
	if (rc == 0) {
		server->unix_path = strdup(path);
		rc = server->unix_path ? ng_listener_open(&server->unix_listener, fd) : -ENOMEM;
	}
	if (rc < 0)
		close(fd);
	return rc;
}

static int tcp_open(struct ng_server *server, const struct endpoint *local)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(local, &ss);
	int one = 1, fd, rc = 0;

	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (const struct sockaddr *)&ss, len) < 0)
		rc = -errno;
	if (rc == 0)
		rc = ng_listener_open(&server->tcp_listener, fd);
	if (rc < 0)
		close(fd);
	return rc;
}

static int endpoint_open(struct ng_server *server, const char *text,
			 int (*open)(struct ng_server *server, const struct endpoint *local))
{
	struct endpoint local;
	int rc = endpoint_parse(&local, text, strlen(text));

	return rc < 0 ? rc : open(server, &local);
}

int ng_server_create(struct ng_server **out, struct loop *loop,
		     const struct ng_server_config *config)
{
	struct ng_server *server = calloc(1, sizeof(*server));
	const char *what = "server";
	int rc;

	*out = NULL;
	if (!server)
		return -ENOMEM;
	server->loop = loop;
	server->command = config->command;
	server->arg = config->arg;
	server->datagrams.fd = -1;
	timer_init(&server->cache_expiry, cache_expired);
	ng_listener_init(&server->unix_listener, server);
	ng_listener_init(&server->tcp_listener, server);
	rc = ng_arena_create(&server->arena, NG_SERVER_ARENA_MAX);
	if (rc == 0)
		rc = ng_reply_cache_create(&server->cache, NG_SERVER_CACHE_MAX,
					   NG_SERVER_CACHE_BYTES, NG_SERVER_CACHE_AGE_MS);
	if (rc == 0 && config->unix_path) {
		what = config->unix_path;
		rc = unix_open(server, what, config->unix_gid);
	}
	if (rc == 0 && config->tcp) {
		what = config->tcp;
		rc = endpoint_open(server, what, tcp_open);
	}
	if (rc == 0 && config->udp) {
		what = config->udp;
		rc = endpoint_open(server, what, ng_datagrams_open);
	}
	if (rc < 0) {
		log_error("ng %s not opened: %s", what, strerror(-rc));
		ng_server_destroy(server);
		return rc;
	}
	*out = server;
	return 0;
}

void ng_server_destroy(struct ng_server *server)
{
	if (!server)
		return;
	ng_datagrams_close(server);
	ng_listener_close(&server->tcp_listener);
	ng_listener_close(&server->unix_listener);
	if (server->unix_path)
		unlink(server->unix_path);
	free(server->unix_path);
	timer_stop(loop_timers(server->loop), &server->cache_expiry);
	ng_reply_cache_destroy(server->cache);
	ng_arena_destroy(server->arena);
	free(server);
}

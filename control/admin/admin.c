/*
 * The HTTP servers, and the way of a request: who may, which endpoint, its answer as JSON or as a
 * problem document.
 */
#include "control/admin/admin.h"

#include "control/admin/server.h"
#include "control/tiers/unix_listen.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS           2
#define IDLE_TIMEOUT_S    15
#define CONNECTION_MEMORY (32 * 1024)
#define PER_ADDRESS       32
#define ID_MAX            128

struct route {
	const char *method;
	const char *path; /* ending in '/': an id follows */
	void (*run)(struct request *request);
};

static const struct route routes[] = {
	{"GET", "/v1/status", get_status},
	{"GET", "/v1/calls", get_calls},
	{"DELETE", "/v1/calls/", delete_call},
	{"GET", "/v1/registrations", get_registrations},
	{"GET", "/v1/trunks", get_trunks},
	{"GET", "/v1/cdrs", get_cdrs},
	{"GET", "/v1/cdrs/", get_cdr},
	{"GET", "/v1/recordings", get_recordings},
	{"GET", "/v1/recordings/", get_recording},
	{"GET", "/v1/trace", get_trace},
	{"GET", "/v1/bans", get_bans},
	{"PUT", "/v1/bans/", put_ban},
	{"DELETE", "/v1/bans/", delete_ban},
	{"POST", "/v1/reload", post_reload},
};

/* ---- answers ---- */

void request_fail(struct request *request, unsigned int status, const char *format, ...)
{
	va_list arguments;

	request->status = status;
	va_start(arguments, format);
	vsnprintf(request->detail, sizeof(request->detail), format, arguments);
	va_end(arguments);
}

static const char *status_title(unsigned int status)
{
	static const struct {
		unsigned int status;
		const char *title;
	} titles[] = {
		{400, "Bad Request"},       {401, "Unauthorized"},
		{404, "Not Found"},         {405, "Method Not Allowed"},
		{413, "Content Too Large"}, {422, "Unprocessable Content"},
		{429, "Too Many Requests"}, {500, "Internal Server Error"},
		{501, "Not Implemented"},   {503, "Service Unavailable"},
	};

	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		if (titles[i].status == status)
			return titles[i].title;
	return "Error";
}

json_t *problem_json(unsigned int status, const char *detail)
{
	return json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title",
			 status_title(status), "status", (int)status, "detail", detail);
}

static struct MHD_Response *make_response(struct request *request)
{
	struct MHD_Response *response;
	const char *type = "application/json";
	char *text = NULL;

	if (request->status >= 400) {
		json_decref(request->body);
		request->body = problem_json(request->status, request->detail);
		type = "application/problem+json";
	}
	if (request->body)
		text = json_dumps(request->body, JSON_COMPACT);
	json_decref(request->body);
	request->body = NULL;
	response = MHD_create_response_from_buffer(text ? strlen(text) : 0, text,
						   MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return NULL;
	}
	if (text)
		MHD_add_response_header(response, "Content-Type", type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	return response;
}

/* allow: methods of the path, for 405; may be NULL. */
static enum MHD_Result send_answer(struct request *request, const char *allow)
{
	struct MHD_Response *response = make_response(request);
	enum MHD_Result result;
	char seconds[16];

	if (!response)
		return MHD_NO;
	if (request->status == 401)
		MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
	if (request->status == 405 && allow)
		MHD_add_response_header(response, "Allow", allow);
	if (request->retry_after_s > 0) {
		snprintf(seconds, sizeof(seconds), "%u", request->retry_after_s);
		MHD_add_response_header(response, "Retry-After", seconds);
	}
	result = MHD_queue_response(request->connection, request->status, response);
	MHD_destroy_response(response);
	return result;
}

/* ---- requests ---- */

static bool route_matches(const struct route *route, const char *path, const char **id)
{
	size_t n = strlen(route->path);

	*id = "";
	if (route->path[n - 1] != '/')
		return strcmp(path, route->path) == 0;
	if (strncmp(path, route->path, n) != 0 || path[n] == '\0')
		return false;
	*id = path + n;
	return strlen(*id) <= ID_MAX && strchr(*id, '/') == NULL;
}

static void dispatch(struct request *request, const char *method, const char *path,
		     const char **allow)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *route = &routes[i];

		if (!route_matches(route, path, &request->id))
			continue;
		if (strcmp(method, route->method) == 0 ||
		    (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0)) {
			request->status = 200;
			route->run(request);
			return;
		}
		*allow = route->method;
	}
	if (*allow)
		request_fail(request, 405, "%s is not for this path", method);
	else
		request_fail(request, 404, "there is nothing at this path");
}

/* True when the request may go on; over the Unix socket the file's permissions have decided. */
static bool authorize(struct request *request, bool over_tcp)
{
	const union MHD_ConnectionInfo *peer;
	struct endpoint source = {0};
	const char *header;

	if (!over_tcp)
		return true;
	peer = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	if (peer && peer->client_addr)
		endpoint_from_sockaddr(&source, peer->client_addr);
	header = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Authorization");
	switch (auth_check(&request->admin->auth, header, &source.address,
			   clock_mono_ns() / NS_PER_MS)) {
	case AUTH_GRANTED:
		return true;
	case AUTH_MISSING:
		request_fail(request, 401, "the admin secret is asked for: Authorization: Bearer");
		break;
	case AUTH_WRONG:
		request_fail(request, 401, "this is not the admin secret");
		break;
	case AUTH_TOO_OFTEN:
		request_fail(request, 429, "too many wrong secrets from this address");
		request->retry_after_s = AUTH_WINDOW_S;
		break;
	}
	return false;
}

static enum MHD_Result serve(struct admin *admin, struct MHD_Connection *connection,
			     const char *path, const char *method, size_t *upload_n, void **state,
			     bool over_tcp)
{
	static int seen_headers; /* its address is the mark */
	struct request request = {.admin = admin, .connection = connection, .id = ""};
	const char *allow = NULL;

	if (!*state) {
		*state = &seen_headers;
		return MHD_YES; /* called again, with the body or at its end */
	}
	if (*upload_n > 0) {
		*upload_n = 0; /* no endpoint takes a body */
		return MHD_YES;
	}
	if (authorize(&request, over_tcp))
		dispatch(&request, method, path, &allow);
	return send_answer(&request, allow);
}

static enum MHD_Result serve_unix(void *arg, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_n, void **state)
{
	(void)version;
	(void)upload;
	return serve(arg, connection, path, method, upload_n, state, false);
}

static enum MHD_Result serve_tcp(void *arg, struct MHD_Connection *connection, const char *path,
				 const char *method, const char *version, const char *upload,
				 size_t *upload_n, void **state)
{
	(void)version;
	(void)upload;
	return serve(arg, connection, path, method, upload_n, state, true);
}

/* ---- start and stop ---- */

/* The library's own lines go nowhere: a stranger could fill the log with them. */
static void ignore_line(void *arg, const char *format, va_list arguments)
{
	(void)arg;
	(void)format;
	(void)arguments;
}

static int start_unix(struct admin *admin)
{
	admin->unix_fd = unix_listen(admin->options.socket_path, 0660);
	if (admin->unix_fd < 0)
		return admin->unix_fd;
	admin->unix_server = MHD_start_daemon(
		MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL,
		serve_unix, admin, MHD_OPTION_EXTERNAL_LOGGER, ignore_line, NULL,
		MHD_OPTION_LISTEN_SOCKET, admin->unix_fd, MHD_OPTION_THREAD_POOL_SIZE,
		(unsigned int)THREADS, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)ADMIN_CONNECTIONS,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_TIMEOUT_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
	if (!admin->unix_server)
		return -EIO;
	admin->unix_fd = -1;
	return 0;
}

static int start_tcp(struct admin *admin)
{
	struct sockaddr_storage address;
	struct endpoint endpoint;
	unsigned int flags = MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG;
	const char *text = admin->options.http;
	int rc;

	if (!text)
		return 0;
	if (!admin->options.admin_sha256) {
		log_warn("http on %s is off: there is no admin_sha256", text);
		return 0;
	}
	rc = auth_init(&admin->auth, admin->options.admin_sha256);
	if (rc < 0)
		return rc;
	admin->has_auth = true;
	rc = endpoint_parse(&endpoint, text, strlen(text));
	if (rc < 0)
		return rc;
	endpoint_to_sockaddr(&endpoint, &address);
	if (address.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	errno = 0;
	admin->tcp_server = MHD_start_daemon(
		flags, endpoint.port, NULL, NULL, serve_tcp, admin, MHD_OPTION_EXTERNAL_LOGGER,
		ignore_line, NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
		MHD_OPTION_THREAD_POOL_SIZE, (unsigned int)THREADS, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int)ADMIN_CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		(unsigned int)PER_ADDRESS, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int)IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY, MHD_OPTION_END);
	if (admin->tcp_server)
		return 0;
	return errno ? -errno : -EIO;
}

int admin_start(struct admin **out, const struct admin_options *options)
{
	struct admin *admin = calloc(1, sizeof(*admin));
	int rc;

	if (!admin)
		return -ENOMEM;
	admin->options = *options;
	admin->started_ns = clock_real_ns();
	admin->unix_fd = -1;
	pthread_mutex_init(&admin->records_lock, NULL);
	rc = start_unix(admin);
	if (rc < 0)
		log_error("http on %s not started: %s", options->socket_path, strerror(-rc));
	if (rc == 0) {
		rc = start_tcp(admin);
		if (rc < 0)
			log_error("http on %s not started: %s", options->http, strerror(-rc));
	}
	if (rc < 0) {
		admin_stop(admin);
		return rc;
	}
	*out = admin;
	return 0;
}

void admin_stop(struct admin *admin)
{
	if (!admin)
		return;
	if (admin->tcp_server)
		MHD_stop_daemon(admin->tcp_server);
	if (admin->unix_server) {
		MHD_stop_daemon(admin->unix_server);
		unlink(admin->options.socket_path);
	}
	if (admin->unix_fd >= 0)
		close(admin->unix_fd);
	if (admin->has_auth)
		auth_fini(&admin->auth);
	records_close(admin->records);
	pthread_mutex_destroy(&admin->records_lock);
	free(admin);
}

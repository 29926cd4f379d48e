/*
 * HTTP on the recorder's Unix socket: GET /status and GET /object/KEY. One thread per connection,
 * because stores block; the status is asked of the main loop, whose data it is.
 */
#include "dataplane/base/log.h"
#include "recorder/main/recorder.h"

#include <microhttpd.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HTTP_CONNECTIONS_MAX 32
#define HTTP_TIMEOUT_S       30
#define HTTP_BACKLOG         64

struct http {
	struct recorder *recorder;
	struct MHD_Daemon *daemon;
	_Atomic bool stopping;
	_Atomic uint32_t asking; /* threads that wait for the main loop */
};

/* A question to the main loop; on the asking thread's stack. */
struct status_question {
	struct loop_work work;
	struct recorder *recorder;
	pthread_mutex_t mutex;
	pthread_cond_t answered;
	bool done;
	char *text;
};

static void status_answer(struct loop_work *work)
{
	struct status_question *question = list_entry(work, struct status_question, work);
	json_t *status = recorder_status(question->recorder);
	char *text = status ? json_dumps(status, JSON_COMPACT) : NULL;

	json_decref(status);
	pthread_mutex_lock(&question->mutex);
	question->text = text;
	question->done = true;
	pthread_cond_signal(&question->answered);
	pthread_mutex_unlock(&question->mutex);
}

/* The text is the caller's; NULL when the daemon is stopping. */
static char *status_ask(struct http *http)
{
	struct status_question question = {
		.work.run = status_answer,
		.recorder = http->recorder,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.answered = PTHREAD_COND_INITIALIZER,
	};

	/* pairs with http_destroy: either it sees us asking, or we see it stopping */
	atomic_fetch_add_explicit(&http->asking, 1, memory_order_seq_cst);
	if (!atomic_load_explicit(&http->stopping, memory_order_seq_cst)) {
		loop_post(http->recorder->loop, &question.work);
		pthread_mutex_lock(&question.mutex);
		while (!question.done)
			pthread_cond_wait(&question.answered, &question.mutex);
		pthread_mutex_unlock(&question.mutex);
	}
	atomic_fetch_sub_explicit(&http->asking, 1, memory_order_seq_cst);
	return question.text;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned int status,
				   const char *type, char *text)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	if (!response) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* RFC 9457. */
static enum MHD_Result answer_problem(struct MHD_Connection *connection, unsigned int status,
				      const char *title, const char *detail)
{
	json_t *problem =
		json_pack("{ss si ss}", "title", title, "status", (int)status, "detail", detail);
	char *text = problem ? json_dumps(problem, JSON_COMPACT) : NULL;

	json_decref(problem);
	return text ? answer_text(connection, status, "application/problem+json", text) : MHD_NO;
}

static enum MHD_Result answer_object(struct http *http, struct MHD_Connection *connection,
				     const char *key)
{
	struct store *store = http->recorder->store;
	char error[STORE_ERROR_MAX] = "";
	struct MHD_Response *response;
	enum MHD_Result result;
	struct stat status;
	int outcome, fd;

	if (!store_key_is_valid(key))
		return answer_problem(connection, MHD_HTTP_BAD_REQUEST, "bad object key",
				      "expected YYYY/MM/DD/NAME.wav");
	outcome = store->ops->get(store, key, &fd, error);
	if (outcome == -ENOENT)
		return answer_problem(connection, MHD_HTTP_NOT_FOUND, "no such object", error);
	if (outcome)
		return answer_problem(connection, MHD_HTTP_BAD_GATEWAY, "store failed", error);
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		return answer_problem(connection, MHD_HTTP_NOT_FOUND, "no such object", key);
	}
	response = MHD_create_response_from_fd64((uint64_t)status.st_size, fd);
	if (!response) {
		close(fd);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "audio/wav");
	result = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_n, void **connection_arg)
{
	static const char object_prefix[] = "/object/";
	struct http *http = arg;
	char *text;

	(void)version;
	(void)upload;
	if (!*connection_arg) {
		*connection_arg = http; /* the headers are in; a body is not wanted, but taken */
		return MHD_YES;
	}
	if (*upload_n > 0) {
		*upload_n = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_problem(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "method not allowed",
				      "expected GET or HEAD");
	if (strncmp(url, object_prefix, sizeof(object_prefix) - 1) == 0)
		return answer_object(http, connection, url + sizeof(object_prefix) - 1);
	if (strcmp(url, "/status") != 0)
		return answer_problem(connection, MHD_HTTP_NOT_FOUND, "no such resource",
				      "expected /status or /object/KEY");
	text = status_ask(http);
	if (!text)
		return answer_problem(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping",
				      "the recorder is stopping");
	return answer_text(connection, MHD_HTTP_OK, "application/json", text);
}

int http_listen(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int error, fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0660) < 0 ||
	    listen(fd, HTTP_BACKLOG) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

int http_create(struct http **out, struct recorder *recorder, int listen_fd)
{
	struct http *http = calloc(1, sizeof(*http));

	*out = NULL;
	if (!http) {
		close(listen_fd);
		return -ENOMEM;
	}
	http->recorder = recorder;
	http->daemon =
		MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0,
				 NULL, NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, listen_fd,
				 MHD_OPTION_CONNECTION_LIMIT, (unsigned int)HTTP_CONNECTIONS_MAX,
				 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)HTTP_TIMEOUT_S,
				 MHD_OPTION_END);
	if (!http->daemon) {
		close(listen_fd);
		free(http);
		return -EIO;
	}
	*out = http;
	return 0;
}

void http_destroy(struct http *http)
{
	if (!http)
		return;
	atomic_store_explicit(&http->stopping, true, memory_order_seq_cst);
	while (atomic_load_explicit(&http->asking, memory_order_seq_cst) > 0)
		loop_once(http->recorder->loop, 1);
	MHD_stop_daemon(http->daemon);
	free(http);
}

/*
 * status: control and recorder over HTTP, the dataplane over ng. Each daemon gives a line and what
 * it finds wrong; one that does not answer is wrong by that.
 */
#include "tools/tandemctl.h"

#include "dataplane/api/ng.h"
#include "dataplane/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NG_WAIT_MS 3000
#define COOKIE_LEN 12

struct report {
	json_t *daemons; /* name -> what it said, null when it is away */
	json_t *problems;
	struct table *table;
};

static void __attribute__((format(printf, 2, 3)))
add_problem(struct report *report, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	json_array_append_new(report->problems, json_string(text));
}

static void add_line(struct report *report, const char *name, const char *state, int64_t uptime_s,
		     const char *detail)
{
	char uptime[32];
	const char *cells[] = {name, state, "", detail};

	if (uptime_s >= 0)
		cells[2] = duration_text(uptime, sizeof(uptime), uptime_s * 1000);
	table_add(report->table, cells);
}

static void add_away(struct report *report, const char *name, const char *error)
{
	json_object_set_new(report->daemons, name, json_null());
	add_problem(report, "%s is away: %s", name, error);
	add_line(report, name, "away", -1, "");
}

/* What the daemon itself says is wrong. */
static void add_problems_of(struct report *report, const char *name, const json_t *body)
{
	const json_t *problem;
	size_t i;

	json_array_foreach(json_object_get(body, "problems"), i, problem)
	{
		const char *text = json_string_value(problem);

		if (text)
			add_problem(report, "%s: %s", name, text);
	}
}

/* GET path as JSON, or NULL and the daemon is reported away. */
static json_t *ask_http(struct report *report, const char *name, const char *socket,
			const char *path)
{
	struct answer answer;
	char error[256] = "no JSON in its answer";
	json_t *body = NULL;

	if (http_request(socket, "GET", path, &answer, error) == 0) {
		if (answer.status == 200 && answer.text)
			body = json_loads(answer.text, 0, NULL);
		else
			snprintf(error, sizeof(error), "HTTP status %ld", answer.status);
		free(answer.text);
	}
	if (!json_is_object(body)) {
		json_decref(body);
		add_away(report, name, error);
		return NULL;
	}
	json_object_set_new(report->daemons, name, body);
	add_problems_of(report, name, body);
	return body;
}

/* ---- control and recorder ---- */

static void report_control(struct report *report, const char *socket)
{
	const json_t *body = ask_http(report, "control", socket, "/v1/status");
	const json_t *calls = json_object_get(body, "calls");
	const json_t *records = json_object_get(body, "records");
	bool connected = json_is_true(json_object_get(records, "connected"));
	char detail[256];

	if (!body)
		return;
	snprintf(detail, sizeof(detail), "%lld calls (%lld most), %lld registrations",
		 (long long)json_number(calls, "live"), (long long)json_number(calls, "peak"),
		 (long long)json_number(json_object_get(body, "registrations"), "live"));
	add_line(report, "control", "up", json_number(body, "uptime_s"), detail);
	if (!json_is_object(records))
		return;
	snprintf(detail, sizeof(detail), "%s, %lld journal records to go",
		 json_text(records, "kind"), (long long)json_number(records, "lag_records"));
	add_line(report, "  records", connected ? "up" : "away", -1, detail);
}

/* What its numbers say is wrong. */
static void judge_recorder(struct report *report, const json_t *body)
{
	const json_t *uploads = json_object_get(body, "uploads");
	const json_t *receipts = json_object_get(body, "receipts");
	int64_t failed = json_number(json_object_get(body, "recordings"), "failed");

	if (json_is_false(json_object_get(json_object_get(body, "ring"), "attached")))
		add_problem(report, "recorder: not attached to the dataplane");
	if (json_number(receipts, "waiting") > 0 &&
	    json_is_false(json_object_get(receipts, "connected")))
		add_problem(report, "recorder: %lld receipts wait for control",
			    (long long)json_number(receipts, "waiting"));
	if (json_number(uploads, "queued") > 0 && json_text(uploads, "last_error")[0])
		add_problem(report, "recorder: %lld recordings wait for the store: %s",
			    (long long)json_number(uploads, "queued"),
			    json_text(uploads, "last_error"));
	if (failed > 0)
		add_problem(report, "recorder: %lld recordings could not be made since start",
			    (long long)failed);
}

static void report_recorder(struct report *report, const char *socket)
{
	const json_t *body = ask_http(report, "recorder", socket, "/status");
	const json_t *recordings = json_object_get(body, "recordings");
	char detail[256];

	if (!body)
		return;
	judge_recorder(report, body);
	snprintf(detail, sizeof(detail), "%lld recordings live, %lld being finished, %lld to store",
		 (long long)json_number(recordings, "live"),
		 (long long)json_number(recordings, "finalizing"),
		 (long long)json_number(json_object_get(body, "uploads"), "queued"));
	add_line(report, "recorder", "up", json_number(body, "uptime_s"), detail);
}

/* ---- dataplane ---- */

static int ng_connect(const char *path, char error[256])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval wait = {NG_WAIT_MS / 1000, 0};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		snprintf(error, 256, "socket path is too long");
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) != 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		snprintf(error, 256, "%.180s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static bool ng_send(int fd, struct ng_arena *arena, const char *command, char *cookie)
{
	char message[256];
	struct ng_value *request = ng_dict(arena);
	int64_t n;

	random_token(cookie, COOKIE_LEN);
	memcpy(message, cookie, COOKIE_LEN);
	message[COOKIE_LEN] = ' ';
	if (!request || !ng_put_string(arena, request, "command", command))
		return false;
	n = ng_build(request, NG_BENCODE, message + COOKIE_LEN + 1,
		     sizeof(message) - COOKIE_LEN - 1);
	if (n < 0)
		return false;
	n += COOKIE_LEN + 1;
	return send(fd, message, (size_t)n, MSG_NOSIGNAL) == n;
}

/* Reads until the dictionary behind the cookie is whole; text keeps what the values point into. */
static const struct ng_value *ng_receive(int fd, struct ng_arena *arena, const char *cookie,
					 char *text, size_t size)
{
	uint64_t give_up_ns = clock_mono_ns() + NG_WAIT_MS * NS_PER_MS;
	size_t used = 0;

	while (used < size && clock_mono_ns() < give_up_ns) {
		enum ng_encoding encoding;
		struct ng_value *root;
		const char *reason;
		int64_t rc;
		ssize_t n = recv(fd, text + used, size - used, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return NULL;
		used += (size_t)n;
		if (used <= COOKIE_LEN + 1)
			continue;
		if (memcmp(text, cookie, COOKIE_LEN) != 0 || text[COOKIE_LEN] != ' ')
			return NULL;
		ng_arena_reset(arena);
		rc = ng_parse(arena, text + COOKIE_LEN + 1, used - COOKIE_LEN - 1, &root, &encoding,
			      &reason);
		if (rc > 0)
			return root;
		if (rc != -EAGAIN)
			return NULL;
	}
	return NULL;
}

static json_t *ng_json(const struct ng_value *value)
{
	json_t *json;

	switch (value->type) {
	case NG_INTEGER:
		return json_integer(value->integer);
	case NG_STRING:
		json = json_stringn(value->text, value->len);
		return json ? json : json_null();
	case NG_LIST:
		json = json_array();
		for (const struct ng_value *item = value->first; item; item = item->next)
			json_array_append_new(json, ng_json(item));
		return json;
	case NG_DICT:
		json = json_object();
		for (const struct ng_value *item = value->first; item; item = item->next) {
			char key[64];

			snprintf(key, sizeof(key), "%.*s", (int)item->key_len, item->key_text);
			json_object_set_new(json, key, ng_json(item));
		}
		return json;
	}
	return json_null();
}

/* The answer to `ping` must be pong; that to `statistics` becomes JSON. NULL with error. */
static json_t *ask_ng(const char *path, char error[256])
{
	struct ng_arena *arena = NULL;
	char *text = malloc(NG_MESSAGE_MAX), cookie[COOKIE_LEN + 1];
	const struct ng_value *reply, *statistics;
	json_t *json = NULL;
	int fd = ng_connect(path, error);

	if (fd < 0)
		goto out;
	snprintf(error, 256, "%.180s: no answer", path);
	if (!text || ng_arena_create(&arena, 4 * NG_MESSAGE_MAX) < 0 ||
	    !ng_send(fd, arena, "ping", cookie))
		goto out;
	reply = ng_receive(fd, arena, cookie, text, NG_MESSAGE_MAX);
	if (!reply || !ng_text_equal(ng_get(reply, "result"), "pong"))
		goto out;
	ng_arena_reset(arena);
	if (!ng_send(fd, arena, "statistics", cookie))
		goto out;
	reply = ng_receive(fd, arena, cookie, text, NG_MESSAGE_MAX);
	statistics = reply ? ng_get(reply, "statistics") : NULL;
	if (reply)
		json = ng_json(statistics ? statistics : reply);
out:
	if (fd >= 0)
		close(fd);
	ng_arena_destroy(arena);
	free(text);
	return json;
}

static void report_dataplane(struct report *report, const char *socket)
{
	char error[256], detail[256];
	json_t *body = ask_ng(socket, error);
	const json_t *current = json_object_get(body, "currentstatistics");
	const json_t *total = json_object_get(body, "totalstatistics");
	const char *uptime = json_text(total, "uptime");

	if (!body) {
		add_away(report, "dataplane", error);
		return;
	}
	snprintf(detail, sizeof(detail), "%lld sessions (%lld most), %lld recorded",
		 (long long)json_number(current, "sessionsown"),
		 (long long)json_number(current, "sessionspeak"),
		 (long long)json_number(current, "sessionsrecorded"));
	add_line(report, "dataplane", "up", uptime[0] ? atoll(uptime) : -1, detail);
	json_object_set_new(report->daemons, "dataplane", body);
}

/* ---- the command ---- */

static void print_report(const struct report *report)
{
	const json_t *problem;
	char safe[600];
	size_t i;

	table_print(report->table, stdout);
	if (json_array_size(report->problems) == 0)
		return;
	printf("\nWrong:\n");
	json_array_foreach(report->problems, i, problem)
	{
		printf("  %s\n", text_safe(safe, sizeof(safe), json_string_value(problem)));
	}
}

int cmd_status(struct ctl *ctl, int argc, char **argv)
{
	const struct config *config = ctl_config(ctl);
	struct report report;
	bool degraded;

	if (argc > 0)
		return say(EXIT_USAGE, "status does not know %s (see --help)", argv[0]);
	if (!config)
		return EXIT_REFUSED;
	report.daemons = json_object();
	report.problems = json_array();
	report.table = table_create("DAEMON|STATE|>UP|");
	report_control(&report, ctl->socket ? ctl->socket : config->control.http_socket);
	report_recorder(&report, config->recorder.http_socket);
	report_dataplane(&report, config->dataplane.ng_unix);
	degraded = json_array_size(report.problems) > 0;
	if (ctl->json) {
		json_object_set_new(report.daemons, "problems", json_incref(report.problems));
		json_object_set_new(report.daemons, "status",
				    json_string(degraded ? "degraded" : "ok"));
		print_json(report.daemons);
	} else {
		print_report(&report);
	}
	table_destroy(report.table);
	json_decref(report.problems);
	json_decref(report.daemons);
	return degraded ? EXIT_NOTHING : EXIT_DONE;
}

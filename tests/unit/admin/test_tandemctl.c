/*
 * tandemctl: its output for people, its editing of the configuration, and the program itself run
 * against the real HTTP API, a small recorder and a small dataplane of the test's own.
 */
#include "tools/tandemctl.h"

#include "dataplane/base/clock.h"
#include "tests/unit/admin/server.h"

#include <openssl/evp.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *program; /* the tandemctl that was built */

/* ---- tables and values ---- */

static void tables_are_aligned_and_safe(void **state)
{
	struct table *table = table_create("NAME|>N|LAST");
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	table_add(table, (const char *[]){"Zoë", "7", "x"});
	table_add(table, (const char *[]){"a\x1b[31mb", "1234", NULL});
	table_add(table, (const char *[]){"\xff\xc2\x9b", "", "end"});
	table_print(table, out);
	fclose(out);
	assert_string_equal(text, "NAME        N  LAST\n"
				  "Zoë         7  x\n"
				  "a?[31mb  1234  \n"
				  "???            end\n");
	free(text);
	table_destroy(table);
	table_destroy(NULL);
}

static void values_are_shown_for_people(void **state)
{
	char out[64];

	(void)state;
	setenv("TZ", "Europe/Berlin", 1);
	tzset();
	assert_string_equal(time_local(out, sizeof(out), "2026-07-02T03:04:05.678Z"),
			    "2026-07-02 05:04:05");
	assert_string_equal(time_local(out, sizeof(out), NULL), "-");
	assert_string_equal(time_local(out, sizeof(out), ""), "-");
	assert_string_equal(time_local(out, sizeof(out), "soon"), "soon");
	assert_string_equal(duration_text(out, sizeof(out), 0), "0:00");
	assert_string_equal(duration_text(out, sizeof(out), 75999), "1:15");
	assert_string_equal(duration_text(out, sizeof(out), 3600000), "1:00:00");
	assert_string_equal(duration_text(out, sizeof(out), -5), "0:00");
	assert_string_equal(bytes_text(out, sizeof(out), 999), "999 B");
	assert_string_equal(bytes_text(out, sizeof(out), 1536), "1.5 KB");
	assert_string_equal(bytes_text(out, sizeof(out), 5000000000), "4.7 GB");
}

/* ---- the configuration's users ---- */

static void digests_change_and_nothing_else_does(void **state)
{
	static const struct {
		const char *before, *after; /* after NULL: refused */
	} cases[] = {
		{"# Zürich\ncontrol:\n  users:\n    - extension: \"1001\"  # desk\n      md5: aa # "
		 "old\n"
		 "      sha256: 'bb'\n    - extension: 1002\n      md5: cc\n",
		 "# Zürich\ncontrol:\n  users:\n    - extension: \"1001\"  # desk\n      md5: MM # "
		 "old\n"
		 "      sha256: 'SS'\n    - extension: 1002\n      md5: cc\n"},
		{"control:\n  users:\n  - name: x\n    extension: 1001 # desk\n  - extension: "
		 "1002\n",
		 "control:\n  users:\n  - name: x\n    extension: 1001 # desk\n    md5: MM\n"
		 "    sha256: SS\n  - extension: 1002\n"},
		{"control: {users: [{extension: 1001, md5: aa}, {extension: 1002}]}\n",
		 "control: {users: [{extension: 1001, sha256: SS, md5: MM}, {extension: 1002}]}\n"},
		{"\xef\xbb\xbf"
		 "control:\r\n  users:\r\n  - sha256: bb\r\n    extension: 1001\r\n",
		 "\xef\xbb\xbf"
		 "control:\r\n  users:\r\n  - sha256: SS\r\n    extension: 1001\n"
		 "    md5: MM\r\n"},
		{"control:\n  users: []\n", NULL},
		{"users:\n  - extension: 1001\n", NULL},
		{"control:\n  other:\n  - extension: 1001\n", NULL},
		{"control:\n  users:\n  - x: {extension: 1001}\n", NULL},
		{"control:\n  users:\n  - extension: 1001\n    md5: |\n      aa\n", NULL},
		{"control: [\n", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char error[256] = "";
		bool missing;
		size_t n;
		char *after = yaml_set_digests(cases[i].before, strlen(cases[i].before), "1001",
					       "MM", "SS", &n, &missing, error);

		if (!cases[i].after) {
			assert_null(after);
			assert_true(error[0] != '\0');
			continue;
		}
		assert_non_null(after);
		assert_string_equal(after, cases[i].after);
		assert_int_equal(n, strlen(after));
		free(after);
	}
}

/* ---- a small recorder and a small dataplane ---- */

static const char object[] = "RIFF....WAVEfmt and some bytes";

struct peer {
	pthread_t thread;
	int listener;
	int stop[2];
	void (*serve)(int fd);
};

static void serve_http(int fd)
{
	static const char status[] =
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"uptime_s\": 5, \"recordings\": "
		"{\"live\": 1, \"finalizing\": 2}, \"ring\": {\"attached\": true}, \"uploads\": "
		"{\"queued\": 3, \"last_error\": null}, \"receipts\": {\"connected\": true}}";
	char request[2048], answer[256];
	ssize_t n = recv(fd, request, sizeof(request) - 1, 0);

	request[n > 0 ? n : 0] = '\0';
	if (strncmp(request, "GET /status ", 12) == 0)
		snprintf(answer, sizeof(answer), "%s", status);
	else if (strncmp(request, "GET /object/2026/01/02/rec-1.wav ", 33) == 0)
		snprintf(answer, sizeof(answer),
			 "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
			 strlen(object), object);
	else
		snprintf(
			answer, sizeof(answer),
			"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	send(fd, answer, strlen(answer), MSG_NOSIGNAL);
}

/* Answers whatever comes first with pong, whatever comes next with statistics, in two pieces. */
static void serve_ng(int fd)
{
	static const char pong[] = " d6:result4:ponge";
	static const char statistics[] =
		" d6:result2:ok10:statisticsd17:currentstatisticsd11:sessionsowni3eee"
		"e";
	char request[256];

	for (int i = 0; i < 2; i++) {
		const char *text = i == 0 ? pong : statistics;
		ssize_t n = recv(fd, request, sizeof(request), 0);

		if (n < 12)
			return;
		send(fd, request, 12, MSG_NOSIGNAL);
		send(fd, text, 9, MSG_NOSIGNAL);
		send(fd, text + 9, strlen(text) - 9, MSG_NOSIGNAL);
	}
}

static void *peer_run(void *arg)
{
	struct peer *peer = arg;
	struct pollfd watch[] = {{peer->listener, POLLIN, 0}, {peer->stop[0], POLLIN, 0}};

	while (poll(watch, 2, -1) > 0 && watch[1].revents == 0) {
		int fd = accept(peer->listener, NULL, NULL);

		if (fd < 0)
			break;
		peer->serve(fd);
		close(fd);
	}
	return NULL;
}

static void peer_start(struct peer *peer, const char *path, void (*serve)(int fd))
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(address.sun_path, path);
	peer->serve = serve;
	peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(peer->listener, 8), 0);
	assert_int_equal(pipe2(peer->stop, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

static void peer_stop(struct peer *peer)
{
	assert_int_equal(write(peer->stop[1], "x", 1), 1);
	pthread_join(peer->thread, NULL);
	close(peer->listener);
	close(peer->stop[0]);
	close(peer->stop[1]);
}

/* ---- the program ---- */

static struct server server;
static struct peer recorder, dataplane;
static char config_path[160];

/* Runs tandemctl with the words of the line; its exit code, and both its outputs in out. */
static int ctl(const char *line, char *out, size_t size)
{
	char command[1024];
	size_t n;
	FILE *pipe;

	snprintf(command, sizeof(command), "cd %s && %s --config %s %s 2>&1", server.directory,
		 program, config_path, line);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	n = fread(out, 1, size - 1, pipe);
	out[n] = '\0';
	return WEXITSTATUS(pclose(pipe));
}

static void file_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static char *file_read(const char *path)
{
	static char text[65536];
	FILE *file = fopen(path, "r");
	size_t n;

	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	return text;
}

static int start(void **state)
{
	char text[1024], path[160];

	(void)state;
	server_start(&server);
	snprintf(config_path, sizeof(config_path), "%s/tandem.yaml", server.directory);
	snprintf(text, sizeof(text),
		 "# ours\nrun_dir: %s\ndata_dir: %s\ncontrol:\n  realm: tandem\n  users:\n"
		 "    - extension: \"1001\" # desk\n"
		 "      md5: 00000000000000000000000000000000\n",
		 server.directory, server.directory);
	file_write(config_path, text);
	chmod(config_path, 0640);
	snprintf(path, sizeof(path), "%s/recorder.sock", server.directory);
	peer_start(&recorder, path, serve_http);
	snprintf(path, sizeof(path), "%s/ng.sock", server.directory);
	peer_start(&dataplane, path, serve_ng);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	peer_stop(&recorder);
	peer_stop(&dataplane);
	server_stop(&server);
	return 0;
}

struct command_case {
	const char *line;
	int code;
	const char *shows; /* somewhere in the output */
};

static void run_cases(const struct command_case *cases, size_t n)
{
	char out[16384];

	for (size_t i = 0; i < n; i++) {
		int code = ctl(cases[i].line, out, sizeof(out));

		if (code != cases[i].code || !strstr(out, cases[i].shows))
			print_error("tandemctl %s: %d, not %d\n%s\n", cases[i].line, code,
				    cases[i].code, out);
		assert_int_equal(code, cases[i].code);
		assert_non_null(strstr(out, cases[i].shows));
	}
}

static void commands_answer_with_their_exit_codes(void **state)
{
	static const struct command_case cases[] = {
		{"--help", 0, "Exit codes"},
		{"cdr --help", 0, "--from T"},
		{"rec get --help", 0, "Usage: tandemctl rec get ID"},
		{"version", 0, "tandemctl "},
		{"--version", 0, "tandemctl "},
		{"", 2, "Usage"},
		{"rec --help", 0, "rec get"},
		{"rec", 2, "rec lacks its second word"},
		{"rec nonsense", 2, "no such command: rec nonsense"},
		{"nonsense", 2, "no such command: nonsense"},
		{"calls nonsense", 2, "does not know nonsense"},
		{"calls hangup", 2, "needs one call id"},
		{"cdr --nonsense", 2, "unknown option --nonsense"},
		{"cdr --from", 2, "--from needs TIME"},
		{"cdr a b", 2, "one id at most"},
		{"status", 0, "dataplane  up"},
		{"status", 0, "3 sessions"},
		{"status", 0, "1 recordings live, 2 being finished, 3 to store"},
		{"--json status", 0, "\"status\": \"ok\""},
		{"calls", 0, "live-1"},
		{"calls --json", 0, "\"calls\": ["},
		{"calls hangup live-1", 0, "ended"},
		{"calls hangup gone", 1, "no call with this id"},
		{"calls hangup slow", 4, "not ended yet"},
		{"reg", 0, "sip:1001@192.0.2.7:5060"},
		{"reg", 0, "phone?[2J"},
		{"cdr", 0, "normal clearing"},
		{"cdr find --number 1003", 0, "cdr-2"},
		{"cdr --number=nobody", 1, "nothing found"},
		{"cdr --number nobody --json", 1, "\"cdrs\": []"},
		{"cdr --from yesterday", 4, "from is no time"},
		{"cdr cdr-1", 0, "caller_name"},
		{"cdr none", 1, "no CDR"},
		{"rec list", 0, "rec-1"},
		{"rec list --call cdr-2", 1, "nothing found"},
		{"rec get none", 1, "no recording"},
		{"--socket /nowhere calls", 3, "control: /nowhere"},
		{"--socket /nowhere status", 1, "control is away"},
		{"--config /nowhere calls", 4, "/nowhere"},
		{"user passwd 4711", 1, "no user 4711"},
		{"user passwd", 2, "one extension"},
		{"secret", 0, "admin_sha256"},
	};

	(void)state;
	run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void bans_and_traces_are_shown(void **state)
{
	static const struct command_case cases[] = {
		{"trace live-1", 0, "|--------INVITE------>|"},
		{"trace live-1", 0, "|<----200 OK?[2J "},
		{"trace live-1", 0, "       2.500  |"},
		{"trace call/1@a --full", 0, "Proxy-Authorization: (removed)"},
		{"trace leg2 --json", 0, "\"from\": \"callee\""},
		{"trace gone", 1, "nothing is kept"},
		{"trace", 2, "needs one call id"},
		{"ban list", 0, "SOURCE"},
		{"ban add 192.0.2.66 --for 10m", 0, "banned"},
		{"ban add 2001:db8:1:2::5", 0, "banned"},
		{"ban list", 0, "192.0.2.66"},
		{"ban list", 0, "10:00"},
		{"ban list", 0, "2001:db8:1:2::/64"},
		{"ban list", 0, "until lifted"},
		{"ban list --json", 0, "\"left_s\": 600"},
		{"ban lift 2001:db8:1:2::/64", 0, "lifted"},
		{"ban lift 192.0.2.66 --json", 0, "{}"},
		{"ban lift 192.0.2.66", 1, "192.0.2.66 is not banned"},
		{"ban add 127.0.0.1", 4, "never banned"},
		{"ban add here", 4, "no IPv4 or IPv6 address"},
		{"ban add", 2, "needs one address"},
		{"ban add 192.0.2.66 --for ever", 2, "expected 90"},
	};

	(void)state;
	run_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void add_recording(const char *receipt)
{
	struct records_options options = {.target = server.target};
	struct records_row row = {.table = RECORDS_RECORDING};
	char error[RECORDS_ERROR_MAX];
	struct records *records;
	struct receipt *parsed;
	const char *reason;

	assert_int_equal(receipt_parse(&parsed, receipt, strlen(receipt), &reason), 0);
	row.row = receipt_recording(parsed);
	assert_int_equal(records_open(&records, &options, error), 0);
	assert_int_equal(records->ops->write(records, &row, 1), 0);
	records_close(records);
	receipt_free(parsed);
}

/* The record's hash must be that of what the recorder gives: both ways round. */
static void a_recording_is_fetched_and_checked(void **state)
{
	char out[4096], path[160], hex[65], receipt[1024];
	unsigned char digest[32];
	char *sample = sample_receipt("rec-2", "cdr-1");

	(void)state;
	assert_int_equal(ctl("rec get rec-1", out, sizeof(out)), 4);
	assert_non_null(strstr(out, "not what was recorded"));
	snprintf(path, sizeof(path), "%s/rec-1.wav", server.directory);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/rec-1.wav.part", server.directory);
	assert_int_equal(access(path, F_OK), -1);

	/* rec-2 has the object of rec-1 and its right hash */
	EVP_Digest(object, strlen(object), digest, NULL, EVP_sha256(), NULL);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	snprintf(receipt, sizeof(receipt), "%s", sample);
	memcpy(strstr(receipt, "e3b0c442"), hex, 64);
	memcpy(strstr(receipt, "01/02/rec-2"), "01/02/rec-1", 11);
	free(sample);
	add_recording(receipt);
	assert_int_equal(ctl("rec get rec-2", out, sizeof(out)), 0);
	assert_non_null(strstr(out, "SHA-256 is right"));
	snprintf(path, sizeof(path), "%s/rec-2.wav", server.directory);
	assert_string_equal(file_read(path), object);
	assert_int_equal(ctl("rec get rec-2 -o -", out, sizeof(out)), 0);
	assert_string_equal(out, object);
	assert_int_equal(ctl("rec get rec-2 -o /nowhere/x", out, sizeof(out)), 4);
	assert_int_equal(ctl("--json rec get rec-2 -o other", out, sizeof(out)), 0);
	assert_non_null(strstr(out, "\"file\": \"other\""));
}

static void a_new_password_goes_into_the_file_as_digests(void **state)
{
	char out[4096], password[64], digests[4096], line[1024];
	struct stat stat_of;
	const char *text;
	FILE *pipe;

	(void)state;
	server.reload_rc = 0;
	server.reloads = 0;
	assert_int_equal(ctl("user passwd 1001", out, sizeof(out)), 0);
	assert_int_equal(sscanf(out, "extension 1001  password %63s", password), 1);
	assert_int_equal(strlen(password), 16);
	assert_int_equal(server.reloads, 1);
	/* the digests are those of that password */
	snprintf(line, sizeof(line), "echo %s | %s digest 1001 tandem --stdin", password, program);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	digests[fread(digests, 1, sizeof(digests) - 1, pipe)] = '\0';
	assert_int_equal(pclose(pipe), 0);
	text = file_read(config_path);
	assert_null(strstr(text, password));
	assert_non_null(strstr(text, "# ours\n"));
	assert_non_null(strstr(text, "- extension: \"1001\" # desk\n"));
	for (char *one = strtok(digests, "\n"); one; one = strtok(NULL, "\n"))
		if (strstr(one, "md5: ") || strstr(one, "sha256: "))
			assert_non_null(strstr(text, strchr(one, ':') + 1));
	assert_int_equal(stat(config_path, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 0777, 0640);
	/* control refuses it: the file stays changed, and that is said */
	server.reload_rc = -EINVAL;
	assert_int_equal(ctl("user passwd 1001", out, sizeof(out)), 4);
	assert_non_null(strstr(out, "an extension twice"));
	server.reload_rc = 0;
}

static void a_degraded_system_is_not_ok(void **state)
{
	char out[4096], socket_path[200], config[160], text[512];

	(void)state;
	server.connected = false;
	assert_int_equal(ctl("status", out, sizeof(out)), 1);
	assert_non_null(strstr(out, "control: dataplane is not connected"));
	server.connected = true;
	/* everything away */
	snprintf(config, sizeof(config), "%s/other.yaml", server.directory);
	snprintf(text, sizeof(text), "run_dir: %s/none\n", server.directory);
	file_write(config, text);
	snprintf(socket_path, sizeof(socket_path), "--config %s status --json", config);
	assert_int_equal(ctl(socket_path, out, sizeof(out)), 1);
	assert_non_null(strstr(out, "\"status\": \"degraded\""));
	assert_non_null(strstr(out, "recorder is away"));
	assert_non_null(strstr(out, "dataplane is away"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_aligned_and_safe),
		cmocka_unit_test(values_are_shown_for_people),
		cmocka_unit_test(digests_change_and_nothing_else_does),
		cmocka_unit_test(commands_answer_with_their_exit_codes),
		cmocka_unit_test(bans_and_traces_are_shown),
		cmocka_unit_test(a_recording_is_fetched_and_checked),
		cmocka_unit_test(a_new_password_goes_into_the_file_as_digests),
		cmocka_unit_test(a_degraded_system_is_not_ok),
	};

	if (argc != 2)
		return 2;
	program = realpath(argv[1], NULL); /* commands run in another directory */
	if (!program)
		return 2;
	return cmocka_run_group_tests(tests, start, stop);
}

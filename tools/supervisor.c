/*
 * tandem-supervisor: starts the three daemons, restarts one that dies, stops them in order.
 *
 *            start                 died: wait 100 ms, 200 ms ... 5 s
 *   DOWN ------------> UP ---------------------------------------> DOWN
 *                       |
 *                       +-- stopping: SIGTERM, after the time limit SIGKILL --> gone
 *
 * Stopping goes control (no new calls, journal flushed), dataplane (the rings end), recorder
 * (drains the rings, commits). One thread; it sleeps in sigtimedwait and nothing else wakes it.
 */
#include "tools/supervisor.h"

#include "dataplane/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACK_OFF_FIRST_MS 100
#define BACK_OFF_MAX_MS   5000
#define STEADY_MS         10000 /* up that long: the next death starts from the first back-off */
#define EXIT_RUNNING      3     /* another supervisor holds RUN */

struct daemon_process {
	const char *name;
	const char *folder; /* where the build tree has it */
	bool privileged;    /* keeps root */
	uint32_t stop_ms;   /* from SIGTERM to SIGKILL */
	char program[PATH_MAX];
	pid_t pid; /* 0: down */
	uint64_t started_ms;
	uint64_t start_at_ms;
	uint32_t back_off_ms; /* before the next restart */
	uint32_t restarts;
};

enum { DATAPLANE, RECORDER, CONTROL, DAEMONS };
static const int stop_order[DAEMONS] = {CONTROL, DATAPLANE, RECORDER};

struct supervisor {
	const char *config_path;
	const struct config *config;
	struct identity identity;
	sigset_t signals;
	struct daemon_process daemons[DAEMONS];
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

/* Beside us (installed), or where the build tree has it. */
static int program_find(struct daemon_process *daemon, const char *directory)
{
	char *out = daemon->program;
	const int room = (int)sizeof(daemon->program);

	if (snprintf(out, (size_t)room, "%s/tandem-%s", directory, daemon->name) < room &&
	    !access(out, X_OK))
		return 0;
	if (snprintf(out, (size_t)room, "%s/../%s/main/tandem-%s", directory, daemon->folder,
		     daemon->name) < room &&
	    !access(out, X_OK))
		return 0;
	log_error("program tandem-%s is not in %s", daemon->name, directory);
	return -ENOENT;
}

static void programs_directory(char out[PATH_MAX])
{
	char self[PATH_MAX];

	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[length > 0 ? length : 0] = '\0';
	snprintf(out, PATH_MAX, "%s", dirname(self));
}

/* RUN/NAME.pid tells operators and tests whom to look at. */
static void pid_file_write(const struct supervisor *supervisor, const struct daemon_process *daemon)
{
	char path[PATH_MAX], text[16];

	if (snprintf(path, sizeof(path), "%s/%s.pid", supervisor->config->run_dir, daemon->name) >=
	    (int)sizeof(path))
		return;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	int length = daemon->pid ? snprintf(text, sizeof(text), "%d\n", (int)daemon->pid) : 0;
	if (write(fd, text, (size_t)length) != length)
		log_warn("pid file %s: %s", path, strerror(errno));
	close(fd);
}

static void daemon_schedule(struct daemon_process *daemon)
{
	daemon->start_at_ms = now_ms() + daemon->back_off_ms;
	daemon->back_off_ms *= 2;
	if (daemon->back_off_ms > BACK_OFF_MAX_MS)
		daemon->back_off_ms = BACK_OFF_MAX_MS;
}

/* In the child: becomes the daemon. A tree in somebody's home (0700 on Debian 12) can't be walked
 * by the daemons' user; the program itself was opened before the privileges went. -errno. */
static int daemon_become(const struct supervisor *supervisor, const struct daemon_process *daemon,
			 char *const arguments[], pid_t parent)
{
	int fd = open(daemon->program, O_PATH | O_CLOEXEC);
	int result = child_prepare(&supervisor->identity, !daemon->privileged, parent);

	if (result)
		return result;
	execv(daemon->program, arguments);
	result = -errno;
	if (result == -EACCES && fd >= 0) {
		fexecve(fd, arguments, environ);
		result = -errno;
	}
	return result;
}

static void daemon_start(struct supervisor *supervisor, struct daemon_process *daemon)
{
	char *const arguments[] = {daemon->program, "--config", (char *)supervisor->config_path,
				   NULL};
	const pid_t parent = getpid();

	daemon->started_ms = now_ms();
	pid_t pid = fork();
	if (pid < 0) {
		log_error("daemon %s not started: %s", daemon->name, strerror(errno));
		daemon_schedule(daemon);
		return;
	}
	if (pid == 0) {
		int result = daemon_become(supervisor, daemon, arguments, parent);

		log_error("daemon %s not started: %s: %s", daemon->name, daemon->program,
			  strerror(-result));
		_exit(127);
	}
	daemon->pid = pid;
	log_info("daemon %s started as process %d", daemon->name, (int)pid);
	pid_file_write(supervisor, daemon);
}

static void death_describe(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "ended with status %d", WEXITSTATUS(status));
}

/* Collects every child that has ended; those who are not being stopped get a time to restart. */
static void children_reap(struct supervisor *supervisor, bool restart)
{
	char how[80];
	int status;

	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		for (int i = 0; i < DAEMONS; i++) {
			struct daemon_process *daemon = &supervisor->daemons[i];
			if (daemon->pid != pid)
				continue;
			daemon->pid = 0;
			death_describe(status, how, sizeof(how));
			pid_file_write(supervisor, daemon);
			if (!restart) {
				log_info("daemon %s (process %d) %s", daemon->name, (int)pid, how);
				continue;
			}
			if (now_ms() - daemon->started_ms >= STEADY_MS)
				daemon->back_off_ms = BACK_OFF_FIRST_MS;
			daemon->restarts++;
			log_error("daemon %s (process %d) %s; restart %u in %u ms", daemon->name,
				  (int)pid, how, daemon->restarts, daemon->back_off_ms);
			daemon_schedule(daemon);
		}
	}
}

/* Starts what is due; returns when the next one is due, in ms from now, or -1 for never. */
static int64_t daemons_start_due(struct supervisor *supervisor)
{
	int64_t next_ms = -1;

	for (int i = 0; i < DAEMONS; i++) {
		struct daemon_process *daemon = &supervisor->daemons[i];
		if (daemon->pid)
			continue;
		int64_t wait_ms = (int64_t)daemon->start_at_ms - (int64_t)now_ms();
		if (wait_ms <= 0)
			daemon_start(supervisor, daemon);
		if (daemon->pid)
			continue;
		wait_ms = (int64_t)daemon->start_at_ms - (int64_t)now_ms();
		if (next_ms < 0 || wait_ms < next_ms)
			next_ms = wait_ms < 1 ? 1 : wait_ms;
	}
	return next_ms;
}

/* Returns the signal, 0 after wait_ms (-1: no limit). */
static int signal_wait(const sigset_t *signals, int64_t wait_ms)
{
	const struct timespec limit = {.tv_sec = wait_ms / 1000,
				       .tv_nsec = wait_ms % 1000 * 1000000};

	int number = sigtimedwait(signals, NULL, wait_ms < 0 ? NULL : &limit);
	return number < 0 ? 0 : number;
}

static void daemon_stop(struct supervisor *supervisor, struct daemon_process *daemon, bool *hurry)
{
	const uint64_t limit_ms = now_ms() + daemon->stop_ms;

	if (!daemon->pid)
		return;
	kill(daemon->pid, *hurry ? SIGKILL : SIGTERM);
	while (daemon->pid) {
		int64_t wait_ms = (int64_t)limit_ms - (int64_t)now_ms();
		int number = signal_wait(&supervisor->signals, wait_ms > 0 ? wait_ms : 100);
		if (number == SIGINT || number == SIGTERM)
			*hurry = true;
		children_reap(supervisor, false);
		if (daemon->pid && (*hurry || now_ms() >= limit_ms)) {
			log_error("daemon %s (process %d) did not stop %s, killed", daemon->name,
				  (int)daemon->pid, *hurry ? "at once" : "in time");
			kill(daemon->pid, SIGKILL);
		}
	}
}

static void supervisor_run(struct supervisor *supervisor)
{
	bool hurry = false; /* a second Ctrl-C */

	for (;;) {
		int number = signal_wait(&supervisor->signals, daemons_start_due(supervisor));
		if (number == SIGINT || number == SIGTERM)
			break;
		children_reap(supervisor, true);
	}
	log_info("supervisor stopping");
	for (int i = 0; i < DAEMONS; i++)
		daemon_stop(supervisor, &supervisor->daemons[stop_order[i]], &hurry);
	sockets_remove(supervisor->config->run_dir);
	log_info("supervisor stopped");
}

/* Everything that can be refused is refused here, before the first daemon starts. */
static int supervisor_prepare(struct supervisor *supervisor, const char *programs)
{
	char directory[PATH_MAX];
	pid_t holder;

	programs_directory(directory);
	for (int i = 0; i < DAEMONS; i++) {
		int result = program_find(&supervisor->daemons[i], programs ? programs : directory);
		if (result)
			return result;
	}
	int result = identity_find(supervisor->config, &supervisor->identity);
	if (!result)
		result = directories_create(supervisor->config, &supervisor->identity);
	if (result)
		return result;
	int lock = lock_take(supervisor->config->run_dir, &holder);
	if (lock < 0) {
		log_error("directory %s is in use by another supervisor (process %d)",
			  supervisor->config->run_dir, (int)holder);
		return lock;
	}
	sockets_remove(supervisor->config->run_dir);
	sigemptyset(&supervisor->signals);
	sigaddset(&supervisor->signals, SIGCHLD);
	sigaddset(&supervisor->signals, SIGINT);
	sigaddset(&supervisor->signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &supervisor->signals, NULL);
	signal(SIGPIPE, SIG_IGN); /* a reader of the log that goes away */
	return 0;
}

static const char usage[] =
	"Usage: tandem-supervisor [--config FILE] [--programs DIRECTORY] [--check]\n"
	"Starts tandem-dataplane, tandem-recorder and tandem-control, restarts one that dies and\n"
	"stops them in order on SIGTERM or Ctrl-C (twice: at once).\n"
	"\n"
	"  --config FILE         the configuration (default /etc/tandem/tandem.yaml)\n"
	"  --programs DIRECTORY  where the daemons are (default: beside this program)\n"
	"  --check               read the configuration, say what is wrong with it, and end\n"
	"  --help, --version\n"
	"\n"
	"Status: 0 stopped as asked, 1 could not start, 2 wrong usage or configuration,\n"
	"3 another one is running.\n";

struct options {
	const char *config_path;
	const char *programs;
	bool check;
};

/* Returns -1 to go on, otherwise the exit status. */
static int options_parse(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {{"config", required_argument, NULL, 'c'},
					      {"programs", required_argument, NULL, 'p'},
					      {"check", no_argument, NULL, 'k'},
					      {"help", no_argument, NULL, 'h'},
					      {"version", no_argument, NULL, 'v'},
					      {NULL, 0, NULL, 0}};

	for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		switch (option) {
		case 'c':
			options->config_path = optarg;
			break;
		case 'p':
			options->programs = optarg;
			break;
		case 'k':
			options->check = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'v':
			puts("tandem-supervisor " TANDEM_VERSION);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind != argc)
		fputs(usage, stderr);
	return optind == argc ? -1 : 2;
}

int main(int argc, char **argv)
{
	static struct supervisor supervisor = {
		.daemons = {
			[DATAPLANE] = {.name = "dataplane",
				       .folder = "dataplane",
				       .privileged = true,
				       .stop_ms = 5000,
				       .back_off_ms = BACK_OFF_FIRST_MS},
			[RECORDER] = {.name = "recorder",
				      .folder = "recorder",
				      .stop_ms = 20000,
				      .back_off_ms = BACK_OFF_FIRST_MS},
			[CONTROL] = {.name = "control",
				     .folder = "control",
				     .stop_ms = 8000,
				     .back_off_ms = BACK_OFF_FIRST_MS},
		}};
	struct options options = {.config_path = "/etc/tandem/tandem.yaml"};
	char error[CONFIG_ERROR_MAX];
	struct config *config;

	int result = options_parse(&options, argc, argv);
	if (result >= 0)
		return result;
	if (config_load(options.config_path, &config, error)) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	supervisor.config_path = options.config_path;
	supervisor.config = config;
	log_init("tandem-supervisor", config->log_level);
	result = options.check ? 0 : supervisor_prepare(&supervisor, options.programs);
	if (!result && !options.check)
		supervisor_run(&supervisor);
	config_free(config);
	return result == -EBUSY ? EXIT_RUNNING : result ? 1 : 0;
}

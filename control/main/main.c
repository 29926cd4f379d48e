/* tandem-control: SIP, calls, registrations, records. Arguments, identity and signals are here;
 * the wiring is in control.c. */
#include "control/main/control.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define CONFIG_DEFAULT "/etc/tandem/tandem.yaml"
#define OPEN_FILES_MAX 65536

static void usage(FILE *out)
{
	fputs("Usage: tandem-control [--config FILE] [--check]\n"
	      "SIP registrar and B2BUA: the part of Tandem that makes and accounts for calls.\n\n"
	      "  -c, --config FILE  configuration, default " CONFIG_DEFAULT "\n"
	      "      --check        read the configuration, say whether it is right, and end\n"
	      "  -h, --help         this text\n"
	      "  -V, --version      version\n\n"
	      "SIGTERM ends all calls and stops; SIGHUP reads users and certificates again.\n",
	      out);
}

struct arguments {
	const char *config_path;
	bool check;
};

/* -1: go on; otherwise the exit status. */
static int arguments_read(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"check", no_argument, NULL, 'k'},
						{"help", no_argument, NULL, 'h'},
						{"version", no_argument, NULL, 'V'},
						{NULL, 0, NULL, 0}};
	int option;

	*arguments = (struct arguments){.config_path = CONFIG_DEFAULT};
	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			arguments->config_path = optarg;
			break;
		case 'k':
			arguments->check = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			puts("tandem-control " TANDEM_VERSION);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "tandem-control: unexpected argument %s\n", argv[optind]);
	return 2;
}

/* To the configured user, when started by root. */
static int identity_drop(const struct config *config)
{
	const struct passwd *entry;

	if (geteuid() != 0 || !config->user)
		return 0;
	errno = 0;
	entry = getpwnam(config->user);
	if (!entry) {
		log_error("user %s: %s", config->user, errno ? strerror(errno) : "no such user");
		return errno ? -errno : -ENOENT;
	}
	if (initgroups(entry->pw_name, entry->pw_gid) || setgid(entry->pw_gid) ||
	    setuid(entry->pw_uid)) {
		log_error("user %s: %s", config->user, strerror(errno));
		return -errno;
	}
	return prctl(PR_SET_DUMPABLE, 1) ? -errno : 0;
}

static void files_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max < OPEN_FILES_MAX ? limit.rlim_max : OPEN_FILES_MAX;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- signals ---- */

struct signals {
	struct loop_fd watch;
	struct control *control;
};

static void signals_ready(struct loop_fd *watch, uint32_t events)
{
	struct signals *signals = list_entry(watch, struct signals, watch);
	struct signalfd_siginfo got;
	char error[CONFIG_ERROR_MAX];

	(void)events;
	while (read(watch->fd, &got, sizeof(got)) == (ssize_t)sizeof(got)) {
		if (got.ssi_signo != SIGHUP) {
			log_info("control stops on signal %u", got.ssi_signo);
			control_stop(signals->control);
		} else if (control_reload(signals->control, error)) {
			log_error("reload refused, all stays as it was: %s", error);
		} else {
			log_info("users and certificates reloaded");
		}
	}
}

/* Before any thread starts, so that all of them have these signals blocked. */
static int signals_block(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	return pthread_sigmask(SIG_BLOCK, set, NULL);
}

static int signals_open(struct signals *signals, const sigset_t *set, struct control *control)
{
	signals->control = control;
	signals->watch.ready = signals_ready;
	signals->watch.fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals->watch.fd < 0)
		return -errno;
	return loop_fd_add(control->loop, &signals->watch, EPOLLIN);
}

static void say_ready(const struct config_control *config)
{
	char listen[512];
	size_t at = 0;

	listen[0] = '\0';
	for (uint32_t i = 0; i < config->listen_count && at < sizeof(listen); i++)
		at += (size_t)snprintf(listen + at, sizeof(listen) - at, " %s", config->listen[i]);
	log_info("control ready, sip%s, http %s%s%s", listen, config->http_socket,
		 config->http && config->admin_sha256 ? " " : "",
		 config->http && config->admin_sha256 ? config->http : "");
}

static int control_run(struct control *control)
{
	struct signals signals;
	sigset_t set;
	int err = signals_block(&set);

	if (!err)
		err = control_open(control);
	if (!err)
		err = signals_open(&signals, &set, control);
	if (err) {
		log_error("control not started: %s", strerror(-err));
	} else {
		say_ready(&control->config->control);
		loop_run(control->loop);
		loop_fd_del(control->loop, &signals.watch);
		close(signals.watch.fd);
	}
	control_close(control);
	if (!err)
		log_info("control stopped");
	return err;
}

int main(int argc, char **argv)
{
	struct control control = {0};
	struct arguments arguments;
	char error[CONFIG_ERROR_MAX];
	int status = arguments_read(argc, argv, &arguments);

	if (status >= 0)
		return status;
	if (config_load(arguments.config_path, &control.config, error)) {
		fprintf(stderr, "tandem-control: %s\n", error);
		return 2;
	}
	if (arguments.check) {
		printf("%s: right\n", arguments.config_path);
		config_free(control.config);
		return 0;
	}
	log_init("tandem-control", control.config->log_level);
	control.config_path = arguments.config_path;
	files_allow();
	status = identity_drop(control.config) || control_run(&control);
	config_free(control.config);
	return status ? EXIT_FAILURE : EXIT_SUCCESS;
}

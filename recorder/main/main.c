/* tandem-recorder: what the dataplane forks becomes files in the object store. Arguments, signals
 * and identity; the wiring is in recorder.c. */
#include "dataplane/base/config.h"
#include "dataplane/base/log.h"
#include "recorder/main/recorder.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

#define CONFIG_DEFAULT "/etc/tandem/tandem.yaml"

static const char help[] =
	"usage: tandem-recorder [--config FILE] [--check]\n"
	"Takes what the dataplane forks, keeps it in a spool, builds one file for each recording\n"
	"and puts it into the object store.\n"
	"\n"
	"  -c, --config FILE   configuration (default " CONFIG_DEFAULT ")\n"
	"      --check         read the configuration, say whether it is right, and end\n"
	"  -h, --help          this text\n"
	"  -V, --version       version\n"
	"\n"
	"exit: 0 stopped by a signal (or the check passed), 1 could not start, 2 usage\n";

struct options {
	const char *config;
	bool check;
};

/* -1 = go on, else the exit status. */
static int options_parse(struct options *options, int argc, char **argv)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:hV", longs, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->config = optarg;
			break;
		case 'k':
			options->check = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		case 'V':
			puts("tandem-recorder " TANDEM_VERSION);
			return 0;
		default:
			fputs(help, stderr);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "tandem-recorder: unexpected argument %s\n", argv[optind]);
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
		return -ENOENT;
	}
	if (initgroups(entry->pw_name, entry->pw_gid) || setgid(entry->pw_gid) ||
	    setuid(entry->pw_uid)) {
		log_error("user %s: %s", config->user, strerror(errno));
		return -errno;
	}
	return prctl(PR_SET_DUMPABLE, 1) ? -errno : 0;
}

static volatile sig_atomic_t stop_wanted;

static void signal_taken(int number)
{
	(void)number;
	stop_wanted = 1;
}

static void signals_take(void)
{
	struct sigaction stop = {.sa_handler = signal_taken};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

static int recorder_run(const struct config *config)
{
	struct recorder recorder;
	int error = recorder_start(&recorder, config);

	if (!error) {
		log_info("recorder ready");
		/* a signal is seen within one round, at most 100 ms */
		while (!stop_wanted)
			recorder_round(&recorder);
		log_info("recorder stopping");
	}
	recorder_stop(&recorder);
	return error;
}

int main(int argc, char **argv)
{
	struct options options = {.config = CONFIG_DEFAULT};
	char error[CONFIG_ERROR_MAX];
	struct config *config;
	int rc = options_parse(&options, argc, argv);

	if (rc >= 0)
		return rc;
	log_init("tandem-recorder", LOG_LEVEL_INFO);
	if (config_load(options.config, &config, error) < 0) {
		fprintf(stderr, "tandem-recorder: %s\n", error);
		return 1;
	}
	if (options.check) {
		printf("%s: right\n", options.config);
		config_free(config);
		return 0;
	}
	log_init("tandem-recorder", config->log_level);
	signals_take();
	rc = identity_drop(config);
	if (rc == 0)
		rc = recorder_run(config);
	config_free(config);
	return rc == 0 ? 0 : 1;
}

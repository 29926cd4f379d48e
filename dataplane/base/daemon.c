/* How a daemon begins, before it has anything to do. */
#include "dataplane/base/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CONFIG_DEFAULT "/etc/tandem/tandem.yaml"

static void usage(FILE *out, const struct daemon_words *words)
{
	fprintf(out,
		"Usage: %s [--config FILE] [--check]\n%s\n"
		"  -c, --config FILE  configuration, default " CONFIG_DEFAULT "\n"
		"      --check        read the configuration, say whether it is right, and end\n"
		"  -h, --help         this text\n"
		"  -V, --version      version\n\n"
		"Exit status: 0 stopped by a signal (or the check passed), 1 could not start, "
		"2 usage.\n",
		words->program, words->about);
}

static int options_read(int argc, char **argv, const struct daemon_words *words,
			const char **config_path, bool *check)
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
			*config_path = optarg;
			break;
		case 'k':
			*check = true;
			break;
		case 'h':
			usage(stdout, words);
			return 0;
		case 'V':
			printf("%s %s\n", words->program, words->version);
			return 0;
		default:
			usage(stderr, words);
			return 2;
		}
	}
	if (optind == argc)
		return DAEMON_GO_ON;
	fprintf(stderr, "%s: unexpected argument %s\n", words->program, argv[optind]);
	return 2;
}

int daemon_begin(int argc, char **argv, const struct daemon_words *words, struct config **config,
		 const char **config_path)
{
	char error[CONFIG_ERROR_MAX];
	bool check = false;
	int status;

	*config_path = CONFIG_DEFAULT;
	status = options_read(argc, argv, words, config_path, &check);
	if (status != DAEMON_GO_ON)
		return status;
	if (config_load(*config_path, config, error) < 0) {
		fprintf(stderr, "%s: %s\n", words->program, error);
		return 1;
	}
	if (check) {
		printf("%s: right\n", *config_path);
		config_free(*config);
		return 0;
	}
	log_init(words->program, (*config)->log_level);
	prctl(PR_SET_NAME, words->program); /* it may have been started by descriptor */
	return DAEMON_GO_ON;
}

int daemon_drop_identity(const struct config *config)
{
	const struct passwd *entry;
	int rc;

	if (geteuid() != 0 || !config->user)
		return 0;
	errno = 0;
	entry = getpwnam(config->user);
	if (!entry) {
		log_error("user %s: %s", config->user, errno ? strerror(errno) : "no such user");
		return errno ? -errno : -ENOENT;
	}
	if (initgroups(entry->pw_name, entry->pw_gid) || setgid(entry->pw_gid) ||
	    setuid(entry->pw_uid) || prctl(PR_SET_DUMPABLE, 1)) {
		rc = -errno;
		log_error("user %s: %s", config->user, strerror(errno));
		return rc;
	}
	return 0;
}

/* tandem-dataplane: relays media between ports under the command of ng. */
#include "dataplane/base/log.h"
#include "dataplane/main/dataplane.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_DEFAULT "/etc/tandem/tandem.yaml"

static const char help[] =
	"usage: tandem-dataplane [--config FILE] [--check]\n"
	"Relays RTP and RTCP between network ports (DPDK), commanded by the ng protocol.\n"
	"\n"
	"  -c, --config FILE   configuration (default " CONFIG_DEFAULT ")\n"
	"      --check         read the configuration, say whether it is right, and end\n"
	"  -h, --help          this text\n"
	"  -V, --version       the version\n"
	"\n"
	"exit: 0 stopped by a signal (or the check passed), 1 could not start, 2 usage\n";

struct options {
	const char *config;
	bool check;
};

/* -1 = go on, else the exit status. */
static int options_parse(struct options *options, int argc, char **argv)
{
	static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
					      {"check", no_argument, NULL, 'k'},
					      {"help", no_argument, NULL, 'h'},
					      {"version", no_argument, NULL, 'V'},
					      {0}};
	int c;

	while ((c = getopt_long(argc, argv, "c:hV", longs, NULL)) != -1) {
		if (c == 'c') {
			options->config = optarg;
		} else if (c == 'k') {
			options->check = true;
		} else if (c == 'h') {
			fputs(help, stdout);
			return 0;
		} else if (c == 'V') {
			puts("tandem-dataplane " TANDEM_VERSION);
			return 0;
		} else {
			fputs("try --help\n", stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "unexpected argument \"%s\"; try --help\n", argv[optind]);
		return 2;
	}
	return -1;
}

/* What a signal handler can reach; nothing else may use it. */
static struct loop *signal_loop;

static void signal_taken(int number)
{
	(void)number;
	loop_stop(signal_loop);
}

static void signals_take(struct loop *loop)
{
	struct sigaction stop = {.sa_handler = signal_taken};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	signal_loop = loop;
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

int main(int argc, char **argv)
{
	struct options options = {.config = CONFIG_DEFAULT};
	char error[CONFIG_ERROR_MAX];
	struct dataplane *dataplane;
	int rc = options_parse(&options, argc, argv);

	if (rc >= 0)
		return rc;
	log_init("tandem-dataplane", LOG_LEVEL_INFO);
	dataplane = calloc(1, sizeof(*dataplane));
	if (dataplane == NULL)
		return 1;
	rc = config_load(options.config, &dataplane->config, error);
	if (rc < 0) {
		log_error("%s", error);
		free(dataplane);
		return 1;
	}
	log_init("tandem-dataplane", dataplane->config->log_level);
	if (!options.check) {
		if (geteuid() != 0)
			log_warn("dataplane runs without root; devices may be refused");
		rc = dataplane_start(dataplane);
		if (rc == 0) {
			signals_take(dataplane->loop);
			log_info("dataplane ready");
			loop_run(dataplane->loop);
			log_info("dataplane stopping");
		}
		dataplane_stop(dataplane);
	}
	config_free(dataplane->config);
	free(dataplane);
	return rc < 0 ? 1 : 0;
}

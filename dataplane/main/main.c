/* tandem-dataplane: relays media between ports under the command of ng. */
#include "dataplane/base/daemon.h"
#include "dataplane/base/log.h"
#include "dataplane/main/dataplane.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const struct daemon_words words = {
	.program = "tandem-dataplane",
	.version = TANDEM_VERSION,
	.about =
		"Relays RTP and RTCP between network ports (DPDK), commanded by the ng protocol.\n",
};

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
	struct dataplane *dataplane = calloc(1, sizeof(*dataplane));
	const char *config_path;
	int rc;

	if (dataplane == NULL)
		return 1;
	rc = daemon_begin(argc, argv, &words, &dataplane->config, &config_path);
	if (rc != DAEMON_GO_ON) {
		free(dataplane);
		return rc;
	}
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
	config_free(dataplane->config);
	free(dataplane);
	return rc < 0 ? 1 : 0;
}

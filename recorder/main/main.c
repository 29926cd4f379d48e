/* tandem-recorder: what the dataplane forks becomes files in the object store. Signals are here;
 * the wiring is in recorder.c. */
#include "dataplane/base/daemon.h"
#include "dataplane/base/log.h"
#include "recorder/main/recorder.h"

#include <signal.h>

static const struct daemon_words words = {
	.program = "tandem-recorder",
	.version = TANDEM_VERSION,
	.about = "Takes what the dataplane forks, keeps it in a spool, builds one file for each "
		 "recording\nand puts it into the object store.\n",
};

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
	const char *config_path;
	struct config *config;
	int rc = daemon_begin(argc, argv, &words, &config, &config_path);

	if (rc != DAEMON_GO_ON)
		return rc;
	signals_take();
	rc = daemon_drop_identity(config);
	if (rc == 0)
		rc = recorder_run(config);
	config_free(config);
	return rc == 0 ? 0 : 1;
}

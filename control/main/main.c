/* tandem-control: SIP, calls, registrations, records. Signals are here;
 * the wiring is in control.c. */
#include "control/main/control.h"
#include "dataplane/base/daemon.h"
#include "dataplane/base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define OPEN_FILES_MAX 65536

static const struct daemon_words words = {
	.program = "tandem-control",
	.version = TANDEM_VERSION,
	.about = "SIP registrar and B2BUA: the part of Tandem that makes and accounts for calls.\n"
		 "SIGTERM ends all calls and stops; SIGHUP reads users and certificates again.\n",
};

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
	int status = daemon_begin(argc, argv, &words, &control.config, &control.config_path);

	if (status != DAEMON_GO_ON)
		return status;
	files_allow();
	status = daemon_drop_identity(control.config) || control_run(&control);
	config_free(control.config);
	return status ? EXIT_FAILURE : EXIT_SUCCESS;
}

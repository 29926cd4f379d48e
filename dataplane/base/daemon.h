/* What the three daemons' main functions share: arguments, configuration, identity. */
#pragma once

#include "dataplane/base/config.h"

/* Words of one daemon; literals. */
struct daemon_words {
	const char *program; /* "tandem-recorder" */
	const char *version;
	const char *about; /* what it does, lines ended by \n */
};

#define DAEMON_GO_ON (-1)

/* Reads the arguments (--config FILE, --check, --help, --version) and the configuration, and begins
 * the log. DAEMON_GO_ON with *config (the caller's to config_free) and *config_path set, or the
 * exit status: 0 asked for help, version or a check that passed, 1 the configuration is wrong (said
 * on stderr), 2 usage. */
int daemon_begin(int argc, char **argv, const struct daemon_words *words, struct config **config,
		 const char **config_path);

/* From root to the configured user and its groups, for good; nothing to do when started by another
 * user or when none is configured. -errno, logged. */
int daemon_drop_identity(const struct config *config);

/*
 * What the supervisor prepares before it starts a daemon: the directories, the lock that keeps a
 * second supervisor out, and the identity and limits of a child.
 */
#pragma once

#include "dataplane/base/config.h"

#include <stdbool.h>
#include <sys/types.h>

/* Whom the daemons without privileges run as. */
struct identity {
	const char *name; /* NULL: the daemons keep the supervisor's own identity */
	uid_t uid;
	gid_t gid;
};

/* Looks config->user up. -ENOENT: no such user; -EPERM: we may not become that user. Logged. */
int identity_find(const struct config *config, struct identity *identity);

/* Creates RUN (root and the user's group, sticky) and DATA with the directories of the config
 * inside it (the user's). Existing directories keep their contents and get the owner and mode.
 * Logged; -errno. */
int directories_create(const struct config *config, const struct identity *identity);

/* Takes RUN/supervisor.pid and writes our pid there; the lock goes with the process. Returns the
 * descriptor, or -EBUSY with the other one's pid in *holder, or -errno. */
int lock_take(const char *run_dir, pid_t *holder);

/* Removes sockets that a killed run left in RUN, so that a socket that is there is a live one. */
void sockets_remove(const char *run_dir);

/* In the child, between fork and exec: own process group, limits, no input, the parent's death as
 * SIGTERM and, when asked, the identity without any privilege. Returns -errno; logs nothing. */
int child_prepare(const struct identity *identity, bool drop_privileges, pid_t parent);

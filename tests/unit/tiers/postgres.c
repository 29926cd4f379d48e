/* Starting and stopping a private PostgreSQL. */
#include "tests/unit/tiers/postgres.h"

#include "tests/unit/tiers/fixture.h"

#include <libpq-fe.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TRIES 200 /* of 50 ms */

struct postgres {
	char directory[SCRATCH_MAX];
	char programs[256];
	char target[256];
	struct passwd *user; /* whom to run as; NULL = ourselves */
	pid_t pid;           /* 0 = not running */
};

static void become(const struct passwd *user)
{
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* not for longer than the test */
	setpgid(0, 0);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (user &&
	    (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* setuid forgets it */
	if (chdir("/") != 0)
		_exit(126);
}

static bool make_cluster(const struct postgres *postgres)
{
	char program[300], cluster[128];
	int status;
	pid_t pid;

	snprintf(program, sizeof(program), "%s/initdb", postgres->programs);
	snprintf(cluster, sizeof(cluster), "%s/cluster", postgres->directory);
	pid = fork();
	if (pid == 0) {
		become(postgres->user);
		execl(program, program, "-D", cluster, "-A", "trust", "-U", "tandem", "-E", "UTF8",
		      "--no-locale", "--no-sync", (char *)NULL);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static bool answers(const struct postgres *postgres)
{
	return PQping(postgres->target) == PQPING_OK;
}

bool postgres_resume(struct postgres *postgres)
{
	const struct timespec nap = {0, 50 * 1000 * 1000};
	char program[300], cluster[128];

	snprintf(program, sizeof(program), "%s/postgres", postgres->programs);
	snprintf(cluster, sizeof(cluster), "%s/cluster", postgres->directory);
	postgres->pid = fork();
	if (postgres->pid == 0) {
		become(postgres->user);
		execl(program, program, "-D", cluster, "-k", postgres->directory, "-c",
		      "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB",
		      (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < START_TRIES; i++) {
		if (answers(postgres))
			return true;
		nanosleep(&nap, NULL);
	}
	return false;
}

/* The folder of the newest server that is installed. */
static bool find_programs(char *programs, size_t size)
{
	glob_t found;

	if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) != 0)
		return false;
	snprintf(programs, size, "%s", found.gl_pathv[found.gl_pathc - 1]);
	*strrchr(programs, '/') = '\0';
	globfree(&found);
	return true;
}

bool postgres_is_installed(void)
{
	char programs[256];

	return find_programs(programs, sizeof(programs));
}

struct postgres *postgres_start(void)
{
	struct postgres *postgres = calloc(1, sizeof(*postgres));

	if (!postgres)
		return NULL;
	if (!find_programs(postgres->programs, sizeof(postgres->programs))) {
		free(postgres);
		return NULL;
	}
	scratch_make(postgres->directory);
	snprintf(postgres->target, sizeof(postgres->target),
		 "postgresql://tandem@/postgres?host=%s", postgres->directory);
	if (geteuid() == 0) {
		postgres->user = getpwnam("postgres");
		if (!postgres->user || chown(postgres->directory, postgres->user->pw_uid,
					     postgres->user->pw_gid) != 0) {
			postgres_destroy(postgres);
			return NULL;
		}
	}
	if (!make_cluster(postgres) || !postgres_resume(postgres)) {
		postgres_destroy(postgres);
		return NULL;
	}
	return postgres;
}

const char *postgres_target(const struct postgres *postgres)
{
	return postgres->target;
}

void postgres_halt(struct postgres *postgres)
{
	if (postgres->pid == 0)
		return;
	kill(postgres->pid, SIGQUIT);
	waitpid(postgres->pid, NULL, 0);
	postgres->pid = 0;
}

/* Each backend is a group of its own: found by its parent. */
void postgres_freeze(struct postgres *postgres, bool frozen)
{
	int number = frozen ? SIGSTOP : SIGCONT;
	char path[64], line[64];
	FILE *children;
	int child;

	kill(postgres->pid, number);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", postgres->pid, postgres->pid);
	children = fopen(path, "r");
	if (!children)
		return;
	while (fscanf(children, "%63s", line) == 1) {
		child = atoi(line);
		if (child > 1)
			kill(child, number);
	}
	fclose(children);
}

void postgres_destroy(struct postgres *postgres)
{
	if (!postgres)
		return;
	postgres_halt(postgres);
	scratch_remove(postgres->directory);
	free(postgres);
}

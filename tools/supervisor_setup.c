/*
 * Directories, lock, identity and limits for the supervisor's children.
 */
#include "tools/supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_FILES_MAX 65536

int identity_find(const struct config *config, struct identity *identity)
{
	*identity = (struct identity){.name = NULL, .uid = geteuid(), .gid = getegid()};
	if (!config->user)
		return 0;
	errno = 0;
	const struct passwd *entry = getpwnam(config->user);
	if (!entry) {
		log_error("user %s: %s", config->user,
			  errno ? strerror(errno) : "no such user on this machine");
		return errno ? -errno : -ENOENT;
	}
	if (geteuid() != 0 && geteuid() != entry->pw_uid) {
		log_error("user %s: only root can start daemons as another user", config->user);
		return -EPERM;
	}
	identity->name = geteuid() == 0 ? config->user : NULL;
	identity->uid = entry->pw_uid;
	identity->gid = entry->pw_gid;
	return 0;
}

/* Creates the parents of path that are missing, world-readable and ours. */
static int parents_create(const char *path)
{
	char part[PATH_MAX];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t length = (size_t)(slash - path);
		if (length >= sizeof(part))
			return -ENAMETOOLONG;
		memcpy(part, path, length);
		part[length] = '\0';
		if (mkdir(part, 0755) && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int directory_create(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	int result = parents_create(path);
	if (!result && mkdir(path, mode) && errno != EEXIST)
		result = -errno;
	/* Owner and mode through the descriptor: the last part must be a directory, not a link. */
	int fd = result ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!result && fd < 0)
		result = -errno;
	if (!result && geteuid() == 0 && fchown(fd, uid, gid))
		result = -errno;
	if (!result && fchmod(fd, mode))
		result = -errno;
	if (fd >= 0)
		close(fd);
	if (result)
		log_error("directory %s: %s", path, strerror(-result));
	return result;
}

int directories_create(const struct config *config, const struct identity *identity)
{
	const struct config_store *store = &config->recorder.store;
	const char *const owned[] = {
		config->data_dir,
		config->recorder.spool,
		store->kind == CONFIG_STORE_DIRECTORY ? store->directory : NULL,
		config->control.journal,
	};

	int result = directory_create(config->run_dir, geteuid(), identity->gid, 01770);
	for (size_t i = 0; !result && i < sizeof(owned) / sizeof(owned[0]); i++)
		if (owned[i])
			result = directory_create(owned[i], identity->uid, identity->gid, 0750);
	return result;
}

int lock_take(const char *run_dir, pid_t *holder)
{
	char path[PATH_MAX], text[32] = "";

	*holder = 0;
	if (snprintf(path, sizeof(path), "%s/supervisor.pid", run_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int result = errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (read(fd, text, sizeof(text) - 1) > 0)
			*holder = (pid_t)strtol(text, NULL, 10);
		close(fd);
		return result;
	}
	int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)length, 0) != length) {
		int result = errno ? -errno : -EIO;
		close(fd);
		return result;
	}
	return fd;
}

void sockets_remove(const char *run_dir)
{
	DIR *directory = opendir(run_dir);
	struct stat status;

	if (!directory)
		return;
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (!fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) &&
		    S_ISSOCK(status.st_mode))
			unlinkat(dirfd(directory), entry->d_name, 0);
	}
	closedir(directory);
}

static void limits_set(void)
{
	struct rlimit files = {OPEN_FILES_MAX, OPEN_FILES_MAX};
	const struct rlimit locked = {RLIM_INFINITY, RLIM_INFINITY}, core = {0, 0};

	/* Raising may be refused; then the daemons get what the hard limit leaves. */
	if (setrlimit(RLIMIT_NOFILE, &files) && !getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max < OPEN_FILES_MAX ? files.rlim_max : OPEN_FILES_MAX;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	setrlimit(RLIMIT_MEMLOCK, &locked);
	setrlimit(RLIMIT_CORE, &core);
}

int child_prepare(const struct identity *identity, bool drop_privileges, pid_t parent)
{
	sigset_t none;

	/* A terminal's Ctrl-C goes to the supervisor alone, which keeps the order of stopping. */
	if (setpgid(0, 0))
		return -errno;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	limits_set();
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return -errno;
	if (drop_privileges && identity->name) {
		if (initgroups(identity->name, identity->gid) ||
		    setresgid(identity->gid, identity->gid, identity->gid) ||
		    setresuid(identity->uid, identity->uid, identity->uid))
			return -errno;
	}
	if (drop_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	/* After the change of identity, which clears it. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM))
		return -errno;
	if (getppid() != parent)
		return -ESRCH;
	return 0;
}

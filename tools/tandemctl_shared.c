/* What all commands of tandemctl need: complaints, the configuration, options. */
#include "tools/tandemctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int say(int code, const char *format, ...)
{
	va_list arguments;
	char line[1024], safe[1024];

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	fprintf(stderr, "tandemctl: %s\n", text_safe(safe, sizeof(safe), line));
	return code;
}

/* ---- configuration ---- */

static int load_defaults(struct config **config, char error[CONFIG_ERROR_MAX])
{
	char path[] = "/tmp/tandemctl.XXXXXX";
	int fd = mkstemp(path);
	int rc;

	/* an empty file is a configuration of defaults only */
	if (fd < 0)
		return -errno;
	rc = dprintf(fd, "control: {}\n") > 0 ? config_load(path, config, error) : -EIO;
	close(fd);
	unlink(path);
	return rc;
}

const struct config *ctl_config(struct ctl *ctl)
{
	char error[CONFIG_ERROR_MAX] = "";
	const char *path = ctl->config_path ? ctl->config_path : CONFIG_DEFAULT;
	int rc;

	if (ctl->config)
		return ctl->config;
	if (!ctl->config_path && access(path, F_OK) != 0 && errno == ENOENT)
		rc = load_defaults(&ctl->config, error);
	else
		rc = config_load(path, &ctl->config, error);
	if (rc == 0)
		return ctl->config;
	say(EXIT_REFUSED, "%s", error[0] ? error : strerror(-rc));
	return NULL;
}

const char *ctl_control_socket(struct ctl *ctl)
{
	const struct config *config;

	if (ctl->socket)
		return ctl->socket;
	config = ctl_config(ctl);
	return config ? config->control.http_socket : NULL;
}

/* ---- arguments ---- */

static const struct option_spec *find_option(const struct option_spec *specs, const char *argument,
					     const char **value)
{
	*value = NULL;
	for (; specs->name; specs++) {
		size_t n = strlen(specs->name);

		if (specs->letter && argument[1] == specs->letter && argument[2] == '\0')
			return specs;
		if (strncmp(argument, "--", 2) != 0 || strncmp(argument + 2, specs->name, n) != 0)
			continue;
		if (argument[2 + n] == '\0')
			return specs;
		if (argument[2 + n] == '=' && specs->value) {
			*value = argument + 3 + n;
			return specs;
		}
	}
	return NULL;
}

int options_parse(const struct option_spec *specs, int *argc, char **argv)
{
	bool only_arguments = false;
	int kept = 0;

	for (int i = 0; i < *argc; i++) {
		const struct option_spec *spec;
		const char *value;

		if (only_arguments || argv[i][0] != '-' || argv[i][1] == '\0') {
			argv[kept++] = argv[i];
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			only_arguments = true;
			continue;
		}
		spec = find_option(specs, argv[i], &value);
		if (!spec)
			return say(EXIT_USAGE, "unknown option %s (see --help)", argv[i]);
		if (spec->value && !value && ++i == *argc)
			return say(EXIT_USAGE, "--%s needs %s", spec->name, spec->value);
		*spec->text = !spec->value ? "" : value ? value : argv[i];
	}
	*argc = kept;
	return 0;
}

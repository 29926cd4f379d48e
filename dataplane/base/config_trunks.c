/* Trunks, routes and direct numbers: defaults and checks. */
#include "dataplane/base/config_trunks.h"

#include "dataplane/base/config_explain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES   31
#define NUMBER_MAX_BYTES 47
#define PATH_MAX_BYTES   96

static bool is_hex(const char *text, size_t len)
{
	return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

static int fill(char **text, const char *fallback)
{
	if (!*text && fallback)
		*text = strdup(fallback);
	return *text || !fallback ? 0 : -ENOMEM;
}

int config_fill_trunks(struct config_control *control)
{
	int rc = 0;

	for (uint32_t i = 0; i < control->trunks_count; i++) {
		struct config_trunk *trunk = &control->trunks[i];

		rc = rc ? rc : fill(&trunk->auth_user, trunk->user);
		trunk->registers = trunk->registers == 1;
		trunk->trusted = trunk->trusted == 1;
		if (trunk->expires_s == 0)
			trunk->expires_s = 600;
		if (trunk->options_s == 0)
			trunk->options_s = 30;
	}
	for (uint32_t i = 0; i < control->routes_count; i++) {
		rc = rc ? rc : fill(&control->routes[i].prefix, "");
		rc = rc ? rc : fill(&control->routes[i].prepend, "");
	}
	return rc;
}

static bool is_made_of(const char *text, const char *allowed, size_t most)
{
	return text[0] != '\0' && strlen(text) <= most && text[strspn(text, allowed)] == '\0';
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

static int check_secret(const struct config_trunk *trunk, const char *path,
			struct config_check *check)
{
	bool ha1 = trunk->md5 || trunk->sha256;

	if (trunk->password && trunk->password_file)
		return config_refuse(check, path, "has password and password_file, expected one");
	if ((trunk->md5 && !is_hex(trunk->md5, 32)) ||
	    (trunk->sha256 && !is_hex(trunk->sha256, 64)))
		return config_refuse(check, path,
				     "has a digest that is none, expected 32 (md5) or 64 (sha256) "
				     "lower-case hexadecimal digits");
	if (ha1 && !trunk->realm)
		return config_refuse(check, path, "has md5 or sha256, expected realm beside it");
	if ((ha1 || trunk->password || trunk->password_file) && !trunk->auth_user)
		return config_refuse(check, path, "has credentials, expected user");
	if (trunk->registers && !trunk->user)
		return config_refuse(check, path, "registers, expected user");
	return 0;
}

static int check_trunk(const struct config_control *control, uint32_t i, struct config_check *check)
{
	const struct config_trunk *trunk = &control->trunks[i];
	char path[PATH_MAX_BYTES];
	struct address address;

	snprintf(path, sizeof(path), "control.trunks.%u.name", i);
	if (!is_made_of(trunk->name, LETTERS, NAME_MAX_BYTES))
		return config_refuse(check, path,
				     "is \"%s\", expected at most %d letters, digits and -_.",
				     trunk->name, NAME_MAX_BYTES);
	for (uint32_t j = 0; j < i; j++)
		if (strcmp(control->trunks[j].name, trunk->name) == 0)
			return config_refuse(check, path, "is \"%s\", the name of another trunk",
					     trunk->name);
	snprintf(path, sizeof(path), "control.trunks.%u.host", i);
	if (!is_made_of(trunk->host, LETTERS ":", 253))
		return config_refuse(check, path, "is \"%s\", expected a name or an address",
				     trunk->host);
	snprintf(path, sizeof(path), "control.trunks.%u.port", i);
	if (trunk->port > 65535)
		return config_refuse(check, path, "is %u, expected 0 to 65535", trunk->port);
	snprintf(path, sizeof(path), "control.trunks.%u.expires_s", i);
	if (trunk->expires_s < 10 || trunk->expires_s > 86400)
		return config_refuse(check, path, "is %u, expected 10 to 86400", trunk->expires_s);
	snprintf(path, sizeof(path), "control.trunks.%u.options_s", i);
	if (trunk->options_s > 3600)
		return config_refuse(check, path, "is %u, expected 1 to 3600", trunk->options_s);
	for (uint32_t j = 0; j < trunk->match_count; j++) {
		snprintf(path, sizeof(path), "control.trunks.%u.match.%u", i, j);
		if (address_parse(&address, trunk->match[j], strlen(trunk->match[j])) < 0)
			return config_refuse(check, path,
					     "is \"%s\", expected an IPv4 or IPv6 address",
					     trunk->match[j]);
	}
	snprintf(path, sizeof(path), "control.trunks.%u", i);
	return check_secret(trunk, path, check);
}

static int check_route(const struct config_control *control, uint32_t i, struct config_check *check)
{
	static const char digits[] = "0123456789+*#";
	const struct config_route *route = &control->routes[i];
	char path[PATH_MAX_BYTES];

	snprintf(path, sizeof(path), "control.routes.%u", i);
	if ((route->prefix[0] && !is_made_of(route->prefix, digits, NUMBER_MAX_BYTES)) ||
	    (route->prepend[0] && !is_made_of(route->prepend, digits, NUMBER_MAX_BYTES)))
		return config_refuse(
			check, path,
			"has a prefix or prepend that is none, expected digits, + * #");
	if (route->strip > NUMBER_MAX_BYTES)
		return config_refuse(check, path, "strips %u, expected 0 to %d", route->strip,
				     NUMBER_MAX_BYTES);
	for (uint32_t j = 0; j < control->trunks_count; j++)
		if (strcmp(control->trunks[j].name, route->trunk) == 0)
			return 0;
	return config_refuse(check, path, "leads to \"%s\", expected the name of a trunk",
			     route->trunk);
}

int config_check_trunks(const struct config_control *control, const char *file_path,
			char error[CONFIG_ERROR_MAX])
{
	struct config_check its = {.file_path = file_path, .error = error};
	struct config_check *check = &its;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < control->trunks_count; i++)
		rc = check_trunk(control, i, check);
	for (uint32_t i = 0; rc == 0 && i < control->routes_count; i++)
		rc = check_route(control, i, check);
	for (uint32_t i = 0; rc == 0 && i < control->dids_count; i++) {
		const struct config_did *did = &control->dids[i];
		char path[PATH_MAX_BYTES];

		snprintf(path, sizeof(path), "control.dids.%u", i);
		if (strlen(did->number) > NUMBER_MAX_BYTES || strlen(did->extension) > 63)
			rc = config_refuse(check, path, "is too long, expected a number");
	}
	return rc;
}

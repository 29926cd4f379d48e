/* Reading, completing and checking the configuration file. */
#include "dataplane/base/config.h"

#include "dataplane/base/config_explain.h"
#include "dataplane/base/config_schema.h"
#include "dataplane/base/config_trunks.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void be_quiet(cyaml_log_t level, void *arg, const char *format, va_list arguments)
{
	/* config_explain says it better. */
	(void)level;
	(void)arg;
	(void)format;
	(void)arguments;
}

static const cyaml_config_t loader = {
	.log_fn = be_quiet,
	.mem_fn = cyaml_mem,
	.log_level = CYAML_LOG_ERROR,
};

/* ---- checks ---- */

static int check_numbers(struct config *config, struct config_check *check)
{
	bool given;

	for (size_t i = 0; i < config_numbers_count; i++) {
		const struct config_number *number = &config_numbers[i];
		uint32_t *value = (uint32_t *)(void *)((char *)config + number->offset);

		if (*value == 0) {
			config_line_of(check->file_path, number->path, &given);
			*value = given ? 0 : number->fallback;
		}
		if (*value < number->min || *value > number->max)
			return config_refuse(check, number->path, "is %u, expected %u to %u",
					     *value, number->min, number->max);
	}
	if (config->dataplane.media_port_min + 1 >= config->dataplane.media_port_max)
		return config_refuse(check, "dataplane.media_port_max",
				     "is %u, expected more than media_port_min (%u) + 1",
				     config->dataplane.media_port_max,
				     config->dataplane.media_port_min);
	if (config->dataplane.fork_ring_mb & (config->dataplane.fork_ring_mb - 1))
		return config_refuse(check, "dataplane.fork_ring_mb",
				     "is %u, expected a power of two",
				     config->dataplane.fork_ring_mb);
	return 0;
}

/* An address literal, with "/prefix" on owned ports. */
static int check_address(struct config_check *check, const char *path, const char *text,
			 bool with_prefix)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	struct address address;
	unsigned long prefix;
	char *end;

	if (address_parse(&address, text, len) < 0 || (slash && !with_prefix))
		return config_refuse(check, path, "is \"%s\", expected an IPv4 or IPv6 address%s",
				     text, with_prefix ? " with /prefix" : "");
	if (!with_prefix)
		return 0;
	prefix = slash && isdigit((unsigned char)slash[1]) ? strtoul(slash + 1, &end, 10) : 129;
	if (prefix > (address_is_v4(&address) ? 32 : 128) || *end)
		return config_refuse(check, path, "is \"%s\", expected ADDRESS/PREFIX", text);
	return 0;
}

static bool port_is_owned(const struct config_port *port)
{
	return port->kind >= CONFIG_PORT_TAP;
}

static int check_ports(const struct config_dataplane *dataplane, struct config_check *check)
{
	char path[96];

	for (uint32_t i = 0; i < dataplane->ports_count; i++) {
		struct config_port *port = &dataplane->ports[i];

		for (uint32_t j = 0; j < port->addresses_count; j++) {
			snprintf(path, sizeof(path), "dataplane.ports.%u.addresses.%u", i, j);
			if (check_address(check, path, port->addresses[j], port_is_owned(port)) < 0)
				return -EINVAL;
		}
		snprintf(path, sizeof(path), "dataplane.ports.%u", i);
		if (port_is_owned(port) && port->kind != CONFIG_PORT_NULL &&
		    port->addresses_count == 0)
			return config_refuse(
				check, path,
				"has no addresses, expected some (an owned port has none of the "
				"kernel's)");
		for (uint32_t j = 0; j < i; j++) {
			if (strcmp(dataplane->ports[j].name, port->name) == 0)
				return config_refuse(check, path,
						     "has the name \"%s\" of another port",
						     port->name);
		}
	}
	for (uint32_t i = 0; i < dataplane->interfaces_count; i++) {
		const struct config_interface *interface = &dataplane->interfaces[i];

		for (uint32_t j = 0; j < interface->addresses_count; j++) {
			snprintf(path, sizeof(path), "dataplane.interfaces.%u.addresses.%u", i, j);
			if (check_address(check, path, interface->addresses[j], false) < 0)
				return -EINVAL;
		}
		snprintf(path, sizeof(path), "dataplane.interfaces.%u.advertised", i);
		if (interface->advertised &&
		    check_address(check, path, interface->advertised, false) < 0)
			return -EINVAL;
	}
	return 0;
}

static bool is_hex(const char *text, size_t len)
{
	return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

static int user_order(const void *a, const void *b)
{
	const struct config_user *const *left = a, *const *right = b;
	int order = strcmp((*left)->extension, (*right)->extension);

	return order ? order : (*left > *right) - (*left < *right);
}

/* Sorted for it, as there may be a hundred thousand. */
static int check_extensions(const struct config_control *control, struct config_check *check)
{
	const struct config_user **users = calloc(control->users_count + 1, sizeof(*users));
	const struct config_user *again = NULL;
	char path[96];

	if (!users)
		return config_refuse(check, "control.users", "are too many for the memory");
	for (uint32_t i = 0; i < control->users_count; i++)
		users[i] = &control->users[i];
	qsort(users, control->users_count, sizeof(*users), user_order);
	for (uint32_t i = 1; i < control->users_count && !again; i++) {
		if (strcmp(users[i - 1]->extension, users[i]->extension) == 0)
			again = users[i];
	}
	free(users);
	if (!again)
		return 0;
	snprintf(path, sizeof(path), "control.users.%td.extension", again - control->users);
	return config_refuse(check, path, "is \"%s\", the extension of another user",
			     again->extension);
}

static int check_users(const struct config_control *control, struct config_check *check)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+*#";
	char path[96];

	for (uint32_t i = 0; i < control->users_count; i++) {
		const struct config_user *user = &control->users[i];

		snprintf(path, sizeof(path), "control.users.%u.extension", i);
		if (user->extension[strspn(user->extension, allowed)] ||
		    strlen(user->extension) > 64)
			return config_refuse(
				check, path,
				"is \"%s\", expected at most 64 letters, digits and -_.+*#",
				user->extension);
		snprintf(path, sizeof(path), "control.users.%u.md5", i);
		if (user->md5 && !is_hex(user->md5, 32))
			return config_refuse(
				check, path,
				"expected 32 lower-case hexadecimal digits (tandemctl digest)");
		snprintf(path, sizeof(path), "control.users.%u.sha256", i);
		if (user->sha256 && !is_hex(user->sha256, 64))
			return config_refuse(
				check, path,
				"expected 64 lower-case hexadecimal digits (tandemctl digest)");
		snprintf(path, sizeof(path), "control.users.%u", i);
		if (!user->md5 && !user->sha256)
			return config_refuse(
				check, path,
				"has no digest, expected md5 or sha256 (tandemctl digest)");
	}
	return check_extensions(control, check);
}

static int check_endpoint(struct config_check *check, const char *path, const char *text)
{
	struct endpoint endpoint;

	if (text && endpoint_parse(&endpoint, text, strlen(text)) < 0)
		return config_refuse(check, path, "is \"%s\", expected ADDRESS:PORT", text);
	return 0;
}

static bool is_listen(const char *text)
{
	static const char *const transports[] = {"udp:", "tcp:", "tls:", "ws:", "wss:"};
	struct endpoint endpoint;

	for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
		size_t n = strlen(transports[i]);

		if (strncmp(text, transports[i], n) == 0)
			return endpoint_parse(&endpoint, text + n, strlen(text + n)) == 0;
	}
	return false;
}

static int check_tls(const struct config_tls *tls, struct config_check *check)
{
	if (!tls->certificate != !tls->key)
		return config_refuse(check, "control.tls",
				     "lacks a key, expected certificate and key");
	if (tls->verify_clients != CONFIG_VERIFY_CLIENTS_NONE && !tls->ca)
		return config_refuse(check, "control.tls.verify_clients",
				     "needs somebody to trust, expected ca too");
	return 0;
}

static int check_security(const struct config_security *security, struct config_check *check)
{
	char path[96];

	for (uint32_t i = 0; i < security->allow_count; i++) {
		snprintf(path, sizeof(path), "control.security.allow.%u", i);
		if (check_address(check, path, security->allow[i],
				  strchr(security->allow[i], '/') != NULL) < 0)
			return -EINVAL;
	}
	return 0;
}

static int check_control(struct config_control *control, struct config_check *check)
{
	char path[96];

	for (uint32_t i = 0; i < control->listen_count; i++) {
		snprintf(path, sizeof(path), "control.listen.%u", i);
		if (!is_listen(control->listen[i]))
			return config_refuse(check, path,
					     "is \"%s\", expected udp, tcp, tls, ws or wss, then "
					     ":ADDRESS:PORT",
					     control->listen[i]);
	}
	if (strncmp(control->records, "sqlite:", 7) != 0 &&
	    strncmp(control->records, "postgresql://", 13) != 0)
		return config_refuse(check, "control.records",
				     "is \"%s\", expected sqlite:PATH or postgresql://…",
				     control->records);
	if (control->admin_sha256 && !is_hex(control->admin_sha256, 64))
		return config_refuse(check, "control.admin_sha256",
				     "expected 64 lower-case hexadecimal digits "
				     "(tandemctl secret)");
	if (check_endpoint(check, "control.http", control->http) < 0)
		return -EINVAL;
	return check_security(&control->security, check) < 0 || check_users(control, check) < 0
		       ? -EINVAL
		       : config_check_trunks(control, check->file_path, check->error);
}

static int check_store(const struct config_store *store, struct config_check *check)
{
	if (store->kind == CONFIG_STORE_S3 &&
	    (!store->endpoint || !store->bucket || !store->access_key || !store->secret_key))
		return config_refuse(check, "recorder.store",
				     "of kind s3 lacks something, expected endpoint, bucket, "
				     "access_key and secret_key");
	return 0;
}

/* ---- defaults ---- */

static int fill_text(char **text, const char *fallback)
{
	if (!*text)
		*text = strdup(fallback);
	return *text ? 0 : -ENOMEM;
}

static int fill_list(char ***list, uint32_t *count, const char *const *texts, uint32_t n)
{
	if (*count > 0)
		return 0;
	free(*list);
	*list = calloc(n, sizeof(**list));
	if (!*list)
		return -ENOMEM;
	for (*count = 0; *count < n; (*count)++) {
		(*list)[*count] = strdup(texts[*count]);
		if (!(*list)[*count])
			return -ENOMEM;
	}
	return 0;
}

static int fill_paths(struct config *config)
{
	for (size_t i = 0; i < config_paths_count; i++) {
		const struct config_path *path = &config_paths[i];
		char **text = (char **)(void *)((char *)config + path->offset);

		if (!*text && asprintf(text, "%s%s/%s", path->prefix,
				       path->base == 'R' ? config->run_dir : config->data_dir,
				       path->name) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int fill_defaults(struct config *config)
{
	static const char *const listen[] = {"udp:0.0.0.0:5060", "tcp:0.0.0.0:5060",
					     "tls:0.0.0.0:5061", "udp:[::]:5060",
					     "tcp:[::]:5060",    "tls:[::]:5061"};
	struct config_control *control = &config->control;
	int rc = fill_text(&config->run_dir, "/run/tandem");

	rc = rc ? rc : fill_text(&config->data_dir, "/var/lib/tandem");
	rc = rc ? rc : fill_text(&config->log_level_text, "info");
	rc = rc ? rc : fill_text(&control->realm, "tandem");
	rc = rc ? rc : fill_text(&control->echo_extension, "600");
	rc = rc ? rc : fill_list(&control->listen, &control->listen_count, listen, 6);
	control->tls.self_signed = !control->tls.certificate && !control->tls.key;
	rc = rc ? rc : fill_paths(config);
	for (uint32_t i = 0; rc == 0 && i < config->dataplane.ports_count; i++)
		rc = fill_text(&config->dataplane.ports[i].name, config->dataplane.ports[i].device);
	for (uint32_t i = 0; rc == 0 && i < control->users_count; i++)
		rc = fill_text(&control->users[i].name, control->users[i].extension);
	rc = rc ? rc : config_fill_trunks(control);
	config->dataplane.hugepages = config->dataplane.hugepages != CONFIG_SWITCH_OFF;
	config->dataplane.spin = config->dataplane.spin == 1;
	config->recorder.store.tls = config->recorder.store.tls != CONFIG_SWITCH_OFF;
	/* Read shifted by one: see the schema. */
	control->recording = control->recording == 0 ? CONFIG_RECORD_ALL : control->recording - 1;
	return rc;
}

static int complete(struct config *config, struct config_check *check)
{
	int rc = check_tls(&config->control.tls, check);

	if (rc < 0)
		return rc;
	rc = fill_defaults(config);
	if (rc < 0) {
		snprintf(check->error, CONFIG_ERROR_MAX, "%s:1: out of memory", check->file_path);
		return rc;
	}
	if (log_level_parse(config->log_level_text, &config->log_level) < 0)
		return config_refuse(check, "log_level",
				     "is \"%s\", expected error, warn, info or debug",
				     config->log_level_text);
	rc = check_numbers(config, check);
	rc = rc ? rc : check_ports(&config->dataplane, check);
	rc = rc ? rc : check_endpoint(check, "dataplane.ng_udp", config->dataplane.ng_udp);
	rc = rc ? rc : check_endpoint(check, "dataplane.ng_tcp", config->dataplane.ng_tcp);
	rc = rc ? rc : check_store(&config->recorder.store, check);
	return rc ? rc : check_control(&config->control, check);
}

int config_load(const char *path, struct config **out, char error[CONFIG_ERROR_MAX])
{
	struct config_check check = {.file_path = path, .error = error};
	struct config *config = NULL;
	FILE *file = fopen(path, "rb");
	cyaml_err_t failed;
	int rc;

	if (!file) {
		rc = -errno;
		snprintf(error, CONFIG_ERROR_MAX, "%s:0: %s", path, strerror(-rc));
		return rc;
	}
	fclose(file);
	failed = cyaml_load_file(path, &loader, &config_schema, (cyaml_data_t **)&config, NULL);
	if (failed != CYAML_OK) {
		if (!config_explain(path, &config_schema, error))
			snprintf(error, CONFIG_ERROR_MAX, "%s:1: %s", path, cyaml_strerror(failed));
		return -EINVAL;
	}
	if (!config) {
		snprintf(error, CONFIG_ERROR_MAX, "%s:1: the file is empty, expected sections",
			 path);
		return -EINVAL;
	}
	rc = complete(config, &check);
	if (rc < 0) {
		config_free(config);
		return rc;
	}
	*out = config;
	return 0;
}

void config_free(struct config *config)
{
	if (config)
		cyaml_free(&loader, &config_schema, config, 0);
}

/* Reading, completing and checking the configuration file. */
#include "dataplane/base/config.h"

#include "dataplane/base/config_schema.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* What libcyaml says while it loads: the first line is the cause, a later one holds the line
 * number. */
struct complaint {
	char cause[256];
	int line;
};

static void collect_complaint(cyaml_log_t level, void *arg, const char *format, va_list arguments)
{
	struct complaint *complaint = arg;
	char text[256];
	const char *at;

	if (level < CYAML_LOG_ERROR)
		return;
	vsnprintf(text, sizeof(text), format, arguments);
	text[strcspn(text, "\n")] = 0;
	at = strstr(text, "line: ");
	if (at && complaint->line == 0)
		complaint->line = atoi(at + 6);
	if (complaint->cause[0] == 0 && strncmp(text, "Load: ", 6) == 0 &&
	    !strstr(text, "Backtrace"))
		snprintf(complaint->cause, sizeof(complaint->cause), "%s", text + 6);
}

static const cyaml_config_t *loader(cyaml_config_t *config, struct complaint *complaint)
{
	*config = (cyaml_config_t){
		.log_fn = collect_complaint,
		.log_ctx = complaint,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
	};
	return config;
}

/* ---- the line of a value, for complaints about what it means rather than how it is written ----
 */

static yaml_node_t *child(yaml_document_t *document, yaml_node_t *node, const char *key, size_t len)
{
	if (node->type == YAML_SEQUENCE_NODE) {
		long index = strtol(key, NULL, 10);

		if (index < 0 ||
		    index >= node->data.sequence.items.top - node->data.sequence.items.start)
			return NULL;
		return yaml_document_get_node(document, node->data.sequence.items.start[index]);
	}
	if (node->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *name = yaml_document_get_node(document, pair->key);

		if (name && name->type == YAML_SCALAR_NODE && name->data.scalar.length == len &&
		    memcmp(name->data.scalar.value, key, len) == 0)
			return yaml_document_get_node(document, pair->value);
	}
	return NULL;
}

/* The line (from 1) of the deepest part of "a.b.0.c" that the file holds; 1 when it holds none of
 * it. */
static int line_of(const char *file_path, const char *path)
{
	FILE *file = fopen(file_path, "rb");
	yaml_document_t document;
	yaml_parser_t parser;
	int line = 1;

	if (!file)
		return line;
	yaml_parser_initialize(&parser);
	yaml_parser_set_input_file(&parser, file);
	if (yaml_parser_load(&parser, &document)) {
		yaml_node_t *node = yaml_document_get_root_node(&document);

		while (node && *path) {
			size_t len = strcspn(path, ".");

			node = child(&document, node, path, len);
			if (node)
				line = (int)node->start_mark.line + 1;
			path += len + (path[len] == '.');
		}
		yaml_document_delete(&document);
	}
	yaml_parser_delete(&parser);
	fclose(file);
	return line;
}

/* ---- checks ---- */

struct check {
	const char *file_path;
	char *error;
};

static int refuse(struct check *check, const char *path, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct check *check, const char *path, const char *format, ...)
{
	va_list arguments;
	int used = snprintf(check->error, CONFIG_ERROR_MAX, "%s:%d: %s ", check->file_path,
			    line_of(check->file_path, path), path);

	if (used > 0 && used < CONFIG_ERROR_MAX) {
		va_start(arguments, format);
		vsnprintf(check->error + used, (size_t)(CONFIG_ERROR_MAX - used), format,
			  arguments);
		va_end(arguments);
	}
	return -EINVAL;
}

static int check_numbers(struct config *config, struct check *check)
{
	for (size_t i = 0; i < config_numbers_count; i++) {
		const struct config_number *number = &config_numbers[i];
		uint32_t *value = (uint32_t *)(void *)((char *)config + number->offset);

		if (*value == 0)
			*value = number->fallback;
		if (*value < number->min || *value > number->max)
			return refuse(check, number->path, "is %u, expected %u to %u", *value,
				      number->min, number->max);
	}
	if (config->dataplane.media_port_min + 1 >= config->dataplane.media_port_max)
		return refuse(check, "dataplane.media_port_max",
			      "is %u, expected more than media_port_min (%u) + 1",
			      config->dataplane.media_port_max, config->dataplane.media_port_min);
	if (config->dataplane.fork_ring_mb & (config->dataplane.fork_ring_mb - 1))
		return refuse(check, "dataplane.fork_ring_mb", "is %u, expected a power of two",
			      config->dataplane.fork_ring_mb);
	return 0;
}

/* An address literal, with "/prefix" on owned ports. */
static int check_address(struct check *check, const char *path, const char *text, bool with_prefix)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	struct address address;
	unsigned long prefix;
	char *end;

	if (address_parse(&address, text, len) < 0 || (slash && !with_prefix))
		return refuse(check, path, "is \"%s\", expected an IPv4 or IPv6 address%s", text,
			      with_prefix ? " with /prefix" : "");
	if (!with_prefix)
		return 0;
	prefix = slash && isdigit((unsigned char)slash[1]) ? strtoul(slash + 1, &end, 10) : 129;
	if (prefix > (address_is_v4(&address) ? 32 : 128) || *end)
		return refuse(check, path, "is \"%s\", expected ADDRESS/PREFIX", text);
	return 0;
}

static bool port_is_owned(const struct config_port *port)
{
	return port->kind >= CONFIG_PORT_TAP;
}

static int check_ports(const struct config_dataplane *dataplane, struct check *check)
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
			return refuse(
				check, path,
				"has no addresses, expected some (an owned port has none of the "
				"kernel's)");
		for (uint32_t j = 0; j < i; j++) {
			if (strcmp(dataplane->ports[j].name, port->name) == 0)
				return refuse(check, path, "has the name \"%s\" of another port",
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

static int check_users(const struct config_control *control, struct check *check)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+*#";
	char path[96];

	for (uint32_t i = 0; i < control->users_count; i++) {
		const struct config_user *user = &control->users[i];

		snprintf(path, sizeof(path), "control.users.%u.extension", i);
		if (user->extension[strspn(user->extension, allowed)] ||
		    strlen(user->extension) > 64)
			return refuse(check, path,
				      "is \"%s\", expected at most 64 letters, digits and -_.+*#",
				      user->extension);
		snprintf(path, sizeof(path), "control.users.%u.md5", i);
		if (user->md5 && !is_hex(user->md5, 32))
			return refuse(
				check, path,
				"expected 32 lower-case hexadecimal digits (tandemctl digest)");
		snprintf(path, sizeof(path), "control.users.%u.sha256", i);
		if (user->sha256 && !is_hex(user->sha256, 64))
			return refuse(
				check, path,
				"expected 64 lower-case hexadecimal digits (tandemctl digest)");
		snprintf(path, sizeof(path), "control.users.%u", i);
		if (!user->md5 && !user->sha256)
			return refuse(check, path,
				      "has no digest, expected md5 or sha256 (tandemctl digest)");
	}
	return 0;
}

static int check_endpoint(struct check *check, const char *path, const char *text)
{
	struct endpoint endpoint;

	if (text && endpoint_parse(&endpoint, text, strlen(text)) < 0)
		return refuse(check, path, "is \"%s\", expected ADDRESS:PORT", text);
	return 0;
}

static int check_control(struct config_control *control, struct check *check)
{
	char path[96];

	for (uint32_t i = 0; i < control->listen_count; i++) {
		const char *text = control->listen[i];
		const char *colon = strchr(text, ':');
		struct endpoint endpoint;

		snprintf(path, sizeof(path), "control.listen.%u", i);
		if (!colon || (strncmp(text, "udp:", 4) != 0 && strncmp(text, "tcp:", 4) != 0) ||
		    endpoint_parse(&endpoint, colon + 1, strlen(colon + 1)) < 0)
			return refuse(check, path,
				      "is \"%s\", expected udp:ADDRESS:PORT or tcp:ADDRESS:PORT",
				      text);
	}
	if (strncmp(control->records, "sqlite:", 7) != 0 &&
	    strncmp(control->records, "postgresql://", 13) != 0)
		return refuse(check, "control.records",
			      "is \"%s\", expected sqlite:PATH or postgresql://…",
			      control->records);
	if (control->admin_sha256 && !is_hex(control->admin_sha256, 64))
		return refuse(check, "control.admin_sha256",
			      "expected 64 lower-case hexadecimal digits "
			      "(tandemctl secret)");
	if (check_endpoint(check, "control.http", control->http) < 0)
		return -EINVAL;
	return check_users(control, check);
}

static int check_store(const struct config_store *store, struct check *check)
{
	if (store->kind == CONFIG_STORE_S3 &&
	    (!store->endpoint || !store->bucket || !store->access_key || !store->secret_key))
		return refuse(check, "recorder.store",
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
					     "udp:[::]:5060", "tcp:[::]:5060"};
	struct config_control *control = &config->control;
	int rc = fill_text(&config->run_dir, "/run/tandem");

	rc = rc ? rc : fill_text(&config->data_dir, "/var/lib/tandem");
	rc = rc ? rc : fill_text(&config->log_level_text, "info");
	rc = rc ? rc : fill_text(&control->realm, "tandem");
	rc = rc ? rc : fill_text(&control->echo_extension, "600");
	rc = rc ? rc : fill_list(&control->listen, &control->listen_count, listen, 4);
	rc = rc ? rc : fill_paths(config);
	for (uint32_t i = 0; rc == 0 && i < config->dataplane.ports_count; i++)
		rc = fill_text(&config->dataplane.ports[i].name, config->dataplane.ports[i].device);
	for (uint32_t i = 0; rc == 0 && i < control->users_count; i++)
		rc = fill_text(&control->users[i].name, control->users[i].extension);
	config->dataplane.hugepages = config->dataplane.hugepages != CONFIG_SWITCH_OFF;
	config->recorder.store.tls = config->recorder.store.tls != CONFIG_SWITCH_OFF;
	/* Read shifted by one: see the schema. */
	control->recording = control->recording == 0 ? CONFIG_RECORD_ALL : control->recording - 1;
	return rc;
}

static int complete(struct config *config, struct check *check)
{
	int rc = fill_defaults(config);

	if (rc < 0) {
		snprintf(check->error, CONFIG_ERROR_MAX, "%s:1: out of memory", check->file_path);
		return rc;
	}
	if (log_level_parse(config->log_level_text, &config->log_level) < 0)
		return refuse(check, "log_level", "is \"%s\", expected error, warn, info or debug",
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
	struct complaint complaint = {0};
	struct check check = {.file_path = path, .error = error};
	struct config *config = NULL;
	FILE *file = fopen(path, "rb");
	cyaml_config_t cyaml;
	cyaml_err_t failed;
	int rc;

	if (!file) {
		rc = -errno;
		snprintf(error, CONFIG_ERROR_MAX, "%s:0: %s", path, strerror(-rc));
		return rc;
	}
	fclose(file);
	failed = cyaml_load_file(path, loader(&cyaml, &complaint), &config_schema,
				 (cyaml_data_t **)&config, NULL);
	if (failed != CYAML_OK) {
		snprintf(error, CONFIG_ERROR_MAX, "%s:%d: %s", path, complaint.line,
			 complaint.cause[0] ? complaint.cause : cyaml_strerror(failed));
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
	struct complaint complaint = {0};
	cyaml_config_t cyaml;

	if (config)
		cyaml_free(loader(&cyaml, &complaint), &config_schema, config, 0);
}

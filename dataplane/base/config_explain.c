/* A second, slower look at a file that was refused, to tell its author the line and what was
 * expected there. */
#include "dataplane/base/config_explain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct explain {
	const char *file_path;
	char *error;
	yaml_document_t document;
	char path[256];
};

/* The document of a file, or false with the line and words of the syntax error. */
static bool document_load(const char *file_path, yaml_document_t *document, char *error)
{
	FILE *file = fopen(file_path, "rb");
	yaml_parser_t parser;
	bool loaded;

	if (!file)
		return false;
	yaml_parser_initialize(&parser);
	yaml_parser_set_input_file(&parser, file);
	loaded = yaml_parser_load(&parser, document) == 1;
	if (!loaded && error)
		snprintf(error, CONFIG_ERROR_MAX, "%s:%zu: %s, expected YAML", file_path,
			 parser.problem_mark.line + 1,
			 parser.problem ? parser.problem : "the file can't be read");
	yaml_parser_delete(&parser);
	fclose(file);
	return loaded;
}

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

int config_line_of(const char *file_path, const char *path, bool *whole)
{
	yaml_document_t document;
	yaml_node_t *node;
	int line = 1;

	*whole = false;
	if (!document_load(file_path, &document, NULL))
		return line;
	node = yaml_document_get_root_node(&document);
	while (node && *path) {
		size_t len = strcspn(path, ".");

		node = child(&document, node, path, len);
		if (node)
			line = (int)node->start_mark.line + 1;
		path += len + (path[len] == '.');
	}
	*whole = node != NULL;
	yaml_document_delete(&document);
	return line;
}

int config_refuse(struct config_check *check, const char *path, const char *format, ...)
{
	va_list arguments;
	bool whole;
	int used = snprintf(check->error, CONFIG_ERROR_MAX, "%s:%d: %s ", check->file_path,
			    config_line_of(check->file_path, path, &whole), path);

	if (used > 0 && used < CONFIG_ERROR_MAX) {
		va_start(arguments, format);
		vsnprintf(check->error + used, (size_t)(CONFIG_ERROR_MAX - used), format,
			  arguments);
		va_end(arguments);
	}
	return -EINVAL;
}

/* ---- the walk along the schema ---- */

static bool complain(struct explain *explain, const yaml_node_t *node, const char *found,
		     const char *expected)
{
	snprintf(explain->error, CONFIG_ERROR_MAX, "%s:%zu: %s%s%s, expected %s",
		 explain->file_path, node->start_mark.line + 1, explain->path,
		 explain->path[0] ? " " : "", found, expected);
	return true;
}

/* Names of a table, "a, b, c", cut with "…" when they don't fit. */
static void names_add(char *out, size_t size, const char *name)
{
	size_t used = strlen(out);

	if (used + strlen(name) + 8 < size)
		snprintf(out + used, size - used, "%s%s", used ? ", " : "", name);
	else if (used + 5 < size && strcmp(out + used - 3, "…") != 0)
		memcpy(out + used, "…", 4);
}

static bool number_fits(const char *text, uint64_t max)
{
	char *end;
	unsigned long long value;

	if (text[0] < '0' || text[0] > '9')
		return false;
	value = strtoull(text, &end, 0);
	return *end == 0 && value <= max;
}

static bool explain_scalar(struct explain *explain, const yaml_node_t *node,
			   const cyaml_schema_value_t *schema)
{
	const char *text = (const char *)node->data.scalar.value;
	char found[128], names[256] = "";

	snprintf(found, sizeof(found), "is \"%.100s\"", text);
	switch (schema->type) {
	case CYAML_UINT:
		if (number_fits(text, schema->data_size >= 8
					      ? UINT64_MAX
					      : (UINT64_C(1) << (8 * schema->data_size)) - 1))
			return false;
		return complain(explain, node, found, "a whole number");
	case CYAML_ENUM:
		for (uint32_t i = 0; i < schema->enumeration.count; i++) {
			if (strcmp(schema->enumeration.strings[i].str, text) == 0)
				return false;
			names_add(names, sizeof(names), schema->enumeration.strings[i].str);
		}
		return complain(explain, node, found, names);
	case CYAML_STRING:
		if (node->data.scalar.length >= schema->string.min &&
		    node->data.scalar.length <= schema->string.max)
			return false;
		snprintf(names, sizeof(names), "%u to %u characters", schema->string.min,
			 schema->string.max);
		return complain(explain, node, "has the wrong length", names);
	default:
		return complain(explain, node, found,
				schema->type == CYAML_MAPPING ? "a section" : "a list");
	}
}

static bool explain_node(struct explain *explain, yaml_node_t *node,
			 const cyaml_schema_value_t *schema);

/* Below `name` of the node at hand. */
static bool explain_below(struct explain *explain, const char *name, yaml_node_t *node,
			  const cyaml_schema_value_t *schema)
{
	size_t len = strlen(explain->path);
	bool found;

	snprintf(explain->path + len, sizeof(explain->path) - len, "%s%s", len ? "." : "", name);
	found = explain_node(explain, node, schema);
	if (!found)
		explain->path[len] = 0;
	return found;
}

static bool explain_mapping(struct explain *explain, yaml_node_t *node,
			    const cyaml_schema_value_t *schema)
{
	const cyaml_schema_field_t *fields = schema->mapping.fields;
	char names[320] = "", found[128];

	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *name = yaml_document_get_node(&explain->document, pair->key);
		yaml_node_t *value = yaml_document_get_node(&explain->document, pair->value);
		const char *key = name && name->type == YAML_SCALAR_NODE
					  ? (char *)name->data.scalar.value
					  : "";
		const cyaml_schema_field_t *field = fields;

		while (field->key && strcmp(field->key, key) != 0)
			field++;
		if (!field->key) {
			for (field = fields; field->key; field++)
				names_add(names, sizeof(names), field->key);
			snprintf(found, sizeof(found), "holds the unknown key \"%.80s\"", key);
			return complain(explain, name ? name : node, found, names);
		}
		if (child(&explain->document, node, key, strlen(key)) != value) {
			snprintf(found, sizeof(found), "holds \"%.80s\" twice", key);
			return complain(explain, name, found, "it once");
		}
		if (value && explain_below(explain, key, value, &field->value))
			return true;
	}
	for (const cyaml_schema_field_t *field = fields; field->key; field++) {
		if (!(field->value.flags & CYAML_FLAG_OPTIONAL) &&
		    !child(&explain->document, node, field->key, strlen(field->key)))
			return complain(explain, node, "lacks a key", field->key);
	}
	return false;
}

static bool explain_node(struct explain *explain, yaml_node_t *node,
			 const cyaml_schema_value_t *schema)
{
	if (node->type == YAML_SCALAR_NODE)
		return explain_scalar(explain, node, schema);
	if (node->type == YAML_MAPPING_NODE && schema->type == CYAML_MAPPING)
		return explain_mapping(explain, node, schema);
	if (node->type == YAML_SEQUENCE_NODE && schema->type == CYAML_SEQUENCE) {
		long count = node->data.sequence.items.top - node->data.sequence.items.start;
		char name[64];

		for (long i = 0; i < count; i++) {
			yaml_node_t *item =
				yaml_document_get_node(&explain->document,
						       node->data.sequence.items.start[i]);

			snprintf(name, sizeof(name), "%ld", i);
			if (item && explain_below(explain, name, item, schema->sequence.entry))
				return true;
		}
		if (count <= (long)schema->sequence.max)
			return false;
		snprintf(name, sizeof(name), "at most %u", schema->sequence.max);
		return complain(explain, node, "has too many entries", name);
	}
	return complain(explain, node,
			node->type == YAML_MAPPING_NODE ? "is a section" : "is a list",
			schema->type == CYAML_MAPPING    ? "a section (key: value)"
			: schema->type == CYAML_SEQUENCE ? "a list (- item)"
							 : "a single value");
}

bool config_explain(const char *file_path, const cyaml_schema_value_t *schema,
		    char error[CONFIG_ERROR_MAX])
{
	struct explain explain = {.file_path = file_path, .error = error};
	yaml_node_t *root;
	bool found;

	if (!document_load(file_path, &explain.document, error))
		return true;
	root = yaml_document_get_root_node(&explain.document);
	found = root && explain_node(&explain, root, schema);
	yaml_document_delete(&explain.document);
	return found;
}

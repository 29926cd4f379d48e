/* The configuration file's shape for libcyaml, and the defaults and limits of its numbers. Private
 * to config. */
#pragma once

#include "dataplane/base/config.h"

#include <cyaml/cyaml.h>

extern const cyaml_schema_value_t config_schema;

/* A number's place, default (taken for 0 or absent) and range. */
struct config_number {
	const char *path; /* "dataplane.sessions", as an operator would say it */
	size_t offset;    /* of a uint32_t in struct config */
	uint32_t fallback;
	uint32_t min;
	uint32_t max;
};
extern const struct config_number config_numbers[];
extern const size_t config_numbers_count;

/* A switch that is on when absent: 0 absent, 1 true, 2 false as read; made 0 or 1 by config_load.
 */
#define CONFIG_SWITCH_OFF 2

/* A text with a default made of run_dir or data_dir and a name. */
struct config_path {
	size_t offset; /* of a char * in struct config */
	char base;     /* 'R' or 'D' */
	const char *prefix;
	const char *name;
};
extern const struct config_path config_paths[];
extern const size_t config_paths_count;

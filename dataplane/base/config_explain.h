/* Where in the file a value stands, and what the schema expected there. Private to config. */
#pragma once

#include "dataplane/base/config.h"

#include <cyaml/cyaml.h>
#include <stdbool.h>

/* The line (from 1) of the deepest part of "a.b.0.c" that the file holds; *whole tells whether it
 * holds all. */
int config_line_of(const char *file_path, const char *path, bool *whole);

/* Finds the first place where the file departs from the schema and writes "FILE:LINE: what,
 * expected what". False when it finds none (the file then failed for another reason). */
bool config_explain(const char *file_path, const cyaml_schema_value_t *schema,
		    char error[CONFIG_ERROR_MAX]);

/* A check of what a read configuration means. */
struct config_check {
	const char *file_path;
	char *error; /* CONFIG_ERROR_MAX bytes */
};

/* Writes "FILE:LINE: PATH what is wrong" and returns -EINVAL. */
int config_refuse(struct config_check *check, const char *path, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

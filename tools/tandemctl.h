/* Inside tandemctl: what its commands share. */
#pragma once

#include "dataplane/base/config.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes, as --help tells them. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_NOTHING = 1, /* not found, no result; status: degraded */
	EXIT_USAGE = 2,
	EXIT_UNREACHABLE = 3, /* a daemon does not answer */
	EXIT_REFUSED = 4,     /* it answered no, or something failed here */
};

#define CONFIG_DEFAULT "/etc/tandem/tandem.yaml"
#define ANSWER_MAX     (64u * 1024 * 1024)

struct ctl {
	bool json;
	const char *config_path; /* NULL = the default one, if it is there */
	const char *socket;      /* --socket: control's; NULL = as configured */
	struct config *config;   /* loaded when first asked for */
};

/* An option of a command: --name VALUE or, without value, a flag. Ends with name NULL. */
struct option_spec {
	const char *name;
	char letter;       /* also -X; 0 = none */
	const char *value; /* what is shown for the value in --help; NULL = flag */
	const char *help;
	const char **text; /* gets the value, or "" for a flag */
};

struct command {
	const char *name;  /* "rec get" */
	const char *usage; /* arguments: "ID [options]" */
	const char *help;  /* one line */
	const char *more;  /* text for its own --help; may be NULL */
	int (*run)(struct ctl *ctl, int argc, char **argv); /* argv[0] is the first argument */
};

/* Parses options of a command anywhere among its arguments; the rest is moved to argv's front and
 * counted in *argc. 0, or EXIT_USAGE with a line on stderr. */
int options_parse(const struct option_spec *specs, int *argc, char **argv);

/* Prints "tandemctl: ..." on stderr and returns code. */
int say(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The configuration; NULL, after a line on stderr, when it cannot be read. Without --config and
 * without the default file: built-in defaults. */
const struct config *ctl_config(struct ctl *ctl);
/* The path of control's socket, or NULL after a line on stderr. */
const char *ctl_control_socket(struct ctl *ctl);

/* ---- HTTP over a Unix socket (tandemctl_http.c) ---- */

struct answer {
	long status; /* HTTP */
	char *text;  /* terminated; malloced */
	size_t text_len;
};
/* 0, or EXIT_UNREACHABLE / EXIT_REFUSED with a sentence in error. The caller frees text. */
int http_request(const char *socket, const char *method, const char *path, struct answer *answer,
		 char error[256]);
/* Asks control and reads its JSON. 0 and *body (NULL for 204); or an exit code after a line on
 * stderr: problem documents are printed, 404 gives EXIT_NOTHING. */
int control_request(struct ctl *ctl, const char *method, const char *path, json_t **body);
/* Streams the body of a GET through sink() (returns bytes taken); as http_request. */
int http_stream(const char *socket, const char *path,
		size_t (*sink)(char *bytes, size_t size, size_t n, void *arg), void *arg,
		long *status, char error[256]);
/* Appends "name=value", escaped, to a path in out (n bytes); NULL values are left out. */
void path_add(char *out, size_t n, const char *name, const char *value);
/* Appends text with everything but letters, digits, "-._~" and, if slashes, "/" escaped. */
void path_escape(char *out, size_t n, const char *text, bool slashes);

/* ---- output for people (tandemctl_table.c) ---- */

struct table;
#define TABLE_COLUMNS_MAX 16
/* Headings separated by '|'; one that begins with '>' is aligned to the right. NULL: no memory. */
struct table *table_create(const char *headings);
/* Takes the cells' texts (copied, made safe for a terminal); NULL = "". */
void table_add(struct table *table, const char *const *cells);
void table_print(struct table *table, FILE *out);
void table_destroy(struct table *table);

/* Copies text so that it can be printed: control characters become '?'. Cut to n bytes. */
const char *text_safe(char *out, size_t n, const char *text);
/* RFC 3339 text to local "2026-01-02 15:04:05"; "-" for NULL, the text itself when it is none. */
const char *time_local(char *out, size_t n, const char *rfc3339);
/* 75000 to "1:15", 3600000 to "1:00:00"; seconds are rounded down. */
const char *duration_text(char *out, size_t n, int64_t ms);
/* 1536 to "1.5 KB". */
const char *bytes_text(char *out, size_t n, int64_t bytes);
/* The text at key, or "". */
const char *json_text(const json_t *object, const char *key);
int64_t json_number(const json_t *object, const char *key);
/* Prints the JSON and a line end. */
void print_json(const json_t *json);

/* ---- commands ---- */
int cmd_status(struct ctl *ctl, int argc, char **argv);
int cmd_calls(struct ctl *ctl, int argc, char **argv);
int cmd_calls_hangup(struct ctl *ctl, int argc, char **argv);
int cmd_reg(struct ctl *ctl, int argc, char **argv);
int cmd_trace(struct ctl *ctl, int argc, char **argv);
int cmd_ban_list(struct ctl *ctl, int argc, char **argv);
int cmd_ban_add(struct ctl *ctl, int argc, char **argv);
int cmd_ban_lift(struct ctl *ctl, int argc, char **argv);
int cmd_trunks(struct ctl *ctl, int argc, char **argv);
int cmd_cdr(struct ctl *ctl, int argc, char **argv);
int cmd_rec_list(struct ctl *ctl, int argc, char **argv);
int cmd_rec_get(struct ctl *ctl, int argc, char **argv);
int cmd_user_passwd(struct ctl *ctl, int argc, char **argv);
int cmd_digest(struct ctl *ctl, int argc, char **argv);
int cmd_secret(struct ctl *ctl, int argc, char **argv);
int cmd_version(struct ctl *ctl, int argc, char **argv);

/* ---- the file of users (tandemctl_yaml.c) ---- */

/*
 * Gives the user `extension` in control.users of the YAML text new digests and returns the new text
 * (malloced, *out_len): values are replaced or added where they stand, everything else is kept byte
 * for byte. NULL with a sentence in error (256 bytes); *missing tells that there is no such user.
 */
char *yaml_set_digests(const char *text, size_t len, const char *extension, const char *md5,
		       const char *sha256, size_t *out_len, bool *missing, char error[256]);

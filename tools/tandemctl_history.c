/* cdr, rec list. */
#include "tools/tandemctl.h"

#include <string.h>

struct find_options {
	const char *from;
	const char *to;
	const char *number;
	const char *limit;
	const char *call;
};

static int parse_find(struct find_options *find, bool with_call, int *argc, char **argv)
{
	const struct option_spec specs[] = {
		{"from", 0, "TIME", "started at or after", &find->from},
		{"to", 0, "TIME", "started before", &find->to},
		{"number", 0, "NUMBER", "of this party", &find->number},
		{"limit", 0, "N", "at most N", &find->limit},
		{with_call ? "call" : NULL, 0, "ID", "of this call", &find->call},
		{NULL, 0, NULL, NULL, NULL},
	};

	return options_parse(specs, argc, argv);
}

static void find_path(char *path, size_t n, const char *base, const struct find_options *find)
{
	snprintf(path, n, "%s", base);
	path_add(path, n, "from", find->from);
	path_add(path, n, "to", find->to);
	path_add(path, n, "number", find->number);
	path_add(path, n, "limit", find->limit);
	path_add(path, n, "call", find->call);
}

static void print_cdrs(const json_t *cdrs)
{
	struct table *table = table_create("STARTED|CALLER|CALLEE|REACHED|>TALK|>SIP|CAUSE|ENDED "
					   "BY|REC|ID");
	const json_t *cdr;
	size_t i;

	json_array_foreach(cdrs, i, cdr)
	{
		char started[32], talk[32], status[16];
		const char *cells[] = {
			time_local(started, sizeof(started), json_text(cdr, "started")),
			json_text(cdr, "caller"),
			json_text(cdr, "callee"),
			json_text(cdr, "destination"),
			duration_text(talk, sizeof(talk), json_number(cdr, "talk_ms")),
			status,
			json_text(cdr, "cause"),
			json_text(cdr, "ended_by"),
			json_text(cdr, "recording_id")[0] ? "yes" : "",
			json_text(cdr, "id"),
		};

		snprintf(status, sizeof(status), "%d", (int)json_number(cdr, "sip_status"));
		table_add(table, cells);
	}
	table_print(table, stdout);
	table_destroy(table);
}

/* Every member on a line of its own. */
static void print_members(json_t *object)
{
	struct table *table = table_create("FIELD|VALUE");
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		char text[64];
		const char *cells[] = {key, text};

		if (json_is_string(value))
			cells[1] = json_string_value(value);
		else if (json_is_integer(value))
			snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
		else if (json_is_null(value))
			snprintf(text, sizeof(text), "-");
		else
			continue;
		table_add(table, cells);
	}
	table_print(table, stdout);
	table_destroy(table);
}

static int show_one(struct ctl *ctl, const char *base, const char *id)
{
	char path[512];
	json_t *body;
	int code;

	snprintf(path, sizeof(path), "%s", base);
	path_escape(path, sizeof(path), id, false);
	code = control_request(ctl, "GET", path, &body);
	if (code != 0)
		return code;
	if (ctl->json)
		print_json(body);
	else
		print_members(body);
	json_decref(body);
	return EXIT_DONE;
}

/* Gets the list called name and shows it; an empty one is EXIT_NOTHING. */
static int show_list(struct ctl *ctl, const char *path, const char *name,
		     void (*print)(const json_t *list))
{
	json_t *body;
	int code = control_request(ctl, "GET", path, &body);

	if (code != 0)
		return code;
	if (json_array_size(json_object_get(body, name)) == 0)
		code = EXIT_NOTHING;
	if (ctl->json)
		print_json(body);
	else if (code == 0)
		print(json_object_get(body, name));
	else
		say(0, "nothing found");
	json_decref(body);
	return code;
}

int cmd_cdr(struct ctl *ctl, int argc, char **argv)
{
	struct find_options find = {0};
	char path[2048];
	int code = parse_find(&find, false, &argc, argv);

	if (code != 0)
		return code;
	if (argc > 0 && strcmp(argv[0], "find") == 0) {
		argc--;
		argv++;
	}
	if (argc > 1)
		return say(EXIT_USAGE, "cdr takes one id at most (see --help)");
	if (argc == 1)
		return show_one(ctl, "/v1/cdrs/", argv[0]);
	find_path(path, sizeof(path), "/v1/cdrs", &find);
	return show_list(ctl, path, "cdrs", print_cdrs);
}

static void print_recordings(const json_t *recordings)
{
	struct table *table = table_create("STARTED|>TIME|>SIZE|>CH|>LOST|>OVERRUN|REASON|CALL|ID");
	const json_t *one;
	size_t i;

	json_array_foreach(recordings, i, one)
	{
		char started[32], time[32], size[32], channels[16], lost[24], overrun[24];
		const char *cells[] = {
			time_local(started, sizeof(started), json_text(one, "started")),
			duration_text(time, sizeof(time), json_number(one, "duration_ms")),
			bytes_text(size, sizeof(size), json_number(one, "bytes")),
			channels,
			lost,
			overrun,
			json_text(one, "reason"),
			json_text(one, "call_id"),
			json_text(one, "id"),
		};

		snprintf(channels, sizeof(channels), "%lld",
			 (long long)json_number(one, "channels"));
		snprintf(lost, sizeof(lost), "%lld", (long long)json_number(one, "packets_lost"));
		snprintf(overrun, sizeof(overrun), "%lld",
			 (long long)json_number(one, "packets_overrun"));
		table_add(table, cells);
	}
	table_print(table, stdout);
	table_destroy(table);
}

int cmd_rec_list(struct ctl *ctl, int argc, char **argv)
{
	struct find_options find = {0};
	char path[2048];
	int code = parse_find(&find, true, &argc, argv);

	if (code != 0)
		return code;
	if (argc > 1)
		return say(EXIT_USAGE, "rec list takes one id at most (see --help)");
	if (argc == 1)
		return show_one(ctl, "/v1/recordings/", argv[0]);
	find_path(path, sizeof(path), "/v1/recordings", &find);
	return show_list(ctl, path, "recordings", print_recordings);
}

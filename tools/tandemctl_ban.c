/* ban list, ban add, ban lift. */
#include "tools/tandemctl.h"

#include <stdlib.h>
#include <string.h>

static json_t *field(const json_t *object, const char *key)
{
	return json_object_get(object, key);
}

int cmd_ban_list(struct ctl *ctl, int argc, char **argv)
{
	struct table *table;
	json_t *body, *one;
	size_t i;
	int code;

	if (argc > 0)
		return say(EXIT_USAGE, "ban list does not know %s (see --help)", argv[0]);
	code = control_request(ctl, "GET", "/v1/bans", &body);
	if (code != 0)
		return code;
	if (ctl->json) {
		print_json(body);
		json_decref(body);
		return EXIT_DONE;
	}
	table = table_create("SOURCE|REASON|>TIMES|>LEFT|>DROPPED");
	json_array_foreach(field(body, "bans"), i, one)
	{
		char left[32], times[32], dropped[32];
		const char *cells[] = {
			json_text(one, "source"),
			json_text(one, "reason"),
			times,
			json_is_null(field(one, "left_s"))
				? "until lifted"
				: duration_text(left, sizeof(left),
						json_number(one, "left_s") * 1000),
			dropped,
		};

		snprintf(times, sizeof(times), "%lld", (long long)json_number(one, "times"));
		snprintf(dropped, sizeof(dropped), "%lld", (long long)json_number(one, "dropped"));
		table_add(table, cells);
	}
	table_print(table, stdout);
	table_destroy(table);
	json_decref(body);
	return EXIT_DONE;
}

/* "90", "90s", "15m", "2h", "7d" to seconds; 0 = none of these. */
static unsigned long long seconds_of(const char *text)
{
	static const struct {
		const char *unit;
		unsigned long long seconds;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	unsigned long long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return 0;
	n = strtoull(text, &end, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].unit) == 0 && n <= 1000000000)
			return n * units[i].seconds;
	return 0;
}

/* "192.0.2.1", or as the list shows it "2001:db8::/64". */
static void source_path(char *path, size_t size, const char *source)
{
	size_t n = strlen(source);
	char address[64];

	if (n > 3 && strcmp(source + n - 3, "/64") == 0)
		n -= 3;
	snprintf(address, sizeof(address), "%.*s", n < sizeof(address) ? (int)n : 63, source);
	snprintf(path, size, "/v1/bans/");
	path_escape(path, size, address, false);
}

static int finish(const struct ctl *ctl, int code, const char *word)
{
	if (code == 0)
		printf("%s\n", ctl->json ? "{}" : word);
	return code;
}

int cmd_ban_add(struct ctl *ctl, int argc, char **argv)
{
	const char *time = NULL;
	const struct option_spec specs[] = {
		{"for", 0, "TIME", "how long", &time},
		{0},
	};
	char path[256], seconds[32];
	json_t *body;
	int code = options_parse(specs, &argc, argv);

	if (code != 0)
		return code;
	if (argc != 1)
		return say(EXIT_USAGE, "ban add needs one address");
	source_path(path, sizeof(path), argv[0]);
	if (time) {
		if (seconds_of(time) == 0)
			return say(EXIT_USAGE, "--for %s: expected 90, 90s, 15m, 2h or 7d", time);
		snprintf(seconds, sizeof(seconds), "%llu", seconds_of(time));
		path_add(path, sizeof(path), "for_s", seconds);
	}
	code = control_request(ctl, "PUT", path, &body);
	json_decref(body);
	return finish(ctl, code, "banned");
}

int cmd_ban_lift(struct ctl *ctl, int argc, char **argv)
{
	char path[256];
	json_t *body;
	int code;

	if (argc != 1)
		return say(EXIT_USAGE, "ban lift needs one address");
	source_path(path, sizeof(path), argv[0]);
	code = control_request(ctl, "DELETE", path, &body);
	json_decref(body);
	return finish(ctl, code, "lifted");
}

/* trunks. */
#include "tools/tandemctl.h"

#include <stdio.h>

static const char *calls_text(char *out, size_t size, json_t *trunk)
{
	long long most = (long long)json_number(trunk, "calls_max");
	int n = snprintf(out, size, "%lld", (long long)json_number(trunk, "calls"));

	if (most > 0)
		snprintf(out + n, size - (size_t)n, "/%lld", most);
	return out;
}

int cmd_trunks(struct ctl *ctl, int argc, char **argv)
{
	struct table *table;
	json_t *body, *one;
	size_t i;
	int code;

	if (argc > 0)
		return say(EXIT_USAGE, "trunks does not know %s (see --help)", argv[0]);
	code = control_request(ctl, "GET", "/v1/trunks", &body);
	if (code != 0)
		return code;
	if (ctl->json) {
		print_json(body);
		json_decref(body);
		return EXIT_DONE;
	}
	table = table_create("TRUNK|HOST|AT|STATE|REGISTRATION|>CALLS|>IN|>OUT|>REFUSED|PROBLEM");
	json_array_foreach(json_object_get(body, "trunks"), i, one)
	{
		char calls[48], in[24], out[24], refused[24];
		const char *cells[] = {
			json_text(one, "name"),
			json_text(one, "host"),
			json_text(one, "place"),
			json_text(one, "state"),
			json_text(one, "registration"),
			calls_text(calls, sizeof(calls), one),
			in,
			out,
			refused,
			json_text(one, "problem"),
		};

		snprintf(in, sizeof(in), "%lld", (long long)json_number(one, "calls_in"));
		snprintf(out, sizeof(out), "%lld", (long long)json_number(one, "calls_out"));
		snprintf(refused, sizeof(refused), "%lld",
			 (long long)json_number(one, "calls_refused"));
		table_add(table, cells);
	}
	table_print(table, stdout);
	table_destroy(table);
	json_decref(body);
	return EXIT_DONE;
}

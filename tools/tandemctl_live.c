/* calls, calls hangup, reg. */
#include "tools/tandemctl.h"

#include <string.h>

int cmd_calls(struct ctl *ctl, int argc, char **argv)
{
	struct table *table;
	json_t *body, *call;
	size_t i;
	int code;

	if (argc > 0)
		return say(EXIT_USAGE, "calls does not know %s (see --help)", argv[0]);
	code = control_request(ctl, "GET", "/v1/calls", &body);
	if (code != 0)
		return code;
	if (ctl->json) {
		print_json(body);
		json_decref(body);
		return EXIT_DONE;
	}
	table = table_create("STARTED|CALLER|CALLEE|REACHED|STATE|>TIME|ID");
	json_array_foreach(json_object_get(body, "calls"), i, call)
	{
		char started[32], time[32];
		bool held = json_is_true(json_object_get(call, "held"));
		const char *cells[] = {
			time_local(started, sizeof(started), json_text(call, "started")),
			json_text(call, "caller"),
			json_text(call, "callee"),
			json_text(call, "destination"),
			held ? "held" : json_text(call, "state"),
			duration_text(time, sizeof(time), json_number(call, "duration_ms")),
			json_text(call, "id"),
		};

		table_add(table, cells);
	}
	table_print(table, stdout);
	table_destroy(table);
	json_decref(body);
	return EXIT_DONE;
}

int cmd_calls_hangup(struct ctl *ctl, int argc, char **argv)
{
	char path[512] = "/v1/calls/";
	json_t *body;
	int code;

	if (argc != 1)
		return say(EXIT_USAGE, "calls hangup needs one call id");
	path_escape(path, sizeof(path), argv[0], false);
	code = control_request(ctl, "DELETE", path, &body);
	json_decref(body);
	if (code == 0 && ctl->json)
		printf("{}\n");
	else if (code == 0)
		printf("ended\n");
	return code;
}

int cmd_reg(struct ctl *ctl, int argc, char **argv)
{
	struct table *table;
	json_t *body, *one;
	size_t i;
	int code;

	if (argc > 0)
		return say(EXIT_USAGE, "reg does not know %s (see --help)", argv[0]);
	code = control_request(ctl, "GET", "/v1/registrations", &body);
	if (code != 0)
		return code;
	if (ctl->json) {
		print_json(body);
		json_decref(body);
		return EXIT_DONE;
	}
	table = table_create("USER|CONTACT|FROM|VIA|>EXPIRES|PHONE");
	json_array_foreach(json_object_get(body, "registrations"), i, one)
	{
		char expires[32];
		const char *cells[] = {
			json_text(one, "aor"),
			json_text(one, "contact"),
			json_text(one, "source"),
			json_text(one, "transport"),
			duration_text(expires, sizeof(expires),
				      json_number(one, "expires_s") * 1000),
			json_text(one, "user_agent"),
		};

		table_add(table, cells);
	}
	table_print(table, stdout);
	table_destroy(table);
	json_decref(body);
	return EXIT_DONE;
}

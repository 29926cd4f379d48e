/* trace: what was said in a call, as a ladder. */
#include "tools/tandemctl.h"

#include <string.h>

#define COLUMNS 4
#define WIDTH   22 /* between two columns */

static const char *const parties[COLUMNS] = {"caller", "tandem", "callee", "dataplane"};

static int column_of(const char *party)
{
	for (int i = 0; i < COLUMNS; i++)
		if (strcmp(party, parties[i]) == 0)
			return i;
	return 1;
}

static void print_heading(void)
{
	printf("%12s  ", "ms");
	for (int i = 0; i < COLUMNS; i++)
		printf("%-*s", WIDTH, parties[i]);
	printf("\n");
}

/* One rung: the label on an arrow between two columns; the others' lines go on. */
static void print_rung(const json_t *message)
{
	char line[WIDTH * COLUMNS + 2], label[64], safe[64];
	int from = column_of(json_text(message, "from")), to = column_of(json_text(message, "to"));
	int left = (from < to ? from : to) * WIDTH, right = (from < to ? to : from) * WIDTH;
	size_t n, room = (size_t)(right - left) - 5;

	memset(line, ' ', sizeof(line));
	line[(COLUMNS - 1) * WIDTH + 1] = '\0';
	for (int i = 0; i < COLUMNS; i++)
		line[i * WIDTH] = '|';
	if (left < right) {
		memset(line + left + 1, '-', (size_t)(right - left) - 1);
		line[from < to ? right - 1 : left + 1] = from < to ? '>' : '<';
		text_safe(safe, sizeof(safe), json_text(message, "summary"));
		snprintf(label, sizeof(label), "%.*s", (int)(room < 60 ? room : 60), safe);
		n = strlen(label);
		memcpy(line + (left + right - (int)n) / 2 + 1, label, n);
	}
	printf("%12.3f  %s\n", json_number_value(json_object_get(message, "after_ms")), line);
}

/* The text with what a terminal would take for a command made harmless, line by line. */
static void print_text(const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\r\n");
		char line[4096], safe[4096];

		snprintf(line, sizeof(line), "%.*s", n < sizeof(line) ? (int)n : 4095, text);
		printf("    %s\n", text_safe(safe, sizeof(safe), line));
		text += n;
		text += *text == '\r';
		text += *text == '\n';
	}
	printf("\n");
}

int cmd_trace(struct ctl *ctl, int argc, char **argv)
{
	const char *full = NULL;
	const struct option_spec specs[] = {
		{"full", 0, NULL, "each message too", &full},
		{0},
	};
	char path[2048] = "/v1/trace";
	json_t *body, *one;
	size_t i;
	int code = options_parse(specs, &argc, argv);

	if (code != 0)
		return code;
	if (argc != 1)
		return say(EXIT_USAGE, "trace needs one call id or Call-ID");
	path_add(path, sizeof(path), "call", argv[0]);
	code = control_request(ctl, "GET", path, &body);
	if (code != 0)
		return code;
	if (ctl->json) {
		print_json(body);
		json_decref(body);
		return EXIT_DONE;
	}
	one = json_array_get(json_object_get(body, "messages"), 0);
	printf("%s\n", json_text(one, "time"));
	print_heading();
	json_array_foreach(json_object_get(body, "messages"), i, one)
	{
		print_rung(one);
		if (full)
			print_text(json_text(one, "text"));
	}
	json_decref(body);
	return EXIT_DONE;
}

/* tandemctl: the operator's command. Finds the command by its words and prints help. */
#include "tools/tandemctl.h"

#include <curl/curl.h>

#include <errno.h>
#include <locale.h>
#include <string.h>

static const struct command commands[] = {
	{"status", "", "state of the three daemons; 1 when something is wrong", NULL, cmd_status},
	{"calls", "", "calls that are up", NULL, cmd_calls},
	{"calls hangup", "ID", "end a call", NULL, cmd_calls_hangup},
	{"reg", "", "registered phones", NULL, cmd_reg},
	{"trace", "CALL [--full]", "ladder of a call that is up or just ended",
	 "  CALL         its id, or the Call-ID of one of its dialogs\n"
	 "  --full       each message too, secrets removed\n",
	 cmd_trace},
	{"ban list", "", "addresses that are banned, and for what", NULL, cmd_ban_list},
	{"ban add", "ADDRESS [--for TIME]", "ban an address (IPv6: its /64)",
	 "  --for TIME   90, 90s, 15m, 2h or 7d; without it, until it is lifted\n", cmd_ban_add},
	{"ban lift", "ADDRESS", "let an address in again, its past forgotten", NULL, cmd_ban_lift},
	{"trunks", "", "trunks: up, registered, how many calls", NULL, cmd_trunks},
	{"cdr", "[find] [--from T] [--to T] [--number N] [--limit N] [ID]",
	 "calls that are over, newest first; ID shows one in full",
	 "  --from T     started at or after T\n"
	 "  --to T       started before T\n"
	 "  --number N   N called, was called or answered\n"
	 "  --limit N    at most N (1 to 1000, default 100)\n"
	 "  T is 2026-01-02T03:04:05Z, 2026-01-02, seconds since 1970, or -15m, -2h, -7d.\n",
	 cmd_cdr},
	{"rec list", "[--from T] [--to T] [--number N] [--call ID] [--limit N]",
	 "recordings in the store, newest first", "  Options as for cdr; --call: of that call.\n",
	 cmd_rec_list},
	{"rec get", "ID [-o FILE]", "fetch a recording and check its SHA-256",
	 "  -o FILE      write here (- = standard output); default ID.wav\n", cmd_rec_get},
	{"user passwd", "EXTENSION", "give a user a new random password, printed once",
	 "  Changes the digests in the configuration file and tells control to read it again.\n",
	 cmd_user_passwd},
	{"digest", "EXTENSION REALM [--stdin]", "print a user's lines for the configuration file",
	 "  --stdin      read the password (one line) from standard input; otherwise one is made\n"
	 "               and printed on standard error\n",
	 cmd_digest},
	{"secret", "", "make an admin secret and its SHA-256", NULL, cmd_secret},
	{"version", "", "print the version", NULL, cmd_version},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char common_options[] =
	"Options:\n"
	"  --json         print JSON\n"
	"  --config FILE  configuration, default " CONFIG_DEFAULT "\n"
	"  --socket PATH  control's HTTP socket, default as configured\n"
	"  --help         this text, or the command's\n";

static const char exit_codes[] =
	"Exit codes: 0 done; 1 not found or no result (status: something is wrong); 2 usage;\n"
	"  3 a daemon cannot be reached; 4 refused or failed.\n";

/* ---- arguments ---- */

/* Takes the common options out of the arguments, wherever they stand. Returns the new count, or
 * -1. */
static int take_common(struct ctl *ctl, int argc, char **argv, bool *help)
{
	int kept = 0;

	for (int i = 0; i < argc; i++) {
		const char **text = NULL;

		if (strcmp(argv[i], "--json") == 0)
			ctl->json = true;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			*help = true;
		else if (strcmp(argv[i], "--config") == 0)
			text = &ctl->config_path;
		else if (strcmp(argv[i], "--socket") == 0)
			text = &ctl->socket;
		else if (strncmp(argv[i], "--config=", 9) == 0)
			ctl->config_path = argv[i] + 9;
		else if (strncmp(argv[i], "--socket=", 9) == 0)
			ctl->socket = argv[i] + 9;
		else
			argv[kept++] = argv[i];
		if (!text)
			continue;
		if (++i == argc) {
			say(EXIT_USAGE, "%s needs a value", argv[i - 1]);
			return -1;
		}
		*text = argv[i];
	}
	return kept;
}

/* ---- help ---- */

static bool begins_with_word(const char *name, const char *word)
{
	size_t n = strlen(word);

	return strncmp(name, word, n) == 0 && (name[n] == ' ' || name[n] == '\0');
}

static bool is_group(const char *word)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (begins_with_word(commands[i].name, word))
			return true;
	return false;
}

/* All commands, or those of a group ("rec"). */
static int print_help(FILE *out, const char *group)
{
	fprintf(out, "Usage: tandemctl %s%s [arguments] [options]\n\nCommands:\n",
		group ? group : "", group ? " COMMAND" : "COMMAND");
	for (size_t i = 0; i < COMMANDS; i++)
		if (!group || begins_with_word(commands[i].name, group))
			fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\n%s\n%s", common_options, exit_codes);
	return out == stdout ? EXIT_DONE : EXIT_USAGE;
}

static int print_command_help(const struct command *command)
{
	printf("Usage: tandemctl %s%s%s\n\n%c%s.\n", command->name, command->usage[0] ? " " : "",
	       command->usage, command->help[0] - 'a' + 'A', command->help + 1);
	if (command->more)
		printf("%s", command->more);
	printf("\n%s\n%s", common_options, exit_codes);
	return EXIT_DONE;
}

/* ---- main ---- */

/* How many of the words name this command: 0 = not this one. */
static int name_words(const struct command *command, int argc, char **argv)
{
	char name[64];
	int words = 0;

	snprintf(name, sizeof(name), "%s", command->name);
	for (char *rest = name, *word; (word = strsep(&rest, " ")) != NULL; words++)
		if (words >= argc || strcmp(argv[words], word) != 0)
			return 0;
	return words;
}

static const struct command *find_command(int argc, char **argv, int *words)
{
	const struct command *found = NULL;

	*words = 0;
	for (size_t i = 0; i < COMMANDS; i++) {
		int n = name_words(&commands[i], argc, argv);

		if (n > *words) {
			found = &commands[i];
			*words = n;
		}
	}
	return found;
}

int cmd_version(struct ctl *ctl, int argc, char **argv)
{
	(void)argv;
	if (argc > 0)
		return say(EXIT_USAGE, "version takes no arguments");
	if (ctl->json)
		printf("{\"version\": \"%s\"}\n", TANDEM_VERSION);
	else
		printf("tandemctl %s\n", TANDEM_VERSION);
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	const struct command *command;
	struct ctl ctl = {0};
	bool help = false;
	int words, code;

	setlocale(LC_ALL, "");
	argc = take_common(&ctl, argc - 1, argv + 1, &help);
	argv++;
	if (argc < 0)
		return EXIT_USAGE;
	if (argc > 0 && strcmp(argv[0], "--version") == 0)
		return cmd_version(&ctl, 0, NULL);
	command = find_command(argc, argv, &words);
	if (!command) {
		const char *group = argc > 0 && is_group(argv[0]) ? argv[0] : NULL;

		if (help && (argc == 0 || (group && argc == 1)))
			return print_help(stdout, group);
		if (group && argc == 1)
			say(EXIT_USAGE, "%s lacks its second word", group);
		else if (argc > 0)
			say(EXIT_USAGE, "no such command: %s%s%s", argv[0], group ? " " : "",
			    group ? argv[1] : "");
		return print_help(stderr, group);
	}
	if (help)
		return print_command_help(command);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	code = command->run(&ctl, argc - words, argv + words);
	curl_global_cleanup();
	config_free(ctl.config);
	if (fflush(stdout) != 0)
		return say(EXIT_REFUSED, "standard output: %s", strerror(errno));
	return code;
}

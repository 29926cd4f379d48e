/* user passwd, digest, secret. */
#include "tools/tandemctl.h"

#include "dataplane/base/clock.h"

#include <openssl/evp.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSWORD_LENGTH 16
#define SECRET_LENGTH   32
#define PASSWORD_MAX    256
#define FILE_MAX        (16 * 1024 * 1024)

struct digests {
	char md5[33];
	char sha256[65];
};

static bool hash_hex(const EVP_MD *algorithm, const char *text, char *out)
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (!EVP_Digest(text, strlen(text), bytes, &n, algorithm, NULL))
		return false;
	for (unsigned int i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
	return true;
}

/* HA1 = H(username ":" realm ":" password), RFC 7616 3.4.2. */
static bool make_digests(struct digests *digests, const char *extension, const char *realm,
			 const char *password)
{
	char text[1024];

	if (snprintf(text, sizeof(text), "%s:%s:%s", extension, realm, password) >=
	    (int)sizeof(text))
		return false;
	return hash_hex(EVP_md5(), text, digests->md5) &&
	       hash_hex(EVP_sha256(), text, digests->sha256);
}

/* ---- the file ---- */

static char *read_file(const char *path, size_t *len, struct stat *stat)
{
	char *text = NULL;
	FILE *file = fopen(path, "rbe");

	if (!file)
		return NULL;
	if (fstat(fileno(file), stat) == 0 && stat->st_size <= FILE_MAX) {
		text = malloc((size_t)stat->st_size + 1);
		if (text)
			*len = fread(text, 1, (size_t)stat->st_size, file);
	}
	fclose(file);
	return text;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The new file beside the old one, with its owner and mode; it is read as the daemons will read it
 * before it takes the old one's place. */
static int replace_file(const char *path, const struct stat *stat, const char *text, size_t len,
			char error[CONFIG_ERROR_MAX])
{
	struct config *config = NULL;
	char fresh[PATH_MAX];
	int fd, rc;

	snprintf(error, CONFIG_ERROR_MAX, "%.400s cannot be written", path);
	if (snprintf(fresh, sizeof(fresh), "%s.XXXXXX", path) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	fd = mkstemp(fresh);
	if (fd < 0)
		return -errno;
	rc = fchown(fd, stat->st_uid, stat->st_gid) == 0 && fchmod(fd, stat->st_mode & 0777) == 0
		     ? write_all(fd, text, len)
		     : -errno;
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	close(fd);
	if (rc == 0)
		rc = config_load(fresh, &config, error);
	config_free(config);
	if (rc == 0 && rename(fresh, path) != 0)
		rc = -errno;
	if (rc < 0)
		unlink(fresh);
	return rc;
}

/* ---- user passwd ---- */

static int change_file(const char *path, const char *extension, const struct digests *digests)
{
	char real[PATH_MAX], error[CONFIG_ERROR_MAX];
	struct stat stat;
	char *text, *changed;
	size_t len = 0, changed_len;
	bool missing;
	int code = EXIT_DONE, rc;

	if (!realpath(path, real))
		return say(EXIT_REFUSED, "%s: %s", path, strerror(errno));
	text = read_file(real, &len, &stat);
	if (!text)
		return say(EXIT_REFUSED, "%s: %s", real, strerror(errno));
	changed = yaml_set_digests(text, len, extension, digests->md5, digests->sha256,
				   &changed_len, &missing, error);
	free(text);
	if (!changed)
		return say(missing ? EXIT_NOTHING : EXIT_REFUSED, "%s: %s", real, error);
	rc = replace_file(real, &stat, changed, changed_len, error);
	if (rc < 0)
		code = say(EXIT_REFUSED, "%s (%s)", error, strerror(-rc));
	free(changed);
	return code;
}

/* Control that is not there reads the file when it starts. */
static int ask_reload(struct ctl *ctl)
{
	const char *socket = ctl_control_socket(ctl);
	json_t *body;
	int code;

	if (!socket || access(socket, F_OK) != 0)
		return EXIT_DONE;
	code = control_request(ctl, "POST", "/v1/reload", &body);
	json_decref(body);
	return code;
}

int cmd_user_passwd(struct ctl *ctl, int argc, char **argv)
{
	const struct config *config = ctl_config(ctl);
	char password[PASSWORD_LENGTH + 1];
	struct digests digests;
	int code;

	if (argc != 1)
		return say(EXIT_USAGE, "user passwd needs one extension");
	if (!config)
		return EXIT_REFUSED;
	random_token(password, PASSWORD_LENGTH);
	if (!make_digests(&digests, argv[0], config->control.realm, password))
		return say(EXIT_REFUSED, "no digests for this extension");
	code = change_file(ctl->config_path ? ctl->config_path : CONFIG_DEFAULT, argv[0], &digests);
	if (code != 0)
		return code;
	if (ctl->json) {
		json_t *result =
			json_pack("{s:s, s:s}", "extension", argv[0], "password", password);

		print_json(result);
		json_decref(result);
	} else {
		printf("extension %s  password %s\n", argv[0], password);
	}
	fflush(stdout);
	code = ask_reload(ctl);
	if (code != 0)
		say(code, "the file is changed, but control did not read it again; restart it");
	return code;
}

/* ---- digest, secret ---- */

static bool read_password(char *out, size_t n)
{
	if (!fgets(out, (int)n, stdin))
		return false;
	out[strcspn(out, "\r\n")] = '\0';
	return out[0] != '\0';
}

int cmd_digest(struct ctl *ctl, int argc, char **argv)
{
	const char *from_stdin = NULL;
	const struct option_spec specs[] = {
		{"stdin", 0, NULL, "read the password", &from_stdin},
		{NULL, 0, NULL, NULL, NULL},
	};
	char password[PASSWORD_MAX];
	struct digests digests;
	int code = options_parse(specs, &argc, argv);

	if (code != 0)
		return code;
	if (argc != 2 || strchr(argv[0], '"') || strchr(argv[0], '\\'))
		return say(EXIT_USAGE, "digest needs an extension and the realm");
	if (!from_stdin)
		random_token(password, PASSWORD_LENGTH);
	else if (!read_password(password, sizeof(password)))
		return say(EXIT_USAGE, "there is no password on standard input");
	if (!make_digests(&digests, argv[0], argv[1], password))
		return say(EXIT_REFUSED, "no digests for this extension");
	if (ctl->json) {
		json_t *result = json_pack("{s:s, s:s, s:s}", "extension", argv[0], "md5",
					   digests.md5, "sha256", digests.sha256);

		if (!from_stdin)
			json_object_set_new(result, "password", json_string(password));
		print_json(result);
		json_decref(result);
		return EXIT_DONE;
	}
	if (!from_stdin)
		fprintf(stderr, "password %s\n", password);
	printf("- extension: \"%s\"\n  md5: %s\n  sha256: %s\n", argv[0], digests.md5,
	       digests.sha256);
	return EXIT_DONE;
}

int cmd_secret(struct ctl *ctl, int argc, char **argv)
{
	char secret[SECRET_LENGTH + 1], hex[65];

	(void)argv;
	if (argc > 0)
		return say(EXIT_USAGE, "secret takes no arguments");
	random_token(secret, SECRET_LENGTH);
	if (!hash_hex(EVP_sha256(), secret, hex))
		return say(EXIT_REFUSED, "no SHA-256");
	if (ctl->json)
		printf("{\"secret\": \"%s\", \"admin_sha256\": \"%s\"}\n", secret, hex);
	else
		printf("secret        %s\nadmin_sha256  %s\n", secret, hex);
	return EXIT_DONE;
}

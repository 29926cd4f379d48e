/* rec get: control knows the object's key and hash, the recorder has its bytes. */
#include "tools/tandemctl.h"

#include <openssl/evp.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct download {
	FILE *file;
	EVP_MD_CTX *digest;
	uint64_t bytes;
};

static size_t take_bytes(char *bytes, size_t size, size_t n, void *arg)
{
	struct download *download = arg;

	n *= size;
	if (!EVP_DigestUpdate(download->digest, bytes, n))
		return 0;
	download->bytes += n;
	return fwrite(bytes, 1, n, download->file);
}

static void digest_hex(EVP_MD_CTX *digest, char out[2 * EVP_MAX_MD_SIZE + 1])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	EVP_DigestFinal_ex(digest, bytes, &n);
	out[0] = '\0';
	for (unsigned int i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* Streams the object into download->file and checks its hash. An exit code. */
static int fetch(struct ctl *ctl, const char *key, const char *sha256, struct download *download)
{
	const struct config *config = ctl_config(ctl);
	char path[2048] = "/object/", error[256], hex[2 * EVP_MAX_MD_SIZE + 1];
	long status = 0;
	int code;

	if (!config)
		return EXIT_REFUSED;
	path_escape(path, sizeof(path), key, true);
	code = http_stream(config->recorder.http_socket, path, take_bytes, download, &status,
			   error);
	if (status == 404)
		return say(EXIT_NOTHING, "the store has no object %s", key);
	if (code != 0)
		return say(code, "recorder: %s", error);
	if (fflush(download->file) != 0)
		return say(EXIT_REFUSED, "writing: %s", strerror(errno));
	digest_hex(download->digest, hex);
	if (strcmp(hex, sha256) != 0)
		return say(EXIT_REFUSED, "the object is not what was recorded: SHA-256 %s, not %s",
			   hex, sha256);
	return EXIT_DONE;
}

/* Into FILE.part first, so that FILE is whole and right or not there. */
static int fetch_file(struct ctl *ctl, const char *key, const char *sha256, const char *file,
		      struct download *download)
{
	char part[4096];
	int code;

	if (strcmp(file, "-") == 0) {
		download->file = stdout;
		return fetch(ctl, key, sha256, download);
	}
	if (snprintf(part, sizeof(part), "%s.part", file) >= (int)sizeof(part))
		return say(EXIT_USAGE, "file name is too long");
	download->file = fopen(part, "wbe");
	if (!download->file)
		return say(EXIT_REFUSED, "%s: %s", part, strerror(errno));
	code = fetch(ctl, key, sha256, download);
	if (fclose(download->file) != 0 && code == 0)
		code = say(EXIT_REFUSED, "%s: %s", part, strerror(errno));
	if (code == 0 && rename(part, file) != 0)
		code = say(EXIT_REFUSED, "%s: %s", file, strerror(errno));
	if (code != 0)
		unlink(part);
	return code;
}

static int get_recording(struct ctl *ctl, const json_t *recording, const char *file)
{
	struct download download = {0};
	char name[256], size[32];
	int code;

	if (!file) {
		snprintf(name, sizeof(name), "%s.%s", json_text(recording, "id"),
			 json_text(recording, "format")[0] ? json_text(recording, "format")
							   : "wav");
		file = name;
		if (strchr(name, '/') || name[0] == '.')
			return say(EXIT_REFUSED, "%s is no file name; choose one with -o", name);
	}
	download.digest = EVP_MD_CTX_new();
	if (!download.digest || !EVP_DigestInit_ex(download.digest, EVP_sha256(), NULL))
		return say(EXIT_REFUSED, "no SHA-256");
	code = fetch_file(ctl, json_text(recording, "object"), json_text(recording, "sha256"), file,
			  &download);
	EVP_MD_CTX_free(download.digest);
	if (code != 0 || strcmp(file, "-") == 0)
		return code;
	if (ctl->json) {
		json_t *result = json_pack("{s:s, s:I, s:s}", "file", file, "bytes",
					   (json_int_t)download.bytes, "sha256",
					   json_text(recording, "sha256"));

		print_json(result);
		json_decref(result);
	} else {
		printf("%s  %s, SHA-256 is right\n", file,
		       bytes_text(size, sizeof(size), (int64_t)download.bytes));
	}
	return EXIT_DONE;
}

int cmd_rec_get(struct ctl *ctl, int argc, char **argv)
{
	const char *file = NULL;
	const struct option_spec specs[] = {
		{"output", 'o', "FILE", "write here", &file},
		{NULL, 0, NULL, NULL, NULL},
	};
	char path[512] = "/v1/recordings/";
	json_t *body;
	int code = options_parse(specs, &argc, argv);

	if (code != 0)
		return code;
	if (argc != 1)
		return say(EXIT_USAGE, "rec get needs one recording id");
	path_escape(path, sizeof(path), argv[0], false);
	code = control_request(ctl, "GET", path, &body);
	if (code == 0)
		code = get_recording(ctl, body, file);
	json_decref(body);
	return code;
}

/* HTTP requests of tandemctl, over Unix sockets with libcurl. */
#include "tools/tandemctl.h"

#include <curl/curl.h>

#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 3000
#define ANSWER_TIMEOUT_MS  15000
#define STALL_TIMEOUT_S    30 /* a download may take long, but not stand still */

static CURL *open_request(const char *socket, const char *path)
{
	CURL *curl = curl_easy_init();
	char url[4096];

	if (!curl)
		return NULL;
	if (snprintf(url, sizeof(url), "http://localhost%s", path) >= (int)sizeof(url)) {
		curl_easy_cleanup(curl);
		return NULL;
	}
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	return curl;
}

static int perform(CURL *curl, const char *socket, long *status, char error[256])
{
	CURLcode code = curl_easy_perform(curl);

	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
	if (code == CURLE_OK)
		return 0;
	snprintf(error, 256, "%.180s: %s", socket, curl_easy_strerror(code));
	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return EXIT_UNREACHABLE;
	default:
		return EXIT_REFUSED;
	}
}

static size_t collect(char *bytes, size_t size, size_t n, void *arg)
{
	struct answer *answer = arg;
	char *grown;

	n *= size;
	if (answer->text_len + n > ANSWER_MAX)
		return 0;
	grown = realloc(answer->text, answer->text_len + n + 1);
	if (!grown)
		return 0;
	answer->text = grown;
	memcpy(grown + answer->text_len, bytes, n);
	answer->text_len += n;
	grown[answer->text_len] = '\0';
	return n;
}

int http_request(const char *socket, const char *method, const char *path, struct answer *answer,
		 char error[256])
{
	CURL *curl = open_request(socket, path);
	int code;

	memset(answer, 0, sizeof(*answer));
	if (!curl) {
		snprintf(error, 256, "request cannot be made");
		return EXIT_REFUSED;
	}
	if (strcmp(method, "GET") != 0)
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	code = perform(curl, socket, &answer->status, error);
	curl_easy_cleanup(curl);
	if (code != 0) {
		free(answer->text);
		answer->text = NULL;
	}
	return code;
}

int http_stream(const char *socket, const char *path,
		size_t (*sink)(char *bytes, size_t size, size_t n, void *arg), void *arg,
		long *status, char error[256])
{
	CURL *curl = open_request(socket, path);
	int code;

	if (!curl) {
		snprintf(error, 256, "request cannot be made");
		return EXIT_REFUSED;
	}
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, sink);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, arg);
	code = perform(curl, socket, status, error);
	curl_easy_cleanup(curl);
	return code;
}

/* What a problem document says, or the status. */
static int print_problem(const struct answer *answer)
{
	json_t *problem = answer->text ? json_loads(answer->text, 0, NULL) : NULL;
	const char *detail = json_text(problem, "detail");

	if (detail[0] != '\0')
		say(0, "%s", detail);
	else
		say(0, "control answered with HTTP status %ld", answer->status);
	json_decref(problem);
	return answer->status == 404 ? EXIT_NOTHING : EXIT_REFUSED;
}

int control_request(struct ctl *ctl, const char *method, const char *path, json_t **body)
{
	const char *socket = ctl_control_socket(ctl);
	struct answer answer;
	json_error_t json_error;
	char error[256];
	int code;

	*body = NULL;
	if (!socket)
		return EXIT_REFUSED;
	code = http_request(socket, method, path, &answer, error);
	if (code != 0)
		return say(code, "control: %s", error);
	if (answer.status < 200 || answer.status > 299)
		code = print_problem(&answer);
	else if (answer.status != 204) {
		*body = json_loads(answer.text ? answer.text : "", 0, &json_error);
		if (!*body)
			code = say(EXIT_REFUSED, "control's answer is no JSON: %s",
				   json_error.text);
	}
	free(answer.text);
	return code;
}

void path_escape(char *out, size_t n, const char *text, bool slashes)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";
	size_t used = strlen(out);

	for (; *text && used + 4 < n; text++) {
		if (strchr(plain, *text) || (slashes && *text == '/'))
			out[used++] = *text;
		else
			used += (size_t)snprintf(out + used, n - used, "%%%02X",
						 (unsigned char)*text);
		out[used] = '\0';
	}
}

void path_add(char *out, size_t n, const char *name, const char *value)
{
	size_t used = strlen(out);

	if (!value)
		return;
	snprintf(out + used, n - used, "%c%s=", strchr(out, '?') ? '&' : '?', name);
	path_escape(out, n, value, false);
}

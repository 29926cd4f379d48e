/*
 * Taking secrets out of a message: line by line, wherever the line stands (header, body, a part of
 * a multipart body, the SDP of an ng command), so that nothing depends on the message being right.
 */
#include "control/b2bua/trace.h"

#include <string.h>
#include <strings.h>

#define REMOVED "(removed)"

/* What a line begins with; the rest of it goes. A header's continuation lines go with it. */
static const struct {
	const char *begin;
	bool is_header; /* blanks and a colon follow */
} secrets[] = {
	{"Authorization", true},
	{"Proxy-Authorization", true},
	{"Authentication-Info", true},
	{"Proxy-Authentication-Info", true},
	{"Identity", true},
	{"a=crypto:", false},
	{"a=key-mgmt:", false},
	{"a=ice-pwd:", false},
	{"k=", false},
	{"Signal=", false}, /* DTMF by INFO: digits of a PIN, perhaps */
	{"Signal =", false},
	{"password", true}, /* of an ng command */
	{"SDES-", false},
};

struct cleaner {
	char *out;
	uint32_t n;
};

static void put(struct cleaner *cleaner, const char *text, size_t n)
{
	memcpy(cleaner->out + cleaner->n, text, n);
	cleaner->n += (uint32_t)n;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* True if the line holds a secret behind its first *shown characters. */
static bool is_secret(const char *line, size_t n, size_t *shown)
{
	size_t blanks = 0;

	while (blanks < n && is_blank(line[blanks]))
		blanks++;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		size_t len = strlen(secrets[i].begin), at = blanks + len;

		if (n < at || strncasecmp(line + blanks, secrets[i].begin, len) != 0)
			continue;
		*shown = at;
		if (!secrets[i].is_header)
			return true;
		while (at < n && is_blank(line[at]))
			at++;
		if (at == n || line[at] != ':')
			continue;
		*shown = at + 1;
		return true;
	}
	return false;
}

/* The length of "user:" of a URI whose userinfo has a password, which ends before the returned
 * password_n; 0 = none (RFC 3261 19.1.1). */
static size_t password_at(const char *text, size_t n, size_t *password_n)
{
	size_t colon = 0;

	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (c == '@') {
			*password_n = colon ? i - colon : 0;
			return colon;
		}
		if (is_blank(c) || c == '<' || c == '>' || c == '"')
			return 0;
		if (c == ':' && colon)
			return 0; /* none can hold one */
		if (c == ':')
			colon = i + 1;
	}
	return 0;
}

static void put_line(struct cleaner *cleaner, const char *line, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t scheme = 0, user_n, password_n = 0;

		if (n - i > 4 && strncasecmp(line + i, "sip:", 4) == 0)
			scheme = 4;
		else if (n - i > 5 && strncasecmp(line + i, "sips:", 5) == 0)
			scheme = 5;
		if (scheme == 0) {
			put(cleaner, line + i++, 1);
			continue;
		}
		put(cleaner, line + i, scheme);
		i += scheme;
		user_n = password_at(line + i, n - i, &password_n);
		if (user_n == 0)
			continue;
		put(cleaner, line + i, user_n);
		put(cleaner, REMOVED, strlen(REMOVED));
		i += user_n + password_n;
	}
}

uint32_t trace_clean(const char *text, uint32_t n, char *out)
{
	struct cleaner cleaner = {.out = out};
	bool hiding = false;
	uint32_t at = 0;

	while (at < n) {
		uint32_t end = at, next;
		size_t shown;

		while (end < n && text[end] != '\n' && text[end] != '\r')
			end++;
		next = end;
		while (next < n && (text[next] == '\r' || text[next] == '\n')) {
			if (text[next++] == '\n')
				break;
		}
		if (hiding && end > at && is_blank(text[at])) {
			at = next; /* RFC 3261 7.3.1: more of what is hidden */
			continue;
		}
		hiding = is_secret(text + at, end - at, &shown);
		if (hiding) {
			put(&cleaner, text + at, shown);
			put(&cleaner, " " REMOVED, strlen(" " REMOVED));
		} else {
			put_line(&cleaner, text + at, end - at);
		}
		put(&cleaner, text + end, next - end);
		at = next;
	}
	return cleaner.n;
}

/* Compares the secret in constant time and counts failures per source. */
#include "control/admin/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <errno.h>
#include <string.h>
#include <strings.h>

#define SECRET_MAX 512

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int auth_init(struct auth *auth, const char *sha256_hex)
{
	memset(auth, 0, sizeof(*auth));
	if (strlen(sha256_hex) != AUTH_SECRET_HEX_SIZE)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(auth->sha256); i++) {
		int high = hex_digit(sha256_hex[2 * i]);
		int low = hex_digit(sha256_hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		auth->sha256[i] = (uint8_t)(high << 4 | low);
	}
	pthread_mutex_init(&auth->lock, NULL);
	return 0;
}

void auth_fini(struct auth *auth)
{
	pthread_mutex_destroy(&auth->lock);
}

/* The source's entry, or the one to be used for it. Locked. */
static struct auth_source *find_source(struct auth *auth, const struct address *source,
				       uint64_t now_ms)
{
	struct auth_source *oldest = &auth->sources[0];
	struct address address = *source;

	if (!address_is_v4(&address))
		memset(address.ip + 8, 0, 8); /* one host has a whole /64 to itself */
	for (size_t i = 0; i < AUTH_SOURCES; i++) {
		struct auth_source *entry = &auth->sources[i];

		if (entry->failures > 0 && address_equal(&entry->address, &address)) {
			if (now_ms - entry->since_ms >= AUTH_WINDOW_S * 1000)
				entry->failures = 0;
			return entry;
		}
		if (entry->failures == 0 ||
		    (oldest->failures > 0 && entry->since_ms < oldest->since_ms))
			oldest = entry;
	}
	oldest->address = address;
	oldest->failures = 0;
	return oldest;
}

static bool is_secret(const struct auth *auth, const char *secret)
{
	uint8_t sha256[SHA256_DIGEST_LENGTH];
	size_t n = strnlen(secret, SECRET_MAX);

	SHA256((const unsigned char *)secret, n, sha256);
	return CRYPTO_memcmp(sha256, auth->sha256, sizeof(sha256)) == 0 && secret[n] == '\0';
}

enum auth_verdict auth_check(struct auth *auth, const char *authorization,
			     const struct address *source, uint64_t now_ms)
{
	enum auth_verdict verdict = AUTH_GRANTED;
	struct auth_source *entry;

	pthread_mutex_lock(&auth->lock);
	entry = find_source(auth, source, now_ms);
	if (entry->failures >= AUTH_FAILURES) {
		verdict = AUTH_TOO_OFTEN;
	} else if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0) {
		verdict = AUTH_MISSING;
	} else if (!is_secret(auth, authorization + 7)) {
		verdict = AUTH_WRONG;
		if (entry->failures++ == 0)
			entry->since_ms = now_ms;
	} else {
		entry->failures = 0;
	}
	pthread_mutex_unlock(&auth->lock);
	return verdict;
}
